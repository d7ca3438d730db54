//! The *tables* of the embedded store, and what one transaction does to them.

use std::ops::RangeInclusive;

use redb::{
    ReadTransaction, ReadableDatabase, ReadableTable, Table, TableDefinition, TableError,
    WriteTransaction,
};

use super::super::codec;
use super::super::{
    Commit, CommitOutcome, HISTORY_LIMIT, HistoryEntry, Meta, StoreError, Versioned,
};
use super::recipients::{self, Known, Register};
use super::unit::{Reading, Writing};
use super::{lessons, newcomers, returns};
use crate::suppression::{EventId, RecipientKey, Standing, Tenant};
use crate::timestamp::Timestamp;

/// Which of the layouts of such files this is. What [`Meta`] tells is the same for all stores.
const LAYOUT: TableDefinition<'_, (), u32> = TableDefinition::new("layout");
/// The one of this program. The first had no such table.
const OUR_LAYOUT: u32 = 2;

/// Number of the recipient and event id: the same event told of another recipient is another one.
type Seen<'a> = (u64, &'a str);
/// Number of the recipient and of an entry.
type Entry = (u64, u64);
/// When an event is forgotten, and which: number of the recipient and event id.
type Expiry<'a> = (u64, u64, &'a str);

/// Number of the recipient; a JSON object of fields (see [`codec`]).
pub(super) const RECORDS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("records");
/// The numbers of entries count up; the newest entry has the highest.
const HISTORY: TableDefinition<'_, Entry, &[u8]> = TableDefinition::new("history");
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
    pub(super) standing: Standing,
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
            standing: commit.record.into(),
            entry: codec::encode_entry(commit.entry)?,
            event_id: commit.event_id().to_string(),
            forget_at: Timestamp::now().plus(commit.remember),
        })
    }
}

