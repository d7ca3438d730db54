//! *Consent* withdrawn and given: per scope the newest act wins, and a tie suppresses.

use super::{Coupling, Effect, Event, EventRules, Grounds, clip};
use crate::suppression::Scope;
use crate::suppression::record::{Consent, Record};

impl Event {
    /// Idempotent; the first time is kept. An opt-in that is newer keeps its word, a tie suppresses.
    pub(super) fn opt_out(
        &self,
        record: &mut Record,
        scope: &Scope,
        grounds: &Grounds,
        rules: &EventRules,
    ) -> Effect {
        // What a report says of an older message is older than the opt-in too (B9).
        let meant = self.message_at.unwrap_or(self.at);
        if record
            .opt_ins
            .get(scope)
            .is_some_and(|opt_in| opt_in.at > meant)
        {
            return Effect::Outdated;
        }
        if let Some(old) = record.opt_outs.get_mut(scope) {
            // A list that says it again adds nothing to one that was imported, and only once to others.
            let is_told = self.is_listed() && (old.last.is_some() || old.via == self.via);
            if self.at > old.newest() && !is_told {
                old.last = Some(self.at);
            }
            return Effect::AlreadySo;
        }
        record.opt_outs.insert(scope.clone(), self.consent(grounds));
        if *scope == Scope::All {
            self.couple(record, Coupling::OptOut, rules);
        }
        Effect::Changed
    }

    /// Only newer than the opt-out of the same scope. It clears neither Do Not Email nor bounces.
    pub(super) fn opt_in(&self, record: &mut Record, scope: &Scope, grounds: &Grounds) -> Effect {
        if record
            .opt_outs
            .get(scope)
            .is_some_and(|opt_out| opt_out.newest() >= self.at)
        {
            return Effect::Outdated;
        }
        if record
            .opt_ins
            .get(scope)
            .is_some_and(|opt_in| opt_in.at >= self.at)
        {
            return Effect::AlreadySo;
        }
        record.opt_outs.remove(scope);
        record.opt_ins.insert(scope.clone(), self.consent(grounds));
        Effect::Changed
    }

    fn consent(&self, grounds: &Grounds) -> Consent {
        Consent {
            at: self.at,
            last: None,
            via: self.via.clone(),
            actor: self.actor.clone(),
            campaign: grounds.campaign.as_deref().map(clip),
            reason: grounds.reason.as_deref().map(clip),
            comment: grounds.comment.as_deref().map(clip),
            evidence: grounds.evidence.as_deref().map(clip),
        }
    }
}
