//! What proves a report: our own signed addresses, from anybody, in SMTP and LMTP
//! (B1, B2, B4 to B6, B9, F18, X50, X51, X54).

mod bounds;

use std::sync::Arc;
use std::time::Duration;

use sendgate::suppression::{RecipientKey, Tenant};
use sendgate::timestamp::Timestamp;
use sendgate::token::{Signer, Token, TokenKind};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Client, FakeUpstream, Gateway, Options, RedisServer};

const SECRET: &str = "what only this gateway knows 0123456789";
const DAY: Duration = Duration::from_secs(86_400);
const B: &str = "b@example.net";
const C: &str = "c@example.org";

/// A gateway that trusts nobody who connects, and whose key the test has too.
struct Believer {
    gateway: Gateway,
    upstream: FakeUpstream,
}

impl Believer {
    fn start() -> Self {
        Self::start_with(|options| options)
    }

    fn start_with(more: impl FnOnce(Options) -> Options) -> Self {
        let upstream = FakeUpstream::start();
        let dir = Arc::new(TempDir::with_prefix("sendgate-").unwrap());
        let key = dir.path().join("return.key");
        std::fs::write(&key, format!("{SECRET}\n")).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&key, private).unwrap();
        let options = Options::before(&upstream)
            .dir(&dir)
            .returns("trusted = [\"192.0.2.0/24\"]\nfeedback = [\"fbl@example.com\"]")
            .extra(&format!(
                "[return_path]\ndomain = \"returns.example.com\"\nkey_file = \"{}\"",
                key.display()
            ));
        let gateway = more(options).start();
        Self { gateway, upstream }
    }

    /// A signed address about this recipient.
    fn address(&self, kind: TokenKind, recipient: &str, at: Timestamp) -> String {
        let key: RecipientKey = self.gateway.admin().key(recipient).parse().unwrap();
        sign(SECRET, &Tenant::default(), kind, *key.as_bytes(), at)
    }

    /// The same with the tag of a label.
    fn labelled(&self, kind: TokenKind, recipient: &str, label: u32) -> String {
        let key: RecipientKey = self.gateway.admin().key(recipient).parse().unwrap();
        let token = Token {
            kind,
            tenant: Tenant::default(),
            subject: *key.as_bytes(),
            label,
            at: Timestamp::now(),
            nonce: 7,
        };
        signed(SECRET, &token)
    }

    /// The return path of a message to this recipient, sent now.
    fn return_path(&self, recipient: &str) -> String {
        self.address(TokenKind::Recipient, recipient, Timestamp::now())
    }

    /// Sends a message and tells the return path it went out with.
    fn send(&self, recipients: &[&str]) -> String {
        let mut client = self.gateway.client();
        client.envelope(recipients);
        client.data("Subject: news\r\n\r\nHello.\r\n");
        client.expect("250 ");
        let mail = self.upstream.commands_of("MAIL").pop().unwrap();
        let path = mail.strip_prefix("MAIL FROM:<").unwrap();
        path.split('>').next().unwrap().to_owned()
    }

    fn mx(&self) -> Client {
        Client::hello(self.gateway.returns())
    }

    fn record(&self, recipient: &str) -> Value {
        self.gateway.admin().record(recipient)
    }

    /// How often a recipient bounced: hard, soft.
    fn counts(&self, recipient: &str) -> (u64, u64) {
        let record = self.record(recipient);
        let count = |axis: &str| record[axis]["count"].as_u64().unwrap_or(0);
        (count("hard"), count("soft"))
    }
}

fn sign(
    secret: &str,
    tenant: &Tenant,
    kind: TokenKind,
    subject: [u8; 16],
    at: Timestamp,
) -> String {
    let token = Token {
        kind,
        tenant: tenant.clone(),
        subject,
        label: 0,
        at,
        nonce: 7,
    };
    signed(secret, &token)
}

fn signed(secret: &str, token: &Token) -> String {
    let signer = Signer::new([secret.as_bytes()], DAY * 30);
    format!("{}@returns.example.com", signer.sign(token).unwrap())
}

fn group(recipient: &str, fields: &str) -> String {
    format!("Final-Recipient: rfc822; {recipient}\r\n{fields}\r\n")
}

fn gone(recipient: &str) -> String {
    group(recipient, "Action: failed\r\nStatus: 5.1.1\r\n")
}

