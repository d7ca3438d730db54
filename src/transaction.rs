//! A [`Transaction`] is one message on its way: verdicts and upstream replies in, our answers out.
//!
//! It knows no socket and no store. The relay looks up and talks to the upstream; what follows from
//! that for each recipient, for the client and for the log is decided here.

pub mod answers;
pub mod labels;
pub mod received;
pub mod return_path;

use std::sync::Arc;

use crate::config::Mode;
use crate::config::Suppressed;
use crate::log::entry::Outcome;
use crate::mail::{ForwardPath, ReversePath};
use crate::smtp::{MailParameters, RcptParameters, Reply, UpstreamReply};
use crate::suppression::policy::{Judgement, MessageScopes};
use crate::suppression::{Finding, RecipientKey, Stream, Tenant, Verdict, judge};
use crate::timestamp::Timestamp;
use return_path::SignedPath;

/// What decides about the mail of one client: its listener's rules, or its credential's.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whose list is asked.
    pub tenant: Tenant,
    /// The stream of mail that does not say which.
    pub stream: Arc<Stream>,
    /// The streams that a header may choose, the default among them.
    pub choices: Vec<Arc<Stream>>,
    /// What a suppressed recipient hears.
    pub suppressed: Suppressed,
    /// Whether verdicts are enforced.
    pub mode: Mode,
    /// Whether `List-Id` and `X-Sendgate-Topic` are asked for scopes.
    pub scopes: bool,
    /// Whether the return path is signed.
    pub sign: bool,
    /// Whether a message to one recipient that has no List-Unsubscribe gets one.
    pub list_unsubscribe: bool,
}

impl Policy {
    /// Whether a header can take out a recipient that was accepted at RCPT (W14).
    #[must_use]
    pub fn header_may_take_out(&self) -> bool {
        self.mode == Mode::Enforce
            && (self.choices.len() > 1
                || (self.scopes && self.choices.iter().any(|stream| stream.reads_scopes())))
    }

    /// The stream of this name, if a header may choose it.
    #[must_use]
    pub fn choose(&self, name: &str) -> Option<&Arc<Stream>> {
        self.choices
            .iter()
            .find(|stream| stream.name.eq_ignore_ascii_case(name))
    }
}

/// One message on its way.
#[derive(Debug)]
pub struct Transaction {
    /// Names it in replies and in the log.
    pub id: String,
    /// Where reports go, as the client says.
    pub reverse_path: ReversePath,
    /// Where reports go instead, signed by us.
    pub signed: Option<SignedPath>,
    /// What MAIL asked for.
    pub parameters: MailParameters,
    /// In the order they came, refused ones included.
    pub recipients: Vec<Recipient>,
    /// The rules of this client.
    pub policy: Arc<Policy>,
    /// The stream the message is judged in.
    pub stream: Arc<Stream>,
    /// The campaign it names.
    pub campaign: Option<String>,
    /// Its Message-ID.
    pub message_id: Option<String>,
}

/// One recipient of a message.
#[derive(Debug)]
pub struct Recipient {
    /// As the client wrote it.
    pub path: ForwardPath,
    /// What RCPT asked for.
    pub parameters: RcptParameters,
    /// What was looked up; none for a bare postmaster.
    pub key: Option<RecipientKey>,
    /// What the store said.
    pub finding: Finding,
    /// What follows from it.
    pub judgement: Judgement,
    /// What happens.
    pub fate: Fate,
    /// What the client heard instead of the upstream's own reply.
    pub reply: Option<Reply>,
    /// What the upstream said at RCPT.
    pub upstream_reply: Option<UpstreamReply>,
}

/// What happens to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// To be offered upstream.
    Offer,
    /// The upstream took it.
    Accepted,
    /// Told 250 and left out upstream.
    Discarded,
    /// Refused by us.
    Refused,
    /// Refused by the upstream, or not asked because it could not be.
    RefusedUpstream,
}

impl Transaction {
    /// A transaction at its MAIL.
    #[must_use]
    pub fn new(
        id: String,
        reverse_path: ReversePath,
        parameters: MailParameters,
        policy: Arc<Policy>,
    ) -> Self {
        Self {
            id,
            reverse_path,
            signed: None,
            parameters,
            recipients: Vec::new(),
            stream: Arc::clone(&policy.stream),
            policy,
            campaign: None,
            message_id: None,
        }
    }

