//! Spare *buffers* for bodies, shared by all sessions of a thread.
//!
//! A large buffer saves system calls, and a session needs one only while it is at work: between
//! reading a piece of a body and writing it upstream. So a session that waits holds none, whatever
//! the size of its message, and 100 sessions need no more than the one that runs.

use std::cell::RefCell;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use tokio::io::{AsyncRead, ReadBuf};

/// The size of a spare buffer: of a body, so much is read at once.
pub(super) const SPARE_SIZE: usize = 64 * 1024;

/// How many are kept on each thread.
const SPARE_LIMIT: usize = 4;

/// A session that waits keeps an empty buffer up to this size for its next command.
const KEEP_LIMIT: usize = 512;

/// How much is read at once where lines are awaited.
const LINES_SIZE: usize = 4 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<BytesMut>> = const { RefCell::new(Vec::new()) };
}

/// Makes room for a piece of a body in an empty buffer.
pub(super) fn lend(buffer: &mut BytesMut) {
    if !buffer.try_reclaim(SPARE_SIZE) {
        *buffer = SPARE
            .with_borrow_mut(Vec::pop)
            .unwrap_or_else(|| BytesMut::with_capacity(SPARE_SIZE));
    }
}

/// Takes back the room of a buffer that is empty and not needed for now.
pub(super) fn give_back(buffer: &mut BytesMut) {
    // What is left of a large one may look small; to reclaim it shows how large it is.
    if !buffer.is_empty()
        || (!buffer.try_reclaim(KEEP_LIMIT + 1) && buffer.capacity() <= KEEP_LIMIT)
    {
        return;
    }
    let mut spare = std::mem::take(buffer);
    // One of which a piece is still being written is not spare yet, and one that grew is not kept.
    if spare.try_reclaim(SPARE_SIZE) && spare.capacity() <= 2 * SPARE_SIZE {
        SPARE.with_borrow_mut(|all| {
            if all.len() < SPARE_LIMIT {
                all.push(spare);
            }
        });
    }
}

/// Reads what has arrived behind what is in `buffer`, by way of the stack: lines are short, and the
/// buffer grows to no more than what came.
pub(super) fn poll_read_lines(
    stream: &mut (impl AsyncRead + Unpin),
    context: &mut Context<'_>,
    buffer: &mut BytesMut,
) -> Poll<io::Result<usize>> {
    let mut scratch = [MaybeUninit::uninit(); LINES_SIZE];
    let mut read = ReadBuf::uninit(&mut scratch);
    ready!(Pin::new(stream).poll_read(context, &mut read))?;
    buffer.extend_from_slice(read.filled());
    Poll::Ready(Ok(read.filled().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare() -> usize {
        SPARE.with_borrow(Vec::len)
    }

    #[test]
    fn a_buffer_comes_back_when_nothing_of_it_is_held() {
        let mut buffer = BytesMut::new();
        lend(&mut buffer);
        buffer.extend_from_slice(b"body");
        give_back(&mut buffer);
        assert_eq!((&buffer[..], spare()), (&b"body"[..], 0));
        let piece = buffer.split().freeze();
        give_back(&mut buffer);
        assert_eq!((buffer.capacity(), spare()), (0, 0));
        lend(&mut buffer);
        drop(piece);
        give_back(&mut buffer);
        assert_eq!((buffer.capacity(), spare()), (0, 1));
        lend(&mut buffer);
        assert_eq!(spare(), 0);
        assert!(buffer.capacity() >= SPARE_SIZE);
    }

    #[test]
    fn the_end_of_a_large_buffer_is_no_small_one() {
        let mut buffer = BytesMut::new();
        lend(&mut buffer);
        let size = buffer.capacity() - 100;
        buffer.resize(size, b'x');
        drop(buffer.split());
        give_back(&mut buffer);
        assert_eq!((buffer.capacity(), spare()), (0, 1));
    }

    #[test]
    fn what_grew_beyond_a_spare_is_not_kept() {
        let mut buffer = BytesMut::with_capacity(4 * SPARE_SIZE);
        give_back(&mut buffer);
        assert_eq!((buffer.capacity(), spare()), (0, 0));
    }

    #[test]
    fn a_small_buffer_stays() {
        let mut buffer = BytesMut::with_capacity(64);
        give_back(&mut buffer);
        assert_eq!((buffer.capacity(), spare()), (64, 0));
    }
}
