//! The *fields* of a record: the names and values under which every adapter keeps it.
//!
//! Reading is strict. A field that is not known may be an axis that blocks, written by a newer
//! program, so a record that holds one cannot be read and is never "not suppressed" (S4).

mod object;

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub(super) use self::object::{decode_object, encode_object};
use super::{HistoryEntry, StoreError, Versioned};
use crate::suppression::{RecipientKey, Record, Scope};

/// Most fields of one record; more can neither be written nor read.
pub(super) const FIELD_LIMIT: usize = 2048;

/// Longest value of a field or history entry, in octets.
pub(super) const VALUE_LIMIT: usize = 64 * 1024;

/// Longest record, in octets of all names and values.
const RECORD_LIMIT: usize = 1024 * 1024;

/// The counter that compare-and-set compares.
pub(super) const VERSION: &str = "version";

/// How many recipients a transaction has.
const COUNT: &str = "count";

/// Digits of one recipient's key.
const KEY_DIGITS: usize = 32;

/// Recipients in one field, so that each is well below [`VALUE_LIMIT`].
const PIECE: usize = 1000;

const OPT_OUT: &str = "optout:";
const OPT_IN: &str = "optin:";

/// One field: its name and its value.
pub(super) type Field = (String, String);

/// Why a value cannot be read or written. It names the field and never shows what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CodecError(String);

impl CodecError {
    fn of(field: &str, what: impl fmt::Display) -> Self {
        // The name may come from whoever wrote into the store: a log line shows a part, escaped.
        let name: String = field.chars().take(80).collect();
        Self(format!("field {name:?} {what}"))
    }
}

impl fmt::Display for CodecError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<CodecError> for StoreError {
    fn from(error: CodecError) -> Self {
        Self::Corrupt(error.0)
    }
}

/// The fields of a record, the version among them.
///
/// # Errors
/// When the record is so large, or so odd, that it could not be read again.
pub(super) fn encode(record: &Record, version: u64) -> Result<Vec<Field>, CodecError> {
    let mut fields = vec![(VERSION.to_owned(), version.to_string())];
    if let Some(address) = &record.address {
        fields.push(("address".to_owned(), address.clone()));
    }
    for (scope, consent) in &record.opt_outs {
        fields.push((scoped(OPT_OUT, scope)?, json(consent)?));
    }
    for (scope, consent) in &record.opt_ins {
        fields.push((scoped(OPT_IN, scope)?, json(consent)?));
    }
    add(&mut fields, "do_not_email", record.do_not_email.as_ref())?;
    add(&mut fields, "complaint", record.complaint.as_ref())?;
    add(&mut fields, "hard", record.hard.as_ref())?;
    add(&mut fields, "soft", record.soft.as_ref())?;
    add(&mut fields, "hard_reset", record.hard_reset.as_ref())?;
    add(&mut fields, "soft_reset", record.soft_reset.as_ref())?;
    add(&mut fields, "erased", record.erased.as_ref())?;
    check_size(&fields)?;
    Ok(fields)
}

/// The record and its version, read from its fields.
///
/// # Errors
/// When anything in it is not exactly what [`encode`] writes.
pub(super) fn decode<N, V>(
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<Versioned, CodecError>
where
    N: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let mut read = Versioned::default();
    for (name, value) in fields {
        let name = String::from_utf8_lossy(name.as_ref());
        let value = std::str::from_utf8(value.as_ref())
            .map_err(|_| CodecError::of(&name, "is not UTF-8"))?;
        take(&mut read, &name, value)?;
    }
    if read.version == 0 {
        return Err(CodecError::of(VERSION, "is missing"));
    }
    Ok(read)
}

/// A value as it is kept.
///
/// # Errors
/// When it is too large to be read again.
pub(super) fn encode_value<T: Serialize>(value: &T) -> Result<String, CodecError> {
    let text = json(value)?;
    if text.len() > VALUE_LIMIT {
        return Err(CodecError::of("value", "is too long"));
    }
    Ok(text)
}

/// A value as it was kept; the name is for the error.
///
/// # Errors
/// When it is not what [`encode_value`] writes.
pub(super) fn decode_value<T: DeserializeOwned>(name: &str, value: &[u8]) -> Result<T, CodecError> {
    serde_json::from_slice(value).map_err(|error| CodecError::of(name, Unreadable::from(&error)))
}

/// A history entry as it is kept.
///
/// # Errors
/// When it is too large.
pub(super) fn encode_entry(entry: &HistoryEntry) -> Result<String, CodecError> {
    let text = json(entry)?;
    if text.len() > VALUE_LIMIT {
        return Err(CodecError::of("history", "has an entry that is too long"));
    }
    Ok(text)
}

/// A history entry as it was kept.
///
/// # Errors
/// When it is not what [`encode_entry`] writes.
pub(super) fn decode_entry(value: &[u8]) -> Result<HistoryEntry, CodecError> {
    serde_json::from_slice(value)
        .map_err(|error| CodecError::of("history", Unreadable::from(&error)))
}

/// The recipients of a transaction as fields: how many, then all of them in pieces.
///
/// # Errors
/// When there are more than can be read again.
pub(super) fn encode_recipients(recipients: &[RecipientKey]) -> Result<Vec<Field>, CodecError> {
    let mut fields = vec![(COUNT.to_owned(), recipients.len().to_string())];
    for (number, piece) in recipients.chunks(PIECE).enumerate() {
        let keys: String = piece.iter().map(ToString::to_string).collect();
        fields.push((number.to_string(), keys));
    }
    check_size(&fields)?;
    Ok(fields)
}

