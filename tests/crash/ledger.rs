//! A [`Load`] of clients that keep books: what each sent, how often, and what it heard in the end.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::dice::Dice;
use crate::harness::{Message, TICK, eventually};

/// A client that takes a broken connection as an answer.
pub(super) struct Sender {
    connection: Option<BufReader<TcpStream>>,
    dice: Dice,
}

impl Sender {
    pub(super) const fn new(seed: u64) -> Self {
        Self {
            connection: None,
            dice: Dice::new(seed),
        }
    }

    /// Connects and says EHLO.
    pub(super) fn connect(&mut self, address: SocketAddr) -> io::Result<()> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        stream.set_nodelay(true)?;
        self.connection = Some(BufReader::new(stream));
        if self.reply()? != 220 || self.say("EHLO client.example\r\n")? != 250 {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        Ok(())
    }

    /// Sends one message; the code of the reply that decided, or none when the connection broke.
    pub(super) fn send_message(&mut self, id: &str, size: usize) -> Option<u16> {
        let heard = self.try_message(id, size).ok();
        if !matches!(heard, Some(200..=299)) {
            self.connection = None;
        }
        heard
    }

    fn try_message(&mut self, id: &str, size: usize) -> io::Result<u16> {
        for (command, wanted) in [
            ("MAIL FROM:<a@example.com>\r\n", 250),
            ("RCPT TO:<b@example.net>\r\n", 250),
            ("DATA\r\n", 354),
        ] {
            let code = self.say(command)?;
            if code != wanted {
                return Ok(code);
            }
        }
        let line = format!("{}\r\n", "x".repeat(70));
        let body = format!(
            "Message-ID: {id}\r\nSubject: load\r\n\r\n{}.\r\n",
            line.repeat(size / 72)
        );
        let (first, second) = body.split_at(self.dice.below(body.len()));
        self.write(first)?;
        self.say(second)
    }

    fn say(&mut self, text: &str) -> io::Result<u16> {
        self.write(text)?;
        self.reply()
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        let connection = self
            .connection
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected)?;
        connection.get_mut().write_all(text.as_bytes())
    }

    fn reply(&mut self) -> io::Result<u16> {
        let connection = self
            .connection
            .as_mut()
            .ok_or(io::ErrorKind::NotConnected)?;
        loop {
            let mut line = String::new();
            connection.read_line(&mut line)?;
            // A reply that breaks off is none: the client cannot know what it would have said.
            if !line.ends_with("\r\n") || line.len() < 6 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.as_bytes()[3] == b' ' {
                return line[..3].parse().map_err(io::Error::other);
            }
        }
    }
}

/// Clients that send until they are stopped, each message again until it hears 250.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<Entry>>>,
}

struct Shared {
    gateway: Mutex<SocketAddr>,
    delivered: AtomicUsize,
    over: AtomicBool,
}

/// One message in the books.
struct Entry {
    id: String,
    attempts: usize,
    delivered: bool,
}

impl Load {
    pub(super) fn start(clients: u64, gateway: SocketAddr) -> Self {
        let shared = Arc::new(Shared {
            gateway: Mutex::new(gateway),
            delivered: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let threads = (0..clients)
            .map(|client| {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || shared.send(client))
            })
            .collect();
        Self { shared, threads }
    }

    /// The gateway was started again and listens here now.
    pub(super) fn go_on_at(&self, gateway: SocketAddr) {
        *self.shared.gateway.lock().unwrap() = gateway;
    }

    /// Waits until so many messages were acknowledged.
    #[track_caller]
    pub(super) fn wait_for_deliveries(&self, count: usize) {
        eventually("deliveries", || {
            (self.shared.delivered.load(Ordering::SeqCst) >= count).then_some(())
        });
    }

    /// Stops, and hands in the books.
    pub(super) fn stop(self) -> Tally {
        self.shared.over.store(true, Ordering::SeqCst);
        let entries = self
            .threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap());
        Tally {
            entries: entries.collect(),
        }
    }
}

impl Shared {
    fn send(&self, client: u64) -> Vec<Entry> {
        let mut sender = Sender::new(client + 1);
        let mut dice = Dice::new(client + 1000);
        let mut entries: Vec<Entry> = Vec::new();
        while !self.over.load(Ordering::SeqCst) {
            if sender.connection.is_none() {
                let gateway = *self.gateway.lock().unwrap();
                if sender.connect(gateway).is_err() {
                    sender.connection = None;
                    std::thread::sleep(TICK);
                    continue;
                }
            }
            if entries.last().is_none_or(|entry| entry.delivered) {
                entries.push(Entry {
                    id: format!("<{client}.{}@example.com>", entries.len()),
                    attempts: 0,
                    delivered: false,
                });
            }
            let Some(entry) = entries.last_mut() else {
                continue;
            };
            entry.attempts += 1;
            if sender.send_message(&entry.id, dice.below(60_000)) == Some(250) {
                entry.delivered = true;
                self.delivered.fetch_add(1, Ordering::SeqCst);
            }
        }
        entries
    }
}

/// The books of all clients.
pub(super) struct Tally {
    entries: Vec<Entry>,
}

impl Tally {
    /// How many messages were acknowledged.
    pub(super) fn delivered(&self) -> usize {
        self.entries.iter().filter(|entry| entry.delivered).count()
    }

    /// Every message with 250 is at the upstream, and none is there more often than it was tried.
    #[track_caller]
    pub(super) fn check(&self, messages: &[Message]) {
        let mut there: HashMap<&str, usize> = HashMap::new();
        let texts: Vec<_> = messages
            .iter()
            .filter(|m| m.accepted)
            .map(Message::text)
            .collect();
        for text in &texts {
            let id = text
                .split("Message-ID: ")
                .nth(1)
                .and_then(|rest| rest.split("\r\n").next());
            *there.entry(id.unwrap()).or_default() += 1;
        }
        for entry in &self.entries {
            let copies = there.remove(entry.id.as_str()).unwrap_or(0);
            assert!(copies > 0 || !entry.delivered, "{} is lost", entry.id);
            assert!(
                copies <= entry.attempts,
                "{} is there {copies} times after {} attempts",
                entry.id,
                entry.attempts
            );
        }
        assert!(there.is_empty(), "nobody sent {there:?}");
    }
}
