//! The [`Learner`] is how the gateway learns: what came back becomes an event of a recipient, once.
//!
//! Everything that is learnt from others (reports, complaints, the upstream's refusals) goes through
//! here; what operators decide does not. A [`Brake`] holds hard bounces when one [cause] would take
//! out too many recipients, until an operator accepts or drops them ([`pending`]); what was learnt by
//! mistake all the same can be taken back ([`undo`]).

mod batch;
pub mod brake;
pub mod cause;
pub mod pending;
mod relayed;
pub mod undo;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

pub use self::brake::Brake;
use self::relayed::Relayed;
use crate::bounce::Cause;
use crate::log::without_addresses;
use crate::store::StoreError;
use crate::store::ledger::{Ledger, Recorded};
use crate::store::lessons::{
    CauseId, Hold, HoldChange, HoldOutcome, Lesson, RelayedBatch, Tallied, Tally,
};
use crate::suppression::event::{BounceKind, Effect};
use crate::suppression::{Change, Event, RecipientKey, Tenant};
use crate::telemetry::Metrics;
use crate::timestamp::Timestamp;

/// How often a bounce is thought over while others change what is known of its cause.
const CONFLICT_LIMIT: u32 = 16;

/// Stands for every provider: in what was relayed to all of them, and in causes they share.
const ANY_PROVIDER: &str = "";

/// Learns from what came back.
#[derive(Debug)]
pub struct Learner {
    ledger: Arc<Ledger>,
    metrics: Arc<Metrics>,
    rules: ArcSwap<LearnerRules>,
    relayed: Relayed,
    /// How many causes were held when they were last counted.
    holding: AtomicU64,
}

/// The settings of a learner; a reload replaces them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LearnerRules {
    /// How much one cause may take out; none lets everything pass.
    pub brake: Option<Brake>,
    /// The tenants whose held causes are counted.
    pub tenants: Vec<Tenant>,
    /// Whether addresses in the words of others are hidden in the operational log.
    pub hide_addresses: bool,
}

/// Where a lesson comes from: what the brake compares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Source {
    /// The provider of the recipient: the domain of the address that was written to.
    pub provider: String,
    /// The host that reported or refused, in lower case.
    pub host: String,
    /// Its words, as the report gives them.
    pub words: String,
}

/// What became of a lesson.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Learnt {
    /// It is in the history, with this effect on the record; none when it was there before.
    Recorded(Option<Effect>),
    /// The brake holds it until an operator has looked.
    Held {
        /// Whether it was told of for the first time.
        is_new: bool,
    },
}

impl Learner {
    /// A learner that writes to this ledger.
    #[must_use]
    pub fn new(ledger: Arc<Ledger>, metrics: Arc<Metrics>, rules: LearnerRules) -> Self {
        Self {
            ledger,
            metrics,
            rules: ArcSwap::from_pointee(rules),
            relayed: Relayed::default(),
            holding: AtomicU64::new(0),
        }
    }

    /// From now on it learns by these rules.
    pub fn set_rules(&self, rules: LearnerRules) {
        self.rules.store(Arc::new(rules));
    }

    /// Records what came back for a recipient, or holds it; durable when this returns.
    ///
    /// # Errors
    /// When the store does not answer; the same lesson may then be told again (S7).
    pub async fn learn(
        &self,
        tenant: &Tenant,
        key: &RecipientKey,
        event: Event,
        source: &Source,
    ) -> Result<Learnt, StoreError> {
        let lesson = Lesson {
            key: *key,
            event: event.clipped(),
            provider: clip(&source.provider),
            host: clip(&source.host),
        };
        let read = self.ledger.read(tenant, key).await?;
        let seen = self.lessons().is_seen(tenant, key, &lesson.event.id);
        if self.ledger.in_time(seen).await? {
            return Ok(Learnt::Recorded(None));
        }
        // Whom no hard bounce takes out any more, none can take out by mistake.
        let takes_out = is_hard(&lesson.event)
            && read.record.hard.is_none()
            && self.ledger.preview(&lesson.event, &read.record).effect == Effect::Changed;
        if takes_out && let Some(is_new) = self.hold_back(tenant, &lesson, source).await? {
            return Ok(Learnt::Held { is_new });
        }
        let recorded = self.record(tenant, lesson).await?;
        Ok(Learnt::Recorded(recorded.effect))
    }

    /// Counts so many recipients of this provider to whom a message was relayed.
    pub fn relayed(&self, tenant: &Tenant, provider: &str, recipients: usize) {
        if self.rules.load().brake.is_some() {
            self.relayed.add(tenant, provider, recipients as u64);
        }
    }

    /// How many causes were held when they were last counted.
    #[must_use]
    pub fn holding(&self) -> u64 {
        self.holding.load(Ordering::Relaxed)
    }

    /// Does what must be done every few seconds: tells the store what was relayed, and counts the
    /// causes that are held.
    pub async fn look_after(&self) {
        if let Err(error) = self.tell_relayed().await {
            tracing::warn!(%error, "the store was not told what was relayed; it will be");
        }
        match self.count_holding().await {
            Ok(holding) => self.set_holding(holding),
            // The store's own alarm tells of it.
            Err(error) => tracing::debug!(%error, "held causes were not counted"),
        }
    }

    /// Notes the lesson, then records it: what is not noted could not be undone.
    async fn record(&self, tenant: &Tenant, lesson: Lesson) -> Result<Recorded, StoreError> {
        let noted = self.lessons().note(tenant, &lesson);
        self.ledger.in_time(noted).await?;
        self.ledger.record(tenant, &lesson.key, lesson.event).await
    }

