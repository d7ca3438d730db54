//! The [`Intake`] reads what came back and makes the record say what it proves.
//!
//! The listener, LMTP and the admin API hand in their [`Letter`]s here. When [`Intake::take_in`]
//! returns, everything that was learnt is durable (B6); telling it again changes nothing (B4).

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::admission::Seals;
use super::proof::{self, Case, Heading, Lesson, Witness};
use crate::bounce::{Effect, Fault, Kind, Limits, Reader, Report};
use crate::gateway::settings::Context;
use crate::learning::Learnt;
use crate::mail::Address;
use crate::store::StoreError;
use crate::suppression::event::Effect as Outcome;
use crate::suppression::{Event, RecipientKey, Tenant};
use crate::timestamp::Timestamp;
use crate::token::{Label, Token, TokenKind};

/// Longest text of a diagnostic that is logged, in octets.
const WORDS_LIMIT: usize = 200;

/// Reads what came back and learns from it.
#[derive(Clone, Copy)]
pub struct Intake<'a> {
    context: &'a Context,
}

/// A message that came back, and to whom.
#[derive(Debug)]
pub struct Letter<'a> {
    /// The message, dots unstuffed.
    pub message: Vec<u8>,
    /// The signed addresses it was sent to.
    pub tokens: Vec<Token>,
    /// Who brought it.
    pub bearer: Bearer<'a>,
    /// Which addresses are ours.
    pub seals: Seals<'a>,
}

/// Who brings a message.
#[derive(Debug, Clone, Copy)]
pub struct Bearer<'a> {
    /// Host or person, for reports that do not say who wrote them.
    pub name: &'a str,
    /// Whether the operator believes them without proof.
    pub trusted: bool,
    /// Whose list a report changes that proves nothing.
    pub tenant: &'a Tenant,
    /// How it came, as the history tells it.
    pub via: &'static str,
    /// Our name, by which our own Received fields are known.
    pub hostname: &'a str,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// What it was.
    pub kind: String,
    /// Whether anything vouches for it: a signed address, or the operator's trust in its source.
    pub believed: bool,
    /// Changes that were made.
    pub counted: usize,
    /// Changes that had been made before, by this report or another.
    pub known: usize,
    /// What was recorded and decides nothing, because the record was set right since (B9).
    pub outdated: usize,
    /// Changes that the brake holds until an operator has looked.
    pub held: usize,
}

/// What vouches for a message.
enum Proof {
    Token {
        token: Token,
        label: Label,
        sent: Vec<RecipientKey>,
        addressed: bool,
    },
    Trust,
}

impl<'a> Intake<'a> {
    /// The intake of this gateway.
    #[must_use]
    pub const fn of(context: &'a Context) -> Self {
        Self { context }
    }

    /// Reads a message and records what it proves; durable when this returns.
    ///
    /// A message that cannot be read is taken and counted (B7).
    ///
    /// # Errors
    /// When the store does not answer. Part of it may have been recorded; the whole may be told again.
    pub async fn take_in(&self, letter: Letter<'_>) -> Result<Taken, StoreError> {
        let bearer = letter.bearer;
        let digest = Sha256::digest(&letter.message);
        let heading = Heading::read(&letter.message, bearer.hostname);
        let report = self.read(letter.message).await;
        let kind = kind_name(report.kind);
        self.context.metrics.report(kind);
        let proofs = self
            .proofs(letter.tokens, &report, &heading, bearer, letter.seals)
            .await?;
        let mut taken = Taken {
            kind: kind.to_owned(),
            believed: !proofs.is_empty(),
            counted: 0,
            known: 0,
            outdated: 0,
            held: 0,
        };
        for proof in &proofs {
            let lessons = proof::lessons(&Case {
                report: &report,
                heading: &heading,
                digest: &digest,
                bearer: bearer.name,
                witness: proof.witness(bearer.tenant),
                key: &|tenant, address| self.context.ledger.key(tenant, address),
                is_own: &|address| letter.seals.is_own(address),
            });
            for lesson in lessons {
                self.learn(lesson, bearer.via, &mut taken).await?;
            }
        }
        if taken.believed {
            self.tell_operator(&report);
        }
        tracing::info!(
            from = bearer.name,
            kind,
            recipients = report.recipients.len(),
            counted = taken.counted,
            known = taken.known,
            outdated = taken.outdated,
            held = taken.held,
            believed = taken.believed,
            "returned mail read"
        );
        Ok(taken)
    }

    /// Off the runtime's own threads: their stacks are small, and a hostile report takes time.
    async fn read(&self, message: Vec<u8>) -> Report {
        let rules = std::sync::Arc::clone(&self.context.settings.load().bounce_rules);
        let reader = Reader::new(Limits::default(), rules);
        let reading = tokio::task::spawn_blocking(move || reader.understand(&message));
        reading.await.unwrap_or_else(|_| Report::unreadable())
    }

