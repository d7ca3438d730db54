//! HTTP: the admin API on a Unix socket, and the probes that may also be asked over TCP.
//!
//! The socket's file mode says who may use the API (A1). Over TCP only `/metrics`, `/livez` and
//! `/readyz` answer: nothing there tells of a recipient or changes anything.

pub mod answer;
mod api;
pub mod bounces;
mod change;
mod error;
mod guard;
mod import;
mod learning;
mod log;
mod peer;
mod probes;
pub mod serve;
pub mod socket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) use api::CLI_AGENT;
pub use guard::Hosts;
pub(crate) use import::BODY_LIMIT as IMPORT_BODY_LIMIT;
pub use import::Imports;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;

use crate::config::Config;
use crate::learning::Learner;
use crate::log::SuppressionLog;
use crate::store::ledger::Ledger;
use crate::suppression::{Stream, Tenant};
use crate::telemetry::Metrics;

/// What the handlers work with.
pub struct AdminState {
    /// The records.
    pub ledger: Arc<Ledger>,
    /// What is pending, and what can be undone.
    pub learner: Arc<Learner>,
    /// What is configured; a reload replaces it.
    pub names: ArcSwap<Names>,
    /// What is shown to those who follow the suppression log.
    pub log: SuppressionLog,
    /// Whether mail can be taken.
    pub readiness: Arc<Readiness>,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The imports that are under way.
    pub imports: Imports,
}

/// The names that a configuration gives.
#[derive(Debug)]
pub struct Names {
    /// The streams a recipient's mailability is told for.
    pub streams: BTreeMap<String, Arc<Stream>>,
    /// The tenants that are configured; others do not exist.
    pub tenants: BTreeSet<Tenant>,
}

impl Names {
    /// The names in this configuration.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let listeners = config.smtp.iter().map(|listener| listener.tenant.clone());
        let returns = config
            .returns
            .iter()
            .map(|listener| listener.tenant.clone());
        let users = config.users.values().filter_map(|user| user.tenant.clone());
        let mut tenants: BTreeSet<Tenant> = listeners.chain(returns).chain(users).collect();
        if tenants.is_empty() {
            tenants.insert(Tenant::default());
        }
        Self {
            streams: config.streams(),
            tenants,
        }
    }
}

impl AdminState {
    /// The state that follows from this configuration.
    #[must_use]
    pub fn new(
        config: &Config,
        ledger: Arc<Ledger>,
        learner: Arc<Learner>,
        log: SuppressionLog,
        readiness: Arc<Readiness>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            ledger,
            learner,
            names: ArcSwap::from_pointee(Names::of(config)),
            log,
            readiness,
            metrics,
            imports: Imports::default(),
        }
    }
}

/// Whether the gateway can take mail, as far as others than the store know.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    upstream_failing: AtomicBool,
}

impl Readiness {
    /// From now on the gateway takes nothing new.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Tells whether the last try to reach the upstream failed.
    pub fn set_upstream_failing(&self, failing: bool) {
        self.upstream_failing.store(failing, Ordering::Relaxed);
    }

    /// Whether the gateway finishes what is in flight and takes nothing new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether the last try to reach the upstream failed.
    #[must_use]
    pub fn is_upstream_failing(&self) -> bool {
        self.upstream_failing.load(Ordering::Relaxed)
    }
}

/// Everything: what the Unix socket serves, the routes of a running gateway among it.
pub fn api_router(state: Arc<AdminState>, of_gateway: Router) -> Router {
    finish(
        probes::routes()
            .merge(api::routes())
            .merge(import::routes())
            .merge(learning::routes())
            .merge(log::routes()),
        of_gateway,
        state,
    )
}

/// The probes only: what TCP serves, to those who name one of `hosts` (A2).
pub fn probe_router(state: Arc<AdminState>, hosts: Hosts) -> Router {
    finish(probes::routes(), Router::new(), state).layer(middleware::from_fn_with_state(
        Arc::new(hosts),
        guard::known_host,
    ))
}

fn finish(routes: Router<Arc<AdminState>>, further: Router, state: Arc<AdminState>) -> Router {
    routes
        .with_state(state)
        .merge(further)
        .fallback(error::no_such_path)
        .method_not_allowed_fallback(error::no_such_method)
        .layer(middleware::from_fn(guard::no_browser))
        .layer(middleware::from_fn(guard::in_time))
}

#[cfg(test)]
mod tests;
