//! [`Table`] reads rows of CSV: with or without header, with commas, semicolons or tabs.

use std::borrow::Cow;
use std::io::{self, Read};

use csv::{ByteRecord, ReaderBuilder, Terminator};

use super::RowError;
use super::columns::Columns;
use super::fields::Fields;
use super::reader::{Item, ReadError, Settings};
use crate::mail::Address;

/// Most octets of one row: a quotation mark that does not end would swallow the rest of the list.
const ROW_LIMIT: u64 = 1 << 20;

const BUFFER: usize = 64 << 10;

/// Rows of CSV.
pub(super) struct Table<R> {
    reader: csv::Reader<Bounded<R>>,
    record: ByteRecord,
    columns: Columns,
    /// How many fields a row may have; none where no header tells.
    width: Option<usize>,
    /// The first row is in `record` and was not handed out.
    first: bool,
}

impl<R: Read> Table<R> {
    /// Reads the first row, which may be the header. `beginning` is what the list begins with.
    pub(super) fn open(
        source: R,
        beginning: &[u8],
        settings: &Settings,
    ) -> Result<Self, ReadError> {
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .delimiter(delimiter(beginning))
            // Not CRLF, after which the lines would be counted one too few; what is left of it is
            // space around a field.
            .terminator(Terminator::Any(b'\n'))
            .buffer_capacity(BUFFER)
            .from_reader(Bounded {
                inner: source,
                left: ROW_LIMIT + BUFFER as u64,
                ended: false,
            });
        let mut table = Self {
            reader,
            record: ByteRecord::new(),
            columns: Columns::default(),
            width: None,
            first: false,
        };
        if table.read()? {
            table.find_columns(settings)?;
        }
        Ok(table)
    }

    fn find_columns(&mut self, settings: &Settings) -> Result<(), ReadError> {
        let names: Vec<_> = self.record.iter().map(String::from_utf8_lossy).collect();
        let columns = Columns::named(names.iter().map(Cow::as_ref), &settings.ignored);
        if columns.address.is_some() {
            self.columns = columns;
            self.width = Some(names.len());
            return Ok(());
        }
        self.columns = Columns::positions(&settings.ignored);
        let first = Fields::of(&self.columns, |column| field(&self.record, column));
        if Address::parse(&first.address).is_err() {
            return Err(ReadError::NoAddressColumn);
        }
        self.first = true;
        Ok(())
    }

    /// The next row.
    pub(super) fn next_item(&mut self, settings: &Settings) -> Result<Option<Item<'_>>, ReadError> {
        if !std::mem::take(&mut self.first) && !self.read()? {
            return Ok(None);
        }
        let line = self.line();
        if self.width.is_some_and(|width| self.record.len() > width) {
            let error = RowError::TooManyFields;
            return Ok(Some(Item::Error { line, error }));
        }
        let record = &self.record;
        let fields = Fields::of(&self.columns, |column| field(record, column));
        Ok(Some(Item::of(line, fields.row(line, settings))))
    }

    /// Where the row begins. The reader knows where it ended, and of where it began also the empty
    /// lines before it.
    fn line(&self) -> u64 {
        let within = self.record.as_slice().iter().filter(|&&b| b == b'\n');
        // The last row may have no end of its own.
        let ends = within.count() as u64 + u64::from(!self.reader.get_ref().ended);
        self.reader.position().line().saturating_sub(ends)
    }

    /// Octets of the rows that were handed out.
    pub(super) fn position(&self) -> u64 {
        self.reader.position().byte()
    }

    /// Reads the next row that is not empty.
    fn read(&mut self) -> Result<bool, ReadError> {
        loop {
            self.reader.get_mut().left = ROW_LIMIT + BUFFER as u64;
            let line = self.reader.position().line();
            match self.reader.read_byte_record(&mut self.record) {
                Ok(true) if is_empty(&self.record) => {}
                Ok(more) => return Ok(more),
                Err(error) => return Err(failure(error, line)),
            }
        }
    }
}

fn failure(error: csv::Error, line: u64) -> ReadError {
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            ReadError::TooLong { line }
        }
        csv::ErrorKind::Io(error) => error.into(),
        other => io::Error::other(format!("{other:?}")).into(),
    }
}

fn is_empty(record: &ByteRecord) -> bool {
    record.len() == 1 && record[0].trim_ascii().is_empty()
}

fn field(record: &ByteRecord, column: usize) -> Cow<'_, str> {
    String::from_utf8_lossy(record.get(column).unwrap_or_default())
}

/// What separates the fields of the first line; a comma where nothing does.
fn delimiter(beginning: &[u8]) -> u8 {
    let line = beginning.split(|&b| b == b'\n').next().unwrap_or_default();
    let mut best = (b',', 0);
    for candidate in [b',', b';', b'\t'] {
        let mut quoted = false;
        let count = line
            .iter()
            .filter(|&&b| {
                quoted ^= b == b'"';
                b == candidate && !quoted
            })
            .count();
        if count > best.1 {
            best = (candidate, count);
        }
    }
    best.0
}

/// Gives no more than is left for one row.
struct Bounded<R> {
    inner: R,
    left: u64,
    /// There is nothing more.
    ended: bool,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let size = self.inner.read(buffer)?;
        self.left = self.left.saturating_sub(size as u64);
        self.ended = size == 0;
        Ok(size)
    }
}
