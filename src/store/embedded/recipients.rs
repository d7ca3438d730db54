//! Every *recipient* gets a number when something is first known of them, and their rows are kept
//! under it.
//!
//! Keys are hashes, so rows under keys would go all over the file: each new recipient would change
//! a page of every table. Numbers count up, so rows of new recipients are appended. Only one small
//! row, from key to number, goes anywhere, and even that waits (see
//! [`Newcomers`](super::newcomers::Newcomers)).

use std::collections::HashMap;
use std::io;

use redb::{
    ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata, StorageError, Table,
    TableDefinition, WriteTransaction,
};

use super::memory::Memory;
use super::unit::{Reading, Writing};
use crate::suppression::{RecipientKey, Tenant};

/// Each tenant has a number too, so that what tells recipients apart has one length.
const TENANTS: TableDefinition<'_, &str, u32> = TableDefinition::new("tenants");
/// All but the newcomers.
pub(super) const RECIPIENTS: TableDefinition<'_, &Id, u64> = TableDefinition::new("recipients");

/// Number of the tenant and key of the recipient.
pub(super) type Id = [u8; 20];

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(TENANTS)?;
    transaction.open_table(RECIPIENTS)?;
    Ok(())
}

/// The number of each tenant.
pub(super) type Tenants = HashMap<Tenant, u32>;

/// All tenants of the file.
pub(super) fn load_tenants(transaction: &ReadTransaction) -> Result<Tenants, redb::Error> {
    let rows = transaction.open_table(TENANTS)?;
    let mut tenants = Tenants::new();
    for row in rows.iter()? {
        let (name, number) = row?;
        let tenant = Tenant::new(name.value())
            .map_err(|error| StorageError::Corrupted(format!("a tenant: {error}")))?;
        tenants.insert(tenant, number.value());
    }
    Ok(tenants)
}

/// The recipients of one tenant, to be read.
pub(super) struct Known<'r> {
    /// None where nothing is known of anybody.
    tenant: Option<u32>,
    memory: &'r Memory,
    recipients: ReadOnlyTable<&'static Id, u64>,
}

impl<'r> Known<'r> {
    pub(super) fn open(reading: &'r Reading<'_>, tenant: &Tenant) -> Result<Self, redb::Error> {
        let memory = reading.memory();
        Ok(Self {
            tenant: memory.tenants.get(tenant).copied(),
            memory,
            recipients: reading.open_table(RECIPIENTS)?,
        })
    }

    /// The number of a recipient, if anything is known of them.
    pub(super) fn number(&self, key: &RecipientKey) -> Result<Option<u64>, redb::Error> {
        let Some(id) = self.tenant.map(|tenant| id(tenant, key)) else {
            return Ok(None);
        };
        if self.memory.index.is_stranger(&id) {
            return Ok(None);
        }
        if let Some(number) = self.memory.newcomers.number(&id) {
            return Ok(Some(number));
        }
        Ok(self.recipients.get(&id)?.map(|number| number.value()))
    }
}

/// The recipients of all tenants, to be written.
pub(super) struct Register<'t> {
    writing: &'t Writing<'t>,
    tenants: Table<'t, &'static str, u32>,
    recipients: Table<'t, &'static Id, u64>,
    waiting: Table<'t, u64, &'static Id>,
    /// The tenant that was asked for last: mostly it is the next one too.
    last: Option<(Tenant, u32)>,
}

impl<'t> Register<'t> {
    pub(super) fn open(writing: &'t Writing<'t>) -> Result<Self, redb::Error> {
        Ok(Self {
            writing,
            tenants: writing.open_table(TENANTS)?,
            recipients: writing.open_table(RECIPIENTS)?,
            waiting: writing.open_table(super::newcomers::WAITING)?,
            last: None,
        })
    }

    pub(super) fn writing(&self) -> &'t Writing<'t> {
        self.writing
    }

    /// The number of a recipient, if anything is known of them.
    pub(super) fn number(
        &mut self,
        tenant: &Tenant,
        key: &RecipientKey,
    ) -> Result<Option<u64>, redb::Error> {
        let id = id(self.tenant(tenant)?, key);
        if let Some(number) = self.writing.newcomer(&id) {
            return Ok(Some(number));
        }
        if self.writing.memory().index.is_stranger(&id) {
            return Ok(None);
        }
        Ok(self.recipients.get(&id)?.map(|number| number.value()))
    }

    /// Gives a recipient who has none a number above all others.
    pub(super) fn add(
        &mut self,
        tenant: &Tenant,
        key: &RecipientKey,
        number: u64,
    ) -> Result<(), redb::Error> {
        let id = id(self.tenant(tenant)?, key);
        self.waiting.insert(number, &id)?;
        self.writing.add_newcomer(id, number);
        Ok(())
    }

    /// The number of a tenant, which gets one if it has none.
    fn tenant(&mut self, tenant: &Tenant) -> Result<u32, redb::Error> {
        if let Some((last, number)) = &self.last
            && last == tenant
        {
            return Ok(*number);
        }
        let found = self
            .tenants
            .get(tenant.as_str())?
            .map(|number| number.value());
        let number = match found {
            Some(number) => number,
            None => {
                // None is ever removed, so the next number is free.
                let number = u32::try_from(self.tenants.len()?)
                    .map_err(|_| redb::Error::Io(io::Error::other("too many tenants")))?;
                self.tenants.insert(tenant.as_str(), number)?;
                self.writing.add_tenant(tenant.clone(), number);
                number
            }
        };
        self.last = Some((tenant.clone(), number));
        Ok(number)
    }
}

pub(super) fn id(tenant: u32, key: &RecipientKey) -> Id {
    let mut id = [0; 20];
    id[..4].copy_from_slice(&tenant.to_be_bytes());
    id[4..].copy_from_slice(key.as_bytes());
    id
}
