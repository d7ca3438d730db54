//! The [`Upstream`] is the smarthost: how to reach it, what it offers, and the connections kept to it.

mod connect;
mod connection;
mod lockstep;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use parking::Idle;
use secrecy::SecretString;
use tokio_rustls::TlsConnector;

use super::buffers;
use super::tls::{self, TlsError};
use super::worker::Home;
use crate::config::{Security, UpstreamUrl};
use crate::smtp::{Extensions, Reply};
use crate::telemetry::Metrics;
use crate::transaction::answers;

pub(super) use connection::{Connection, Lost};

mod parking;

/// How the upstream is reached and used.
#[derive(Debug, Clone)]
pub struct UpstreamOptions {
    /// Where it is.
    pub url: UpstreamUrl,
    /// User and password, where it wants them.
    pub credentials: Option<(String, SecretString)>,
    /// The authorities that are believed instead of the machine's own.
    pub ca_file: Option<std::path::PathBuf>,
    /// What we call ourselves in EHLO.
    pub hostname: String,
    /// Most idle connections kept.
    pub idle_connections: usize,
    /// How many workers there are, each with kept connections of its own.
    pub workers: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Longest reply in octets.
    pub reply_limit: usize,
    /// Every wait.
    pub timeouts: UpstreamTimeouts,
}

/// How long the upstream may take (W12).
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// To connect and greet.
    pub connect: Duration,
    /// For EHLO, RSET, MAIL and RCPT.
    pub command: Duration,
    /// For DATA.
    pub data: Duration,
    /// To take a block of data.
    pub block: Duration,
    /// For the end of the data.
    pub final_reply: Duration,
}

/// The smarthost.
pub struct Upstream {
    options: UpstreamOptions,
    connector: TlsConnector,
    /// What its last EHLO offered; none before the first connection.
    extensions: ArcSwapOption<Extensions>,
    /// The kept connections of each [`Home`].
    idle: Vec<Idle>,
    /// Whether the last try to connect failed.
    failing: AtomicBool,
    /// Held by whoever asks the upstream what it offers.
    probing: tokio::sync::Mutex<()>,
    metrics: Arc<Metrics>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// Nobody listens, nobody answers, or not in time.
    #[error("cannot reach {address}: {cause}; is the smarthost up, and is upstream.url right?")]
    Unreachable {
        /// Where we tried.
        address: String,
        /// What went wrong.
        cause: String,
    },
    /// It answers, and refuses our EHLO, TLS or AUTH (R5).
    #[error(
        "{address} refuses us at {step}: {cause}; check hostname, upstream.url and upstream.user, and what the smarthost's log says"
    )]
    Refused {
        /// Where we tried.
        address: String,
        /// At which step.
        step: &'static str,
        /// What it said.
        cause: String,
    },
}

impl ConnectError {
    /// What the client hears; the cause is for the operator's log only.
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::Unreachable { .. } => answers::upstream_unreachable(),
            Self::Refused { .. } => answers::upstream_misconfigured(),
        }
    }

    const fn why(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
        }
    }
}

impl Upstream {
    /// An upstream that is not connected to yet.
    ///
    /// # Errors
    /// When the certificate authorities cannot be read.
    pub fn new(options: UpstreamOptions, metrics: Arc<Metrics>) -> Result<Self, TlsError> {
        let connector = match options.url.security {
            Security::Opportunistic if options.ca_file.is_none() => tls::opportunistic_connector(),
            _ => tls::verifying_connector(options.ca_file.as_deref())?,
        };
        let share = options.idle_connections.div_ceil(options.workers.max(1));
        let idle = std::iter::repeat_with(|| Idle::new(share, options.idle_timeout))
            .take(Home::count(options.workers))
            .collect();
        Ok(Self {
            options,
            connector,
            extensions: ArcSwapOption::empty(),
            idle,
            failing: AtomicBool::new(false),
            probing: tokio::sync::Mutex::new(()),
            metrics,
        })
    }

    /// What the upstream offers, as of its last EHLO; none if it was never reached.
    #[must_use]
    pub fn known_extensions(&self) -> Option<Extensions> {
        self.extensions.load().as_deref().copied()
    }

