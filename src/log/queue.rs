//! A [`Queue`] holds log entries between the relay, which never waits, and the thread that writes.
//!
//! It is bounded in bytes. What does not fit is counted, and the count takes its place in the queue,
//! so that the log tells of the gap where it is.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::entry::Entry;
use super::line::Gap;
use crate::timestamp::Timestamp;

/// Most items of one batch, so that one write stays below a megabyte.
const BATCH_LIMIT: usize = 1024;

/// How long items gather, so that a busy gateway pays one system call for many lines.
const GATHER: Duration = Duration::from_millis(10);

/// A log that keeps losing lines is told of so often.
const QUIET: Duration = Duration::from_secs(60);

/// Entries on their way to the log.
#[derive(Debug)]
pub(super) struct Queue {
    state: Mutex<State>,
    changed: Condvar,
    limit: usize,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    /// What the items weigh, those of the batch that is being written included.
    bytes: usize,
    /// Lines that found no room since the last item.
    lost: u64,
    /// When the operator was last told of losses.
    told: Option<Instant>,
    /// The writer sleeps until something changes.
    writer_waits: bool,
    reopen: bool,
    /// No entry is taken any more; the writer may try until then.
    closing: Option<Instant>,
}

/// One line to be.
#[derive(Debug)]
pub(super) enum Item {
    Entry(Box<Entry>),
    Gap(Gap),
}

/// What became of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pushed {
    Queued,
    /// So many found no room; every now and then the operator is to be told.
    Lost {
        lines: u64,
        tell: bool,
    },
}

/// What the writer does next.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) items: Vec<Item>,
    /// What is to be [released](Queue::release) once the items are written.
    pub(super) bytes: usize,
    /// The file is to be opened anew first.
    pub(super) reopen: bool,
}

impl Queue {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            state: Mutex::default(),
            changed: Condvar::new(),
            limit,
        }
    }

    /// Adds entries, or counts them as lost. Never waits for the writer.
    pub(super) fn push(&self, entries: impl IntoIterator<Item = Entry>) -> Pushed {
        let mut lines = 0;
        let mut state = self.lock();
        for entry in entries {
            let weight = weight(&entry);
            if state.closing.is_some() || state.bytes.saturating_add(weight) > self.limit {
                lines += 1;
                state.lost += 1;
                continue;
            }
            state.mark_gap();
            state.bytes += weight;
            state.items.push_back(Item::Entry(Box::new(entry)));
        }
        let tell = lines > 0 && state.told.is_none_or(|told| told.elapsed() >= QUIET);
        if tell {
            state.told = Some(Instant::now());
        }
        let wake = !state.is_idle() && std::mem::take(&mut state.writer_waits);
        drop(state);
        if wake {
            self.changed.notify_all();
        }
        if lines > 0 {
            Pushed::Lost { lines, tell }
        } else {
            Pushed::Queued
        }
    }

    /// Waits for something to do; none once the queue is closed and empty.
    pub(super) fn next_batch(&self) -> Option<Batch> {
        let mut state = self.lock();
        while state.is_idle() {
            state.writer_waits = true;
            state = self.wait(state, None);
        }
        state.writer_waits = false;
        if state.closing.is_none() && !state.reopen && state.items.len() < BATCH_LIMIT {
            drop(state);
            std::thread::sleep(GATHER);
            state = self.lock();
        }
        if state.items.len() < BATCH_LIMIT {
            state.mark_gap();
        }
        let reopen = std::mem::take(&mut state.reopen);
        if state.items.is_empty() && !reopen {
            return None;
        }
        let count = state.items.len().min(BATCH_LIMIT);
        let items: Vec<Item> = state.items.drain(..count).collect();
        let bytes = items.iter().map(Item::weight).sum();
        Some(Batch {
            items,
            bytes,
            reopen,
        })
    }

    /// The batch is written: its room is free again.
    pub(super) fn release(&self, bytes: usize) {
        let mut state = self.lock();
        state.bytes = state.bytes.saturating_sub(bytes);
    }

    /// Waits before the next try; false when the time to close is over.
    pub(super) fn pause(&self, wait: Duration) -> bool {
        let until = Instant::now() + wait;
        let mut state = self.lock();
        loop {
            let now = Instant::now();
            if state.closing.is_some_and(|deadline| now >= deadline) {
                return false;
            }
            let end = state.closing.map_or(until, |deadline| until.min(deadline));
            if now >= until || state.reopen {
                state.reopen = false;
                return true;
            }
            state = self.wait(state, Some(end.saturating_duration_since(now)));
        }
    }

    /// Asks the writer to open its file anew.
    pub(super) fn reopen(&self) {
        self.lock().reopen = true;
        self.changed.notify_all();
    }

    /// Takes no more entries; the writer may try until the deadline to write those it has.
    pub(super) fn close(&self, deadline: Instant) {
        let mut state = self.lock();
        state.closing = Some(state.closing.map_or(deadline, |old| old.min(deadline)));
        drop(state);
        self.changed.notify_all();
    }

    /// How many lines wait.
    pub(super) fn len(&self) -> usize {
        self.lock().items.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        state: MutexGuard<'a, State>,
        limit: Option<Duration>,
    ) -> MutexGuard<'a, State> {
        match limit {
            None => self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner),
            Some(limit) => {
                self.changed
                    .wait_timeout(state, limit)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        }
    }
}

impl State {
    fn is_idle(&self) -> bool {
        self.items.is_empty() && self.lost == 0 && !self.reopen && self.closing.is_none()
    }

    fn mark_gap(&mut self) {
        if self.lost > 0 {
            let lost = std::mem::take(&mut self.lost);
            let time = Timestamp::now();
            self.items.push_back(Item::Gap(Gap { time, lost }));
        }
    }
}

impl Item {
    fn weight(&self) -> usize {
        match self {
            Self::Entry(entry) => weight(entry),
            // Gaps are few and small, and must not be lost themselves.
            Self::Gap(_) => 0,
        }
    }
}

/// About how many bytes an entry takes.
fn weight(entry: &Entry) -> usize {
    let texts = [
        entry.campaign.as_deref(),
        entry.message_id.as_deref(),
        entry.reply.as_deref(),
        entry.upstream_reply.as_deref(),
    ];
    let lengths: usize = texts.iter().flatten().map(|text| text.len()).sum();
    size_of::<Entry>() + entry.id.len() + entry.recipient.len() + lengths
}
