//! The [`Newcomers`] are recipients who have a number, but no row from key to number yet.
//!
//! Such rows are ordered by hashes, so a row for each new recipient as they come would write a page
//! for each of them, and a disk writes some ten thousand pages a second that lie apart. So they wait,
//! in memory for whoever looks them up, and in a table in the order of their numbers for the next
//! start. When many wait, each transaction *settles* some of them, and in the order of the rows: what
//! lies side by side then goes into the same page. Round after round goes through all of them.

use std::collections::HashMap;

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::recipients::{Id, RECIPIENTS};
use super::unit::Writing;

/// Newcomers, and for a while those of them who were settled, by their number.
pub(super) const WAITING: TableDefinition<'_, u64, &Id> = TableDefinition::new("newcomers");

/// Where the round is: all with a number below the first are settled, and of those below the second
/// all up to this one.
const ROUND: TableDefinition<'_, (), (u64, u64, &Id)> = TableDefinition::new("newcomers_round");

/// How many may wait. With 10 million on record, one then takes about a quarter of a page to settle,
/// and the memory is some 15 MiB, but only when so many were added. Just below what makes the map
/// double; few in unit tests, so that all of them settle.
pub(super) const LIMIT: usize = if cfg!(test) { 4 } else { 220_000 };

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(WAITING)?;
    transaction.open_table(ROUND)?;
    Ok(())
}

/// The recipients who wait, and how far the round of settling is.
#[derive(Debug, Default)]
pub(super) struct Newcomers {
    waiting: HashMap<Id, u64>,
    /// Above all numbers.
    end: u64,
    round: Round,
    /// Whoever has a lower number is settled, and their rows in the table can go.
    settled: u64,
}

/// Those who are settled one after the other: everybody who waited when the round began.
#[derive(Debug, Default)]
struct Round {
    /// In the order of the rows.
    ids: Vec<Id>,
    /// How many of them were settled.
    done: usize,
    /// Above their numbers.
    end: u64,
}

/// What one transaction changes about the newcomers, once it is on the disk.
#[derive(Debug, Default)]
pub(super) struct Changes {
    added: HashMap<Id, u64>,
    /// The next round, if one begins.
    round: Option<Round>,
    /// How many were settled, the next of the round.
    settled: usize,
}

impl Newcomers {
    /// Those who wait in the file, and the round where it was.
    pub(super) fn load(transaction: &ReadTransaction) -> Result<Self, redb::Error> {
        let mark = transaction.open_table(ROUND)?.get(())?;
        let (settled, end, last) = mark.map_or((0, 0, Id::default()), |mark| {
            let (settled, end, last) = mark.value();
            (settled, end, *last)
        });
        let mut this = Self {
            settled,
            end,
            ..Self::default()
        };
        this.round.end = end;
        for row in transaction.open_table(WAITING)?.range(settled..)? {
            let (number, id) = row?;
            let (number, id) = (number.value(), *id.value());
            this.end = number.saturating_add(1);
            if number >= end {
                this.waiting.insert(id, number);
            } else if id > last {
                this.waiting.insert(id, number);
                this.round.ids.push(id);
            }
        }
        this.round.ids.sort_unstable();
        Ok(this)
    }

    /// The number of a newcomer.
    pub(super) fn number(&self, id: &Id) -> Option<u64> {
        self.waiting.get(id).copied()
    }

    /// How many wait.
    pub(super) fn count(&self) -> u64 {
        self.waiting.len() as u64
    }

    /// Those who wait, with their numbers.
    pub(super) fn all(&self) -> impl Iterator<Item = (&Id, u64)> {
        self.waiting.iter().map(|(id, number)| (id, *number))
    }

    /// Takes over what a transaction changed that is on the disk.
    pub(super) fn apply(&mut self, changes: Changes) {
        if let Some(round) = changes.round {
            // All who waited before it began are settled.
            self.settled = self.round.end;
            self.round = round;
        }
        if let Some(last) = changes.added.values().max() {
            self.end = last.saturating_add(1);
        }
        self.waiting.extend(changes.added);
        for id in self.round.next(changes.settled) {
            self.waiting.remove(id);
        }
        self.round.done += changes.settled;
    }

    /// Writes the rows of the next so many, and how far the round is then; answers how many they were.
    fn settle(
        &self,
        transaction: &WriteTransaction,
        changes: &Changes,
        many: usize,
    ) -> Result<usize, redb::Error> {
        let (settled, round) = match &changes.round {
            Some(round) => (self.round.end, round),
            None => (self.settled, &self.round),
        };
        let next = round.next(many);
        let mut recipients = transaction.open_table(RECIPIENTS)?;
        for id in next {
            if let Some(number) = self.number(id) {
                recipients.insert(id, number)?;
            }
        }
        if let Some(last) = next.last() {
            let mut mark = transaction.open_table(ROUND)?;
            mark.insert((), (settled, round.end, last))?;
        }
        Ok(next.len())
    }

    /// A round of all who wait.
    fn new_round(&self) -> Round {
        let mut ids: Vec<_> = self.waiting.keys().copied().collect();
        ids.sort_unstable();
        Round {
            ids,
            done: 0,
            end: self.end,
        }
    }
}

impl Round {
    /// The next so many, or all that are left.
    fn next(&self, many: usize) -> &[Id] {
        let left = self.ids.get(self.done..).unwrap_or_default();
        left.get(..many).unwrap_or(left)
    }
}

impl Changes {
    /// The number of somebody added in this transaction.
    pub(super) fn number(&self, id: &Id) -> Option<u64> {
        self.added.get(id).copied()
    }

    /// Those who were added, with their numbers.
    pub(super) fn added(&self) -> impl Iterator<Item = (&Id, u64)> {
        self.added.iter().map(|(id, number)| (id, *number))
    }

    pub(super) fn add(&mut self, id: Id, number: u64) {
        self.added.insert(id, number);
    }
}

/// Settles some while more than the limit wait, at most so many, and as many rows of settled ones go.
pub(super) fn settle(writing: &Writing<'_>, most: usize) -> Result<(), redb::Error> {
    let newcomers = writing.newcomers();
    let changes = &mut writing.changes().newcomers;
    let count = newcomers.waiting.len() + changes.added.len();
    let many = count.saturating_sub(LIMIT).min(most);
    if many > 0 {
        if newcomers.round.next(1).is_empty() {
            changes.round = Some(newcomers.new_round());
        }
        changes.settled = newcomers.settle(writing, changes, many)?;
    }
    let mut table = writing.open_table(WAITING)?;
    let first = table.first()?.map(|(number, _)| number.value());
    if let Some(first) = first.filter(|first| *first < newcomers.settled) {
        let end = newcomers.settled.min(first.saturating_add(most as u64));
        table.retain_in(first..end, |_, _| false)?;
    }
    Ok(())
}
