//! A [`Client`] speaks SMTP to the gateway in raw bytes: whole, in pieces, or one at a time.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;

use super::stream::Stream;
use super::{Certificate, PATIENCE};

/// One connection to a listener.
pub(crate) struct Client {
    /// None once it was closed by us.
    stream: Option<Stream>,
    buffer: Vec<u8>,
}

/// One reply, however many lines it has.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    /// Its bytes as they came, CRLF included.
    pub(crate) raw: Vec<u8>,
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&self.raw))
    }
}

impl Reply {
    /// The code of the last line.
    pub(crate) fn code(&self) -> u16 {
        self.last_line()
            .get(..3)
            .and_then(|code| code.parse().ok())
            .unwrap_or(0)
    }

    /// The last line without its CRLF.
    pub(crate) fn last_line(&self) -> String {
        self.lines().pop().unwrap_or_default()
    }

    /// The lines without their CRLF.
    pub(crate) fn lines(&self) -> Vec<String> {
        let text = String::from_utf8_lossy(&self.raw);
        text.trim_end_matches("\r\n")
            .split("\r\n")
            .map(str::to_owned)
            .collect()
    }

    /// The EHLO keywords, without the line of the greeting.
    pub(crate) fn keywords(&self) -> Vec<String> {
        self.lines()
            .iter()
            .skip(1)
            .filter_map(|line| line.get(4..).map(str::to_owned))
            .collect()
    }

    /// Whether a keyword is offered, with or without a value.
    pub(crate) fn offers(&self, keyword: &str) -> bool {
        self.keywords()
            .iter()
            .any(|offered| offered.split(' ').next() == Some(keyword))
    }
}

