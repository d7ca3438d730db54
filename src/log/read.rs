//! A [`LogReader`] reads the suppression log line by line, also while it is being written.
//!
//! It holds one line at a time and never stops at a bad one: a crash may leave half a line behind.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use memchr::{memchr, memrchr_iter};

use super::line::Line;

/// Longest line that is read, in octets; a longer one is skipped as unreadable.
pub const LINE_LIMIT: usize = 256 << 10;

/// How far from its end a file is searched for its last lines, in octets.
const TAIL_LIMIT: u64 = 64 << 10;

/// Reads the lines of one file, and of its successors when it is rotated.
#[derive(Debug)]
pub struct LogReader {
    path: PathBuf,
    file: BufReader<File>,
    /// How many octets of the file were read.
    position: u64,
    /// The number of the line in `buffer`; counts from where reading began.
    number: u64,
    buffer: Vec<u8>,
    /// The line in `buffer` was handed out.
    spent: bool,
    /// The line is over the limit: the rest of it is thrown away.
    overlong: bool,
    /// The name leads to another file by now; this one is read to its end first.
    rotated: bool,
}

/// What the next line holds.
#[derive(Debug)]
pub enum Next<'a> {
    /// A line, as it stands in the file without its end, and what it says.
    Line(&'a [u8], Line),
    /// The line of this number cannot be read.
    Unreadable(u64),
    /// Nothing more for now.
    End,
}

impl LogReader {
    /// Opens a log at its beginning.
    ///
    /// # Errors
    /// When the file cannot be opened.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self {
            path: path.to_owned(),
            file: BufReader::with_capacity(64 << 10, File::open(path)?),
            position: 0,
            number: 0,
            buffer: Vec::new(),
            spent: true,
            overlong: false,
            rotated: false,
        })
    }

    /// Skips all but the last `count` lines.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn skip_to_last(&mut self, count: usize) -> io::Result<()> {
        let length = self.file.get_ref().metadata()?.len();
        let start = length.saturating_sub(TAIL_LIMIT);
        self.file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        Read::take(&mut self.file, TAIL_LIMIT).read_to_end(&mut tail)?;
        // The newline at the very end closes the last line and begins none.
        let body = tail.strip_suffix(b"\n").unwrap_or(&tail);
        let from = match memrchr_iter(b'\n', body).nth(count.saturating_sub(1)) {
            Some(newline) => newline + 1,
            // The file begins within the tail, or else the tail begins within a line.
            None if start == 0 => 0,
            None => memchr(b'\n', &tail).map_or(tail.len(), |newline| newline + 1),
        };
        self.position = start + from as u64;
        self.file.seek(SeekFrom::Start(self.position))?;
        Ok(())
    }

    /// Reads the next line. At the end, half a line is read as a line.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn next_line(&mut self) -> io::Result<Next<'_>> {
        if self.fill_line()? || !self.spent {
            return Ok(self.hand_out());
        }
        Ok(Next::End)
    }

    /// Reads the next line that is complete. After [`Next::End`], call it again some time later: it
    /// goes on where the file has grown, was truncated or was replaced.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn follow(&mut self) -> io::Result<Next<'_>> {
        loop {
            if self.fill_line()? {
                return Ok(self.hand_out());
            }
            if self.rotated {
                let successor = match Self::open(&self.path) {
                    Ok(successor) => successor,
                    // Gone again already: somebody rotates right now.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        self.rotated = false;
                        return Ok(Next::End);
                    }
                    Err(error) => return Err(error),
                };
                let unfinished = !self.spent;
                let number = self.number;
                *self = successor;
                if unfinished {
                    return Ok(Next::Unreadable(number));
                }
            } else if !self.look_around()? {
                return Ok(Next::End);
            }
        }
    }

    /// Whether there is more to read because the file is another one or begins anew.
    fn look_around(&mut self) -> io::Result<bool> {
        let open = self.file.get_ref().metadata()?;
        if open.len() < self.position {
            self.file.seek(SeekFrom::Start(0))?;
            self.position = 0;
            self.number = 0;
            self.spent = true;
            self.overlong = false;
            return Ok(true);
        }
        // While the new file is not there yet, the old one may still grow.
        self.rotated = fs::metadata(&self.path)
            .is_ok_and(|named| named.dev() != open.dev() || named.ino() != open.ino());
        Ok(self.rotated)
    }

    /// Reads on to the end of the line; false when the file ends before it.
    fn fill_line(&mut self) -> io::Result<bool> {
        loop {
            let available = match self.file.fill_buf() {
                Ok(available) => available,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if available.is_empty() {
                return Ok(false);
            }
            if std::mem::take(&mut self.spent) {
                self.buffer.clear();
                self.overlong = false;
                self.number += 1;
            }
            let newline = memchr(b'\n', available);
            let part = &available[..newline.unwrap_or(available.len())];
            if self.overlong || self.buffer.len() + part.len() > LINE_LIMIT {
                self.overlong = true;
                self.buffer.clear();
            } else {
                self.buffer.extend_from_slice(part);
            }
            let used = part.len() + usize::from(newline.is_some());
            self.file.consume(used);
            self.position += used as u64;
            if newline.is_some() {
                return Ok(true);
            }
        }
    }

    fn hand_out(&mut self) -> Next<'_> {
        self.spent = true;
        match Line::parse(&self.buffer) {
            Some(line) if !self.overlong => Next::Line(&self.buffer, line),
            _ => Next::Unreadable(self.number),
        }
    }
}

#[cfg(test)]
mod tests;
