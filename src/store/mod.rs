//! A [`Store`] remembers records. It reads, compares and sets; it decides nothing.
//!
//! The port is small on purpose: one look-up for all recipients of a batch, and one commit that
//! writes record, history and dedupe together. [`ledger::Ledger`] puts the pure rules on top of it.

mod codec;
pub mod embedded;
mod generation;
pub mod identity;
pub mod ledger;
pub mod lessons;
pub mod pepper;
pub mod redis;

#[cfg(test)]
pub(crate) mod contract;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use lessons::Lessons;

use crate::suppression::event::Effect;
use crate::suppression::{Event, EventId, Finding, RecipientKey, Record, Tenant};
use crate::timestamp::Timestamp;

/// A boxed future, so that the gateway can hold any store.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where records are kept.
///
/// Every adapter passes the same contract suite (`store/contract.rs`).
pub trait Store: Lessons + Send + Sync + fmt::Debug {
    /// Says what is known of each key, in order, in one round trip.
    ///
    /// It answers within the timeout it was opened with, counted from when it asks. It cannot fail: what the store does not answer, or answers with something that cannot be
    /// read, is [`Finding::Unavailable`] for the keys concerned (S1, S4). A store whose generation
    /// is not the one that was [expected](Self::expect_generation) answers that for every key.
    fn look_up<'a>(
        &'a self,
        tenant: &'a Tenant,
        keys: &'a [RecipientKey],
    ) -> BoxFuture<'a, Vec<Finding>>;

    /// Reads one record with its version; version 0 is a record that does not exist.
    fn read<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
    ) -> BoxFuture<'a, Result<Versioned, StoreError>>;

    /// Writes record, history entry and dedupe mark together, or nothing.
    ///
    /// When it answers [`CommitOutcome::Committed`], the write is as durable as the store makes it.
    fn commit<'a>(
        &'a self,
        commit: &'a Commit<'a>,
    ) -> BoxFuture<'a, Result<CommitOutcome, StoreError>>;

    /// Reads many records, in the order of the keys, in one round trip; one that cannot be read is an
    /// error of its own.
    fn read_many<'a>(
        &'a self,
        tenant: &'a Tenant,
        keys: &'a [RecipientKey],
    ) -> BoxFuture<'a, Result<Vec<Result<Versioned, StoreError>>, StoreError>> {
        Box::pin(async move {
            let mut read = Vec::with_capacity(keys.len());
            for key in keys {
                read.push(self.read(tenant, key).await);
            }
            Ok(read)
        })
    }

    /// Makes many commits in one round trip, each by itself: written as a whole or not at all, with an
    /// outcome of its own, as [`commit`](Self::commit) does.
    ///
    /// They are made in their order. When it fails as a whole, any of them may have been written.
    fn commit_many<'a>(
        &'a self,
        commits: &'a [Commit<'a>],
    ) -> BoxFuture<'a, Result<Vec<Result<CommitOutcome, StoreError>>, StoreError>> {
        Box::pin(async move {
            let mut outcomes = Vec::with_capacity(commits.len());
            for commit in commits {
                outcomes.push(self.commit(commit).await);
            }
            Ok(outcomes)
        })
    }

    /// The newest `limit` entries of a recipient's history, newest first.
    fn history<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<HistoryEntry>, StoreError>>;

    /// What the store says about itself; none when it was never set up, or was emptied.
    fn meta(&self) -> BoxFuture<'_, Result<Option<Meta>, StoreError>>;

    /// Sets the store up, unless somebody else did so first; answers what is there now.
    fn create_meta<'a>(&'a self, meta: &'a Meta) -> BoxFuture<'a, Result<Meta, StoreError>>;

    /// Remembers the recipients of a signed transaction for so long (B10).
    ///
    /// Durable like a commit when it returns; the same id again is overwritten.
    fn put_sent<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a TransactionId,
        recipients: &'a [RecipientKey],
        keep: Duration,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// The recipients of a signed transaction; none if it was never recorded, or too long ago.
    fn sent<'a>(
        &'a self,
        tenant: &'a Tenant,
        id: &'a TransactionId,
    ) -> BoxFuture<'a, Result<Option<Vec<RecipientKey>>, StoreError>>;

    /// Gives a tag its text unless it has one; answers the text it has now.
    ///
    /// If that is the one given, it is kept for so long from now; without a time it never expires. The
    /// same text comes always with a time, or always without.
    ///
    /// A token has room for a tag of four octets only; what it stands for (campaign, stream,
    /// credential) is kept here, once for all messages that share it.
    fn put_label<'a>(
        &'a self,
        tenant: &'a Tenant,
        tag: u32,
        text: &'a str,
        keep: Option<Duration>,
    ) -> BoxFuture<'a, Result<String, StoreError>>;

    /// The text of a tag, if it was ever given one.
    fn label<'a>(
        &'a self,
        tenant: &'a Tenant,
        tag: u32,
    ) -> BoxFuture<'a, Result<Option<String>, StoreError>>;

    /// From now on look-ups, reads and commits are answered only by a store of this generation.
    ///
    /// Before the first call nothing is expected and everything is Unavailable.
    fn expect_generation(&self, generation: &str);

    /// Whether the store answers and is of the expected generation.
    fn health(&self) -> BoxFuture<'_, Result<(), StoreError>>;
}

