//! RCPT: those that came together are looked up in one round trip and offered in one write.

use std::time::Instant;

use super::{Current, Session};
use crate::bounce::{Effect, Refusal, classify_refusal};
use crate::learning::cause::host_named;
use crate::learning::{Learnt, Source};
use crate::mail::{Address, ForwardPath};
use crate::smtp::{RcptParameters, Reply, UpstreamReply};
use crate::suppression::event::BounceKind;
use crate::suppression::{Change, Event, EventId, Finding, RecipientKey};
use crate::timestamp::Timestamp;
use crate::transaction::answers::NotOffered;
use crate::transaction::{Fate, Transaction, answers};

impl Session {
    /// Answers every recipient that waits, in order.
    pub(super) async fn answer_batch(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let Some(mut current) = self.current.take() else {
            for _ in batch {
                self.wire.server.reply(answers::upstream_lost());
            }
            return;
        };
        let mut replies = vec![None; batch.len()];
        self.judge_batch(&mut current, batch, &mut replies).await;
        for reply in replies.into_iter().flatten() {
            self.wire.server.reply(reply);
        }
        self.current = Some(current);
    }

    async fn judge_batch(
        &mut self,
        current: &mut Current,
        batch: Vec<(ForwardPath, RcptParameters)>,
        replies: &mut [Option<Reply>],
    ) {
        // Who may not relay is told so before any look-up: the list cannot be read through RCPT (E10).
        let mut admitted = Vec::with_capacity(batch.len());
        for (place, (path, parameters)) in batch.into_iter().enumerate() {
            match self.admit(current, &path, &parameters) {
                Ok(()) => admitted.push((place, path, parameters)),
                Err(reply) => {
                    if reply == answers::relay_denied() {
                        self.wire.server.count_error();
                    }
                    replies[place] = Some(reply);
                }
            }
        }
        let found = self.look_up(current, &admitted).await;
        let now = Timestamp::now();
        let mut places = Vec::with_capacity(admitted.len());
        for ((place, path, parameters), (key, finding)) in admitted.into_iter().zip(found) {
            let index = current.transaction.recipients.len();
            replies[place] = current.transaction.add(path, parameters, key, finding, now);
            if replies[place].is_none() {
                places.push((index, place));
            }
        }
        self.offer(current, &places, replies).await;
    }

    /// Whether this client may send to this recipient at all (E1), and with these parameters.
    fn admit(
        &self,
        current: &Current,
        path: &ForwardPath,
        parameters: &RcptParameters,
    ) -> Result<(), Reply> {
        let to_relay_domain = path.address().is_some_and(|address| {
            self.rules
                .relay_domains
                .iter()
                .any(|domain| domain == address.domain())
        });
        if !self.listed && self.user.is_none() && !to_relay_domain {
            return Err(answers::relay_denied());
        }
        if parameters.uses_dsn() && !self.offers_dsn() {
            return Err(NotOffered::Dsn.reply());
        }
        if !path.wire().is_ascii() && !current.transaction.parameters.smtp_utf8 {
            return Err(NotOffered::Utf8Address.reply());
        }
        Ok(())
    }

    fn offers_dsn(&self) -> bool {
        let upstream = self
            .settings
            .upstream
            .known_extensions()
            .unwrap_or_default();
        upstream.dsn && self.rules.dsn
    }

    /// What the store says of each; a bare postmaster has no entry.
    async fn look_up(
        &self,
        current: &Current,
        admitted: &[(usize, ForwardPath, RcptParameters)],
    ) -> Vec<(Option<RecipientKey>, Finding)> {
        let tenant = &current.transaction.policy.tenant;
        let keys: Vec<Option<RecipientKey>> = admitted
            .iter()
            .map(|(_, path, _)| path.address().map(|a| self.worker.ledger().key(tenant, a)))
            .collect();
        let asked: Vec<RecipientKey> = keys.iter().copied().flatten().collect();
        let begun = Instant::now();
        let mut findings = self
            .worker
            .ledger()
            .look_up(tenant, &asked)
            .await
            .into_iter();
        if !asked.is_empty() {
            let unavailable = findings
                .as_slice()
                .iter()
                .filter(|f| **f == Finding::Unavailable);
            self.context
                .metrics
                .lookup(begun.elapsed(), asked.len(), unavailable.count());
        }
        keys.into_iter()
            .map(|key| match key {
                Some(_) => (key, findings.next().unwrap_or(Finding::Unavailable)),
                None => (None, Finding::Clear),
            })
            .collect()
    }

