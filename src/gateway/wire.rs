//! A [`Wire`] joins one client's connection to its sans-IO session: it reads, writes and keeps time.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_util::io::poll_read_buf;

use super::drain::Signals;
use super::transport::Transport;
use crate::mail::EnhancedStatus;
use crate::smtp::{Event, Server};

/// How much is read at once while commands are awaited.
const COMMAND_READ_SIZE: usize = 4 * 1024;
/// How much is read at once inside a body: a larger piece saves wake-ups on large messages.
const BODY_READ_SIZE: usize = 64 * 1024;

/// How long the client may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For one command, from the reply before it to its line end.
    pub(super) command: Duration,
    /// For the first byte of the data, and as a grace on top of its lowest rate.
    pub(super) data: Duration,
    /// Lowest rate of the data, in octets per second.
    pub(super) data_rate: u64,
    /// For a TLS handshake, and for taking our replies.
    pub(super) handshake: Duration,
}

/// What became of waiting for the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// There is more input.
    More,
    /// The client closed the connection, or it broke.
    Closed,
    /// The client took too long (W12).
    TooSlow,
    /// We are draining and no transaction is open.
    Draining,
}

/// One client's connection.
pub(super) struct Wire {
    transport: Transport,
    /// The session without sockets.
    pub(super) server: Server,
    patience: Patience,
    signals: Signals,
    /// Armed once and moved when it fires too early, because most deadlines are never reached.
    alarm: Pin<Box<Sleep>>,
    /// When the command, or the data, must be complete; set when waiting for it begins.
    deadline: Option<Instant>,
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
            alarm: Box::pin(tokio::time::sleep(patience.command)),
            deadline: None,
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
        // The clock of the next command starts at the reply to the one before, whatever that was.
        self.deadline = None;
        let output = self.server.output().split();
        let write = async {
            self.transport.write_all(&output).await?;
            self.transport.flush().await
        };
        tokio::time::timeout(self.patience.command, write)
            .await
            .map_err(|_| io::ErrorKind::TimedOut)?
    }

    /// Waits for more input, no longer than the client may take.
    pub(super) async fn read(&mut self) -> Read {
        let deadline = self.current_deadline();
        if self.server.input().is_empty() && !self.server.in_body() {
            // An idle session keeps no buffer: ten thousand of them must fit into memory.
            *self.server.input() = BytesMut::new();
        }
        poll_fn(|context| self.poll_read(context, deadline)).await
    }

    fn poll_read(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Read> {
        let size = if self.server.in_body() {
            BODY_READ_SIZE
        } else {
            COMMAND_READ_SIZE
        };
        let input = self.server.input();
        input.reserve(size);
        match poll_read_buf(Pin::new(&mut self.transport), context, input) {
            Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Read::Closed),
            Poll::Ready(Ok(_)) => return Poll::Ready(Read::More),
            Poll::Pending => {}
        }
        if self.signals.over.as_mut().poll(context).is_ready() {
            return Poll::Ready(Read::Closed);
        }
        if !self.server.in_transaction() && self.signals.begun.as_mut().poll(context).is_ready() {
            return Poll::Ready(Read::Draining);
        }
        self.poll_alarm(context, deadline)
    }

    fn poll_alarm(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<Read> {
        if self.alarm.deadline() > deadline {
            self.alarm.as_mut().reset(deadline);
        }
        while self.alarm.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(Read::TooSlow);
            }
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    fn current_deadline(&mut self) -> Instant {
        let in_body = self.server.in_body();
        let patience = if in_body {
            self.patience.data
        } else {
            self.patience.command
        };
        let deadline = *self
            .deadline
            .get_or_insert_with(|| Instant::now() + patience);
        if in_body {
            // What has come so far earns time at the lowest rate (W12).
            let earned = self.server.body_size() / self.patience.data_rate.max(1);
            deadline + Duration::from_secs(earned)
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

    /// Says 421 and why.
    pub(super) async fn hang_up(&mut self, status: EnhancedStatus, text: &'static str) {
        self.server.hang_up(status, text);
        let _ = self.flush().await;
    }

    /// Closes the connection so that the client reads the last reply.
    ///
    /// Bytes that were not read would make the system answer with a reset, which destroys the
    /// reply on its way: they are read and thrown away, for a moment and within a limit.
    pub(super) async fn close(mut self) {
        let _ = self.flush().await;
        let _ = self.transport.shutdown().await;
        let mut rest = vec![0; COMMAND_READ_SIZE];
        let discard = async {
            for _ in 0..LINGER_READS {
                if !matches!(self.transport.read(&mut rest).await, Ok(1..)) {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(LINGER, discard).await;
    }
}

/// How long a closing connection is read from.
const LINGER: Duration = Duration::from_millis(500);
/// How often, so that a flood does not keep us.
const LINGER_READS: usize = 64;
