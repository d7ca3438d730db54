//! The [`Memory`] is what is kept of the file beside it, as it is on the disk.

use redb::{ReadableDatabase, WriteTransaction};

use super::super::{Meta, StoreError};
use super::index::{Found, Index};
use super::newcomers::{self, Newcomers};
use super::recipients::{self, Tenants};
use super::standings::Standings;
use super::tables;
use crate::suppression::{Finding, RecipientKey, Standing, Tenant};

/// Changed after each transaction that was written, and [filled](super::filling) after a start.
#[derive(Debug)]
pub(super) struct Memory {
    pub(super) tenants: Tenants,
    pub(super) newcomers: Newcomers,
    pub(super) index: Index,
    pub(super) standings: Standings,
    /// What the store says about itself; every look-up asks.
    pub(super) meta: Result<Option<Meta>, StoreError>,
}

/// What one transaction changes, once it is on the disk.
#[derive(Debug)]
pub(super) struct Update {
    changes: Changes,
    meta: Result<Option<Meta>, StoreError>,
}

/// What of that a transaction knows of itself.
#[derive(Debug, Default)]
pub(super) struct Changes {
    pub(super) tenants: Vec<(Tenant, u32)>,
    pub(super) newcomers: newcomers::Changes,
    /// By number; with none, only the file knows.
    pub(super) standings: Vec<(u64, Option<Standing>)>,
}

/// What memory answers to a look-up.
#[derive(Debug)]
pub(super) enum Answer {
    /// This, and the file need not be asked.
    Finding(Finding),
    /// They are on record, under this number.
    Number(u64),
    /// Nothing.
    Unknown,
}

impl Memory {
    /// As the file is, but for what is filled.
    pub(super) fn load(database: &impl ReadableDatabase) -> Result<Self, redb::Error> {
        let transaction = database.begin_read()?;
        let newcomers = Newcomers::load(&transaction)?;
        let mut index = Index::default();
        for (id, number) in newcomers.all() {
            index.insert(id, number);
        }
        Ok(Self {
            tenants: recipients::load_tenants(&transaction)?,
            newcomers,
            index,
            standings: Standings::default(),
            meta: tables::meta(&transaction)?,
        })
    }

    /// As the file is after a transaction.
    pub(super) fn apply(&mut self, update: Update) {
        let changes = update.changes;
        for (id, number) in changes.newcomers.added() {
            self.index.insert(id, number);
        }
        for (number, standing) in changes.standings {
            self.standings.set(number, standing);
        }
        self.tenants.extend(changes.tenants);
        self.newcomers.apply(changes.newcomers);
        self.meta = update.meta;
    }

    /// What is known of a recipient of the tenant of this number.
    pub(super) fn find(&self, tenant: u32, key: &RecipientKey) -> Answer {
        match self.index.find(&recipients::id(tenant, key)) {
            Found::Stranger => Answer::Finding(Finding::Clear),
            Found::Number(number) => match self.standings.get(number) {
                Some(standing) => Answer::Finding(Finding::Known(Box::new(standing))),
                None => Answer::Number(number),
            },
            Found::Unknown => Answer::Unknown,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self {
            tenants: Tenants::default(),
            newcomers: Newcomers::default(),
            index: Index::default(),
            standings: Standings::default(),
            meta: Ok(None),
        }
    }
}

impl Update {
    /// What a transaction that ends makes of it.
    pub(super) fn of(
        transaction: &WriteTransaction,
        changes: Changes,
    ) -> Result<Self, redb::Error> {
        Ok(Self {
            changes,
            meta: tables::written_meta(transaction)?,
        })
    }
}
