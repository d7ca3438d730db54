//! The [`Presence`] says from memory who is certainly not on record.
//!
//! Almost nobody who is looked up is on record, and to find that out in the file takes a page, the
//! more often from the disk the more recipients there are. So everybody on record is in a Bloom
//! filter as well: whom it does not hold, nothing is known of, and the file need not be asked. It
//! takes a few others, at most one in a hundred, for somebody on record; the file knows better.
//!
//! It must hold everybody from the moment they can be found in the file, so they are added before
//! their transaction ends; one that fails leaves some too many, never one too few. Whoever is on
//! record when the file is opened is added by the writer, a piece between two transactions. Until
//! all are in, the file is asked as if there were no filter. Likewise when they become too many: a
//! larger filter is filled beside the one in use.

use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Instant;

use fastbloom::AtomicBloomFilter;
use redb::{Database, ReadTransaction, ReadableDatabase};

use super::newcomers::Newcomers;
use super::recipients::{Id, RECIPIENTS, key_part};
use crate::suppression::RecipientKey;

/// The share of those not on record who are taken for somebody who is, once a filter is full. With
/// this one it has 1.2 octets for each recipient it has room for.
const FALSE_POSITIVES: f64 = 0.01;

/// The least recipients a filter has room for; few in unit tests, so that it has to grow.
const LEAST_ROOM: u64 = if cfg!(test) { 4 } else { 65_536 };

/// The most it has room for: 1.3 GB, and far more than one file holds.
const MOST_ROOM: u64 = 1 << 30;

/// Who is on record, as far as memory knows.
#[derive(Debug, Default)]
pub(super) struct Presence {
    /// Holds everybody on record; none until the first is filled.
    complete: RwLock<Option<Filter>>,
    filling: Mutex<Option<Filling>>,
}

#[derive(Debug)]
struct Filter {
    keys: AtomicBloomFilter,
    /// For how many recipients.
    room: u64,
}

/// A filter that does not hold everybody yet.
#[derive(Debug)]
struct Filling {
    filter: Filter,
    /// Everybody up to this row is in.
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
        }
    }

    fn add(&self, id: &Id) {
        self.keys.insert(key_part(id));
    }

    fn lacks(&self, key: &RecipientKey) -> bool {
        !self.keys.contains(key.as_bytes().as_slice())
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
        if let Some(filling) = self.filling().as_ref() {
            filling.filter.add(id);
        }
        let complete = self.complete.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(filter) = complete.as_ref() {
            filter.add(id);
        }
    }

    /// Knows nobody, and begins to fill: the file was opened.
    pub(super) fn begin(&self, newcomers: &Newcomers) {
        *self.filling() = Some(Filling::begin(newcomers));
        *self
            .complete
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Begins to fill a larger filter if the one in use is full.
    pub(super) fn grow(&self, newcomers: &Newcomers) {
        let mut filling = self.filling();
        let complete = self.complete.read().unwrap_or_else(PoisonError::into_inner);
        let is_full = complete
            .as_ref()
            .is_some_and(|filter| (filter.room..MOST_ROOM).contains(&newcomers.count()));
        if is_full && filling.is_none() {
            *filling = Some(Filling::begin(newcomers));
        }
    }

    /// Adds the next so many who are settled; whether there may be more. Nothing may be written
    /// meanwhile. After an error no filter is filled any more.
    pub(super) fn fill(&self, database: &Database, most: usize) -> Result<bool, redb::Error> {
        let mut slot = self.filling();
        let Some(mut filling) = slot.take() else {
            return Ok(false);
        };
        if filling.take(&database.begin_read()?, most)? == most {
            *slot = Some(filling);
            return Ok(true);
        }
        tracing::debug!(
            elapsed_ms = filling.began.elapsed().as_millis(),
            octets = filling.filter.keys.num_bits() / 8,
            "who is on record is in memory"
        );
        let mut complete = self
            .complete
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *complete = Some(filling.filter);
        Ok(false)
    }

    fn filling(&self) -> MutexGuard<'_, Option<Filling>> {
        self.filling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Filling {
    /// Newcomers are added here: they may be settled below the row where the filling is.
    fn begin(newcomers: &Newcomers) -> Self {
        let filter = Filter::twice(newcomers.count());
        for id in newcomers.ids() {
            filter.add(id);
        }
        Self {
            filter,
            last: None,
            began: Instant::now(),
        }
    }

    /// Adds the next so many rows; how many there were.
    fn take(&mut self, transaction: &ReadTransaction, most: usize) -> Result<usize, redb::Error> {
        let recipients = transaction.open_table(RECIPIENTS)?;
        let from = self.last.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let mut last = None;
        let mut count = 0;
        for row in recipients
            .range::<&Id>((from, Bound::Unbounded))?
            .take(most)
        {
            let (id, _) = row?;
            let id = *id.value();
            self.filter.add(&id);
            last = Some(id);
            count += 1;
        }
        self.last = last.or(self.last);
        Ok(count)
    }
}
