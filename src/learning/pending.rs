//! What is *pending*: the hard bounces of causes that the brake holds, and what operators decide.
//!
//! Accepted bounces are recorded as if they had come through at once, with their own times and ids;
//! dropped ones count nowhere, and the history of each recipient tells so. Both go page by page and
//! can be repeated, by anybody, from wherever they broke off.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use super::Learner;
use crate::store::StoreError;
use crate::store::lessons::{CauseId, Hold, HoldChange, Lesson, Pending};
use crate::suppression::{EventId, Tenant};
use crate::timestamp::Timestamp;

/// How long nothing of an accepted cause is held: whoever looked today need not look again tonight.
const FREE: Duration = Duration::from_secs(24 * 3600);

/// Bounces that are decided in one call.
const PAGE: usize = 500;

/// Records that are written at once.
const AT_ONCE: usize = 32;

/// What an operator decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// They count.
    Accept,
    /// They do not.
    Drop,
}

/// How far a decision is carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// What the cause was known as.
    pub hold: Hold,
    /// How many bounces were decided in this call.
    pub decided: u64,
    /// How many are left for the next call.
    pub left: u64,
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
    /// When the store does not answer in time or holds something that cannot be read. What was
    /// decided until then stays decided; the same call goes on from there.
    pub async fn decide(
        &self,
        tenant: &Tenant,
        cause: &CauseId,
        decision: Decision,
    ) -> Result<Option<Decided>, StoreError> {
        let Some(mut hold) = self.hold(tenant, cause).await? else {
            return Ok(None);
        };
        if decision == Decision::Accept && hold.is_holding() {
            let free = Hold {
                free_until: Some(Timestamp::now().plus(FREE)),
                ..hold.clone()
            };
            // Whoever else changed it, accepted it, or added a bounce and left it as it was.
            self.change(tenant, cause, &hold, Some(&free)).await?;
            hold = free;
        }
        let lessons = self.held(tenant, cause, PAGE).await?;
        let decided = lessons.len() as u64;
        let events: Vec<EventId> = stream::iter(lessons)
            .map(|lesson| self.settle(tenant, lesson, decision))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        if !events.is_empty() {
            let released = self.lessons().release(tenant, cause, &events);
            self.ledger.in_time(released).await?;
        }
        if decision == Decision::Drop {
            // It stays while it holds more. One that was accepted before is free no more.
            self.change(tenant, cause, &hold, None).await?;
        }
        let left = self.all_holds(tenant).await?;
        let left = left.into_iter().find(|pending| pending.cause == *cause);
        Ok(Some(Decided {
            hold,
            decided,
            left: left.map_or(0, |pending| pending.held),
        }))
    }

    async fn settle(
        &self,
        tenant: &Tenant,
        lesson: Lesson,
        decision: Decision,
    ) -> Result<EventId, StoreError> {
        let event = lesson.event.id.clone();
        let recorded = match decision {
            Decision::Accept => self.record(tenant, lesson).await?,
            Decision::Drop => {
                self.ledger
                    .drop_event(tenant, &lesson.key, lesson.event)
                    .await?
            }
        };
        self.metrics.recorded("bounce", recorded.effect);
        Ok(event)
    }

    /// How many causes are held, of all tenants; those whose time is over are forgotten.
    pub(super) async fn count_holding(&self) -> Result<u64, StoreError> {
        let now = Timestamp::now();
        let mut holding = 0;
        for tenant in &self.rules.load_full().tenants {
            for pending in self.all_holds(tenant).await? {
                if pending.hold.is_holding() {
                    holding += 1;
                } else if !pending.hold.is_free(now) && pending.held == 0 {
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
    ) -> Result<bool, StoreError> {
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
