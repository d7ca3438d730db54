//! The application: configuration in, running services, and a drain at the end.
//!
//! This is the only place that names a concrete store.

mod listeners;
mod return_path;
mod settings;
mod stores;
mod upkeep;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use tokio::net::{TcpListener, UnixListener};
use tokio_util::sync::CancellationToken;

use crate::config::{Addresses, Config, Loaded};
use crate::gateway::label_book::LabelBook;
use crate::gateway::listener::{self, Kind};
use crate::gateway::mint::Mint;
use crate::gateway::{Context, Drain, Settings, Workers, tls};
use crate::http::{self, AdminState, Names, Readiness};
use crate::learning::{Learner, LearnerRules};
use crate::log::SuppressionLog;
use crate::log::writer::LogOptions;
use crate::telemetry::{self, Metrics};
use listeners::Listeners;

pub use listeners::Listening;

/// A gateway that is running.
pub struct App {
    loaded: Loaded,
    context: Arc<Context>,
    readiness: Arc<Readiness>,
    listeners: Listeners,
    admin: Arc<AdminState>,
    /// Where the metrics and the probes are.
    admin_address: Option<SocketAddr>,
    /// Ends the admin API and the upkeep, which outlive the drain.
    stop: CancellationToken,
}

/// How long the log may take to reach the disk at the end.
const LOG_PATIENCE: Duration = Duration::from_secs(5);

impl App {
    /// Starts everything: reads secrets and certificates, opens the store, binds every port.
    ///
    /// A store or an upstream that does not answer does not keep the gateway from starting (S8).
    ///
    /// # Errors
    /// Says what could not be opened, read or bound, and what to do about it.
    pub async fn start(loaded: Loaded) -> anyhow::Result<Self> {
        tls::install_provider();
        warn_of(&loaded);
        let config = &loaded.config;
        let metrics = Arc::new(Metrics::default());
        create_data_dir(config)?;
        let (stores, ledger, identity) = stores::open(config)?;
        return_path::make_key(config)?;
        let settings = settings::build(
            config,
            loaded.bounce_rules()?,
            None,
            config.workers(),
            &metrics,
        )?;
        let bound = listeners::bind(config)?;
        let admin = bind_admin(config).await?;
        let log = start_log(config, &metrics)?;
        stores::establish(&stores.shared(), identity).await?;
        let workers = Workers::start(config.workers(), |runtime| stores.ledger_at(runtime, &ledger))?;

        let context = Arc::new(Context {
            learner: Arc::new(Learner::new(
                Arc::clone(&ledger),
                Arc::clone(&metrics),
                learner_rules(config),
            )),
            mint: Mint::new()?,
            labels: LabelBook::new(Arc::clone(&ledger), config.store.timeout),
            ledger,
            log,
            metrics,
            drain: Drain::new(),
            workers,
            settings: ArcSwap::from_pointee(settings),
        });
        let readiness = Arc::new(Readiness::default());
        let stop = CancellationToken::new();
        let admin_address = admin.tcp.as_ref().and_then(|tcp| tcp.local_addr().ok());
        let admin = serve_admin(config, admin, &context, &readiness, &stop);
        upkeep::start(&context, &readiness, &stop);
        let listeners = Listeners::start(bound, &context);
        Ok(Self {
            loaded,
            context,
            readiness,
            listeners,
            admin,
            admin_address,
            stop,
        })
    }

    /// Where it listens, with the ports that the system chose for port 0.
    #[must_use]
    pub fn listening(&self) -> Vec<Listening> {
        self.listeners.listening()
    }

    /// Where the metrics and the probes are, with the port that the system chose for port 0.
    #[must_use]
    pub const fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// What every listener shares.
    #[must_use]
    pub fn context(&self) -> Arc<Context> {
        Arc::clone(&self.context)
    }

    /// Reads configuration and certificates again; whatever is wrong keeps the old ones in force (C5).
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn reload(&mut self, loaded: Loaded) -> anyhow::Result<()> {
        let config = &loaded.config;
        let before = self.context.settings.load_full();
        let same_upstream = settings::same_upstream(&self.loaded.config, config);
        let upstream = same_upstream.then(|| Arc::clone(&before.upstream));
        let rules = loaded.bounce_rules()?;
        let settings = settings::build(
            config,
            rules,
            upstream,
            self.context.workers.count(),
            &self.context.metrics,
        )?;
        let added = self.listeners.bind_added(config)?;
        telemetry::reload_level(&config.trace)?;
        settings::warn_of_restart(&self.loaded.config, config);
        warn_of(&loaded);
        self.context.settings.store(Arc::new(settings));
        self.context.ledger.set_rules(config.event_rules());
        self.context.learner.set_rules(learner_rules(config));
        self.context.log.reopen();
        self.admin.names.store(Arc::new(Names::of(config)));
        self.listeners.replace(config, added, &self.context);
        self.loaded = loaded;
        Ok(())
    }

