//! The body of DATA: everything between the 354 and the end-of-data.
//!
//! [`BodyReader`] finds the true end, CRLF.CRLF and nothing else, and watches for what must not
//! pass. It never removes or adds a dot: the body stays dot-stuffed from client to upstream (W4).

use bytes::{Bytes, BytesMut};
use memchr::{memchr, memchr3, memrchr};

/// Bounds of one body.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Largest message in octets, dot-stuffing not counted.
    pub message_size: u64,
    /// Longest text line in octets, CRLF included (RFC 5321 §4.5.3.1.6).
    pub text_line: usize,
    /// Whether a longer text line is let through.
    pub pass_long_lines: bool,
}

/// What makes a body unacceptable. It is read to its end all the same, to stay in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// A bare CR, a bare LF or a NUL (W3): another server may see an end of data there.
    #[error("bare CR, bare LF or NUL in the data")]
    BareByte,
    /// Larger than the limit (W11).
    #[error("message too large")]
    TooLarge,
    /// A text line is longer than the limit (W10).
    #[error("text line too long")]
    LongLine,
}

/// Reads one body.
#[derive(Debug)]
pub struct BodyReader {
    limits: BodyLimits,
    /// At the start of a line: what came before is CRLF, or nothing.
    line_start: bool,
    /// Octets of the current line so far, its stuffed dot not counted.
    line_length: usize,
    size: u64,
    fault: Option<BodyFault>,
}

/// What was found at the front of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub enum BodyStep {
    /// These octets belong to the body and may go on, unless there is a fault.
    Chunk(Bytes),
    /// The end-of-data was read and taken out of the buffer.
    End,
    /// More input is needed.
    Incomplete,
}

impl BodyReader {
    /// A reader at the start of a body.
    #[must_use]
    pub const fn new(limits: BodyLimits) -> Self {
        Self {
            limits,
            line_start: true,
            line_length: 0,
            size: 0,
            fault: None,
        }
    }

    /// What is wrong with the body so far.
    #[must_use]
    pub const fn fault(&self) -> Option<BodyFault> {
        self.fault
    }

    /// Octets of the message so far, dot-stuffing not counted.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next piece of the body out of `buffer`.
    ///
    /// Up to two octets stay in the buffer when they may be part of the end-of-data or of a CRLF.
    pub fn next(&mut self, buffer: &mut BytesMut) -> BodyStep {
        let mut at = 0;
        // Up to where the text is known to hold something that is not plain.
        let mut odd = 0;
        while at < buffer.len() {
            if at >= odd {
                at += self.skip_plain(&buffer[at..]);
                odd = at + BLOCK;
            }
            if at == buffer.len() {
                break;
            }
            if self.line_start && buffer[at] == b'.' {
                match &buffer[at + 1..] {
                    [] | [b'\r'] => break,
                    [b'\r', b'\n', ..] if at == 0 => {
                        let _ = buffer.split_to(3);
                        return BodyStep::End;
                    }
                    [b'\r', b'\n', ..] => break,
                    _ => {
                        // The stuffed dot is not part of the message's size or line.
                        at += 1;
                        self.line_start = false;
                        continue;
                    }
                }
            }
            match self.advance(&buffer[at..]) {
                0 => break,
                n => at += n,
            }
        }
        if at == 0 {
            BodyStep::Incomplete
        } else {
            BodyStep::Chunk(buffer.split_to(at).freeze())
        }
    }

    /// Goes over blocks of plain text: lines that end in CRLF and do not begin with a dot.
    ///
    /// Nearly all text is plain, and a block is looked at as a whole: for 100 KiB in lines of 80
    /// octets this takes a quarter of the instructions of looking for the end of each line.
    fn skip_plain(&mut self, input: &[u8]) -> usize {
        // What stands before the input, as far as it matters.
        let mut before = if self.line_start { b'\n' } else { b' ' };
        let mut length = 0;
        for block in input.chunks_exact(BLOCK) {
            if !is_plain(before, block) {
                break;
            }
            length += BLOCK;
            before = block[BLOCK - 1];
        }
        // A CR is taken together with its LF.
        if before == b'\r' && length > 0 {
            length -= 1;
        }
        self.count_lines(&input[..length]);
        length
    }