fn report(groups: &str) -> String {
    report_of("mx.example.net", groups)
}

fn report_of(host: &str, groups: &str) -> String {
    format!(
        "From: MAILER-DAEMON@{host}\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; {host}\r\n\r\n{groups}\r\n--b--\r\n"
    )
}

fn complaint(kind: &str, returned: &str) -> String {
    format!(
        "From: feedback@example.net\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: message/feedback-report\r\n\r\n\
         Feedback-Type: {kind}\r\nUser-Agent: x/1\r\nVersion: 1\r\n\r\n\
         --b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n--b--\r\n"
    )
}

/// Hands in a message and expects this reply to it.
#[track_caller]
fn hand_in(client: &mut Client, to: &str, message: &str, expected: &str) {
    client.say("MAIL FROM:<>", "250 ");
    client.say(&format!("RCPT TO:<{to}>"), "250 ");
    client.say("DATA", "354 ");
    client.send(format!("{message}.\r\n"));
    client.expect(expected);
}

#[test]
fn b1_x50_whatever_we_did_not_sign_has_no_address_here() {
    let believer = Believer::start_with(|options| options.limits("error_limit = 100"));
    let good = believer.return_path(B);
    let key: RecipientKey = believer.gateway.admin().key(B).parse().unwrap();
    let now = Timestamp::now();
    let other = Tenant::new("other").unwrap();
    let kind = TokenKind::Recipient;
    let flip = if good.as_bytes()[30] == b'a' {
        'b'
    } else {
        'a'
    };
    let mut client = believer.mx();
    client.say("MAIL FROM:<>", "250 ");
    for address in [
        "bounce@returns.example.com".to_owned(),
        format!("{}{flip}{}", &good[..30], &good[31..]),
        believer.address(kind, B, now.minus(DAY * 31)),
        sign(SECRET, &other, kind, *key.as_bytes(), now),
        sign(
            "somebody else's secret",
            &Tenant::default(),
            kind,
            *key.as_bytes(),
            now,
        ),
        format!("a{good}"),
        format!("{}@returns.example.com", "a".repeat(70)),
        good.replace("returns.", "elsewhere."),
    ] {
        client.line(&format!("RCPT TO:<{address}>"));
        let reply = client.reply();
        assert_eq!(
            reply.last_line(),
            "550 5.1.1 No such address here",
            "{address}"
        );
    }
    for address in [&good, &good.to_uppercase(), "fbl@example.com", "postmaster"] {
        client.say(&format!("RCPT TO:<{address}>"), "250 ");
    }
    let metrics = metrics(&believer.gateway);
    for line in [
        "sendgate_returns_refused_total{why=\"unsigned\"} 1",
        "sendgate_returns_refused_total{why=\"expired\"} 1",
        "sendgate_returns_refused_total{why=\"forged\"} 3",
    ] {
        assert!(metrics.contains(line), "no {line} in\n{metrics}");
    }
}

fn metrics(gateway: &Gateway) -> String {
    gateway.admin().get("/metrics").body
}

#[test]
fn b1_who_guesses_addresses_is_sent_away() {
    let believer = Believer::start();
    let mut client = believer.mx();
    client.say("MAIL FROM:<>", "250 ");
    for _ in 0..20 {
        client.say("RCPT TO:<guess@returns.example.com>", "550 5.1.1");
    }
    client.line("RCPT TO:<guess@returns.example.com>");
    assert!(
        client
            .remaining_replies()
            .last()
            .unwrap()
            .starts_with("421 ")
    );
}

#[test]
fn b2_the_signed_address_says_who_whatever_the_report_names() {
    let believer = Believer::start();
    let path = believer.send(&[B]);
    let mut client = believer.mx();
    hand_in(
        &mut client,
        &path,
        &report(&gone("victim@example.com")),
        "250 ",
    );
    assert_eq!(believer.counts(B), (1, 0));
    assert_eq!(believer.counts("victim@example.com"), (0, 0));
    // To the postmaster, or to complain, the same report says nothing.
    for to in ["postmaster", "fbl@example.com"] {
        hand_in(&mut client, to, &report(&gone(C)), "250 ");
    }
    assert_eq!(believer.counts(C), (0, 0));
}

