//! The [`Writer`] makes one transaction of all writes that wait, each with its own outcome.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::super::StoreError;
use super::file::DatabaseFile;
use super::unit::Writing;
use super::{lessons, newcomers, returns, tables, unavailable};
use crate::timestamp::Timestamp;

/// Most writes of one transaction.
const BATCH_LIMIT: usize = 256;

/// Most writes that wait; whoever comes next waits for room.
const QUEUE_LIMIT: usize = 1024;

/// Rows that are [filled](super::filling) into memory at once; few in unit tests, so that it takes
/// several times. Whoever writes waits for that, some ten milliseconds, or for the disk; and when lists
/// are imported it must be more than what one transaction adds.
const PIECE: usize = if cfg!(test) { 2 } else { 4096 };

/// How long to wait before a file that cannot be opened again is tried again.
const REOPEN_INTERVAL: Duration = Duration::from_millis(500);

/// What one of those who wait wants written, and how they hear of it.
trait Job: Send {
    /// How many events it remembers, about.
    fn size(&self) -> usize;
    /// Whether nobody waits for the answer any more.
    fn is_given_up(&self) -> bool;
    /// Does the work within a transaction; an error spoils all of it.
    fn run(&mut self, transaction: &Writing<'_>, now: Timestamp) -> Result<(), redb::Error>;
    /// Tells whoever waits: the answer of the work, or why the transaction failed.
    fn answer(self: Box<Self>, failure: Option<&StoreError>);
}

/// A job with the type of its answer.
struct Typed<T, W> {
    size: usize,
    work: W,
    answer: Option<Result<T, StoreError>>,
    waiter: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Job for Typed<T, W>
where
    T: Send,
    W: FnMut(&Writing<'_>, Timestamp) -> Written<T> + Send,
{
    fn size(&self) -> usize {
        self.size
    }

    fn is_given_up(&self) -> bool {
        self.waiter.is_closed()
    }

    fn run(&mut self, transaction: &Writing<'_>, now: Timestamp) -> Result<(), redb::Error> {
        self.answer = Some((self.work)(transaction, now)?);
        Ok(())
    }

    fn answer(self: Box<Self>, failure: Option<&StoreError>) {
        let answer = match (failure, self.answer) {
            (None, Some(answer)) => answer,
            (Some(error), _) => Err(error.clone()),
            (None, None) => Err(stopped()),
        };
        // Whoever does not wait any more does not need to know.
        let _ = self.waiter.send(answer);
    }
}

/// What a write answers: the inner error is its own, the outer one spoils the transaction.
pub(super) type Written<T> = Result<Result<T, StoreError>, redb::Error>;

type Waiting = Box<dyn Job>;

/// The thread that writes. Dropping it lets it finish what was accepted.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(file: Arc<DatabaseFile>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE_LIMIT);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(waiting, &file))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Waits until the work is on the disk, or was refused; `size` is how many events it remembers.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        size: usize,
        work: impl FnMut(&Writing<'_>, Timestamp) -> Written<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (waiter, answer) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        let job = Typed {
            size,
            work,
            answer: None,
            waiter,
        };
        queue.send(Box::new(job)).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(stopped()))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // It can only have failed to stop by a panic, which was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn run(mut waiting: mpsc::Receiver<Waiting>, file: &DatabaseFile) {
    let mut batch = Vec::with_capacity(BATCH_LIMIT);
    loop {
        let is_more = file.fill(PIECE);
        if is_more && waiting.is_empty() && !waiting.is_closed() {
            continue;
        }
        if waiting.blocking_recv_many(&mut batch, BATCH_LIMIT) == 0 {
            return;
        }
        // Nobody waits for the outcome any more, so nobody acts on it: the event will come again.
        batch.retain(|job: &Waiting| !job.is_given_up());
        let now = Timestamp::now();
        match file.write(|transaction| write(transaction, &mut batch, now)) {
            Ok(()) => answer(&mut batch, None),
            // Not tried again: after a failed sync the file reads as if it were written, and the
            // second try would call it so (F21).
            Err(error) => {
                tracing::error!(%error, "nothing can be written");
                answer(&mut batch, Some(&error));
                if !recover(&mut waiting, file, &error) {
                    return;
                }
            }
        }
    }
}

fn answer(batch: &mut Vec<Waiting>, failure: Option<&StoreError>) {
    for job in batch.drain(..) {
        job.answer(failure);
    }
}

/// Opens the file again, as often as it takes; false when the store is dropped meanwhile.
fn recover(waiting: &mut mpsc::Receiver<Waiting>, file: &DatabaseFile, error: &StoreError) -> bool {
    let mut batch = Vec::new();
    while !file.reopen() {
        loop {
            match waiting.try_recv() {
                Ok(job) => batch.push(job),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        answer(&mut batch, Some(error));
        std::thread::sleep(REOPEN_INTERVAL);
    }
    true
}

fn write(
    transaction: &Writing<'_>,
    batch: &mut [Waiting],
    now: Timestamp,
) -> Result<(), redb::Error> {
    for job in &mut *batch {
        job.run(transaction, now)?;
    }
    // More than were added, so that what is remembered cannot grow for ever.
    let limit = 2 * batch.iter().map(|job| job.size()).sum::<usize>() + 16;
    newcomers::settle(transaction, limit)?;
    tables::prune(transaction, now, limit)?;
    returns::prune(transaction, now, limit)?;
    lessons::prune(transaction, now, limit)
}

fn stopped() -> StoreError {
    unavailable("the writer of the embedded store stopped; restart the gateway")
}