    /// Counts plain text.
    fn count_lines(&mut self, mut text: &[u8]) {
        while !text.is_empty() {
            // All lines that end in here are short enough, if the text up to here is.
            let room = self
                .limits
                .text_line
                .saturating_sub(self.line_length)
                .max(1);
            let head = &text[..text.len().min(room)];
            if let Some(end) = memrchr(b'\n', head) {
                self.count(end + 1);
                self.line_start = true;
                self.line_length = 0;
                text = &text[end + 1..];
            } else {
                let end = memchr(b'\n', text).map_or(text.len(), |end| end + 1);
                self.count(end);
                if text[end - 1] == b'\n' {
                    self.line_start = true;
                    self.line_length = 0;
                }
                text = &text[end..];
            }
        }
    }

    /// Goes over the text up to and including the next special octet; 0 if a CR ends the input.
    fn advance(&mut self, input: &[u8]) -> usize {
        let Some(found) = memchr3(b'\r', b'\n', 0, input) else {
            self.count(input.len());
            return input.len();
        };
        if found > 0 {
            self.count(found);
        }
        match (input[found], input.get(found + 1)) {
            (b'\r', None) => found,
            (b'\r', Some(b'\n')) => {
                self.count(2);
                self.line_start = true;
                self.line_length = 0;
                found + 2
            }
            _ => {
                self.count(1);
                self.fault = Some(BodyFault::BareByte);
                found + 1
            }
        }
    }

    fn count(&mut self, octets: usize) {
        self.line_start = false;
        self.line_length = self.line_length.saturating_add(octets);
        self.size = self.size.saturating_add(octets as u64);
        if self.fault == Some(BodyFault::BareByte) {
            return;
        }
        if self.size > self.limits.message_size {
            self.fault = Some(BodyFault::TooLarge);
        } else if self.line_length > self.limits.text_line && !self.limits.pass_long_lines {
            self.fault.get_or_insert(BodyFault::LongLine);
        }
    }
}

/// How much text is looked at as a whole.
const BLOCK: usize = 256;

