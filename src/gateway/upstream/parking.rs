//! Idle connections wait here for the next transaction.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::connection::Connection;

/// A connection that was used less long ago is at work, whoever uses it next.
const MOMENT: Duration = Duration::from_secs(1);

fn is_idle_for(connection: Option<&Connection>, time: Duration) -> bool {
    connection.is_some_and(|connection| connection.idle_since.elapsed() >= time)
}

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

    /// Keeps a connection. Beyond the limit another goes, unless all of them were in use a moment ago:
    /// more sessions than the limit would else connect anew for every message.
    pub(super) fn put(&self, connection: Connection) {
        let mut kept = self.lock();
        if self.limit == 0 {
            return;
        }
        if kept.len() >= self.limit && is_idle_for(kept.front(), MOMENT) {
            kept.pop_front();
        }
        kept.push_back(connection);
    }

    /// Drops those that were idle for too long; how many are left.
    pub(super) fn prune(&self) -> usize {
        let mut kept = self.lock();
        while is_idle_for(kept.front(), self.timeout)
            || (kept.len() > self.limit && is_idle_for(kept.front(), MOMENT))
        {
            kept.pop_front();
        }
        kept.len()
    }

    /// Drops up to so many that are not at work; how many it dropped.
    pub(super) fn close(&self, most: usize) -> usize {
        let mut kept = self.lock();
        let mut closed = 0;
        while closed < most && is_idle_for(kept.front(), MOMENT) {
            kept.pop_front();
            closed += 1;
        }
        closed
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Connection>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
