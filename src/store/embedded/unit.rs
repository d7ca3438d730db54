//! A *unit* of work: one transaction of the file, with the [`Newcomers`] as they are in it.

use std::cell::{RefCell, RefMut};
use std::fmt;
use std::ops::Deref;
use std::sync::RwLockReadGuard;

use redb::{ReadTransaction, WriteTransaction};

use super::newcomers::{Changes, Newcomers};
use super::recipients::Id;

/// A transaction that reads.
///
/// The newcomers were locked before it began: whoever is not among them any more is settled in what
/// it sees. The other way round somebody could be missed who was settled in between.
pub(super) struct Reading<'f> {
    pub(super) newcomers: RwLockReadGuard<'f, Newcomers>,
    pub(super) transaction: ReadTransaction,
}

/// A transaction that writes.
pub(super) struct Writing<'f> {
    pub(super) newcomers: RwLockReadGuard<'f, Newcomers>,
    pub(super) changes: RefCell<Changes>,
    pub(super) transaction: WriteTransaction,
}

impl Reading<'_> {
    pub(super) fn newcomers(&self) -> &Newcomers {
        &self.newcomers
    }
}

impl Writing<'_> {
    /// The newcomers before this transaction.
    pub(super) fn newcomers(&self) -> &Newcomers {
        &self.newcomers
    }

    /// What this transaction changes about them.
    pub(super) fn changes(&self) -> RefMut<'_, Changes> {
        self.changes.borrow_mut()
    }

    /// The number of a newcomer, of before or of this transaction.
    pub(super) fn newcomer(&self, id: &Id) -> Option<u64> {
        let added = self.changes.borrow().number(id);
        added.or_else(|| self.newcomers.number(id))
    }

    pub(super) fn add_newcomer(&self, id: Id, number: u64) {
        self.changes().add(id, number);
    }
}

impl Deref for Reading<'_> {
    type Target = ReadTransaction;

    fn deref(&self) -> &ReadTransaction {
        &self.transaction
    }
}

impl Deref for Writing<'_> {
    type Target = WriteTransaction;

    fn deref(&self) -> &WriteTransaction {
        &self.transaction
    }
}

impl fmt::Debug for Writing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writing").finish_non_exhaustive()
    }
}
