//! The [`Writer`] makes one transaction of all writes that wait, each with its own outcome.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use redb::WriteTransaction;
use tokio::sync::{mpsc, oneshot};

use super::super::{CommitOutcome, Meta, StoreError};
use super::file::DatabaseFile;
use super::{Generation, check, tables, unavailable};
use crate::timestamp::Timestamp;

/// Most writes of one transaction.
const BATCH_LIMIT: usize = 256;

/// Most writes that wait; whoever comes next waits for room.
const QUEUE_LIMIT: usize = 1024;

/// How long to wait before a file that cannot be opened again is tried again.
const REOPEN_INTERVAL: Duration = Duration::from_millis(500);

/// What may be asked of the writer.
#[derive(Debug)]
pub(super) enum Request {
    /// Compare and write.
    Commit(tables::Write),
    /// Set the store up.
    CreateMeta(Meta),
}

/// What became of a request.
#[derive(Debug)]
pub(super) enum Outcome {
    Commit(CommitOutcome),
    Meta(Meta),
}

type Answer = Result<Outcome, StoreError>;
type Waiting = (Request, oneshot::Sender<Answer>);

/// The thread that writes. Dropping it lets it finish what was accepted.
#[derive(Debug)]
pub(super) struct Writer {
    queue: Option<mpsc::Sender<Waiting>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(file: Arc<DatabaseFile>, generation: Arc<Generation>) -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(QUEUE_LIMIT);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || run(waiting, &file, &generation))?;
        Ok(Self {
            queue: Some(queue),
            thread: Some(thread),
        })
    }

    /// Waits until the request is on the disk, or was refused.
    pub(super) async fn ask(&self, request: Request) -> Answer {
        let (answer, outcome) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or_else(stopped)?;
        queue.send((request, answer)).await.map_err(|_| stopped())?;
        outcome.await.unwrap_or_else(|_| Err(stopped()))
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

fn run(mut waiting: mpsc::Receiver<Waiting>, file: &DatabaseFile, generation: &Generation) {
    let mut batch = Vec::with_capacity(BATCH_LIMIT);
    while waiting.blocking_recv_many(&mut batch, BATCH_LIMIT) > 0 {
        // Nobody waits for the outcome any more, so nobody acts on it: the event will come again.
        batch.retain(|(_, answer): &Waiting| !answer.is_closed());
        let now = Timestamp::now();
        match file.write(|transaction| write(transaction, &batch, generation, now)) {
            Ok(answers) => {
                for ((_, waiter), answer) in batch.drain(..).zip(answers) {
                    // Whoever does not wait any more does not need to know.
                    let _ = waiter.send(answer);
                }
            }
            // Not tried again: after a failed sync the file reads as if it were written, and the
            // second try would call it so (F21).
            Err(error) => {
                tracing::error!(%error, "nothing can be written");
                refuse(&mut batch, &error);
                if !recover(&mut waiting, file, &error) {
                    return;
                }
            }
        }
    }
}

fn refuse(batch: &mut Vec<Waiting>, error: &StoreError) {
    for (_, waiter) in batch.drain(..) {
        let _ = waiter.send(Err(same(error)));
    }
}

/// Opens the file again, as often as it takes; false when the store is dropped meanwhile.
fn recover(waiting: &mut mpsc::Receiver<Waiting>, file: &DatabaseFile, error: &StoreError) -> bool {
    let mut batch = Vec::new();
    while !file.reopen() {
        loop {
            match waiting.try_recv() {
                Ok(request) => batch.push(request),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => return false,
            }
        }
        refuse(&mut batch, error);
        std::thread::sleep(REOPEN_INTERVAL);
    }
    true
}

fn write(
    transaction: &WriteTransaction,
    batch: &[Waiting],
    generation: &Generation,
    now: Timestamp,
) -> Result<Vec<Answer>, redb::Error> {
    let answers = batch
        .iter()
        .map(|(request, _)| match request {
            Request::Commit(write) => commit(transaction, write, generation, now),
            Request::CreateMeta(meta) => {
                Ok(tables::create_meta(transaction, meta)?.map(Outcome::Meta))
            }
        })
        .collect::<Result<Vec<_>, _>>()?;
    // More than were added, so that what is remembered cannot grow for ever.
    tables::prune(transaction, now, 2 * batch.len() + 16)?;
    Ok(answers)
}

fn commit(
    transaction: &WriteTransaction,
    write: &tables::Write,
    generation: &Generation,
    now: Timestamp,
) -> Result<Answer, redb::Error> {
    match check(generation, tables::written_meta(transaction)?) {
        Ok(()) => Ok(tables::commit(transaction, write, now)?.map(Outcome::Commit)),
        Err(error) => Ok(Err(error)),
    }
}

/// The error for one more of those who wait.
fn same(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable(cause) => StoreError::Unavailable(cause.clone()),
        StoreError::Corrupt(cause) => StoreError::Corrupt(cause.clone()),
        StoreError::Foreign(cause) => StoreError::Foreign(cause.clone()),
    }
}

fn stopped() -> StoreError {
    unavailable("the writer of the embedded store stopped; restart the gateway")
}

/// The writer answered another question: it cannot, and if it did, nothing may be acknowledged.
pub(super) fn confused() -> StoreError {
    unavailable("the writer of the embedded store gave another kind of answer")
}
