//! RCPT: those that came together are looked up in one round trip and offered in one write.

use std::time::Instant;

use super::{Current, Session};
use crate::gateway::relay::Offered;
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

/// A recipient that is not answered yet.
pub(super) struct Candidate {
    path: ForwardPath,
    parameters: RcptParameters,
    /// Under what it is looked up; none for a bare postmaster.
    key: Option<RecipientKey>,
    /// Why it is not looked up at all.
    refused: Option<Reply>,
}

/// What becomes of a recipient that came with others.
enum Answer {
    /// The client hears this.
    Said(Reply),
    /// The upstream is asked about the recipient with this index.
    Asked(usize),
}

impl Candidate {
    pub(super) const fn new(path: ForwardPath, parameters: RcptParameters) -> Self {
        Self {
            path,
            parameters,
            key: None,
            refused: None,
        }
    }
}

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
        let answers = self.judge_batch(&mut current, batch).await;
        let asked = answers.iter().filter_map(|answer| match answer {
            Answer::Asked(index) => Some(*index),
            Answer::Said(_) => None,
        });
        let asked: Vec<usize> = asked.collect();
        let mut heard = self.offer(&mut current, &asked).await.into_iter();
        for answer in answers {
            let reply = match answer {
                Answer::Said(reply) => reply,
                Answer::Asked(_) => heard.next().unwrap_or_else(answers::upstream_lost),
            };
            self.wire.server.reply(reply);
        }
        self.current = Some(current);
    }

    /// Looks all of them up in one round trip, and judges them.
    async fn judge_batch(
        &mut self,
        current: &mut Current,
        mut batch: Vec<Candidate>,
    ) -> Vec<Answer> {
        let mut keys = Vec::with_capacity(batch.len());
        // Who may not relay is told so before any look-up: the list cannot be read through RCPT (E10).
        for candidate in &mut batch {
            match self.admit(current, &candidate.path, &candidate.parameters) {
                Ok(()) => {
                    let tenant = &current.transaction.policy.tenant;
                    let address = candidate.path.address();
                    candidate.key = address.map(|a| self.worker.ledger().key(tenant, a));
                    keys.extend(candidate.key);
                }
                Err(reply) => {
                    if reply == answers::relay_denied() {
                        self.wire.server.count_error();
                    }
                    candidate.refused = Some(reply);
                }
            }
        }
        let mut findings = self.look_up(current, &keys).await.into_iter();
        let now = Timestamp::now();
        let judge = |candidate: Candidate| {
            if let Some(reply) = candidate.refused {
                return Answer::Said(reply);
            }
            let finding = match candidate.key {
                Some(_) => findings.next().unwrap_or(Finding::Unavailable),
                // A bare postmaster has no entry.
                None => Finding::Clear,
            };
            let index = current.transaction.recipients.len();
            let Candidate {
                path,
                parameters,
                key,
                ..
            } = candidate;
            let said = current.transaction.add(path, parameters, key, finding, now);
            said.map_or(Answer::Asked(index), Answer::Said)
        };
        batch.into_iter().map(judge).collect()
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

    /// What the store says of each key.
    async fn look_up(&self, current: &Current, keys: &[RecipientKey]) -> Vec<Finding> {
        if keys.is_empty() {
            return Vec::new();
        }
        let tenant = &current.transaction.policy.tenant;
        let begun = Instant::now();
        let findings = self.worker.ledger().look_up(tenant, keys).await;
        let unavailable = findings.iter().filter(|f| **f == Finding::Unavailable);
        self.context
            .metrics
            .lookup(begun.elapsed(), keys.len(), unavailable.count());
        findings
    }

    /// Offers those with these indices upstream, keeps what it says (R3), and says what the client
    /// hears of each.
    async fn offer(&self, current: &mut Current, indices: &[usize]) -> Vec<Reply> {
        if indices.is_empty() {
            return Vec::new();
        }
        if !current.relay.has_begun() {
            self.sign_for(&mut current.transaction, indices).await;
        }
        let offered = current.relay.offer(&current.transaction, indices).await;
        self.learn_from_refusals(&current.transaction, &offered)
            .await;
        let mut heard = Vec::with_capacity(offered.len());
        for one in offered {
            let recipient = &mut current.transaction.recipients[one.index];
            recipient.fate = if one.reply.is_positive() {
                Fate::Accepted
            } else {
                Fate::RefusedUpstream
            };
            // Rendered for the log only where it is told: most replies at RCPT never are.
            recipient.reply = one.upstream_reply.is_none().then(|| one.reply.clone());
            recipient.upstream_reply = one.upstream_reply;
            heard.push(one.reply);
        }
        heard
    }

    /// All at once: a slow store must not make the client wait for one refusal after the other.
    async fn learn_from_refusals(&self, transaction: &Transaction, offered: &[Offered]) {
        let refused = |one: &Offered| one.upstream_reply.as_ref().is_some_and(|r| !r.is_positive());
        if !self.settings.learn_from_upstream || !offered.iter().any(refused) {
            return;
        }
        let refusals = offered.iter().filter(|one| refused(one)).filter_map(|one| {
            let reply = one.upstream_reply.as_ref()?;
            Some(self.learn_from_refusal(transaction, one.index, reply))
        });
        futures_util::future::join_all(refusals).await;
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
