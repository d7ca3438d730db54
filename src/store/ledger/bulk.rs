//! [`Ledger::record_many`] records a bulk of events that tell how things stand, as an import does.
//!
//! What is on file is read in one round trip and what changes is committed in another; whoever was
//! overtaken by somebody else is thought over again, like a single event.

use std::collections::HashMap;

use tokio::time::timeout;

use super::{CONFLICT_LIMIT, Ledger, entry_of};
use crate::store::{Commit, CommitOutcome, HistoryEntry, StoreError, Versioned, WRITE_FACTOR};
use crate::suppression::event::Effect;
use crate::suppression::{Event, EventRules, RecipientKey, Record, Tenant};

/// Bulks that are with the store at the same time: one at work and one that is next. Look-ups wait
/// behind them, and more would not make it faster.
pub(super) const AT_ONCE: usize = 2;

/// A bulk may take so many times as long as a single write: nobody waits for it in a session.
const BULK_FACTOR: u32 = 5;

/// What became of many events.
#[derive(Debug)]
pub struct RecordedMany {
    /// Of each in their order: what it did, and none when it was recorded before.
    pub outcomes: Vec<Result<Option<Effect>, StoreError>>,
    /// How many were about somebody of whom nothing had been known.
    pub created: usize,
}

/// What is guessed before anything was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guess {
    /// Of most of them nothing is known: it is tried without reading first.
    Unknown,
    /// Of most of them something is known: they are read first.
    Known,
}

/// Events at work.
struct Work<'a> {
    tenant: &'a Tenant,
    rules: &'a EventRules,
    keys: Vec<RecipientKey>,
    entries: Vec<HistoryEntry>,
    done: RecordedMany,
}

/// A record as one event leaves it.
struct Next {
    place: usize,
    version: u64,
    record: Record,
}

impl Ledger {
    /// Records events, each once, however often it is told, and durable when this returns.
    ///
    /// Unlike [`record`](Self::record) it keeps nothing of an event that leaves the record as it is.
    /// Several events of one recipient are recorded in their order.
    pub async fn record_many(
        &self,
        tenant: &Tenant,
        events: Vec<(RecipientKey, Event)>,
        guess: Guess,
    ) -> RecordedMany {
        let rules = self.rules.load_full();
        let (keys, entries): (Vec<_>, Vec<_>) = events
            .into_iter()
            .map(|(key, event)| (key, entry_of(event, None)))
            .unzip();
        let mut work = Work {
            tenant,
            rules: &rules,
            done: RecordedMany {
                outcomes: vec![Ok(None); keys.len()],
                created: 0,
            },
            keys,
            entries,
        };
        for (number, round) in rounds(&work.keys).into_iter().enumerate() {
            // The first round has just written what the others are about.
            let guess = if number == 0 { guess } else { Guess::Known };
            self.record_round(&mut work, round, guess).await;
        }
        work.done
    }

    /// What these events would do, each by itself; nothing is written.
    ///
    /// # Errors
    /// When the store does not answer in time.
    pub async fn preview_many(
        &self,
        tenant: &Tenant,
        events: &[(RecipientKey, Event)],
    ) -> Result<RecordedMany, StoreError> {
        let rules = self.rules.load_full();
        let keys: Vec<_> = events.iter().map(|(key, _)| *key).collect();
        let read = self.with_room(self.store.read_many(tenant, &keys)).await?;
        let outcomes = read
            .into_iter()
            .zip(events)
            .map(|(read, (_, event))| Ok(Some(event.apply(&read?.record, &rules).effect)))
            .collect();
        Ok(RecordedMany {
            outcomes,
            created: 0,
        })
    }

    /// Records events of different recipients.
    async fn record_round(&self, work: &mut Work<'_>, round: Vec<usize>, mut guess: Guess) {
        let mut waiting = round;
        for _attempt in 0..CONFLICT_LIMIT {
            if waiting.is_empty() {
                return;
            }
            match self.attempt(work, &waiting, guess).await {
                Ok(overtaken) => waiting = overtaken,
                Err(error) => return work.fail(&waiting, &error),
            }
            guess = Guess::Known;
        }
        let error = "a record is written by too many at once, try again";
        work.fail(&waiting, &StoreError::Unavailable(error.to_owned()));
    }

