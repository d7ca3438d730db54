//! A [`Circuit`] is the whole way of mail and back: a client, the gateway, a real mail server, and
//! scripted mailboxes, whose refusals the mail server reports to the returns listener.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::free_port;
use crate::harness::{Act, Client, FakeUpstream, Gateway, Moment, Options, TICK};

/// The domain whose mail goes to the returns listener.
pub(super) const RETURNS_DOMAIN: &str = "bounces.example.com";

/// The sender of everything. Its local part is as long as any may be, and as a signed one is.
const SENDER: &str =
    "news4567abcdefghijklmnopqrstuvwxyz234567abcdefghijklmnopqrstuvwx@bounces.example.com";

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
    /// Starts all of it.
    #[track_caller]
    pub(super) fn start() -> Self {
        let mailboxes = FakeUpstream::scripted(answer);
        let returns = free_port();
        let server = Server::start(&Neighbours {
            mailboxes: mailboxes.address().port(),
            returns,
        });
        let gateway = Options::default()
            .upstream_url(&format!("smtp://127.0.0.1:{}", server.port()))
            .env("SENDGATE_RETURNS_0_LISTEN", &format!("127.0.0.1:{returns}"))
            .extra(&format!("[return_path]\ndomain = \"{RETURNS_DOMAIN}\""))
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

    /// Waits until so many reports of a kind were counted; meanwhile the server tries again.
    #[track_caller]
    pub(super) fn wait_for_reports(&self, kind: &str, count: usize) {
        let name = format!("sendgate_reports_total{{kind=\"{kind}\"}} ");
        let metrics = || self.gateway.metrics();
        let counted = || -> usize {
            let metrics = metrics();
            let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
            value.map_or(0, |value| value.parse().unwrap())
        };
        let deadline = Instant::now() + PATIENCE;
        while counted() < count {
            let waiting = Instant::now() < deadline;
            assert!(waiting, "not {count} reports of {kind}:\n{}", metrics());
            self.server.try_again();
            std::thread::sleep(TICK * 10);
        }
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

/// What the host of the mailboxes says to a recipient, by the beginning of its address.
fn answer(moment: &Moment<'_>) -> Act {
    let Some((_, recipient)) = moment.line.split_once("TO:<") else {
        return Act::Usual;
    };
    match recipient.split(['.', '@']).next() {
        Some("gone") => Act::Say("550 5.1.1 No such user here"),
        Some("full") => Act::Say("552 5.2.2 The mailbox is full"),
        Some("refused") => Act::Say("550 5.7.1 Message refused by local policy"),
        Some("slow" | "stuck") => Act::Say("451 4.3.0 Try again later"),
        _ => Act::Usual,
    }
}
