//! A *unit* of work: one transaction of the file, with what is in [`Memory`] as it is in it.

use std::cell::{OnceCell, RefCell, RefMut};
use std::fmt;
use std::ops::Deref;
use std::sync::RwLockReadGuard;

use redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, Value,
    WriteTransaction,
};

use super::memory::Memory;
use super::newcomers::{Changes, Newcomers};
use super::presence::Presence;
use super::recipients::Id;

/// A transaction that reads. It begins when the first table is opened: most look-ups need none.
///
/// The memory was locked before it begins: whoever is not among the newcomers any more is settled in
/// what it sees. The other way round somebody could be missed who was settled in between.
pub(super) struct Reading<'f> {
    memory: RwLockReadGuard<'f, Memory>,
    presence: &'f Presence,
    database: &'f Database,
    transaction: OnceCell<ReadTransaction>,
}

/// A transaction that writes.
pub(super) struct Writing<'f> {
    memory: RwLockReadGuard<'f, Memory>,
    presence: &'f Presence,
    changes: RefCell<Changes>,
    transaction: WriteTransaction,
}

impl<'f> Reading<'f> {
    pub(super) fn new(
        memory: RwLockReadGuard<'f, Memory>,
        presence: &'f Presence,
        database: &'f Database,
    ) -> Self {
        Self {
            memory,
            presence,
            database,
            transaction: OnceCell::new(),
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(super) fn presence(&self) -> &'f Presence {
        self.presence
    }

    /// Whether the file was asked.
    pub(super) fn has_begun(&self) -> bool {
        self.transaction.get().is_some()
    }

    /// A table as it is in this transaction.
    pub(super) fn open_table<K: Key + 'static, V: Value + 'static>(
        &self,
        definition: TableDefinition<'_, K, V>,
    ) -> Result<ReadOnlyTable<K, V>, redb::Error> {
        let transaction = match self.transaction.get() {
            Some(transaction) => transaction,
            None => {
                let transaction = self.database.begin_read()?;
                self.transaction.get_or_init(|| transaction)
            }
        };
        Ok(transaction.open_table(definition)?)
    }
}

impl<'f> Writing<'f> {
    pub(super) fn new(
        memory: RwLockReadGuard<'f, Memory>,
        presence: &'f Presence,
        transaction: WriteTransaction,
    ) -> Self {
        Self {
            memory,
            presence,
            changes: RefCell::default(),
            transaction,
        }
    }

    pub(super) fn presence(&self) -> &'f Presence {
        self.presence
    }

    /// The newcomers before this transaction.
    pub(super) fn newcomers(&self) -> &Newcomers {
        &self.memory.newcomers
    }

    /// What this transaction changes about them.
    pub(super) fn changes(&self) -> RefMut<'_, Changes> {
        self.changes.borrow_mut()
    }

    /// The number of a newcomer, of before or of this transaction.
    pub(super) fn newcomer(&self, id: &Id) -> Option<u64> {
        let added = self.changes.borrow().number(id);
        added.or_else(|| self.newcomers().number(id))
    }

    pub(super) fn add_newcomer(&self, id: Id, number: u64) {
        // Before anybody can find them in the file.
        self.presence.add(&id);
        self.changes().add(id, number);
    }

    /// The transaction, and what it changes about the newcomers.
    pub(super) fn into_parts(self) -> (WriteTransaction, Changes) {
        (self.transaction, self.changes.into_inner())
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
