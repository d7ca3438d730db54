//! What the commands take, as it is typed.

mod import;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::de::DeserializeOwned;
use serde::de::IntoDeserializer;
use serde::de::value::StrDeserializer;

pub use self::import::{GivenReason, ImportArgs};
use super::{log, recipient};
use crate::suppression::{Reason, Scope, Tenant, Verdict};
use crate::timestamp::Timestamp;

/// `sendgate demo`.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// End after the sample campaign instead of leaving the gateway running
    #[arg(long)]
    pub once: bool,
}

/// `sendgate recipient`.
#[derive(Debug, Clone, Args)]
pub struct RecipientArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RecipientCommand,
}

/// What `sendgate recipient` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum RecipientCommand {
    /// Tell what is known, and whether mail would go through
    Show {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
    },
    /// Tell what happened
    History {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
        /// At most so many entries
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
    },
    /// Record that consent was withdrawn
    OptOut {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
        /// Of what, and why.
        #[command(flatten)]
        consent: Consent,
    },
    /// Record that consent was given
    OptIn {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
        /// Of what, and why.
        #[command(flatten)]
        consent: Consent,
    },
    /// Set Do Not Email
    Block {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
        /// Why
        #[arg(long, visible_alias = "why", value_name = "TEXT")]
        reason: Option<String>,
        /// When it ends by itself: 2026-12-24 or 2026-12-24T18:00:00Z
        #[arg(long, value_name = "TIME", value_parser = moment)]
        until: Option<Timestamp>,
    },
    /// Clear Do Not Email
    Unblock {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Set bounces back to none; both kinds unless one is named
    ResetBounces {
        /// Which recipient.
        #[command(flatten)]
        who: Who,
        /// The hard ones
        #[arg(long)]
        hard: bool,
        /// The soft ones
        #[arg(long)]
        soft: bool,
        /// Why
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Carry over a suppression list that was kept elsewhere; twice is as good as once
    ///
    /// An import adds and never clears. Each row has an address, and may have a reason, a time, a
    /// scope, a status, a description and a campaign, in columns found by the names of the header.
    Import(ImportArgs),
}

/// What `sendgate recipient` is to do.
#[derive(Debug, Clone)]
pub enum RecipientRequest {
    /// Something with one recipient.
    One(recipient::Request),
    /// Import a list.
    Import(super::import::Request),
}

/// Which recipient, and how to answer.
#[derive(Debug, Clone, Args)]
pub struct Who {
    /// The address, in any spelling
    pub address: String,
    /// Whose list [default: the only one there is]
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<Tenant>,
    /// Print the gateway's answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// What consent is about, and on what grounds.
#[derive(Debug, Clone, Args)]
pub struct Consent {
    /// What it covers: '*', list:NAME, topic:NAME or stream:NAME
    #[arg(long, default_value = "*")]
    pub scope: Scope,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// A remark
    #[arg(long, value_name = "TEXT")]
    pub comment: Option<String>,
    /// What proves it: a ticket, a form, a recording
    #[arg(long, value_name = "TEXT")]
    pub evidence: Option<String>,
}

/// `sendgate pending`.
#[derive(Debug, Clone, Args)]
pub struct PendingArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: PendingCommand,
}

/// What `sendgate pending` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum PendingCommand {
    /// Show the causes whose hard bounces are held, and how many
    List {
        /// Only of this list [default: all]
        #[arg(long, value_name = "NAME")]
        tenant: Option<Tenant>,
        /// Print the gateway's answer as JSON
        #[arg(long)]
        json: bool,
    },
    /// They are right: record them, and hold nothing of the cause for 24 hours
    Accept {
        /// Which.
        #[command(flatten)]
        which: Which,
    },
    /// They are wrong: count none of them; the history of each recipient tells so
    Drop {
        /// Which.
        #[command(flatten)]
        which: Which,
    },
}

/// Which pending bounces, and why so.
#[derive(Debug, Clone, Args)]
pub struct Which {
    /// The cause, as the list shows it
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    pub cause: Option<String>,
    /// Every cause that is pending
    #[arg(long)]
    pub all: bool,
    /// Only of this list [default: all]
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<Tenant>,
    /// Why
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Print what was done as JSON, one line for each cause
    #[arg(long)]
    pub json: bool,
}

/// `sendgate undo`.
#[derive(Debug, Clone, Args)]
pub struct UndoArgs {
    /// Learnt from then on: 2026-11-22, 2026-11-22T06:20:00Z, or how long ago, as in 90m or 2days
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Timestamp,
    /// Learnt until then
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub until: Option<Timestamp>,
    /// For this reason, as the history shows it: user_unknown, mailbox_full, complaint, opt_out, ...
    #[arg(long, value_name = "REASON", required_unless_present = "diagnostic")]
    pub reason: Option<String>,
    /// With this text in the words of the host that refused
    #[arg(long, value_name = "TEXT")]
    pub diagnostic: Option<String>,
    /// Whose list [default: the only one there is]
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<Tenant>,
    /// Only tell what would be undone
    #[arg(long)]
    pub dry_run: bool,
    /// Why they are wrong, kept in the history of each recipient; needed unless it is a dry run
    #[arg(long, value_name = "TEXT", required_unless_present = "dry_run")]
    pub comment: Option<String>,
    /// Print what was done as JSON
    #[arg(long)]
    pub json: bool,
}

