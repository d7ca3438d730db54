//! [`Lockstep`] hands a reader one reply at a time and keeps what lies behind it.
//!
//! `mail-send` makes the connection, and its reader throws away whatever follows the reply it
//! returns. Behind a 220 to STARTTLS that would hide an attack (CVE-2011-0411); here it stays
//! visible, and the connection is dropped (W5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use memchr::memchr;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A stream read one line at a time.
pub(super) struct Lockstep<S> {
    stream: S,
    buffer: BytesMut,
    /// Octets read since the last command, so that a chatty server has an end (X40).
    read: usize,
    limit: usize,
    /// The lines of the last reply, as they came.
    reply: Vec<u8>,
}

impl<S> Lockstep<S> {
    pub(super) fn new(stream: S, limit: usize) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
            read: 0,
            limit,
            reply: Vec::new(),
        }
    }

    /// The stream, if nothing unasked has come.
    pub(super) fn into_stream(self) -> Option<S> {
        self.buffer.is_empty().then_some(self.stream)
    }

    /// The last reply, as it came.
    pub(super) fn reply(&self) -> &[u8] {
        &self.reply
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lockstep<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            let line = memchr(b'\n', &this.buffer).map(|at| at + 1);
            // A line longer than the reader's own buffer is handed over in pieces.
            if let Some(length) =
                line.or_else(|| (this.buffer.len() >= 512).then(|| this.buffer.len()))
            {
                let length = length.min(out.remaining());
                out.put_slice(&this.buffer[..length]);
                this.reply.extend_from_slice(&this.buffer[..length]);
                this.buffer.advance(length);
                return Poll::Ready(Ok(()));
            }
            if this.read > this.limit {
                return Poll::Ready(Err(io::Error::other("reply too long")));
            }
            let mut scratch = [0; 1024];
            let mut piece = ReadBuf::new(&mut scratch);
            ready!(Pin::new(&mut this.stream).poll_read(context, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.read += piece.filled().len();
            this.buffer.extend_from_slice(piece.filled());
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Lockstep<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.read = 0;
        this.reply.clear();
        Pin::new(&mut this.stream).poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(context)
    }
}
