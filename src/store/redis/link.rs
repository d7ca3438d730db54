//! The [`Link`] keeps one connection to Redis that all share, and replaces it when it is no good.
//!
//! A task of its own connects, in the background and for ever, and watches: a connection on which
//! something was given up waiting is probed, and if the probe is not answered, replaced. The
//! library alone would keep the connection to a frozen server for ever (F12).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, ServerError, Value};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use super::super::StoreError;
use super::connect::{Connected, connect, probe};
use super::options::Target;

/// How long connecting may take, login and first probe included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// A probe is answered at least in this time, however short the time of a look-up is.
const PROBE_MINIMUM: Duration = Duration::from_millis(200);

/// How often a connection is probed without a suspicion: so late at most it is seen that the
/// server became a replica (F13, S2).
const PROBE_INTERVAL: Duration = Duration::from_secs(5);

/// A connection that lived for so long worked; after a shorter one we wait, as if it had failed.
const STABLE_AFTER: Duration = Duration::from_secs(5);

const BACK_OFF_FIRST: Duration = Duration::from_millis(50);
const BACK_OFF_LIMIT: Duration = Duration::from_secs(1);

/// The way to Redis. Clone-free: it lives in the store, and the task ends with it.
pub(super) struct Link {
    shared: Arc<Shared>,
    _keeper: AbortOnDropHandle<()>,
}

struct Shared {
    state: watch::Sender<State>,
    suspicion: Notify,
    rumour: Rumour,
}

/// Tells the other ways to the same server that one of them was left. What a write was told, that its
/// server is a replica now, those that only read would find out too late (S2).
#[derive(Clone, Default)]
pub(super) struct Rumour(Arc<watch::Sender<()>>);

impl fmt::Debug for Rumour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rumour(..)")
    }
}

#[derive(Clone)]
enum State {
    /// The first attempt, or a new one after the server hung up, is under way.
    Connecting,
    /// Commands can be sent.
    Up(Session),
    /// It did not work; the next attempt comes, and nobody needs to wait for it.
    Down(Arc<str>),
}

/// A connection at work.
#[derive(Clone)]
pub(super) struct Session {
    connection: MultiplexedConnection,
    number: u64,
}

impl Link {
    pub(super) fn start(
        runtime: &tokio::runtime::Handle,
        target: Target,
        timeout: Duration,
        rumour: Rumour,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State::Connecting),
            suspicion: Notify::new(),
            rumour,
        });
        let keeper = Keeper {
            target,
            shared: Arc::clone(&shared),
            probe_timeout: timeout.max(PROBE_MINIMUM),
            back_off: Duration::ZERO,
        };
        Self {
            shared,
            _keeper: AbortOnDropHandle::new(runtime.spawn(keeper.run())),
        }
    }

    /// Sends the commands in one write and waits for one reply to each; a reply may be an error.
    ///
    /// It waits as long as it takes. Whoever drops it before it is done makes the connection
    /// suspect.
    pub(super) async fn ask(&self, commands: &redis::Pipeline) -> Result<Vec<Value>, StoreError> {
        let mut session = self.session().await?;
        let mut suspect = Suspect(Some(&self.shared.suspicion));
        let count = commands.len();
        let replies = session
            .connection
            .send_packed_commands(commands, 0, count)
            .await;
        suspect.0 = None;
        match replies {
            Ok(replies) if replies.len() == count => {
                self.look_for_failover(&session, &replies);
                Ok(replies)
            }
            Ok(_) => Err(self.give_up(&session, "a reply is missing")),
            Err(error) => Err(self.give_up(&session, &describe(&error))),
        }
    }

    async fn session(&self) -> Result<Session, StoreError> {
        let mut states = self.shared.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Up(session) => return Ok(session.clone()),
                State::Down(cause) => return Err(StoreError::Unavailable(cause.to_string())),
                State::Connecting => {}
            }
            if states.changed().await.is_err() {
                return Err(StoreError::Unavailable("the store was closed".to_owned()));
            }
        }
    }

    /// After a failover, or a changed login, only a new connection finds the right server (S3).
    fn look_for_failover(&self, session: &Session, replies: &[Value]) {
        let moved = replies.iter().find_map(|reply| match reply {
            Value::ServerError(error) if wants_new_connection(error) => Some(error),
            _ => None,
        });
        if let Some(error) = moved {
            let cause: Arc<str> = describe_server(error).into();
            self.shared.leave(session, State::Down(cause));
        }
    }

    fn give_up(&self, session: &Session, cause: &str) -> StoreError {
        // Whoever asks again at once waits for the new connection instead of failing on the old one.
        self.shared.leave(session, State::Connecting);
        StoreError::Unavailable(format!("the connection to Redis failed: {cause}"))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.shared.state.borrow() {
            State::Connecting => "connecting",
            State::Up(_) => "up",
            State::Down(_) => "down",
        };
        write!(f, "Link({state})")
    }
}

