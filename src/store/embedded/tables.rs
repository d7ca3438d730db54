//! The *tables* of the embedded store, and what one transaction does to them.

use redb::{ReadTransaction, ReadableTable, Table, TableDefinition, TableError, WriteTransaction};

use super::super::codec::{self, CodecError};
use super::super::{
    Commit, CommitOutcome, HISTORY_LIMIT, HistoryEntry, Meta, StoreError, Versioned,
};
use super::{lessons, returns};
use crate::suppression::{Finding, RecipientKey, Tenant};
use crate::timestamp::Timestamp;

/// Tenant and recipient key.
pub(super) type Recipient<'a> = (&'a str, &'a [u8; 16]);
/// Tenant, recipient key and event id: the same event told of another recipient is another one.
pub(super) type Seen<'a> = (&'a str, &'a [u8; 16], &'a str);

/// Tenant, recipient key and the number of an entry.
type Entry<'a> = (&'a str, &'a [u8; 16], u64);
/// When an event is forgotten, and which: tenant, recipient key and event id.
type Expiry<'a> = (u64, &'a str, &'a [u8; 16], &'a str);

/// Values are JSON objects of fields (see [`codec`]).
pub(super) const RECORDS: TableDefinition<'_, Recipient<'_>, &[u8]> =
    TableDefinition::new("records");
/// The number in the key counts up; the newest entry has the highest.
const HISTORY: TableDefinition<'_, Entry<'_>, &[u8]> = TableDefinition::new("history");
/// Until when an event's id is remembered, in milliseconds since the epoch.
pub(super) const SEEN: TableDefinition<'_, Seen<'_>, u64> = TableDefinition::new("seen");
/// The same ids in the order in which they expire.
pub(super) const EXPIRY: TableDefinition<'_, Expiry<'_>, ()> = TableDefinition::new("expiry");
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const META_KEY: &str = "meta";

/// A commit that waits for its turn.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) tenant: Tenant,
    pub(super) key: RecipientKey,
    pub(super) expected_version: u64,
    pub(super) record: Vec<u8>,
    pub(super) entry: String,
    pub(super) event_id: String,
    pub(super) forget_at: Timestamp,
}

impl Write {
    /// The commit in the words of the tables.
    pub(super) fn of(commit: &Commit<'_>) -> Result<Self, StoreError> {
        let fields = codec::encode(commit.record, commit.expected_version.saturating_add(1))?;
        Ok(Self {
            tenant: commit.tenant.clone(),
            key: *commit.key,
            expected_version: commit.expected_version,
            record: codec::encode_object(fields)?,
            entry: codec::encode_entry(commit.entry)?,
            event_id: commit.event_id().to_string(),
            forget_at: Timestamp::now().plus(commit.remember),
        })
    }
}

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(RECORDS)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(SEEN)?;
    transaction.open_table(EXPIRY)?;
    transaction.open_table(META)?;
    returns::create(transaction)?;
    lessons::create(transaction)
}

/// What is known of each key. One that cannot be read spoils only itself (S4).
pub(super) fn look_up(
    transaction: &ReadTransaction,
    tenant: &Tenant,
    keys: &[RecipientKey],
) -> Result<Vec<Finding>, redb::Error> {
    let records = transaction.open_table(RECORDS)?;
    keys.iter()
        .map(|key| {
            let Some(value) = records.get((tenant.as_str(), key.as_bytes()))? else {
                return Ok(Finding::Clear);
            };
            Ok(match decode(value.value()) {
                Ok(read) => Finding::Known(Box::new(read.record)),
                Err(error) => {
                    tracing::error!(%tenant, %key, %error, "a record cannot be read");
                    Finding::Unavailable
                }
            })
        })
        .collect()
}

/// Records, or the empty one of version 0, in the order of the keys.
pub(super) fn read(
    transaction: &ReadTransaction,
    tenant: &Tenant,
    keys: &[RecipientKey],
) -> Result<Vec<Result<Versioned, StoreError>>, redb::Error> {
    let records = transaction.open_table(RECORDS)?;
    keys.iter()
        .map(|key| {
            Ok(match records.get((tenant.as_str(), key.as_bytes()))? {
                Some(value) => decode(value.value()).map_err(StoreError::from),
                None => Ok(Versioned::default()),
            })
        })
        .collect()
}

