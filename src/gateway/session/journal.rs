//! What the suppression log and the counters are told when a transaction ends.

use std::net::IpAddr;
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
        if let Some(current) = self.current.take() {
            let Current {
                transaction,
                mut relay,
                ..
            } = *current;
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
        if transaction.recipients.is_empty() {
            return;
        }
        let page = self.page(transaction, outcome, reply, upstream_reply);
        let tenant = &transaction.policy.tenant;
        let mut entries = Vec::with_capacity(transaction.recipients.len());
        for recipient in &transaction.recipients {
            let entry = page.entry(recipient);
            self.context
                .metrics
                .verdict(&transaction.stream.name, entry.verdict, entry.reason);
            let delivered = entry.outcome == Some(Outcome::Delivered);
            if let Some(address) = recipient.path.address().filter(|_| delivered) {
                self.context.learner.relayed(tenant, address.domain());
            }
            entries.push(entry);
        }
        self.context.log.write(entries);
        self.context.metrics.transaction(name(transaction, outcome));
    }

    fn page<'a>(
        &self,
        transaction: &'a Transaction,
        outcome: Outcome,
        reply: Option<&str>,
        upstream_reply: Option<&str>,
    ) -> Page<'a> {
        Page {
            transaction,
            outcome,
            time: Timestamp::now(),
            id: transaction.id.as_str().into(),
            listener: Arc::clone(&self.rules.name),
            credential: self.user.as_ref().map(|user| Arc::clone(&user.name)),
            client: self.client,
            stream: transaction.stream.name.as_str().into(),
            campaign: transaction.campaign.as_deref().map(Arc::from),
            message_id: transaction.message_id.as_deref().map(Arc::from),
            reply: reply.map(Arc::from),
            upstream_reply: upstream_reply.map(Arc::from),
        }
    }
}

/// What the log tells of every recipient of a transaction; a message may have a thousand.
struct Page<'a> {
    transaction: &'a Transaction,
    outcome: Outcome,
    time: Timestamp,
    id: Arc<str>,
    listener: Arc<str>,
    credential: Option<Arc<str>>,
    client: IpAddr,
    stream: Arc<str>,
    campaign: Option<Arc<str>>,
    message_id: Option<Arc<str>>,
    /// What the client heard at the end of the data.
    reply: Option<Arc<str>>,
    /// What the upstream said there.
    upstream_reply: Option<Arc<str>>,
}

impl Page<'_> {
    fn entry(&self, recipient: &Recipient) -> Entry {
        let judgement = &recipient.judgement;
        let accepted = matches!(recipient.fate, Fate::Accepted | Fate::Discarded);
        let observed = self.transaction.is_observed(recipient);
        let reason = judgement.reason.filter(|reason| {
            recipient.verdict() != Verdict::Relay || observed || *reason == Reason::Unavailable
        });
        let also = judgement
            .active
            .iter()
            .copied()
            .filter(|active| Some(*active) != reason);
        let in_the_end = |said: &Option<Arc<str>>, applies: bool| said.clone().filter(|_| applies);
        let at_rcpt = || recipient.upstream_reply.as_ref().map(ToString::to_string);
        Entry {
            time: self.time,
            id: Arc::clone(&self.id),
            tenant: self.transaction.policy.tenant.clone(),
            listener: Arc::clone(&self.listener),
            credential: self.credential.clone(),
            client: self.client,
            stream: Arc::clone(&self.stream),
            campaign: self.campaign.clone(),
            message_id: self.message_id.clone(),
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
            reply: in_the_end(&self.reply, accepted)
                .or_else(|| recipient.heard().map(Arc::from)),
            upstream_reply: in_the_end(&self.upstream_reply, recipient.fate == Fate::Accepted)
                .or_else(|| at_rcpt().map(Arc::from)),
            outcome: recipient.outcome(self.outcome),
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
