//! A *look-up* is answered from [`Memory`](super::memory::Memory), and from the file where that does
//! not know enough.

use redb::ReadOnlyTable;

use super::memory::Answer;
use super::recipients::Known;
use super::tables::{self, RECORDS};
use super::unit::Reading;
use crate::suppression::{Finding, RecipientKey, Tenant};

/// What is known of each key. One that cannot be read spoils only itself (S4).
pub(super) fn look_up(
    reading: &Reading<'_>,
    tenant: &Tenant,
    keys: &[RecipientKey],
) -> Result<Vec<Finding>, redb::Error> {
    let memory = reading.memory();
    let Some(&number) = memory.tenants.get(tenant) else {
        return Ok(vec![Finding::Clear; keys.len()]);
    };
    let mut file = FileLookup::new(reading, tenant);
    keys.iter()
        .map(|key| match memory.find(number, key) {
            // Mostly all are, and the file is not touched.
            Answer::Finding(finding) => Ok(finding),
            Answer::Number(number) => file.finding(key, number),
            Answer::Unknown => match file.number(key)? {
                Some(number) => file.finding(key, number),
                None => Ok(Finding::Clear),
            },
        })
        .collect()
}

/// A look-up of those of whom memory does not know enough. To open a table costs as much as to look
/// somebody up in it, so that is done once.
struct FileLookup<'r, 'f> {
    reading: &'r Reading<'f>,
    tenant: &'r Tenant,
    known: Option<Known<'r>>,
    records: Option<ReadOnlyTable<u64, &'static [u8]>>,
}

impl<'r, 'f> FileLookup<'r, 'f> {
    fn new(reading: &'r Reading<'f>, tenant: &'r Tenant) -> Self {
        Self {
            reading,
            tenant,
            known: None,
            records: None,
        }
    }

    fn number(&mut self, key: &RecipientKey) -> Result<Option<u64>, redb::Error> {
        let known = match self.known.take() {
            Some(known) => known,
            None => Known::open(self.reading, self.tenant)?,
        };
        self.known.insert(known).number(key)
    }

    fn finding(&mut self, key: &RecipientKey, number: u64) -> Result<Finding, redb::Error> {
        let records = match self.records.take() {
            Some(records) => records,
            None => self.reading.open_table(RECORDS)?,
        };
        Ok(
            match tables::record(self.records.insert(records), number)? {
                Ok(read) => Finding::known(&read.record),
                Err(error) => {
                    tracing::error!(tenant = %self.tenant, %key, %error, "a record cannot be read");
                    Finding::Unavailable
                }
            },
        )
    }
}
