//! The returns listener with a trusted source (B3 to B8, X50 to X54).

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Client, FakeUpstream, Gateway, Options, each_way, plain_gateway};

const RETURNED_TO: &str = "bounce@returns.example.com";

/// The report of the contract, about one recipient, with these fields.
fn report(recipient: &str, fields: &str) -> String {
    report_of(&format!("Final-Recipient: rfc822; {recipient}\r\n{fields}"))
}

fn report_of(blocks: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\n\
         To: {RETURNED_TO}\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\n\
         Content-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; mx.example.net\r\n\r\n\
         {blocks}\r\n\
         --b--\r\n"
    )
}

const FAILED: &str = "Action: failed\r\nStatus: 5.1.1\r\n";

fn mx(gateway: &Gateway) -> Client {
    Client::hello(gateway.returns())
}

/// Hands in a message and expects it to be taken.
#[track_caller]
fn hand_in(client: &mut Client, message: impl AsRef<[u8]>) {
    open(client);
    let mut bytes = message.as_ref().to_vec();
    bytes.extend_from_slice(b".\r\n");
    client.send(bytes);
    client.expect("250 ");
}

#[track_caller]
fn open(client: &mut Client) {
    client.say("MAIL FROM:<>", "250 ");
    client.say(&format!("RCPT TO:<{RETURNED_TO}>"), "250 ");
    client.say("DATA", "354 ");
}

/// How often each kind of bounce was counted.
#[track_caller]
fn counts(gateway: &Gateway, recipient: &str) -> (u64, u64) {
    let record = gateway.admin().record(recipient);
    let count = |axis: &str| record[axis]["count"].as_u64().unwrap_or(0);
    (count("hard"), count("soft"))
}

#[test]
fn b1_x50_others_than_the_trusted_are_told_that_there_is_no_such_address() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .returns("domains = [\"returns.example.com\"]\ntrusted = [\"192.0.2.0/24\"]")
        .start();
    let mut client = mx(&gateway);
    client.say("MAIL FROM:<>", "250 ");
    for local in ["bounce", "b@example.net", &"a".repeat(65), "anybody"] {
        client.line(&format!("RCPT TO:<{local}@returns.example.com>"));
        let reply = client.reply();
        assert!((500..600).contains(&reply.code()), "{local}: {reply:?}");
    }
    client.say(&format!("RCPT TO:<{RETURNED_TO}>"), "550 5.1.1");
    client.say("DATA", "554 5.5.1");
    // The postmaster's mail is taken and not believed.
    client.say("RCPT TO:<postmaster>", "250 ");
    client.data(report("b@example.net", FAILED));
    client.expect("250 ");
    assert_eq!(counts(&gateway, "b@example.net"), (0, 0));
}

#[test]
fn b3_x52_only_final_failures_of_the_recipient_count() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = mx(&gateway);
    for (number, (fields, expected)) in [
        ("Action: failed\r\nStatus: 5.1.1\r\n", (1, 0)),
        ("Action: FAILED\r\nStatus: 5.1.2\r\n", (1, 0)),
        ("Action: failed\r\nStatus: 4.2.2\r\n", (0, 1)),
        ("Action: failed\r\nStatus: 5.2.2\r\n", (0, 1)),
        ("Action: failed\r\nStatus: 4.4.1\r\n", (0, 1)),
        ("Action: failed\r\nStatus: 5.7.1\r\n", (0, 0)),
        ("Action: failed\r\n", (0, 0)),
        ("Action: delayed\r\nStatus: 4.4.1\r\n", (0, 0)),
        ("Action: delayed\r\nStatus: 5.1.1\r\n", (0, 0)),
        ("Action: relayed\r\nStatus: 2.1.5\r\n", (0, 0)),
        ("Action: delivered\r\nStatus: 2.1.5\r\n", (0, 0)),
        ("Action: expanded\r\nStatus: 2.1.5\r\n", (0, 0)),
        ("Action: expanded\r\nStatus: 5.1.1\r\n", (0, 0)),
        ("Status: 5.1.1\r\n", (0, 0)),
    ]
    .into_iter()
    .enumerate()
    {
        let recipient = format!("r{number}@example.net");
        hand_in(&mut client, report(&recipient, fields));
        assert_eq!(counts(&gateway, &recipient), expected, "{fields:?}");
    }
}

