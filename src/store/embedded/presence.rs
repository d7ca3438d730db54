//! The [`Presence`] says from memory who is certainly not on record.
//!
//! Almost nobody who is looked up is on record, and to find that out in the file takes a page, the
//! more often from the disk the more recipients there are. So everybody on record is in a Bloom
//! filter as well: whom it does not hold, nothing is known of, and the file need not be asked. It
//! takes a few others for somebody on record; the file knows better.
//!
//! It must hold everybody from the moment they can be found in the file, so they are added before
//! their transaction ends; one that fails leaves some too many, never one too few. Whoever is on
//! record when the file is opened is added by the writer, a piece between two transactions, and
//! until all are in, the file is asked for everybody. When they become too many for a filter, a
//! larger one is filled in the same way beside it, and the old one serves until that is full.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use fastbloom::AtomicBloomFilter;
use redb::{Database, Range, ReadableDatabase, ReadableTableMetadata, StorageError};

use super::newcomers::Newcomers;
use super::recipients::{Id, RECIPIENTS, key_part};
use crate::suppression::RecipientKey;

/// The share of those not on record who are taken for somebody who is, once a filter is full; it
/// then has 1.2 octets for each. A filter that was just filled is half full, and takes one in four
/// thousand.
const FALSE_POSITIVES: f64 = 0.01;

/// The least recipients a filter has room for; few in unit tests, so that it has to grow.
const LEAST_ROOM: u64 = if cfg!(test) { 4 } else { 65_536 };

/// The most it has room for: 1.3 GB, and far more than one file holds.
const MOST_ROOM: u64 = 1 << 30;

/// Who is on record, as far as memory knows.
///
/// Locks are taken in the order of the fields.
#[derive(Debug, Default)]
pub(super) struct Presence {
    stage: Mutex<Stage>,
    /// Holds everybody on record; none until the first is filled.
    complete: RwLock<Option<Filter>>,
}

#[derive(Debug, Default)]
enum Stage {
    /// Nothing is filled.
    #[default]
    Rest,
    Filling(Box<Filling>),
    /// The file cannot be read to its end: nothing is filled until the next start.
    GivenUp,
}

#[derive(Debug)]
struct Filter {
    keys: AtomicBloomFilter,
    /// For how many recipients.
    room: u64,
    /// How many were added.
    held: AtomicU64,
}

/// A filter that does not hold everybody yet.
struct Filling {
    filter: Filter,
    /// Those who are settled, as the file was when the filling began: whoever comes later is added
    /// by their transaction.
    rows: Range<'static, &'static Id, u64>,
    /// How many rows there must be still.
    left: u64,
    last: Option<Id>,
    began: Instant,
}

impl Filter {
    /// With room for twice as many as there are.
    fn twice(recipients: u64) -> Self {
        let room = recipients.saturating_mul(2).clamp(LEAST_ROOM, MOST_ROOM);
        let items = usize::try_from(room).unwrap_or(usize::MAX);
        Self {
            keys: AtomicBloomFilter::with_false_pos(FALSE_POSITIVES).expected_items(items),
            room,
            held: AtomicU64::new(0),
        }
    }

    fn add(&self, id: &Id) {
        self.keys.insert(key_part(id));
        self.held.fetch_add(1, Ordering::Relaxed);
    }

    fn lacks(&self, key: &RecipientKey) -> bool {
        !self.keys.contains(key.as_bytes().as_slice())
    }

    fn is_full(&self) -> bool {
        (self.room..MOST_ROOM).contains(&self.held.load(Ordering::Relaxed))
    }
}

impl Presence {
    /// Whether nothing is known of a recipient, of whatever tenant: their keys differ.
    pub(super) fn is_stranger(&self, key: &RecipientKey) -> bool {
        self.are_strangers(std::slice::from_ref(key))
    }

