//! `sendgate log` shows the suppression log: all of it, what fits a filter, or what comes.

use std::io;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};

use super::client::{Client, encode, parse};
use super::text::{self, Printed};
use crate::config::{Addresses, Config};
use crate::http::answer::Recipient;
use crate::log::read::{LogReader, Next};
use crate::log::{Entry, Filter, Line, Wanted};
use crate::mail::Address;
use crate::suppression::{Reason, RecipientKey, Tenant, Verdict};
use crate::timestamp::Timestamp;

/// How often a followed file is looked at.
const POLL: Duration = Duration::from_millis(200);

/// How many of the last lines are shown before those that come.
const SHOWN_BEFORE: usize = 10;

/// How much text is printed at once, in octets.
const PAGE_SIZE: usize = 32 << 10;

/// What to show.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Go on with what comes.
    pub follow: bool,
    /// Print the lines as they are.
    pub json: bool,
    /// Only this reason.
    pub reason: Option<Reason>,
    /// Only this verdict.
    pub verdict: Option<Verdict>,
    /// Only this recipient.
    pub recipient: Option<String>,
    /// Only this stream.
    pub stream: Option<String>,
    /// Only this tenant.
    pub tenant: Option<Tenant>,
    /// Only from then on.
    pub since: Option<Timestamp>,
}

/// Shows the configured log until its end, or with `follow` until the reader or the user stops it.
///
/// # Errors
/// When there is no log, it cannot be read, or a hashed log is to be searched and no gateway tells
/// the key.
pub async fn run(request: Request, config: &Config) -> anyhow::Result<()> {
    let Some(path) = config.log.file.clone() else {
        bail!("no log file is configured: set log.file, or read the gateway's standard output");
    };
    let filter = filter(&request, config).await?;
    let show = move || show(&path, &request, &filter);
    tokio::task::spawn_blocking(show).await?
}

async fn filter(request: &Request, config: &Config) -> anyhow::Result<Filter> {
    let recipient = match &request.recipient {
        None => None,
        Some(written) => {
            let address = Address::parse(written)
                .with_context(|| format!("{} is no address", text::plain(written)))?;
            let key = match config.log.addresses {
                Addresses::Plain => None,
                Addresses::Hashed => {
                    Some(ask_key(&address, request.tenant.as_ref(), config).await?)
                }
            };
            Some(Wanted { address, key })
        }
    };
    Ok(Filter {
        reason: request.reason,
        verdict: request.verdict,
        recipient,
        stream: request.stream.clone(),
        tenant: request.tenant.clone(),
        since: request.since,
    })
}

/// Only the gateway holds the pepper that makes keys.
async fn ask_key(
    address: &Address,
    tenant: Option<&Tenant>,
    config: &Config,
) -> anyhow::Result<RecipientKey> {
    let mut path = format!("/v1/recipients/{}", encode(address.as_str()));
    if let Some(tenant) = tenant {
        path = format!("{path}?tenant={}", encode(tenant.as_str()));
    }
    let answer = Client::new(&config.http.socket)
        .get(&path)
        .await
        .context("the log holds keys instead of addresses, and only the gateway knows them")?;
    let recipient: Recipient = parse(&answer)?;
    Ok(recipient.key)
}

fn show(path: &Path, request: &Request, filter: &Filter) -> anyhow::Result<()> {
    let mut reader = LogReader::open(path).map_err(|error| no_log(path, &error))?;
    let from_last = request.follow && request.since.is_none();
    if from_last {
        reader.skip_to_last(SHOWN_BEFORE)?;
    }
    let mut page = Page::default();
    loop {
        let next = if request.follow {
            reader.follow()?
        } else {
            reader.next_line()?
        };
        let at_end = matches!(next, Next::End);
        match next {
            Next::Line(raw, line) if filter.admits(&line) => page.add(raw, &line, request.json),
            Next::Line(..) | Next::End => {}
            // A number counted from somewhere in the middle would lead nowhere.
            Next::Unreadable(_) if from_last => {
                eprintln!(
                    "sendgate: a line of {} cannot be read and is skipped",
                    path.display()
                );
            }
            Next::Unreadable(number) => {
                eprintln!(
                    "sendgate: {}:{number}: cannot be read and is skipped",
                    path.display()
                );
            }
        }
        if (at_end || page.is_full()) && page.print()? == Printed::Closed {
            return Ok(());
        }
        if at_end && !request.follow {
            return Ok(());
        }
        if at_end {
            thread::sleep(POLL);
        }
    }
}

fn no_log(path: &Path, error: &io::Error) -> anyhow::Error {
    let path = path.display();
    if error.kind() == io::ErrorKind::NotFound {
        anyhow!(
            "there is no log at {path}: the gateway makes it when it starts; \
             is --config that of the gateway, and is this its working directory?"
        )
    } else {
        anyhow!("the log {path} cannot be read ({error}): run this as a user who may read it")
    }
}

/// Lines that are printed together.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn add(&mut self, raw: &[u8], line: &Line, json: bool) {
        if json {
            // What was read as JSON is UTF-8.
            self.text.push_str(&String::from_utf8_lossy(raw));
        } else {
            self.text.push_str(&for_people(line));
        }
        self.text.push('\n');
    }

    fn is_full(&self) -> bool {
        self.text.len() >= PAGE_SIZE
    }

    fn print(&mut self) -> io::Result<Printed> {
        let printed = text::print(&self.text);
        self.text.clear();
        printed
    }
}

/// One line in aligned columns: time, verdict, reason, recipient, stream, campaign, reply.
fn for_people(line: &Line) -> String {
    let entry = match line {
        Line::Entry(entry) => entry,
        Line::Gap(gap) => {
            return format!(
                "{} {} lines are missing here: they could not be written",
                text::moment(gap.time),
                gap.lost
            );
        }
    };
    let verdict = text::verdict(entry.verdict);
    let verdict = if entry.observed {
        format!("({verdict})")
    } else {
        verdict.to_owned()
    };
    let written = format!(
        "{} {verdict:<9} {:<12} {:<34} {:<13} {:<14} {}",
        text::moment(entry.time),
        entry.reason.map_or("-", text::reason),
        recipient(entry),
        entry.stream,
        entry.campaign.as_deref().unwrap_or("-"),
        entry.reply.as_deref().unwrap_or("-"),
    );
    text::plain(&written)
}

fn recipient(entry: &Entry) -> String {
    match entry.key {
        Some(key) => format!("{key} {}", entry.recipient),
        None => entry.recipient.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::entry::example;

    #[test]
    fn a_line_for_people_is_aligned_and_harmless() {
        let mut entry = example("bob@example.net");
        entry.key = None;
        entry.reply = Some("550 \u{1b}[2J no".into());
        assert_eq!(
            for_people(&Line::Entry(Box::new(entry))),
            "2026-11-22 06:20:00Z reject    opt-out      bob@example.net                    \
             campaign      -              550 ?[2J no"
        );
    }

    #[tokio::test]
    async fn says_what_to_do_when_there_is_no_log() {
        let mut config = Config::default();
        let request = Request::default();
        config.log.file = Some("nowhere/log.jsonl".into());
        let error = run(request.clone(), &config).await.unwrap_err();
        assert!(error.to_string().starts_with("there is no log at nowhere"));
        config.log.file = None;
        let error = run(request, &config).await.unwrap_err();
        assert!(error.to_string().contains("set log.file"));
    }
}
