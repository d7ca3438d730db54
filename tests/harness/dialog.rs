//! A [`Dialog`] is one scenario in plain text: what the client says, what it hears, and what
//! arrives upstream.
//!
//! ```text
//! # A comment.
//! % opt-out out@example.net                 the recipient wants no mail (a scope may follow)
//! % block out@example.net                   an operator marked it Do Not Email
//! % listener suppressed = "discard"         a key of the listener
//! % limits recipient_limit = 2              a key of [limits]; `timeouts` likewise
//! % config [streams.offers]                 any line of the configuration
//! % upstream keywords PIPELINING DSN        what the upstream offers
//! % upstream RCPT 550 5.1.1 no such user    its answer to that verb; `.` is the end of the data
//! % returns                                 the dialog is with the returns listener
//! S: 220                                    the last line of the next reply begins so
//! C: EHLO client.example                    a line from the client
//! C+ MAIL FROM:<a@example.com>              the same, sent together with the C line that follows
//! S- STARTTLS                               the last reply has no line with this text
//! S~ 250-PIPELINING                         the last reply has a line that begins so
//! S.                                        the gateway closes
//! U: MAIL FROM:<a@example.com>              the next command upstream, whole
//! U- out@example.net                        nothing upstream has this text, message included
//! B: Subject: hello                         a line of the one message that was delivered
//! N: 0                                      so many messages were delivered
//! ```

use std::path::Path;
use std::sync::Mutex;

use super::{Act, Client, FakeUpstream, Moment, Options, Reply};

/// One scenario.
pub(crate) struct Dialog {
    steps: Vec<Step>,
}

struct Step {
    number: usize,
    mark: String,
    text: String,
}

/// What stands in front of the text of a line.
const MARKS: [&str; 11] = [
    "%", "C:", "C+", "S:", "S-", "S~", "S.", "U:", "U-", "B:", "N:",
];

impl Dialog {
    /// Reads a file.
    ///
    /// # Panics
    /// At a line that begins with none of the marks.
    pub(crate) fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).unwrap();
        let mut steps = Vec::new();
        for (index, line) in text.lines().enumerate() {
            if line.trim().is_empty() || line.starts_with('#') {
                continue;
            }
            let mark = MARKS.into_iter().find(|&mark| line.starts_with(mark));
            let Some(mark) = mark else {
                panic!(
                    "{}:{}: {line:?} begins with no mark",
                    file.display(),
                    index + 1
                );
            };
            let text = &line[mark.len()..];
            steps.push(Step {
                number: index + 1,
                mark: mark.to_owned(),
                text: text.strip_prefix(' ').unwrap_or(text).to_owned(),
            });
        }
        Self { steps }
    }

    fn settings(&self) -> impl Iterator<Item = (&str, &str)> {
        self.steps
            .iter()
            .filter(|step| step.mark == "%")
            .map(|step| step.text.split_once(' ').unwrap_or((&step.text, "")))
    }

    /// Plays it against a gateway of its own; the error names the line.
    pub(crate) fn play(&self) -> Result<(), String> {
        let upstream = self.upstream();
        let mut options = Options::before(&upstream);
        let mut listener = String::new();
        for (what, value) in self.settings() {
            options = match what {
                "limits" => options.limits(value),
                "timeouts" => options.timeouts(value),
                "config" => options.extra(value),
                "listener" => {
                    listener.push_str(value);
                    listener.push('\n');
                    options
                }
                _ => options,
            };
        }
        let gateway = options.listener(&listener).start();
        let admin = gateway.admin();
        let mut address = gateway.smtp();
        for (what, value) in self.settings() {
            let (recipient, scope) = value.split_once(' ').unwrap_or((value, "*"));
            match what {
                "opt-out" => admin.opt_out_of(recipient, scope),
                "block" => admin.block(recipient),
                "returns" => address = gateway.returns(),
                "limits" | "timeouts" | "config" | "listener" | "upstream" => {}
                _ => return Err(format!("nobody knows how to set up {what:?}")),
            }
        }
        let mut play = Play {
            client: Client::dial(address),
            upstream: &upstream,
            waiting: Vec::new(),
            last: None,
            heard: 0,
        };
        for step in &self.steps {
            play.step(&step.mark, &step.text)
                .map_err(|error| format!("line {}: {error}", step.number))?;
        }
        Ok(())
    }

    fn upstream(&self) -> FakeUpstream {
        let mut keywords = None;
        let mut answers = Vec::new();
        for (what, value) in self.settings() {
            if what != "upstream" {
                continue;
            }
            match value.split_once(' ') {
                Some(("keywords", list)) => keywords = Some(list.to_owned()),
                Some((verb, reply)) => answers.push((verb.to_owned(), reply.to_owned())),
                None if value == "keywords" => keywords = Some(String::new()),
                None => {}
            }
        }
        let answers = Mutex::new(answers);
        let upstream = FakeUpstream::scripted(move |moment: &Moment<'_>| {
            // Each answer is given once; the next one for the same verb follows.
            let mut answers = answers.lock().unwrap();
            match answers.iter().position(|(verb, _)| verb == moment.verb) {
                Some(at) => Act::Raw(format!("{}\r\n", answers.remove(at).1).into_bytes()),
                None => Act::Usual,
            }
        });
        if let Some(keywords) = keywords {
            upstream.offer(&keywords.split_whitespace().collect::<Vec<_>>());
        }
        upstream
    }
}

