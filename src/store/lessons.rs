//! [`Lessons`] are what the gateway learnt from others, and what the brake on learning counts and holds.
//!
//! The store keeps them because several gateways share what they learn: no bounce may count twice
//! because two of them heard of it, and none may slip through because each of them heard of a few.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BoxFuture, StoreError};
use crate::suppression::{Event, EventId, RecipientKey, Tenant};
use crate::timestamp::Timestamp;

/// How many lessons are kept to be undone; of more, the oldest are forgotten.
///
/// At about 400 octets each they take 100 MB at most.
pub const LESSON_LIMIT: usize = 250_000;

/// How long a lesson can be undone.
pub const LESSON_KEEP: Duration = Duration::from_secs(35 * 24 * 3600);

/// Most causes of a tenant that hold lessons at a time; accepted ones hold none and do not count.
pub const HOLD_LIMIT: usize = 1000;

/// Most lessons that one cause holds.
pub const HELD_LIMIT: usize = 100_000;

/// Most recipients that are counted for one cause; more than these is enough to know.
pub const CAUSE_LIMIT: usize = 100_000;

/// The window of the brake is counted in so many slots, and the one that is not over.
const SLOTS: u32 = 6;

/// What is kept for the brake on learning and for undoing what was learnt.
pub trait Lessons {
    /// Whether an event of this id was committed for this recipient and is still remembered.
    fn is_seen<'a>(
        &'a self,
        tenant: &'a Tenant,
        key: &'a RecipientKey,
        event: &'a EventId,
    ) -> BoxFuture<'a, Result<bool, StoreError>>;

    /// Notes a lesson, so that it can be found to be undone.
    ///
    /// It is noted before it is committed, and perhaps again when it is told again: a note says that
    /// something may have been learnt, the recipient's history says whether it was.
    fn note<'a>(
        &'a self,
        tenant: &'a Tenant,
        lesson: &'a Lesson,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Looks at no more than `limit` notes from a place on, oldest first.
    fn notes<'a>(
        &'a self,
        tenant: &'a Tenant,
        from: Place,
        limit: usize,
    ) -> BoxFuture<'a, Result<Notes, StoreError>>;

    /// Adds to how many messages were relayed to each provider; a batch counts once, however often
    /// it is told.
    fn count_relayed<'a>(
        &'a self,
        relayed: &'a RelayedBatch<'a>,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Counts a recipient for a cause, once in a window; answers how things stand then.
    fn tally<'a>(&'a self, tally: &'a Tally<'a>) -> BoxFuture<'a, Result<Tallied, StoreError>>;

    /// The causes that are held, or were accepted, and how many lessons each holds.
    fn holds<'a>(&'a self, tenant: &'a Tenant) -> BoxFuture<'a, Result<Vec<Pending>, StoreError>>;

    /// Changes what is known of a cause, and adds a lesson to those it holds: both, or nothing.
    ///
    /// A lesson that is held already needs no room; another one is refused as unavailable when the
    /// cause holds [`HELD_LIMIT`] of them, or when it would be the cause above [`HOLD_LIMIT`].
    fn change_hold<'a>(
        &'a self,
        change: &'a HoldChange<'a>,
    ) -> BoxFuture<'a, Result<HoldOutcome, StoreError>>;

    /// The oldest lessons that a cause holds.
    fn held<'a>(
        &'a self,
        tenant: &'a Tenant,
        cause: &'a CauseId,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<Lesson>, StoreError>>;

    /// Holds these lessons of a cause no more.
    fn release<'a>(
        &'a self,
        tenant: &'a Tenant,
        cause: &'a CauseId,
        events: &'a [EventId],
    ) -> BoxFuture<'a, Result<(), StoreError>>;
}

/// Something that was learnt of a recipient from others, and where it came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lesson {
    /// Whom it is about.
    pub key: RecipientKey,
    /// What happened.
    pub event: Event,
    /// The provider of the recipient.
    pub provider: String,
    /// The host that reported or refused.
    pub host: String,
}

/// A place in the order of the notes: a moment, and a number among those of the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    /// Milliseconds since the epoch, by the clock of the store.
    pub millis: u64,
    /// Counts up within a millisecond.
    pub number: u64,
}

/// The text is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a place among the notes")]
pub struct PlaceError;

/// A page of notes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Notes {
    /// The lessons of this tenant in it, oldest first; there may be none though others follow.
    pub lessons: Vec<Lesson>,
    /// Where the next page begins; none at the end.
    pub next: Option<Place>,
}

/// What tells one cause of bounces from another: 12 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CauseId(String);

/// The text is no id of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a cause has 12 hexadecimal digits")]
pub struct CauseIdError;

/// What is known of a cause that is held, or was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The provider that all its recipients have.
    pub provider: String,
    /// The host that reported or refused.
    pub host: String,
    /// Its words about the first that was held.
    pub words: String,
    /// Since when it is held.
    pub since: Timestamp,
    /// How many recipients it would have taken out when the brake took hold.
    pub recipients: u64,
    /// How many messages had been relayed to the provider in the window then.
    pub relayed: u64,
    /// An operator accepted it: until then nothing of it is held.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free_until: Option<Timestamp>,
}

impl Hold {
    /// Whether an operator lets this cause pass at this moment.
    #[must_use]
    pub fn is_free(&self, now: Timestamp) -> bool {
        self.free_until.is_some_and(|until| now < until)
    }

    /// Whether bounces of this cause are held.
    #[must_use]
    pub const fn is_holding(&self) -> bool {
        self.free_until.is_none()
    }
}

