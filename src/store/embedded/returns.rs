//! What *returns* need: the recipients of signed transactions, and what the tags of tokens stand for.

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::super::{StoreError, TransactionId, codec};
use super::unit::Reading;
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
/// Until when a label is kept, in milliseconds since the epoch; one that is not in it never expires.
pub(super) const LABEL_ENDS: TableDefinition<'_, (&str, u32), u64> =
    TableDefinition::new("label_ends");
/// The same labels in the order in which they expire.
pub(super) const LABEL_EXPIRY: TableDefinition<'_, (u64, &str, u32), ()> =
    TableDefinition::new("label_expiry");

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(SENT)?;
    transaction.open_table(SENT_EXPIRY)?;
    transaction.open_table(LABELS)?;
    transaction.open_table(LABEL_ENDS)?;
    transaction.open_table(LABEL_EXPIRY)?;
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
    transaction: &Reading<'_>,
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

/// Gives a tag its text unless it has one; answers the text it has. The given text is kept until then.
pub(super) fn put_label(
    transaction: &WriteTransaction,
    (tenant, tag): (&Tenant, u32),
    text: &str,
    now: Timestamp,
    until: Option<Timestamp>,
) -> Written<String> {
    let mut labels = transaction.open_table(LABELS)?;
    let mut ends = transaction.open_table(LABEL_ENDS)?;
    let mut expiry = transaction.open_table(LABEL_EXPIRY)?;
    let tenant = tenant.as_str();
    let id = (tenant, tag);
    let end = ends.get(id)?.map(|end| end.value());
    let there = match labels.get(id)? {
        Some(found) if end.is_none_or(|end| now.millis() < end) => Some(readable(found.value())),
        _ => None,
    };
    match there {
        Some(Ok(kept)) if kept == text => {}
        Some(other) => return Ok(other),
        None => {
            labels.insert(id, text.as_bytes())?;
        }
    }
    if let Some(end) = end {
        ends.remove(id)?;
        expiry.remove((end, tenant, tag))?;
    }
    if let Some(until) = until {
        ends.insert(id, until.millis())?;
        expiry.insert((until.millis(), tenant, tag), ())?;
    }
    Ok(Ok(text.to_owned()))
}

/// The text of a tag, unless its time is over.
pub(super) fn label(
    transaction: &Reading<'_>,
    tenant: &Tenant,
    tag: u32,
    now: Timestamp,
) -> Written<Option<String>> {
    let (labels, ends) = (
        transaction.open_table(LABELS)?,
        transaction.open_table(LABEL_ENDS)?,
    );
    let id = (tenant.as_str(), tag);
    if ends.get(id)?.is_some_and(|end| end.value() <= now.millis()) {
        return Ok(Ok(None));
    }
    Ok(labels
        .get(id)?
        .map(|found| readable(found.value()))
        .transpose())
}

/// Forgets at most `limit` transactions, and as many labels, whose time is over.
pub(super) fn prune(
    transaction: &WriteTransaction,
    now: Timestamp,
    limit: usize,
) -> Result<(), redb::Error> {
    prune_sent(transaction, now, limit)?;
    prune_labels(transaction, now, limit)
}

fn prune_sent(
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

fn prune_labels(
    transaction: &WriteTransaction,
    now: Timestamp,
    limit: usize,
) -> Result<(), redb::Error> {
    let mut labels = transaction.open_table(LABELS)?;
    let mut ends = transaction.open_table(LABEL_ENDS)?;
    let mut expiry = transaction.open_table(LABEL_EXPIRY)?;
    for _ in 0..limit {
        let Some((oldest, _)) = expiry.first()? else {
            break;
        };
        let (until, tenant, tag) = oldest.value();
        if until > now.millis() {
            break;
        }
        let tenant = tenant.to_owned();
        drop(oldest);
        labels.remove((tenant.as_str(), tag))?;
        ends.remove((tenant.as_str(), tag))?;
        expiry.remove((until, tenant.as_str(), tag))?;
    }
    Ok(())
}

fn readable(text: &[u8]) -> Result<String, StoreError> {
    std::str::from_utf8(text)
        .map(str::to_owned)
        .map_err(|_| StoreError::Corrupt("a label is not UTF-8".to_owned()))
}