struct Play<'a> {
    client: Client,
    upstream: &'a FakeUpstream,
    /// Lines that go out with the next one.
    waiting: Vec<u8>,
    last: Option<Reply>,
    /// How many commands upstream were looked at.
    heard: usize,
}

impl Play<'_> {
    fn step(&mut self, mark: &str, text: &str) -> Result<(), String> {
        match mark {
            "C:" | "C+" => {
                self.waiting.extend_from_slice(text.as_bytes());
                self.waiting.extend_from_slice(b"\r\n");
                if mark == "C:" {
                    let bytes = std::mem::take(&mut self.waiting);
                    self.client
                        .try_send(&bytes)
                        .map_err(|error| error.to_string())?;
                }
            }
            "S:" => {
                let reply = self.client.try_reply(super::PATIENCE)?;
                let fits = reply.last_line().starts_with(text);
                check(fits, || format!("expected {text:?}, heard {reply:?}"))?;
                self.last = Some(reply);
            }
            "S~" | "S-" => {
                let lines = self.last.as_ref().map(Reply::lines).unwrap_or_default();
                if mark == "S~" {
                    let fits = lines.iter().any(|line| as_inner(line).starts_with(text));
                    check(fits, || format!("no line {text:?} in {lines:?}"))?;
                } else {
                    let fits = !lines.iter().any(|line| line.contains(text));
                    check(fits, || format!("{text:?} in {lines:?}"))?;
                }
            }
            "S." => self.client.expect_closed(),
            "U:" => {
                let commands = self.upstream_commands();
                let next = commands.get(self.heard);
                check(next.is_some_and(|next| next == text), || {
                    format!("upstream heard {next:?} instead, all: {commands:?}")
                })?;
                self.heard += 1;
            }
            "U-" => {
                let heard = String::from_utf8_lossy(&self.upstream.heard()).into_owned();
                check(!heard.contains(text), || {
                    format!("upstream heard {heard:?}")
                })?;
            }
            "B:" => {
                let body = self.upstream.message().text();
                let fits = body.split("\r\n").any(|line| line == text);
                check(fits, || format!("no line {text:?} in {body:?}"))?;
            }
            "N:" => {
                let count = self
                    .upstream
                    .messages()
                    .iter()
                    .filter(|m| m.accepted)
                    .count();
                check(text == count.to_string(), || format!("{count} messages"))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The commands of transactions; how the gateway introduces itself is another matter.
    fn upstream_commands(&self) -> Vec<String> {
        let mut commands = self.upstream.commands();
        commands.retain(|line| !line.starts_with("EHLO ") && line != "RSET" && line != "QUIT");
        commands
    }
}

/// The line as it would be if another followed: which one comes last is of no matter.
fn as_inner(line: &str) -> String {
    line.replacen(' ', "-", usize::from(line.get(3..4) == Some(" ")))
}

fn check(fits: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if fits { Ok(()) } else { Err(why()) }
}
