//! A header is the fields at the top of a message, up to the first empty line.
//!
//! [`HeaderReader`] holds it back while a body streams by, within a limit; [`fields`] walks over it
//! without copying. Bytes are dot-stuffed as they came.

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr2};

/// Collects the header at the front of a body.
#[derive(Debug)]
pub struct HeaderReader {
    held: BytesMut,
    /// Start of the first line that was not looked at.
    line: usize,
    limit: usize,
}

/// Where the reader stands.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderStep {
    /// More of the body is needed.
    Incomplete,
    /// The header, and what was read behind it (the empty line first, if there is one).
    Complete {
        /// The fields, each with its line end.
        header: Bytes,
        /// What follows.
        rest: Bytes,
    },
    /// The header is larger than the limit.
    TooLarge,
}

impl HeaderReader {
    /// A reader that holds at most `limit` octets.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            held: BytesMut::new(),
            line: 0,
            limit,
        }
    }

    /// Takes the next piece of the body.
    pub fn push(&mut self, piece: &Bytes) -> HeaderStep {
        // Nearly always the first piece has all of the header, and then nothing is copied.
        if self.held.is_empty() && self.ends_in(piece) && self.line <= self.limit {
            let (header, rest) = (piece.slice(..self.line), piece.slice(self.line..));
            self.line = 0;
            return HeaderStep::Complete { header, rest };
        }
        let mut held = std::mem::take(&mut self.held);
        held.extend_from_slice(piece);
        let ends = self.ends_in(&held);
        self.held = held;
        if ends {
            return self.finish();
        }
        if self.held.len() > self.limit {
            return HeaderStep::TooLarge;
        }
        HeaderStep::Incomplete
    }

    /// Goes on line by line; whether `text`, which is all that has come so far, has the end of the
    /// header.
    fn ends_in(&mut self, text: &[u8]) -> bool {
        while let Some(found) = memchr(b'\n', &text[self.line..]) {
            let end = self.line + found + 1;
            if !self.belongs(&text[self.line..end]) {
                return true;
            }
            self.line = end;
        }
        false
    }

    /// The body has ended: what is held is all there is.
    pub fn finish(&mut self) -> HeaderStep {
        if self.line > self.limit {
            return HeaderStep::TooLarge;
        }
        let header = self.held.split_to(self.line).freeze();
        self.line = 0;
        HeaderStep::Complete {
            header,
            rest: self.held.split().freeze(),
        }
    }

    /// Whether this line is part of the header: a field, or the continuation of one.
    fn belongs(&self, line: &[u8]) -> bool {
        match line.first() {
            Some(b' ' | b'\t') => self.line > 0,
            _ => name_length(line).is_some(),
        }
    }
}

/// One field of a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written.
    pub name: &'a [u8],
    /// What follows the colon, folded as it came, without the last line end.
    pub value: &'a [u8],
    /// Where the field begins in the header.
    pub start: usize,
    /// Where the next one begins.
    pub end: usize,
}

impl Field<'_> {
    /// Whether this is the field of that name; case does not count.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    /// The value unfolded and trimmed, with what is not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> String {
        if memchr2(b'\r', b'\n', self.value).is_none() {
            return String::from_utf8_lossy(self.value).trim().to_owned();
        }
        let unfolded: Vec<u8> = self
            .value
            .iter()
            .copied()
            .filter(|b| !matches!(b, b'\r' | b'\n'))
            .collect();
        String::from_utf8_lossy(&unfolded).trim().to_owned()
    }
}

/// The fields of a header in order.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let start = at;
        let length = name_length(header.get(start..)?)?;
        at = field_end(header, start);
        // A stuffed dot is no part of the name, and the upstream will take it away.
        let name = &header[start..start + length];
        let name = name.strip_prefix(b".").unwrap_or(name);
        let colon = start + memchr(b':', &header[start..at])?;
        Some(Field {
            name,
            value: header[colon + 1..at].trim_ascii_end(),
            start,
            end: at,
        })
    })
}

/// The end of the field that starts at `start`, behind its continuation lines.
fn field_end(header: &[u8], start: usize) -> usize {
    let mut at = start;
    loop {
        at = match memchr(b'\n', &header[at..]) {
            Some(found) => at + found + 1,
            None => return header.len(),
        };
        if !matches!(header.get(at), Some(b' ' | b'\t')) {
            return at;
        }
    }
}

