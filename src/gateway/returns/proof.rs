//! A [`Case`] is a report beside what vouches for it; its *proof* is the [`Lesson`]s that follow (B2).
//!
//! Pure: who is marked comes from our own signed address, or from the set that was recorded for it.
//! What the report names only confirms. Without an address of ours nothing follows, unless the
//! operator trusts whoever brought the report.

mod heading;
mod named;

use std::collections::{HashMap, HashSet};

pub(super) use heading::Heading;
pub(super) use named::Named;
use named::Recognized;

use crate::bounce::{Cause, Effect, Identity, Kind, Report, ReportedRecipient};
use crate::learning::Source;
use crate::mail::Address;
use crate::suppression::event::{BounceKind, Grounds};
use crate::suppression::{Change, EventId, RecipientKey, Scope, Tenant};
use crate::timestamp::Timestamp;
use crate::token::{Label, Token, TokenKind};

/// A report beside what vouches for it.
pub(super) struct Case<'a> {
    /// What the message says.
    pub(super) report: &'a Report,
    /// Its header, as far as it matters here.
    pub(super) heading: &'a Heading,
    /// Tells messages apart that name themselves alike or not at all.
    pub(super) digest: &'a [u8],
    /// The host that brought it, for when the report names none.
    pub(super) bearer: &'a str,
    /// What vouches for it.
    pub(super) witness: Witness<'a>,
    /// Whom it names, as the witness's tenant knows them.
    pub(super) named: &'a Named<'a>,
}

/// What vouches for a report.
#[derive(Debug, Clone, Copy)]
pub(super) enum Witness<'a> {
    /// An address that we signed.
    Token {
        /// What it says.
        token: &'a Token,
        /// What its tag stands for.
        label: &'a Label,
        /// The recipients that were recorded for it; empty where nothing is on record.
        sent: &'a [RecipientKey],
        /// Whether the mail was sent to this address, rather than telling of it.
        addressed: bool,
    },
    /// Only the operator's word for the source, on behalf of this tenant.
    Trust {
        /// Whose list it is.
        tenant: &'a Tenant,
    },
}

/// One thing that was learnt of one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Lesson {
    /// Tells it from every other: the same lesson twice counts once (B4).
    pub(super) id: EventId,
    /// Whose list.
    pub(super) tenant: Tenant,
    /// Of whom.
    pub(super) key: RecipientKey,
    /// Their address, where the report shows it.
    pub(super) address: Option<String>,
    /// What changes.
    pub(super) change: Change,
    /// When the message was sent, where that is proven (B9).
    pub(super) message_at: Option<Timestamp>,
    /// Who says so.
    pub(super) actor: String,
    /// What the brake compares.
    pub(super) source: Source,
    /// By what the recipient was recognized, for the log.
    pub(super) identity: Identity,
}

/// What the case proves; nothing, more often than not.
pub(super) fn lessons(case: &Case<'_>) -> Vec<Lesson> {
    match case.witness {
        Witness::Trust { tenant } => case.by_trust(tenant),
        Witness::Token {
            token,
            label,
            sent,
            addressed,
        } => match token.kind {
            TokenKind::Recipient => case.about_recipient(token, label).into_iter().collect(),
            TokenKind::Transaction => case.about_set(token, label, sent),
            TokenKind::Unsubscribe => case
                .about_subscriber(token, label, addressed)
                .into_iter()
                .collect(),
        },
    }
}

