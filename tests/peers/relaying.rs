//! Between two mail servers: Postfix relays to the gateway, and Postfix is the smarthost behind it.
//!
//! The second one accepts a whole domain and finds out later who is not there, so that it writes
//! real reports; it routes them to the returns listener.

use super::postfix::Postfix;
use super::program::{free_port, run};
use crate::harness::{Gateway, Options, eventually};

const ALIVE: &str = "alive@example.net";
const GONE: &str = "gone@example.net";
/// The sender of campaigns. Bounces come back to the gateway, which signs the return path.
const CAMPAIGN: &str = "news@front.example";
/// A person, whose bounces go to a mailbox.
const EDITOR: &str = "editor@front.example";

#[test]
fn a_bounce_between_two_mail_servers_stops_the_next_message() {
    let returns_port = free_port();
    let back = Postfix::start(
        "back.example",
        &format!(
            "smtpd_reject_unlisted_recipient = no\n\
             virtual_mailbox_domains = example.net\n\
             virtual_mailbox_maps = inline:{{ {ALIVE}=alive/ }}\n\
             transport_maps = inline:{{ {{bounces.example.com = smtp:[127.0.0.1]:{returns_port}}} }}"
        ),
    );
    let gateway = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{}", back.port()))
        .env(
            "SENDGATE_RETURNS_0_LISTEN",
            &format!("127.0.0.1:{returns_port}"),
        )
        .extra("[return_path]\ndomain = \"bounces.example.com\"")
        .start();
    let front = Postfix::start(
        "front.example",
        &format!(
            "relayhost = [127.0.0.1]:{}\n\
             virtual_mailbox_domains = front.example\n\
             virtual_mailbox_maps = inline:{{ {EDITOR}=editor/ }}",
            gateway.smtp().port()
        ),
    );

    // Both are accepted; one arrives, the other comes back.
    submit(&front, CAMPAIGN, &[ALIVE, GONE]);
    let arrived = back.wait_for_mail("alive", 1);
    assert!(
        arrived[0].contains("(Sendgate) with ESMTP"),
        "{}",
        arrived[0]
    );
    back.wait_for_log(&[GONE, "status=bounced"]);
    let bounces = "@bounces.example.com";
    back.wait_for_log(&[bounces, "status=sent", &returns_port.to_string()]);
    wait_for_verdicts(&gateway, ALIVE, &["relay delivered"]);
    wait_for_verdicts(&gateway, GONE, &["relay delivered"]);
    let record = gateway.admin().record(GONE);
    assert_eq!(record["hard"]["count"], 1, "{record}");
    assert_eq!(record["hard"]["status"], "5.1.1");
    let untouched = gateway.admin().record(ALIVE);
    assert!(untouched["hard"].is_null(), "{untouched}");

    // The next message is refused at the gateway, and its sender is told by their own server.
    submit(&front, EDITOR, &[ALIVE, GONE]);
    front.wait_for_log(&[
        GONE,
        "status=bounced",
        "550 5.1.1",
        "Recipient suppressed (hard bounce)",
    ]);
    assert_eq!(back.wait_for_mail("alive", 2).len(), 2);
    let report = front.wait_for_mail("editor", 1).remove(0);
    for expected in [
        "Content-Type: message/delivery-status",
        "Final-Recipient: rfc822; gone@example.net",
        "Status: 5.1.1",
    ] {
        assert!(report.contains(expected), "no {expected:?} in {report}");
    }
    wait_for_verdicts(&gateway, GONE, &["relay delivered", "reject hard_bounce"]);
    wait_for_verdicts(&gateway, ALIVE, &["relay delivered"; 2]);

    // An operator removes it, and it is tried again.
    let reset = serde_json::json!({"reason": "they are back"});
    gateway.admin().change(GONE, "reset-bounces", &reset);
    submit(&front, EDITOR, &[GONE]);
    let all = ["relay delivered", "reject hard_bounce", "relay delivered"];
    wait_for_verdicts(&gateway, GONE, &all);
}

/// Recipients that come one by one: the envelope goes out again with DATA in the same write, and a
/// real mail server takes that.
#[test]
fn r14_postfix_takes_a_new_envelope_and_data_in_one_write() {
    let back = Postfix::start(
        "back.example",
        "smtpd_reject_unlisted_recipient = no\n\
         virtual_mailbox_domains = example.net\n\
         virtual_mailbox_maps = inline:{ alive@example.net=alive/, other@example.net=other/ }",
    );
    let gateway = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{}", back.port()))
        .extra("[return_path]\ndomain = \"bounces.example.com\"")
        .start();
    for recipients in [&["alive@example.net", "other@example.net"][..], &[ALIVE]] {
        let mut client = gateway.client();
        client.envelope(recipients);
        client.data("X-Sendgate-Campaign: spring\r\nSubject: a\r\n\r\nHello.\r\n");
        client.expect("250 ");
        client.quit();
    }
    let arrived = back.wait_for_mail("alive", 2);
    assert_eq!(back.wait_for_mail("other", 1).len(), 1);
    for message in arrived {
        assert!(message.contains("@bounces.example.com>"), "{message}");
        assert!(!message.contains("X-Sendgate"), "{message}");
    }
}

/// Hands a message to a Postfix, as an application does.
fn submit(postfix: &Postfix, from: &str, to: &[&str]) {
    let program = "import os, smtplib, sys\n\
        with smtplib.SMTP('127.0.0.1', int(os.environ['PORT'])) as s:\n    \
            s.sendmail(sys.argv[1], sys.argv[2:], 'From: ' + sys.argv[1] + \
            '\\r\\nSubject: news\\r\\n\\r\\nHello.\\r\\n')\n";
    let mut arguments = vec!["-c", program, from];
    arguments.extend(to);
    let port = postfix.port().to_string();
    let ran = run("python3", &arguments, &[("PORT", &port)]);
    assert_eq!(ran.code, 0, "{ran:?}");
}

/// Waits until the suppression log tells this about an address, and nothing else.
#[track_caller]
fn wait_for_verdicts(gateway: &Gateway, address: &str, expected: &[&str]) {
    eventually("lines of the suppression log", || {
        (verdicts(gateway, address).len() >= expected.len()).then_some(())
    });
    assert_eq!(verdicts(gateway, address), expected);
}

/// Verdict and outcome, or verdict and reason, of each line of the suppression log about an address.
fn verdicts(gateway: &Gateway, address: &str) -> Vec<String> {
    let word = |value: &serde_json::Value| value.as_str().map(str::to_owned);
    gateway
        .log()
        .iter()
        .filter(|line| line["recipient"] == address)
        .map(|line| {
            let why = word(&line["reason"]).or_else(|| word(&line["outcome"]));
            format!(
                "{} {}",
                word(&line["verdict"]).unwrap(),
                why.unwrap_or_default()
            )
        })
        .collect()
}