#[test]
fn b3_what_was_learnt_decides_the_next_message() {
    let (upstream, gateway) = plain_gateway();
    let mut mx = mx(&gateway);
    hand_in(&mut mx, report("gone@example.net", FAILED));
    for number in 0..5 {
        let message = report("full@example.net", "Action: failed\r\nStatus: 4.2.2\r\n");
        let message = message.replace("mx.example.net\r\nTo", &format!("mx{number}.example\r\nTo"));
        hand_in(&mut mx, message);
    }
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<gone@example.net>", "550 5.1.1 ");
    client.say("RCPT TO:<full@example.net>", "550 5.2.1 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    assert_eq!(upstream.commands_of("RCPT"), ["RCPT TO:<b@example.net>"]);
}

#[test]
fn b3_the_upstreams_own_refusal_is_learnt_from() {
    let upstream = FakeUpstream::scripted(|moment| match (moment.verb, moment.line) {
        ("RCPT", line) if line.contains("gone") => {
            crate::harness::Act::Say("550 5.1.1 no such user")
        }
        ("RCPT", line) if line.contains("policy") => {
            crate::harness::Act::Say("550 5.7.1 we do not like you")
        }
        _ => crate::harness::Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<gone@example.net>", "550 5.1.1 no such user");
    client.say(
        "RCPT TO:<policy@example.net>",
        "550 5.7.1 we do not like you",
    );
    assert_eq!(counts(&gateway, "gone@example.net"), (1, 0));
    assert_eq!(counts(&gateway, "policy@example.net"), (0, 0));
}

#[test]
fn b4_the_same_report_many_times_and_at_once_counts_once() {
    let (_upstream, gateway) = plain_gateway();
    let message = report("b@example.net", FAILED);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut client = mx(&gateway);
                for _ in 0..4 {
                    hand_in(&mut client, &message);
                }
            });
        }
    });
    assert_eq!(counts(&gateway, "b@example.net"), (1, 0));
}

#[test]
fn b5_x54_mail_that_is_no_report_changes_nothing() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = mx(&gateway);
    let auto_reply = "From: b@example.net\r\nSubject: Out of office\r\n\
        Auto-Submitted: auto-replied\r\n\r\n550 5.1.1 I am away: b@example.net\r\n";
    let person = "From: b@example.net\r\nSubject: user unknown\r\n\r\n\
        I think b@example.net does not exist, 550 5.1.1 user unknown.\r\n";
    let not_spam = "From: fbl@example.net\r\nMIME-Version: 1.0\r\n\
        Content-Type: multipart/report; report-type=feedback-report; boundary=\"b\"\r\n\r\n\
        --b\r\nContent-Type: message/feedback-report\r\n\r\n\
        Feedback-Type: not-spam\r\nUser-Agent: x/1\r\nVersion: 1\r\n\
        Original-Rcpt-To: b@example.net\r\n\r\n--b--\r\n";
    for message in [auto_reply, person, not_spam] {
        hand_in(&mut client, message);
        let record = gateway.admin().record("b@example.net");
        for axis in ["hard", "soft", "complaint"] {
            assert_eq!(record[axis], Value::Null, "{message}");
        }
    }
}

#[test]
fn b6_what_was_acknowledged_survives_a_crash() {
    let upstream = FakeUpstream::start();
    let mut gateway = Options::before(&upstream).start();
    let mut client = mx(&gateway);
    for number in 0..10 {
        hand_in(
            &mut client,
            report(&format!("r{number}@example.net"), FAILED),
        );
    }
    gateway.kill();
    let again = Options::before(&upstream).dir(&gateway.dir()).start();
    for number in 0..10 {
        assert_eq!(counts(&again, &format!("r{number}@example.net")), (1, 0));
    }
}

