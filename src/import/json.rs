//! [`Lines`] reads rows of NDJSON: one object a line, under the names that a header would have.

use std::borrow::Cow;
use std::io::{BufRead, Read};

use serde_json::{Map, Value};

use super::RowError;
use super::columns::Columns;
use super::fields::Fields;
use super::reader::{Item, ReadError, Settings};
use super::words::shown;

/// Longest line, in octets.
const LINE_LIMIT: u64 = 1 << 20;

/// Rows of NDJSON.
pub(super) struct Lines<R> {
    source: R,
    line: Vec<u8>,
    number: u64,
    position: u64,
}

impl<R: BufRead> Lines<R> {
    pub(super) const fn open(source: R) -> Self {
        Self {
            source,
            line: Vec::new(),
            number: 0,
            position: 0,
        }
    }

    /// The next row; empty lines are passed over.
    pub(super) fn next_item(&mut self, settings: &Settings) -> Result<Option<Item<'_>>, ReadError> {
        loop {
            self.line.clear();
            let size = (&mut self.source)
                .take(LINE_LIMIT)
                .read_until(b'\n', &mut self.line)? as u64;
            self.number += 1;
            self.position += size;
            if size == 0 {
                return Ok(None);
            }
            if size == LINE_LIMIT {
                return Err(ReadError::TooLong { line: self.number });
            }
            if !self.line.trim_ascii().is_empty() {
                break;
            }
        }
        let number = self.number;
        Ok(Some(match object(self.line.trim_ascii_end(), settings) {
            Ok(fields) => Item::of(number, fields.row(number, settings)),
            Err(error) => Item::Error {
                line: number,
                error,
            },
        }))
    }

    /// Octets of the rows that were handed out.
    pub(super) const fn position(&self) -> u64 {
        self.position
    }
}

fn object(line: &[u8], settings: &Settings) -> Result<Fields<'static>, RowError> {
    let object: Map<String, Value> = serde_json::from_slice(line)
        // Its own text would quote the line.
        .map_err(|error| RowError::Json(format!("column {}", error.column())))?;
    let columns = Columns::named(object.keys().map(String::as_str), &settings.ignored);
    let mut values = Vec::with_capacity(object.len());
    for (name, value) in object {
        values.push(match value {
            Value::Null => Ok(String::new()),
            Value::String(text) => Ok(text),
            Value::Number(number) => Ok(number.to_string()),
            Value::Array(mut list) if list.len() == 1 => match list.pop() {
                Some(Value::String(text)) => Ok(text),
                _ => Err(name),
            },
            Value::Bool(_) | Value::Array(_) | Value::Object(_) => Err(name),
        });
    }
    let used = [
        columns.address,
        columns.reason,
        columns.origin,
        columns.at,
        columns.scope.map(|(column, _)| column),
        columns.status,
        columns.text,
        columns.campaign,
    ];
    for column in used.into_iter().flatten() {
        if let Some(Err(name)) = values.get(column) {
            return Err(RowError::Value(shown(name)));
        }
    }
    Ok(Fields::of(&columns, |column| {
        let text = values.get(column).and_then(|value| value.as_ref().ok());
        Cow::Owned(text.cloned().unwrap_or_default())
    }))
}
