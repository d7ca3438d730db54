//! What *returns* need: the recipients of signed transactions, and what the tags of tokens stand for.

use std::time::Duration;

use redis::Value;

use super::guarded::Batch;
use super::{REMEMBER_LIMIT, RedisStore, replies};
use crate::store::{StoreError, TransactionId, codec};
use crate::suppression::{RecipientKey, Tenant};

/// The field of a label's hash.
pub(super) const LABEL_TEXT: &str = "text";

impl RedisStore {
    /// One hash for each transaction. It is made anew, so nothing of an older one is left in it.
    pub(super) async fn write_sent(
        &self,
        tenant: &Tenant,
        id: &TransactionId,
        recipients: &[RecipientKey],
        keep: Duration,
    ) -> Result<(), StoreError> {
        let name = sent_name(tenant, id);
        let fields = codec::encode_recipients(recipients)?;
        let mut batch = Batch::default();
        batch.add("DEL", &name, [""; 0]);
        let words = fields.into_iter().flat_map(|(name, value)| [name, value]);
        batch.add("HSET", &name, words);
        batch.add("PEXPIRE", &name, [milliseconds(keep)]);
        self.run_batch(batch).await.map(|_| ())
    }

    pub(super) async fn read_sent(
        &self,
        tenant: &Tenant,
        id: &TransactionId,
    ) -> Result<Option<Vec<RecipientKey>>, StoreError> {
        let mut commands = super::commands(1);
        commands.cmd("HGETALL").arg(sent_name(tenant, id));
        let found = self.checked(&commands, self.write_timeout()).await?;
        let fields = replies::pairs(found.first().unwrap_or(&Value::Nil))?;
        if fields.is_empty() {
            return Ok(None);
        }
        Ok(Some(codec::decode_recipients(fields)?))
    }

    pub(super) async fn write_label(
        &self,
        tenant: &Tenant,
        tag: u32,
        text: &str,
        keep: Option<Duration>,
    ) -> Result<String, StoreError> {
        codec::check_label(text)?;
        let name = label_name(tenant, tag);
        let mut batch = Batch::default();
        batch.add("HSETNX", &name, [LABEL_TEXT, text]);
        batch.add("HGET", &name, [LABEL_TEXT]);
        let kept = match self.run_batch(batch).await?.as_slice() {
            [_, found] => label_text(found)?.ok_or_else(too_long)?,
            _ => return Err(replies::unexpected()),
        };
        // Only now it is known whose label it is: another's may have to last for ever.
        if let Some(keep) = keep.filter(|_| kept == text) {
            let mut batch = Batch::default();
            batch.add("PEXPIRE", &name, [milliseconds(keep)]);
            self.run_batch(batch).await?;
        }
        Ok(kept)
    }

    pub(super) async fn read_label(
        &self,
        tenant: &Tenant,
        tag: u32,
    ) -> Result<Option<String>, StoreError> {
        let name = label_name(tenant, tag);
        let mut commands = super::commands(1);
        // A text that is too long to be read comes as nothing at all: its length tells.
        commands.cmd("HSTRLEN").arg(&name).arg(LABEL_TEXT);
        commands.cmd("HGET").arg(&name).arg(LABEL_TEXT);
        let found = self.checked(&commands, self.write_timeout()).await?;
        read_text(&found)
    }
}

/// The text in the replies to `HSTRLEN` and `HGET`.
fn read_text(found: &[Value]) -> Result<Option<String>, StoreError> {
    let [length, text] = found else {
        return Err(replies::unexpected());
    };
    match (replies::number(length)?, label_text(text)?) {
        // There is none, or its time was over between the two.
        (length, None) if length <= codec::VALUE_LIMIT as u64 => Ok(None),
        (_, None) => Err(too_long()),
        (_, text) => Ok(text),
    }
}

fn label_text(reply: &Value) -> Result<Option<String>, StoreError> {
    replies::optional_text(reply)?
        .map(|text| String::from_utf8(text.to_vec()))
        .transpose()
        .map_err(|_| StoreError::Corrupt("a label is not UTF-8".to_owned()))
}

fn too_long() -> StoreError {
    StoreError::Corrupt("a label is too long".to_owned())
}

pub(super) fn sent_name(tenant: &Tenant, id: &TransactionId) -> String {
    format!("sendgate:{tenant}:sent:{:032x}", u128::from_be_bytes(*id))
}

/// One hash for each label, because a field cannot expire.
pub(super) fn label_name(tenant: &Tenant, tag: u32) -> String {
    format!("sendgate:{tenant}:label:{tag:08x}")
}

/// What PEXPIRE is told; not 0, which Redis takes for a command to delete.
fn milliseconds(keep: Duration) -> String {
    let keep = keep.clamp(Duration::from_millis(1), REMEMBER_LIMIT);
    keep.as_millis().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_that_ends_while_it_is_read_is_gone_and_not_too_long() {
        let limit = i64::try_from(codec::VALUE_LIMIT).unwrap();
        for length in [0, 6, limit] {
            let read = read_text(&[Value::Int(length), Value::Nil]);
            assert_eq!(read.unwrap(), None, "{length}");
        }
        let read = read_text(&[Value::Int(limit + 1), Value::Nil]);
        assert!(matches!(read, Err(StoreError::Corrupt(_))), "{read:?}");
        let text = Value::BulkString(b"spring".to_vec());
        let read = read_text(&[Value::Int(6), text]);
        assert_eq!(read.unwrap().as_deref(), Some("spring"));
    }
}
