//! The [`Smarthost`] takes the demo's mail, delivers it nowhere, and sends back what a far end would.

use std::io;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::courier::Courier;
use super::mailbox::{Failure, Mailbox, Mailboxes};
use super::report::Dsn;
use crate::mail::header::{HeaderReader, HeaderStep};
use crate::mail::{Address, EnhancedStatus, ForwardPath, ReversePath};
use crate::smtp::body::{BodyFault, BodyLimits};
use crate::smtp::{Event, Reply, Server, ServerOptions};
use crate::timestamp::Timestamp;

/// What it calls itself.
const HOST: &str = "smarthost.example.com";

/// Largest header that is given back in a report, in octets.
const HEADER_LIMIT: usize = 64 * 1024;

/// Largest message that is taken, in octets.
const MESSAGE_LIMIT: u64 = 25 * 1024 * 1024;

/// How long reports that are on their way may take before the end.
const SETTLE_PATIENCE: Duration = Duration::from_secs(2);

/// A smarthost that listens and does not answer yet.
///
/// The gateway must know its address to start, and it must know the gateway's to send reports.
pub(super) struct Smarthost {
    listener: TcpListener,
}

/// A smarthost that answers.
pub(super) struct Running {
    world: Arc<World>,
}

/// What all its sessions share.
struct World {
    mailboxes: Mailboxes,
    courier: Courier,
    /// Messages that were taken.
    taken: AtomicU64,
    /// Reports that were written.
    written: AtomicU64,
    /// Visits of the gateway.
    sessions: TaskTracker,
    /// Reports on their way.
    reports: TaskTracker,
    stop: CancellationToken,
}

impl Smarthost {
    /// Listens on a free port of loopback.
    pub(super) async fn bind() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        Ok(Self { listener })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Begins to answer; reports go to the returns listener.
    pub(super) fn open(self, mailboxes: Mailboxes, returns: SocketAddr) -> Running {
        let world = Arc::new(World {
            mailboxes,
            courier: Courier {
                returns,
                host: HOST,
            },
            taken: AtomicU64::new(0),
            written: AtomicU64::new(0),
            sessions: TaskTracker::new(),
            reports: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        let (shared, stop) = (Arc::clone(&world), world.stop.clone());
        tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((stream, _)) = self.listener.accept().await {
                let session = Session::new(stream, Arc::clone(&shared)).run();
                shared
                    .sessions
                    .spawn(stop.clone().run_until_cancelled_owned(session));
            }
        }));
        Running { world }
    }
}

impl Running {
    /// How many messages it has taken.
    pub(super) fn taken(&self) -> u64 {
        self.world.taken.load(Ordering::Relaxed)
    }

    /// Waits until no report is on its way any more; for a moment, not for ever.
    pub(super) async fn settle(&self) {
        self.world.reports.close();
        let _ = tokio::time::timeout(SETTLE_PATIENCE, self.world.reports.wait()).await;
    }

    /// Closes every connection.
    pub(super) async fn close(self) {
        self.world.stop.cancel();
        for tasks in [&self.world.sessions, &self.world.reports] {
            tasks.close();
            tasks.wait().await;
        }
    }
}

/// One visit of the gateway.
struct Session {
    stream: TcpStream,
    server: Server,
    world: Arc<World>,
    sender: ReversePath,
    recipients: Vec<Address>,
    header: Header,
    /// What comes back once our 250 is out.
    failed: Vec<(Address, Failure)>,
}

/// The header of the message that is arriving.
enum Header {
    Arriving(HeaderReader),
    Complete(Bytes),
}

impl Session {
    fn new(stream: TcpStream, world: Arc<World>) -> Self {
        Self {
            stream,
            server: Server::new(server_options(), false),
            world,
            sender: ReversePath::Null,
            recipients: Vec::new(),
            header: Header::Complete(Bytes::new()),
            failed: Vec::new(),
        }
    }

    /// Speaks until the gateway leaves or the connection breaks.
    async fn run(mut self) {
        let _ = self.stream.set_nodelay(true);
        self.server.greet(HOST);
        while matches!(self.step().await, Ok(ControlFlow::Continue(()))) {}
    }

    async fn step(&mut self) -> io::Result<ControlFlow<()>> {
        let mut flow = ControlFlow::Continue(());
        while flow.is_continue()
            && let Some(event) = self.server.next_event()
        {
            flow = self.handle(event);
        }
        let output = self.server.output().split();
        self.stream.write_all(&output).await?;
        self.send_reports();
        if flow.is_continue() && self.stream.read_buf(self.server.input()).await? == 0 {
            flow = ControlFlow::Break(());
        }
        Ok(flow)
    }

