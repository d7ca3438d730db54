//! *Undo* takes back a batch of what was learnt by mistake, as events of their own.
//!
//! The notes tell what may have been learnt, the history of each recipient whether it was. So undoing
//! can be repeated, and what a reset or another undo took back already is left alone.

use std::collections::{BTreeMap, HashSet};

use super::{Learner, batch};
use crate::store::lessons::{Lesson, Place};
use crate::store::{HISTORY_LIMIT, StoreError};
use crate::suppression::event::{Effect, Undone};
use crate::suppression::{Change, Event, EventId, Tenant};
use crate::timestamp::Timestamp;

/// Notes that are looked at in one call.
const PAGE: usize = 1000;

/// Addresses that are told as examples, of one call.
const EXAMPLES: usize = 10;

/// Which lessons are meant: all that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter {
    /// Learnt then or later.
    pub since: Timestamp,
    /// Learnt then or before.
    pub until: Option<Timestamp>,
    /// The reason of a bounce, in the words of [`crate::bounce::Cause`], or `complaint` or
    /// `opt_out`. Without one only bounces are meant.
    pub reason: Option<String>,
    /// A part of the words that were kept, in any case.
    pub diagnostic: Option<String>,
}

/// Who undoes, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UndoneBy {
    /// The operator.
    pub actor: String,
    /// How they asked: `cli` or `api`.
    pub via: String,
    /// Why.
    pub reason: Option<String>,
    /// Only tell what would be undone.
    pub dry_run: bool,
}

/// What one call found and did.
#[derive(Debug, Default)]
pub struct UndoPage {
    /// Lessons that were meant.
    pub matched: u64,
    /// Lessons that were taken back, or would be.
    pub undone: u64,
    /// Lessons that stand because the same was said again since then.
    pub said_again: u64,
    /// Lessons of which nothing can be said: the recipient's history does not reach back to them.
    pub forgotten: u64,
    /// How many were undone, or would be, by reason, provider and host.
    pub groups: BTreeMap<Group, u64>,
    /// Some of their addresses.
    pub examples: Vec<String>,
    /// Where the next call begins; none at the end.
    pub next: Option<Place>,
    /// Why it went no further; the same call again goes on.
    pub failure: Option<StoreError>,
}

/// What became of a lesson that was meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It was taken back, or would be.
    Undone,
    /// It stands: the same was said again since then.
    SaidAgain,
    /// The history does not reach back to it.
    Forgotten,
    /// It never counted, does not any more, or is nothing to be taken back in a batch.
    Nothing,
}

/// What lessons have in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Group {
    /// The reason.
    pub reason: String,
    /// The provider.
    pub provider: String,
    /// The host that reported.
    pub host: String,
}

impl Filter {
    /// Whether this lesson is meant.
    #[must_use]
    pub fn takes(&self, lesson: &Lesson) -> bool {
        let event = &lesson.event;
        let in_time = self.since <= event.at && self.until.is_none_or(|until| event.at <= until);
        let reason = match &self.reason {
            Some(reason) => reason_of(event) == reason,
            None => matches!(event.change, Change::Bounce { .. }),
        };
        let words = self.diagnostic.as_ref().is_none_or(|part| {
            words_of(event).is_some_and(|words| words.to_lowercase().contains(&part.to_lowercase()))
        });
        in_time && reason && words
    }
}