    /// The file the configuration was read from.
    #[must_use]
    pub fn loaded(&self) -> &Loaded {
        &self.loaded
    }

    /// Finishes what is in flight, takes nothing new, and ends (C2).
    pub async fn drain(self) {
        self.readiness.drain();
        let patience = self.context.settings.load().timeouts.drain;
        tracing::info!(sessions = self.context.drain.running(), "draining");
        let left = self.context.drain.finish(patience).await;
        if left > 0 {
            tracing::error!(
                sessions = left,
                "sessions still waiting for the upstream were given up"
            );
        }
        self.stop.cancel();
        // What was relayed in the last seconds counts for the brake, too.
        if let Err(error) = self.context.learner.tell_relayed().await {
            tracing::debug!(%error, "the store was not told what was relayed last");
        }
        let _ = std::fs::remove_file(&self.loaded.config.http.socket);
        let unwritten = self.context.log.clone().flush_and_close(LOG_PATIENCE).await;
        if unwritten > 0 {
            tracing::error!(
                lines = unwritten,
                "lines of the suppression log could not be written"
            );
        }
        tracing::info!("stopped");
    }
}

fn warn_of(loaded: &Loaded) {
    for warning in loaded.warnings() {
        tracing::warn!("{warning}");
    }
}

fn learner_rules(config: &Config) -> LearnerRules {
    LearnerRules {
        brake: config.brake(),
        tenants: Names::of(config).tenants.into_iter().collect(),
        hide_addresses: config.log.addresses == Addresses::Hashed,
    }
}

fn create_data_dir(config: &Config) -> anyhow::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    let directory = &config.data_dir;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .with_context(|| {
            format!(
                "cannot create the data directory {}; set data_dir to a place we may write to",
                directory.display()
            )
        })
}

fn start_log(config: &Config, metrics: &Arc<Metrics>) -> anyhow::Result<SuppressionLog> {
    let options = LogOptions {
        file: config.log.file.clone(),
        stdout: config.log.stdout,
        hashed: config.log.addresses == Addresses::Hashed,
    };
    let file = config.log.file.clone().unwrap_or_default();
    SuppressionLog::start(options, Arc::clone(metrics) as _).with_context(|| {
        format!(
            "cannot write the suppression log {}; set log.file",
            file.display()
        )
    })
}

/// The sockets of the admin API, bound before anything is served.
struct Admin {
    socket: UnixListener,
    tcp: Option<TcpListener>,
}

async fn bind_admin(config: &Config) -> anyhow::Result<Admin> {
    let path = &config.http.socket;
    let socket = http::socket::bind(path).await.with_context(|| {
        format!(
            "cannot open the admin socket {}; set http.socket",
            path.display()
        )
    })?;
    let tcp = match config.http.admin {
        Some(address) => Some(
            listener::bind(address)
                .and_then(TcpListener::from_std)
                .map_err(|error| listeners::explain(&error, &address.to_string(), "http.admin"))?,
        ),
        None => None,
    };
    Ok(Admin { socket, tcp })
}

fn serve_admin(
    config: &Config,
    admin: Admin,
    context: &Arc<Context>,
    readiness: &Arc<Readiness>,
    stop: &CancellationToken,
) -> Arc<AdminState> {
    let state = Arc::new(AdminState::new(
        config,
        Arc::clone(&context.ledger),
        Arc::clone(&context.learner),
        context.log.clone(),
        Arc::clone(readiness),
        Arc::clone(&context.metrics),
    ));
    let bounces = http::bounces::routes(Arc::clone(&state), Arc::clone(context));
    let router = http::api_router(Arc::clone(&state), bounces);
    let ended = stop.clone();
    tokio::spawn(async move {
        http::serve::serve_unix(admin.socket, router, ended.cancelled_owned()).await;
    });
    if let Some(tcp) = admin.tcp {
        let hostname = config.hostname();
        let router = http::probe_router(Arc::clone(&state), http::Hosts::new(&[&hostname]));
        let ended = stop.clone();
        if let Ok(address) = tcp.local_addr() {
            tracing::info!(%address, kind = "admin", "listening");
        }
        tokio::spawn(async move {
            http::serve::serve_tcp(tcp, router, ended.cancelled_owned()).await;
        });
    }
    state
}

/// The settings as they are now, for those who start something beside the gateway.
#[must_use]
pub fn settings_of(context: &Context) -> Arc<Settings> {
    context.settings.load_full()
}

/// What a listener is for, in messages.
const fn kind_word(kind: Kind) -> &'static str {
    match kind {
        Kind::Smtp => "smtp",
        Kind::Returns => "returns",
    }
}
