//! A [`Chunk`] is some rows of a list, ready to be sent; a thread of its own makes them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use crate::http::IMPORT_BODY_LIMIT;
use crate::import::{Item, ReadError, Reader, Row, Settings};

/// Rows of one request.
const CHUNK_ROWS: usize = 1000;

/// A request is sent when it has so many octets; one more row must still fit.
const CHUNK_SIZE: usize = IMPORT_BODY_LIMIT / 4;

/// Chunks that wait to be sent: the list is read no faster than it is taken.
const WAITING: usize = 4;

/// What comes out of a list.
#[derive(Debug)]
pub(super) enum Part {
    /// Rows to send.
    Chunk(Chunk),
    /// A row that is not sent.
    Left(Left),
    /// The list cannot be read, or not to its end.
    Failed(ReadError),
}

/// A row that is not sent.
#[derive(Debug)]
pub(super) struct Left {
    /// Where, from 1.
    pub(super) line: u64,
    /// Why.
    pub(super) why: String,
    /// It is not carried over; the others failed.
    pub(super) skipped: bool,
}

/// Rows, as they are sent.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    body: Vec<u8>,
    /// Of each row: its line, and where it ends in the body.
    rows: Vec<(u64, usize)>,
    /// Octets of the list up to here.
    pub(super) position: u64,
}

impl Chunk {
    fn add(&mut self, row: &Row<'_>) -> io::Result<()> {
        serde_json::to_writer(&mut self.body, row)?;
        self.body.push(b'\n');
        self.rows.push((row.line, self.body.len()));
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.rows.len() >= CHUNK_ROWS || self.body.len() >= CHUNK_SIZE
    }

    /// The rows as one text.
    pub(super) fn body(&self) -> Vec<u8> {
        self.body.clone()
    }

    /// The line of the row at this place.
    pub(super) fn line(&self, place: u64) -> u64 {
        let row = usize::try_from(place).ok().and_then(|at| self.rows.get(at));
        row.map_or(0, |(line, _)| *line)
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The rows at these places only.
    pub(super) fn only(&self, places: &[u64]) -> Self {
        let mut part = Self {
            position: self.position,
            ..Self::default()
        };
        for place in places
            .iter()
            .filter_map(|place| usize::try_from(*place).ok())
        {
            let Some((line, end)) = self.rows.get(place) else {
                continue;
            };
            let before = place
                .checked_sub(1)
                .and_then(|before| self.rows.get(before));
            let start = before.map_or(0, |(_, end)| *end);
            part.body.extend_from_slice(&self.body[start..*end]);
            part.rows.push((*line, part.body.len()));
        }
        part
    }
}

/// Reads a list on a thread of its own, no faster than it is taken.
pub(super) fn read(path: PathBuf, settings: Settings) -> mpsc::Receiver<Part> {
    let (sender, receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut give = |part| sender.blocking_send(part).is_ok();
        if let Err(error) = read_path(&path, &settings, &mut give) {
            give(Part::Failed(error));
        }
    });
    receiver
}

fn read_path(
    path: &Path,
    settings: &Settings,
    give: &mut dyn FnMut(Part) -> bool,
) -> Result<(), ReadError> {
    if path == Path::new("-") {
        read_list(io::stdin().lock(), settings, give)
    } else {
        read_list(File::open(path)?, settings, give)
    }
}

fn read_list(
    source: impl Read,
    settings: &Settings,
    give: &mut dyn FnMut(Part) -> bool,
) -> Result<(), ReadError> {
    let mut reader = Reader::open(source, settings)?;
    let mut chunk = Chunk::default();
    while let Some(item) = reader.next_item(settings)? {
        let left = match item {
            Item::Row(row) => {
                chunk.add(&row)?;
                None
            }
            Item::Skipped { line, reason } => Some(Left {
                line,
                why: format!("not carried over: {reason}"),
                skipped: true,
            }),
            Item::Error { line, error } => Some(Left {
                line,
                why: error.to_string(),
                skipped: false,
            }),
        };
        if let Some(left) = left
            && !give(Part::Left(left))
        {
            return Ok(());
        }
        if chunk.is_full() {
            chunk.position = reader.position();
            if !give(Part::Chunk(std::mem::take(&mut chunk))) {
                return Ok(());
            }
        }
    }
    chunk.position = reader.position();
    if chunk.len() > 0 {
        give(Part::Chunk(chunk));
    }
    Ok(())
}