/// A cause with what is known of it and how much it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending {
    /// The cause.
    pub cause: CauseId,
    /// What is known of it.
    pub hold: Hold,
    /// How many lessons it holds.
    pub held: u64,
}

/// One recipient more that a cause would take out.
#[derive(Debug, Clone, Copy)]
pub struct Tally<'a> {
    /// Whose list.
    pub tenant: &'a Tenant,
    /// The cause.
    pub cause: &'a CauseId,
    /// The recipient.
    pub key: &'a RecipientKey,
    /// The recipient's provider.
    pub provider: &'a str,
    /// The moment.
    pub now: Timestamp,
    /// How far back is counted.
    pub window: Duration,
}

/// What was relayed to each provider within a short time.
#[derive(Debug, Clone, Copy)]
pub struct RelayedBatch<'a> {
    /// Whose mail.
    pub tenant: &'a Tenant,
    /// Tells the batch from every other.
    pub id: &'a EventId,
    /// Messages by provider, each provider once.
    pub counts: &'a [(String, u64)],
    /// When they were relayed.
    pub at: Timestamp,
    /// How far back the brake counts.
    pub window: Duration,
}

/// How things stand with a cause.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tallied {
    /// How many recipients it would have taken out in the window, this one among them.
    pub recipients: u64,
    /// How many messages were relayed to the provider in the window.
    pub relayed: u64,
    /// What is known of it, if it is held or was accepted.
    pub hold: Option<Hold>,
}

/// A change of what is known of a cause.
#[derive(Debug, Clone, Copy)]
pub struct HoldChange<'a> {
    /// Whose list.
    pub tenant: &'a Tenant,
    /// The cause.
    pub cause: &'a CauseId,
    /// What was known; none when nothing was.
    pub before: Option<&'a Hold>,
    /// What is to be known; none forgets the cause.
    pub after: Option<&'a Hold>,
    /// A lesson to hold; one that is held already is held once.
    pub lesson: Option<&'a Lesson>,
}

/// What became of a change of what is known of a cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldOutcome {
    /// It is made; the lesson, if there was one, is held from now on.
    Changed,
    /// It is made; the lesson was held before.
    HeldAlready,
    /// Something else than `before` is there by now, or the cause was to be forgotten while it
    /// holds lessons. Nothing was written.
    Conflict,
}

impl CauseId {
    /// The id of the cause that these parts describe.
    #[must_use]
    pub fn of(parts: &[&[u8]]) -> Self {
        let digest = EventId::of(parts);
        Self(digest.as_str().chars().take(12).collect())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for CauseId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for CauseId {
    type Err = CauseIdError;

    fn from_str(text: &str) -> Result<Self, CauseIdError> {
        let digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 12 && text.bytes().all(digit) {
            Ok(Self(text.to_owned()))
        } else {
            Err(CauseIdError)
        }
    }
}

impl Place {
    /// The first place of this moment.
    #[must_use]
    pub const fn at(moment: Timestamp) -> Self {
        Self {
            millis: moment.millis(),
            number: 0,
        }
    }

    /// The place after this one.
    pub(super) const fn after(self) -> Self {
        match self.number.checked_add(1) {
            Some(number) => Self { number, ..self },
            None => Self {
                millis: self.millis.saturating_add(1),
                number: 0,
            },
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (millis, number) = text.split_once('-').ok_or(PlaceError)?;
        Ok(Self {
            millis: millis.parse().map_err(|_| PlaceError)?,
            number: number.parse().map_err(|_| PlaceError)?,
        })
    }
}

/// How long one slot lasts, in milliseconds.
fn slot_length(window: Duration) -> u64 {
    let length = window.as_millis() / u128::from(SLOTS);
    u64::try_from(length).unwrap_or(u64::MAX).max(1)
}

/// When the slot of this moment began, in milliseconds since the epoch.
pub(super) fn slot_of(now: Timestamp, window: Duration) -> u64 {
    now.millis() - now.millis() % slot_length(window)
}

/// When the slots of a window began that ends at this moment, newest first.
pub(super) fn slots(now: Timestamp, window: Duration) -> impl Iterator<Item = u64> {
    let (newest, length) = (slot_of(now, window), slot_length(window));
    (0..=u64::from(SLOTS)).map_while(move |number| newest.checked_sub(number * length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_has_its_slots_and_the_one_that_runs() {
        let hour = Duration::from_secs(3600);
        let now = Timestamp::from_millis(10 * 3_600_000 + 61_000);
        let starts: Vec<u64> = slots(now, hour).collect();
        assert_eq!(starts.len(), 7);
        assert_eq!(starts[0], slot_of(now, hour));
        assert_eq!(starts[0], 10 * 3_600_000);
        assert_eq!(starts[6], 9 * 3_600_000);
        assert_eq!(slots(Timestamp::from_millis(1), hour).count(), 1);
        assert_eq!(slots(now, Duration::ZERO).count(), 7);
    }

    #[test]
    fn places_and_ids_are_read_as_written() {
        let place = Place {
            millis: 7,
            number: 3,
        };
        assert_eq!(place.to_string().parse(), Ok(place));
        assert_eq!("7".parse::<Place>(), Err(PlaceError));
        assert!(place.after() > place);
        let last = Place {
            millis: 7,
            number: u64::MAX,
        };
        assert!(last.after() > last);
        let id = CauseId::of(&[b"a", b"b"]);
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "0123456789ABC", "0123456789ag", "0123456789:*"] {
            assert_eq!(text.parse::<CauseId>(), Err(CauseIdError), "{text}");
        }
    }
}
