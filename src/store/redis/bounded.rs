//! [`Bounded`] lets no reply of Redis take more memory than a record or a history can need.
//!
//! Whoever can write into the store can make a field of 512 MB, or a million fields, and the Redis
//! library reads each reply whole. So what is too large never reaches it: a long string arrives
//! as nil, an array with too many elements as an error, and the connection stays in step (X43).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::super::codec::{FIELD_LIMIT, VALUE_LIMIT};

/// Most elements of one array: name and value of each field.
const ELEMENT_LIMIT: u64 = 2 * FIELD_LIMIT as u64;

/// Longest reply to one command, nested arrays included, in octets of its strings.
const REPLY_LIMIT: u64 = 16 * 1024 * 1024;

/// Longest line: a type letter with a length, a status or an error.
const LINE_LIMIT: usize = 4096;

/// Deepest nesting of arrays; a history has three levels.
const DEPTH_LIMIT: usize = 8;

const READ_SIZE: usize = 16 * 1024;

const TOO_LONG: &[u8] = b"$-1\r\n";
const TOO_MANY: &[u8] = b"-SENDGATE the reply has too many elements\r\n";

/// A connection to Redis (RESP2) whose replies are bounded.
pub(super) struct Bounded<S> {
    stream: S,
    filter: Filter,
    input: Box<[u8]>,
    output: Vec<u8>,
    taken: usize,
}

impl<S> Bounded<S> {
    pub(super) fn new(stream: S) -> Self {
        Self {
            stream,
            filter: Filter::default(),
            input: vec![0; READ_SIZE].into_boxed_slice(),
            output: Vec::with_capacity(READ_SIZE),
            taken: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.taken == this.output.len() {
            let mut input = ReadBuf::new(&mut this.input);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut input))?;
            if input.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.output.clear();
            this.taken = 0;
            this.filter.pass(input.filled(), &mut this.output)?;
        }
        let rest = &this.output[this.taken..];
        let size = rest.len().min(buffer.remaining());
        buffer.put_slice(&rest[..size]);
        this.taken += size;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Follows the replies far enough to know where each element begins.
#[derive(Debug, Default)]
struct Filter {
    state: State,
    /// The line that was read so far.
    line: Vec<u8>,
    /// How many elements are still to come, for each array we are in.
    open: Vec<u64>,
    /// How many elements of an array that is too large are still to be dropped.
    drop: u64,
    /// Octets of strings passed on in this reply.
    spent: u64,
}

/// What the next octet belongs to.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// A line, from its type letter to CRLF.
    #[default]
    Line,
    /// A string with its CRLF: octets left, and whether they are passed on.
    Text { left: u64, keep: bool },
}

impl Filter {
    fn pass(&mut self, mut input: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        while !input.is_empty() {
            input = match self.state {
                State::Text { left, keep } => self.text(input, left, keep, output),
                State::Line => self.line(input, output)?,
            };
        }
        Ok(())
    }

    fn text<'a>(
        &mut self,
        input: &'a [u8],
        left: u64,
        keep: bool,
        output: &mut Vec<u8>,
    ) -> &'a [u8] {
        let size = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
        let (text, rest) = input.split_at(size);
        if keep {
            output.extend_from_slice(text);
        }
        let left = left - size as u64;
        if left > 0 {
            self.state = State::Text { left, keep };
        } else {
            self.state = State::Line;
            self.end_element();
        }
        rest
    }

    fn line<'a>(&mut self, input: &'a [u8], output: &mut Vec<u8>) -> io::Result<&'a [u8]> {
        let (part, rest, whole) = match memchr::memchr(b'\n', input) {
            Some(end) => (&input[..=end], &input[end + 1..], true),
            None => (input, &input[..0], false),
        };
        if self.line.len() + part.len() > LINE_LIMIT {
            return Err(broken("a line of a reply is too long"));
        }
        self.line.extend_from_slice(part);
        if whole {
            let line = std::mem::take(&mut self.line);
            self.element(&line, output)?;
            self.line = line;
            self.line.clear();
        }
        Ok(rest)
    }

    /// An element begins with this line, and may end with it.
    fn element(&mut self, line: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
        if self.open.is_empty() && self.drop == 0 {
            self.spent = 0;
        }
        match line.first() {
            Some(b'+' | b'-' | b':') => {
                self.emit(line, output);
                self.end_element();
            }
            Some(b'$') => match length(line)? {
                Some(size) => self.begin_text(line, size, output),
                None => {
                    self.emit(line, output);
                    self.end_element();
                }
            },
            Some(b'*') => self.begin_array(line, length(line)?.unwrap_or(0), output)?,
            _ => return Err(broken("a reply is no RESP2")),
        }
        Ok(())
    }

    fn begin_text(&mut self, line: &[u8], size: u64, output: &mut Vec<u8>) {
        let fits = size <= VALUE_LIMIT as u64 && self.spent + size <= REPLY_LIMIT;
        if fits {
            self.spent += size;
            self.emit(line, output);
        } else {
            self.emit(TOO_LONG, output);
        }
        self.state = State::Text {
            left: size.saturating_add(2),
            keep: fits && self.drop == 0,
        };
    }

    fn begin_array(&mut self, line: &[u8], size: u64, output: &mut Vec<u8>) -> io::Result<()> {
        if self.drop > 0 {
            // The array itself is one of those to drop; its elements come in its place.
            self.drop = self.drop.saturating_add(size);
            self.end_element();
        } else if size > ELEMENT_LIMIT {
            self.emit(TOO_MANY, output);
            self.drop = size;
        } else {
            self.emit(line, output);
            if size == 0 {
                self.end_element();
            } else if self.open.len() == DEPTH_LIMIT {
                return Err(broken("a reply is nested too deep"));
            } else {
                self.open.push(size);
            }
        }
        Ok(())
    }

    fn emit(&self, bytes: &[u8], output: &mut Vec<u8>) {
        if self.drop == 0 {
            output.extend_from_slice(bytes);
        }
    }

    fn end_element(&mut self) {
        if self.drop > 0 {
            self.drop -= 1;
            if self.drop > 0 {
                return;
            }
        }
        while let Some(left) = self.open.last_mut() {
            *left -= 1;
            if *left > 0 {
                return;
            }
            self.open.pop();
        }
    }
}

