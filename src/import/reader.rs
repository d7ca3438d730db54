//! The [`Reader`] tells what kind of list it is and hands out its rows, one at a time.

use std::io::{self, BufReader, Cursor, Read};

use super::csv::Table;
use super::fields::Meant;
use super::json::Lines;
use super::{Reason, Row, RowError};
use crate::suppression::Scope;
use crate::timestamp::Timestamp;

/// How much of the beginning is looked at.
const BEGINNING: u64 = 64 << 10;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// What holds for all rows of a list.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The reason of rows that do not say.
    pub reason: Option<Reason>,
    /// What opt-outs cover that do not say; none for everything.
    pub scope: Option<Scope>,
    /// Columns to take no notice of: their names, or `2` for the second one where there is no header.
    pub ignored: Vec<String>,
    /// The present: what is later is an error.
    pub now: Timestamp,
}

/// What a list holds.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A row to take.
    Row(Row<'a>),
    /// A row of passing trouble: a soft bounce or a block is not carried over.
    Skipped {
        /// Where, from 1.
        line: u64,
        /// The reason in the words of the list.
        reason: String,
    },
    /// A row that cannot be taken.
    Error {
        /// Where, from 1.
        line: u64,
        /// Why.
        error: RowError,
    },
}

/// Why a list cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file, or what stands for it.
    #[error("cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Nothing in it looks like an address.
    #[error(
        "there is no column of addresses: name one \"email\" in the header, or leave the header out and put the addresses first"
    )]
    NoAddressColumn,
    /// A row does not end.
    #[error(
        "line {line}: the row is longer than 1 MiB: look for a quotation mark that does not end"
    )]
    TooLong {
        /// Where it begins, from 1.
        line: u64,
    },
    /// It is text of another encoding.
    #[error("it is UTF-16: save it as UTF-8")]
    Utf16,
    /// It is one JSON array.
    #[error("it is one JSON array: give one object a line, as \"jq -c '.[]'\" makes them")]
    JsonArray,
}

/// Reads rows, in bounded memory.
pub struct Reader<R: Read>(Kind<R>);

type Whole<R> = io::Chain<Cursor<Vec<u8>>, BufReader<R>>;

enum Kind<R: Read> {
    Table(Box<Table<Whole<R>>>),
    Lines(Lines<Whole<R>>),
}

impl<R: Read> Reader<R> {
    /// A reader of this list.
    ///
    /// # Errors
    /// When it is no list.
    pub fn open(source: R, settings: &Settings) -> Result<Self, ReadError> {
        let mut source = BufReader::with_capacity(256 << 10, source);
        let mut beginning = Vec::new();
        (&mut source).take(BEGINNING).read_to_end(&mut beginning)?;
        if beginning.starts_with(b"\xff\xfe") || beginning.starts_with(b"\xfe\xff") {
            return Err(ReadError::Utf16);
        }
        if beginning.starts_with(BOM) {
            beginning.drain(..BOM.len());
        }
        let head = beginning.trim_ascii_start();
        let kind = match head.first() {
            Some(b'[') => return Err(ReadError::JsonArray),
            Some(b'{') => Kind::Lines(Lines::open(Cursor::new(beginning).chain(source))),
            _ => {
                let sample = head.to_vec();
                let whole = Cursor::new(beginning).chain(source);
                Kind::Table(Box::new(Table::open(whole, &sample, settings)?))
            }
        };
        Ok(Self(kind))
    }

    /// The next row; none at the end.
    ///
    /// # Errors
    /// When it cannot be read on.
    pub fn next_item(&mut self, settings: &Settings) -> Result<Option<Item<'_>>, ReadError> {
        match &mut self.0 {
            Kind::Table(table) => table.next_item(settings),
            Kind::Lines(lines) => lines.next_item(settings),
        }
    }

    /// How many octets of the list the rows so far took.
    #[must_use]
    pub fn position(&self) -> u64 {
        match &self.0 {
            Kind::Table(table) => table.position(),
            Kind::Lines(lines) => lines.position(),
        }
    }
}

impl<'a> Item<'a> {
    pub(super) fn of(line: u64, meant: Result<Meant<'a>, RowError>) -> Self {
        match meant {
            Ok(Meant::Row(row)) => Self::Row(row),
            Ok(Meant::Passing(reason)) => Self::Skipped { line, reason },
            Err(error) => Self::Error { line, error },
        }
    }
}