    /// Offers those that may pass and keeps what the upstream says (R3).
    async fn offer(
        &self,
        current: &mut Current,
        places: &[(usize, usize)],
        replies: &mut [Option<Reply>],
    ) {
        let indices: Vec<usize> = places.iter().map(|&(index, _)| index).collect();
        if !indices.is_empty() && !current.relay.has_begun() {
            self.sign_for(&mut current.transaction, &indices).await;
        }
        let offered = current.relay.offer(&current.transaction, &indices).await;
        // All at once: a slow store must not make the client wait for one refusal after the other.
        let transaction = &current.transaction;
        let refusals = offered.iter().filter_map(|one| {
            let reply = one.upstream_reply.as_ref()?;
            Some(self.learn_from_refusal(transaction, one.index, reply))
        });
        futures_util::future::join_all(refusals).await;
        for (one, &(_, place)) in offered.into_iter().zip(places) {
            let recipient = &mut current.transaction.recipients[one.index];
            recipient.fate = if one.reply.is_positive() {
                Fate::Accepted
            } else {
                Fate::RefusedUpstream
            };
            recipient.reply = Some(one.reply.to_string());
            recipient.upstream_reply = one.upstream_reply.map(|reply| reply.to_string());
            replies[place] = Some(one.reply);
        }
    }

    /// A permanent refusal that says the mailbox is not there counts like a bounce.
    async fn learn_from_refusal(
        &self,
        transaction: &Transaction,
        index: usize,
        reply: &UpstreamReply,
    ) {
        let recipient = &transaction.recipients[index];
        let (Some(key), Some(address)) = (recipient.key, recipient.path.address()) else {
            return;
        };
        if reply.is_positive() || !self.settings.learn_from_upstream {
            return;
        }
        let text = reply.text();
        let host = host_named(&text);
        let refusal = Refusal {
            status: reply.status(),
            reply_code: Some(reply.code()),
            text: &text,
            hosts: &[host.unwrap_or_default(), address.domain()],
        };
        let understood = classify_refusal(&refusal, &self.settings.bounce_rules);
        let kind = match understood.effect {
            Effect::Hard => BounceKind::Hard,
            Effect::Soft => BounceKind::Soft,
            Effect::None | Effect::Complaint | Effect::OptOut => return,
        };
        let mut event = refusal_event(&transaction.id, &key, address, kind, reply, &text);
        if let Change::Bounce { reason, .. } = &mut event.change {
            *reason = Some(understood.cause.name().to_owned());
        }
        let source = Source {
            provider: address.domain().to_owned(),
            host: host.map_or_else(|| self.settings.upstream.address(), str::to_owned),
            words: text.clone(),
        };
        let tenant = &transaction.policy.tenant;
        let learner = &self.context.learner;
        match learner.learn(tenant, &key, event, &source).await {
            Ok(Learnt::Recorded(effect)) => self.context.metrics.recorded("bounce", effect),
            Ok(Learnt::Held { .. }) => {}
            // The client hears the upstream's refusal all the same, and the next one is learnt from.
            Err(error) => tracing::warn!(%error, %key, "a refusal could not be recorded"),
        }
    }
}

fn refusal_event(
    id: &str,
    key: &RecipientKey,
    address: &Address,
    kind: BounceKind,
    reply: &UpstreamReply,
    text: &str,
) -> Event {
    Event {
        id: EventId::of(&[b"refusal", id.as_bytes(), key.as_bytes()]),
        at: Timestamp::now(),
        actor: "upstream".to_owned(),
        via: "rcpt".to_owned(),
        message_at: None,
        address: Some(address.to_string()),
        change: Change::Bounce {
            reason: None,
            kind,
            status: reply.status(),
            diagnostic: Some(format!("{} {text}", reply.code())),
            campaign: None,
        },
    }
}
