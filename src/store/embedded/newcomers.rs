//! The [`Newcomers`] are recipients who have a number, but no row from key to number yet.
//!
//! Such rows are ordered by hashes, so a row for each new recipient as they come would write a page
//! for each of them, and a disk writes some ten thousand pages a second that lie apart. So they wait,
//! in memory for whoever looks them up, and in a table in the order of their numbers for the next
//! start. When many wait, each transaction *settles* the next of them in the order of the rows: what
//! lies side by side then goes into the same page. Round after round it goes through all of them.

use std::collections::BTreeMap;

use redb::{ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::recipients::{Id, RECIPIENTS};
use super::unit::Writing;

/// Newcomers, and for a while those of them who were settled, by their number.
pub(super) const WAITING: TableDefinition<'_, u64, &Id> = TableDefinition::new("newcomers");

/// How many may wait. With 10 million on record a row takes a fifth of a page to settle; the memory
/// is some 11 MiB, but only when so many were added. Few in unit tests, so that all of them settle.
pub(super) const LIMIT: usize = if cfg!(test) { 4 } else { 1 << 18 };

/// Makes the table, so that readers find it.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(WAITING)?;
    Ok(())
}

/// The recipients who wait, and how far they were gone through.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    waiting: BTreeMap<Id, u64>,
    /// Above all numbers.
    end: u64,
    /// Those before this one were settled in this round.
    next: Id,
    /// Who has a lower number was there when the round began, and is settled when it ends.
    round: u64,
    /// Who has a lower number is settled, and can be removed from the table.
    settled: u64,
}

/// What one transaction changes about the newcomers, once it is on the disk.
#[derive(Debug, Default)]
pub(super) struct Changes {
    added: BTreeMap<Id, u64>,
    settled: Vec<Id>,
    ends_round: bool,
}

impl Newcomers {
    /// Those who wait in the file. Whoever of them was settled is settled once more.
    pub(super) fn load(database: &impl ReadableDatabase) -> Result<Self, redb::Error> {
        let transaction: ReadTransaction = database.begin_read()?;
        let table = transaction.open_table(WAITING)?;
        let mut this = Self::default();
        for row in table.iter()? {
            let (number, id) = row?;
            this.waiting.insert(*id.value(), number.value());
            this.end = number.value() + 1;
        }
        this.round = this.end;
        Ok(this)
    }

    /// The number of a newcomer.
    pub(super) fn number(&self, id: &Id) -> Option<u64> {
        self.waiting.get(id).copied()
    }

    /// Takes over what a transaction changed that is on the disk.
    pub(super) fn apply(&mut self, changes: Changes) {
        let last = changes.added.values().max();
        self.end = last.map_or(self.end, |last| last + 1);
        self.waiting.extend(changes.added);
        for id in &changes.settled {
            self.waiting.remove(id);
        }
        if changes.ends_round {
            self.settled = self.round;
            self.round = self.end;
            self.next = Id::default();
        } else if let Some(last) = changes.settled.last() {
            // Nobody who waits has this one.
            self.next = *last;
        }
    }
}

impl Changes {
    /// The number of somebody added in this transaction.
    pub(super) fn number(&self, id: &Id) -> Option<u64> {
        self.added.get(id).copied()
    }

    pub(super) fn add(&mut self, id: Id, number: u64) {
        self.added.insert(id, number);
    }
}

/// Settles those who wait above the limit, at most so many, and as many rows of settled ones go.
pub(super) fn settle(writing: &Writing<'_>, most: usize) -> Result<(), redb::Error> {
    let newcomers = writing.newcomers();
    let mut changes = writing.changes();
    let count = newcomers.waiting.len() + changes.added.len();
    let many = count.saturating_sub(LIMIT).min(most);
    if many > 0 {
        let mut recipients = writing.open_table(RECIPIENTS)?;
        // Those who were just added wait for a later transaction.
        for (id, number) in newcomers.waiting.range(newcomers.next..).take(many) {
            recipients.insert(id, number)?;
            changes.settled.push(*id);
        }
        changes.ends_round = changes.settled.len() < many;
    }
    let mut table = writing.open_table(WAITING)?;
    let first = table.first()?.map(|(number, _)| number.value());
    if let Some(first) = first.filter(|first| *first < newcomers.settled) {
        let end = newcomers.settled.min(first.saturating_add(most as u64));
        table.retain_in(first..end, |_, _| false)?;
    }
    Ok(())
}