impl Learner {
    /// Takes back the lessons that are meant, as many as one call may look at.
    ///
    /// # Errors
    /// When the notes cannot be read. What fails later is told with what was done until then
    /// ([`UndoPage::failure`]).
    pub async fn undo(
        &self,
        tenant: &Tenant,
        filter: &Filter,
        by: &UndoneBy,
        from: Option<Place>,
    ) -> Result<UndoPage, StoreError> {
        // Notes are in the order in which they were written: never before what they tell of.
        let from = from.unwrap_or_else(|| Place::at(filter.since.minus(CLOCKS)));
        let notes = self.lessons().notes(tenant, from, PAGE);
        let notes = self.ledger.in_time(notes).await?;
        let (mut known, mut meant) = (HashSet::new(), Vec::new());
        for lesson in notes.lessons {
            let Event { id, at, .. } = &lesson.event;
            if filter.takes(&lesson) && known.insert((id.clone(), *at)) {
                meant.push(lesson);
            }
        }
        let events: HashSet<_> = known.iter().map(|(id, _)| id).collect();
        let mut page = UndoPage {
            matched: events.len() as u64,
            next: notes.next,
            ..UndoPage::default()
        };
        let take_back = |lesson| async {
            let outcome = self.take_back(tenant, &lesson, by).await?;
            Ok((lesson, outcome))
        };
        let (outcomes, failure) = batch::each(meant, take_back).await;
        for (lesson, outcome) in outcomes {
            page.add(lesson, outcome);
        }
        page.failure = failure;
        Ok(page)
    }

    /// Takes one lesson back, if it was learnt and still stands.
    async fn take_back(
        &self,
        tenant: &Tenant,
        lesson: &Lesson,
        by: &UndoneBy,
    ) -> Result<Outcome, StoreError> {
        let Some((undo, undone)) = undo_of(&lesson.event, by) else {
            return Ok(Outcome::Nothing);
        };
        let (key, event) = (&lesson.key, &lesson.event);
        let history = self.ledger.history(tenant, key, HISTORY_LIMIT).await?;
        let Some(entry) = history.iter().find(|entry| entry.event.id == event.id) else {
            return Ok(if history.len() < HISTORY_LIMIT {
                Outcome::Nothing
            } else {
                Outcome::Forgotten
            });
        };
        // What was told several times before it was recorded has several notes: that one counts
        // which tells of the time that is recorded.
        let counted = entry.effect == Effect::Changed && entry.event.at == event.at;
        let taken_back = history.iter().any(|entry| entry.event.id == undo.id);
        if !counted || taken_back {
            return Ok(Outcome::Nothing);
        }
        let read = self.ledger.read(tenant, key).await?;
        if self.ledger.preview(&undo, &read.record).effect != Effect::Changed {
            return Ok(if undone.is_said_again(&read.record, event.at) {
                Outcome::SaidAgain
            } else {
                Outcome::Nothing
            });
        }
        if by.dry_run {
            return Ok(Outcome::Undone);
        }
        let recorded = self.ledger.record(tenant, key, undo).await?;
        self.metrics.recorded("undo", recorded.effect);
        Ok(if recorded.effect == Some(Effect::Changed) {
            Outcome::Undone
        } else {
            Outcome::Nothing
        })
    }
}

/// The actor of an event that the recipients brought about themselves.
const RECIPIENT: &str = "recipient";

/// How far the clocks of a store and of its gateways may be apart.
const CLOCKS: std::time::Duration = std::time::Duration::from_secs(300);

impl UndoPage {
    fn add(&mut self, lesson: Lesson, outcome: Outcome) {
        match outcome {
            Outcome::Undone => self.undone += 1,
            Outcome::SaidAgain => return self.said_again += 1,
            Outcome::Forgotten => return self.forgotten += 1,
            Outcome::Nothing => return,
        }
        if self.examples.len() < EXAMPLES {
            self.examples.extend(lesson.event.address.clone());
        }
        let group = Group {
            reason: reason_of(&lesson.event).to_owned(),
            provider: lesson.provider,
            host: lesson.host,
        };
        *self.groups.entry(group).or_default() += 1;
    }
}

