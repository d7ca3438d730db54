//! A *unit* of work: one transaction of the file, with what is in [`Memory`] as it is in it.

use std::cell::{OnceCell, RefCell, RefMut};
use std::fmt;
use std::ops::Deref;
use std::sync::RwLockReadGuard;

use redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase, TableDefinition, Value,
    WriteTransaction,
};

use super::memory::{Changes, Memory, Update};
use super::newcomers::Newcomers;
use super::recipients::Id;
use crate::suppression::{Standing, Tenant};

/// A transaction that reads. It begins when the first table is opened: most look-ups need none.
///
/// The memory was locked before it begins: whoever is not among the newcomers any more is settled in
/// what it sees. The other way round somebody could be missed who was settled in between.
pub(super) struct Reading<'f> {
    memory: RwLockReadGuard<'f, Memory>,
    database: &'f Database,
    transaction: OnceCell<ReadTransaction>,
}

/// A transaction that writes.
pub(super) struct Writing<'f> {
    memory: RwLockReadGuard<'f, Memory>,
    changes: RefCell<Changes>,
    transaction: WriteTransaction,
}

impl<'f> Reading<'f> {
    pub(super) fn new(memory: RwLockReadGuard<'f, Memory>, database: &'f Database) -> Self {
        Self {
            memory,
            database,
            transaction: OnceCell::new(),
        }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.memory
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
    pub(super) fn new(memory: RwLockReadGuard<'f, Memory>, transaction: WriteTransaction) -> Self {
        Self {
            memory,
            changes: RefCell::default(),
            transaction,
        }
    }

    /// What memory has of before this transaction.
    pub(super) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// The newcomers before this transaction.
    pub(super) fn newcomers(&self) -> &Newcomers {
        &self.memory.newcomers
    }

    /// What this transaction changes.
    pub(super) fn changes(&self) -> RefMut<'_, Changes> {
        self.changes.borrow_mut()
    }

    /// The number of a newcomer, of before or of this transaction.
    pub(super) fn newcomer(&self, id: &Id) -> Option<u64> {
        let added = self.changes.borrow().newcomers.number(id);
        added.or_else(|| self.newcomers().number(id))
    }

    pub(super) fn add_newcomer(&self, id: Id, number: u64) {
        self.changes().newcomers.add(id, number);
    }

    pub(super) fn add_tenant(&self, tenant: Tenant, number: u32) {
        self.changes().tenants.push((tenant, number));
    }

    /// How the recipient of this number stands after this transaction; with none, only the file knows.
    pub(super) fn set_standing(&self, number: u64, standing: Option<Standing>) {
        self.changes().standings.push((number, standing));
    }

    /// Ends the work: what it changed goes to the disk; the answer is what memory then has to know.
    pub(super) fn commit(self) -> Result<Update, redb::Error> {
        let update = Update::of(&self.transaction, self.changes.into_inner())?;
        self.transaction.commit()?;
        Ok(update)
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
