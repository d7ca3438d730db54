//! `sendgate bounce ingest` hands returned mail that was kept elsewhere to the running gateway.
//!
//! The gateway learns from it as if it had come to the returns listener; what was learnt before
//! changes nothing, so the same files may be given again.

mod mailbag;

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use comfy_table::Table;
use comfy_table::presets::NOTHING;
use futures_util::StreamExt;
use futures_util::stream;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;

use super::client::{Client, ClientError, encode, parse};
use super::text;
use crate::config::Config;
use crate::gateway::returns::Taken;
use crate::suppression::Tenant;
use mailbag::Item;

/// Messages that are handed in at the same time: the gateway has other work too.
const AT_ONCE: usize = 4;

/// Failures that are kept for the answer in JSON; all are written to standard error.
const FAILURES_KEPT: usize = 100;

/// What to hand in.
#[derive(Debug, Clone)]
pub struct Request {
    /// Files, Maildirs, mboxes; `-` is standard input.
    pub paths: Vec<PathBuf>,
    /// Whose list; the gateway knows which where there is only one.
    pub tenant: Option<Tenant>,
    /// Believe also what nothing signed vouches for.
    pub trust_unsigned: bool,
    /// Print the sums as JSON.
    pub json: bool,
}

/// What became of all of it.
#[derive(Debug, Default, Serialize)]
struct Summary {
    messages: u64,
    kinds: BTreeMap<String, Sums>,
    failed: u64,
    failures: Vec<Failure>,
}

/// Messages of one kind; each counts in one of the columns.
#[derive(Debug, Default, Serialize)]
struct Sums {
    messages: u64,
    /// Something changed.
    counted: u64,
    /// All of it was known.
    known: u64,
    /// The record was set right since, or the message is too old.
    outdated: u64,
    /// The brake holds it.
    held: u64,
    /// Nothing follows from it.
    nothing: u64,
    /// No signed address vouches for it.
    not_believed: u64,
}

#[derive(Debug, Serialize)]
struct Failure {
    place: String,
    error: String,
}

/// Hands in all of it and prints the sums.
///
/// # Errors
/// When the gateway cannot be asked, or when a message could not be read or taken; the others were.
pub async fn run(request: Request, config: &Config) -> anyhow::Result<()> {
    let limit = usize::try_from(config.limits.report_size_limit).unwrap_or(usize::MAX);
    let progress = progress(&request.paths);
    let client = Client::new(&config.http.socket);
    let mut summary = Summary::default();
    let handed_in = hand_in(&request, limit, &client, &progress, &mut summary).await;
    progress.finish_and_clear();
    handed_in?;
    let told = if request.json {
        serde_json::to_string(&summary)? + "\n"
    } else {
        summary.for_people()
    };
    text::print(&told)?;
    anyhow::ensure!(
        summary.failed == 0,
        "{} could not be taken in; the others were, and giving all of it again does no harm",
        count(summary.failed, "message")
    );
    Ok(())
}

async fn hand_in(
    request: &Request,
    limit: usize,
    client: &Client,
    progress: &ProgressBar,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let path = path(request);
    let mut items = read(request.paths.clone(), limit);
    let mut answers = stream::poll_fn(|context| items.poll_recv(context))
        .map(|item| answer(item, client, &path))
        .buffer_unordered(AT_ONCE);
    while let Some((place, read, answer)) = answers.next().await {
        progress.inc(if progress.length().is_some() { read } else { 1 });
        match answer {
            Ok(taken) => summary.add(&taken),
            // Nothing more can be handed in.
            Err(Trouble::Gateway(
                error @ (ClientError::NotRunning(_)
                | ClientError::Forbidden(_)
                | ClientError::Path(_)),
            )) => return Err(error.into()),
            Err(trouble) => {
                let error = trouble.to_string();
                progress.suspend(|| {
                    let _ = writeln!(io::stderr(), "{place}: {error}");
                });
                summary.fail(place, error);
            }
        }
        progress.set_message(summary.progress());
    }
    Ok(())
}

fn path(request: &Request) -> String {
    let tenant = request.tenant.as_ref();
    let tenant = tenant.map(|tenant| format!("tenant={}", encode(tenant.as_str())));
    let trust = request
        .trust_unsigned
        .then(|| "trust_unsigned=true".to_owned());
    let query: Vec<_> = tenant.into_iter().chain(trust).collect();
    match query.as_slice() {
        [] => "/v1/bounces".to_owned(),
        query => format!("/v1/bounces?{}", query.join("&")),
    }
}

