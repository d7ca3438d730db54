//! An [`Alarm`] is for deadlines that are nearly never reached.
//!
//! Each wait on a connection has a deadline, and each new timer would be put into the runtime's wheel
//! and taken out again. This one is put in once and only moved when it rings too early.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

/// One timer for all waits on a connection, which come one after the other.
#[derive(Debug)]
pub(super) struct Alarm {
    sleep: Pin<Box<Sleep>>,
}

impl Alarm {
    /// An alarm that first looks at the time after `patience`.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            sleep: Box::pin(tokio::time::sleep(patience)),
        }
    }

    /// Ready once the deadline has passed; until then the task is woken in time.
    pub(super) fn poll_due(&mut self, context: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        if self.sleep.deadline() > deadline {
            self.sleep.as_mut().reset(deadline);
        }
        while self.sleep.as_mut().poll(context).is_ready() {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            self.sleep.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

/// When a wait that may take so long has taken too long; the clock is read only where there is
/// something to wait for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wait {
    patience: Duration,
    until: Option<Instant>,
}

impl Wait {
    /// A wait that begins now.
    pub(super) const fn new(patience: Duration) -> Self {
        Self {
            patience,
            until: None,
        }
    }

    /// How long it may take.
    pub(super) const fn patience(&self) -> Duration {
        self.patience
    }

    /// The deadline.
    pub(super) fn deadline(&mut self) -> Instant {
        *self
            .until
            .get_or_insert_with(|| Instant::now() + self.patience)
    }
}
