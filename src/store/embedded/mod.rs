//! The [`EmbeddedStore`] keeps everything in one file, for one machine and one process.
//!
//! Reads are made where they are asked for. Writes go through one thread that gathers what waits
//! into one transaction, so that many of them share one sync of the disk.

mod file;
mod filling;
mod index;
mod lessons;
mod look_up;
mod memory;
mod newcomers;
mod recipients;
mod returns;
mod standings;
mod tables;
mod unit;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use self::file::DatabaseFile;
use self::unit::{Reading, Writing};
use self::writer::{Writer, Written};
use super::generation::{Alarm, Generation};
use super::lessons::{
    CauseId, HoldChange, HoldOutcome, Lesson, Notes, Pending, Place, RelayedBatch, Tallied, Tally,
};
use super::{
    BoxFuture, Commit, CommitOutcome, HistoryEntry, Lessons, Meta, Store, StoreError,
    TransactionId, Versioned, codec,
};
use crate::suppression::{EventId, Finding, RecipientKey, Tenant};
use crate::timestamp::Timestamp;

/// A store in one file. Dropping it finishes what was accepted and closes the file.
#[derive(Debug)]
pub struct EmbeddedStore {
    // Before the file: the writer finishes first.
    writer: Writer,
    file: Arc<DatabaseFile>,
    generation: Arc<Generation>,
    alarm: Alarm,
}

/// Why the file cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error(
        "{0} is in use by another process; stop it, or give this one a file of its own in store.url"
    )]
    InUse(PathBuf),
    /// It is damaged, or no store at all.
    #[error(
        "{path} is damaged or not a store: {cause}; restore it from a backup, or move it away to begin with an empty store"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// Another version of this program wrote it.
    #[error(
        "{0} was written by another version of this program, which keeps records in another way; run that version, or move the file away to begin with an empty store"
    )]
    Foreign(PathBuf),
    /// The system does not let us.
    #[error(
        "{path} cannot be opened: {source}; see that the folder exists, is writable and has room"
    )]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Memory for pages of the file, in octets, where nobody said how much.
pub const CACHE_LIMIT: usize = 64 * 1024 * 1024;

impl EmbeddedStore {
    /// Opens the file with the [`CACHE_LIMIT`]; see [`open_with`](Self::open_with).
    ///
    /// # Errors
    /// Says what keeps the file from being used and what to do.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_with(path, CACHE_LIMIT)
    }

    /// Opens the file, or makes it, readable for nobody else; its folder too where it is missing.
    /// Pages of it are kept in so many octets of memory.
    ///
    /// # Errors
    /// Says what keeps the file from being used and what to do.
    pub fn open_with(path: &Path, cache_limit: usize) -> Result<Self, OpenError> {
        let file = Arc::new(DatabaseFile::open(path, cache_limit)?);
        let writer = Writer::start(Arc::clone(&file)).map_err(|source| OpenError::Io {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            writer,
            file,
            generation: Arc::default(),
            alarm: Alarm::default(),
        })
    }

    fn answer<T>(
        &self,
        read: impl FnOnce(&Reading<'_>) -> Result<Result<T, StoreError>, redb::Error>,
    ) -> Result<T, StoreError> {
        self.file.read(|reading| {
            if let Err(error) = check(&self.generation, &reading.memory().meta) {
                return Ok(Err(error));
            }
            read(reading)
        })?
    }

    fn read_all(
        &self,
        tenant: &Tenant,
        keys: &[RecipientKey],
    ) -> Result<Vec<Result<Versioned, StoreError>>, StoreError> {
        self.answer(|reading| tables::read(reading, tenant, keys).map(Ok))
    }

    /// Writes, if the store is of the expected generation; on the disk when this returns. `size` is
    /// how many events it remembers.
    async fn write<T: Send + 'static>(
        &self,
        size: usize,
        mut work: impl FnMut(&Writing<'_>, Timestamp) -> Written<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let generation = Arc::clone(&self.generation);
        self.writer
            .ask(size, move |transaction, now| {
                match check(&generation, &tables::written_meta(transaction)?) {
                    Ok(()) => work(transaction, now),
                    Err(error) => Ok(Err(error)),
                }
            })
            .await
    }
}

