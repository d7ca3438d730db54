//! Serves the admin routers: connections in, requests to the router, a stop from the caller.
//!
//! The caller binds the listener and decides when to stop.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::peer::Peer;

/// Most connections at once; further ones wait in the system's queue.
const CONNECTION_LIMIT: usize = 256;

/// How long a request's header may take, and how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Most octets of a request's header.
const HEADER_LIMIT: usize = 32 << 10;

/// How long requests in flight may take once we stop.
const STOP_TIMEOUT: Duration = Duration::from_secs(2);

/// How long accepting rests after an error, as when no file descriptors are left (F22).
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// Serves the API on the admin socket until `shutdown` ends.
pub async fn serve_unix(
    listener: UnixListener,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    serve(&OnSocket { listener, router }, shutdown).await;
}

/// Serves the probes over TCP until `shutdown` ends.
pub async fn serve_tcp(listener: TcpListener, router: Router, shutdown: impl Future<Output = ()>) {
    serve(&OnTcp { listener, router }, shutdown).await;
}

/// Where connections come from, each with the router that serves it.
trait Door: Sync {
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    fn accept(&self) -> impl Future<Output = io::Result<(Self::Stream, Router)>> + Send;
}

struct OnSocket {
    listener: UnixListener,
    router: Router,
}

impl Door for OnSocket {
    type Stream = UnixStream;

    async fn accept(&self) -> io::Result<(UnixStream, Router)> {
        let (stream, _) = self.listener.accept().await?;
        let peer = Peer::of(&stream);
        Ok((stream, self.router.clone().layer(Extension(peer))))
    }
}

struct OnTcp {
    listener: TcpListener,
    router: Router,
}

impl Door for OnTcp {
    type Stream = TcpStream;

    async fn accept(&self) -> io::Result<(TcpStream, Router)> {
        let (stream, _) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, self.router.clone()))
    }
}

async fn serve(door: &impl Door, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let permits = Arc::new(Semaphore::new(CONNECTION_LIMIT));
    let stop = CancellationToken::new();
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // The semaphore is never closed.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (permit, door.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = &mut shutdown => break,
            next = next => next,
            Some(_) = connections.join_next() => continue,
        };
        match accepted {
            Ok((stream, router)) => {
                let stop = stop.clone();
                connections.spawn(async move {
                    converse(stream, router, stop).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    stop.cancel();
    let all_ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_TIMEOUT, all_ended).await.is_err() {
        tracing::debug!("admin connections were cut at the stop");
    }
}

/// One connection, until its end or the stop.
async fn converse<S>(stream: S, router: Router, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_LIMIT)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection broke");
    }
}
