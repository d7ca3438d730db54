//! A [`Circuit`] is the whole way of mail and back: a client, the gateway, a real mail server, and
//! scripted mailboxes, whose refusals the mail server reports to the returns listener.

use std::collections::HashSet;
use std::process::Command;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::free_port;
use crate::harness::{Act, Client, FakeUpstream, Gateway, Options, TICK};

/// The domain whose mail goes to the returns listener.
pub(super) const RETURNS_DOMAIN: &str = "bounces.example.com";

/// The sender of everything, whose return path the gateway does not sign when it is told so.
const SENDER: &str = "news@bounces.example.com";

/// How long a mail server may take for all of its reports. It has paces of its own: OpenSMTPD waits
/// for three seconds before each delivery and for another one before each report.
const PATIENCE: Duration = Duration::from_secs(40);

/// A mail server between the gateway and the mailboxes.
///
/// It takes mail for everybody, and warns when a message was kept for a second.
pub(super) trait MailServer {
    /// Starts one.
    fn start(neighbours: &Neighbours) -> Self;

    /// Where it takes mail.
    fn port(&self) -> u16;

    /// Has it try again what it could not deliver, where it does not by itself.
    fn try_again(&self) {}

    /// Has it give up on `stuck@example.net`, where it does not by itself.
    fn give_up(&self) {}
}

/// Where a mail server delivers, as ports of 127.0.0.1.
pub(super) struct Neighbours {
    /// The host of every mailbox.
    pub(super) mailboxes: u16,
    /// The host of [`RETURNS_DOMAIN`].
    pub(super) returns: u16,
}

/// Running servers; they are stopped when the test is over.
pub(super) struct Circuit<Server> {
    pub(super) gateway: Gateway,
    pub(super) server: Server,
    mailboxes: FakeUpstream,
}

impl<Server: MailServer> Circuit<Server> {
    /// Starts all of it. Return paths are signed, and nobody is believed without.
    #[track_caller]
    pub(super) fn start() -> Self {
        Self::start_with("sign = true", "trusted = []")
    }

    /// The same with the sender's own return path: the mail server's reports are believed.
    #[track_caller]
    pub(super) fn unsigned() -> Self {
        Self::start_with("sign = false", "trusted = [\"127.0.0.1\"]")
    }

    /// Starts all of it with these keys of `[return_path]` and of the returns listener.
    #[track_caller]
    fn start_with(return_path: &str, listener: &str) -> Self {
        let mailboxes = mailboxes();
        let returns = free_port();
        let server = Server::start(&Neighbours {
            mailboxes: mailboxes.address().port(),
            returns,
        });
        let gateway = Options::default()
            .upstream_url(&format!("smtp://127.0.0.1:{}", server.port()))
            .env("SENDGATE_RETURNS_0_LISTEN", &format!("127.0.0.1:{returns}"))
            .returns(listener)
            .extra(&format!(
                "[return_path]\ndomain = \"{RETURNS_DOMAIN}\"\n{return_path}"
            ))
            .start();
        Self {
            gateway,
            server,
            mailboxes,
        }
    }

    /// Sends a message of its own identity to these recipients.
    #[track_caller]
    pub(super) fn send(&self, recipients: &[&str]) {
        let mut client = self.begin("");
        self.finish(&mut client, recipients);
    }

    /// The same with addresses that are not all ASCII.
    #[track_caller]
    pub(super) fn send_international(&self, recipients: &[&str]) {
        let mut client = self.begin(" SMTPUTF8");
        self.finish(&mut client, recipients);
    }

    #[track_caller]
    fn begin(&self, parameters: &str) -> Client {
        let mut client = self.gateway.client();
        client.say(&format!("MAIL FROM:<{SENDER}>{parameters}"), "250 ");
        client
    }

    #[track_caller]
    fn finish(&self, client: &mut Client, recipients: &[&str]) {
        for recipient in recipients {
            client.say(&format!("RCPT TO:<{recipient}>"), "250 ");
        }
        let (first, count) = (recipients[0], recipients.len());
        client.data(format!(
            "From: {SENDER}\r\nSubject: news\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n\
             Message-ID: <{count}.{first}>\r\n\r\nHello.\r\n"
        ));
        client.expect("250 ");
    }

