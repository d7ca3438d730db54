//! The [`Ledger`] puts the pure rules on a [`Store`]: it looks up, and it records events.
//!
//! The store reads, compares and sets; [`Event::apply`] decides. Between the two stands only the
//! rule that a write on a version that is no longer current is thought over again.

mod bulk;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};

pub use self::bulk::{Guess, RecordedMany};

use super::{
    Commit, CommitOutcome, DecidedBy, HistoryEntry, Lessons, Store, StoreError, TransactionId,
    Versioned, WRITE_FACTOR,
};
use crate::mail::Address;
use crate::suppression::event::{Applied, Effect};
use crate::suppression::{Event, EventRules, Finding, KeyMaker, RecipientKey, Record, Tenant};

/// How often a write is tried while others write the same record.
///
/// At least one writer wins each round, so this many may write one record at once.
const CONFLICT_LIMIT: u32 = 64;

/// Answers what is known of a recipient and records what happens to them.
#[derive(Debug)]
pub struct Ledger {
    store: Arc<dyn Store>,
    keys: KeyMaker,
    rules: Arc<ArcSwap<EventRules>>,
    timeout: Duration,
    remember: Duration,
    /// Room for bulks at the store.
    bulks: Arc<Semaphore>,
}

/// How a ledger works.
#[derive(Debug, Clone)]
pub struct LedgerOptions {
    /// What events do to records.
    pub rules: EventRules,
    /// How long a look-up may take before it counts as not answered; a write may take ten times that.
    pub timeout: Duration,
    /// How long an event's id is remembered, so that it counts once (B4).
    pub remember: Duration,
}

/// What became of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// The record as it is now.
    pub record: Record,
    /// What the event did; none when it was recorded before and nothing was written.
    pub effect: Option<Effect>,
}

