//! A [`Wire`] joins one client's connection to its sans-IO session: it reads, writes and keeps time.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::io::poll_read_buf;

use super::alarm::{Alarm, Wait};
use super::buffers;
use super::drain::{Signals, Stage};
use super::transport::Transport;
use crate::mail::EnhancedStatus;
use crate::smtp::{Event, Server};

/// How long the client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For one command, from the reply before it to its line end.
    pub(super) command: Duration,
    /// The longest pause in the data, and the grace on top of its lowest rate.
    pub(super) data: Duration,
    /// Lowest rate of the data, in octets per second.
    pub(super) data_rate: u64,
    /// For a TLS handshake.
    pub(super) handshake: Duration,
}

/// What became of waiting for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    /// There is more input.
    More,
    /// The client closed the connection, or it broke.
    Closed,
    /// The client took too long (W12).
    TooSlow,
    /// We are draining and no transaction is open.
    Draining,
}

/// The session is over.
#[derive(Debug)]
pub(super) struct Over;

/// One client's connection.
pub(super) struct Wire {
    transport: Transport,
    /// The session without sockets.
    pub(super) server: Server,
    patience: Patience,
    signals: Signals,
    alarm: Alarm,
    /// When the command, or the data, must be complete; set when waiting for it begins.
    deadline: Option<Instant>,
    /// Since when the client is not waited for. That time is ours or the upstream's, not the client's.
    busy_since: Instant,
}

impl Wire {
    /// A wire over a connection that was just accepted.
    pub(super) fn new(
        stream: TcpStream,
        server: Server,
        patience: Patience,
        signals: Signals,
    ) -> Self {
        Self {
            transport: Transport::Plain(stream),
            server,
            patience,
            signals,
            alarm: Alarm::new(patience.command),
            deadline: None,
            busy_since: Instant::now(),
        }
    }

    /// The next thing the client did, without waiting.
    pub(super) fn next_event(&mut self) -> Option<Event> {
        let event = self.server.next_event()?;
        // Pieces of a body do not set the clock back; its rate is measured over the whole.
        if !matches!(event, Event::Body(_)) {
            self.deadline = None;
        }
        Some(event)
    }