    /// What the next message to this recipient hears at RCPT must begin so.
    #[track_caller]
    pub(super) fn next_message_hears(&self, recipient: &str, expected: &str) {
        let mut client = self.begin("");
        client.say(&format!("RCPT TO:<{recipient}>"), expected);
        client.quit();
    }

    /// How many messages a recipient got.
    pub(super) fn delivered(&self, recipient: &str) -> usize {
        let command = format!("RCPT TO:<{recipient}>");
        let messages = self.mailboxes.messages();
        let is_to = |taken: &String| taken.starts_with(&command);
        messages
            .iter()
            .filter(|message| message.recipients.iter().any(is_to))
            .count()
    }

    /// Whether every message went out with a return path that is not the sender's own.
    pub(super) fn is_signed(&self) -> bool {
        let own = format!("MAIL FROM:<{SENDER}>");
        let messages = self.mailboxes.messages();
        messages
            .iter()
            .all(|message| !message.mail.starts_with(&own))
    }

    /// Waits until so many reports of a kind were read and recorded; meanwhile the server tries again.
    #[track_caller]
    pub(super) fn wait_for_reports(&self, kind: &str, count: usize) {
        let deadline = Instant::now() + PATIENCE;
        while self.reports(kind).len() < count {
            let waiting = Instant::now() < deadline;
            assert!(waiting, "not {count} reports of {kind}");
            self.server.try_again();
            std::thread::sleep(TICK * 10);
        }
        let metrics = self.gateway.metrics();
        let name = format!("sendgate_reports_total{{kind=\"{kind}\"}} ");
        let counted = metrics.lines().find_map(|line| line.strip_prefix(&name));
        assert!(counted.unwrap().parse::<usize>().unwrap() >= count);
    }

    /// What the operational log tells of the reports of a kind, once they are recorded.
    pub(super) fn reports(&self, kind: &str) -> Vec<String> {
        let kind = format!(" kind=\"{kind}\" ");
        let log = self.gateway.stderr();
        let told = log.lines().filter(|line| line.contains(&kind));
        told.filter(|line| line.contains(" counted="))
            .map(str::to_owned)
            .collect()
    }

    /// What the command line shows of a recipient: how often each kind of bounce was counted, and
    /// the status of the last.
    #[track_caller]
    pub(super) fn learnt(&self, recipient: &str) -> String {
        let shown = Command::new(env!("CARGO_BIN_EXE_sendgate"))
            .arg("--config")
            .arg(self.gateway.dir().path().join("sendgate.toml"))
            .args(["recipient", "show", recipient, "--json"])
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&shown.stderr);
        assert!(shown.status.success(), "{recipient}: {errors}");
        let shown: Value = serde_json::from_slice(&shown.stdout).unwrap();
        let axis = |name: &str| {
            let bounces = &shown["record"][name];
            let count = bounces["count"].as_u64().unwrap_or(0);
            let status = bounces["status"].as_str().unwrap_or_default();
            format!("{name} {count} {status}").trim_end().to_owned()
        };
        format!("{}, {}", axis("hard"), axis("soft"))
    }
}

/// The host of the mailboxes; what it says to a recipient is told by the beginning of the address.
fn mailboxes() -> FakeUpstream {
    // Connections whose message will be refused when it was read.
    let filtered = Mutex::new(HashSet::new());
    FakeUpstream::scripted(move |moment| {
        let mut filtered = filtered.lock().unwrap();
        match (moment.verb, kind(moment.line)) {
            ("RCPT", "gone") => Act::Say("550 5.1.1 No such user here"),
            ("RCPT", "full") => Act::Say("552 5.2.2 The mailbox is full"),
            ("RCPT", "refused") => Act::Say("550 5.7.1 Message refused by local policy"),
            ("RCPT", "slow" | "stuck") => Act::Say("451 4.3.0 Try again later"),
            ("RCPT", "filtered") => {
                filtered.insert(moment.connection);
                Act::Usual
            }
            (".", _) if filtered.remove(&moment.connection) => {
                Act::Say("554 5.7.1 Message content rejected")
            }
            _ => Act::Usual,
        }
    })
}

/// The first word of the address in a RCPT command.
fn kind(command: &str) -> &str {
    let address = command
        .split_once("TO:<")
        .map_or("", |(_, address)| address);
    address.split(['.', '@']).next().unwrap_or_default()
}
