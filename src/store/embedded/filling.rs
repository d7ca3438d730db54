//! *Filling* brings what is in the file into [`Memory`], a piece between two transactions.
//!
//! It begins when the file is opened, so that nobody waits for it: whom memory does not know yet, the
//! file is asked for. First come the rows from key to number, then the records. Whatever is written
//! meanwhile goes into memory by itself.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Instant;

use redb::{Database, Range, ReadableDatabase, ReadableTableMetadata, StorageError};

use super::memory::Memory;
use super::recipients::{Id, RECIPIENTS};
use super::tables;

/// How many are added while look-ups wait, a tenth of a millisecond: those that are under way, and may
/// wait for the disk, are waited for first.
const AT_ONCE: usize = 256;

/// How far it is.
#[derive(Debug, Default)]
pub(super) enum Filling {
    #[default]
    Nothing,
    Recipients(Box<Recipients>),
    Records(Records),
    Everything,
    /// The file cannot be read to its end: nothing is filled until the next start.
    GivenUp,
}

/// Those who are settled, as the file was when they began to be read: newcomers are in memory.
pub(super) struct Recipients {
    rows: Range<'static, &'static Id, u64>,
    /// How many rows there must be still.
    left: u64,
    last: Option<Id>,
    began: Instant,
}

/// The records, each as it is when it is read.
#[derive(Debug)]
pub(super) struct Records {
    /// All below this number were read.
    next: u64,
    began: Instant,
}

impl Filling {
    /// Begins again, with another memory.
    pub(super) fn restart(&mut self) {
        if !matches!(self, Self::GivenUp) {
            *self = Self::Nothing;
        }
    }

    /// Adds the next so many rows; whether there may be more. Nothing may be written meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read; then nothing is filled any more.
    pub(super) fn step(
        &mut self,
        database: &Database,
        memory: &RwLock<Memory>,
        most: usize,
    ) -> Result<bool, redb::Error> {
        // Whatever happens on the way, a panic too, what was broken off does not go on.
        let next = match std::mem::replace(self, Self::GivenUp) {
            Self::Nothing => Self::Recipients(Box::new(Recipients::begin(database)?)),
            Self::Recipients(mut recipients) => {
                if recipients.take(memory, most)? {
                    Self::Recipients(recipients)
                } else {
                    recipients.end(database, memory)?;
                    Self::Records(Records {
                        next: 0,
                        began: Instant::now(),
                    })
                }
            }
            Self::Records(mut records) => {
                if records.take(database, memory, most)? {
                    Self::Records(records)
                } else {
                    Self::Everything
                }
            }
            ended => ended,
        };
        *self = next;
        Ok(!matches!(self, Self::Everything | Self::GivenUp))
    }
}

impl Recipients {
    fn begin(database: &Database) -> Result<Self, redb::Error> {
        let recipients = database.begin_read()?.open_table(RECIPIENTS)?;
        Ok(Self {
            left: recipients.len()?,
            rows: recipients.range::<&Id>(..)?,
            last: None,
            began: Instant::now(),
        })
    }

    /// Adds the next so many rows; whether there are more.
    ///
    /// The rows must be as many as the table says, and in their order: in a damaged file some could be
    /// passed over.
    fn take(&mut self, memory: &RwLock<Memory>, most: usize) -> Result<bool, redb::Error> {
        let mut taken = Vec::with_capacity(most);
        for row in self.rows.by_ref().take(most) {
            let (id, number) = row?;
            let id = *id.value();
            if self.left == 0 || self.last.is_some_and(|last| last >= id) {
                return Err(damaged("recipients are out of their order"));
            }
            self.left -= 1;
            self.last = Some(id);
            taken.push((id, number.value()));
        }
        let is_end = taken.len() < most;
        if is_end && self.left > 0 {
            return Err(damaged("recipients are missing"));
        }
        for some in taken.chunks(AT_ONCE) {
            let index = &mut write(memory).index;
            some.iter()
                .for_each(|(id, number)| index.insert(id, *number));
        }
        Ok(!is_end)
    }

    /// From now on whoever is not in memory is a stranger: so there must be as many as have a record.
    fn end(&self, database: &Database, memory: &RwLock<Memory>) -> Result<(), redb::Error> {
        let now = database.begin_read()?;
        let settled = now.open_table(RECIPIENTS)?.len()?;
        let records = now.open_table(tables::RECORDS)?.len()?;
        let mut memory = write(memory);
        if settled + memory.newcomers.count() != records {
            return Err(damaged("some with a record are missing"));
        }
        memory.index.complete();
        drop(memory);
        tracing::debug!(
            elapsed_ms = self.began.elapsed().as_millis(),
            "who is on record is in memory"
        );
        Ok(())
    }
}

impl Records {
    /// Adds the next so many records as they are now; whether there are more.
    fn take(
        &mut self,
        database: &Database,
        memory: &RwLock<Memory>,
        most: usize,
    ) -> Result<bool, redb::Error> {
        let records = database.begin_read()?.open_table(tables::RECORDS)?;
        let mut taken = Vec::with_capacity(most);
        for row in records.range(self.next..)?.take(most) {
            let (number, value) = row?;
            let number = number.value();
            // A damaged number would give somebody what is said of another.
            if number < self.next {
                return Err(damaged("records are out of their order"));
            }
            self.next = number.saturating_add(1);
            // One that cannot be read is told of when it is looked up.
            taken.push((number, tables::standing(value.value()).ok()));
        }
        let is_end = taken.len() < most;
        let mut taken = taken.into_iter().peekable();
        while taken.peek().is_some() {
            let standings = &mut write(memory).standings;
            for (number, standing) in taken.by_ref().take(AT_ONCE) {
                standings.set(number, standing);
            }
        }
        if is_end {
            tracing::debug!(
                elapsed_ms = self.began.elapsed().as_millis(),
                "how they stand is in memory"
            );
        }
        Ok(!is_end)
    }
}

impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recipients")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

fn write(memory: &RwLock<Memory>) -> std::sync::RwLockWriteGuard<'_, Memory> {
    memory.write().unwrap_or_else(PoisonError::into_inner)
}

fn damaged(what: &str) -> redb::Error {
    StorageError::Corrupted(what.to_owned()).into()
}
