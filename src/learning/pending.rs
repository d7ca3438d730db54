//! What is *pending*: the hard bounces of causes that the brake holds, and what operators decide.
//!
//! Accepted bounces are recorded as if they had come through at once, with their own times and ids;
//! dropped ones count nowhere, and the history of each recipient tells so. Both go page by page and
//! can be repeated, by anybody, from wherever they broke off.

use std::time::Duration;

use super::{Learner, batch};
use crate::store::lessons::{CauseId, Hold, HoldChange, HoldOutcome, Lesson, Pending};
use crate::store::{DecidedBy, StoreError};
use crate::suppression::{EventId, Tenant};
use crate::timestamp::Timestamp;

/// How long nothing of an accepted cause is held: whoever looked today need not look again tonight.
const FREE: Duration = Duration::from_secs(24 * 3600);

/// Bounces that are decided in one call.
const PAGE: usize = 500;

/// What an operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They count.
    Accept,
    /// They do not.
    Drop,
}

/// How far a decision is carried out.
#[derive(Debug)]
pub struct Decided {
    /// What the cause was known as.
    pub hold: Hold,
    /// How many bounces were decided in this call.
    pub decided: u64,
    /// How many had been decided before, by whoever else or a call that broke off.
    pub known: u64,
    /// How many are left for the next call.
    pub left: u64,
    /// Why it went no further; the same call goes on from there.
    pub failure: Option<StoreError>,
}

impl Learner {
    /// The causes that are held, the oldest first; also those that were accepted and not yet
    /// recorded to the end.
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn pending(&self, tenant: &Tenant) -> Result<Vec<Pending>, StoreError> {
        let mut pending: Vec<Pending> = self
            .all_holds(tenant)
            .await?
            .into_iter()
            .filter(|pending| pending.held > 0 || pending.hold.is_holding())
            .collect();
        pending.sort_by_key(|pending| pending.hold.since);
        Ok(pending)
    }

    /// The oldest bounces that a cause holds.
    ///
    /// # Errors
    /// When the store does not answer in time or holds something that cannot be read.
    pub async fn held(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        limit: usize,
    ) -> Result<Vec<Lesson>, StoreError> {
        let held = self.lessons().held(tenant, cause, limit);
        self.ledger.in_time(held).await
    }

    /// Accepts or drops bounces of a cause, as many as one call may take; none when nothing is
    /// known of the cause.
    ///
    /// Accepting sets the cause free for a day. Dropping ends that, and the hold with the last
    /// bounce; more of the cause are held again at once while there are too many.
    ///
    /// # Errors
    /// When the store cannot say what is known of the cause. What fails later is told with what was
    /// done until then ([`Decided::failure`]).
    pub async fn decide(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        decision: Decision,
        by: &DecidedBy,
    ) -> Result<Option<Decided>, StoreError> {
        let Some(hold) = self.hold(tenant, cause).await? else {
            return Ok(None);
        };
        let mut decided = Decided {
            hold,
            decided: 0,
            known: 0,
            left: 0,
            failure: None,
        };
        let carried_out = self.carry_out(tenant, cause, (decision, by), &mut decided);
        let failure = carried_out.await.err();
        decided.failure = failure;
        Ok(Some(decided))
    }

    async fn carry_out(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        (decision, by): (Decision, &DecidedBy),
        decided: &mut Decided,
    ) -> Result<(), StoreError> {
        if decision == Decision::Accept && decided.hold.is_holding() {
            let free = Hold {
                free_until: Some(Timestamp::now().plus(FREE)),
                ..decided.hold.clone()
            };
            // Whoever else changed it, accepted it, or added a bounce and left it as it was.
            self.change(tenant, cause, &decided.hold, Some(&free))
                .await?;
            decided.hold = free;
        }
        let lessons = self.held(tenant, cause, PAGE).await?;
        let settle = |lesson| self.settle(tenant, lesson, decision, by);
        let (settled, failure) = batch::each(lessons, settle).await;
        for (_, is_new) in &settled {
            let count = if *is_new {
                &mut decided.decided
            } else {
                &mut decided.known
            };
            *count += 1;
        }
        let events: Vec<EventId> = settled.into_iter().map(|(event, _)| event).collect();
        if !events.is_empty() {
            let released = self.lessons().release(tenant, cause, &events);
            self.ledger.in_time(released).await?;
        }
        if let Some(error) = failure {
            return Err(error);
        }
        if decision == Decision::Drop {
            // It stays while it holds more. One that was accepted before is free no more.
            self.change(tenant, cause, &decided.hold, None).await?;
        }
        let left = self.all_holds(tenant).await?;
        let left = left.into_iter().find(|pending| pending.cause == *cause);
        decided.left = left.map_or(0, |pending| pending.held);
        Ok(())
    }

    /// Records or drops one bounce; its event, and whether nobody had decided on it before.
    async fn settle(
        &self,
        tenant: &Tenant,
        lesson: Lesson,
        decision: Decision,
        by: &DecidedBy,
    ) -> Result<(EventId, bool), StoreError> {
        let Lesson { key, event, .. } = &lesson;
        let (key, id, by) = (*key, event.id.clone(), by.clone());
        let recorded = match decision {
            Decision::Accept => {
                // A call that broke off may have done it: a second note would be found twice.
                let seen = self.lessons().is_seen(tenant, &key, &id);
                if !self.ledger.in_time(seen).await? {
                    let noted = self.lessons().note(tenant, &lesson);
                    self.ledger.in_time(noted).await?;
                }
                let accepted = self.ledger.accept_event(tenant, &key, lesson.event, by);
                accepted.await?
            }
            Decision::Drop => {
                let dropped = self.ledger.drop_event(tenant, &key, lesson.event, by);
                dropped.await?
            }
        };
        self.metrics.recorded("bounce", recorded.effect);
        Ok((id, recorded.effect.is_some()))
    }

    /// How many causes hold bounces, of all tenants, also those that were accepted and not yet
    /// recorded to the end; those whose time is over are forgotten.
    pub(super) async fn count_holding(&self) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let mut holding = 0;
        for tenant in &self.rules.load_full().tenants {
            for pending in self.all_holds(tenant).await? {
                if pending.held > 0 || pending.hold.is_holding() {
                    holding += 1;
                } else if !pending.hold.is_free(now) {
                    self.change(tenant, &pending.cause, &pending.hold, None)
                        .await?;
                }
            }
        }
        Ok(holding)
    }

    async fn hold(&self, tenant: &Tenant, cause: &CauseId) -> Result<Option<Hold>, StoreError> {
        let holds = self.all_holds(tenant).await?;
        let found = holds.into_iter().find(|pending| pending.cause == *cause);
        Ok(found.map(|pending| pending.hold))
    }

    async fn all_holds(&self, tenant: &Tenant) -> Result<Vec<Pending>, StoreError> {
        self.ledger.in_time(self.lessons().holds(tenant)).await
    }

    async fn change(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        before: &Hold,
        after: Option<&Hold>,
    ) -> Result<HoldOutcome, StoreError> {
        let change = HoldChange {
            tenant,
            cause,
            before: Some(before),
            after,
            lesson: None,
        };
        self.ledger
            .in_time(self.lessons().change_hold(&change))
            .await
    }
}