    /// Holds the lesson, if the brake says so; it is durable as such then. Answers whether it was
    /// not held before, and nothing when it passes.
    async fn hold_back(
        &self,
        tenant: &Tenant,
        lesson: &Lesson,
        source: &Source,
    ) -> Result<Option<bool>, StoreError> {
        let Some(brake) = self.rules.load().brake else {
            return Ok(None);
        };
        let own = self.hold_by(brake, tenant, lesson, source).await?;
        if own.is_some() || !is_host_unknown(&lesson.event) {
            return Ok(own);
        }
        // A resolver of ours, or of the smarthost, that breaks finds no provider at all: few
        // recipients of each, and many together.
        let shared = Source {
            provider: ANY_PROVIDER.to_owned(),
            ..source.clone()
        };
        self.hold_by(brake, tenant, lesson, &shared).await
    }

    async fn hold_by(
        &self,
        brake: Brake,
        tenant: &Tenant,
        lesson: &Lesson,
        source: &Source,
    ) -> Result<Option<bool>, StoreError> {
        let cause = cause::cause_of(source, lesson.event.address.as_deref());
        let provider = clip(&source.provider);
        for _attempt in 0..CONFLICT_LIMIT {
            let now = Timestamp::now();
            let tally = Tally {
                tenant,
                cause: &cause,
                key: &lesson.key,
                provider: &provider,
                now,
                window: brake.window,
            };
            let tallied = self.ledger.in_time(self.lessons().tally(&tally)).await?;
            let before = tallied.hold.as_ref();
            let is_holding = before.is_some_and(Hold::is_holding);
            let too_many = brake.holds(tallied.recipients, tallied.relayed);
            if before.is_some_and(|hold| hold.is_free(now)) || !(is_holding || too_many) {
                return Ok(None);
            }
            let after = match before.filter(|hold| hold.is_holding()) {
                Some(hold) => hold.clone(),
                None => begin(lesson, source, &tallied, now),
            };
            let change = HoldChange {
                tenant,
                cause: &cause,
                before,
                after: Some(&after),
                lesson: Some(lesson),
            };
            let changing = self.lessons().change_hold(&change);
            let is_new = match self.ledger.in_time(changing).await? {
                HoldOutcome::Conflict => continue,
                HoldOutcome::HeldAlready => false,
                HoldOutcome::Changed => true,
            };
            if is_new {
                self.metrics.held();
            }
            if !is_holding {
                self.raise_alarm(tenant, &cause, &after);
            }
            return Ok(Some(is_new));
        }
        Err(StoreError::Unavailable(format!(
            "the cause {cause} is changed by too many at once, try again"
        )))
    }

    fn raise_alarm(&self, tenant: &Tenant, cause: &CauseId, hold: &Hold) {
        self.set_holding(self.holding().saturating_add(1));
        let words = match self.rules.load().hide_addresses {
            true => without_addresses(&hold.words, ""),
            false => Cow::Borrowed(hold.words.as_str()),
        };
        tracing::error!(
            %tenant,
            %cause,
            provider = hold.provider,
            host = hold.host,
            %words,
            recipients = hold.recipients,
            relayed = hold.relayed,
            "one cause would take out too many recipients: its hard bounces are held until somebody \
             has looked; see \"sendgate pending list\""
        );
    }

    fn set_holding(&self, holding: u64) {
        self.holding.store(holding, Ordering::Relaxed);
        self.metrics.holding(holding);
    }

    /// Tells the store what was relayed since it was last told.
    ///
    /// # Errors
    /// When the store does not answer; what it may not know is told again, and counts once.
    pub async fn tell_relayed(&self) -> Result<(), StoreError> {
        let Some(brake) = self.rules.load().brake else {
            return Ok(());
        };
        // First what broke off the last time.
        self.tell_batches(brake).await?;
        self.relayed.gather(Timestamp::now()).map_err(|error| {
            StoreError::Unavailable(format!("the system gives no random numbers: {error}"))
        })?;
        self.tell_batches(brake).await
    }

    async fn tell_batches(&self, brake: Brake) -> Result<(), StoreError> {
        while let Some(batch) = self.relayed.first_untold() {
            let relayed = RelayedBatch {
                tenant: &batch.tenant,
                id: &batch.id,
                counts: &batch.counts,
                at: batch.at,
                window: brake.window,
            };
            let counted = self.lessons().count_relayed(&relayed);
            self.ledger.in_time(counted).await?;
            self.relayed.told(&batch.id);
        }
        Ok(())
    }

    fn lessons(&self) -> &dyn crate::store::Lessons {
        self.ledger.lessons()
    }
}

/// What is known of a cause from the moment it is held.
fn begin(lesson: &Lesson, source: &Source, tallied: &Tallied, now: Timestamp) -> Hold {
    Hold {
        provider: clip(&source.provider),
        host: lesson.host.clone(),
        words: crate::suppression::event::clip(&source.words),
        since: now,
        recipients: tallied.recipients,
        relayed: tallied.relayed,
        free_until: None,
    }
}

const fn is_hard(event: &Event) -> bool {
    matches!(
        event.change,
        Change::Bounce {
            kind: BounceKind::Hard,
            ..
        }
    )
}

fn is_host_unknown(event: &Event) -> bool {
    matches!(&event.change, Change::Bounce { reason: Some(reason), .. }
        if reason == Cause::HostUnknown.name())
}

/// A name of a domain or host, no longer than one can be (RFC 1035 §2.3.4).
fn clip(name: &str) -> String {
    name.chars()
        .filter(|c| !c.is_control())
        .take(255)
        .collect::<String>()
        .to_lowercase()
}

#[cfg(test)]
mod tests;
