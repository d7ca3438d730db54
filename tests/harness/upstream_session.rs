//! One connection of the fake upstream: at each [`Moment`] the script chooses an [`Act`].

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::stream::Stream;
use super::upstream::{Message, Shared, lock};

/// When the script is asked.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    /// The verb in upper case; `CONNECT` before the greeting, `BODY` when the first bytes of a body
    /// came, `.` at its end.
    pub(crate) verb: &'a str,
    /// The whole command line, without its CRLF.
    pub(crate) line: &'a str,
    /// How often this verb came before on this connection.
    pub(crate) nth: usize,
    /// How often this verb came before on any connection.
    pub(crate) overall: usize,
    /// The number of the connection, from 0; the gateway may open one only to hear the EHLO.
    pub(crate) connection: usize,
}

/// What the upstream does.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// What a friendly upstream would do.
    Usual,
    /// Answers with this line.
    Say(&'static str),
    /// Answers with these bytes.
    Raw(Vec<u8>),
    /// Answers with these bytes, one in each segment.
    Dribble(&'static str),
    /// Answers with this line and closes.
    SayAndClose(&'static str),
    /// Answers with these bytes, as they are, and closes.
    EndAfter(&'static [u8]),
    /// Closes without a word.
    Close,
    /// Ends with a reset.
    Reset,
    /// Says no more, and lets the other side notice: the sending half is closed.
    EndSending,
    /// Says and reads nothing any more.
    Hang,
    /// Waits, then does that.
    After(Duration, Box<Self>),
}

impl Act {
    /// Whether it is a 2xx, in the end.
    fn accepts(&self) -> bool {
        match self {
            Self::Usual => true,
            Self::Say(line) | Self::SayAndClose(line) | Self::Dribble(line) => {
                line.starts_with('2')
            }
            Self::Raw(bytes) => bytes.starts_with(b"2"),
            Self::After(_, act) => act.accepts(),
            _ => false,
        }
    }
}

/// What is to be done next.
enum Next {
    Continue,
    Over,
}

struct Session<'a> {
    stream: Option<Stream>,
    shared: &'a Arc<Shared>,
    number: usize,
    buffer: Vec<u8>,
    counts: Vec<(String, usize)>,
    mail: String,
    recipients: Vec<String>,
    secure: bool,
}

/// Speaks until the connection is over.
pub(super) fn run(stream: TcpStream, number: usize, shared: &Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let _ = stream.set_read_timeout(Some(Duration::from_millis(50)));
    let _ = stream.set_write_timeout(Some(Duration::from_secs(10)));
    let mut session = Session {
        stream: Some(Stream::Plain(stream)),
        shared,
        number,
        buffer: Vec::new(),
        counts: Vec::new(),
        mail: String::new(),
        recipients: Vec::new(),
        secure: false,
    };
    let greeting = session.ask("CONNECT", "");
    if matches!(
        session.act(greeting, "220 upstream.example ESMTP"),
        (Next::Over, _)
    ) {
        return;
    }
    while let Some(line) = session.read_line() {
        if matches!(session.command(&line), Next::Over) {
            return;
        }
    }
}

impl Session<'_> {
    fn ask(&mut self, verb: &str, line: &str) -> Act {
        let nth = match self.counts.iter_mut().find(|(known, _)| known == verb) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                self.counts.push((verb.to_owned(), 0));
                0
            }
        };
        let overall = {
            let mut seen = lock(&self.shared.seen);
            let count = seen.entry(verb.to_owned()).or_default();
            *count += 1;
            *count - 1
        };
        (self.shared.script)(&Moment {
            verb,
            line,
            nth,
            overall,
            connection: self.number,
        })
    }

    fn command(&mut self, line: &str) -> Next {
        let verb = line
            .split([' ', ':'])
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        let act = self.ask(&verb, line);
        let usual = self.usual(&verb);
        let (next, said) = self.act(act, &usual);
        if matches!(next, Next::Over) || verb == "QUIT" {
            return Next::Over;
        }
        let positive = said.starts_with('2');
        match verb.as_str() {
            "EHLO" | "HELO" | "RSET" => {
                self.mail.clear();
                self.recipients.clear();
            }
            "MAIL" if positive => self.mail = line.to_owned(),
            "RCPT" if positive => self.recipients.push(line.to_owned()),
            "DATA" if said.starts_with("354") => return self.body(),
            "STARTTLS" if said.starts_with("220") => return self.start_tls(),
            _ => {}
        }
        Next::Continue
    }

    fn usual(&self, verb: &str) -> String {
        match verb {
            "EHLO" => {
                let keywords = lock(&self.shared.keywords).clone();
                let mut lines = vec!["upstream.example".to_owned()];
                lines.extend(
                    keywords
                        .into_iter()
                        .filter(|k| !self.secure || k != "STARTTLS"),
                );
                let last = lines.len() - 1;
                let lines: Vec<_> = lines
                    .iter()
                    .enumerate()
                    .map(|(at, text)| format!("250{}{text}", if at == last { ' ' } else { '-' }))
                    .collect();
                lines.join("\r\n")
            }
            "HELO" => "250 upstream.example".to_owned(),
            "MAIL" => "250 2.1.0 sender fine".to_owned(),
            "RCPT" => "250 2.1.5 recipient fine".to_owned(),
            "DATA" => "354 go ahead".to_owned(),
            "STARTTLS" if self.shared.certificate.is_some() => "220 begin".to_owned(),
            "AUTH" => "235 2.7.0 welcome".to_owned(),
            "QUIT" => "221 2.0.0 bye".to_owned(),
            "RSET" | "NOOP" => "250 2.0.0 fine".to_owned(),
            _ => "502 5.5.1 not known here".to_owned(),
        }
    }

    /// Does it, and tells what was said.
    fn act(&mut self, act: Act, usual: &str) -> (Next, String) {
        match act {
            Act::Usual => (self.say(usual), usual.to_owned()),
            Act::Say(line) => (self.say(line), line.to_owned()),
            Act::Raw(bytes) => {
                let said = String::from_utf8_lossy(&bytes).into_owned();
                (self.write(&bytes), said)
            }
            Act::Dribble(line) => {
                for byte in format!("{line}\r\n").bytes() {
                    if matches!(self.write(&[byte]), Next::Over) {
                        return (Next::Over, String::new());
                    }
                }
                (Next::Continue, line.to_owned())
            }
            Act::SayAndClose(line) => {
                self.say(line);
                (Next::Over, line.to_owned())
            }
            Act::EndAfter(bytes) => {
                self.write(bytes);
                (Next::Over, String::new())
            }
            Act::Close => (Next::Over, String::new()),
            Act::Reset => {
                if let Some(stream) = self.stream.take() {
                    stream.reset();
                }
                (Next::Over, String::new())
            }
            Act::EndSending => {
                if let Some(stream) = &self.stream {
                    stream.end_sending();
                }
                (self.hang(), String::new())
            }
            Act::Hang => (self.hang(), String::new()),
            Act::After(delay, act) => {
                let deadline = Instant::now() + delay;
                while Instant::now() < deadline && !self.stopped() {
                    std::thread::sleep(super::TICK);
                }
                self.act(*act, usual)
            }
        }
    }

    /// Keeps the connection open and does nothing until the test is over.
    fn hang(&self) -> Next {
        while !self.stopped() {
            std::thread::sleep(super::TICK);
        }
        Next::Over
    }

    fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::SeqCst)
    }

    /// Reads a body to its true end, then answers it.
    fn body(&mut self) -> Next {
        let mut searched = 0;
        let mut asked = false;
        let end = loop {
            if !asked && !self.buffer.is_empty() {
                asked = true;
                let act = self.ask("BODY", "");
                if !matches!(act, Act::Usual) && matches!(self.act(act, ""), (Next::Over, _)) {
                    return Next::Over;
                }
            }
            if self.buffer.starts_with(b".\r\n") {
                break 0;
            }
            let from = searched;
            searched = self.buffer.len().saturating_sub(4);
            if let Some(at) = find(&self.buffer[from..], b"\r\n.\r\n") {
                break from + at + 2;
            }
            if !self.fill() {
                return Next::Over;
            }
        };
        let body: Vec<u8> = self.buffer.drain(..end).collect();
        self.buffer.drain(..3);
        let index = {
            let mut record = lock(&self.shared.record);
            record.messages.push(Message {
                connection: self.number,
                mail: std::mem::take(&mut self.mail),
                recipients: std::mem::take(&mut self.recipients),
                body,
                accepted: false,
            });
            record.messages.len() - 1
        };
        let act = self.ask(".", "");
        // Written down before it is said: who hears the 250 finds the message accepted.
        lock(&self.shared.record).messages[index].accepted = act.accepts();
        self.act(act, "250 2.0.0 queued as 4711").0
    }

    fn start_tls(&mut self) -> Next {
        let (Some(stream), Some(certificate)) = (self.stream.take(), &self.shared.certificate)
        else {
            return Next::Over;
        };
        stream.set_read_timeout(Duration::from_secs(10));
        let Ok(secured) = stream.into_server_tls(certificate.server_config()) else {
            return Next::Over;
        };
        secured.set_read_timeout(Duration::from_millis(50));
        self.stream = Some(secured);
        self.secure = true;
        Next::Continue
    }

    fn say(&mut self, line: &str) -> Next {
        self.write(format!("{line}\r\n").as_bytes())
    }

    fn write(&mut self, bytes: &[u8]) -> Next {
        let Some(stream) = &mut self.stream else {
            return Next::Over;
        };
        match stream.write_all(bytes).and_then(|()| stream.flush()) {
            Ok(()) => Next::Continue,
            Err(_) => Next::Over,
        }
    }

    /// The next command line without its CRLF; none at the end.
    fn read_line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let line = String::from_utf8_lossy(&line[..end]).into_owned();
                lock(&self.shared.record).commands.push(line.clone());
                return Some(line);
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// Reads more; false at the end of the connection or of the test.
    fn fill(&mut self) -> bool {
        let mut piece = [0; 64 * 1024];
        loop {
            if self.stopped() {
                return false;
            }
            let Some(stream) = &mut self.stream else {
                return false;
            };
            match stream.read(&mut piece) {
                Ok(0) => return false,
                Ok(count) => {
                    self.buffer.extend_from_slice(&piece[..count]);
                    lock(&self.shared.record).heard[self.number].extend_from_slice(&piece[..count]);
                    return true;
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                    _ => return false,
                },
            }
        }
    }
}

/// Where the needle is.
pub(crate) fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}