    /// What the upstream offers; connects to find out if nobody has yet.
    ///
    /// A smarthost that is down leaves us with what every server can do, after a short wait; while it
    /// is known to be down there is no wait, because the upkeep keeps trying.
    ///
    /// `home` is the caller's, which keeps the connection.
    pub async fn extensions(&self, home: Home) -> Option<Extensions> {
        if let Some(known) = self.known_extensions() {
            return Some(known);
        }
        if !self.is_failing() {
            let _ = tokio::time::timeout(PROBE_PATIENCE, self.probe(home)).await;
        }
        self.known_extensions()
    }

    /// Connects once and keeps the connection at `home`, if nobody knows yet what the upstream offers or the
    /// last try failed. Those who ask at the same time wait for the same answer.
    pub async fn probe(&self, home: Home) {
        let _one_at_a_time = self.probing.lock().await;
        if self.known_extensions().is_some() && !self.is_failing() {
            return;
        }
        if let Ok(connection) = self.connect().await {
            self.give_back(home, connection);
        }
    }

    /// A connection for the next transaction: one kept there, or a new one.
    pub(super) async fn take(&self, home: Home) -> Result<Connection, ConnectError> {
        match self.kept_at(home).and_then(Idle::take) {
            Some(connection) => Ok(connection),
            None => self.connect().await,
        }
    }

    /// A new connection.
    pub(super) async fn connect(&self) -> Result<Connection, ConnectError> {
        let deadline = self.options.timeouts.connect;
        // Boxed: it needs five kilobytes, which every session would carry about and move all the time.
        let connecting = Box::pin(connect::connect(&self.options, &self.connector));
        let connected = match tokio::time::timeout(deadline, connecting).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::Unreachable {
                address: self.address(),
                cause: format!("no answer within {deadline:?}"),
            }),
        };
        let was_failing = self.failing.swap(connected.is_err(), Ordering::Relaxed);
        match connected {
            Ok(connection) => {
                if was_failing {
                    tracing::info!(upstream = self.address(), "the upstream answers again");
                }
                self.metrics.upstream_connected();
                self.extensions.store(Some(Arc::new(connection.extensions)));
                Ok(connection)
            }
            Err(error) => {
                self.metrics.upstream_failed(error.why());
                // Once for each outage: it may go on for hours, and every message asks again.
                if was_failing {
                    tracing::debug!(%error, "upstream connection failed");
                } else {
                    tracing::warn!(%error, "upstream connection failed");
                }
                Err(error)
            }
        }
    }

    /// Keeps a connection that is in step for the next transaction; drops any other (R12).
    pub(super) fn give_back(&self, home: Home, mut connection: Connection) {
        if let Some(idle) = self.kept_at(home).filter(|_| connection.is_in_step()) {
            connection.needs_reset = true;
            buffers::give_back(connection.client.output());
            connection.idle_since = Instant::now();
            idle.put(connection);
        }
    }

    fn kept_at(&self, home: Home) -> Option<&Idle> {
        self.idle.get(home.index())
    }

    /// Closes the connections that were idle for too long.
    pub fn close_idle(&self) {
        let kept: usize = self.idle.iter().map(Idle::prune).sum();
        // Each home may keep its share, and the shares together a few more than are allowed.
        let over = kept.saturating_sub(self.options.idle_connections);
        let closed = self
            .idle
            .iter()
            .fold(0, |closed, idle| closed + idle.close(over - closed));
        let kept = i64::try_from(kept - closed).unwrap_or(i64::MAX);
        self.metrics.upstream_idle(kept);
    }

    /// Whether the last try to connect failed.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Host and port, for messages to the operator.
    #[must_use]
    pub fn address(&self) -> String {
        connect::address(&self.options.url)
    }

    pub(super) const fn timeouts(&self) -> &UpstreamTimeouts {
        &self.options.timeouts
    }
}

/// How long an EHLO waits for the upstream's first one.
const PROBE_PATIENCE: Duration = Duration::from_secs(2);
