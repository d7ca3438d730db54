//! A [`Worker`] is a thread that carries sessions, with connections of its own to the store and to
//! the upstream.
//!
//! Whatever a session waits for is on its own thread: to wake another thread costs more than most of
//! the work there is to do. And a worker takes tasks up in the order in which they became ready, so
//! that the look-ups of all sessions that woke up together are one round trip (measured on one core
//! with 20 sessions: half the CPU time of Redis, and a tenth of ours, against a scheduler that lets
//! the task that was woken last go first).

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::store::ledger::Ledger;

/// Whose connections to the upstream are meant: a worker's, or those of everybody else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Home(usize);

impl Home {
    /// Whoever is no worker.
    pub const ELSEWHERE: Self = Self(0);

    /// How many homes there are with so many workers.
    #[must_use]
    pub const fn count(workers: usize) -> usize {
        workers + 1
    }

    /// The place in a list of [`Self::count`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0
    }
}

/// One thread that carries sessions.
#[derive(Debug)]
pub struct Worker {
    home: Home,
    runtime: Handle,
    ledger: Arc<Ledger>,
    sessions: AtomicUsize,
}

impl Worker {
    /// Whose connections to the upstream its sessions use.
    #[must_use]
    pub const fn home(&self) -> Home {
        self.home
    }

    /// The ledger over this worker's own connection to the store.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Where its tasks run.
    #[must_use]
    pub const fn runtime(&self) -> &Handle {
        &self.runtime
    }
}

/// A session that a worker carries, counted as long as this lives.
#[derive(Debug)]
pub(super) struct Seat {
    worker: Arc<Worker>,
}

impl Seat {
    pub(super) const fn worker(&self) -> &Arc<Worker> {
        &self.worker
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.worker.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All workers. Their threads end with it.
#[derive(Debug)]
pub struct Workers {
    all: Vec<Arc<Worker>>,
    _stop: DropGuard,
}

impl Workers {
    /// Starts `count` workers, at least one; `ledger_at` makes the ledger of one that runs there.
    ///
    /// # Errors
    /// When the system gives no thread, or the ledger cannot be made.
    pub fn start(
        count: usize,
        ledger_at: impl Fn(&Handle) -> anyhow::Result<Arc<Ledger>>,
    ) -> anyhow::Result<Self> {
        let stop = CancellationToken::new();
        let all = (1..=count.max(1))
            .map(|number| {
                let runtime = Builder::new_current_thread().enable_all().build()?;
                let worker = Worker {
                    home: Home(number),
                    ledger: ledger_at(runtime.handle())?,
                    runtime: runtime.handle().clone(),
                    sessions: AtomicUsize::new(0),
                };
                carry(runtime, number, stop.clone())?;
                Ok(Arc::new(worker))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            all,
            _stop: stop.drop_guard(),
        })
    }

    /// The worker that accepts connections.
    #[must_use]
    pub fn first(&self) -> &Arc<Worker> {
        &self.all[0]
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.all.len()
    }

    /// A seat at the worker with the fewest sessions; of several, the first.
    pub(super) fn seat(&self) -> Seat {
        let fewest = self
            .all
            .iter()
            .min_by_key(|worker| worker.sessions.load(Ordering::Relaxed))
            .unwrap_or(&self.all[0]);
        fewest.sessions.fetch_add(1, Ordering::Relaxed);
        Seat {
            worker: Arc::clone(fewest),
        }
    }
}

/// Runs a worker's tasks on a thread of their own until `stop`.
fn carry(runtime: Runtime, number: usize, stop: CancellationToken) -> io::Result<()> {
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || runtime.block_on(stop.cancelled()))?;
    Ok(())
}