impl Shared {
    /// Leaves this connection, unless it was replaced already, and wakes the keeper.
    fn leave(&self, session: &Session, next: State) {
        let left = self.state.send_if_modified(|state| match state {
            State::Up(current) if current.number == session.number => {
                *state = next;
                true
            }
            _ => false,
        });
        if left {
            self.suspicion.notify_one();
            self.rumour.0.send_replace(());
        }
    }
}

/// Tells the keeper when it is dropped before its time: somebody gave up waiting.
struct Suspect<'a>(Option<&'a Notify>);

impl Drop for Suspect<'_> {
    fn drop(&mut self) {
        if let Some(suspicion) = self.0 {
            suspicion.notify_one();
        }
    }
}

/// The task that connects and watches.
struct Keeper {
    target: Target,
    shared: Arc<Shared>,
    probe_timeout: Duration,
    back_off: Duration,
}

impl Keeper {
    async fn run(mut self) {
        let mut told = String::new();
        let mut number = 0;
        loop {
            let end = match timeout(CONNECT_TIMEOUT, connect(&self.target)).await {
                Ok(Ok(connected)) => {
                    number += 1;
                    told.clear();
                    tracing::info!(server = ?self.target, "connected to Redis");
                    self.serve(connected, number).await
                }
                Ok(Err(cause)) => End::Failed(cause),
                Err(_late) => End::Failed(format!("no answer within {CONNECT_TIMEOUT:?}")),
            };
            let cause = end.cause();
            // Once for each cause: it may go on for hours.
            if cause != told {
                tracing::warn!(server = ?self.target, cause, "Redis is not available");
                cause.clone_into(&mut told);
            }
            self.rest(&end).await;
        }
    }

    /// Lets everybody use the connection until it has to be replaced.
    async fn serve(&mut self, connected: Connected, number: u64) -> End {
        let Connected {
            connection,
            mut driver,
        } = connected;
        let since = Instant::now();
        self.shared.state.send_replace(State::Up(Session {
            connection: connection.clone(),
            number,
        }));
        let end = tokio::select! {
            _ = &mut driver => End::HungUp,
            cause = self.watch(connection) => End::Failed(cause),
        };
        if since.elapsed() >= STABLE_AFTER {
            self.back_off = Duration::ZERO;
        }
        end
    }

    async fn watch(&self, mut connection: MultiplexedConnection) -> String {
        let mut rumours = self.shared.rumour.0.subscribe();
        loop {
            // Which of the three it was makes no difference.
            tokio::select! {
                () = self.shared.suspicion.notified() => {}
                _ = rumours.changed() => {}
                () = sleep(PROBE_INTERVAL) => {}
            }
            match &*self.shared.state.borrow() {
                State::Up(_) => {}
                State::Down(cause) => return cause.to_string(),
                State::Connecting => return "a reply could not be read".to_owned(),
            }
            match timeout(self.probe_timeout, probe(&mut connection)).await {
                Ok(Ok(())) => {}
                Ok(Err(cause)) => return cause,
                Err(_late) => return format!("no answer within {:?}", self.probe_timeout),
            }
        }
    }

    /// Waits before the next attempt, longer each time, also when connecting itself works (S3).
    async fn rest(&mut self, end: &End) {
        let pause = self.back_off;
        self.back_off = (self.back_off * 2).clamp(BACK_OFF_FIRST, BACK_OFF_LIMIT);
        let next = match end {
            // A server that hung up after good service is often back in a moment: worth a wait.
            End::HungUp if pause.is_zero() => State::Connecting,
            _ => State::Down(end.cause().into()),
        };
        self.shared.state.send_replace(next);
        sleep(pause).await;
    }
}

/// Why there is no connection.
enum End {
    /// The server closed it.
    HungUp,
    /// It could not be made, or did not work.
    Failed(String),
}

impl End {
    fn cause(&self) -> &str {
        match self {
            Self::HungUp => "the server closed the connection",
            Self::Failed(cause) => cause,
        }
    }
}

/// Errors that say: this is not, or no longer, the server to talk to, or not this login.
fn wants_new_connection(error: &ServerError) -> bool {
    matches!(
        error.code(),
        "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "NOAUTH" | "WRONGPASS"
    )
}

/// What the library or the system says, without what was sent.
pub(super) fn describe(error: &RedisError) -> String {
    match error.code() {
        Some(code) => format!("{code} {}", error.detail().unwrap_or_default()),
        None => error.to_string(),
    }
}

/// What the server says; its text comes from outside, so it is cut and escaped.
pub(super) fn describe_server(error: &ServerError) -> String {
    let detail: String = error
        .details()
        .unwrap_or_default()
        .chars()
        .take(200)
        .collect();
    format!(
        "Redis says {} {}",
        error.code().escape_debug(),
        detail.escape_debug()
    )
}
