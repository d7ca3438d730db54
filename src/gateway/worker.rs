//! A [`Worker`] is a thread that carries sessions, with connections of its own to the store and to
//! the upstream.
//!
//! Whatever a session waits for is on its own thread: to wake another thread costs more than most of
//! the work there is to do. And a worker takes tasks up in the order in which they became ready, so
//! that the look-ups of all sessions that woke up together are one round trip (measured on one core
//! with 20 sessions: half the CPU time of Redis, and a tenth of ours, against a scheduler that lets
//! the task that was woken last go first).

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};
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
                let runtime = carry(number, stop.clone())?;
                Ok(Arc::new(Worker {
                    home: Home(number),
                    ledger: ledger_at(&runtime)?,
                    runtime,
                    sessions: AtomicUsize::new(0),
                }))
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

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Arc<Worker>] {
        &self.all
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

/// Starts a thread that runs a worker's tasks until `stop`.
///
/// The runtime is made and dropped there: whoever starts the workers is inside another one, in which
/// none may be dropped.
fn carry(number: usize, stop: CancellationToken) -> io::Result<Handle> {
    let (tell, told) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name(format!("worker-{number}"))
        .spawn(move || {
            let built = Builder::new_current_thread().enable_all().build();
            let runtime = built.map_err(|error| tell.send(Err(error)));
            if let Ok(runtime) = runtime {
                let _ = tell.send(Ok(runtime.handle().clone()));
                runtime.block_on(stop.cancelled());
            }
        })?;
    told.recv()
        .unwrap_or_else(|_| Err(io::Error::other("a worker has ended")))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::embedded::EmbeddedStore;
    use crate::store::ledger::LedgerOptions;
    use crate::suppression::KeyMaker;

    fn workers(count: usize) -> (Workers, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let store = EmbeddedStore::open(&directory.path().join("store.redb")).unwrap();
        let options = LedgerOptions {
            rules: crate::config::Config::default().event_rules(),
            timeout: Duration::from_secs(1),
            remember: Duration::from_secs(1),
        };
        let ledger = Arc::new(Ledger::new(
            Arc::new(store),
            KeyMaker::new(b"pepper"),
            options,
        ));
        let workers = Workers::start(count, |_| Ok(Arc::clone(&ledger))).unwrap();
        (workers, directory)
    }

    #[test]
    fn a_session_goes_to_the_worker_with_the_fewest() {
        let (workers, _directory) = workers(3);
        let homes = |seats: &[Seat]| -> Vec<usize> {
            seats.iter().map(|seat| seat.worker.home.index()).collect()
        };
        let mut seats: Vec<Seat> = (0..4).map(|_| workers.seat()).collect();
        assert_eq!(homes(&seats), [1, 2, 3, 1]);
        drop(seats.remove(1));
        seats.push(workers.seat());
        assert_eq!(homes(&seats), [1, 3, 1, 2]);
        assert_eq!(Home::count(workers.count()), 4);
    }

    #[test]
    fn there_is_always_a_worker_and_its_tasks_run() {
        let (workers, _directory) = workers(0);
        let (say, hear) = std::sync::mpsc::channel();
        let name = async move { say.send(thread::current().name().map(str::to_owned)) };
        workers.first().runtime().spawn(async move {
            let _ = name.await;
        });
        assert_eq!(hear.recv().unwrap().as_deref(), Some("worker-1"));
    }
}
