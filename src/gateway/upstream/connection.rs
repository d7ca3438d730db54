//! A [`Connection`] is one connection to the upstream that is past EHLO, TLS and AUTH.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::gateway::alarm::{Alarm, Wait};
use crate::gateway::buffers;
use crate::gateway::transport::Transport;
use crate::smtp::{Client, ClientFault, Expect, Extensions, UpstreamReply};

/// Longer than any wait, so that the first wait sets the alarm.
const ALARM: Duration = Duration::from_secs(24 * 3600);

/// One connection.
pub(in crate::gateway) struct Connection {
    transport: Transport,
    alarm: Alarm,
    pub(in crate::gateway) client: Client,
    /// A piece of a body that goes out behind the client's output, without being copied there.
    tail: Bytes,
    /// What goes out behind that: the end of the data.
    end: &'static [u8],
    /// Something was handed to TLS and is not on its way yet: its buffer takes more than the socket.
    is_held_back: bool,
    /// What its EHLO offered.
    pub(in crate::gateway) extensions: Extensions,
    /// It was used before: RSET goes first (R12).
    pub(in crate::gateway) needs_reset: bool,
    /// Since when nobody uses it.
    pub(super) idle_since: Instant,
}

/// Why a connection cannot be used any more.
#[derive(Debug, thiserror::Error)]
pub(in crate::gateway) enum Lost {
    /// It broke or was closed.
    #[error("connection lost: {0}")]
    Io(#[from] io::Error),
    /// It said what makes no sense.
    #[error(transparent)]
    Fault(#[from] ClientFault),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TooSlow(Duration),
}

impl Connection {
    pub(super) fn new(transport: Transport, extensions: Extensions, reply_limit: usize) -> Self {
        Self {
            transport,
            alarm: Alarm::new(ALARM),
            client: Client::new(reply_limit),
            tail: Bytes::new(),
            end: b"",
            is_held_back: false,
            extensions,
            needs_reset: false,
            idle_since: Instant::now(),
        }
    }

    /// Whether nothing is owed and nothing unasked has come.
    pub(super) fn is_in_step(&self) -> bool {
        self.client.is_in_step() && !self.has_unwritten_body() && !self.is_held_back
    }

    /// Whether nothing has come while nothing was asked: a farewell, an end or a second reply to the
    /// command before means that it is of no use. What has come would answer the next command (X41).
    pub(in crate::gateway) fn is_quiet(&mut self) -> bool {
        let quiet = self.transport.read_now(self.client.input()).is_none();
        quiet && self.is_in_step()
    }

    /// Fails when the upstream has said something that nobody asked for: what it says next would be
    /// taken for the answer to the wrong command (X41).
    pub(in crate::gateway) fn expect_silence(&mut self) -> Result<(), Lost> {
        match self.transport.read_now(self.client.input()) {
            None if self.is_in_step() => Ok(()),
            None | Some(Ok(1..)) => Err(ClientFault::Unasked.into()),
            Some(Ok(0)) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Some(Err(error)) => Err(error.into()),
        }
    }

    /// The reply that has come already, without waiting.
    pub(in crate::gateway) fn early_reply(&mut self) -> Result<Option<UpstreamReply>, Lost> {
        match self.transport.read_now(self.client.input()) {
            Some(Ok(0)) => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
            Some(Err(error)) => return Err(error.into()),
            Some(Ok(_)) | None => {}
        }
        Ok(self.client.next_reply()?.map(|(_, reply)| reply))
    }

    /// Whether something is still to be written. Under TLS that is also what waits to be sent: a reply
    /// that comes meanwhile was not given to the end of the data (R1).
    pub(in crate::gateway) fn has_unwritten(&mut self) -> bool {
        !self.client.output().is_empty() || self.has_unwritten_body() || self.is_held_back
    }

    const fn has_unwritten_body(&self) -> bool {
        !self.tail.is_empty() || self.owes_end()
    }

    /// Whether a part of the end of the data was never handed over, so that the upstream cannot have
    /// the message.
    pub(in crate::gateway) const fn owes_end(&self) -> bool {
        !self.end.is_empty()
    }

    /// How much waits to be written.
    pub(in crate::gateway) fn unwritten(&mut self) -> usize {
        self.client.output().len() + self.tail.len()
    }

    /// Puts a piece of a body behind what is queued, without copying it. There can be one.
    pub(in crate::gateway) fn queue_tail(&mut self, piece: Bytes) {
        self.tail = piece;
    }

    /// Whether there is one already.
    pub(in crate::gateway) fn has_tail(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Puts the end of the data behind everything.
    pub(in crate::gateway) fn queue_end(&mut self) {
        self.end = b".\r\n";
    }

    /// Writes what is queued and reads until there is a reply.
    pub(in crate::gateway) async fn reply(
        &mut self,
        patience: Duration,
    ) -> Result<(Expect, UpstreamReply), Lost> {
        if let Some(reply) = self.client.next_reply()? {
            return Ok(reply);
        }
        let mut wait = Wait::new(patience);
        poll_fn(|context| {
            while let Poll::Ready(moved) = self.poll_exchange(context) {
                moved?;
                if let Some(reply) = self.client.next_reply()? {
                    return Poll::Ready(Ok(reply));
                }
            }
            // The upstream may think about the dot for long, and the header came in a large buffer.
            buffers::give_back(self.client.output());
            self.poll_too_slow(context, &mut wait).map(Err)
        })
        .await
    }

    /// Writes what is queued; a reply that comes too early ends it with what was said.
    ///
    /// Returns none once everything is written.
    pub(in crate::gateway) async fn write(
        &mut self,
        patience: Duration,
    ) -> Result<Option<UpstreamReply>, Lost> {
        let mut wait = Wait::new(patience);
        poll_fn(|context| {
            while self.has_unwritten() {
                if self.poll_progress(context)?.is_pending() {
                    return self.poll_too_slow(context, &mut wait).map(Err);
                }
                if let Some((_, reply)) = self.client.next_reply()? {
                    return Poll::Ready(Ok(Some(reply)));
                }
            }
            match self.poll_write_all(context)? {
                Poll::Ready(()) => Poll::Ready(Ok(None)),
                Poll::Pending => self.poll_too_slow(context, &mut wait).map(Err),
            }
        })
        .await
    }

    fn poll_too_slow(&mut self, context: &mut Context<'_>, wait: &mut Wait) -> Poll<Lost> {
        let due = self.alarm.poll_due(context, wait.deadline());
        due.map(|()| Lost::TooSlow(wait.patience()))
    }

    /// Writes as much as goes out, then waits for input: both sides can be full at the same time.
    fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_write_all(context) {
            Poll::Ready(Err(error)) => self.last_words(context, error),
            Poll::Ready(Ok(())) | Poll::Pending => self.poll_input(context),
        }
    }

    /// A server that refuses to read on may have said why: that is worth more than the error.
    fn last_words(&mut self, context: &mut Context<'_>, error: io::Error) -> Poll<io::Result<()>> {
        match self.poll_input(context) {
            // What was not written stays queued: whoever reads the reply must see that it is early.
            Poll::Ready(Ok(())) => Poll::Ready(Ok(())),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(Err(error)),
        }
    }

    /// Ready when something was written or read.
    fn poll_progress(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_write_all(context) {
            Poll::Ready(Err(error)) => self.last_words(context, error),
            written => match self.poll_input(context) {
                Poll::Ready(read) => Poll::Ready(read),
                Poll::Pending => written,
            },
        }
    }

    fn poll_write_all(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.poll_write_pieces(context);
        self.is_held_back = !matches!(written, Poll::Ready(Ok(())));
        written
    }

    fn poll_write_pieces(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.tail.is_empty() || !self.end.is_empty() {
            let output: &[u8] = self.client.output();
            let pieces = [output, &self.tail, self.end].map(IoSlice::new);
            let transport = Pin::new(&mut self.transport);
            match ready!(transport.poll_write_vectored(context, &pieces))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
        self.transport.poll_write_all(context, self.client.output())
    }

    /// So many octets went out.
    fn advance(&mut self, written: usize) {
        let output = self.client.output();
        let (of_output, rest) = shares(written, output.len());
        output.advance(of_output);
        let (of_tail, rest) = shares(rest, self.tail.len());
        self.tail.advance(of_tail);
        self.end = self.end.get(rest..).unwrap_or_default();
        if self.tail.is_empty() {
            // What is empty may still hold the buffer.
            self.tail = Bytes::new();
        }
    }

    fn poll_input(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let input = self.client.input();
        match buffers::poll_read_lines(&mut self.transport, context, input) {
            Poll::Ready(Ok(0)) => Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into())),
            Poll::Ready(Ok(_)) => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    }
}

/// How much of `amount` falls to the first `room`, and how much is left.
const fn shares(amount: usize, room: usize) -> (usize, usize) {
    if amount < room {
        (amount, 0)
    } else {
        (room, amount - room)
    }
}

#[cfg(test)]
mod tests;
