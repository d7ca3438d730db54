//! The [`Intake`] reads what came back and makes the record say what it proves.
//!
//! The listener, LMTP and the admin API hand in their [`Letter`]s here. When [`Intake::take_in`]
//! returns, everything that was learnt is durable (B6); telling it again changes nothing (B4).

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::admission::Seals;
use super::lookups::Lookups;
use super::proof::{self, Case, Heading, Lesson, Named, Witness};
use super::teaching::teach;
use crate::bounce::{Effect, Fault, Kind, Limits, Reader, Report};
use crate::gateway::settings::Context;
use crate::log::without_addresses;
use crate::mail::Address;
use crate::store::StoreError;
use crate::suppression::{RecipientKey, Tenant};
use crate::timestamp::Timestamp;
use crate::token::{Label, Token, TokenKind, hidden};

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
    /// Whether they may show signed addresses that have expired, as an archive does.
    pub archive: bool,
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
    /// What decides nothing: the record was set right since (B9), or the message is older than
    /// `learning.remember`.
    pub outdated: usize,
    /// Changes that the brake holds until an operator has looked.
    pub held: usize,
}

/// What vouches for a message.
enum Proof {
    Token {
        token: Token,
        label: Label,
        sent: Arc<[RecipientKey]>,
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
    /// When the store does not answer, or not within `timeouts.learning`. Part of it may have been
    /// recorded; the whole may be told again.
    pub async fn take_in(&self, letter: Letter<'_>) -> Result<Taken, StoreError> {
        let patience = self.context.settings.load().timeouts.learning;
        let taken = tokio::time::timeout(patience, self.learn_from(letter)).await;
        taken.unwrap_or_else(|_| {
            let why = "learning took longer than timeouts.learning".to_owned();
            Err(StoreError::Unavailable(why))
        })
    }

    async fn learn_from(&self, letter: Letter<'_>) -> Result<Taken, StoreError> {
        let bearer = letter.bearer;
        let digest = Sha256::digest(&letter.message);
        let heading = Heading::read(&letter.message, bearer.hostname);
        let report = self.read(letter.message).await;
        let kind = kind_name(report.kind);
        self.context.metrics.report(kind);
        let proofs = self
            .proofs(letter.tokens, &report, &heading, bearer, letter.seals)
            .await?;
        let lessons = self.lessons(&proofs, &report, &heading, &digest, bearer, letter.seals);
        let taught = teach(self.context, lessons, bearer.via).await?;
        let taken = Taken {
            kind: kind.to_owned(),
            believed: !proofs.is_empty(),
            counted: taught.counted,
            known: taught.known,
            outdated: taught.outdated,
            held: taught.held,
        };
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

    /// What follows from each of the proofs.
    fn lessons(
        &self,
        proofs: &[Proof],
        report: &Report,
        heading: &Heading,
        digest: &[u8],
        bearer: Bearer<'_>,
        seals: Seals<'_>,
    ) -> Vec<Lesson> {
        let mut named: HashMap<&Tenant, Named<'_>> = HashMap::new();
        let mut lessons = Vec::new();
        for proof in proofs {
            let tenant = proof.tenant(bearer.tenant);
            let key = |address: &Address| self.context.ledger.key(tenant, address);
            let named = named
                .entry(tenant)
                .or_insert_with(|| Named::of(report, key, |address| seals.is_own(address)));
            lessons.extend(proof::lessons(&Case {
                report,
                heading,
                digest,
                bearer: bearer.name,
                witness: proof.witness(bearer.tenant),
                named,
            }));
        }
        lessons
    }

    /// Off the runtime's own threads: their stacks are small, and a hostile report takes time.
    async fn read(&self, message: Vec<u8>) -> Report {
        let rules = Arc::clone(&self.context.settings.load().bounce_rules);
        let reader = Reader::new(Limits::default(), rules);
        let reading = tokio::task::spawn_blocking(move || {
            let mut report = reader.understand(&message);
            hide_tokens(&mut report);
            report
        });
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
            found = told(report, heading, bearer.archive, seals);
        }
        let mut lookups = Lookups::new(&self.context.ledger);
        let mut proofs = Vec::new();
        for (token, addressed) in found {
            let label = lookups.label(&token).await?;
            let sent = lookups.sent(&token).await?;
            if label.is_none() {
                self.tell_of_lost_label(&token, bearer);
            }
            if sent.is_none() {
                tracing::info!(
                    from = bearer.name,
                    "a report is about a message whose recipients are no longer on record; nothing is learnt"
                );
            }
            proofs.push(Proof::Token {
                token,
                label: label.unwrap_or_default(),
                sent: sent.unwrap_or_default(),
                addressed,
            });
        }
        if proofs.is_empty() && bearer.trusted {
            proofs.push(Proof::Trust);
        }
        Ok(proofs)
    }

    /// The store has lost what a tag stands for. Who asks to be taken off is then taken off
    /// everything: more mail than was wanted is worse than less.
    fn tell_of_lost_label(&self, token: &Token, bearer: Bearer<'_>) {
        self.context.metrics.label_lost();
        tracing::warn!(
            from = bearer.name,
            tenant = %token.tenant,
            kind = ?token.kind,
            "the store no longer knows the stream, campaign and list of a signed address; \
             an unsubscribe mail to it is an opt-out of everything"
        );
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
            let words = match self.context.settings.load().hide_addresses {
                true => without_addresses(words, ""),
                false => Cow::Borrowed(words),
            };
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

/// What a refusing host said likes to quote the return path. It is kept, logged and shown (A5).
fn hide_tokens(report: &mut Report) {
    for recipient in &mut report.recipients {
        if let Some(said) = &mut recipient.diagnostic
            && let Cow::Owned(clean) = hidden(said)
        {
            *said = clean;
        }
    }
}

impl Proof {
    /// Whose list it is about.
    const fn tenant<'a>(&'a self, trusting: &'a Tenant) -> &'a Tenant {
        match self {
            Self::Token { token, .. } => &token.tenant,
            Self::Trust => trusting,
        }
    }

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
fn told(report: &Report, heading: &Heading, archive: bool, seals: Seals<'_>) -> Vec<(Token, bool)> {
    let now = Timestamp::now();
    let mut found: Vec<(Token, bool)> = Vec::new();
    for told in &report.return_paths {
        let Ok(address) = Address::parse(told) else {
            continue;
        };
        let opened = if archive {
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
