//! Listeners as the configuration wants them: bound before anything is served, replaced on a reload.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::kind_word;
use crate::config::Config;
use crate::gateway::Context;
use crate::gateway::listener::{self, Kind};

/// A listener that is bound and not served yet.
pub(super) struct Bound {
    kind: Kind,
    configured: SocketAddr,
    listener: TcpListener,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listening {
    /// What it is for.
    pub kind: Kind,
    /// The address as configured.
    pub configured: SocketAddr,
    /// The address it has.
    pub address: SocketAddr,
}

/// The listeners that are served.
pub(super) struct Listeners {
    running: HashMap<(SocketAddr, &'static str), Running>,
}

struct Running {
    listening: Listening,
    stop: CancellationToken,
}

/// Every listener of a configuration.
fn wanted(config: &Config) -> Vec<(Kind, SocketAddr, &'static str)> {
    let smtp = config
        .smtp
        .iter()
        .map(|one| (Kind::Smtp, one.listen, "smtp.listen"));
    let returns = config
        .returns
        .iter()
        .map(|one| (Kind::Returns, one.listen, "returns.listen"));
    smtp.chain(returns).collect()
}

/// Binds every listener, or none.
pub(super) fn bind(config: &Config) -> anyhow::Result<Vec<Bound>> {
    wanted(config)
        .into_iter()
        .map(|(kind, configured, key)| bind_one(kind, configured, key))
        .collect()
}

fn bind_one(kind: Kind, configured: SocketAddr, key: &str) -> anyhow::Result<Bound> {
    match listener::bind(configured) {
        Ok(listener) => Ok(Bound {
            kind,
            configured,
            listener,
        }),
        Err(error) => Err(explain(&error, &configured.to_string(), key)),
    }
}

/// Says what to do about an address that cannot be bound.
pub(super) fn explain(error: &io::Error, address: &str, key: &str) -> anyhow::Error {
    let advice = match error.kind() {
        io::ErrorKind::AddrInUse => "another program listens there; stop it or choose another port",
        io::ErrorKind::PermissionDenied => {
            "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one or grant it"
        }
        io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
        _ => "choose another address",
    };
    anyhow::anyhow!("cannot listen on {address} ({key}): {error}; {advice}")
}

impl Listeners {
    pub(super) fn start(bound: Vec<Bound>, context: &Arc<Context>) -> Self {
        let mut listeners = Self {
            running: HashMap::new(),
        };
        for one in bound {
            listeners.serve(one, context);
        }
        listeners
    }

    pub(super) fn listening(&self) -> Vec<Listening> {
        let mut all: Vec<_> = self
            .running
            .values()
            .map(|one| one.listening.clone())
            .collect();
        all.sort_by_key(|one| (kind_word(one.kind), one.address));
        all
    }

    /// Binds the listeners that a new configuration adds.
    pub(super) fn bind_added(&self, config: &Config) -> anyhow::Result<Vec<Bound>> {
        wanted(config)
            .into_iter()
            .filter(|(kind, configured, _)| {
                !self.running.contains_key(&(*configured, kind_word(*kind)))
            })
            .map(|(kind, configured, key)| bind_one(kind, configured, key))
            .collect()
    }

    /// Serves the added listeners and stops those that the configuration no longer has. Their
    /// sessions go on.
    pub(super) fn replace(&mut self, config: &Config, added: Vec<Bound>, context: &Arc<Context>) {
        let wanted: Vec<_> = wanted(config)
            .into_iter()
            .map(|(kind, configured, _)| (configured, kind_word(kind)))
            .collect();
        self.running.retain(|key, running| {
            let stays = wanted.contains(key);
            if !stays {
                running.stop.cancel();
                tracing::info!(address = %running.listening.address, kind = key.1, "no longer listening");
            }
            stays
        });
        for one in added {
            self.serve(one, context);
        }
    }

    fn serve(&mut self, bound: Bound, context: &Arc<Context>) {
        let Bound {
            kind,
            configured,
            listener,
        } = bound;
        let address = listener.local_addr().unwrap_or(configured);
        tracing::info!(%address, %configured, kind = kind_word(kind), "listening");
        let stop = CancellationToken::new();
        let name: Arc<str> = configured.to_string().into();
        let serve = listener::serve(listener, kind, name, Arc::clone(context), stop.clone());
        match kind {
            Kind::Smtp => context.workers.first().runtime().spawn(serve),
            // Reading reports takes time that no session should wait for.
            Kind::Returns => tokio::spawn(serve),
        };
        let listening = Listening {
            kind,
            configured,
            address,
        };
        self.running
            .insert((configured, kind_word(kind)), Running { listening, stop });
    }
}
