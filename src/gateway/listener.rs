//! A listener accepts connections within its limits and gives each to a session.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::proxy;
use super::returns::ReturnsSession;
use super::session::Session;
use super::settings::{Context, SmtpRules, is_in};

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 1024;
/// How long accepting pauses when the system has no file descriptors left (F22).
const BACK_OFF: Duration = Duration::from_millis(100);

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Campaign tools and mail servers.
    Smtp,
    /// Returned mail.
    Returns,
}

/// Binds an address for a listener.
///
/// # Errors
/// When the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for old connections to time out.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Accepts until it is told to stop or the drain begins.
///
/// `name` is the address as configured, under which the settings hold the listener's rules.
pub async fn serve(
    listener: TcpListener,
    kind: Kind,
    name: Arc<str>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let connections = Arc::new(Connections::default());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => return,
            () = context.drain.begun() => return,
        };
        match accepted {
            Ok((stream, peer)) => admit(stream, peer, kind, &name, &context, &connections),
            Err(error) => {
                tracing::warn!(%error, listener = %name, "cannot accept connections; trying again");
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

fn admit(
    stream: TcpStream,
    peer: SocketAddr,
    kind: Kind,
    name: &Arc<str>,
    context: &Arc<Context>,
    connections: &Arc<Connections>,
) {
    let client = peer.ip().to_canonical();
    let settings = context.settings.load();
    let limits = &settings.limits;
    let admitted = connections.admit(
        client,
        limits.connection_limit,
        limits.connections_per_client_limit,
    );
    let guest = match admitted {
        Ok(guest) => guest,
        Err(why) => {
            context.metrics.connection_refused(name, why);
            context.drain.spawn(turn_away(stream));
            return;
        }
    };
    // The last small segment of a reply must not wait for a delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    // Near the limit everybody gets less patience, so that the slow make room (W12).
    let overloaded = guest.all * 10 >= limits.connection_limit * 9;
    context.metrics.connection_opened(name);
    let (context, name) = (Arc::clone(context), Arc::clone(name));
    let tasks = context.drain.clone();
    match kind {
        Kind::Smtp => {
            let Some(rules) = settings.smtp.get(&*name).cloned() else {
                return;
            };
            let patience = settings.timeouts.tls_handshake;
            tasks.spawn(async move {
                let metrics = Arc::clone(&context.metrics);
                let mut stream = stream;
                if let Some(client) = real_client(&mut stream, client, &rules, patience).await {
                    Session::new(context, rules, stream, client, overloaded)
                        .run()
                        .await;
                }
                metrics.connection_closed(&name);
                drop(guest);
            });
        }
        Kind::Returns => {
            let Some(rules) = settings.returns.get(&*name).cloned() else {
                return;
            };
            tasks.spawn(async move {
                let metrics = Arc::clone(&context.metrics);
                ReturnsSession::new(context, rules, stream, client, overloaded)
                    .run()
                    .await;
                metrics.connection_closed(&name);
                drop(guest);
            });
        }
    }
}

/// Who connected, as the PROXY header tells where one is required; none if it does not come (W15).
async fn real_client(
    stream: &mut TcpStream,
    peer: IpAddr,
    rules: &SmtpRules,
    patience: Duration,
) -> Option<IpAddr> {
    if !is_in(&rules.proxy, peer) {
        return Some(peer);
    }
    match tokio::time::timeout(patience, proxy::read(stream)).await {
        Ok(Ok(told)) => Some(told.map_or(peer, |address| address.to_canonical())),
        Ok(Err(error)) => {
            tracing::warn!(%error, %peer, "connection closed");
            None
        }
        Err(_) => None,
    }
}

/// Says 421 to a connection that there is no room for (W13).
async fn turn_away(mut stream: TcpStream) {
    let say = stream.write_all(b"421 4.7.0 Too many connections, try again later\r\n");
    let _ = tokio::time::timeout(Duration::from_secs(1), say).await;
    let _ = stream.shutdown().await;
}

/// Who is connected to one listener.
#[derive(Debug, Default)]
struct Connections {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_client: HashMap<IpAddr, usize>,
}

/// A connection that is counted as long as this lives.
#[derive(Debug)]
struct Guest {
    connections: Arc<Connections>,
    client: IpAddr,
    /// How many there were with it.
    all: usize,
}

impl Connections {
    fn admit(
        self: &Arc<Self>,
        client: IpAddr,
        limit: usize,
        per_client: usize,
    ) -> Result<Guest, &'static str> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= limit {
            return Err("connection_limit");
        }
        let of_client = counts.by_client.entry(client).or_default();
        if *of_client >= per_client {
            return Err("connections_per_client_limit");
        }
        *of_client += 1;
        counts.all += 1;
        Ok(Guest {
            connections: Arc::clone(self),
            client,
            all: counts.all,
        })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self
            .connections
            .counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        counts.all -= 1;
        if let Some(count) = counts.by_client.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.by_client.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn w13_connections_are_counted_and_limited() {
        let connections = Arc::new(Connections::default());
        let (a, b): (IpAddr, IpAddr) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let first = connections.admit(a, 3, 2).unwrap();
        let second = connections.admit(a, 3, 2).unwrap();
        assert_eq!(
            connections.admit(a, 3, 2).unwrap_err(),
            "connections_per_client_limit"
        );
        let third = connections.admit(b, 3, 2).unwrap();
        assert_eq!(connections.admit(b, 3, 2).unwrap_err(), "connection_limit");
        drop((first, second, third));
        assert!(connections.counts.lock().unwrap().by_client.is_empty());
        assert!(connections.admit(a, 3, 2).is_ok());
    }
}
