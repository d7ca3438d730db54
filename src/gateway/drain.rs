//! To drain is to finish what is in flight and to take nothing new (C2).

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
            begun: Box::pin(begun.cancelled_owned()),
            over: Box::pin(over.cancelled_owned()),
        }
    }
}

/// The two signals as one task sees them.
pub(super) struct Signals {
    pub(super) begun: std::pin::Pin<Box<WaitForCancellationFutureOwned>>,
    pub(super) over: std::pin::Pin<Box<WaitForCancellationFutureOwned>>,
}