impl Ledger {
    /// A ledger over this store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, keys: KeyMaker, options: LedgerOptions) -> Self {
        Self {
            store,
            keys,
            rules: Arc::new(ArcSwap::from_pointee(options.rules)),
            timeout: options.timeout,
            remember: options.remember,
            bulks: Arc::new(Semaphore::new(bulk::AT_ONCE)),
        }
    }

    /// The same ledger by another way to the same store: rules that are changed are changed for both.
    #[must_use]
    pub fn by_way_of(&self, store: Arc<dyn Store>) -> Self {
        Self {
            store,
            keys: self.keys.clone(),
            rules: Arc::clone(&self.rules),
            bulks: Arc::clone(&self.bulks),
            timeout: self.timeout,
            remember: self.remember,
        }
    }

    /// The key under which the recipient is known.
    #[must_use]
    pub fn key(&self, tenant: &Tenant, address: &Address) -> RecipientKey {
        self.keys.key(tenant, address)
    }

    /// Says what is known of each key, in order, within the timeout.
    ///
    /// It never fails: a key for which no answer came is [`Finding::Unavailable`] (S1). When
    /// nothing at all was answered and there is time left, it asks once more.
    pub async fn look_up(&self, tenant: &Tenant, keys: &[RecipientKey]) -> Vec<Finding> {
        if keys.is_empty() {
            return Vec::new();
        }
        let begun = Instant::now();
        // The store keeps the timeout, from when it really asks. Where hundreds of sessions share a
        // thread, the answer may be there before the thread has come round to it.
        let deadline = begun + self.timeout * 2;
        for _attempt in 0..2 {
            match timeout_at(deadline, self.store.look_up(tenant, keys)).await {
                Ok(findings) if is_answer(&findings, keys) => return findings,
                Ok(_) if begun.elapsed() < self.timeout => {}
                Ok(_) | Err(_) => break,
            }
        }
        vec![Finding::Unavailable; keys.len()]
    }

    /// Reads one record; version 0 is a record that does not exist.
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn read(&self, tenant: &Tenant, key: &RecipientKey) -> Result<Versioned, StoreError> {
        self.in_time(self.store.read(tenant, key)).await
    }

    /// Records an event: once, however often it is told, and durable when this returns.
    ///
    /// Events that change nothing are kept in the history all the same. Texts of the event are cut
    /// to [`TEXT_LIMIT`](crate::suppression::event::TEXT_LIMIT).
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read. The event
    /// may have been recorded nevertheless; telling it again is safe (S7).
    pub async fn record(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        event: Event,
    ) -> Result<Recorded, StoreError> {
        let rules = self.rules.load_full();
        let apply = |event: &Event, record: &Record| event.apply(record, &rules);
        self.in_time(self.commit_with(tenant, key, entry_of(event, None), apply))
            .await
    }

    /// The newest `limit` entries of a recipient's history, newest first.
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn history(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        limit: usize,
    ) -> Result<Vec<HistoryEntry>, StoreError> {
        self.in_time(self.store.history(tenant, key, limit)).await
    }

    /// Remembers the recipients of a signed transaction for so long; durable when this returns (B10).
    ///
    /// # Errors
    /// When the store does not answer in time. They may have been kept nevertheless.
    pub async fn put_sent(
        &self,
        tenant: &Tenant,
        id: &TransactionId,
        recipients: &[RecipientKey],
        keep: Duration,
    ) -> Result<(), StoreError> {
        self.in_time(self.store.put_sent(tenant, id, recipients, keep))
            .await
    }

    /// The recipients of a signed transaction; none if it was never recorded, or too long ago.
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn sent(
        &self,
        tenant: &Tenant,
        id: &TransactionId,
    ) -> Result<Option<Vec<RecipientKey>>, StoreError> {
        self.in_time(self.store.sent(tenant, id)).await
    }

    /// Gives a tag its text unless it has one; answers the text it has now. See [`Store::put_label`].
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn put_label(
        &self,
        tenant: &Tenant,
        tag: u32,
        text: &str,
        keep: Option<Duration>,
    ) -> Result<String, StoreError> {
        self.in_time(self.store.put_label(tenant, tag, text, keep))
            .await
    }

    /// The text of a tag, if it was ever given one.
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn label(&self, tenant: &Tenant, tag: u32) -> Result<Option<String>, StoreError> {
        self.in_time(self.store.label(tenant, tag)).await
    }

    /// How long the ids of events are remembered; what is older may count again.
    #[must_use]
    pub const fn remember(&self) -> Duration {
        self.remember
    }

    /// Whether the store answers and is the one we know.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn health(&self) -> Result<(), StoreError> {
        self.in_time(self.store.health()).await
    }

    /// What an event would do to a record, by the rules of now.
    #[must_use]
    pub fn preview(&self, event: &Event, record: &Record) -> Applied {
        event.apply(record, &self.rules.load())
    }

    /// Records an event that was held, as [`record`](Self::record) does; the history tells who
    /// decided so.
    ///
    /// # Errors
    /// As [`record`](Self::record).
    pub async fn accept_event(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        event: Event,
        by: DecidedBy,
    ) -> Result<Recorded, StoreError> {
        let rules = self.rules.load_full();
        let apply = |event: &Event, record: &Record| event.apply(record, &rules);
        self.in_time(self.commit_with(tenant, key, entry_of(event, Some(by)), apply))
            .await
    }

    /// Remembers an event that is not to count: the record stays, the history tells of it and who
    /// decided so, and its id counts no more (B4).
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn drop_event(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        event: Event,
        by: DecidedBy,
    ) -> Result<Recorded, StoreError> {
        let leave = |_: &Event, record: &Record| Applied {
            record: record.clone(),
            effect: Effect::Dropped,
        };
        self.in_time(self.commit_with(tenant, key, entry_of(event, Some(by)), leave))
            .await
    }

    /// What the store keeps of lessons, to be asked [within the time](Self::in_time).
    pub(crate) fn lessons(&self) -> &dyn Lessons {
        self.store.as_ref()
    }

    /// From now on events are applied by these rules.
    pub fn set_rules(&self, rules: EventRules) {
        self.rules.store(Arc::new(rules));
    }

    async fn commit_with(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        mut entry: HistoryEntry,
        apply: impl Fn(&Event, &Record) -> Applied,
    ) -> Result<Recorded, StoreError> {
        for _attempt in 0..CONFLICT_LIMIT {
            let read = self.store.read(tenant, key).await?;
            let applied = apply(&entry.event, &read.record);
            entry.effect = applied.effect;
            let commit = Commit {
                tenant,
                key,
                expected_version: read.version,
                record: &applied.record,
                entry: &entry,
                remember: self.remember,
            };
            match self.store.commit(&commit).await? {
                CommitOutcome::Committed => {
                    return Ok(Recorded {
                        record: applied.record,
                        effect: Some(applied.effect),
                    });
                }
                CommitOutcome::Duplicate => {
                    return Ok(Recorded {
                        record: read.record,
                        effect: None,
                    });
                }
                // Let whoever won go on before we read again.
                CommitOutcome::Conflict => tokio::task::yield_now().await,
            }
        }
        Err(StoreError::Unavailable(format!(
            "the record of {key} is written by too many at once, try again"
        )))
    }

    /// Waits for a write, or a read that is no look-up, as long as one may take.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let deadline = Instant::now() + self.timeout.saturating_mul(WRITE_FACTOR);
        timeout_at(deadline, work)
            .await
            .unwrap_or_else(|_late| Err(StoreError::Unavailable("no answer in time".to_owned())))
    }
}

/// The entry of the history that will tell of this event; its effect is not known yet.
fn entry_of(event: Event, decided: Option<DecidedBy>) -> HistoryEntry {
    HistoryEntry {
        event: event.clipped(),
        effect: Effect::AlreadySo,
        decided,
    }
}

fn is_answer(findings: &[Finding], keys: &[RecipientKey]) -> bool {
    findings.len() == keys.len()
        && findings
            .iter()
            .any(|finding| !matches!(finding, Finding::Unavailable))
}

#[cfg(test)]
mod tests;
