//! A [`FakeUpstream`] is a scripted smarthost that records every byte it hears.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::upstream_session::{self, Act, Moment};
use super::{Certificate, eventually};

/// What an upstream offers unless it is told otherwise.
pub(crate) const KEYWORDS: [&str; 6] = [
    "PIPELINING",
    "SIZE 50000000",
    "8BITMIME",
    "SMTPUTF8",
    "DSN",
    "ENHANCEDSTATUSCODES",
];

/// A smarthost in threads of its own.
pub(crate) struct FakeUpstream {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// A message whose end of data the upstream read.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Which connection brought it, from 0.
    pub(crate) connection: usize,
    /// The MAIL command, without its CRLF.
    pub(crate) mail: String,
    /// The RCPT commands that were answered 2xx, without their CRLF.
    pub(crate) recipients: Vec<String>,
    /// What came after the 354 up to the final dot, which is left out; dots are still stuffed.
    pub(crate) body: Vec<u8>,
    /// Whether the final dot was answered 2xx.
    pub(crate) accepted: bool,
}

impl Message {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// What the gateway put in front.
    pub(crate) fn received(&self) -> String {
        let text = self.text();
        let mut end = 0;
        for (index, line) in text.split_inclusive("\r\n").enumerate() {
            if index > 0 && !line.starts_with([' ', '\t']) {
                break;
            }
            end += line.len();
        }
        text[..end].to_owned()
    }

    /// The message as the client sent it: everything behind our Received line.
    pub(crate) fn original(&self) -> Vec<u8> {
        self.body[self.received().len()..].to_vec()
    }
}

/// The script: what happens at a moment.
pub(crate) type Script = dyn Fn(&Moment<'_>) -> Act + Send + Sync;

/// What the threads of one upstream share.
pub(super) struct Shared {
    pub(super) keywords: Mutex<Vec<String>>,
    pub(super) script: Box<Script>,
    pub(super) certificate: Option<Arc<Certificate>>,
    pub(super) stop: AtomicBool,
    pub(super) connections: AtomicUsize,
    /// How often each verb came.
    pub(super) seen: Mutex<HashMap<String, usize>>,
    pub(super) record: Mutex<Record>,
}

/// What was heard so far.
#[derive(Default)]
pub(super) struct Record {
    /// Every byte of each connection; under TLS, what was inside.
    pub(super) heard: Vec<Vec<u8>>,
    /// Command lines in order, without CRLF.
    pub(super) commands: Vec<String>,
    pub(super) messages: Vec<Message>,
    /// How many connections are over.
    pub(super) closed: usize,
}

impl FakeUpstream {
    /// An upstream that takes everything.
    pub(crate) fn start() -> Self {
        Self::scripted(|_| Act::Usual)
    }

    /// An upstream that takes everything and offers these keywords.
    pub(crate) fn offering(keywords: &[&str]) -> Self {
        let upstream = Self::start();
        upstream.offer(keywords);
        upstream
    }

    /// An upstream that does what the script says.
    pub(crate) fn scripted(script: impl Fn(&Moment<'_>) -> Act + Send + Sync + 'static) -> Self {
        Self::launch(0, None, Box::new(script))
    }

    /// An upstream with STARTTLS.
    pub(crate) fn with_tls(
        certificate: &Arc<Certificate>,
        script: impl Fn(&Moment<'_>) -> Act + Send + Sync + 'static,
    ) -> Self {
        let upstream = Self::launch(0, Some(Arc::clone(certificate)), Box::new(script));
        upstream.lock_keywords().push("STARTTLS".to_owned());
        upstream
    }

    /// An upstream on a port that was free a moment ago.
    pub(crate) fn on_port(port: u16) -> Self {
        Self::launch(port, None, Box::new(|_| Act::Usual))
    }

    fn launch(port: u16, certificate: Option<Arc<Certificate>>, script: Box<Script>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            keywords: Mutex::new(KEYWORDS.map(str::to_owned).to_vec()),
            script,
            certificate,
            stop: AtomicBool::new(false),
            connections: AtomicUsize::new(0),
            seen: Mutex::default(),
            record: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        std::thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the next EHLO is told.
    pub(crate) fn offer(&self, keywords: &[&str]) {
        *self.lock_keywords() = keywords.iter().map(|&k| k.to_owned()).collect();
    }

    fn lock_keywords(&self) -> MutexGuard<'_, Vec<String>> {
        lock(&self.shared.keywords)
    }

    /// How many connections there were.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections are over.
    pub(crate) fn closed(&self) -> usize {
        lock(&self.shared.record).closed
    }

    /// Command lines of all connections, in order, without CRLF.
    pub(crate) fn commands(&self) -> Vec<String> {
        lock(&self.shared.record).commands.clone()
    }

    /// The commands with this verb.
    pub(crate) fn commands_of(&self, verb: &str) -> Vec<String> {
        let mut commands = self.commands();
        commands.retain(|line| line.to_ascii_uppercase().starts_with(verb));
        commands
    }

    /// Every byte that was heard, connection by connection.
    pub(crate) fn heard(&self) -> Vec<u8> {
        lock(&self.shared.record).heard.concat()
    }

    /// The messages whose end of data was read, accepted or not.
    pub(crate) fn messages(&self) -> Vec<Message> {
        lock(&self.shared.record).messages.clone()
    }

    /// The only message.
    #[track_caller]
    pub(crate) fn message(&self) -> Message {
        let mut messages = self.messages();
        assert_eq!(messages.len(), 1, "{messages:#?}");
        messages.remove(0)
    }

    /// Waits until a connection is over.
    #[track_caller]
    pub(crate) fn wait_closed(&self, count: usize) {
        eventually("the upstream's connection to end", || {
            (self.closed() >= count).then_some(())
        });
    }

    /// Whether a bare CR, bare LF or NUL was ever heard (W4).
    pub(crate) fn heard_bare_bytes(&self) -> bool {
        let heard = lock(&self.shared.record);
        heard.heard.iter().any(|bytes| has_bare_bytes(bytes))
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // The thread that accepts looks up when somebody knocks.
        let _ = TcpStream::connect(self.address);
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the bytes contain a bare CR, a bare LF or a NUL.
pub(crate) fn has_bare_bytes(bytes: &[u8]) -> bool {
    bytes.iter().enumerate().any(|(at, &byte)| match byte {
        0 => true,
        b'\n' => at == 0 || bytes[at - 1] != b'\r',
        b'\r' => bytes.get(at + 1).is_some_and(|&next| next != b'\n'),
        _ => false,
    })
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        lock(&shared.record).heard.push(Vec::new());
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            upstream_session::run(stream, number, &shared);
            lock(&shared.record).closed += 1;
        });
    }
}