impl Store for EmbeddedStore {
    fn look_up<'a>(
        &'a self,
        tenant: &'a Tenant,
        keys: &'a [RecipientKey],
    ) -> BoxFuture<'a, Vec<Finding>> {
        Box::pin(async move {
            let answer = self.answer(|reading| {
                let findings = look_up::look_up(reading, tenant, keys)?;
                Ok(Ok((findings, reading.has_begun())))
            });
            match answer {
                Ok((findings, was_read)) => {
                    // What memory answers says nothing about the file.
                    if was_read {
                        self.alarm.clear();
                    }
                    findings
                }
                Err(error) => {
                    if self.alarm.raise() {
                        tracing::warn!(%error, "look-ups are not answered");
                    }
                    vec![Finding::Unavailable; keys.len()]
                }
            }
        })
    }

    fn read<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
    ) -> BoxFuture<'a, Result<Versioned, StoreError>> {
        Box::pin(async move {
            let mut read = self.read_all(tenant, std::slice::from_ref(key))?;
            // There is one for each key.
            read.pop().unwrap_or_else(|| Ok(Versioned::default()))
        })
    }

    fn commit<'a>(
        &'a self,
        commit: &'a Commit<'a>,
    ) -> BoxFuture<'a, Result<CommitOutcome, StoreError>> {
        Box::pin(async move {
            let write = tables::Write::of(commit)?;
            self.write(1, move |transaction, now| {
                tables::Ledgers::open(transaction)?.commit(&write, now)
            })
            .await
        })
    }

    fn read_many<'a>(
        &'a self,
        tenant: &'a Tenant,
        keys: &'a [RecipientKey],
    ) -> BoxFuture<'a, Result<Vec<Result<Versioned, StoreError>>, StoreError>> {
        Box::pin(async move { self.read_all(tenant, keys) })
    }

    fn commit_many<'a>(
        &'a self,
        commits: &'a [Commit<'a>],
    ) -> BoxFuture<'a, Result<Vec<Result<CommitOutcome, StoreError>>, StoreError>> {
        Box::pin(async move {
            let writes: Vec<_> = commits.iter().map(tables::Write::of).collect();
            self.write(commits.len(), move |transaction, now| {
                tables::commit_many(transaction, &writes, now).map(Ok)
            })
            .await
        })
    }

    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HistoryEntry>, StoreError>> {
        Box::pin(async move {
            self.answer(|transaction| tables::history(transaction, tenant, key, limit))
        })
    }

    fn meta(&self) -> BoxFuture<'_, Result<Option<Meta>, StoreError>> {
        Box::pin(async move {
            self.file
                .read(|reading| Ok(reading.memory().meta.clone()))?
        })
    }

    fn create_meta<'a>(&'a self, meta: &'a Meta) -> BoxFuture<'a, Result<Meta, StoreError>> {
        Box::pin(async move {
            let meta = meta.clone();
            self.writer
                .ask(1, move |transaction, _| {
                    tables::create_meta(transaction, &meta)
                })
                .await
        })
    }

    fn put_sent<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a TransactionId,
        recipients: &'a [RecipientKey],
        keep: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let set = codec::encode_object(codec::encode_recipients(recipients)?)?;
            let (tenant, id) = (tenant.clone(), *id);
            let until = Timestamp::now().plus(keep);
            self.write(1, move |transaction, _| {
                returns::put_sent(transaction, &tenant, &id, &set, until)
            })
            .await
        })
    }

    fn sent<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<Vec<RecipientKey>>, StoreError>> {
        Box::pin(async move {
            let now = Timestamp::now();
            self.answer(|transaction| returns::sent(transaction, tenant, id, now))
        })
    }

    fn put_label<'a>(
        &'a self,
        tenant: &'a Tenant,
        tag: u32,
        text: &'a str,
        keep: Option<Duration>,
    ) -> BoxFuture<'a, Result<String, StoreError>> {
        Box::pin(async move {
            codec::check_label(text)?;
            let (tenant, text) = (tenant.clone(), text.to_owned());
            self.write(1, move |transaction, now| {
                let until = keep.map(|keep| now.plus(keep));
                returns::put_label(transaction, (&tenant, tag), &text, now, until)
            })
            .await
        })
    }

    fn label<'a>(
        &'a self,
        tenant: &'a Tenant,
        tag: u32,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>> {
        Box::pin(async move {
            let now = Timestamp::now();
            self.answer(|transaction| returns::label(transaction, tenant, tag, now))
        })
    }

    fn expect_generation(&self, generation: &str) {
        self.generation.expect(generation);
    }

    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        Box::pin(async move {
            // Not from memory alone: a database that failed to read or write says so.
            self.answer(|reading| reading.open_table(tables::META).map(|_| Ok(())))?;
            self.alarm.clear();
            Ok(())
        })
    }
}