#[test]
fn b2_x51_of_a_thousand_recipients_only_those_we_wrote_to_count() {
    let believer = Believer::start();
    let path = believer.send(&["r7@example.net", "r900@example.net", B]);
    let groups: String = (0..1000)
        .map(|n| gone(&format!("r{n}@example.net")))
        .collect();
    let mut client = believer.mx();
    hand_in(&mut client, &path, &report(&groups), "250 ");
    for (recipient, counts) in [
        ("r7@example.net", (1, 0)),
        ("r900@example.net", (1, 0)),
        ("r8@example.net", (0, 0)),
        (B, (0, 0)),
    ] {
        assert_eq!(believer.counts(recipient), counts, "{recipient}");
    }
    // A set that was never recorded proves nothing.
    let unknown = sign(
        SECRET,
        &Tenant::default(),
        TokenKind::Transaction,
        [9; 16],
        Timestamp::now(),
    );
    hand_in(&mut client, &unknown, &report(&gone(B)), "250 ");
    assert_eq!(believer.counts(B), (0, 0));
}

#[test]
fn b4_f18_many_hosts_at_once_tell_it_and_it_counts_once() {
    let believer = Believer::start();
    tell_at_once(&believer);
}

#[test]
fn b4_f18_many_hosts_at_once_tell_it_and_it_counts_once_on_redis() {
    let redis = RedisServer::start();
    let believer = Believer::start_with(|options| options.store_url(&redis.url()));
    tell_at_once(&believer);
}

/// 32 copies in parallel, each from another host, half of them in LMTP.
fn tell_at_once(believer: &Believer) {
    let alone = believer.send(&[B]);
    let together = believer.send(&[C, "d@example.org"]);
    std::thread::scope(|scope| {
        for number in 0..32 {
            let (alone, together) = (&alone, &together);
            scope.spawn(move || {
                let host = format!("mx{number}.example.net");
                let mut client = Client::connect(believer.gateway.returns());
                let hello = if number % 2 == 0 { "EHLO" } else { "LHLO" };
                client.say(&format!("{hello} {host}"), "250 ");
                hand_in(&mut client, alone, &report_of(&host, &gone(B)), "250 ");
                hand_in(&mut client, together, &report_of(&host, &gone(C)), "250 ");
            });
        }
    });
    assert_eq!(believer.counts(B), (1, 0));
    assert_eq!(believer.counts(C), (1, 0));
    assert_eq!(believer.counts("d@example.org"), (0, 0));
}

#[test]
fn b5_x54_mail_to_a_signed_address_that_is_no_report_changes_nothing() {
    let believer = Believer::start();
    let path = believer.send(&[B]);
    let mut client = believer.mx();
    for message in [
        "From: b@example.net\r\nSubject: Re: news\r\n\r\nUser unknown? Not me.\r\n",
        "From: b@example.net\r\nSubject: away\r\nAuto-Submitted: auto-replied\r\n\r\n550 5.1.1\r\n",
        &complaint("not-spam", "Subject: news\r\n"),
    ] {
        hand_in(&mut client, &path, message, "250 ");
    }
    let record = believer.record(B);
    for axis in ["hard", "soft", "complaint"] {
        assert_eq!(record[axis], Value::Null, "{record}");
    }
    assert_eq!(
        record["opt_outs"]
            .as_object()
            .map_or(0, serde_json::Map::len),
        0
    );
}

#[test]
fn b6_while_the_store_is_away_nothing_is_taken() {
    let redis = RedisServer::start();
    let believer = Believer::start_with(|options| options.store_url(&redis.url()));
    let path = believer.return_path(B);
    let mut client = believer.mx();
    redis.freeze();
    hand_in(&mut client, &path, &report(&gone(B)), "451 4.3.0");
    redis.thaw();
    crate::harness::eventually("the store to be back", || {
        client.say("MAIL FROM:<>", "250 ");
        client.say(&format!("RCPT TO:<{path}>"), "250 ");
        client.say("DATA", "354 ");
        client.send(format!("{}.\r\n", report(&gone(B))));
        (client.reply().code() == 250).then_some(())
    });
    assert_eq!(believer.counts(B), (1, 0));
}