impl Client {
    /// Connects and reads the greeting.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let mut client = Self::dial(address);
        client.expect("220 ");
        client
    }

    /// Connects and says EHLO.
    #[track_caller]
    pub(crate) fn hello(address: SocketAddr) -> Self {
        let mut client = Self::connect(address);
        client.say("EHLO client.example", "250 ");
        client
    }

    /// Connects from another of our own addresses.
    #[track_caller]
    pub(crate) fn connect_from(source: IpAddr, address: SocketAddr) -> Self {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::new(source, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let mut client = Self::over(socket.into());
        client.expect("220 ");
        client
    }

    /// Connects and reads nothing.
    #[track_caller]
    pub(crate) fn dial(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect_timeout(&address, PATIENCE).unwrap())
    }

    /// Speaks over a connection that was made elsewhere.
    pub(crate) fn over(tcp: TcpStream) -> Self {
        // Each write is one segment, so that a test decides what arrives together.
        tcp.set_nodelay(true).unwrap();
        tcp.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: Some(Stream::Plain(tcp)),
            buffer: Vec::new(),
        }
    }

    fn stream(&mut self) -> &mut Stream {
        self.stream.as_mut().unwrap()
    }

    /// Sends bytes in one write.
    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).unwrap();
    }

    /// Sends bytes to a gateway that may close meanwhile.
    pub(crate) fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> std::io::Result<()> {
        let stream = self.stream();
        stream.write_all(bytes.as_ref())?;
        stream.flush()
    }

    /// Sends pieces, each in its own segment; a gateway that closed meanwhile is no failure.
    pub(crate) fn send_pieces<'a>(&mut self, pieces: impl IntoIterator<Item = &'a [u8]>) {
        for piece in pieces {
            if self.try_send(piece).is_err() {
                return;
            }
        }
    }

    /// Sends a line with its CRLF.
    #[track_caller]
    pub(crate) fn line(&mut self, line: &str) {
        self.send(format!("{line}\r\n"));
    }

    /// Sends a command and expects its reply to begin so.
    #[track_caller]
    pub(crate) fn say(&mut self, command: &str, expected: &str) -> Reply {
        self.line(command);
        let reply = self.reply();
        assert!(
            reply.last_line().starts_with(expected),
            "{command:?}: expected {expected:?}, heard {reply:?}"
        );
        reply
    }

    /// Expects the next reply to begin so, in its last line.
    #[track_caller]
    pub(crate) fn expect(&mut self, expected: &str) -> Reply {
        let reply = self.reply();
        assert!(
            reply.last_line().starts_with(expected),
            "expected {expected:?}, heard {reply:?}"
        );
        reply
    }

    /// The next reply.
    #[track_caller]
    pub(crate) fn reply(&mut self) -> Reply {
        match self.try_reply(PATIENCE) {
            Ok(reply) => reply,
            Err(why) => panic!(
                "no reply ({why}); so far {:?}",
                String::from_utf8_lossy(&self.buffer)
            ),
        }
    }

    /// The next reply, if it comes in that time.
    pub(crate) fn try_reply(&mut self, patience: Duration) -> Result<Reply, &'static str> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(end) = end_of_reply(&self.buffer) {
                let raw = self.buffer.drain(..end).collect();
                return Ok(Reply { raw });
            }
            self.fill(deadline)?;
        }
    }

    /// Everything up to the end of the connection.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.fill(deadline) {
                Ok(()) => {}
                Err(CLOSED) => return std::mem::take(&mut self.buffer),
                Err(why) => panic!(
                    "the connection was not closed ({why}); so far {:?}",
                    String::from_utf8_lossy(&self.buffer)
                ),
            }
        }
    }

    /// Every reply up to the end of the connection, as the beginnings of their last lines.
    #[track_caller]
    pub(crate) fn remaining_replies(&mut self) -> Vec<String> {
        let mut rest = self.rest();
        let mut replies = Vec::new();
        while let Some(end) = end_of_reply(&rest) {
            let raw = rest.drain(..end).collect();
            replies.push(Reply { raw }.last_line());
        }
        assert!(rest.is_empty(), "half a reply: {rest:?}");
        replies
    }

    /// Expects the gateway to close without another word.
    #[track_caller]
    pub(crate) fn expect_closed(&mut self) {
        let rest = self.rest();
        assert!(
            rest.is_empty(),
            "more came before the end: {:?}",
            String::from_utf8_lossy(&rest)
        );
    }

    /// Whether anything more arrives in that time.
    pub(crate) fn is_silent_for(&mut self, patience: Duration) -> bool {
        self.buffer.is_empty()
            && self.fill(Instant::now() + patience) == Err(TOO_LATE)
            && self.buffer.is_empty()
    }

    /// Whether the gateway has closed, with nothing left to read.
    pub(crate) fn is_over(&mut self) -> bool {
        self.buffer.is_empty() && self.fill(Instant::now() + super::TICK / 10) == Err(CLOSED)
    }

    /// Reads once.
    fn fill(&mut self, deadline: Instant) -> Result<(), &'static str> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TOO_LATE);
        }
        let Some(stream) = &mut self.stream else {
            return Err(CLOSED);
        };
        stream.set_read_timeout(left);
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece) {
            Ok(0) => Err(CLOSED),
            Ok(count) => {
                self.buffer.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut => Err(TOO_LATE),
                ErrorKind::Interrupted => Ok(()),
                // A reset, or TLS cut short.
                _ => Err(CLOSED),
            },
        }
    }

    /// Does STARTTLS and the handshake; what was buffered in clear is an error.
    #[track_caller]
    pub(crate) fn start_tls(&mut self, certificate: &Certificate) {
        self.say("STARTTLS", "220 ");
        self.handshake(certificate).unwrap();
    }

    /// Begins TLS at once.
    pub(crate) fn handshake(&mut self, certificate: &Certificate) -> std::io::Result<()> {
        assert!(self.buffer.is_empty(), "bytes in front of the handshake");
        let stream = self.stream.take().unwrap();
        stream.set_read_timeout(PATIENCE);
        self.stream = Some(stream.into_client_tls(certificate.client_config())?);
        Ok(())
    }

    /// Logs in with AUTH PLAIN.
    #[track_caller]
    pub(crate) fn log_in(&mut self, user: &str, password: &str, expected: &str) -> Reply {
        self.say(
            &format!("AUTH PLAIN {}", plain_response(user, password)),
            expected,
        )
    }

    /// MAIL and each recipient, all accepted.
    #[track_caller]
    pub(crate) fn envelope(&mut self, recipients: &[&str]) {
        self.say("MAIL FROM:<a@example.com>", "250 ");
        for recipient in recipients {
            self.say(&format!("RCPT TO:<{recipient}>"), "250 ");
        }
    }

    /// DATA and a body that ends in CRLF; the reply is still to be read.
    #[track_caller]
    pub(crate) fn data(&mut self, body: impl AsRef<[u8]>) {
        self.say("DATA", "354 ");
        let mut bytes = body.as_ref().to_vec();
        bytes.extend_from_slice(b".\r\n");
        self.send(bytes);
    }

    /// A whole small message to one recipient, and the final reply.
    #[track_caller]
    pub(crate) fn deliver(&mut self, recipient: &str, expected: &str) -> Reply {
        self.envelope(&[recipient]);
        self.data("Subject: a\r\n\r\nHello.\r\n");
        self.expect(expected)
    }

    #[track_caller]
    pub(crate) fn quit(mut self) {
        self.say("QUIT", "221 ");
        self.expect_closed();
    }

    /// Goes away with a reset.
    pub(crate) fn reset(mut self) {
        self.stream.take().unwrap().reset();
    }

    /// Says that nothing more will come, and goes on reading.
    pub(crate) fn end_sending(&mut self) {
        self.stream().end_sending();
    }
}

const CLOSED: &str = "closed";
const TOO_LATE: &str = "too late";

/// The response of AUTH PLAIN.
pub(crate) fn plain_response(user: &str, password: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(format!("\0{user}\0{password}"))
}

/// Where the first complete reply ends.
fn end_of_reply(buffer: &[u8]) -> Option<usize> {
    let mut start = 0;
    loop {
        let line = &buffer[start..];
        let end = line.windows(2).position(|pair| pair == b"\r\n")? + 2;
        start += end;
        if line.get(3) != Some(&b'-') {
            return Some(start);
        }
    }
}