/// The recipients in such fields.
///
/// # Errors
/// When a piece is missing or is not exactly what [`encode_recipients`] writes: a set that lost
/// somebody would call their own report a stranger's.
pub(super) fn decode_recipients<N, V>(
    fields: impl IntoIterator<Item = (N, V)>,
) -> Result<Vec<RecipientKey>, CodecError>
where
    N: AsRef<[u8]>,
    V: AsRef<[u8]>,
{
    let odd = || CodecError::of(COUNT, "does not fit the recipients");
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).map(str::to_owned).ok();
    let mut pieces = BTreeMap::new();
    let mut count = None;
    for (name, value) in fields {
        let name = text(name.as_ref()).ok_or_else(odd)?;
        let value = text(value.as_ref()).ok_or_else(odd)?;
        if name == COUNT {
            count = value.parse::<usize>().ok();
        } else {
            pieces.insert(name.parse::<usize>().map_err(|_| odd())?, value);
        }
    }
    let mut recipients = Vec::new();
    for (expected, (number, piece)) in pieces.into_iter().enumerate() {
        if number != expected {
            return Err(odd());
        }
        for key in piece.as_bytes().chunks(KEY_DIGITS) {
            let key = std::str::from_utf8(key).map_err(|_| odd())?;
            recipients.push(key.parse().map_err(|_| odd())?);
        }
    }
    if count == Some(recipients.len()) {
        Ok(recipients)
    } else {
        Err(odd())
    }
}

/// Whether a label can be kept.
///
/// # Errors
/// When it is longer than what can be read again.
pub(super) fn check_label(text: &str) -> Result<(), CodecError> {
    if text.len() > VALUE_LIMIT {
        return Err(CodecError::of("label", "is too long"));
    }
    Ok(())
}

fn take(read: &mut Versioned, name: &str, value: &str) -> Result<(), CodecError> {
    let record = &mut read.record;
    match name {
        VERSION => read.version = version(value)?,
        "address" => record.address = Some(value.to_owned()),
        "do_not_email" => record.do_not_email = Some(parse(name, value)?),
        "complaint" => record.complaint = Some(parse(name, value)?),
        "hard" => record.hard = Some(parse(name, value)?),
        "soft" => record.soft = Some(parse(name, value)?),
        "hard_reset" => record.hard_reset = Some(parse(name, value)?),
        "soft_reset" => record.soft_reset = Some(parse(name, value)?),
        "erased" => record.erased = Some(parse(name, value)?),
        _ => {
            if let Some(scope) = name.strip_prefix(OPT_OUT) {
                record
                    .opt_outs
                    .insert(self::scope(name, scope)?, parse(name, value)?);
            } else if let Some(scope) = name.strip_prefix(OPT_IN) {
                record
                    .opt_ins
                    .insert(self::scope(name, scope)?, parse(name, value)?);
            } else {
                return Err(CodecError::of(name, "is not known to this program"));
            }
        }
    }
    Ok(())
}

fn version(value: &str) -> Result<u64, CodecError> {
    match value.parse() {
        Ok(version) if version > 0 => Ok(version),
        _ => Err(CodecError::of(VERSION, "is not a number above 0")),
    }
}

/// Two spellings of one scope would be two fields of which one is lost, so there is one spelling.
fn scope(field: &str, text: &str) -> Result<Scope, CodecError> {
    match text.parse::<Scope>() {
        Ok(scope) if scope.to_string() == text => Ok(scope),
        _ => Err(CodecError::of(field, "names no scope")),
    }
}

fn scoped(prefix: &str, scope: &Scope) -> Result<String, CodecError> {
    let name = format!("{prefix}{scope}");
    self::scope(&name, &name[prefix.len()..])?;
    Ok(name)
}

fn add<T: Serialize>(
    fields: &mut Vec<Field>,
    name: &str,
    value: Option<&T>,
) -> Result<(), CodecError> {
    if let Some(value) = value {
        fields.push((name.to_owned(), json(value)?));
    }
    Ok(())
}

fn check_size(fields: &[Field]) -> Result<(), CodecError> {
    if fields.len() > FIELD_LIMIT {
        return Err(CodecError::of("record", "has too many fields"));
    }
    if let Some((name, _)) = fields.iter().find(|(_, value)| value.len() > VALUE_LIMIT) {
        return Err(CodecError::of(name, "is too long"));
    }
    let size: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > RECORD_LIMIT {
        return Err(CodecError::of("record", "is too long"));
    }
    Ok(())
}

fn json<T: Serialize>(value: &T) -> Result<String, CodecError> {
    serde_json::to_string(value).map_err(|error| CodecError(error.to_string()))
}

fn parse<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, CodecError> {
    serde_json::from_str(value).map_err(|error| CodecError::of(name, Unreadable::from(&error)))
}

/// Where JSON cannot be read. Its own message would quote the value.
struct Unreadable {
    line: usize,
    column: usize,
}

impl From<&serde_json::Error> for Unreadable {
    fn from(error: &serde_json::Error) -> Self {
        Self {
            line: error.line(),
            column: error.column(),
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "cannot be read at line {} column {}",
            self.line, self.column
        )
    }
}

#[cfg(test)]
mod tests;
