//! A [`Mailbag`] is what a path holds: one message, an mbox, a Maildir or a folder of messages.
//!
//! It is read as a stream. At most one message is in memory, and of that no more than the limit:
//! what a report says stands in front of the message that came back.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// What stands in front of each message of an mbox.
const SEPARATOR: &[u8] = b"From ";

/// A message, or why there is none.
#[derive(Debug)]
pub(super) struct Item {
    /// Where it was found, for people.
    pub(super) place: String,
    /// The message, cut at the limit.
    pub(super) message: io::Result<Vec<u8>>,
    /// Octets read since the item before.
    pub(super) read: u64,
}

/// Hands every message at this path to `take`, until that says that it has enough.
pub(super) fn each(path: &Path, limit: usize, take: &mut dyn FnMut(Item) -> bool) -> bool {
    let place = path.display().to_string();
    let opened = if path == Path::new("-") {
        stream(io::stdin().lock(), "standard input", limit, take)
    } else if path.is_dir() {
        folder(path, limit, take)
    } else {
        File::open(path).and_then(|file| {
            stream(
                BufReader::with_capacity(256 * 1024, file),
                &place,
                limit,
                take,
            )
        })
    };
    opened.unwrap_or_else(|error| {
        take(Item {
            place,
            message: Err(error),
            read: 0,
        })
    })
}

/// Octets that will be read at this path; none where only reading tells.
pub(super) fn size(path: &Path) -> Option<u64> {
    let metadata = fs::metadata(path).ok()?;
    metadata.is_file().then_some(metadata.len())
}

/// The messages of a Maildir, new ones and seen ones, or of a plain folder.
fn folder(path: &Path, limit: usize, take: &mut dyn FnMut(Item) -> bool) -> io::Result<bool> {
    let parts: Vec<PathBuf> = ["new", "cur"]
        .iter()
        .map(|part| path.join(part))
        .filter(|part| part.is_dir())
        .collect();
    let parts = if parts.is_empty() {
        vec![path.to_owned()]
    } else {
        parts
    };
    for part in parts {
        for entry in fs::read_dir(part)? {
            let file = entry?.path();
            if file.is_file() && !each(&file, limit, take) {
                return Ok(false);
            }
        }
    }
    Ok(true)
}

/// One message, or an mbox where the first line says so.
fn stream(
    mut reader: impl BufRead,
    place: &str,
    limit: usize,
    take: &mut dyn FnMut(Item) -> bool,
) -> io::Result<bool> {
    let mut line = Vec::new();
    let mut read = next_line(&mut reader, &mut line, limit)?;
    if !line.starts_with(SEPARATOR) {
        let mut message = line;
        let room = limit.saturating_sub(message.len()) as u64;
        read += (&mut reader).take(room).read_to_end(&mut message)? as u64;
        read += io::copy(&mut reader, &mut io::sink())?;
        return Ok(take(Item {
            place: place.to_owned(),
            message: Ok(message),
            read,
        }));
    }
    mbox(reader, place, limit, read, take)
}

/// The messages of an mbox. In a text a line that begins with `From ` was quoted with `>`, by some
/// programs (mboxrd) also where it was quoted before; a quotation mark is taken off again.
fn mbox(
    mut reader: impl BufRead,
    place: &str,
    limit: usize,
    mut read: u64,
    take: &mut dyn FnMut(Item) -> bool,
) -> io::Result<bool> {
    let mut line = Vec::new();
    let mut after_blank = false;
    for number in 1.. {
        let mut message = Vec::new();
        let more = loop {
            let octets = next_line(&mut reader, &mut line, limit)?;
            read += octets;
            if octets == 0 {
                break false;
            }
            if after_blank && is_separator(&line) {
                break true;
            }
            after_blank = line.trim_ascii().is_empty();
            let quotes = line.iter().take_while(|&&b| b == b'>').count();
            let quoted = quotes > 0 && line[quotes..].starts_with(SEPARATOR);
            let text = &line[usize::from(quoted)..];
            let room = limit.saturating_sub(message.len()).min(text.len());
            message.extend_from_slice(&text[..room]);
        };
        let item = Item {
            place: format!("{place}, message {number}"),
            message: Ok(message),
            read: std::mem::take(&mut read),
        };
        if !take(item) {
            return Ok(false);
        }
        if !more {
            break;
        }
        after_blank = false;
    }
    Ok(true)
}

