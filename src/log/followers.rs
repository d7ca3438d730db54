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
    recent: Mutex<Recent>,
    sender: broadcast::Sender<Bytes>,
}

#[derive(Default)]
struct Recent {
    chunks: VecDeque<Bytes>,
    bytes: usize,
}

impl Followers {
    pub(super) fn new() -> Self {
        Self {
            recent: Mutex::default(),
            sender: broadcast::channel(FOLLOWER_LAG).0,
        }
    }

    /// The newest chunks, and those that follow.
    pub(super) fn join(&self) -> (Vec<Bytes>, broadcast::Receiver<Bytes>) {
        // Under the lock, so that no chunk is seen twice or missed in between.
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        (
            recent.chunks.iter().cloned().collect(),
            self.sender.subscribe(),
        )
    }

    /// Shows a chunk of whole lines to everybody.
    pub(super) fn tell(&self, chunk: &Bytes) {
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.bytes += chunk.len();
        recent.chunks.push_back(chunk.clone());
        while recent.bytes > RECENT_LIMIT
            && recent.chunks.len() > 1
            && let Some(old) = recent.chunks.pop_front()
        {
            recent.bytes -= old.len();
        }
        // An error only means that nobody follows.
        let _ = self.sender.send(chunk.clone());
    }
}