/// The newest entries, newest first.
pub(super) fn history(
    transaction: &ReadTransaction,
    tenant: &Tenant,
    key: &RecipientKey,
    limit: usize,
) -> Result<Result<Vec<HistoryEntry>, StoreError>, redb::Error> {
    let history = transaction.open_table(HISTORY)?;
    let (tenant, key) = (tenant.as_str(), key.as_bytes());
    let mut entries = Vec::new();
    for entry in history
        .range((tenant, key, 0)..=(tenant, key, u64::MAX))?
        .rev()
        .take(limit)
    {
        match codec::decode_entry(entry?.1.value()) {
            Ok(entry) => entries.push(entry),
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(Ok(entries))
}

/// What the store says about itself; none when it says nothing.
pub(super) fn meta(
    transaction: &ReadTransaction,
) -> Result<Result<Option<Meta>, StoreError>, redb::Error> {
    let table = match transaction.open_table(META) {
        Ok(table) => table,
        Err(TableError::TableDoesNotExist(_)) => return Ok(Ok(None)),
        Err(error) => return Err(error.into()),
    };
    Ok(table
        .get(META_KEY)?
        .map(|value| decode_meta(value.value()))
        .transpose())
}

/// The same, within a transaction that writes.
pub(super) fn written_meta(
    transaction: &WriteTransaction,
) -> Result<Result<Option<Meta>, StoreError>, redb::Error> {
    let table = transaction.open_table(META)?;
    Ok(table
        .get(META_KEY)?
        .map(|value| decode_meta(value.value()))
        .transpose())
}

/// Sets the store up, unless it is already; answers what is there then.
pub(super) fn create_meta(
    transaction: &WriteTransaction,
    meta: &Meta,
) -> Result<Result<Meta, StoreError>, redb::Error> {
    let mut table = transaction.open_table(META)?;
    if let Some(value) = table.get(META_KEY)? {
        return Ok(decode_meta(value.value()));
    }
    match serde_json::to_vec(meta) {
        Ok(value) => {
            table.insert(META_KEY, value.as_slice())?;
            Ok(Ok(meta.clone()))
        }
        Err(error) => Ok(Err(StoreError::Corrupt(error.to_string()))),
    }
}

/// The tables of one recipient, open in one transaction for any number of commits.
pub(super) struct Ledgers<'t> {
    records: Table<'t, Recipient<'static>, &'static [u8]>,
    history: Table<'t, Entry<'static>, &'static [u8]>,
    seen: Table<'t, Seen<'static>, u64>,
    expiry: Table<'t, Expiry<'static>, ()>,
}

impl<'t> Ledgers<'t> {
    pub(super) fn open(transaction: &'t WriteTransaction) -> Result<Self, redb::Error> {
        Ok(Self {
            records: transaction.open_table(RECORDS)?,
            history: transaction.open_table(HISTORY)?,
            seen: transaction.open_table(SEEN)?,
            expiry: transaction.open_table(EXPIRY)?,
        })
    }

    /// Compares and writes. The inner error is this write's own; the outer one spoils the
    /// transaction.
    pub(super) fn commit(
        &mut self,
        write: &Write,
        now: Timestamp,
    ) -> Result<Result<CommitOutcome, StoreError>, redb::Error> {
        let (tenant, key) = (write.tenant.as_str(), write.key.as_bytes());
        let mark = (tenant, key, write.event_id.as_str());
        let old_mark = self.seen.get(mark)?.map(|until| until.value());
        if old_mark.is_some_and(|until| until > now.millis()) {
            return Ok(Ok(CommitOutcome::Duplicate));
        }
        let version = match self.records.get((tenant, key))? {
            Some(value) => decode(value.value()).map(|read| read.version),
            None => Ok(0),
        };
        match version {
            Ok(version) if version == write.expected_version => {}
            Ok(_) => return Ok(Ok(CommitOutcome::Conflict)),
            Err(error) => return Ok(Err(error.into())),
        }
        self.records
            .insert((tenant, key), write.record.as_slice())?;
        let until = write.forget_at.millis();
        self.seen.insert(mark, until)?;
        if let Some(old) = old_mark {
            self.expiry.remove((old, tenant, key, mark.2))?;
        }
        self.expiry.insert((until, tenant, key, mark.2), ())?;
        self.append(tenant, key, write.entry.as_bytes())?;
        Ok(Ok(CommitOutcome::Committed))
    }

    /// Adds to the history and drops what is over the limit.
    fn append(&mut self, tenant: &str, key: &[u8; 16], entry: &[u8]) -> Result<(), redb::Error> {
        let all = (tenant, key, 0)..=(tenant, key, u64::MAX);
        let mut ends = self.history.range(all.clone())?;
        let last = ends.next_back().transpose()?.map(|(id, _)| id.value().2);
        drop(ends);
        let next = last.map_or(1, |last| last.saturating_add(1));
        self.history.insert((tenant, key, next), entry)?;
        // Numbers have no gaps, so all but the newest are below this one.
        let keep = next.saturating_sub(HISTORY_LIMIT as u64);
        if keep == 0 {
            return Ok(());
        }
        loop {
            let oldest = self
                .history
                .range(all.clone())?
                .next()
                .transpose()?
                .map(|(id, _)| id.value().2);
            match oldest {
                Some(oldest) if oldest <= keep => self.history.remove((tenant, key, oldest))?,
                _ => return Ok(()),
            };
        }
    }
}

/// Makes commits one after the other; one that cannot be made spoils only itself.
pub(super) fn commit_many(
    transaction: &WriteTransaction,
    writes: &[Result<Write, StoreError>],
    now: Timestamp,
) -> Result<Vec<Result<CommitOutcome, StoreError>>, redb::Error> {
    let mut ledgers = Ledgers::open(transaction)?;
    writes
        .iter()
        .map(|write| match write {
            Ok(write) => ledgers.commit(write, now),
            Err(error) => Ok(Err(error.clone())),
        })
        .collect()
}

/// Forgets at most `limit` events whose time is over.
pub(super) fn prune(
    transaction: &WriteTransaction,
    now: Timestamp,
    limit: usize,
) -> Result<(), redb::Error> {
    let mut seen = transaction.open_table(SEEN)?;
    let mut expiry = transaction.open_table(EXPIRY)?;
    for _ in 0..limit {
        let Some((oldest, _)) = expiry.first()? else {
            break;
        };
        let (until, tenant, key, event) = oldest.value();
        if until > now.millis() {
            break;
        }
        let (tenant, key, event) = (tenant.to_owned(), *key, event.to_owned());
        drop(oldest);
        seen.remove((tenant.as_str(), &key, event.as_str()))?;
        expiry.remove((until, tenant.as_str(), &key, event.as_str()))?;
    }
    Ok(())
}

fn decode(value: &[u8]) -> Result<Versioned, CodecError> {
    codec::decode(codec::decode_object(value)?)
}

fn decode_meta(value: &[u8]) -> Result<Meta, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Corrupt(format!("what the store says about itself: {error}")))
}
