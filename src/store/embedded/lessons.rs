//! The *lessons* of the embedded store: notes, and what the brake on learning counts and holds.

use std::time::Duration;

use redb::{ReadableTable, ReadableTableMetadata, TableDefinition, WriteTransaction};

use super::super::lessons::{
    CAUSE_LIMIT, CauseId, HELD_LIMIT, HOLD_LIMIT, Hold, HoldChange, HoldOutcome, LESSON_KEEP,
    LESSON_LIMIT, Lesson, Notes, Pending, Place, RelayedBatch, Tallied, slot_of, slots,
};
use super::super::{StoreError, codec, too_much_is_held};
use super::unit::Reading;
use super::writer::Written;
use crate::suppression::{EventId, RecipientKey, Tenant};
use crate::timestamp::Timestamp;

/// Place of the note; tenant and lesson. Of all tenants, so that the oldest of all goes first.
const NOTES: TableDefinition<'_, (u64, u64), (&str, &[u8])> = TableDefinition::new("notes");
/// Beginning of the slot, tenant and provider; messages.
const RELAYED: TableDefinition<'_, (u64, &str, &str), u64> = TableDefinition::new("relayed");
/// Time and id of the batches that were counted.
const RELAYED_TOLD: TableDefinition<'_, (u64, &str), ()> = TableDefinition::new("relayed_told");
/// Tenant, cause and recipient; until when it counts.
const COUNTED: TableDefinition<'_, (&str, &str, &[u8; 16]), u64> = TableDefinition::new("counted");
/// The same in the order in which they expire.
const COUNTED_EXPIRY: TableDefinition<'_, (u64, &str, &str, &[u8; 16]), ()> =
    TableDefinition::new("counted_expiry");
/// Tenant and cause; how many recipients count for it, and how many lessons it holds.
const TOTALS: TableDefinition<'_, (&str, &str), (u64, u64)> = TableDefinition::new("totals");
/// Tenant and cause.
pub(super) const HOLDS: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("holds");
/// Tenant, cause, time and id of the event.
const HELD: TableDefinition<'_, (&str, &str, u64, &str), &[u8]> = TableDefinition::new("held");
/// Tenant, cause and id of the event; its time.
const HELD_AT: TableDefinition<'_, (&str, &str, &str), u64> = TableDefinition::new("held_at");

/// Longest that relayed messages are of use: twice the longest window.
const RELAYED_KEEP: Duration = Duration::from_secs(2 * 24 * 3600);

/// Makes the tables, so that readers find them.
pub(super) fn create(transaction: &WriteTransaction) -> Result<(), redb::Error> {
    transaction.open_table(NOTES)?;
    transaction.open_table(RELAYED)?;
    transaction.open_table(RELAYED_TOLD)?;
    transaction.open_table(COUNTED)?;
    transaction.open_table(COUNTED_EXPIRY)?;
    transaction.open_table(TOTALS)?;
    transaction.open_table(HOLDS)?;
    transaction.open_table(HELD)?;
    transaction.open_table(HELD_AT)?;
    Ok(())
}

pub(super) fn note(
    transaction: &WriteTransaction,
    tenant: &Tenant,
    lesson: &[u8],
    now: Timestamp,
) -> Written<()> {
    let mut notes = transaction.open_table(NOTES)?;
    let last = notes.last()?.map(|(place, _)| {
        let (millis, number) = place.value();
        Place { millis, number }
    });
    // Never before one that is there, though the clock went back.
    let place = last.map_or_else(|| Place::at(now), |last| last.after().max(Place::at(now)));
    notes.insert((place.millis, place.number), (tenant.as_str(), lesson))?;
    Ok(Ok(()))
}

pub(super) fn notes(
    transaction: &Reading<'_>,
    tenant: &Tenant,
    from: Place,
    limit: usize,
) -> Written<Notes> {
    let table = transaction.open_table(NOTES)?;
    let mut notes = Notes::default();
    let range = table.range((from.millis, from.number)..)?;
    for (looked_at, note) in range.enumerate() {
        let (place, value) = note?;
        let (millis, number) = place.value();
        if looked_at == limit.max(1) {
            notes.next = Some(Place { millis, number });
            break;
        }
        let (whose, text) = value.value();
        if whose == tenant.as_str() {
            match codec::decode_value("lesson", text) {
                Ok(lesson) => notes.lessons.push(lesson),
                Err(error) => return Ok(Err(error.into())),
            }
        }
    }
    Ok(Ok(notes))
}