    /// The same of all of them.
    pub(super) fn are_strangers(&self, keys: &[RecipientKey]) -> bool {
        let complete = self.complete.read().unwrap_or_else(PoisonError::into_inner);
        complete
            .as_ref()
            .is_some_and(|filter| keys.iter().all(|key| filter.lacks(key)))
    }

    /// Adds a recipient whose transaction has not ended.
    pub(super) fn add(&self, id: &Id) {
        if let Stage::Filling(filling) = &*self.stage() {
            filling.filter.add(id);
        }
        let complete = self.complete.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = complete.as_ref() {
            filter.add(id);
        }
    }

    /// Knows nobody, and lets go of the file.
    pub(super) fn clear(&self) {
        let mut stage = self.stage();
        if !matches!(*stage, Stage::GivenUp) {
            *stage = Stage::Rest;
        }
        self.set_complete(None);
    }

    /// Adds the next so many who are settled if a filter is needed, and a larger one when that is full;
    /// whether there may be more. Nothing may be written meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read; then nothing is filled any more.
    pub(super) fn fill(
        &self,
        database: &Database,
        newcomers: &Newcomers,
        most: usize,
    ) -> Result<bool, redb::Error> {
        let mut stage = self.stage();
        // Whatever happens on the way, a panic too, what was broken off does not go on.
        let mut filling = match std::mem::replace(&mut *stage, Stage::GivenUp) {
            Stage::Filling(filling) => filling,
            Stage::Rest if self.is_needed() => Box::new(Filling::begin(database, newcomers)?),
            rest => {
                *stage = rest;
                return Ok(false);
            }
        };
        if filling.take(most)? {
            *stage = Stage::Filling(filling);
            return Ok(true);
        }
        tracing::debug!(
            elapsed_ms = filling.began.elapsed().as_millis(),
            octets = filling.filter.keys.num_bits() / 8,
            "who is on record is in memory"
        );
        self.set_complete(Some(filling.filter));
        *stage = Stage::Rest;
        Ok(false)
    }

    /// Whether there is no filter, or a full one.
    fn is_needed(&self) -> bool {
        let complete = self.complete.read().unwrap_or_else(PoisonError::into_inner);
        complete.as_ref().is_none_or(Filter::is_full)
    }

    fn set_complete(&self, filter: Option<Filter>) {
        *self
            .complete
            .write()
            .unwrap_or_else(PoisonError::into_inner) = filter;
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filling {
    /// With the newcomers in it, who have no row.
    fn begin(database: &Database, newcomers: &Newcomers) -> Result<Self, redb::Error> {
        let recipients = database.begin_read()?.open_table(RECIPIENTS)?;
        let left = recipients.len()?;
        let filter = Filter::twice(left.saturating_add(newcomers.ids().len() as u64));
        for id in newcomers.ids() {
            filter.add(id);
        }
        Ok(Self {
            filter,
            rows: recipients.range::<&Id>(..)?,
            left,
            last: None,
            began: Instant::now(),
        })
    }

    /// Adds the next so many rows; whether there are more.
    ///
    /// The rows must be as many as the table says, and in their order: in a damaged file some could be
    /// passed over, and who is in them would be a stranger.
    fn take(&mut self, most: usize) -> Result<bool, redb::Error> {
        for _ in 0..most {
            let Some(row) = self.rows.next() else {
                if self.left == 0 {
                    return Ok(false);
                }
                return Err(damaged("recipients are missing"));
            };
            let id = *row?.0.value();
            if self.left == 0 || self.last.is_some_and(|last| last >= id) {
                return Err(damaged("recipients are out of their order"));
            }
            self.filter.add(&id);
            self.left -= 1;
            self.last = Some(id);
        }
        Ok(true)
    }
}

impl fmt::Debug for Filling {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filling")
            .field("filter", &self.filter)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

fn damaged(what: &str) -> redb::Error {
    StorageError::Corrupted(what.to_owned()).into()
}
