//! What *returns* need: the recipients of signed transactions, and what the tags of tokens stand for.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::super::{StoreError, TransactionId, codec};
use super::writer::Written;
use crate::suppression::{RecipientKey, Tenant};
use crate::timestamp::Timestamp;

/// Tenant and transaction; until when it is kept, in milliseconds since the epoch, and its
/// recipients as a JSON object of fields (see [`codec`]).
pub(super) const SENT: TableDefinition<'_, (&str, &TransactionId), (u64, &[u8])> =
    TableDefinition::new("sent");
/// The same transactions in the order in which they expire.
pub(super) const SENT_EXPIRY: TableDefinition<'_, (u64, &str, &TransactionId), ()> =
    TableDefinition::new("sent_expiry");
/// Tenant and tag.
pub(super) const LABELS: TableDefinition<'_, (&str, u32), &[u8]> = TableDefinition::new("labels");

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SENT)?;
    transaction.open_table(SENT_EXPIRY)?;
    transaction.open_table(LABELS)?;
    Ok(())
}

/// Keeps the recipients of a transaction, in place of those it had.
pub(super) fn put_sent(
    transaction: &WriteTransaction,
    tenant: &Tenant,
    id: &TransactionId,
    set: &[u8],
    until: Timestamp,
) -> Written<()> {
    let mut sent = transaction.open_table(SENT)?;
    let mut expiry = transaction.open_table(SENT_EXPIRY)?;
    let (tenant, until) = (tenant.as_str(), until.millis());
    if let Some(old) = sent.insert((tenant, id), (until, set))? {
        expiry.remove((old.value().0, tenant, id))?;
    }
    expiry.insert((until, tenant, id), ())?;
    Ok(Ok(()))
}

/// The recipients of a transaction whose time is not over.
pub(super) fn sent(
    transaction: &ReadTransaction,
    tenant: &Tenant,
    id: &TransactionId,
    now: Timestamp,
) -> Written<Option<Vec<RecipientKey>>> {
    let sent = transaction.open_table(SENT)?;
    let Some(found) = sent.get((tenant.as_str(), id))? else {
        return Ok(Ok(None));
    };
    let (until, set) = found.value();
    if until <= now.millis() {
        return Ok(Ok(None));
    }
    let recipients = codec::decode_object(set).and_then(codec::decode_recipients);
    Ok(recipients.map(Some).map_err(StoreError::from))
}

/// Gives a tag its text unless it has one; answers the text it has.
pub(super) fn put_label(
    transaction: &WriteTransaction,
    tenant: &Tenant,
    tag: u32,
    text: &str,
) -> Written<String> {
    let mut labels = transaction.open_table(LABELS)?;
    let id = (tenant.as_str(), tag);
    if let Some(found) = labels.get(id)? {
        return Ok(readable(found.value()));
    }
    labels.insert(id, text.as_bytes())?;
    Ok(Ok(text.to_owned()))
}

/// The text of a tag.
pub(super) fn label(
    transaction: &ReadTransaction,
    tenant: &Tenant,
    tag: u32,
) -> Written<Option<String>> {
    let labels = transaction.open_table(LABELS)?;
    Ok(labels
        .get((tenant.as_str(), tag))?
        .map(|found| readable(found.value()))
        .transpose())
}

/// Forgets at most `limit` transactions whose time is over.
pub(super) fn prune(
    transaction: &WriteTransaction,
    now: Timestamp,
    limit: usize,
) -> Result<(), redb::Error> {
    let mut sent = transaction.open_table(SENT)?;
    let mut expiry = transaction.open_table(SENT_EXPIRY)?;
    for _ in 0..limit {
        let Some((oldest, _)) = expiry.first()? else {
            break;
        };
        let (until, tenant, id) = oldest.value();
        if until > now.millis() {
            break;
        }
        let (tenant, id) = (tenant.to_owned(), *id);
        drop(oldest);
        sent.remove((tenant.as_str(), &id))?;
        expiry.remove((until, tenant.as_str(), &id))?;
    }
    Ok(())
}

fn readable(text: &[u8]) -> Result<String, StoreError> {
    std::str::from_utf8(text)
        .map(str::to_owned)
        .map_err(|_| StoreError::Corrupt("a label is not UTF-8".to_owned()))
}
