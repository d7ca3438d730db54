//! The [`Memory`] is what is kept of the file beside it, as it is on the disk.

use redb::{ReadableDatabase, WriteTransaction};

use super::super::{Meta, StoreError};
use super::newcomers::{Changes, Newcomers};
use super::tables;

/// Changed after each transaction that was written.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) newcomers: Newcomers,
    /// What the store says about itself; every look-up asks.
    pub(super) meta: Result<Option<Meta>, StoreError>,
}

/// What one transaction changes, once it is on the disk.
#[derive(Debug)]
pub(super) struct Update {
    newcomers: Changes,
    meta: Result<Option<Meta>, StoreError>,
}

impl Memory {
    /// As the file is.
    pub(super) fn load(database: &impl ReadableDatabase) -> Result<Self, redb::Error> {
        Ok(Self {
            newcomers: Newcomers::load(database)?,
            meta: tables::meta(&database.begin_read()?)?,
        })
    }

    /// As the file is after a transaction.
    pub(super) fn apply(&mut self, update: Update) {
        self.newcomers.apply(update.newcomers);
        self.meta = update.meta;
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            newcomers: Newcomers::default(),
            meta: Ok(None),
        }
    }
}

impl Update {
    /// What a transaction made of it, with what it changed about the newcomers.
    pub(super) fn of(
        transaction: &WriteTransaction,
        newcomers: Changes,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            newcomers,
            meta: tables::written_meta(transaction)?,
        })
    }
}