/// The length of the field name at the start of `line`, if there is a field (RFC 5322 §2.2, with the
/// space before the colon of §4.5).
fn name_length(line: &[u8]) -> Option<usize> {
    let length = line
        .iter()
        .position(|&b| !matches!(b, b'!'..=b'9' | b';'..=b'~'))?;
    let colon = line[length..]
        .iter()
        .position(|&b| !matches!(b, b' ' | b'\t'))?;
    (length > 0 && line[length + colon] == b':').then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(input: &str, header: &str, rest: &str) {
        for size in 1..=input.len() {
            let mut reader = HeaderReader::new(1000);
            let mut outcome = None;
            let mut after = Vec::new();
            for piece in input.as_bytes().chunks(size) {
                match (&outcome, reader.push(&Bytes::copy_from_slice(piece))) {
                    (Some(_), _) => after.extend_from_slice(piece),
                    (None, HeaderStep::Incomplete) => {}
                    (None, step) => outcome = Some(step),
                }
            }
            let Some(HeaderStep::Complete { header: h, rest: r }) =
                outcome.or_else(|| Some(reader.finish()))
            else {
                panic!("no header in {input:?}");
            };
            assert_eq!(h, header.as_bytes(), "pieces of {size}");
            assert_eq!(
                [&r[..], &after].concat(),
                rest.as_bytes(),
                "pieces of {size}"
            );
        }
    }

    #[test]
    fn a_header_ends_at_the_empty_line() {
        check(
            "A: 1\r\nB: 2\r\n 3\r\n\r\nbody\r\n",
            "A: 1\r\nB: 2\r\n 3\r\n",
            "\r\nbody\r\n",
        );
        check("A: 1\r\n\r\n", "A: 1\r\n", "\r\n");
        check("A: 1\r\n", "A: 1\r\n", "");
    }

    #[test]
    fn what_is_no_field_ends_the_header() {
        check("body without a header\r\n", "", "body without a header\r\n");
        check(
            "A: 1\r\nno field\r\nB: 2\r\n",
            "A: 1\r\n",
            "no field\r\nB: 2\r\n",
        );
        check(" A: 1\r\n", "", " A: 1\r\n");
    }

    #[test]
    fn a_header_has_a_limit() {
        let mut reader = HeaderReader::new(10);
        assert_eq!(
            reader.push(&Bytes::from_static(b"A: 12345")),
            HeaderStep::Incomplete
        );
        assert_eq!(
            reader.push(&Bytes::from_static(b"678")),
            HeaderStep::TooLarge
        );
    }

    #[test]
    fn fields_are_unfolded_and_compared_without_case() {
        let header = b"Subject : one\r\n two\r\nlist-ID: \"x\" <news.example.com>\r\nEmpty:\r\n";
        let all: Vec<_> = fields(header).collect();
        assert_eq!(all.len(), 3);
        assert!(all[0].is("subject") && all[0].text() == "one two");
        assert!(all[1].is("List-Id") && all[1].text() == "\"x\" <news.example.com>");
        assert!(all[2].is("empty") && all[2].text().is_empty());
        assert_eq!((all[0].start, all[2].end), (0, header.len()));
    }

    proptest! {
        #[test]
        fn nothing_is_lost(input in proptest::collection::vec(prop_oneof![
            Just(b"A: x\r\n".to_vec()), Just(b" y\r\n".to_vec()), Just(b"\r\n".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..10)], 0..12)) {
            let mut reader = HeaderReader::new(100_000);
            let (mut out, mut done) = (Vec::new(), false);
            for piece in &input {
                if done {
                    out.extend_from_slice(piece);
                } else if let HeaderStep::Complete { header, rest } = reader.push(&Bytes::copy_from_slice(piece)) {
                    let _ = fields(&header).count();
                    out.extend_from_slice(&header);
                    out.extend_from_slice(&rest);
                    done = true;
                }
            }
            if !done && let HeaderStep::Complete { header, rest } = reader.finish() {
                out.extend_from_slice(&header);
                out.extend_from_slice(&rest);
            }
            prop_assert_eq!(out, input.concat());
        }
    }
}
