//! *Bounces* are counted: a hard one takes the address out at once, soft ones when they reach the limit.

use std::time::Duration;

use super::{BounceKind, Change, Coupling, Effect, Event, EventRules, clip};
use crate::suppression::record::{Bounces, Record};
use crate::timestamp::Timestamp;

/// Most soft bounces whose times are kept for one recipient.
const RECENT_LIMIT: usize = 1000;

impl Event {
    pub(super) fn bounce(
        &self,
        record: &mut Record,
        kind: BounceKind,
        rules: &EventRules,
    ) -> Effect {
        let reset = match kind {
            BounceKind::Hard => &record.hard_reset,
            BounceKind::Soft => &record.soft_reset,
        };
        if self.is_late(record, reset.as_ref()) {
            return Effect::Outdated;
        }
        match kind {
            BounceKind::Hard => {
                if self.is_listed()
                    && let Some(hard) = &mut record.hard
                {
                    self.list(hard);
                    return Effect::AlreadySo;
                }
                self.count(&mut record.hard);
                self.couple(record, Coupling::HardBounce, rules);
            }
            BounceKind::Soft => {
                self.count(&mut record.soft);
                if let Some(soft) = &mut record.soft
                    && rules.soft_window.is_some()
                {
                    remember(soft, self.at, rules);
                }
                if record.soft.as_ref().is_some_and(|soft| {
                    soft.counted(rules.soft_window, self.at) >= rules.soft_limit
                }) {
                    self.couple(record, Coupling::SoftBounce, rules);
                }
            }
        }
        Effect::Changed
    }

    fn count(&self, bounces: &mut Option<Bounces>) {
        let Change::Bounce {
            status,
            diagnostic,
            campaign,
            ..
        } = &self.change
        else {
            return;
        };
        let (count, first, last, recent, listed) = match bounces {
            Some(old) => (
                old.count.saturating_add(1),
                old.first.min(self.at),
                old.last.max(self.at),
                std::mem::take(&mut old.recent),
                old.listed,
            ),
            None => {
                let listed = self.is_listed().then_some(self.at);
                (1, self.at, self.at, Vec::new(), listed)
            }
        };
        *bounces = Some(Bounces {
            count,
            first,
            last,
            status: *status,
            diagnostic: diagnostic.as_deref().map(clip),
            campaign: campaign.clone(),
            recent,
            listed,
        });
    }

    /// A list says what is on file already. It counts once, so that the bounce stays when the others
    /// are undone.
    fn list(&self, bounces: &mut Bounces) {
        if bounces.listed.is_none() {
            bounces.listed = Some(self.at);
            bounces.count = bounces.count.saturating_add(1);
            bounces.first = bounces.first.min(self.at);
        }
    }
}

/// Adds a soft bounce to those whose times are kept: no more than the limit needs, none that is over.
fn remember(soft: &mut Bounces, at: Timestamp, rules: &EventRules) {
    soft.recent.push(at);
    soft.recent.sort_unstable();
    let newest = soft.recent.last().copied().unwrap_or(at);
    let window = rules.soft_window.unwrap_or(Duration::MAX);
    soft.recent.retain(|at| at.plus(window) > newest);
    let limit = usize::try_from(rules.soft_limit).unwrap_or(usize::MAX);
    let surplus = soft.recent.len().saturating_sub(limit.min(RECENT_LIMIT));
    soft.recent.drain(..surplus);
}