    /// What vouches for the message: the signed addresses it was sent to, else those that it tells
    /// of, else trust.
    async fn proofs(
        &self,
        tokens: Vec<Token>,
        report: &Report,
        heading: &Heading,
        bearer: Bearer<'_>,
        seals: Seals<'_>,
    ) -> Result<Vec<Proof>, StoreError> {
        let mut found: Vec<(Token, bool)> = tokens.into_iter().map(|token| (token, true)).collect();
        if found.is_empty() {
            found = told(report, heading, bearer.trusted, seals);
        }
        let mut proofs = Vec::new();
        for (token, addressed) in found {
            let ledger = &self.context.ledger;
            let text = match token.label {
                0 => None,
                tag => ledger.label(&token.tenant, tag).await?,
            };
            let sent = match token.kind {
                TokenKind::Transaction => ledger.sent(&token.tenant, &token.subject).await?,
                TokenKind::Recipient | TokenKind::Unsubscribe => Some(Vec::new()),
            };
            if sent.is_none() {
                tracing::info!(
                    from = bearer.name,
                    "a report is about a message whose recipients are no longer on record; nothing is learnt"
                );
            }
            proofs.push(Proof::Token {
                token,
                label: text.map(|text| Label::read(&text)).unwrap_or_default(),
                sent: sent.unwrap_or_default(),
                addressed,
            });
        }
        if proofs.is_empty() && bearer.trusted {
            proofs.push(Proof::Trust);
        }
        Ok(proofs)
    }

    async fn learn(
        &self,
        lesson: Lesson,
        via: &'static str,
        taken: &mut Taken,
    ) -> Result<(), StoreError> {
        let Lesson { tenant, key, .. } = lesson;
        tracing::debug!(
            %tenant, %key, event = %lesson.id, change = lesson.change.name(),
            identity = ?lesson.identity, "a report marks a recipient"
        );
        let name = lesson.change.name();
        let event = Event {
            id: lesson.id,
            at: Timestamp::now(),
            actor: lesson.actor,
            via: via.to_owned(),
            message_at: lesson.message_at,
            address: lesson.address,
            change: lesson.change,
        };
        let learner = &self.context.learner;
        match learner.learn(&tenant, &key, event, &lesson.source).await? {
            Learnt::Recorded(recorded) => {
                self.context.metrics.recorded(name, recorded.effect);
                match recorded.effect {
                    Some(Outcome::Changed) => taken.counted += 1,
                    Some(Outcome::Outdated) => taken.outdated += 1,
                    Some(Outcome::AlreadySo | Outcome::Dropped) | None => taken.known += 1,
                }
            }
            Learnt::Held => taken.held += 1,
        }
        Ok(())
    }

    /// Failures are counted by reason. Those for which nobody's record changes, because the sender
    /// or the path is at fault, are the operator's to mend.
    fn tell_operator(&self, report: &Report) {
        if report.kind != Kind::Bounce {
            return;
        }
        let mut told = Vec::new();
        for recipient in &report.recipients {
            let (reason, fault) = (recipient.reason.name(), recipient.fault);
            self.context.metrics.bounce(reason, fault.name());
            let ours = matches!(fault, Fault::Sender | Fault::Infrastructure);
            if !ours || recipient.effect != Effect::None || told.contains(&reason) {
                continue;
            }
            told.push(reason);
            let address = recipient.original.as_deref().unwrap_or(&recipient.address);
            let provider = address.rsplit_once('@').map_or("", |(_, domain)| domain);
            let words = recipient.diagnostic.as_deref().unwrap_or_default();
            tracing::info!(
                reason,
                fault = fault.name(),
                provider,
                host = report.reporting_mta.as_deref().unwrap_or_default(),
                words = &words[..words.floor_char_boundary(WORDS_LIMIT)],
                "mail came back for no fault of its recipient"
            );
        }
    }
}

impl Proof {
    fn witness<'a>(&'a self, tenant: &'a Tenant) -> Witness<'a> {
        match self {
            Self::Token {
                token,
                label,
                sent,
                addressed,
            } => Witness::Token {
                token,
                label,
                sent,
                addressed: *addressed,
            },
            Self::Trust => Witness::Trust { tenant },
        }
    }
}

/// The signed addresses that a report tells of, each with whether the mail was sent to it. A return
/// path says more than an address that takes off, which stands in the message itself.
fn told(report: &Report, heading: &Heading, trusted: bool, seals: Seals<'_>) -> Vec<(Token, bool)> {
    let now = Timestamp::now();
    let mut found: Vec<(Token, bool)> = Vec::new();
    for told in &report.return_paths {
        let Ok(address) = Address::parse(told) else {
            continue;
        };
        let opened = if trusted {
            seals.open_trusted(&address)
        } else {
            seals.open(&address, now)
        };
        if let Ok(token) = opened
            && found.iter().all(|(known, _)| *known != token)
        {
            found.push((token, heading.names(&address)));
        }
    }
    let is_return_path = |(token, _): &(Token, bool)| token.kind != TokenKind::Unsubscribe;
    if report.kind == Kind::Bounce || found.iter().any(is_return_path) {
        found.retain(is_return_path);
    }
    found
}

const fn kind_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Bounce => "bounce",
        Kind::Delayed => "delayed",
        Kind::Delivered => "delivered",
        Kind::Feedback => "feedback",
        Kind::AutoReply => "autoreply",
        Kind::Unsubscribe => "unsubscribe",
        Kind::Other => "other",
        Kind::Unreadable => "unreadable",
    }
}

impl std::fmt::Debug for Intake<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Intake")
    }
}
