//! An [`Entry`] is one verdict as the suppression log tells it. Its names are a contract.

use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::suppression::{Reason, RecipientKey, Tenant, Verdict};
use crate::timestamp::Timestamp;

/// One verdict on one recipient of one message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When the verdict took effect.
    pub time: Timestamp,
    /// The transaction, as the client saw it in our replies.
    pub id: Arc<str>,
    /// Whose list was asked.
    pub tenant: Tenant,
    /// The listener, as configured (`127.0.0.1:2525`).
    pub listener: Arc<str>,
    /// Who authenticated, if anybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<Arc<str>>,
    /// The client's address.
    pub client: IpAddr,
    /// The stream the message was judged in.
    pub stream: Arc<str>,
    /// The campaign, where the message names one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<Arc<str>>,
    /// The message's own Message-ID, where its header was seen.
    #[serde(
        default,
        rename = "message-id",
        skip_serializing_if = "Option::is_none"
    )]
    pub message_id: Option<Arc<str>>,
    /// The recipient; with `log.addresses = "hashed"` its domain only.
    pub recipient: String,
    /// The recipient's key, where addresses are hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<RecipientKey>,
    /// What happened.
    pub verdict: Verdict,
    /// Why it was not simply relayed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Every other axis that is active.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<Reason>,
    /// Since when the reason holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// The listener only observes: the verdict is what would have happened, the mail was relayed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub observed: bool,
    /// What the client heard for this recipient: at RCPT, or at end-of-data where it was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<Arc<str>>,
    /// What the upstream said about it, where it was asked.
    #[serde(
        default,
        rename = "upstream-reply",
        skip_serializing_if = "Option::is_none"
    )]
    pub upstream_reply: Option<Arc<str>>,
    /// How the transaction ended, where the upstream was involved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// How a transaction ended for a recipient that was offered upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The upstream took the message.
    Delivered,
    /// The upstream refused the recipient or the message.
    Refused,
    /// Nothing was handed over: the client or the upstream went away before the end of the data.
    Aborted,
    /// The end of the data was sent and no reply came (R6).
    Indeterminate,
}

/// An entry for tests.
#[cfg(test)]
pub(crate) fn example(recipient: &str) -> Entry {
    use crate::suppression::KeyMaker;

    let tenant = Tenant::default();
    let key = crate::mail::Address::parse(recipient)
        .ok()
        .map(|address| KeyMaker::new(b"pepper").key(&tenant, &address));
    Entry {
        time: Timestamp::from_millis(1_795_328_400_123),
        id: "0123456789ab".into(),
        tenant,
        listener: "127.0.0.1:2525".into(),
        credential: None,
        client: [127, 0, 0, 1].into(),
        stream: "campaign".into(),
        campaign: None,
        message_id: None,
        recipient: recipient.to_owned(),
        key,
        verdict: Verdict::Reject,
        reason: Some(Reason::OptOut),
        also: Vec::new(),
        since: None,
        observed: false,
        reply: Some("550 5.7.1 0123456789ab Recipient suppressed (opt-out)".into()),
        upstream_reply: None,
        outcome: None,
    }
}