/// A batch of counts with its own copies, for the thread that writes.
#[derive(Debug)]
pub(super) struct Counts {
    tenant: Tenant,
    id: EventId,
    counts: Vec<(String, u64)>,
    at: Timestamp,
    slot: u64,
}

impl Counts {
    /// The batch as the thread can take it along.
    pub(super) fn of(batch: &RelayedBatch<'_>) -> Self {
        Self {
            tenant: batch.tenant.clone(),
            id: batch.id.clone(),
            counts: batch.counts.to_vec(),
            at: batch.at,
            slot: slot_of(batch.at, batch.window),
        }
    }
}

pub(super) fn count_relayed(transaction: &WriteTransaction, batch: &Counts) -> Written<()> {
    let mut told = transaction.open_table(RELAYED_TOLD)?;
    let mark = (batch.at.millis(), batch.id.as_str());
    if told.insert(mark, ())?.is_some() {
        return Ok(Ok(()));
    }
    let mut relayed = transaction.open_table(RELAYED)?;
    for (provider, count) in &batch.counts {
        let id = (batch.slot, batch.tenant.as_str(), provider.as_str());
        let before = relayed.get(id)?.map_or(0, |count| count.value());
        relayed.insert(id, before.saturating_add(*count))?;
    }
    Ok(Ok(()))
}

/// A tally with its own copies, for the thread that writes.
#[derive(Debug)]
pub(super) struct Count {
    pub(super) tenant: Tenant,
    pub(super) cause: CauseId,
    pub(super) key: RecipientKey,
    pub(super) provider: String,
    pub(super) now: Timestamp,
    pub(super) window: Duration,
}

pub(super) fn tally(transaction: &WriteTransaction, count: &Count) -> Written<Tallied> {
    let (tenant, cause) = (count.tenant.as_str(), count.cause.as_str());
    expire(transaction, count.now, usize::MAX)?;
    let mut counted = transaction.open_table(COUNTED)?;
    let mut totals = transaction.open_table(TOTALS)?;
    let (mut recipients, held) = total(&totals, tenant, cause)?;
    let mark = (tenant, cause, count.key.as_bytes());
    let is_new = counted.get(mark)?.is_none();
    if is_new && recipients < CAUSE_LIMIT as u64 {
        let until = count.now.plus(count.window).millis();
        counted.insert(mark, until)?;
        let mut expiry = transaction.open_table(COUNTED_EXPIRY)?;
        expiry.insert((until, mark.0, mark.1, mark.2), ())?;
        recipients += 1;
        totals.insert((tenant, cause), (recipients, held))?;
    }
    let table = transaction.open_table(RELAYED)?;
    let mut relayed = 0u64;
    for slot in slots(count.now, count.window) {
        let found = table.get((slot, tenant, count.provider.as_str()))?;
        relayed = relayed.saturating_add(found.map_or(0, |count| count.value()));
    }
    let holds = transaction.open_table(HOLDS)?;
    let hold = holds
        .get((tenant, cause))?
        .map(|text| codec::decode_value("pending", text.value()))
        .transpose();
    Ok(hold.map_err(StoreError::from).map(|hold| Tallied {
        recipients,
        relayed,
        hold,
    }))
}

