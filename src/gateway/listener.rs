//! A listener accepts connections within its limits and gives each to a session.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use super::proxy;
use super::returns::ReturnsSession;
use super::session::Session;
use super::settings::{Context, SmtpRules, is_in};
use super::worker::{Seat, Worker};

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

/// Binds an address for a listener. It does not block, whichever runtime is to serve it.
///
/// # Errors
/// When the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
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
    Ok(socket.into())
}

/// Accepts until it is told to stop or the drain begins.
///
/// `name` is the address as configured, under which the settings hold the listener's rules.
pub async fn serve(
    listener: std::net::TcpListener,
    kind: Kind,
    name: Arc<str>,
    context: Arc<Context>,
    stop: CancellationToken,
) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, listener = %name, "cannot accept connections");
            return;
        }
    };
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
    let settings = context.settings.load();
    let limit = settings.limits.connection_limit;
    let Some(guest) = connections.enter(limit) else {
        context.metrics.connection_refused(name, "connection_limit");
        context.drain.spawn(turn_away(stream));
        return;
    };
    // The last small segment of a reply must not wait for a delayed acknowledgement.
    let _ = stream.set_nodelay(true);
    let peer = peer.ip().to_canonical();
    // Near the limit everybody gets less patience, so that the slow make room (W12).
    let overloaded = guest.all * 10 >= limit * 9;
    let visit = move |stream| Visit {
        stream,
        peer,
        overloaded,
        guest,
    };
    let (context, name) = (Arc::clone(context), Arc::clone(name));
    match kind {
        Kind::Smtp => seat(stream, visit, context, name),
        Kind::Returns => context.drain.clone().spawn(async move {
            context.metrics.connection_opened(&name);
            visit(stream).returns(&context, &name).await;
            context.metrics.connection_closed(&name);
        }),
    }
}

/// Gives a connection to the worker with the fewest sessions.
fn seat(
    stream: TcpStream,
    visit: impl FnOnce(TcpStream) -> Visit + Send + 'static,
    context: Arc<Context>,
    name: Arc<str>,
) {
    let seat = context.workers.seat();
    let arrival = Arrival::of(stream, &seat, &context);
    let runtime = seat.worker().runtime().clone();
    let tasks = context.drain.clone();
    let session = async move {
        let Ok(stream) = arrival.and_then(Arrival::settle) else {
            return;
        };
        context.metrics.connection_opened(&name);
        let worker = Arc::clone(seat.worker());
        visit(stream).smtp(&context, &name, worker).await;
        context.metrics.connection_closed(&name);
    };
    // Boxed, because a task is moved about ten times on its way to its place.
    tasks.spawn_on(Box::pin(session), &runtime);
}

/// A connection on its way to its worker. Readiness is told to the runtime that registered it.
enum Arrival {
    /// The worker that accepted it keeps it.
    Here(TcpStream),
    /// Another registers it anew.
    Elsewhere(std::net::TcpStream),
}

impl Arrival {
    fn of(stream: TcpStream, seat: &Seat, context: &Context) -> io::Result<Self> {
        if Arc::ptr_eq(seat.worker(), context.workers.first()) {
            Ok(Self::Here(stream))
        } else {
            stream.into_std().map(Self::Elsewhere)
        }
    }

    fn settle(self) -> io::Result<TcpStream> {
        match self {
            Self::Here(stream) => Ok(stream),
            Self::Elsewhere(stream) => TcpStream::from_std(stream),
        }
    }
}

/// A connection on its way to its session.
struct Visit {
    stream: TcpStream,
    peer: IpAddr,
    overloaded: bool,
    guest: Guest,
}

impl Visit {
    async fn smtp(mut self, context: &Arc<Context>, name: &Arc<str>, worker: Arc<Worker>) {
        let settings = context.settings.load_full();
        let Some(rules) = settings.smtp.get(&**name).cloned() else {
            return;
        };
        let patience = settings.timeouts.tls_handshake;
        let client = real_client(&mut self.stream, self.peer, &rules, patience).await;
        let Some(client) = client else {
            return;
        };
        if self
            .guest
            .identify(client, settings.limits.connections_per_client_limit)
        {
            let context = Arc::clone(context);
            let session =
                Session::new(context, worker, rules, self.stream, client, self.overloaded);
            session.run().await;
        } else {
            refuse_client(context, name, self.stream).await;
        }
    }

    async fn returns(mut self, context: &Arc<Context>, name: &Arc<str>) {
        let settings = context.settings.load_full();
        let Some(rules) = settings.returns.get(&**name).cloned() else {
            return;
        };
        let client = self.peer;
        if self
            .guest
            .identify(client, settings.limits.connections_per_client_limit)
        {
            let context = Arc::clone(context);
            let session = ReturnsSession::new(context, rules, self.stream, client, self.overloaded);
            session.run().await;
        } else {
            refuse_client(context, name, self.stream).await;
        }
    }
}

async fn refuse_client(context: &Context, name: &str, stream: TcpStream) {
    let why = "connections_per_client_limit";
    context.metrics.connection_refused(name, why);
    turn_away(stream).await;
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
    /// Whose it is; a load balancer's connection is somebody else's, and told later.
    client: Option<IpAddr>,
    /// How many there were with it.
    all: usize,
}

impl Connections {
    /// Counts a connection, unless there are enough.
    fn enter(self: &Arc<Self>, limit: usize) -> Option<Guest> {
        let mut counts = self.lock();
        if counts.all >= limit {
            return None;
        }
        counts.all += 1;
        Some(Guest {
            connections: Arc::clone(self),
            client: None,
            all: counts.all,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Guest {
    /// Counts it as one of this client's, unless the client has enough.
    fn identify(&mut self, client: IpAddr, limit: usize) -> bool {
        let mut counts = self.connections.lock();
        let of_client = counts.by_client.entry(client).or_default();
        if *of_client >= limit {
            return false;
        }
        *of_client += 1;
        self.client = Some(client);
        true
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut counts = self.connections.lock();
        counts.all -= 1;
        let Some(client) = self.client else {
            return;
        };
        if let Some(count) = counts.by_client.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                counts.by_client.remove(&client);
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
        let mut guests: Vec<Guest> = (0..3).filter_map(|_| connections.enter(3)).collect();
        assert!(connections.enter(3).is_none());
        assert!(guests[0].identify(a, 2) && guests[1].identify(a, 2));
        assert!(!guests[2].identify(a, 2));
        assert!(guests[2].identify(b, 2));
        drop(guests);
        let counts = connections.lock();
        assert_eq!((counts.all, counts.by_client.len()), (0, 0));
    }
}