/// The event that takes this one back, and what it takes back; none when it is nothing that others
/// taught us: what recipients said themselves is no mistake of a report.
fn undo_of(event: &Event, by: &UndoneBy) -> Option<(Event, Undone)> {
    if event.actor == RECIPIENT {
        return None;
    }
    let undone = match &event.change {
        Change::Bounce { kind, .. } => Undone::Bounce { kind: *kind },
        Change::Complaint { stream, .. } => Undone::Complaint {
            stream: stream.clone(),
        },
        Change::OptOut { scope, .. } => Undone::OptOut {
            scope: scope.clone(),
        },
        _ => return None,
    };
    let undo = Event {
        id: EventId::of(&[b"undo", event.id.as_str().as_bytes()]),
        at: Timestamp::now(),
        actor: by.actor.clone(),
        via: by.via.clone(),
        message_at: None,
        address: None,
        change: Change::Undo {
            event: event.id.clone(),
            of: event.at,
            undone: undone.clone(),
            reason: by.reason.clone(),
        },
    };
    Some((undo, undone))
}

fn reason_of(event: &Event) -> &str {
    match &event.change {
        Change::Bounce { reason, .. } => reason.as_deref().unwrap_or("unknown"),
        change => change.name(),
    }
}

fn words_of(event: &Event) -> Option<&str> {
    match &event.change {
        Change::Bounce { diagnostic, .. } => diagnostic.as_deref(),
        Change::OptOut { grounds, .. } => grounds.evidence.as_deref(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::contract::{event, key};
    use crate::suppression::Scope;
    use crate::suppression::event::{BounceKind, Grounds};

    fn lesson(at: u64, reason: Option<&str>, words: &str) -> Lesson {
        let mut event = event(at);
        event.at = Timestamp::from_millis(at);
        event.change = Change::Bounce {
            kind: BounceKind::Hard,
            reason: reason.map(str::to_owned),
            status: None,
            diagnostic: Some(words.to_owned()),
            campaign: None,
        };
        Lesson {
            key: key(1),
            event,
            provider: "example.com".to_owned(),
            host: "mx.example.com".to_owned(),
        }
    }

    #[test]
    fn all_that_is_given_must_fit() {
        let filter = Filter {
            since: Timestamp::from_millis(10),
            until: Some(Timestamp::from_millis(20)),
            reason: Some("user_unknown".to_owned()),
            diagnostic: Some("NO such".to_owned()),
        };
        let takes = |at, reason, words| filter.takes(&lesson(at, reason, words));
        assert!(takes(10, Some("user_unknown"), "550 no SUCH user"));
        assert!(takes(20, Some("user_unknown"), "550 no such user"));
        assert!(!takes(9, Some("user_unknown"), "550 no such user"));
        assert!(!takes(21, Some("user_unknown"), "550 no such user"));
        assert!(!takes(15, Some("mailbox_full"), "550 no such user"));
        assert!(!takes(15, None, "550 no such user"));
        assert!(!takes(15, Some("user_unknown"), "550 unknown user"));
    }

    #[test]
    fn without_a_reason_only_bounces_are_meant() {
        let filter = Filter {
            since: Timestamp::from_millis(0),
            until: None,
            reason: None,
            diagnostic: None,
        };
        let mut lesson = lesson(1, None, "x");
        assert!(filter.takes(&lesson));
        lesson.event.change = Change::Complaint {
            stream: None,
            campaign: None,
        };
        assert!(!filter.takes(&lesson));
        let complaints = Filter {
            reason: Some("complaint".to_owned()),
            ..filter
        };
        assert!(complaints.takes(&lesson));
    }

    #[test]
    fn what_recipients_said_themselves_is_never_taken_back() {
        let by = UndoneBy {
            actor: "operator".to_owned(),
            via: "cli".to_owned(),
            reason: Some("a mistake".to_owned()),
            dry_run: false,
        };
        let mut event = lesson(1, None, "x").event;
        event.change = Change::OptOut {
            scope: Scope::All,
            grounds: Grounds::default(),
        };
        assert!(undo_of(&event, &by).is_some(), "a provider's report");
        event.actor = "recipient".to_owned();
        assert_eq!(undo_of(&event, &by), None, "a mail to a signed address");
    }
}