    fn handle(&mut self, event: Event) -> ControlFlow<()> {
        let of = EnhancedStatus::of;
        match event {
            Event::Hello { extended, .. } => self.hello(extended),
            // None of these is offered.
            Event::StartTls
            | Event::Authenticate(_)
            | Event::Xclient(_)
            | Event::UnreadableRecipient => {
                let reply = Reply::new(502, of(5, 5, 1), "Not implemented");
                self.server.reply(reply);
            }
            Event::Mail { path, .. } => {
                self.sender = path;
                self.recipients.clear();
                self.server.reply(Reply::new(250, of(2, 1, 0), "Sender ok"));
            }
            Event::Recipient { path, .. } => self.recipient(path),
            Event::Data => {
                self.header = Header::Arriving(HeaderReader::new(HEADER_LIMIT));
                self.server.reply(Reply::bare(354, "Go ahead"));
            }
            Event::Body(piece) => {
                if let Header::Arriving(reader) = &mut self.header {
                    let step = reader.push(&piece);
                    self.keep_header(step);
                }
            }
            Event::EndOfData { fault, .. } => self.end_of_data(fault),
            Event::Reset => self.recipients.clear(),
            Event::Close(_) => return ControlFlow::Break(()),
        }
        ControlFlow::Continue(())
    }

    fn hello(&mut self, extended: bool) {
        let size = format!("SIZE {MESSAGE_LIMIT}");
        let keywords = ["PIPELINING", &size, "ENHANCEDSTATUSCODES", "8BITMIME"];
        let keywords = if extended { &keywords[..] } else { &[] };
        let keywords: Vec<_> = keywords.iter().map(|&keyword| keyword.to_owned()).collect();
        self.server.reply_hello(HOST, &keywords);
    }

    fn recipient(&mut self, path: ForwardPath) {
        let ForwardPath::Mailbox { address, .. } = path else {
            let reply = Reply::new(550, EnhancedStatus::of(5, 1, 1), "No postmaster here");
            return self.server.reply(reply);
        };
        let reply = if self.world.mailboxes.of(&address) == Mailbox::KnownUnknown {
            Reply::new(550, EnhancedStatus::of(5, 1, 1), "No such user")
        } else {
            self.recipients.push(address);
            Reply::new(250, EnhancedStatus::of(2, 1, 5), "Recipient ok")
        };
        self.server.reply(reply);
    }

    fn keep_header(&mut self, step: HeaderStep) {
        match step {
            HeaderStep::Incomplete => {}
            HeaderStep::Complete { header, .. } => self.header = Header::Complete(header),
            HeaderStep::TooLarge => self.header = Header::Complete(Bytes::new()),
        }
    }

    fn end_of_data(&mut self, fault: Option<BodyFault>) {
        if let Header::Arriving(reader) = &mut self.header {
            let step = reader.finish();
            self.keep_header(step);
        }
        if fault.is_some() {
            let status = EnhancedStatus::of(5, 6, 0);
            let reply = Reply::new(554, status, "Cannot take this message");
            return self.server.reply(reply);
        }
        self.world.taken.fetch_add(1, Ordering::Relaxed);
        for recipient in self.recipients.drain(..) {
            if let Some(failure) = self.world.mailboxes.of(&recipient).failure() {
                self.failed.push((recipient, failure));
            }
        }
        self.server.forgive();
        let status = EnhancedStatus::of(2, 0, 0);
        self.server.reply(Reply::new(250, status, "Ok, on its way"));
    }

    /// Writes a report for each recipient that failed, unless the message was a report itself.
    fn send_reports(&mut self) {
        let (ReversePath::Mailbox { wire, .. }, Header::Complete(header)) =
            (&self.sender, &self.header)
        else {
            self.failed.clear();
            return;
        };
        let return_path = String::from_utf8_lossy(wire).into_owned();
        for (recipient, failure) in self.failed.drain(..) {
            let report = Dsn {
                host: HOST,
                number: self.world.written.fetch_add(1, Ordering::Relaxed),
                return_path: &return_path,
                recipient: &recipient,
                failure,
                arrived: Timestamp::now(),
                header,
            }
            .compose();
            let (world, return_path) = (Arc::clone(&self.world), return_path.clone());
            let stop = self.world.stop.clone();
            let delivery = async move { world.courier.deliver(&return_path, &report).await };
            self.world
                .reports
                .spawn(stop.run_until_cancelled_owned(delivery));
        }
    }
}

fn server_options() -> ServerOptions {
    ServerOptions {
        body: BodyLimits {
            message_size: MESSAGE_LIMIT,
            text_line: 1000,
            pass_long_lines: true,
        },
        recipient_limit: 1000,
        error_limit: 100,
        // Whoever takes a connection again says RSET first.
        junk_command_limit: 1000,
        start_tls: false,
        require_tls: false,
        auth: false,
        xclient: false,
        lmtp: false,
        unreadable_recipients: false,
    }
}