#[test]
fn b7_x51_a_report_with_a_thousand_recipients_is_bounded() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = mx(&gateway);
    let blocks: String = (0..1000)
        .map(|number| format!("Final-Recipient: rfc822; r{number}@example.net\r\n{FAILED}\r\n"))
        .collect();
    open(&mut client);
    client.send(format!("{}.\r\n", report_of(&blocks)));
    let reply = client.try_reply(Duration::from_secs(30)).unwrap();
    assert_eq!(reply.code(), 250, "{reply:?}");
    client.say("NOOP", "250 ");
}

#[test]
fn b7_x53_reports_that_are_hard_to_read_are_taken_and_harm_nobody() {
    let (_upstream, gateway) = plain_gateway();
    let before = gateway.resident_kib();
    let mut client = mx(&gateway);
    let nested: String = (0..10_000)
        .map(|depth| {
            format!(
                "--b{depth}\r\nContent-Type: multipart/mixed; boundary=\"b{}\"\r\n\r\n",
                depth + 1
            )
        })
        .collect();
    let nested = format!(
        "MIME-Version: 1.0\r\nContent-Type: multipart/report; \
         report-type=delivery-status; boundary=\"b0\"\r\n\r\n{nested}"
    );
    let messages = "Content-Type: message/rfc822\r\n\r\n".repeat(5000);
    let long_line = format!("Subject: {}\r\n\r\n", "x".repeat(1_000_000));
    let bytes: Vec<u8> = (0..100_000_u32)
        .flat_map(|n| [(n % 251) as u8 | 1, b'x'])
        .collect();
    let binary = [b"Subject: a\r\n\r\n", &bytes[..], b"\r\n"].concat();
    for message in [
        nested.as_bytes(),
        messages.as_bytes(),
        long_line.as_bytes(),
        &binary,
    ] {
        open(&mut client);
        let mut input = message.to_vec();
        input.extend_from_slice(b"\r\n.\r\n");
        client.send(input);
        let reply = client.try_reply(Duration::from_secs(30)).unwrap();
        assert!(matches!(reply.code(), 250 | 552), "{reply:?}");
        client.say("NOOP", "250 ");
    }
    hand_in(&mut client, report("b@example.net", FAILED));
    assert_eq!(counts(&gateway, "b@example.net"), (1, 0));
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 100_000, "{grown} KiB more");
}

#[test]
fn b7_a_report_over_the_limit_is_refused() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .limits("report_size_limit = 100000")
        .start();
    let mut client = mx(&gateway);
    open(&mut client);
    client.send(format!(
        "Subject: a\r\n\r\n{}.\r\n",
        "0123456789\r\n".repeat(12_000)
    ));
    client.expect("552 5.3.4");
    hand_in(&mut client, report("b@example.net", FAILED));
    assert_eq!(counts(&gateway, "b@example.net"), (1, 0));
}

#[test]
fn x53_an_international_report_and_one_without_an_end_are_read() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = mx(&gateway);
    let international = report("b@example.net", FAILED)
        .replace("message/delivery-status", "message/global-delivery-status");
    hand_in(&mut client, international);
    assert_eq!(counts(&gateway, "b@example.net"), (1, 0));
    let endless = report("c@example.net", FAILED).replace("--b--\r\n", "");
    hand_in(&mut client, endless);
    assert_eq!(counts(&gateway, "c@example.net"), (1, 0));
}

#[test]
fn x53_a_report_in_any_pieces_is_the_same_report() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = mx(&gateway);
    // With a stuffed dot in it, so that unstuffing is in question too.
    let message = report("b@example.net", FAILED).replace("--b--", "..stuffed\r\n--b--") + ".\r\n";
    for pieces in each_way(message.as_bytes()) {
        open(&mut client);
        client.send_pieces(pieces);
        client.expect("250 ");
    }
    assert_eq!(counts(&gateway, "b@example.net"), (1, 0));
}

#[test]
fn b8_r13_a_bounce_is_never_bounced() {
    let (upstream, gateway) = plain_gateway();
    let mut client = mx(&gateway);
    hand_in(&mut client, report("b@example.net", FAILED));
    hand_in(&mut client, "no report at all\r\n");
    client.quit();
    assert!(upstream.commands_of("MAIL").is_empty());
    assert!(upstream.messages().is_empty());
}