pub(super) fn holds(transaction: &Reading<'_>, tenant: &Tenant) -> Written<Vec<Pending>> {
    let table = transaction.open_table(HOLDS)?;
    let totals = transaction.open_table(TOTALS)?;
    let mut holds = Vec::new();
    for entry in table.range((tenant.as_str(), "")..)? {
        let (id, text) = entry?;
        let (whose, cause) = id.value();
        if whose != tenant.as_str() {
            break;
        }
        let Ok(id) = cause.parse() else {
            return Ok(Err(StoreError::Corrupt(
                "a held cause has no id".to_owned(),
            )));
        };
        match codec::decode_value("pending", text.value()) {
            Ok(hold) => holds.push(Pending {
                held: total(&totals, whose, cause)?.1,
                cause: id,
                hold,
            }),
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(Ok(holds))
}

/// A change of a hold with its own copies, for the thread that writes.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) tenant: Tenant,
    pub(super) cause: CauseId,
    pub(super) before: Option<String>,
    pub(super) after: Option<String>,
    /// Id, time and text of the lesson.
    pub(super) lesson: Option<(EventId, Timestamp, String)>,
}

impl Change {
    /// The change as the thread can take it along.
    ///
    /// # Errors
    /// When something is too large to be kept.
    pub(super) fn of(change: &HoldChange<'_>) -> Result<Self, StoreError> {
        let lesson = match change.lesson {
            Some(lesson) => {
                let text = codec::encode_value(lesson)?;
                Some((lesson.event.id.clone(), lesson.event.at, text))
            }
            None => None,
        };
        Ok(Self {
            tenant: change.tenant.clone(),
            cause: change.cause.clone(),
            before: change.before.map(codec::encode_value).transpose()?,
            after: change.after.map(codec::encode_value).transpose()?,
            lesson,
        })
    }
}

pub(super) fn change_hold(transaction: &WriteTransaction, change: &Change) -> Written<HoldOutcome> {
    let (tenant, cause) = (change.tenant.as_str(), change.cause.as_str());
    let mut holds = transaction.open_table(HOLDS)?;
    let mut totals = transaction.open_table(TOTALS)?;
    let (recipients, mut held) = total(&totals, tenant, cause)?;
    let known = holds
        .get((tenant, cause))?
        .map(|text| text.value().to_vec());
    let expected = change.before.as_ref().map(String::as_bytes);
    if known.as_deref() != expected || (change.after.is_none() && held > 0) {
        return Ok(Ok(HoldOutcome::Conflict));
    }
    let mut outcome = HoldOutcome::Changed;
    if let Some((event, at, text)) = &change.lesson {
        let mut times = transaction.open_table(HELD_AT)?;
        if times.get((tenant, cause, event.as_str()))?.is_some() {
            outcome = HoldOutcome::HeldAlready;
        } else {
            let is_new = !known.as_deref().is_some_and(is_holding);
            let is_full = is_new && count_holding(&holds, tenant)? >= HOLD_LIMIT;
            if is_full || held >= HELD_LIMIT as u64 {
                return Ok(Err(too_much_is_held()));
            }
            times.insert((tenant, cause, event.as_str()), at.millis())?;
            let mut lessons = transaction.open_table(HELD)?;
            let place = (tenant, cause, at.millis(), event.as_str());
            lessons.insert(place, text.as_bytes())?;
            held += 1;
            totals.insert((tenant, cause), (recipients, held))?;
        }
    }
    match &change.after {
        Some(text) => holds.insert((tenant, cause), text.as_bytes())?,
        None => holds.remove((tenant, cause))?,
    };
    Ok(Ok(outcome))
}

/// Whether a cause of which this is known holds lessons; so it is taken if it cannot be read.
fn is_holding(text: &[u8]) -> bool {
    codec::decode_value::<Hold>("pending", text).map_or(true, |hold| hold.is_holding())
}

fn count_holding(
    holds: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    tenant: &str,
) -> Result<usize, redb::Error> {
    let mut holding = 0;
    for entry in holds.range((tenant, "")..)? {
        let (id, text) = entry?;
        if id.value().0 != tenant {
            break;
        }
        holding += usize::from(is_holding(text.value()));
    }
    Ok(holding)
}

pub(super) fn held(
    transaction: &Reading<'_>,
    tenant: &Tenant,
    cause: &CauseId,
    limit: usize,
) -> Written<Vec<Lesson>> {
    let table = transaction.open_table(HELD)?;
    let mut lessons = Vec::new();
    let (tenant, cause) = (tenant.as_str(), cause.as_str());
    for entry in table.range((tenant, cause, 0, "")..)?.take(limit) {
        let (place, text) = entry?;
        let (whose, which, ..) = place.value();
        if (whose, which) != (tenant, cause) {
            break;
        }
        match codec::decode_value("lesson", text.value()) {
            Ok(lesson) => lessons.push(lesson),
            Err(error) => return Ok(Err(error.into())),
        }
    }
    Ok(Ok(lessons))
}

pub(super) fn release(
    transaction: &WriteTransaction,
    tenant: &Tenant,
    cause: &CauseId,
    events: &[EventId],
) -> Written<()> {
    let mut times = transaction.open_table(HELD_AT)?;
    let mut lessons = transaction.open_table(HELD)?;
    let mut totals = transaction.open_table(TOTALS)?;
    let (tenant, cause) = (tenant.as_str(), cause.as_str());
    let (recipients, mut held) = total(&totals, tenant, cause)?;
    for event in events {
        let at = times
            .remove((tenant, cause, event.as_str()))?
            .map(|at| at.value());
        if let Some(at) = at {
            lessons.remove((tenant, cause, at, event.as_str()))?;
            held = held.saturating_sub(1);
        }
    }
    set_total(&mut totals, tenant, cause, (recipients, held))?;
    Ok(Ok(()))
}

/// Forgets at most `limit` of each kind whose time is over.
pub(super) fn prune(
    transaction: &WriteTransaction,
    now: Timestamp,
    limit: usize,
) -> Result<(), redb::Error> {
    expire(transaction, now, limit)?;
    let mut notes = transaction.open_table(NOTES)?;
    let oldest = now.minus(LESSON_KEEP).millis();
    for _ in 0..limit {
        let first = notes.first()?.map(|(place, _)| place.value());
        match first {
            Some(place) if place.0 < oldest || notes.len()? > LESSON_LIMIT as u64 => {
                notes.remove(place)?;
            }
            _ => break,
        }
    }
    let mut relayed = transaction.open_table(RELAYED)?;
    let oldest = now.minus(RELAYED_KEEP).millis();
    for _ in 0..limit {
        let first = relayed.first()?.map(|(id, _)| {
            let (slot, tenant, provider) = id.value();
            (slot, tenant.to_owned(), provider.to_owned())
        });
        match first {
            Some((slot, tenant, provider)) if slot < oldest => {
                relayed.remove((slot, tenant.as_str(), provider.as_str()))?;
            }
            _ => break,
        }
    }
    let mut told = transaction.open_table(RELAYED_TOLD)?;
    for _ in 0..limit {
        let first = told.first()?.map(|(mark, _)| {
            let (at, id) = mark.value();
            (at, id.to_owned())
        });
        match first {
            Some((at, id)) if at < oldest => {
                told.remove((at, id.as_str()))?;
            }
            _ => break,
        }
    }
    Ok(())
}

/// Counts at most `limit` recipients no more whose window is over.
fn expire(transaction: &WriteTransaction, now: Timestamp, limit: usize) -> Result<(), redb::Error> {
    let mut expiry = transaction.open_table(COUNTED_EXPIRY)?;
    let mut counted = transaction.open_table(COUNTED)?;
    let mut totals = transaction.open_table(TOTALS)?;
    for _ in 0..limit {
        let first = expiry.first()?.map(|(id, _)| {
            let (until, tenant, cause, key) = id.value();
            (until, tenant.to_owned(), cause.to_owned(), *key)
        });
        let Some((until, tenant, cause, key)) = first else {
            break;
        };
        if until > now.millis() {
            break;
        }
        expiry.remove((until, tenant.as_str(), cause.as_str(), &key))?;
        counted.remove((tenant.as_str(), cause.as_str(), &key))?;
        let (recipients, held) = total(&totals, &tenant, &cause)?;
        let left = (recipients.saturating_sub(1), held);
        set_total(&mut totals, &tenant, &cause, left)?;
    }
    Ok(())
}

type Totals<'t> = redb::Table<'t, (&'static str, &'static str), (u64, u64)>;

fn set_total(
    totals: &mut Totals<'_>,
    tenant: &str,
    cause: &str,
    total: (u64, u64),
) -> Result<(), redb::Error> {
    if total == (0, 0) {
        totals.remove((tenant, cause))?;
    } else {
        totals.insert((tenant, cause), total)?;
    }
    Ok(())
}

fn total(
    totals: &impl ReadableTable<(&'static str, &'static str), (u64, u64)>,
    tenant: &str,
    cause: &str,
) -> Result<(u64, u64), redb::Error> {
    let found = totals.get((tenant, cause))?;
    Ok(found.map_or((0, 0), |total| total.value()))
}