    /// Writes the replies that are ready.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        if self.server.output().is_empty() {
            return Ok(());
        }
        // A reply ends a command, also one that was no event, such as NOOP.
        self.deadline = None;
        let mut wait = Wait::new(self.patience.command);
        poll_fn(|context| self.poll_flush(context, &mut wait)).await
    }

    fn poll_flush(&mut self, context: &mut Context<'_>, wait: &mut Wait) -> Poll<io::Result<()>> {
        let output = self.server.output();
        if let Poll::Ready(written) = self.transport.poll_write_all(context, output) {
            return Poll::Ready(written);
        }
        let due = self.alarm.poll_due(context, wait.deadline());
        due.map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Flushes and waits for more input. A client that takes too long, and an idle one when we are
    /// draining, is told so and the session is over.
    pub(super) async fn wait(&mut self) -> Result<(), Over> {
        self.flush().await.map_err(|_| Over)?;
        let of = EnhancedStatus::of;
        let (status, text) = match self.read().await {
            Read::More => return Ok(()),
            Read::Closed => return Err(Over),
            Read::TooSlow => (of(4, 4, 2), "Timeout, closing connection"),
            Read::Draining => (of(4, 3, 2), "Shutting down, try again"),
        };
        self.server.hang_up(status, text);
        let _ = self.flush().await;
        Err(Over)
    }

    /// Waits for more input, no longer than the client may take.
    async fn read(&mut self) -> Read {
        let deadline = self.current_deadline(Instant::now());
        let read = poll_fn(|context| self.poll_read(context, deadline)).await;
        self.busy_since = Instant::now();
        read
    }

    fn poll_read(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Read> {
        match self.poll_input(context) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Read::Closed),
            Poll::Ready(Ok(_)) => return Poll::Ready(Read::More),
            // Ten thousand sessions that wait must fit into memory.
            Poll::Pending => buffers::give_back(self.server.input()),
        }
        match self.signals.poll_stage(context) {
            Stage::Over => return Poll::Ready(Read::Closed),
            Stage::Begun if !self.server.in_transaction() => return Poll::Ready(Read::Draining),
            Stage::Begun | Stage::None => {}
        }
        self.alarm
            .poll_due(context, deadline)
            .map(|()| Read::TooSlow)
    }

    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let in_body = self.server.in_body();
        let input = self.server.input();
        if !in_body {
            return buffers::poll_read_lines(&mut self.transport, context, input);
        }
        if input.is_empty() {
            buffers::lend(input);
        }
        // What is left of the piece before is an octet or two.
        input.reserve(buffers::SPARE_SIZE / 4);
        poll_read_buf(Pin::new(&mut self.transport), context, input)
    }

    fn current_deadline(&mut self, now: Instant) -> Instant {
        let in_body = self.server.in_body();
        let patience = if in_body {
            self.patience.data
        } else {
            self.patience.command
        };
        let busy = now.saturating_duration_since(self.busy_since);
        let deadline = self.deadline.map_or(now + patience, |begun| begun + busy);
        self.deadline = Some(deadline);
        if in_body {
            // What has come so far earns time at the lowest rate, but no longer pause (W12).
            let earned = self.server.body_size() / self.patience.data_rate.max(1);
            (deadline + Duration::from_secs(earned)).min(now + patience)
        } else {
            deadline
        }
    }

    /// Takes what has arrived already into the input, without waiting (W8).
    pub(super) fn read_early(&mut self) {
        if let Some(Ok(_)) = self.transport.read_now(self.server.input()) {
            tracing::debug!("bytes before the reply they depend on");
        }
    }

    /// Does something that the client waits for, and holds no room for its input when that takes a while.
    ///
    /// What was read last is written upstream by then, most of the time, so that its buffer can serve
    /// another session: with 100 that waited for the reply to their dot, each had kept one.
    pub(super) async fn rest_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = pin!(work);
        poll_fn(|context| {
            let done = work.as_mut().poll(context);
            if done.is_pending() {
                buffers::give_back(self.server.input());
            }
            done
        })
        .await
    }

    /// Does the handshake that STARTTLS announced, or that the listener begins with.
    pub(super) async fn start_tls(&mut self, acceptor: &TlsAcceptor) -> io::Result<()> {
        // The stream is taken out for the handshake; a failure leaves the wire without one.
        let transport = std::mem::replace(&mut self.transport, Transport::Closed);
        let Transport::Plain(stream) = transport else {
            return Err(io::ErrorKind::NotConnected.into());
        };
        let secured = tokio::time::timeout(self.patience.handshake, acceptor.accept(stream))
            .await
            .map_err(|_| io::ErrorKind::TimedOut)??;
        self.transport = Transport::Server(Box::new(secured));
        self.server.tls_established();
        Ok(())
    }

    /// Closes the connection so that the client reads the last reply.
    ///
    /// Bytes that were not read would make the system answer with a reset, which destroys the
    /// reply on its way: they are read and thrown away, for a moment and within a limit.
    pub(super) async fn close(mut self) {
        let _ = self.flush().await;
        let mut rest = vec![0; LINGER_SIZE];
        let farewell = async {
            // Under TLS this writes, and a client that does not read would hold us for ever.
            let _ = self.transport.shutdown().await;
            for _ in 0..LINGER_READS {
                if !matches!(self.transport.read(&mut rest).await, Ok(1..)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, farewell).await;
    }
}

/// How long a closing connection is read from.
const LINGER: Duration = Duration::from_millis(500);
/// How much at once.
const LINGER_SIZE: usize = 4 * 1024;
/// How often, so that a flood does not keep us.
const LINGER_READS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::drain::Drain;
    use crate::smtp::body::BodyLimits;
    use crate::smtp::{Reply, ServerOptions};
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(100);

    async fn wire() -> (Wire, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (stream, _) = listener.accept().await.unwrap();
        let options = ServerOptions {
            body: BodyLimits {
                message_size: 1_000_000,
                text_line: 1000,
                pass_long_lines: true,
            },
            recipient_limit: 3,
            error_limit: 5,
            junk_command_limit: 5,
            start_tls: false,
            require_tls: false,
            auth: false,
            xclient: false,
            lmtp: false,
            unreadable_recipients: false,
        };
        let patience = Patience {
            command: PATIENCE,
            data: PATIENCE,
            data_rate: 10,
            handshake: PATIENCE,
        };
        let server = Server::new(options, false);
        let wire = Wire::new(stream, server, patience, Drain::new().signals());
        (wire, client.unwrap())
    }

    /// Sends the bytes and answers every event with a reply that lets the session go on.
    fn say(wire: &mut Wire, bytes: &[u8]) {
        wire.server.input().extend_from_slice(bytes);
        while let Some(event) = wire.next_event() {
            match event {
                Event::Data => wire.server.reply(Reply::bare(354, "go on")),
                Event::Body(_) => {}
                _ => wire.server.reply(Reply::bare(250, "ok")),
            }
        }
    }

    #[tokio::test]
    async fn w12_a_noop_sets_the_clock_back_and_half_a_command_does_not() {
        let (mut wire, _client) = wire().await;
        let begun = Instant::now();
        wire.busy_since = begun;
        assert_eq!(wire.current_deadline(begun), begun + PATIENCE);
        let later = begun + PATIENCE / 2;
        wire.busy_since = later;
        say(&mut wire, b"NOO");
        wire.flush().await.unwrap();
        assert_eq!(wire.current_deadline(later), begun + PATIENCE);
        say(&mut wire, b"P\r\n");
        wire.flush().await.unwrap();
        assert_eq!(wire.current_deadline(later), later + PATIENCE);
    }

    #[tokio::test]
    async fn a_session_holds_no_large_buffer_while_its_client_waits() {
        let (mut wire, _client) = wire().await;
        buffers::lend(wire.server.input());
        wire.rest_during(tokio::task::yield_now()).await;
        assert_eq!(wire.server.input().capacity(), 0);
    }

    #[tokio::test]
    async fn w12_a_slow_upstream_costs_the_client_nothing_and_a_long_pause_is_never_earned() {
        let (mut wire, _client) = wire().await;
        say(&mut wire, b"EHLO client.example\r\n");
        say(
            &mut wire,
            b"MAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n",
        );
        let begun = Instant::now();
        wire.busy_since = begun;
        assert_eq!(wire.current_deadline(begun), begun + PATIENCE);
        // The upstream takes its time: afterwards the client has as much left as before.
        let resumed = begun + PATIENCE * 3;
        assert_eq!(wire.current_deadline(resumed), resumed + PATIENCE);
        // Half of the grace is gone, and ten thousand seconds are earned.
        say(&mut wire, &[b'a'; 100_000]);
        let later = resumed + PATIENCE / 2;
        wire.busy_since = later;
        assert_eq!(wire.current_deadline(later), later + PATIENCE);
    }
}