impl Case<'_> {
    /// A message to one recipient: the report is about them, whatever address it names, because
    /// forwarding changes addresses.
    fn about_recipient(&self, token: &Token, label: &Label) -> Option<Lesson> {
        let key = RecipientKey::from_bytes(token.subject);
        if self.report.kind == Kind::Unsubscribe {
            return Some(self.taken_off(token, Scope::All, label));
        }
        let named: Vec<_> = self.named.all().filter(|one| one.key == key).collect();
        let (recipient, known) = match mildest(&named) {
            Some(one) => (Some(one.recipient), Some(one)),
            // Providers blank out whom they tell of; the signed address shows it all the same.
            None if self.report.kind == Kind::Feedback => (None, None),
            None => {
                let agreed = agreed(&self.report.recipients)?;
                (Some(agreed), self.named.best().next().flatten())
            }
        };
        let change = match recipient {
            Some(recipient) => change(recipient, label, self.report),
            None => feedback(pressed(self.report.feedback?), label, self.report),
        };
        let address = known.map(|known| &known.address);
        let mut lesson = self.signed(token, key, change?, self.source(recipient, address));
        lesson.address = named.first().map(|named| named.address.to_string());
        Some(lesson)
    }

    /// A message to several: only those count that the report names and that were recorded.
    fn about_set(&self, token: &Token, label: &Label, sent: &[RecipientKey]) -> Vec<Lesson> {
        let mut order = Vec::new();
        let mut by_key: HashMap<RecipientKey, Vec<&Recognized<'_>>> = HashMap::new();
        let members: HashSet<_> = sent.iter().collect();
        for named in self
            .named
            .all()
            .filter(|named| members.contains(&named.key))
        {
            let group = by_key.entry(named.key).or_default();
            if group.is_empty() {
                order.push(named.key);
            }
            group.push(named);
        }
        let lesson = |key| {
            let group = by_key.get(&key)?;
            let known = mildest(group)?;
            let change = change(known.recipient, label, self.report)?;
            let source = self.source(Some(known.recipient), Some(&known.address));
            let mut lesson = self.signed(token, key, change, source);
            lesson.address = group.first().map(|named| named.address.to_string());
            lesson.identity = group.first()?.identity;
            Some(lesson)
        };
        order.into_iter().filter_map(lesson).collect()
    }

    /// Mail to an address that takes off: from a person or their mail program, it does. What a
    /// machine answers there of its own accord does not (B5). In a complaint the address shows whom
    /// the message went to.
    fn about_subscriber(&self, token: &Token, label: &Label, addressed: bool) -> Option<Lesson> {
        let asks = match self.report.kind {
            Kind::Feedback => return self.about_recipient(token, label),
            Kind::Unsubscribe => true,
            Kind::Other => addressed && !self.heading.automatic,
            _ => false,
        };
        let scope = label.scope.as_deref().map_or(Ok(Scope::All), str::parse);
        // A scope that cannot be read: more mail is worse than less.
        asks.then(|| self.taken_off(token, scope.unwrap_or(Scope::All), label))
    }

    /// The recipient asked for it now, so it is newer than the message that they answer.
    fn taken_off(&self, token: &Token, scope: Scope, label: &Label) -> Lesson {
        let key = RecipientKey::from_bytes(token.subject);
        let about = self.about(self.heading.message_id.as_deref());
        let evidence = [
            self.heading
                .from
                .as_ref()
                .map(|from| format!("From {from}")),
            self.heading
                .message_id
                .as_ref()
                .map(|id| format!("Message-ID {id}")),
        ];
        let evidence: Vec<_> = evidence.into_iter().flatten().collect();
        Lesson {
            id: EventId::of(&[b"letter", &token.identity(), key.as_bytes(), about]),
            tenant: token.tenant.clone(),
            key,
            address: None,
            change: Change::OptOut {
                scope,
                grounds: Grounds {
                    campaign: label.campaign.clone(),
                    reason: Some("mail to a signed address".to_owned()),
                    evidence: (!evidence.is_empty()).then(|| evidence.join(", ")),
                    ..Grounds::default()
                },
            },
            message_at: None,
            actor: "recipient".to_owned(),
            source: Source::default(),
            identity: Identity::ReturnPath,
        }
    }

    /// Nobody's signature: the report is believed as the operator wishes.
    fn by_trust(&self, tenant: &Tenant) -> Vec<Lesson> {
        let label = Label::default();
        let about = self.about(self.report.message_id.as_deref());
        let lesson = |named: Option<&Recognized<'_>>| {
            let named = named?;
            let recipient = named.recipient;
            let change = change(recipient, &label, self.report)?;
            let id = EventId::of(&[
                b"report",
                tenant.as_str().as_bytes(),
                about,
                named.address.as_str().as_bytes(),
                word(&change).as_bytes(),
            ]);
            Some(Lesson {
                id,
                tenant: tenant.clone(),
                key: named.key,
                address: Some(named.address.to_string()),
                change,
                message_at: None,
                actor: self.actor(),
                source: self.source(Some(recipient), Some(&named.address)),
                identity: named.identity,
            })
        };
        self.named.best().filter_map(lesson).collect()
    }

    fn signed(&self, token: &Token, key: RecipientKey, change: Change, source: Source) -> Lesson {
        let word = word(&change).as_bytes();
        Lesson {
            id: EventId::of(&[b"report", &token.identity(), key.as_bytes(), word]),
            tenant: token.tenant.clone(),
            key,
            address: None,
            change,
            message_at: Some(token.at),
            actor: self.actor(),
            source,
            identity: Identity::ReturnPath,
        }
    }

    /// What names the message; where nothing does, the same bytes are the same report (B4).
    fn about<'s>(&'s self, message_id: Option<&'s str>) -> &'s [u8] {
        message_id.map_or(self.digest, str::as_bytes)
    }

    fn actor(&self) -> String {
        let reporter = self.report.reporting_mta.as_deref();
        reporter.unwrap_or(self.bearer).to_owned()
    }

    fn source(&self, recipient: Option<&ReportedRecipient>, address: Option<&Address>) -> Source {
        Source {
            provider: address.map_or_else(String::new, |address| address.domain().to_owned()),
            host: self.actor().to_ascii_lowercase(),
            words: recipient
                .and_then(|recipient| recipient.diagnostic.clone())
                .unwrap_or_default(),
        }
    }
}

