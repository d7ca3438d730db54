//! What real mail servers send back: the gateway relays through each of them, mailboxes behind it
//! refuse, and its reports come to the returns listener.
//!
//! Client, gateway, mail server and mailboxes make a whole loop. Only the mailboxes are scripted;
//! every word of a report is the mail server's own.

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::exim::Exim;
use super::opensmtpd::OpenSmtpd;
use super::postfix::Postfix;
use super::program::free_port;
use crate::harness::{Act, Client, FakeUpstream, Gateway, Moment, Options, TICK};

/// The domain whose mail goes to the returns listener.
pub(super) const RETURNS_DOMAIN: &str = "bounces.example.com";

/// How long a mail server may take for all of its reports. It has paces of its own: OpenSMTPD waits
/// for three seconds before each delivery and for another one before each report.
const PATIENCE: Duration = Duration::from_secs(40);

/// A mail server between the gateway and the mailboxes.
pub(super) trait MailServer {
    /// Starts one that takes mail for everybody, and warns when it was kept for a second.
    fn start(neighbours: Neighbours) -> Self;

    /// Where it takes mail.
    fn port(&self) -> u16;

    /// Has it try again what it could not deliver, where it does not by itself.
    fn try_again(&self) {}
}

/// Where a mail server delivers, as ports of 127.0.0.1.
pub(super) struct Neighbours {
    /// The host of every mailbox.
    pub(super) mailboxes: u16,
    /// The host of [`RETURNS_DOMAIN`].
    pub(super) returns: u16,
}

impl MailServer for Postfix {
    fn start(neighbours: Neighbours) -> Self {
        let Neighbours { mailboxes, returns } = neighbours;
        Self::start(
            "postfix.example",
            &format!(
                "relayhost = [127.0.0.1]:{mailboxes}\n\
                 transport_maps = inline:{{ {{{RETURNS_DOMAIN} = smtp:[127.0.0.1]:{returns}}} }}\n\
                 delay_warning_time = 1s"
            ),
        )
    }

    fn port(&self) -> u16 {
        self.port()
    }
}

#[test]
fn b3_what_postfix_sends_back_is_understood() {
    understands::<Postfix>("news@bounces.example.com");
}

#[test]
fn b3_what_exim_sends_back_is_understood() {
    understands::<Exim>("news@bounces.example.com");
}

#[test]
fn b3_what_opensmtpd_sends_back_is_understood() {
    understands::<OpenSmtpd>("news@bounces.example.com");
}

/// What the host of the mailboxes says to a recipient, by the beginning of its address.
fn mailboxes(moment: &Moment<'_>) -> Act {
    let Some((_, recipient)) = moment.line.split_once("TO:<") else {
        return Act::Usual;
    };
    match recipient.split(['.', '@']).next() {
        Some("gone") => Act::Say("550 5.1.1 No such user here"),
        Some("full") => Act::Say("552 5.2.2 The mailbox is full"),
        Some("refused") => Act::Say("550 5.7.1 Message refused by local policy"),
        Some("slow") => Act::Say("451 4.3.0 Try again later"),
        _ => Act::Usual,
    }
}

/// Sends mail with this reverse-path to every kind of mailbox through such a server, and expects
/// that its reports teach the gateway what is true, and no more.
fn understands<Server: MailServer>(reverse_path: &str) {
    let world = FakeUpstream::scripted(mailboxes);
    let returns = free_port();
    let server = <Server as MailServer>::start(Neighbours {
        mailboxes: world.address().port(),
        returns,
    });
    let gateway = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{}", server.port()))
        .env("SENDGATE_RETURNS_0_LISTEN", &format!("127.0.0.1:{returns}"))
        .extra(&format!("[return_path]\ndomain = \"{RETURNS_DOMAIN}\""))
        .start();

    // One report for each, and one about all that failed for good.
    let kinds = ["alive", "gone", "full", "refused", "slow"];
    let alone = kinds.map(|kind| format!("{kind}.alone@example.net"));
    let together = kinds.map(|kind| format!("{kind}.together@example.net"));
    let mut client = gateway.client();
    for recipient in &alone {
        send(&mut client, reverse_path, std::slice::from_ref(recipient));
    }
    send(&mut client, reverse_path, &together);
    client.quit();
    wait_for_reports(&gateway, &server, "bounce", 4);
    wait_for_reports(&gateway, &server, "delayed", 2);
    gateway.wait_for_stderr("kind=\"bounce\" recipients=3 counted=2");

    for of in ["alone", "together"] {
        let [gone, full, refused, slow, alive] = ["gone", "full", "refused", "slow", "alive"]
            .map(|kind| format!("{kind}.{of}@example.net"));
        assert_eq!(learnt(&gateway, &gone), "hard 1 5.1.1, soft 0");
        assert_eq!(learnt(&gateway, &full), "hard 0, soft 1 5.2.2");
        for untouched in [&refused, &slow, &alive] {
            assert_eq!(learnt(&gateway, untouched), "hard 0, soft 0", "{untouched}");
        }
        let mut client = gateway.client();
        client.say(&format!("MAIL FROM:<{reverse_path}>"), "250 ");
        client.say(&format!("RCPT TO:<{gone}>"), "550 5.1.1 ");
        for mailable in [&full, &refused, &slow, &alive] {
            client.say(&format!("RCPT TO:<{mailable}>"), "250 ");
        }
        let command = format!("RCPT TO:<{alive}>");
        let arrived = world.messages().into_iter().filter(|message| {
            let taken = message.recipients.iter();
            taken
                .clone()
                .any(|recipient| recipient.starts_with(&command))
        });
        assert_eq!(arrived.count(), 1, "{alive}");
    }
}

/// Sends a message of its own identity to these recipients.
#[track_caller]
fn send(client: &mut Client, reverse_path: &str, recipients: &[String]) {
    client.say(&format!("MAIL FROM:<{reverse_path}>"), "250 ");
    for recipient in recipients {
        client.say(&format!("RCPT TO:<{recipient}>"), "250 ");
    }
    let (first, count) = (&recipients[0], recipients.len());
    client.data(format!(
        "From: {reverse_path}\r\nSubject: news\r\nDate: Mon, 2 Nov 2026 09:00:00 +0000\r\n\
         Message-ID: <{count}.{first}>\r\n\r\nHello.\r\n"
    ));
    client.expect("250 ");
}

/// Waits until so many reports of a kind were counted; meanwhile the server tries again.
#[track_caller]
fn wait_for_reports(gateway: &Gateway, server: &impl MailServer, kind: &str, count: usize) {
    let deadline = Instant::now() + PATIENCE;
    let name = format!("sendgate_reports_total{{kind=\"{kind}\"}} ");
    loop {
        let metrics = gateway.metrics();
        let counted = metrics.lines().find_map(|line| line.strip_prefix(&name));
        if counted.is_some_and(|counted| counted.parse::<usize>().unwrap() >= count) {
            return;
        }
        let waiting = Instant::now() < deadline;
        assert!(
            waiting,
            "{count} reports of {kind} did not come, but {counted:?}"
        );
        server.try_again();
        std::thread::sleep(TICK * 10);
    }
}

/// What the command line shows of a recipient: how often each kind of bounce was counted, and the
/// status of the last.
#[track_caller]
fn learnt(gateway: &Gateway, recipient: &str) -> String {
    let shown = Command::new(env!("CARGO_BIN_EXE_sendgate"))
        .arg("--config")
        .arg(gateway.dir().path().join("sendgate.toml"))
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