/// The id of a signed transaction with several recipients: 128 random bits, the subject of its token.
pub type TransactionId = [u8; 16];

/// What a store says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// The version of the layout, [`SCHEMA`].
    pub schema: u32,
    /// Shows whether the keys in it were made with our pepper.
    pub key_check: String,
    /// A random value made when the store was set up: an emptied or swapped store has another or none.
    pub generation: String,
}

/// The layout this program reads and writes.
pub const SCHEMA: u32 = 1;

/// A record with the version to compare with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Versioned {
    /// The record; empty where there is none.
    pub record: Record,
    /// Counts the commits; 0 where there is no record.
    pub version: u64,
}

/// One write: all of it or nothing.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// Whose list.
    pub tenant: &'a Tenant,
    /// Which recipient.
    pub key: &'a RecipientKey,
    /// The version that was read; another one in the store is a conflict.
    pub expected_version: u64,
    /// The record as it will be.
    pub record: &'a Record,
    /// What is added to the history.
    pub entry: &'a HistoryEntry,
    /// How long the event's id is remembered, so that it counts once.
    pub remember: Duration,
}

impl Commit<'_> {
    /// The id that makes the event count once.
    #[must_use]
    pub const fn event_id(&self) -> &EventId {
        &self.entry.event.id
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommitOutcome {
    /// It is written.
    Committed,
    /// An event of this id was committed before; nothing was written.
    Duplicate,
    /// The record has another version by now; nothing was written. Read and apply again.
    Conflict,
}

/// One line of a recipient's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryEntry {
    /// What happened.
    pub event: Event,
    /// What it did to the record.
    pub effect: Effect,
    /// Who decided on it, if it was held until somebody had looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided: Option<DecidedBy>,
}

/// Who decided on an event that was held, and why so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecidedBy {
    /// When.
    pub at: Timestamp,
    /// The operator.
    pub actor: String,
    /// How they said it: `cli` or `api`.
    pub via: String,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A write may take so many times as long as a look-up: it waits for a disk, and for others.
const WRITE_FACTOR: u32 = 10;

/// How many history entries are kept for one recipient.
pub const HISTORY_LIMIT: usize = 200;

/// Why a store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It did not answer, not in time, or not as a store of the expected generation.
    #[error("the store is not available: {0}")]
    Unavailable(String),
    /// It holds a value that cannot be read.
    #[error("the store holds a value that cannot be read: {0}")]
    Corrupt(String),
    /// It was filled with another pepper or by a newer program; waiting does not help.
    #[error("{0}")]
    Foreign(String),
}

/// Nothing more can be held; what comes is told to come again.
fn too_much_is_held() -> StoreError {
    StoreError::Unavailable(
        "too many bounces are pending; decide on them with \"sendgate pending\"".to_owned(),
    )
}