/// Whether the file has tables of another layout. One without any is new.
pub(super) fn are_foreign(database: &impl ReadableDatabase) -> Result<bool, redb::Error> {
    let transaction = database.begin_read()?;
    if transaction.list_tables()?.next().is_none() {
        return Ok(false);
    }
    match transaction.open_table(LAYOUT) {
        Ok(table) => Ok(table
            .get(())?
            .is_none_or(|found| found.value() != OUR_LAYOUT)),
        Err(TableError::TableDoesNotExist(_)) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(LAYOUT)?.insert((), OUR_LAYOUT)?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(HISTORY)?;
    transaction.open_table(SEEN)?;
    transaction.open_table(EXPIRY)?;
    transaction.open_table(META)?;
    recipients::create(transaction)?;
    newcomers::create(transaction)?;
    returns::create(transaction)?;
    lessons::create(transaction)
}

/// Records, or the empty one of version 0, in the order of the keys.
pub(super) fn read(
    transaction: &Reading<'_>,
    tenant: &Tenant,
    keys: &[RecipientKey],
) -> Result<Vec<Result<Versioned, StoreError>>, redb::Error> {
    let known = Known::open(transaction, tenant)?;
    let records = transaction.open_table(RECORDS)?;
    keys.iter()
        .map(|key| match known.number(key)? {
            Some(number) => record(&records, number),
            None => Ok(Ok(Versioned::default())),
        })
        .collect()
}

/// The record of the recipient of this number, who has one.
pub(super) fn record(
    records: &impl ReadableTable<u64, &'static [u8]>,
    number: u64,
) -> Result<Result<Versioned, StoreError>, redb::Error> {
    let Some(value) = records.get(number)? else {
        // Number and record are written together: somebody with a number is never "not on record".
        let error = "a recipient is known and has no record";
        return Ok(Err(StoreError::Corrupt(error.to_owned())));
    };
    Ok(decode(value.value()))
}

/// How the recipient of a row of [`RECORDS`] stands.
pub(super) fn standing(row: &[u8]) -> Result<Standing, StoreError> {
    decode(row).map(|read| Standing::from(&read.record))
}

fn decode(row: &[u8]) -> Result<Versioned, StoreError> {
    let fields = codec::decode_object(row);
    fields.and_then(codec::decode).map_err(StoreError::from)
}

/// The newest entries, newest first.
pub(super) fn history(
    transaction: &Reading<'_>,
    tenant: &Tenant,
    key: &RecipientKey,
    limit: usize,
) -> Result<Result<Vec<HistoryEntry>, StoreError>, redb::Error> {
    let Some(number) = Known::open(transaction, tenant)?.number(key)? else {
        return Ok(Ok(Vec::new()));
    };
    let history = transaction.open_table(HISTORY)?;
    let mut entries = Vec::new();
    for entry in history.range(entries_of(number))?.rev().take(limit) {
        match codec::decode_entry(entry?.1.value()) {
            Ok(entry) => entries.push(entry),
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(Ok(entries))
}

/// The ids of the entries of a recipient.
fn entries_of(number: u64) -> RangeInclusive<Entry> {
    (number, 0)..=(number, u64::MAX)
}

/// Whether an event of a recipient is remembered.
pub(super) fn is_seen(
    transaction: &Reading<'_>,
    tenant: &Tenant,
    key: &RecipientKey,
    event: &EventId,
    now: Timestamp,
) -> Result<bool, redb::Error> {
    let Some(number) = Known::open(transaction, tenant)?.number(key)? else {
        return Ok(false);
    };
    let seen = transaction.open_table(SEEN)?;
    let mark = seen.get((number, event.as_str()))?;
    Ok(mark.is_some_and(|until| until.value() > now.millis()))
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

/// The tables of recipients, open in one transaction for any number of commits.
pub(super) struct Ledgers<'t> {
    register: Register<'t>,
    records: Table<'t, u64, &'static [u8]>,
    history: Table<'t, Entry, &'static [u8]>,
    seen: Table<'t, Seen<'static>, u64>,
    expiry: Table<'t, Expiry<'static>, ()>,
}

impl<'t> Ledgers<'t> {
    pub(super) fn open(transaction: &'t Writing<'t>) -> Result<Self, redb::Error> {
        Ok(Self {
            register: Register::open(transaction)?,
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
        let known = self.register.number(&write.tenant, &write.key)?;
        let number = match known {
            Some(number) => number,
            None if write.expected_version != 0 => return Ok(Ok(CommitOutcome::Conflict)),
            None => self.add(write)?,
        };
        let event = write.event_id.as_str();
        if known.is_some() {
            let old_mark = self.seen.get((number, event))?.map(|until| until.value());
            if old_mark.is_some_and(|until| until > now.millis()) {
                return Ok(Ok(CommitOutcome::Duplicate));
            }
            match record(&self.records, number)? {
                Ok(read) if read.version == write.expected_version => {}
                Ok(_) => return Ok(Ok(CommitOutcome::Conflict)),
                Err(error) => return Ok(Err(error)),
            }
            if let Some(old) = old_mark {
                self.expiry.remove((old, number, event))?;
            }
        }
        let until = write.forget_at.millis();
        self.records.insert(number, write.record.as_slice())?;
        let standing = Some(write.standing.clone());
        self.register.writing().set_standing(number, standing);
        self.seen.insert((number, event), until)?;
        self.expiry.insert((until, number, event), ())?;
        self.append(number, write.entry.as_bytes())?;
        Ok(Ok(CommitOutcome::Committed))
    }

    /// Gives the recipient of a write a number. Records are never removed, so the last has the highest.
    fn add(&mut self, write: &Write) -> Result<u64, redb::Error> {
        let last = self.records.last()?.map(|(number, _)| number.value());
        let number = last.map_or(0, |last| last.saturating_add(1));
        self.register.add(&write.tenant, &write.key, number)?;
        Ok(number)
    }

    /// Adds to the history and drops what is over the limit.
    fn append(&mut self, number: u64, entry: &[u8]) -> Result<(), redb::Error> {
        let mut ends = self.history.range(entries_of(number))?;
        let last = ends.next_back().transpose()?.map(|(id, _)| id.value().1);
        drop(ends);
        let next = last.map_or(1, |last| last.saturating_add(1));
        self.history.insert((number, next), entry)?;
        // Numbers have no gaps, so all but the newest are below this one.
        let keep = next.saturating_sub(HISTORY_LIMIT as u64);
        if keep == 0 {
            return Ok(());
        }
        loop {
            let oldest = self
                .history
                .range(entries_of(number))?
                .next()
                .transpose()?
                .map(|(id, _)| id.value().1);
            match oldest {
                Some(oldest) if oldest <= keep => self.history.remove((number, oldest))?,
                _ => return Ok(()),
            };
        }
    }
}

/// Makes commits one after the other; one that cannot be made spoils only itself.
pub(super) fn commit_many(
    transaction: &Writing<'_>,
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
        let (until, number, event) = oldest.value();
        if until > now.millis() {
            break;
        }
        let event = event.to_owned();
        drop(oldest);
        seen.remove((number, event.as_str()))?;
        expiry.remove((until, number, event.as_str()))?;
    }
    Ok(())
}

fn decode_meta(value: &[u8]) -> Result<Meta, StoreError> {
    serde_json::from_slice(value)
        .map_err(|error| StoreError::Corrupt(format!("what the store says about itself: {error}")))
}