#[test]
fn b9_what_was_sent_before_a_reset_or_an_opt_in_does_not_count() {
    let believer = Believer::start();
    let earlier = Timestamp::now().minus(DAY);
    let old = |recipient| believer.address(TokenKind::Recipient, recipient, earlier);
    let mut client = believer.mx();
    hand_in(&mut client, &old(B), &report(&gone(B)), "250 ");
    assert_eq!(believer.counts(B), (1, 0));
    let admin = believer.gateway.admin();
    admin.change(B, "reset-bounces", &json!({"reason": "they are back"}));
    let later = believer.address(TokenKind::Recipient, B, earlier.plus(DAY / 2));
    hand_in(&mut client, &later, &report(&gone(B)), "250 ");
    assert_eq!(believer.counts(B), (0, 0));

    admin.change(C, "opt-in", &json!({"reason": "signed up again"}));
    hand_in(&mut client, &old(C), &report(&gone(C)), "250 ");
    hand_in(
        &mut client,
        &old(C),
        &complaint("abuse", "Subject: x\r\n"),
        "250 ",
    );
    hand_in(
        &mut client,
        &old(C),
        &complaint("opt-out", "Subject: x\r\n"),
        "250 ",
    );
    let record = believer.record(C);
    for axis in ["hard", "complaint"] {
        assert_eq!(record[axis], Value::Null, "{record}");
    }
    assert!(
        admin.show(C)["record"]["opt_outs"]["*"].is_null(),
        "{record}"
    );
}

#[test]
fn mail_to_an_address_that_takes_off_takes_off() {
    let believer = Believer::start();
    let address = believer.address(TokenKind::Unsubscribe, B, Timestamp::now().minus(DAY * 400));
    let mut client = believer.mx();
    let mail = "From: b@example.net\r\nSubject: unsubscribe\r\nMessage-ID: <1@example.net>\r\n\r\n";
    hand_in(&mut client, &address, mail, "250 ");
    let record = believer.record(B);
    assert!(record["opt_outs"]["*"].is_object(), "{record}");
    let evidence = record["opt_outs"]["*"]["evidence"]
        .as_str()
        .unwrap_or_default();
    assert!(evidence.contains("<1@example.net>"), "{record}");
    let mut sender = believer.gateway.client();
    sender.say("MAIL FROM:<a@example.com>", "250 ");
    sender.say(&format!("RCPT TO:<{B}>"), "550 5.7.1 ");
}

#[test]
fn b2_a_complaint_counts_only_with_a_signed_address() {
    let believer = Believer::start();
    let path = believer.send(&[B]);
    let mut client = believer.mx();
    let fbl = "fbl@example.com";
    let unproven = complaint("abuse", &format!("To: {C}\r\n")).replace(
        "Version: 1",
        &format!("Version: 1\r\nOriginal-Rcpt-To: {C}"),
    );
    hand_in(&mut client, fbl, &unproven, "250 ");
    assert_eq!(believer.record(C)["complaint"], Value::Null);
    // The provider hides who it was, and the return path in what it sends back tells.
    let proven = complaint(
        "abuse",
        &format!("Return-Path: <{path}>\r\nSubject: news\r\n"),
    );
    hand_in(&mut client, fbl, &proven, "250 ");
    let record = believer.record(B);
    assert_eq!(record["complaint"]["stream"], "campaign", "{record}");
}

#[test]
fn b2_a_mail_server_that_hands_reports_over_is_believed_by_what_they_show() {
    let believer = Believer::start_with(|options| options.returns("trusted = [\"127.0.0.0/8\"]"));
    let path = believer.send(&[B]);
    let mut client = believer.mx();
    let message = report(&gone("moved@example.com")).replace(
        "MIME-Version",
        &format!("Delivered-To: {path}\r\nMIME-Version"),
    );
    hand_in(&mut client, "bounces@returns.example.com", &message, "250 ");
    assert_eq!(believer.counts(B), (1, 0));
    assert_eq!(believer.counts("moved@example.com"), (0, 0));
}

#[test]
fn what_is_not_the_recipients_fault_is_told_to_the_operator() {
    let believer = Believer::start();
    let path = believer.send(&[B]);
    let mut client = believer.mx();
    let blocked = group(
        B,
        "Action: failed\r\nStatus: 5.7.1\r\n\
         Diagnostic-Code: smtp; 550 5.7.1 your host is on a block list\r\n",
    );
    hand_in(&mut client, &path, &report(&blocked), "250 ");
    assert_eq!(believer.counts(B), (0, 0));
    believer
        .gateway
        .wait_for_stderr("no fault of its recipient");
    assert!(metrics(&believer.gateway).contains("fault=\"sender\"} 1"));
}
