//! What was [`Learnt`] of a recipient from mail that did not arrive.

use std::time::Duration;

use anyhow::bail;
use tokio::time::Instant;

use super::campaign::{Recipient, Role};
use super::mailbox::Mailbox;
use super::stage::Memory;
use crate::mail::EnhancedStatus;
use crate::suppression::event::BounceKind;
use crate::suppression::policy::MessageScopes;
use crate::suppression::record::Bounces;
use crate::suppression::{Change, Finding, Record, Verdict, judge};
use crate::timestamp::Timestamp;

/// How long all reports may take to come back and be counted.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often the records are looked at meanwhile.
const INTERVAL: Duration = Duration::from_millis(5);

/// What is on record of a recipient that bounced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Learnt {
    /// Whether one is enough.
    pub(crate) kind: BounceKind,
    /// How many messages came back.
    pub(crate) count: u32,
    /// The status of the last.
    pub(crate) status: Option<EnhancedStatus>,
    /// How we heard of the last: `returns` or `rcpt`.
    pub(crate) via: String,
    /// What the next message of the campaign stream would meet.
    pub(crate) verdict: Verdict,
}

/// Waits until `expected` bounces of each recipient are on record; what is known then, in their order.
///
/// # Errors
/// When some are still missing after ten seconds, or the store does not answer.
pub(crate) async fn wait_for_reports(
    memory: &Memory,
    expected: &[(&Recipient, u32)],
) -> anyhow::Result<Vec<Learnt>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut learnt = Vec::with_capacity(expected.len());
        let mut missing = Vec::new();
        for &(recipient, count) in expected {
            match look(memory, recipient).await? {
                Some(found) if found.count >= count => learnt.push(found),
                _ => missing.push(recipient.address.as_str()),
            }
        }
        if missing.is_empty() {
            return Ok(learnt);
        }
        if Instant::now() >= deadline {
            bail!(
                "reports were not counted within {} seconds: {}",
                PATIENCE.as_secs(),
                missing.join(", ")
            );
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// What is known of one recipient; none if nothing came back.
async fn look(memory: &Memory, recipient: &Recipient) -> anyhow::Result<Option<Learnt>> {
    let Memory {
        ledger,
        tenant,
        stream,
    } = memory;
    let key = ledger.key(tenant, &recipient.address);
    let record = ledger.read(tenant, &key).await?.record;
    let Some((kind, bounces)) = bounces(recipient.role, &record) else {
        return Ok(None);
    };
    let (count, status) = (bounces.count, bounces.status);
    let history = ledger.history(tenant, &key, 1).await?;
    let via = history
        .into_iter()
        .map(|entry| entry.event)
        .find(|event| matches!(event.change, Change::Bounce { .. }))
        .map_or_else(String::new, |event| event.via);
    let finding = Finding::known(&record);
    let judgement = judge(
        &finding,
        stream,
        &MessageScopes::default(),
        Timestamp::now(),
    );
    Ok(Some(Learnt {
        kind,
        count,
        status,
        via,
        verdict: judgement.verdict,
    }))
}

/// The bounces that mail to such a mailbox must leave behind.
fn bounces(role: Role, record: &Record) -> Option<(BounceKind, &Bounces)> {
    match role.mailbox() {
        Mailbox::Fine => None,
        Mailbox::Full => Some((BounceKind::Soft, record.soft.as_ref()?)),
        Mailbox::Unknown | Mailbox::Disabled | Mailbox::NoDomain | Mailbox::KnownUnknown => {
            Some((BounceKind::Hard, record.hard.as_ref()?))
        }
    }
}
