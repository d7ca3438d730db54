//! [`Followers`] watch the suppression log through the running gateway rather than in its file.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::broadcast;

/// How many bytes of the newest lines are kept for somebody who begins to follow.
const RECENT_LIMIT: usize = 256 << 10;

/// How many batches a follower may lag behind before it misses some.
const FOLLOWER_LAG: usize = 256;

/// Those who watch the log through us, and what a newcomer is shown first.
pub(super) struct Followers {
    /// Whole lines, in a ring: chunks kept as they came would be of many sizes, and the allocator
    /// keeps pages for each size.
    recent: Mutex<VecDeque<u8>>,
    sender: broadcast::Sender<Bytes>,
}

impl Followers {
    pub(super) fn new() -> Self {
        Self {
            recent: Mutex::new(VecDeque::with_capacity(RECENT_LIMIT)),
            sender: broadcast::channel(FOLLOWER_LAG).0,
        }
    }

    /// The newest lines, and the chunks of lines that follow.
    pub(super) fn join(&self) -> (Bytes, broadcast::Receiver<Bytes>) {
        // Under the lock, so that no line is seen twice or missed in between.
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let (front, back) = recent.as_slices();
        ([front, back].concat().into(), self.sender.subscribe())
    }

    /// Shows a chunk of whole lines to everybody.
    pub(super) fn tell(&self, chunk: &[u8]) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = newest_lines(chunk);
        let over = (recent.len() + kept.len()).saturating_sub(RECENT_LIMIT);
        if over > 0 {
            let mut dropped = recent.iter().skip(over - 1);
            let rest_of_line = dropped.position(|&b| b == b'\n').unwrap_or(recent.len());
            let end = recent.len().min(over + rest_of_line);
            recent.drain(..end);
        }
        recent.extend(kept);
        if self.sender.receiver_count() > 0 {
            // An error only means that the last one has just left.
            let _ = self.sender.send(Bytes::copy_from_slice(chunk));
        }
    }
}

/// The last lines of a chunk, as many as are kept.
fn newest_lines(chunk: &[u8]) -> &[u8] {
    let Some(over) = chunk
        .len()
        .checked_sub(RECENT_LIMIT)
        .filter(|over| *over > 0)
    else {
        return chunk;
    };
    // From the end of the line that the limit cuts.
    let end = memchr::memchr(b'\n', &chunk[over - 1..]);
    end.map_or(&[], |end| &chunk[over + end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(line: &[u8], count: usize) -> Vec<u8> {
        line.repeat(count)
    }

    #[test]
    fn whole_lines_are_kept_up_to_the_limit() {
        let followers = Followers::new();
        let line = b"{\"number\":1234567}\n";
        let all = RECENT_LIMIT / line.len();
        for _ in 0..5 {
            followers.tell(&chunk(line, all / 3));
        }
        let (recent, _) = followers.join();
        assert_eq!(recent, chunk(line, all));
        assert!(followers.recent.lock().unwrap().capacity() < RECENT_LIMIT + 4096);
        followers.tell(b"another\n");
        let (recent, _) = followers.join();
        assert!(recent.starts_with(line) && recent.ends_with(b"}\nanother\n"));
        assert!(recent.len() <= RECENT_LIMIT);
    }

    #[test]
    fn of_a_chunk_beyond_the_limit_the_last_lines_are_kept() {
        let followers = Followers::new();
        followers.tell(b"before\n");
        let line = b"0123456789\n";
        followers.tell(&chunk(line, RECENT_LIMIT / 5));
        let (recent, _) = followers.join();
        assert_eq!(recent, chunk(line, RECENT_LIMIT / line.len()));
        followers.tell(&vec![b'x'; 2 * RECENT_LIMIT]);
        assert!(followers.join().0.len() <= RECENT_LIMIT);
    }

    #[test]
    fn who_follows_gets_the_chunks_that_come() {
        let followers = Followers::new();
        followers.tell(b"before\n");
        let (recent, mut following) = followers.join();
        followers.tell(b"after\n");
        assert_eq!(recent, &b"before\n"[..]);
        assert_eq!(following.try_recv().unwrap(), &b"after\n"[..]);
    }
}
