//! `sendgate recipient import` hands a suppression list that was kept elsewhere to the running gateway.
//!
//! The list is read as a stream and sent in requests of bounded size. An import adds and never
//! clears, and the same list twice changes nothing, so one that broke off is simply given again.

mod chunks;
mod summary;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use futures_util::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::client::{Client, encode, parse};
use crate::config::Config;
use crate::http::answer::{Begun, Ended, RowFailure, Taken};
use crate::import::{Reason, Settings};
use crate::suppression::{Scope, Tenant};
use crate::timestamp::Timestamp;
use chunks::{Chunk, Left, Part};
use summary::Summary;

/// Requests that are under way at the same time, so that the gateway never waits for us.
const AT_ONCE: usize = 4;

/// How long a store that takes nothing is waited for: long enough for a restart or a failover.
const PATIENCE: Duration = Duration::from_secs(60);

const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LIMIT: Duration = Duration::from_secs(4);

/// What to import.
#[derive(Debug, Clone)]
pub struct Request {
    /// The list; `-` is standard input.
    pub file: PathBuf,
    /// The reason of rows that do not say.
    pub reason: Option<Reason>,
    /// What opt-outs cover that do not say; none for everything.
    pub scope: Option<Scope>,
    /// Columns to take no notice of.
    pub ignored: Vec<String>,
    /// Where the list came from.
    pub source: Option<String>,
    /// A remark.
    pub note: Option<String>,
    /// Whose list it becomes; the gateway knows which where there is only one.
    pub tenant: Option<Tenant>,
    /// Write nothing.
    pub dry_run: bool,
    /// Print JSON.
    pub json: bool,
}

/// What became of a part of the list.
enum Done {
    Chunk {
        rows: usize,
        position: u64,
        taken: Taken,
        failed: Vec<Left>,
    },
    Left(Left),
}

/// Imports the list and prints the sums.
///
/// # Errors
/// When the list cannot be read, the gateway cannot be asked, or a row could not be taken; the others
/// were.
pub async fn run(request: Request, config: &Config) -> anyhow::Result<()> {
    let settings = Settings {
        reason: request.reason,
        scope: request.scope.clone(),
        ignored: request.ignored.clone(),
        now: Timestamp::now(),
    };
    let name = request.file.display().to_string();
    let mut parts = chunks::read(request.file.clone(), settings);
    // What cannot be read at all is not worth a word with the gateway.
    let first = match parts.recv().await {
        Some(Part::Failed(error)) => return Err(error).context(name),
        first => first,
    };
    let client = Client::new(&config.http.socket);
    let begun = begin(&client, &request).await?;
    let path = format!("/v1/imports/{}", begun.import);
    let mut summary = Summary::new(&request, progress(&request));
    let sent = send(&client, &path, first, parts, &mut summary).await;
    let told = json!({"failed": summary.failed_here, "skipped": summary.ended.skipped});
    // Where the gateway is gone there is nobody to tell.
    let ended = client.post(&format!("{path}/end"), &told).await;
    summary.progress.finish_and_clear();
    sent.context(name)?;
    let _: Ended = parse(&ended?)?;
    summary.print(&begun.tenant)
}

async fn begin(client: &Client, request: &Request) -> anyhow::Result<Begun> {
    let tenant = request.tenant.as_ref();
    let query = tenant.map(|tenant| format!("?tenant={}", encode(tenant.as_str())));
    let path = format!("/v1/imports{}", query.unwrap_or_default());
    let body = json!({
        "source": request.source,
        "reason": request.reason.map(Reason::name),
        "note": request.note,
        "dry_run": request.dry_run,
    });
    Ok(parse(&client.post(&path, &body).await?)?)
}

/// Sends all of it.
async fn send(
    client: &Client,
    path: &str,
    first: Option<Part>,
    mut parts: mpsc::Receiver<Part>,
    summary: &mut Summary,
) -> anyhow::Result<()> {
    let rest = stream::poll_fn(|context| parts.poll_recv(context));
    let mut answers = stream::iter(first)
        .chain(rest)
        .map(|part| send_part(client, path, part))
        .buffer_unordered(AT_ONCE);
    while let Some(done) = answers.next().await {
        match done? {
            Done::Left(left) => summary.leave(&left)?,
            Done::Chunk {
                rows,
                position,
                taken,
                failed,
            } => {
                summary.take(rows, position, &taken);
                for left in failed {
                    summary.fail(&left)?;
                }
            }
        }
    }
    Ok(())
}

async fn send_part(client: &Client, path: &str, part: Part) -> anyhow::Result<Done> {
    match part {
        Part::Left(left) => Ok(Done::Left(left)),
        Part::Failed(error) => Err(error.into()),
        Part::Chunk(chunk) => send_chunk(client, &format!("{path}/rows"), chunk).await,
    }
}

/// Sends some rows, and those again that the store did not take.
async fn send_chunk(client: &Client, path: &str, mut chunk: Chunk) -> anyhow::Result<Done> {
    let (rows, position) = (chunk.len(), chunk.position);
    let (mut sum, mut failed) = (Taken::default(), Vec::new());
    let mut since = Instant::now();
    let mut pause = PAUSE_FIRST;
    loop {
        let taken: Taken = parse(&client.post_rows(path, chunk.body()).await?)?;
        sum.recorded += taken.recorded;
        sum.known += taken.known;
        sum.outdated += taken.outdated;
        failed.extend(
            taken
                .failed
                .into_iter()
                .map(|RowFailure { place, error }| Left {
                    line: chunk.line(place),
                    why: error,
                    skipped: false,
                }),
        );
        if taken.again.is_empty() {
            return Ok(Done::Chunk {
                rows,
                position,
                taken: sum,
                failed,
            });
        }
        if taken.again.len() < chunk.len() {
            since = Instant::now();
            pause = PAUSE_FIRST;
        }
        let cause = taken.unavailable.unwrap_or_default();
        anyhow::ensure!(
            since.elapsed() < PATIENCE,
            "the store takes nothing ({cause}); what was imported stays, give the list again"
        );
        sleep(pause).await;
        pause = (2 * pause).min(PAUSE_LIMIT);
        chunk = chunk.only(&taken.again);
    }
}

/// A bar on a terminal, nothing elsewhere. Where the size of the list is not known, it counts.
fn progress(request: &Request) -> ProgressBar {
    let size = std::fs::metadata(&request.file)
        .ok()
        .filter(std::fs::Metadata::is_file);
    let (bar, template) = match size {
        Some(size) => (
            ProgressBar::new(size.len()),
            "{bar:30} {bytes} of {total_bytes}, {eta} left  {msg}",
        ),
        None => (ProgressBar::no_length(), "{spinner} {bytes}  {msg}"),
    };
    match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