/// Whether this is the line in front of a message: `From sender date`. A sentence that happens to
/// begin so and was not quoted has no time of day in it.
fn is_separator(line: &[u8]) -> bool {
    line.starts_with(SEPARATOR)
        && line.windows(5).any(|five| {
            let digit = |at: usize| five[at].is_ascii_digit();
            digit(0) && digit(1) && five[2] == b':' && digit(3) && digit(4)
        })
}

/// Reads a line with its end; of a longer one no more than the limit is kept. Returns the octets
/// read, 0 at the end.
fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>, limit: usize) -> io::Result<u64> {
    line.clear();
    let mut octets = 0;
    loop {
        let buffer = reader.fill_buf()?;
        let (length, ends) = match memchr::memchr(b'\n', buffer) {
            Some(at) => (at + 1, true),
            None => (buffer.len(), buffer.is_empty()),
        };
        let room = limit.saturating_sub(line.len()).min(length);
        line.extend_from_slice(&buffer[..room]);
        reader.consume(length);
        octets += length as u64;
        if ends {
            return Ok(octets);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str, limit: usize) -> Vec<String> {
        let mut found = Vec::new();
        let mut take = |item: Item| {
            found.push(String::from_utf8(item.message.unwrap()).unwrap());
            true
        };
        assert!(stream(text.as_bytes(), "x", limit, &mut take).unwrap());
        found
    }

    #[test]
    fn a_file_is_one_message_unless_it_begins_as_an_mbox_does() {
        let one = "Subject: a\n\nFrom here on 10:00\n";
        assert_eq!(messages(one, 1000), [one]);
        assert_eq!(messages("", 1000), [""]);
    }

    #[test]
    fn an_mbox_is_split_at_its_separators_and_unquoted() {
        let mbox = "From a@example.com Mon Nov  2 09:00:00 2026\nSubject: a\n\n>From here\n>>From there\n\
             From the text\n\nFrom my desk\n\n\
             From MAILER-DAEMON Mon Nov  2 09:00:01 2026\nSubject: b\n\n\
             From c@example.com Mon Nov  2 09:00:02 2026\nSubject: c\n\nFrom 10:00 on\n";
        assert_eq!(
            messages(mbox, 1000),
            [
                "Subject: a\n\nFrom here\n>From there\nFrom the text\n\nFrom my desk\n\n",
                "Subject: b\n\n",
                // Nothing tells this line from a separator, as in every mbox that does not quote.
                "Subject: c\n\n",
                "",
            ]
        );
    }

    #[test]
    fn what_is_over_the_limit_is_not_kept() {
        let line = "x".repeat(5000);
        let mbox = format!("From a Mon Nov  2 09:00:00 2026\n{line}\n{line}\n\nFrom b 09:00\nb\n");
        let found = messages(&mbox, 100);
        assert_eq!((found[0].len(), found[1].as_str()), (100, "b\n"));
        assert_eq!(messages(&line, 100)[0].len(), 100);
    }

    #[test]
    fn a_maildir_is_what_is_new_and_what_was_seen() {
        let folder = tempfile::tempdir().unwrap();
        for (part, text) in [("new", "1"), ("cur", "2"), ("tmp", "3")] {
            fs::create_dir(folder.path().join(part)).unwrap();
            fs::write(folder.path().join(part).join("m"), text).unwrap();
        }
        let mut found = Vec::new();
        let missing = folder.path().join("missing");
        for path in [folder.path(), &missing] {
            each(path, 1000, &mut |item| {
                found.push(item.message.ok());
                true
            });
        }
        let expected = [Some(b"1".to_vec()), Some(b"2".to_vec()), None];
        assert_eq!(found, expected);
    }
}
