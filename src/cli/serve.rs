//! `sendgate serve`: the gateway, until a signal ends it.

use std::path::PathBuf;

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::app::App;
use crate::config::{self, Config, Loaded};

/// Runs the gateway until SIGTERM or SIGINT; SIGHUP reads configuration and certificates again.
///
/// `explicit` is the file named on the command line, which a reload reads again.
///
/// # Errors
/// Says why the gateway could not start.
pub async fn run(loaded: Loaded, explicit: Option<PathBuf>) -> anyhow::Result<()> {
    let mut signals = Signals::new()?;
    match &loaded.file {
        Some(file) => tracing::info!(file = %file.display(), "configuration read"),
        None => tracing::info!("no configuration file: the built-in defaults hold"),
    }
    let mut app = App::start(loaded).await?;
    tracing::info!("ready");
    loop {
        tokio::select! {
            _ = signals.hang_up.recv() => reload(&mut app, explicit.as_ref()),
            _ = signals.terminate.recv() => break,
            _ = signals.interrupt.recv() => break,
        }
    }
    // SIGTERM may come twice by itself; only a second Ctrl-C means that nobody wants to wait.
    tokio::select! {
        () = app.drain() => {}
        _ = signals.interrupt.recv() => tracing::warn!("a second signal: stopping at once"),
    }
    Ok(())
}

struct Signals {
    hang_up: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            hang_up: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// Whatever is wrong with the new configuration, the old one stays in force (C5).
fn reload(app: &mut App, explicit: Option<&PathBuf>) {
    let loaded = match Config::load(explicit.map(PathBuf::as_path), config::environment()) {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(
                "the configuration was not reloaded; the old one stays in force:\n{error}"
            );
            return;
        }
    };
    match app.reload(loaded) {
        Ok(()) => tracing::info!("configuration reloaded"),
        Err(error) => {
            tracing::error!(
                "the configuration was not reloaded; the old one stays in force: {error:#}"
            );
        }
    }
}
