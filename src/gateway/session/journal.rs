//! What the suppression log and the counters are told when a transaction ends.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use super::{Current, Session};
use crate::gateway::relay::Ending;
use crate::log::Entry;
use crate::log::entry::Outcome;
use crate::suppression::{Reason, Verdict};
use crate::timestamp::Timestamp;
use crate::transaction::{Fate, Recipient, Transaction};

impl Session {
    /// The client went away, began anew or was cut off: what was open upstream is closed (R2).
    pub(super) fn end_transaction(&mut self, outcome: Outcome) {
        if let Some(mut current) = self.current.take() {
            current.relay.release();
            self.record(&current.transaction, outcome, None, None);
        }
    }

    /// The message was answered.
    pub(super) fn close_transaction(&mut self, ending: &Ending) {
        if let Some(Current {
            transaction,
            mut relay,
            ..
        }) = self.current.take()
        {
            relay.release();
            let reply = ending.reply.to_string();
            let upstream = ending.upstream_reply.as_deref();
            self.record(&transaction, ending.outcome, Some(&reply), upstream);
        }
    }

    fn record(
        &self,
        transaction: &Transaction,
        outcome: Outcome,
        reply: Option<&str>,
        upstream_reply: Option<&str>,
    ) {
        let now = Timestamp::now();
        for recipient in &transaction.recipients {
            let entry = self.entry(transaction, recipient, now, outcome, reply, upstream_reply);
            self.context
                .metrics
                .verdict(&transaction.stream.name, entry.verdict, entry.reason);
            let delivered = entry.outcome == Some(Outcome::Delivered);
            if let Some(address) = recipient.path.address().filter(|_| delivered) {
                let tenant = &transaction.policy.tenant;
                self.context.learner.relayed(tenant, address.domain());
            }
            self.context.log.write(entry);
        }
        if !transaction.recipients.is_empty() {
            self.context.metrics.transaction(name(transaction, outcome));
        }
    }

    fn entry(
        &self,
        transaction: &Transaction,
        recipient: &Recipient,
        time: Timestamp,
        outcome: Outcome,
        reply: Option<&str>,
        upstream_reply: Option<&str>,
    ) -> Entry {
        let judgement = &recipient.judgement;
        let accepted = matches!(recipient.fate, Fate::Accepted | Fate::Discarded);
        let observed = transaction.is_observed(recipient);
        let reason = judgement.reason.filter(|reason| {
            recipient.verdict() != Verdict::Relay || observed || *reason == Reason::Unavailable
        });
        let also = judgement
            .active
            .iter()
            .copied()
            .filter(|active| Some(*active) != reason);
        Entry {
            time,
            id: transaction.id.clone(),
            tenant: transaction.policy.tenant.clone(),
            listener: Arc::clone(&self.rules.name),
            credential: self.user.as_ref().map(|user| Arc::clone(&user.name)),
            client: self.client,
            stream: transaction.stream.name.as_str().into(),
            campaign: transaction.campaign.clone(),
            message_id: transaction.message_id.clone(),
            recipient: recipient
                .path
                .address()
                .map_or_else(|| "postmaster".to_owned(), ToString::to_string),
            key: recipient.key,
            verdict: if observed {
                judgement.verdict
            } else {
                recipient.verdict()
            },
            reason,
            also: also.collect(),
            since: reason.and(judgement.since),
            observed,
            reply: if accepted {
                reply.map(str::to_owned).or_else(|| recipient.reply.clone())
            } else {
                recipient.reply.clone()
            },
            upstream_reply: match recipient.fate {
                Fate::Accepted => upstream_reply
                    .map(str::to_owned)
                    .or_else(|| recipient.upstream_reply.clone()),
                _ => recipient.upstream_reply.clone(),
            },
            outcome: recipient.outcome(outcome),
        }
    }
}

/// What the counter of transactions calls this one.
fn name(transaction: &Transaction, outcome: Outcome) -> &'static str {
    if transaction.accepted().next().is_none() {
        let discarded = transaction
            .recipients
            .iter()
            .any(|r| r.fate == Fate::Discarded);
        return if discarded { "discarded" } else { "refused" };
    }
    match outcome {
        Outcome::Delivered => "delivered",
        Outcome::Refused => "refused",
        Outcome::Aborted => "aborted",
        Outcome::Indeterminate => "indeterminate",
    }
}

/// A name for a transaction: unique in this process, and hardly ever met twice anywhere.
pub(in crate::gateway) fn transaction_id() -> String {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    static PROCESS: LazyLock<u32> = LazyLock::new(std::process::id);
    const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Milliseconds of the last decades, then the process, then the count.
    let mut value = (u128::from(Timestamp::now().millis()) << 34)
        | (u128::from(*PROCESS & 0x3fff) << 20)
        | u128::from(count & 0xf_ffff);
    let mut text = [0u8; 16];
    for place in text.iter_mut().rev() {
        *place = DIGITS[(value & 31) as usize];
        value >>= 5;
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::transaction_id;

    #[test]
    fn ids_differ() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| transaction_id()).collect();
        assert_eq!(ids.len(), 10_000);
        assert!(ids.iter().all(|id| id.len() == 16));
    }
}
