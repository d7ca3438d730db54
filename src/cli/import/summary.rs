//! The [`Summary`] of an import: what became of the rows, for people or as JSON.

use std::io::{self, Write};

use indicatif::ProgressBar;
use serde::Serialize;

use super::Request;
use super::chunks::Left;
use crate::cli::text::{self, plain};
use crate::http::answer::{Ended, Taken};
use crate::suppression::Tenant;

/// Rows that failed and are shown to people.
const FAILURES_SHOWN: u64 = 20;

/// What became of the rows so far.
pub(super) struct Summary {
    name: String,
    json: bool,
    dry_run: bool,
    rows: u64,
    pub(super) ended: Ended,
    /// Of those that failed: rows that were never sent.
    pub(super) failed_here: u64,
    pub(super) progress: ProgressBar,
}

/// A row that was not taken, as JSON.
#[derive(Serialize)]
struct LeftLine<'a> {
    line: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<&'a str>,
}

/// The sums as JSON.
#[derive(Serialize)]
struct Sums<'a> {
    tenant: &'a Tenant,
    dry_run: bool,
    rows: u64,
    #[serde(flatten)]
    ended: &'a Ended,
}

impl Summary {
    pub(super) fn new(request: &Request, progress: ProgressBar) -> Self {
        Self {
            name: request.file.display().to_string(),
            json: request.json,
            dry_run: request.dry_run,
            rows: 0,
            ended: Ended::default(),
            failed_here: 0,
            progress,
        }
    }

    /// Counts rows that were sent.
    pub(super) fn take(&mut self, rows: usize, position: u64, taken: &Taken) {
        self.rows += rows as u64;
        self.ended.recorded += taken.recorded;
        self.ended.known += taken.known;
        self.ended.outdated += taken.outdated;
        // Answers may come in another order than the rows.
        self.progress
            .set_position(position.max(self.progress.position()));
        self.progress.set_message(format!(
            "{} recorded, {} failed",
            self.ended.recorded, self.ended.failed
        ));
    }

    /// Counts and tells a row that was never sent.
    pub(super) fn leave(&mut self, left: &Left) -> io::Result<()> {
        self.rows += 1;
        if left.skipped {
            self.ended.skipped += 1;
            return self.tell(left);
        }
        self.failed_here += 1;
        self.fail(left)
    }

    /// Counts and tells a row that could not be taken.
    pub(super) fn fail(&mut self, left: &Left) -> io::Result<()> {
        self.ended.failed += 1;
        self.tell(left)
    }

    fn tell(&self, left: &Left) -> io::Result<()> {
        if self.json {
            let line = serde_json::to_string(&LeftLine {
                line: left.line,
                error: Some(left.why.as_str()).filter(|_| !left.skipped),
                skipped: Some(left.why.as_str()).filter(|_| left.skipped),
            })?;
            return self
                .progress
                .suspend(|| text::print(&format!("{line}\n")))
                .map(|_| ());
        }
        if left.skipped || self.ended.failed > FAILURES_SHOWN {
            return Ok(());
        }
        self.progress.suspend(|| {
            let (name, line, why) = (&self.name, left.line, plain(&left.why));
            let _ = writeln!(io::stderr(), "{name}, line {line}: {why}");
        });
        Ok(())
    }

    /// Prints the sums; an error where a row failed.
    pub(super) fn print(&self, tenant: &Tenant) -> anyhow::Result<()> {
        text::print(&if self.json {
            let sums = Sums {
                tenant,
                dry_run: self.dry_run,
                rows: self.rows,
                ended: &self.ended,
            };
            serde_json::to_string(&sums)? + "\n"
        } else {
            self.for_people()
        })?;
        let failed = self.ended.failed;
        anyhow::ensure!(
            failed == 0,
            "{failed} of {} rows could not be taken{}",
            self.rows,
            if failed > FAILURES_SHOWN && !self.json {
                "; --json shows all of them"
            } else {
                ""
            }
        );
        Ok(())
    }

    fn for_people(&self) -> String {
        let ended = &self.ended;
        let recorded = if self.dry_run {
            "would be recorded"
        } else {
            "recorded"
        };
        let mut told = format!("{} rows read\n", self.rows);
        for (number, what) in [
            (ended.recorded, recorded),
            (ended.known, "already known"),
            (ended.outdated, "older than a reset or an opt-in"),
            (ended.skipped, "not carried over: soft bounces and blocks"),
            (ended.failed, "failed"),
        ] {
            if number > 0 || what == recorded {
                told.push_str(&format!("{number:>10} {what}\n"));
            }
        }
        told
    }
}
