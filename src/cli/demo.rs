//! `sendgate demo`: a gateway, a smarthost and a campaign in one process, told as it happens.

mod lines;
mod next;
mod screen;
mod story;

use anyhow::anyhow;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::demo::{Stage, recipients};
use screen::{ReaderGone, Screen};

/// Shows what the gateway does with a campaign before and after its bounces came back.
///
/// With `once` it ends after the second pass. Otherwise gateway and smarthost stay up, to be looked
/// at, until SIGINT or SIGTERM. Everything it wrote is removed in the end.
///
/// # Errors
/// When something could not be started, or the gateway did not do what the demo is there to show.
pub async fn run(once: bool) -> anyhow::Result<()> {
    let screen = Screen::of_stdout();
    let mut signals = Signals::new()?;
    let recipients = recipients();
    let stage = Stage::set_up(&recipients).await?;
    let told = tokio::select! {
        told = Box::pin(story::tell(&stage, &recipients, &screen)) => told,
        () = signals.any() => Err(anyhow!("interrupted before the second pass was over")),
    };
    let result = match told {
        Ok(()) => stay(&stage, &screen, &mut signals, once).await,
        Err(error) => Err(error),
    };
    tokio::select! {
        () = stage.take_down() => {}
        // Dropping the stage removes the directory as well.
        () = signals.any() => tracing::warn!("a second signal: stopping at once"),
    }
    match result {
        // Whoever reads has seen enough (`| head`).
        Err(error) if error.is::<ReaderGone>() => Ok(()),
        other => other,
    }
}

/// Says where to look next and, unless it is to end, waits for a signal.
async fn stay(
    stage: &Stage,
    screen: &Screen,
    signals: &mut Signals,
    once: bool,
) -> anyhow::Result<()> {
    if once {
        return screen.say(&next::after_the_end());
    }
    screen.say(&next::while_it_runs(stage))?;
    signals.any().await;
    screen.say("\nStopping; the demo's directory is removed.\n")
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