    /// Judges a recipient at RCPT and adds it; the reply is none if the upstream is to be asked.
    ///
    /// Where a header may choose the stream, the recipient is refused only if every stream it could
    /// choose refuses it; [`Self::rejudge`] decides once the header is known.
    pub fn add(
        &mut self,
        path: ForwardPath,
        parameters: RcptParameters,
        key: Option<RecipientKey>,
        finding: Finding,
        now: Timestamp,
    ) -> Option<Reply> {
        let scopes = MessageScopes::default();
        let by_default = judge(&finding, &self.policy.stream, &scopes, now);
        let may_pass = by_default.verdict == Verdict::Relay
            || self
                .policy
                .choices
                .iter()
                .any(|stream| judge(&finding, stream, &scopes, now).verdict == Verdict::Relay);
        let (fate, reply) = if may_pass || self.policy.mode == Mode::Observe {
            (Fate::Offer, None)
        } else {
            let (fate, reply) = self.suppress(&by_default);
            (fate, Some(reply))
        };
        self.recipients.push(Recipient {
            path,
            parameters,
            key,
            finding,
            judgement: by_default,
            fate,
            reply: reply.clone(),
            upstream_reply: None,
        });
        reply
    }

    /// The fate and the reply of a recipient that must not be offered upstream.
    fn suppress(&self, judgement: &Judgement) -> (Fate, Reply) {
        match judgement.verdict {
            Verdict::Defer => (Fate::Refused, answers::look_up_failed()),
            _ if self.policy.suppressed == Suppressed::Discard => {
                (Fate::Discarded, answers::recipient_ok())
            }
            _ => (Fate::Refused, answers::suppressed(&self.id, judgement)),
        }
    }

    /// Whether the header must be known before the upstream's DATA is opened (step 4 of the story).
    #[must_use]
    pub fn needs_header(&self) -> bool {
        if self.policy.choices.len() > 1 {
            return true;
        }
        let decides = |recipient: &Recipient| match &recipient.finding {
            Finding::Known(known) => known.has_header_scopes() || self.stream.consent_required,
            Finding::Clear => self.stream.consent_required,
            Finding::Unavailable => false,
        };
        self.policy.scopes && self.stream.reads_scopes() && self.accepted().any(decides)
    }

    /// Judges the accepted recipients again now that the header is known; how many were taken out.
    ///
    /// Those that the header's stream does not let pass unchecked are refused, never discarded: the
    /// message must be deferred as a whole.
    pub fn rejudge(
        &mut self,
        stream: Arc<Stream>,
        scopes: &MessageScopes,
        now: Timestamp,
    ) -> usize {
        self.stream = stream;
        let none = MessageScopes::default();
        let scopes = if self.policy.scopes { scopes } else { &none };
        let enforce = self.policy.mode == Mode::Enforce;
        let mut taken_out = 0;
        for recipient in &mut self.recipients {
            if recipient.fate != Fate::Accepted {
                continue;
            }
            recipient.judgement = judge(&recipient.finding, &self.stream, scopes, now);
            if enforce && recipient.judgement.verdict != Verdict::Relay {
                recipient.fate = match recipient.judgement.verdict {
                    Verdict::Defer => Fate::Refused,
                    _ => Fate::Discarded,
                };
                taken_out += 1;
            }
        }
        taken_out
    }

    /// Whether this recipient is mailed only because verdicts are not enforced here.
    ///
    /// Where they are, a recipient whose judgement is against it waits for a header that may let it pass.
    #[must_use]
    pub fn is_observed(&self, recipient: &Recipient) -> bool {
        self.policy.mode == Mode::Observe
            && recipient.judgement.verdict != Verdict::Relay
            && recipient.verdict() == Verdict::Relay
    }

    /// Recipients that the upstream took.
    pub fn accepted(&self) -> impl Iterator<Item = &Recipient> {
        self.recipients
            .iter()
            .filter(|recipient| recipient.fate == Fate::Accepted)
    }

    /// Indices of the recipients with this fate.
    #[must_use]
    pub fn with_fate(&self, fate: Fate) -> Vec<usize> {
        (0..self.recipients.len())
            .filter(|&index| self.recipients[index].fate == fate)
            .collect()
    }
}

impl Recipient {
    /// The verdict as the log tells it.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.fate {
            Fate::Discarded => Verdict::Discard,
            Fate::Refused => self.judgement.verdict,
            Fate::Offer | Fate::Accepted | Fate::RefusedUpstream => Verdict::Relay,
        }
    }

    /// What the client heard at RCPT, or what it heard of this recipient in the end.
    #[must_use]
    pub fn heard(&self) -> Option<String> {
        match (&self.reply, &self.upstream_reply) {
            (Some(reply), _) => Some(reply.to_string()),
            (None, Some(reply)) => Some(answers::of_upstream(reply, false).to_string()),
            (None, None) => None,
        }
    }

    /// How the log tells the end of the transaction for this recipient.
    #[must_use]
    pub const fn outcome(&self, of_message: Outcome) -> Option<Outcome> {
        match self.fate {
            Fate::Accepted => Some(of_message),
            Fate::RefusedUpstream if self.upstream_reply.is_some() => Some(Outcome::Refused),
            // The upstream was not there to be asked.
            Fate::RefusedUpstream => Some(Outcome::Aborted),
            Fate::Offer => Some(Outcome::Aborted),
            Fate::Discarded | Fate::Refused => None,
        }
    }
}

#[cfg(test)]
mod tests;