/// `sendgate log`.
#[derive(Debug, Clone, Default, Args)]
pub struct LogArgs {
    /// Go on with what comes
    #[arg(long, short)]
    pub follow: bool,
    /// Print the lines as they are
    #[arg(long)]
    pub json: bool,
    /// Only this reason: opt-out, do-not-email, hard-bounce, soft-bounce, complaint, erased,
    /// no-consent, unavailable
    #[arg(long, value_parser = word::<Reason>)]
    pub reason: Option<Reason>,
    /// Only this verdict: relay, reject, defer, discard
    #[arg(long, value_parser = word::<Verdict>)]
    pub verdict: Option<Verdict>,
    /// Only this recipient
    #[arg(long, value_name = "ADDRESS")]
    pub recipient: Option<String>,
    /// Only this stream
    #[arg(long, value_name = "NAME")]
    pub stream: Option<String>,
    /// Only this tenant
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<Tenant>,
    /// Only from then on: 2026-11-22, 2026-11-22T06:20:00Z, or how long ago, as in 90m or 2days
    #[arg(long, value_name = "TIME", value_parser = since)]
    pub since: Option<Timestamp>,
}

/// `sendgate bounce`.
#[derive(Debug, Clone, Args)]
pub struct BounceArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BounceCommand,
}

/// What `sendgate bounce` can do.
#[derive(Debug, Clone, Subcommand)]
pub enum BounceCommand {
    /// Say what returned mail means, and which rule decided; needs no gateway
    Explain {
        /// Print one JSON line for each file
        #[arg(long)]
        json: bool,
        /// The files are bare SMTP replies instead of messages
        #[arg(long)]
        text: bool,
        /// Messages; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Hand returned mail to the running gateway, which learns from it; twice is as good as once
    ///
    /// A message is believed where a signed address of ours vouches for it, however old it is. A
    /// message that was sent longer ago than `learning.remember` teaches nothing: nobody could tell
    /// whether it counted before. Of messages without a signed address nobody knows when they were
    /// sent: hand in none that came earlier than that, or those that counted then count again.
    Ingest {
        /// Print the sums as JSON
        #[arg(long)]
        json: bool,
        /// Whose list [default: the only one there is]
        #[arg(long, value_name = "NAME")]
        tenant: Option<Tenant>,
        /// Believe messages without a signed address, too: anybody could have forged them
        /// [default: only where the gateway signs nothing]
        #[arg(long)]
        trust_unsigned: bool,
        /// Messages, mboxes, Maildirs or folders of messages; - is standard input
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
}

impl RecipientArgs {
    /// What to ask of the gateway.
    #[must_use]
    pub fn request(self) -> RecipientRequest {
        use recipient::Command as Ask;
        let (who, command) = match self.command {
            RecipientCommand::Show { who } => (who, Ask::Show),
            RecipientCommand::History { who, limit } => (who, Ask::History { limit }),
            RecipientCommand::OptOut { who, consent } => (
                who,
                Ask::OptOut {
                    scope: Some(consent.scope),
                    reason: consent.reason,
                    comment: consent.comment,
                    evidence: consent.evidence,
                },
            ),
            RecipientCommand::OptIn { who, consent } => (
                who,
                Ask::OptIn {
                    scope: Some(consent.scope),
                    reason: consent.reason,
                    comment: consent.comment,
                    evidence: consent.evidence,
                },
            ),
            RecipientCommand::Block { who, reason, until } => (who, Ask::Block { reason, until }),
            RecipientCommand::Unblock { who, reason } => (who, Ask::Unblock { reason }),
            RecipientCommand::ResetBounces {
                who,
                hard,
                soft,
                reason,
            } => (who, Ask::ResetBounces { hard, soft, reason }),
            RecipientCommand::Import(import) => return RecipientRequest::Import(import.request()),
        };
        RecipientRequest::One(recipient::Request {
            address: who.address,
            tenant: who.tenant.map(|tenant| tenant.to_string()),
            json: who.json,
            command,
        })
    }
}

impl LogArgs {
    /// What to show.
    #[must_use]
    pub fn request(self) -> log::Request {
        log::Request {
            follow: self.follow,
            json: self.json,
            reason: self.reason,
            verdict: self.verdict,
            recipient: self.recipient,
            stream: self.stream,
            tenant: self.tenant,
            since: self.since,
        }
    }
}

fn moment(text: &str) -> Result<Timestamp, String> {
    recipient::parse_moment(text).map_err(|error| error.to_string())
}

/// A moment, or how long ago.
fn since(text: &str) -> Result<Timestamp, String> {
    match humantime::parse_duration(text) {
        Ok(ago) => Ok(Timestamp::now().minus(ago)),
        Err(_) => moment(text).map_err(|error| format!("{error}, or how long ago, as in 90m")),
    }
}

/// A word as the log writes it, with hyphens or underscores.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let text = text.to_lowercase().replace('-', "_");
    let text: StrDeserializer<'_, serde::de::value::Error> = text.as_str().into_deserializer();
    T::deserialize(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests;
