//! A line ends in CRLF and in nothing else.
//!
//! [`LineReader`] cuts commands out of a buffer. Ready-made readers take a bare LF for a line end,
//! drop a CR inside a line or run the tail of a long line as a command; each of these lets one peer
//! smuggle commands past another, so framing is ours.

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memchr2, memchr3};

/// Cuts lines out of a buffer; keeps in mind what it has looked at already.
#[derive(Debug, Default)]
pub struct LineReader {
    /// How much of the buffer holds no line feed.
    scanned: usize,
    /// A line was too long; its rest is thrown away as it comes.
    discarding: bool,
}

/// Why there is no line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// A bare CR, a bare LF or a NUL: whoever sends it must not be understood (W2).
    #[error("bare CR, bare LF or NUL in a command")]
    BareByte,
    /// Longer than the limit; the line was thrown away up to its end (W10).
    #[error("line too long")]
    TooLong,
}

impl LineReader {
    /// Takes the next line, without its CRLF, out of `buffer`; none if it is not complete yet.
    ///
    /// A line over `limit` octets, CRLF included, is thrown away as it arrives and answered once.
    ///
    /// # Errors
    /// Says why the next line cannot be used. After [`LineError::BareByte`] nothing more must be read.
    pub fn next(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Bytes>, LineError> {
        loop {
            let Some(found) = memchr(b'\n', &buffer[self.scanned..]) else {
                return self.incomplete(buffer, limit);
            };
            let end = self.scanned + found + 1;
            if self.discarding || end > limit {
                self.discarding = true;
                let is_end = end >= 2 && buffer[end - 2] == b'\r';
                let _ = buffer.split_to(end);
                self.scanned = 0;
                if is_end {
                    self.discarding = false;
                    return Err(LineError::TooLong);
                }
                continue;
            }
            self.scanned = 0;
            let text = buffer[..end].strip_suffix(b"\r\n");
            let line = text
                .filter(|text| memchr2(b'\r', 0, text).is_none())
                // A copy: a path that is kept would keep the whole buffer with it.
                .map(Bytes::copy_from_slice);
            buffer.advance(end);
            return line.map(Some).ok_or(LineError::BareByte);
        }
    }

    /// Whether the rest of a line that was too long is being thrown away.
    #[must_use]
    pub const fn is_discarding(&self) -> bool {
        self.discarding
    }

    fn incomplete(
        &mut self,
        buffer: &mut BytesMut,
        limit: usize,
    ) -> Result<Option<Bytes>, LineError> {
        if self.discarding || buffer.len() > limit {
            self.discarding = true;
            // The last byte may be the CR of the CRLF that is awaited.
            let keep = usize::from(buffer.last() == Some(&b'\r'));
            let _ = buffer.split_to(buffer.len() - keep);
        }
        self.scanned = buffer.len();
        Ok(None)
    }
}

/// Whether `text` may be sent as one line: no CR, LF or NUL in it (W4).
#[must_use]
pub fn is_clean(text: &[u8]) -> bool {
    memchr3(b'\r', b'\n', 0, text).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Lines = Vec<Result<String, LineError>>;

    /// Feeds the pieces one after the other and collects what comes out.
    fn read(pieces: &[&[u8]], limit: usize) -> Lines {
        let (mut reader, mut buffer, mut lines) =
            (LineReader::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            loop {
                match reader.next(&mut buffer, limit) {
                    Ok(Some(line)) => lines.push(Ok(String::from_utf8_lossy(&line).into_owned())),
                    Ok(None) => break,
                    Err(error) => {
                        lines.push(Err(error));
                        if error == LineError::BareByte {
                            return lines;
                        }
                    }
                }
            }
        }
        lines
    }

    /// The outcome is the same whole, byte by byte and split at every position.
    fn check(input: &[u8], limit: usize, expected: &Lines) {
        assert_eq!(&read(&[input], limit), expected);
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(&read(&bytes, limit), expected, "byte by byte");
        for cut in 0..=input.len() {
            let (a, b) = input.split_at(cut);
            assert_eq!(&read(&[a, b], limit), expected, "cut at {cut}");
        }
    }

    #[test]
    fn w1_only_crlf_ends_a_line() {
        check(
            b"NOOP\r\nQUIT\r\n",
            100,
            &vec![Ok("NOOP".into()), Ok("QUIT".into())],
        );
        check(b"\r\n", 100, &vec![Ok(String::new())]);
        check(b"NOOP", 100, &vec![]);
    }

    #[test]
    fn w2_x20_bare_bytes_stop_everything() {
        for input in [
            &b"NOOP\n"[..],
            b"NOOP\rNOOP\r\n",
            b"NOOP\0\r\n",
            b"MAIL FROM:<a@example.com>\0\r\n",
            b"NOOP\r\r\n",
        ] {
            check(input, 100, &vec![Err(LineError::BareByte)]);
        }
    }

    #[test]
    fn w10_h3_a_long_line_is_answered_once_and_its_tail_is_no_command() {
        let input = [b"NOOP ", "a".repeat(50).as_bytes(), b"\r\nQUIT\r\n"].concat();
        check(
            &input,
            20,
            &vec![Err(LineError::TooLong), Ok("QUIT".into())],
        );
        let exact = [b"NOOP ", "a".repeat(13).as_bytes(), b"\r\n"].concat();
        check(&exact, 20, &vec![Ok(format!("NOOP {}", "a".repeat(13)))]);
    }

    #[test]
    fn w10_no_more_than_the_limit_of_a_long_line_is_kept() {
        let (mut reader, mut buffer) = (LineReader::default(), BytesMut::new());
        for _ in 0..100 {
            buffer.extend_from_slice(&[b'a'; 100]);
            assert_eq!(reader.next(&mut buffer, 200), Ok(None));
            assert!(buffer.len() <= 200);
        }
    }

    proptest! {
        #[test]
        fn cutting_changes_nothing(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'a'), Just(0u8)], 0..60),
            cut in 0usize..60,
        ) {
            let cut = cut.min(input.len());
            let (a, b) = input.split_at(cut);
            prop_assert_eq!(read(&[&input], 8), read(&[a, b], 8));
        }
    }
}