impl Lessons for EmbeddedStore {
    fn is_seen<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
        event: &'a EventId,
    ) -> BoxFuture<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let now = Timestamp::now();
            self.answer(|transaction| tables::is_seen(transaction, tenant, key, event, now).map(Ok))
        })
    }

    fn note<'a>(
        &'a self,
        tenant: &'a Tenant,
        lesson: &'a Lesson,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (tenant, text) = (tenant.clone(), codec::encode_value(lesson)?);
            self.write(1, move |transaction, now| {
                lessons::note(transaction, &tenant, text.as_bytes(), now)
            })
            .await
        })
    }

    fn notes<'a>(
        &'a self,
        tenant: &'a Tenant,
        from: Place,
        limit: usize,
    ) -> BoxFuture<'a, Result<Notes, StoreError>> {
        Box::pin(async move {
            self.answer(|transaction| lessons::notes(transaction, tenant, from, limit))
        })
    }

    fn count_relayed<'a>(
        &'a self,
        relayed: &'a RelayedBatch<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let counts = lessons::Counts::of(relayed);
            self.write(1, move |transaction, _| {
                lessons::count_relayed(transaction, &counts)
            })
            .await
        })
    }

    fn tally<'a>(&'a self, tally: &'a Tally<'a>) -> BoxFuture<'a, Result<Tallied, StoreError>> {
        Box::pin(async move {
            let count = lessons::Count {
                tenant: tally.tenant.clone(),
                cause: tally.cause.clone(),
                key: *tally.key,
                provider: tally.provider.to_owned(),
                now: tally.now,
                window: tally.window,
            };
            self.write(1, move |transaction, _| lessons::tally(transaction, &count))
                .await
        })
    }

    fn holds<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Vec<Pending>, StoreError>> {
        Box::pin(async move { self.answer(|transaction| lessons::holds(transaction, tenant)) })
    }

    fn change_hold<'a>(
        &'a self,
        change: &'a HoldChange<'a>,
    ) -> BoxFuture<'a, Result<HoldOutcome, StoreError>> {
        Box::pin(async move {
            let change = lessons::Change::of(change)?;
            self.write(1, move |transaction, _| {
                lessons::change_hold(transaction, &change)
            })
            .await
        })
    }

    fn held<'a>(
        &'a self,
        tenant: &'a Tenant,
        cause: &'a CauseId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Lesson>, StoreError>> {
        Box::pin(async move {
            self.answer(|transaction| lessons::held(transaction, tenant, cause, limit))
        })
    }

    fn release<'a>(
        &'a self,
        tenant: &'a Tenant,
        cause: &'a CauseId,
        events: &'a [EventId],
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let (tenant, cause, events) = (tenant.clone(), cause.clone(), events.to_vec());
            self.write(1, move |transaction, _| {
                lessons::release(transaction, &tenant, &cause, &events)
            })
            .await
        })
    }
}

fn check(
    generation: &Generation,
    meta: &Result<Option<Meta>, StoreError>,
) -> Result<(), StoreError> {
    let meta = meta.as_ref().map_err(StoreError::clone)?;
    generation.check(meta.as_ref().map(|meta| meta.generation.as_bytes()))
}

fn unavailable(cause: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(cause.to_string())
}

#[cfg(test)]
mod tests;