    /// Reads, applies and commits once; answers those whose record was written by somebody else.
    async fn attempt(
        &self,
        work: &mut Work<'_>,
        waiting: &[usize],
        guess: Guess,
    ) -> Result<Vec<usize>, StoreError> {
        let read = match guess {
            Guess::Unknown => vec![Ok(Versioned::default()); waiting.len()],
            Guess::Known => {
                let keys: Vec<_> = waiting.iter().map(|place| work.keys[*place]).collect();
                self.with_room(self.store.read_many(work.tenant, &keys))
                    .await?
            }
        };
        let changed = work.apply(waiting, read);
        if changed.is_empty() {
            return Ok(Vec::new());
        }
        let commits: Vec<_> = changed
            .iter()
            .map(|next| Commit {
                tenant: work.tenant,
                key: &work.keys[next.place],
                expected_version: next.version,
                record: &next.record,
                entry: &work.entries[next.place],
                remember: self.remember,
            })
            .collect();
        let outcomes = self.with_room(self.store.commit_many(&commits)).await?;
        let mut overtaken = Vec::new();
        for (next, outcome) in changed.iter().zip(outcomes) {
            let place = next.place;
            work.done.outcomes[place] = match outcome {
                Ok(CommitOutcome::Committed) => {
                    work.done.created += usize::from(next.version == 0);
                    Ok(Some(work.entries[place].effect))
                }
                Ok(CommitOutcome::Duplicate) => Ok(None),
                Ok(CommitOutcome::Conflict) => {
                    overtaken.push(place);
                    continue;
                }
                Err(error) => Err(error),
            };
        }
        Ok(overtaken)
    }

    /// Waits for room at the store, and then as long as a bulk may take.
    async fn with_room<T>(
        &self,
        work: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        // The semaphore is never closed.
        let _room = self.bulks.acquire().await.ok();
        let limit = self.timeout.saturating_mul(WRITE_FACTOR * BULK_FACTOR);
        let late = |_| Err(StoreError::Unavailable("no answer in time".to_owned()));
        timeout(limit, work).await.unwrap_or_else(late)
    }
}

impl Work<'_> {
    /// What the events make of what was read; those that leave a record as it is are done.
    fn apply(&mut self, waiting: &[usize], read: Vec<Result<Versioned, StoreError>>) -> Vec<Next> {
        let mut changed = Vec::with_capacity(waiting.len());
        for (&place, read) in waiting.iter().zip(read) {
            let read = match read {
                Ok(read) => read,
                Err(error) => {
                    self.done.outcomes[place] = Err(error);
                    continue;
                }
            };
            let entry = &mut self.entries[place];
            let applied = entry.event.apply(&read.record, self.rules);
            entry.effect = applied.effect;
            if applied.record == read.record {
                self.done.outcomes[place] = Ok(Some(applied.effect));
            } else {
                changed.push(Next {
                    place,
                    version: read.version,
                    record: applied.record,
                });
            }
        }
        changed
    }

    fn fail(&mut self, places: &[usize], error: &StoreError) {
        for place in places {
            self.done.outcomes[*place] = Err(error.clone());
        }
    }
}

/// The places of the keys, so that no key is twice in one round and each key keeps its order.
fn rounds(keys: &[RecipientKey]) -> Vec<Vec<usize>> {
    let mut rounds: Vec<Vec<usize>> = Vec::new();
    let mut times: HashMap<RecipientKey, usize> = HashMap::with_capacity(keys.len());
    for (place, key) in keys.iter().enumerate() {
        let time = times.entry(*key).or_default();
        if rounds.len() == *time {
            rounds.push(Vec::new());
        }
        rounds[*time].push(place);
        *time += 1;
    }
    rounds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_has_no_key_twice_and_each_key_keeps_its_order() {
        let keys = [1, 2, 1, 3, 1, 2].map(|number| RecipientKey::from_bytes([number; 16]));
        assert_eq!(rounds(&keys), [vec![0, 1, 3], vec![2, 5], vec![4]]);
        assert!(rounds(&[]).is_empty());
    }
}