/// Whether the text behind `before` has no bare CR, bare LF or NUL and no line that begins with a
/// dot. A CR at its end may go either way.
///
/// No branch and no early end, so that the compiler makes it a loop over vectors.
fn is_plain(before: u8, block: &[u8]) -> bool {
    let Some((&first, rest)) = block.split_first() else {
        return true;
    };
    let odd = |before: u8, byte: u8| {
        ((byte == b'\n') != (before == b'\r')) | (byte == 0) | ((before == b'\n') & (byte == b'.'))
    };
    let pairs = block.iter().zip(rest);
    let found = pairs.fold(0, |found, (&before, &byte)| {
        found | u8::from(odd(before, byte))
    });
    found == 0 && !odd(before, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: BodyLimits = BodyLimits {
        message_size: 100_000,
        text_line: 1000,
        pass_long_lines: false,
    };

    /// The body, its fault if it ended, and what is left behind the end.
    type Outcome = (Vec<u8>, Option<Option<BodyFault>>, Vec<u8>);

    fn read(pieces: &[&[u8]], limits: BodyLimits) -> Outcome {
        let (mut reader, mut buffer, mut body) =
            (BodyReader::new(limits), BytesMut::new(), Vec::new());
        let mut ended = false;
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while !ended {
                match reader.next(&mut buffer) {
                    BodyStep::Chunk(chunk) => body.extend_from_slice(&chunk),
                    BodyStep::End => ended = true,
                    BodyStep::Incomplete => break,
                }
            }
        }
        (body, ended.then(|| reader.fault()), buffer.to_vec())
    }

    fn check(input: &[u8], body: &[u8], end: Option<Option<BodyFault>>, rest: &[u8]) {
        let expected = (body.to_vec(), end, rest.to_vec());
        assert_eq!(read(&[input], LIMITS), expected, "whole");
        let bytes: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(read(&bytes, LIMITS), expected, "byte by byte");
        for cut in 0..=input.len() {
            let (a, b) = input.split_at(cut);
            assert_eq!(read(&[a, b], LIMITS), expected, "cut at {cut}");
        }
    }

    const FINE: Option<Option<BodyFault>> = Some(None);
    const BARE: Option<Option<BodyFault>> = Some(Some(BodyFault::BareByte));

    #[test]
    fn w1_the_end_is_crlf_dot_crlf() {
        check(b"a\r\n.\r\nQUIT\r\n", b"a\r\n", FINE, b"QUIT\r\n");
        check(b".\r\n", b"", FINE, b"");
        check(b"\r\n.\r\n", b"\r\n", FINE, b"");
        check(b"a\r\n.b\r\n.\r\n", b"a\r\n.b\r\n", FINE, b"");
    }

    #[test]
    fn w4_x18_stuffed_dots_stay_as_they_are() {
        check(b"..\r\n...x\r\n.\r\n", b"..\r\n...x\r\n", FINE, b"");
        check(b"a\r\n..\r\n.\r\n", b"a\r\n..\r\n", FINE, b"");
    }

    #[test]
    fn w3_x1_to_x17_no_other_sequence_ends_the_data() {
        for sequence in [
            &b"\n.\n"[..],
            b"\n.\r\n",
            b"\r.\r",
            b"\r.\r\n",
            b"\r\n.\n",
            b"\r\n.\r",
            b"\r\n\0.\r\n",
            b"\r\0\n.\r\n",
            b"\r\n.\0\r\n",
            b"\r\n.\r\0\n",
            b"\r\n.\r\r\n",
            b"\r\r\n.\r\r\n",
            b"\r.\n",
            b"\n.\r",
        ] {
            let body = [b"outer", sequence, b"MAIL FROM:<smuggled@example.com>\r\n"].concat();
            let input = [&body[..], b".\r\nQUIT\r\n"].concat();
            check(&input, &body, BARE, b"QUIT\r\n");
        }
    }

    #[test]
    fn w3_x7_a_true_end_behind_a_nul_is_an_end() {
        check(b"outer\0\r\n.\r\nMAIL", b"outer\0\r\n", BARE, b"MAIL");
    }

    #[test]
    fn w10_a_text_line_of_1000_octets_and_its_stuffed_dot_pass() {
        let line = |n: usize| [&b"x".repeat(n - 2)[..], b"\r\n.\r\n"].concat();
        assert_eq!(read(&[&line(1000)], LIMITS).1, FINE);
        assert_eq!(
            read(&[&line(1001)], LIMITS).1,
            Some(Some(BodyFault::LongLine))
        );
        assert_eq!(
            read(
                &[b".".as_slice(), b".", &line(999)]
                    .concat()
                    .as_slice()
                    .chunks(7)
                    .collect::<Vec<_>>(),
                LIMITS
            )
            .1,
            FINE
        );
        let lax = BodyLimits {
            pass_long_lines: true,
            ..LIMITS
        };
        assert_eq!(read(&[&line(5000)], lax).1, FINE);
    }

    #[test]
    fn w11_a_message_over_the_limit_is_read_to_its_end() {
        let limits = BodyLimits {
            message_size: 10,
            ..LIMITS
        };
        assert_eq!(read(&[b"12345678\r\n.\r\n"], limits).1, FINE);
        assert_eq!(
            read(&[b"123456789\r\n.\r\n"], limits).1,
            Some(Some(BodyFault::TooLarge))
        );
    }

    proptest! {
        #[test]
        fn what_was_stuffed_comes_through_unchanged(
            lines in proptest::collection::vec("[.a-z\\x80-\\xff ]{0,20}", 0..20),
            size in 1usize..9,
        ) {
            let body: Vec<u8> = lines.iter().flat_map(|line| {
                let dot = if line.starts_with('.') { "." } else { "" };
                format!("{dot}{line}\r\n").into_bytes()
            }).collect();
            let input = [&body[..], b".\r\nNEXT"].concat();
            let pieces: Vec<&[u8]> = input.chunks(size).collect();
            let (read_body, end, rest) = read(&pieces, LIMITS);
            prop_assert_eq!(read_body, body);
            prop_assert_eq!(end, FINE);
            prop_assert_eq!(rest, b"NEXT");
        }

        #[test]
        fn cutting_long_text_changes_nothing(
            pieces in proptest::collection::vec(prop_oneof![
                20 => "[a-z ]{0,90}\r\n",
                4 => "[a-z]{200,1500}",
                2 => Just("..stuffed\r\n".to_owned()),
                1 => prop_oneof![Just("\r"), Just("\n"), Just("\0"), Just(".\r\n"), Just("\r\n")]
                    .prop_map(str::to_owned),
            ], 0..60),
            size in 1usize..300,
        ) {
            let input = pieces.concat().into_bytes();
            let small: Vec<&[u8]> = input.chunks(7).collect();
            let cut: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(read(&[&input], LIMITS), read(&small, LIMITS));
            prop_assert_eq!(read(&cut, LIMITS), read(&small, LIMITS));
        }

        #[test]
        fn cutting_changes_nothing(
            input in proptest::collection::vec(prop_oneof![Just(b'\r'), Just(b'\n'), Just(b'.'), Just(b'a'), Just(0u8)], 0..50),
            size in 1usize..9,
        ) {
            let pieces: Vec<&[u8]> = input.chunks(size).collect();
            prop_assert_eq!(read(&pieces, LIMITS), read(&[&input], LIMITS));
        }
    }
}