/// Why a message was not taken in.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("cannot be read: {0}")]
    File(#[from] io::Error),
    #[error(transparent)]
    Gateway(#[from] ClientError),
}

async fn answer(item: Item, client: &Client, path: &str) -> (String, u64, Result<Taken, Trouble>) {
    let answer = async {
        let text = client.post_message(path, item.message?).await?;
        Ok(parse(&text)?)
    };
    let answer = answer.await;
    (item.place, item.read, answer)
}

/// Reads the messages on a thread of its own, no faster than they are taken.
fn read(paths: Vec<PathBuf>, limit: usize) -> mpsc::Receiver<Item> {
    let (sender, receiver) = mpsc::channel(AT_ONCE);
    tokio::task::spawn_blocking(move || {
        for path in &paths {
            if !mailbag::each(path, limit, &mut |item| sender.blocking_send(item).is_ok()) {
                return;
            }
        }
    });
    receiver
}

/// A bar on a terminal, nothing elsewhere. Where the size of all of it is not known, it counts.
fn progress(paths: &[PathBuf]) -> ProgressBar {
    let sizes: Option<Vec<u64>> = paths
        .iter()
        .map(|path| mailbag::size(Path::new(path)))
        .collect();
    let (bar, template) = match sizes {
        Some(sizes) => (
            ProgressBar::new(sizes.iter().sum()),
            "{bar:30} {bytes} of {total_bytes}, {eta} left  {msg}",
        ),
        None => (
            ProgressBar::no_length(),
            "{spinner} {pos} messages, {per_sec}  {msg}",
        ),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl Summary {
    fn add(&mut self, taken: &Taken) {
        self.messages += 1;
        let sums = self.kinds.entry(taken.kind.clone()).or_default();
        sums.messages += 1;
        // The strongest of what became of its recipients.
        let column = if taken.counted > 0 {
            &mut sums.counted
        } else if taken.held > 0 {
            &mut sums.held
        } else if taken.outdated > 0 {
            &mut sums.outdated
        } else if taken.known > 0 {
            &mut sums.known
        } else if !taken.believed {
            &mut sums.not_believed
        } else {
            &mut sums.nothing
        };
        *column += 1;
    }

    fn fail(&mut self, place: String, error: String) {
        self.failed += 1;
        if self.failures.len() < FAILURES_KEPT {
            self.failures.push(Failure { place, error });
        }
    }

    fn progress(&self) -> String {
        let counted: u64 = self.kinds.values().map(|sums| sums.counted).sum();
        format!("{counted} counted, {} failed", self.failed)
    }

    fn for_people(&self) -> String {
        let mut table = Table::new();
        table.load_style(NOTHING);
        table.set_header([
            "kind",
            "messages",
            "counted",
            "already known",
            "too late",
            "held",
            "nothing to learn",
            "not believed",
        ]);
        for (kind, sums) in &self.kinds {
            let numbers = [
                sums.messages,
                sums.counted,
                sums.known,
                sums.outdated,
                sums.held,
                sums.nothing,
                sums.not_believed,
            ];
            let cells = numbers.iter().map(ToString::to_string);
            table.add_row(std::iter::once(kind.clone()).chain(cells));
        }
        let mut told = format!("{} taken in\n", count(self.messages, "message"));
        if !self.kinds.is_empty() {
            told.push_str(&format!("{}\n", table.trim_fmt()));
        }
        let not_believed: u64 = self.kinds.values().map(|sums| sums.not_believed).sum();
        if not_believed > 0 {
            told.push_str(&format!(
                "{} not believed: no address that we signed vouches for it; --trust-unsigned believes it\n",
                count(not_believed, "message")
            ));
        }
        told
    }
}

fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(kind: &str, counted: usize, known: usize) -> Taken {
        Taken {
            kind: kind.to_owned(),
            believed: true,
            counted,
            known,
            outdated: 0,
            held: 0,
        }
    }

    #[test]
    fn each_message_counts_in_one_column() {
        let mut summary = Summary::default();
        for taken in [
            taken("bounce", 1, 2),
            taken("bounce", 0, 1),
            taken("other", 0, 0),
        ] {
            summary.add(&taken);
        }
        let bounces = &summary.kinds["bounce"];
        assert_eq!(
            (bounces.messages, bounces.counted, bounces.known),
            (2, 1, 1)
        );
        assert_eq!(summary.kinds["other"].nothing, 1);
        let told = summary.for_people();
        assert!(told.starts_with("3 messages taken in\n"), "{told}");
        assert!(told.contains("already known"), "{told}");
    }

    #[test]
    fn failures_are_counted_and_kept_within_bounds() {
        let mut summary = Summary::default();
        for number in 0..1000 {
            summary.fail(number.to_string(), "unreadable".to_owned());
        }
        assert_eq!(
            (summary.failed, summary.failures.len()),
            (1000, FAILURES_KEPT)
        );
        assert_eq!(count(1, "message"), "1 message");
    }
}
