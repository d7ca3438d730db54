//! What Redis *replied*, read strictly: whatever is not exactly what we wrote cannot be read.

use redis::Value;

use super::super::codec;
use super::super::{HistoryEntry, Meta, StoreError, Versioned};
use super::link::describe_server;
use crate::suppression::{Finding, RecipientKey, Tenant};

/// Name and value of a field.
pub(super) type Pair<'a> = (&'a [u8], &'a [u8]);

/// What a look-up found of one key. A key that cannot be read spoils only itself (S4).
pub(super) fn finding(tenant: &Tenant, key: &RecipientKey, reply: &Value) -> Finding {
    match record(reply) {
        Ok(Versioned { version: 0, .. }) => Finding::Clear,
        Ok(read) => Finding::known(&read.record),
        Err(error) => {
            tracing::error!(%tenant, %key, %error, "a record cannot be read");
            Finding::Unavailable
        }
    }
}

/// A record, read from what HGETALL replied.
pub(super) fn record(reply: &Value) -> Result<Versioned, StoreError> {
    let fields = pairs(reply)?;
    if fields.is_empty() {
        return Ok(Versioned::default());
    }
    Ok(codec::decode(fields)?)
}

/// A history, newest first, read from what LRANGE replied.
pub(super) fn history(reply: &Value) -> Result<Vec<HistoryEntry>, StoreError> {
    texts(reply)?
        .into_iter()
        .rev()
        .map(|text| Ok(codec::decode_entry(text)?))
        .collect()
}

/// The entries of a stream that have one field of this name: their ids and values.
pub(super) fn entries<'a>(reply: &'a Value, name: &[u8]) -> Result<Vec<Pair<'a>>, StoreError> {
    array(reply)?
        .iter()
        .map(|entry| {
            let [Value::BulkString(id), content] = array(entry)? else {
                return Err(unexpected());
            };
            match pairs(content)?.as_slice() {
                [(field, value)] if *field == name => Ok((id.as_slice(), *value)),
                _ => Err(unexpected()),
            }
        })
        .collect()
}

/// Texts, none of them missing.
pub(super) fn texts(reply: &Value) -> Result<Vec<&[u8]>, StoreError> {
    array(reply)?
        .iter()
        .map(|text| {
            optional_text(text)?.ok_or_else(|| {
                StoreError::Corrupt("a value is too long, or was just taken away".to_owned())
            })
        })
        .collect()
}

/// Texts, and none where one is missing or too long.
pub(super) fn optional_texts(reply: &Value) -> Result<Vec<Option<&[u8]>>, StoreError> {
    array(reply)?.iter().map(optional_text).collect()
}

/// What the store says about itself, read from what HGETALL replied.
pub(super) fn meta(reply: &Value) -> Result<Option<Meta>, StoreError> {
    let fields = pairs(reply)?;
    if fields.is_empty() {
        return Ok(None);
    }
    let text = |name: &str| {
        fields
            .iter()
            .find(|(field, _)| *field == name.as_bytes())
            .and_then(|(_, value)| std::str::from_utf8(value).ok())
            .ok_or_else(|| StoreError::Corrupt(format!("{} has no {name}", super::META)))
    };
    Ok(Some(Meta {
        schema: text("schema")?
            .parse()
            .map_err(|_| StoreError::Corrupt(format!("{} has no schema", super::META)))?,
        key_check: text("key_check")?.to_owned(),
        generation: text("generation")?.to_owned(),
    }))
}

/// A string, or nothing where there is none.
pub(super) fn optional_text(reply: &Value) -> Result<Option<&[u8]>, StoreError> {
    match reply {
        Value::Nil => Ok(None),
        Value::BulkString(text) => Ok(Some(text)),
        other => Err(failure(other)),
    }
}

/// A number.
pub(super) fn number(reply: &Value) -> Result<u64, StoreError> {
    match reply {
        Value::Int(number) => u64::try_from(*number).map_err(|_| unexpected()),
        other => Err(failure(other)),
    }
}

/// Redis gave an answer of another kind than the command has.
pub(super) fn unexpected() -> StoreError {
    StoreError::Corrupt("Redis gave another kind of answer than was asked for".to_owned())
}

/// Names and values, in turns; one that is too long was taken out and cannot be read.
pub(super) fn pairs(reply: &Value) -> Result<Vec<Pair<'_>>, StoreError> {
    array(reply)?
        .chunks(2)
        .map(|pair| match pair {
            [Value::BulkString(name), Value::BulkString(value)] => {
                Ok((name.as_slice(), value.as_slice()))
            }
            [_, Value::Nil] => Err(StoreError::Corrupt("a value is too long".to_owned())),
            _ => Err(unexpected()),
        })
        .collect()
}

fn array(reply: &Value) -> Result<&[Value], StoreError> {
    match reply {
        Value::Array(elements) => Ok(elements),
        other => Err(failure(other)),
    }
}

/// An error of the server is an outage, except where it speaks about the value.
fn failure(reply: &Value) -> StoreError {
    match reply {
        Value::ServerError(error) if matches!(error.code(), "WRONGTYPE" | "SENDGATE") => {
            StoreError::Corrupt(describe_server(error))
        }
        Value::ServerError(error) => StoreError::Unavailable(describe_server(error)),
        _ => unexpected(),
    }
}
