//! What `sendgate recipient import` takes.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::cli::import::Request;
use crate::import::Reason;
use crate::suppression::{Scope, Tenant};

/// `sendgate recipient import`.
#[derive(Debug, Clone, Args)]
pub struct ImportArgs {
    /// CSV or one JSON object a line; - is standard input
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The reason of rows that do not say
    #[arg(long, value_name = "REASON")]
    pub reason: Option<GivenReason>,
    /// What opt-outs cover that do not say: '*', list:NAME, topic:NAME or stream:NAME
    #[arg(long, default_value = "*")]
    pub scope: Scope,
    /// Take no notice of this column: its name, or 2 for the second one where there is no header
    #[arg(long, value_name = "COLUMN")]
    pub ignore: Vec<String>,
    /// Where the list came from, kept as the evidence of opt-outs [default: the name of the file]
    #[arg(long, value_name = "NAME")]
    pub source: Option<String>,
    /// A remark, kept with opt-outs and in the audit trail
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
    /// Whose list [default: the only one there is]
    #[arg(long, value_name = "NAME")]
    pub tenant: Option<Tenant>,
    /// Only tell what would be recorded, as if each row were the only one
    #[arg(long)]
    pub dry_run: bool,
    /// Print each row that failed or was skipped as a line of JSON, then the sums as another
    #[arg(long)]
    pub json: bool,
}

/// A reason as it is typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum GivenReason {
    /// They withdrew consent
    OptOut,
    /// Our own decision not to write to them
    DoNotEmail,
    /// The mailbox is permanently not there
    HardBounce,
    /// They called our mail spam
    Complaint,
}

impl ImportArgs {
    /// What to import.
    #[must_use]
    pub fn request(self) -> Request {
        let source = self.source.or_else(|| {
            let name = self.file.file_name()?.to_string_lossy().into_owned();
            Some(name).filter(|name| name != "-")
        });
        Request {
            file: self.file,
            reason: self.reason.map(Reason::from),
            scope: Some(self.scope).filter(|scope| *scope != Scope::All),
            ignored: self.ignore,
            source,
            note: self.note,
            tenant: self.tenant,
            dry_run: self.dry_run,
            json: self.json,
        }
    }
}

impl From<GivenReason> for Reason {
    fn from(reason: GivenReason) -> Self {
        match reason {
            GivenReason::OptOut => Self::OptOut,
            GivenReason::DoNotEmail => Self::DoNotEmail,
            GivenReason::HardBounce => Self::HardBounce,
            GivenReason::Complaint => Self::Complaint,
        }
    }
}