/// The number behind the type letter; none for -1, which is nil.
fn length(line: &[u8]) -> io::Result<Option<u64>> {
    let digits = line.get(1..).unwrap_or_default().trim_ascii_end();
    let text = std::str::from_utf8(digits).unwrap_or_default();
    if text == "-1" {
        return Ok(None);
    }
    text.parse()
        .map(Some)
        .map_err(|_| broken("a length in a reply is no number"))
}

/// The connection is out of step, so this is an error after which the library gives it up.
fn broken(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What is passed on of these pieces.
    fn passed(pieces: &[&[u8]]) -> Vec<u8> {
        let mut filter = Filter::default();
        let mut output = Vec::new();
        for piece in pieces {
            filter.pass(piece, &mut output).unwrap();
        }
        output
    }

    fn check(input: &[u8], expected: &[u8]) {
        assert_eq!(passed(&[input]), expected);
        let octets: Vec<&[u8]> = input.chunks(1).collect();
        assert_eq!(passed(&octets), expected, "octet by octet");
    }

    #[test]
    fn ordinary_replies_pass_unchanged() {
        for reply in [
            &b"+OK\r\n"[..],
            b"-ERR no\r\n",
            b":12\r\n",
            b"$-1\r\n",
            b"*-1\r\n",
            b"*0\r\n",
            b"$0\r\n\r\n",
            b"$4\r\na\r\nb\r\n",
            b"*2\r\n$1\r\na\r\n*1\r\n*2\r\n$1\r\nb\r\n:1\r\n+OK\r\n",
        ] {
            check(reply, reply);
        }
    }

    #[test]
    fn x43_a_long_string_arrives_as_nil() {
        let mut reply = b"*2\r\n$1\r\na\r\n$70000\r\n".to_vec();
        reply.extend(std::iter::repeat_n(b'*', 70_000));
        reply.extend(b"\r\n:1\r\n");
        check(&reply, b"*2\r\n$1\r\na\r\n$-1\r\n:1\r\n");
    }

    #[test]
    fn x43_many_elements_arrive_as_an_error() {
        let mut reply = b"*2\r\n*4098\r\n".to_vec();
        for _ in 0..4096 {
            reply.extend(b"$1\r\nx\r\n");
        }
        reply.extend(b"*2\r\n:1\r\n*0\r\n*-1\r\n$1\r\ny\r\n:2\r\n");
        let mut expected = b"*2\r\n".to_vec();
        expected.extend(TOO_MANY);
        expected.extend(b"$1\r\ny\r\n:2\r\n");
        check(&reply, &expected);
    }

    #[test]
    fn x43_many_long_strings_are_bounded_together() {
        let mut reply = b"*400\r\n".to_vec();
        for _ in 0..400 {
            reply.extend(b"$65536\r\n");
            reply.extend(std::iter::repeat_n(b'x', 65_536));
            reply.extend(b"\r\n");
        }
        reply.extend(b"$2\r\nok\r\n");
        let output = passed(&[&reply]);
        assert!(output.len() < 17 * 1024 * 1024);
        assert!(
            output.ends_with(b"$-1\r\n$2\r\nok\r\n"),
            "the next reply has its own bound"
        );
    }

    #[test]
    fn what_is_no_reply_ends_the_connection() {
        for input in [
            &b"%1\r\n"[..],
            b"\r\n",
            b"$x\r\n",
            b"*\r\n",
            b"$-2\r\n",
            b"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
            &[b'+'; 5000],
        ] {
            let mut output = Vec::new();
            let error = Filter::default().pass(input, &mut output).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
        }
    }

    proptest! {
        #[test]
        fn never_more_comes_out_than_an_error_for_each_array(input in proptest::collection::vec(
            prop_oneof![Just(b'$'), Just(b'*'), Just(b'\r'), Just(b'\n'), Just(b':'), 0x30u8..0x3a], 0..400))
        {
            let mut output = Vec::new();
            let _ = Filter::default().pass(&input, &mut output);
            prop_assert!(output.len() <= input.len() * TOO_MANY.len());
        }
    }
}
