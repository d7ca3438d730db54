//! Idle connections wait here for the next transaction.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::Connection;

/// The kept connections, the longest idle first.
pub(super) struct Idle {
    kept: Mutex<VecDeque<Connection>>,
    limit: usize,
    timeout: Duration,
}

impl Idle {
    pub(super) const fn new(limit: usize, timeout: Duration) -> Self {
        Self {
            kept: Mutex::new(VecDeque::new()),
            limit,
            timeout,
        }
    }

    /// The connection used last: it is the least likely to have been closed at the other end.
    pub(super) fn take(&self) -> Option<Connection> {
        loop {
            let mut connection = self.lock().pop_back()?;
            // Looked at without the lock: reading from a connection may take a system call.
            if connection.idle_since.elapsed() < self.timeout && connection.is_quiet() {
                return Some(connection);
            }
        }
    }

    pub(super) fn put(&self, connection: Connection) {
        let mut kept = self.lock();
        if self.limit == 0 {
            return;
        }
        if kept.len() >= self.limit {
            kept.pop_front();
        }
        kept.push_back(connection);
    }

    /// Drops those that were idle for too long; how many are left.
    pub(super) fn prune(&self) -> i64 {
        let mut kept = self.lock();
        while kept
            .front()
            .is_some_and(|connection| connection.idle_since.elapsed() >= self.timeout)
        {
            kept.pop_front();
        }
        i64::try_from(kept.len()).unwrap_or(i64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
