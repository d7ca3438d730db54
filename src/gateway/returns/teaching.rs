//! *Teaching* makes the records say what a message proves, for many recipients at the same time.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::proof::Lesson;
use crate::gateway::settings::Context;
use crate::learning::Learnt;
use crate::store::StoreError;
use crate::suppression::Event;
use crate::suppression::event::Effect;
use crate::timestamp::Timestamp;

/// Recipients that are taught about at the same time; a report may name a thousand.
const AT_ONCE: usize = 32;

/// What became of lessons.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Taught {
    /// Changes that were made.
    pub(super) counted: usize,
    /// Changes that had been made before.
    pub(super) known: usize,
    /// What decides nothing: the record was set right since, or it is too old to tell a report that
    /// comes again from another one.
    pub(super) outdated: usize,
    /// Changes that the brake holds.
    pub(super) held: usize,
}

/// Records all of it; durable when this returns. What is about one recipient keeps its order.
///
/// # Errors
/// When the store does not answer. Part of it may have been recorded; all of it may be told again.
pub(super) async fn teach(
    context: &Context,
    lessons: Vec<Lesson>,
    via: &'static str,
) -> Result<Taught, StoreError> {
    stream::iter(by_recipient(lessons))
        .map(|lessons| teach_one(context, lessons, via))
        .buffer_unordered(AT_ONCE)
        .try_fold(Taught::default(), |sum, taught| async move {
            Ok(sum.and(taught))
        })
        .await
}

fn by_recipient(lessons: Vec<Lesson>) -> Vec<Vec<Lesson>> {
    let mut places = HashMap::new();
    let mut groups: Vec<Vec<Lesson>> = Vec::new();
    for lesson in lessons {
        let place = (lesson.tenant.clone(), lesson.key);
        let place = *places.entry(place).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.push(lesson),
            None => groups.push(vec![lesson]),
        }
    }
    groups
}

async fn teach_one(
    context: &Context,
    lessons: Vec<Lesson>,
    via: &'static str,
) -> Result<Taught, StoreError> {
    let mut taught = Taught::default();
    for lesson in lessons {
        if is_forgotten(&lesson, context.ledger.remember(), Timestamp::now()) {
            taught.outdated += 1;
        } else {
            learn(context, lesson, via, &mut taught).await?;
        }
    }
    Ok(taught)
}

/// Whether the message is older than ids of events are remembered: nobody could tell whether its
/// report counted before (B4).
fn is_forgotten(lesson: &Lesson, remember: Duration, now: Timestamp) -> bool {
    lesson.message_at.is_some_and(|at| at < now.minus(remember))
}

async fn learn(
    context: &Context,
    lesson: Lesson,
    via: &'static str,
    taught: &mut Taught,
) -> Result<(), StoreError> {
    let Lesson { tenant, key, .. } = lesson;
    tracing::debug!(
        %tenant, %key, event = %lesson.id, change = lesson.change.name(),
        identity = ?lesson.identity, "a report marks a recipient"
    );
    let name = lesson.change.name();
    let event = Event {
        id: lesson.id,
        at: Timestamp::now(),
        actor: lesson.actor,
        via: via.to_owned(),
        message_at: lesson.message_at,
        address: lesson.address,
        change: lesson.change,
    };
    let learner = &context.learner;
    match learner.learn(&tenant, &key, event, &lesson.source).await? {
        Learnt::Recorded(effect) => {
            context.metrics.recorded(name, effect);
            match effect {
                Some(Effect::Changed) => taught.counted += 1,
                Some(Effect::Outdated) => taught.outdated += 1,
                Some(Effect::AlreadySo | Effect::Dropped) | None => taught.known += 1,
            }
        }
        Learnt::Held { is_new: true } => taught.held += 1,
        Learnt::Held { is_new: false } => taught.known += 1,
    }
    Ok(())
}

impl Taught {
    const fn and(self, other: Self) -> Self {
        Self {
            counted: self.counted + other.counted,
            known: self.known + other.known,
            outdated: self.outdated + other.outdated,
            held: self.held + other.held,
        }
    }
}