/// What this recipient's mail came to, as a change of their record.
fn change(recipient: &ReportedRecipient, label: &Label, report: &Report) -> Option<Change> {
    let bounce = |kind| Change::Bounce {
        kind,
        reason: Some(recipient.reason.name().to_owned()),
        status: recipient.status,
        diagnostic: recipient.diagnostic.clone(),
        campaign: label.campaign.clone(),
    };
    match recipient.effect {
        Effect::Hard => Some(bounce(BounceKind::Hard)),
        Effect::Soft => Some(bounce(BounceKind::Soft)),
        other => feedback(other, label, report),
    }
}

/// What a mailbox provider passed on, as a change of the record.
fn feedback(effect: Effect, label: &Label, report: &Report) -> Option<Change> {
    match effect {
        Effect::Complaint => Some(Change::Complaint {
            stream: label.stream.clone(),
            campaign: label.campaign.clone(),
        }),
        Effect::OptOut => Some(Change::OptOut {
            scope: Scope::All,
            grounds: Grounds {
                campaign: label.campaign.clone(),
                reason: Some("opt-out report of a mailbox provider".to_owned()),
                evidence: report.message_id.clone(),
                ..Grounds::default()
            },
        }),
        Effect::Hard | Effect::Soft | Effect::None => None,
    }
}

/// What the person behind a feedback report wants, whom the report does not name.
const fn pressed(cause: Cause) -> Effect {
    match cause {
        Cause::Complaint => Effect::Complaint,
        Cause::OptOut => Effect::OptOut,
        _ => Effect::None,
    }
}

/// What the event counts as; part of its id.
const fn word(change: &Change) -> &'static str {
    match change {
        Change::Bounce {
            kind: BounceKind::Hard,
            ..
        } => "hard",
        Change::Bounce {
            kind: BounceKind::Soft,
            ..
        } => "soft",
        change => change.name(),
    }
}

/// Of several accounts of one recipient the mildest: an address that leads to two mailboxes, one of
/// them gone, is not dead.
fn mildest<'r, 'a>(accounts: &[&'r Recognized<'a>]) -> Option<&'r Recognized<'a>> {
    let severity = |account: &&&Recognized<'_>| match account.recipient.effect {
        Effect::None => 0,
        Effect::Soft => 1,
        Effect::OptOut => 2,
        Effect::Complaint => 3,
        Effect::Hard => 4,
    };
    accounts.iter().min_by_key(severity).copied()
}

/// Where the report names others than the recipient, all of them must have fared alike, and it must
/// be a report on each: fields say so, or a code does. An address in mere words is anybody's.
fn agreed(recipients: &[ReportedRecipient]) -> Option<&ReportedRecipient> {
    let (first, others) = recipients.split_first()?;
    let alike = others.iter().all(|other| other.effect == first.effect);
    (alike && recipients.iter().all(is_reported)).then_some(first)
}

fn is_reported(recipient: &ReportedRecipient) -> bool {
    let in_words = matches!(
        recipient.identity,
        Identity::Text | Identity::ReturnedHeader
    );
    !in_words || recipient.status.is_some() || recipient.reply_code.is_some()
}

#[cfg(test)]
mod tests;
