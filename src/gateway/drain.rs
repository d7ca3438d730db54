//! To drain is to finish what is in flight and to take nothing new (C2).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::Context;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::TaskTracker;

/// Tells every task to stop, in two steps, and waits for them.
#[derive(Debug, Clone, Default)]
pub struct Drain {
    /// Step one: no new connections; idle sessions end, messages in flight go on.
    begun: CancellationToken,
    /// Step two: sessions that still wait for their client end too. Whoever waits for the upstream's
    /// answer to an end-of-data gets as much time again: that answer should reach the client.
    over: CancellationToken,
    tasks: TaskTracker,
    /// A [`Stage`]; set before the token of that stage is cancelled.
    stage: Arc<AtomicU8>,
}

impl Drain {
    /// A drain that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Resolves when it begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Runs a task that the drain waits for.
    pub fn spawn<F>(&self, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn(task);
    }

    /// Runs a task that the drain waits for on another runtime.
    pub(super) fn spawn_on<F>(&self, task: F, runtime: &Handle)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.spawn_on(task, runtime);
    }

    /// How many tasks are running.
    #[must_use]
    pub fn running(&self) -> usize {
        self.tasks.len()
    }

    /// Begins, waits for the tasks, and after `patience` ends what only waits for a client.
    ///
    /// Answers how many tasks were still waiting for the upstream after twice the patience.
    pub async fn finish(&self, patience: Duration) -> usize {
        self.enter(Stage::Begun);
        self.begun.cancel();
        self.tasks.close();
        if tokio::time::timeout(patience, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(
                sessions = self.tasks.len(),
                "drain timeout: clients that are still sending are cut off"
            );
            self.enter(Stage::Over);
            self.over.cancel();
            let _ = tokio::time::timeout(patience, self.tasks.wait()).await;
        }
        self.tasks.len()
    }

    /// The two signals as one task sees them. Each task has its own, so that no lock is shared.
    pub(super) fn signals(&self) -> Signals {
        let begun = self.begun.child_token();
        let over = self.over.child_token();
        Signals {
            stage: Arc::clone(&self.stage),
            begun: Box::pin(begun.cancelled_owned()),
            over: Box::pin(over.cancelled_owned()),
            registered: false,
        }
    }

    fn enter(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
    }
}

/// How far the drain is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// It has not begun.
    None,
    /// Idle sessions end.
    Begun,
    /// All sessions end that wait for their client.
    Over,
}

/// The two signals as one task sees them.
pub(super) struct Signals {
    /// What the signals wake the task for: to look at it costs one load, at every wait, and to ask
    /// the two tokens takes a lock each.
    stage: Arc<AtomicU8>,
    begun: Pin<Box<WaitForCancellationFutureOwned>>,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
    /// Whether the tokens know the task. They wake it for each stage once, and it is always the same
    /// task that waits.
    registered: bool,
}

impl Signals {
    /// How far the drain is; the task that asked is woken when that changes.
    pub(super) fn poll_stage(&mut self, context: &mut Context<'_>) -> Stage {
        if !self.registered {
            self.registered = true;
            for token in [&mut self.begun, &mut self.over] {
                // One that has fired already has set the stage before.
                let _ = token.as_mut().poll(context);
            }
        }
        match self.stage.load(Ordering::Acquire) {
            0 => Stage::None,
            1 => Stage::Begun,
            _ => Stage::Over,
        }
    }
}
