//! The story of an address: it bounces and is refused, an operator lets it go, it is mailed again;
//! and what its owner and the operators say about it counts from the next message on.

use std::process::Command;

use crate::harness::{Client, FakeUpstream, Gateway, Options, eventually};

const READER: &str = "reader@example.net";

#[test]
fn a_bounce_stops_the_next_message_until_an_operator_removes_it() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream);
    gateway.client().deliver(READER, "250 ");

    hand_in_report(&gateway, READER);
    let record = gateway.admin().record(READER);
    assert_eq!(record["hard"]["count"], 1);
    assert_eq!(record["hard"]["status"], "5.1.1");

    refused(&gateway, "550 5.1.1 ", "hard_bounce");
    assert_eq!(upstream.messages().len(), 1);

    let shown = operator(&gateway, &["recipient", "show", READER]);
    assert!(shown.contains("hard bounce"), "{shown}");
    let reason = "--reason=the mailbox is back";
    operator(&gateway, &["recipient", "reset-bounces", READER, reason]);
    gateway.client().deliver(READER, "250 ");
    assert_eq!(upstream.messages().len(), 2);

    // Both the bounce and its removal can be told afterwards, newest first.
    let history = gateway
        .admin()
        .get(&format!("/v1/recipients/{READER}/history"));
    let history = history.json()["history"].clone();
    let kinds: Vec<_> = history.as_array().unwrap().iter().map(kind).collect();
    assert_eq!(kinds, ["reset_bounces", "bounce"]);
    assert_eq!(history[0]["event"]["via"], "cli");
    assert_eq!(history[1]["event"]["via"], "returns");
}

#[test]
fn b4_the_same_report_counts_once_and_another_counts_again() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream);
    hand_in_report(&gateway, READER);
    hand_in_report(&gateway, READER);
    assert_eq!(gateway.admin().record(READER)["hard"]["count"], 1);
    let other = report(READER).replace("<1@example.com>", "<2@example.com>");
    hand_in(&gateway, &other);
    assert_eq!(gateway.admin().record(READER)["hard"]["count"], 2);
}

#[test]
fn what_the_reader_and_the_operator_say_counts_from_the_next_message_on() {
    let upstream = FakeUpstream::start();
    let gateway = gateway(&upstream);
    let does = |arguments: &[&str]| {
        operator(&gateway, &[&["recipient"], arguments].concat());
    };

    does(&["opt-out", READER]);
    refused(&gateway, "550 5.7.1 ", "opt_out");
    does(&["opt-in", READER, "--reason=asked at the counter"]);
    gateway.client().deliver(READER, "250 ");

    does(&["block", READER, "--why=asked by phone"]);
    refused(&gateway, "550 5.7.1 ", "do_not_email");
    // An opt-in is the reader's word about mail; it does not lift what an operator decided.
    does(&["opt-in", READER, "--reason=asked once more"]);
    refused(&gateway, "550 5.7.1 ", "do_not_email");
    does(&["unblock", READER, "--reason=it was the wrong one"]);
    gateway.client().deliver(READER, "250 ");
    assert_eq!(upstream.messages().len(), 2);
}

#[test]
fn an_opt_out_of_a_list_leaves_the_other_lists_alone() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).listener("scopes = true").start();
    gateway.admin().opt_out_of(READER, "list:news.example.com");
    let mut client = gateway.client();
    for (list, expected) in [
        ("news.example.com", "550 5.7.1 "),
        ("offers.example.com", "250 "),
    ] {
        client.envelope(&[READER]);
        client.data(format!(
            "Subject: a\r\nList-Id: News <{list}>\r\n\r\nHello.\r\n"
        ));
        client.expect(expected);
    }
    assert_eq!(upstream.messages().len(), 1);
    assert!(upstream.message().text().contains("offers.example.com"));
}

fn gateway(upstream: &FakeUpstream) -> Gateway {
    Options::before(upstream)
        .extra("[return_path]\ndomain = \"bounces.example.com\"")
        .start()
}

/// Runs the program as an operator does, and answers what it printed.
#[track_caller]
fn operator(gateway: &Gateway, arguments: &[&str]) -> String {
    let ran = Command::new(env!("CARGO_BIN_EXE_sendgate"))
        .arg("--config")
        .arg(gateway.dir().path().join("sendgate.toml"))
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

/// The next message to the reader is refused at RCPT, and the log says why.
#[track_caller]
fn refused(gateway: &Gateway, expected: &str, reason: &str) {
    let mut client = gateway.client();
    client.say("MAIL FROM:<news@bounces.example.com>", "250 ");
    let reply = client.say(&format!("RCPT TO:<{READER}>"), expected);
    client.say("DATA", "554 5.5.1 ");
    client.quit();
    let line = eventually("the line in the log", || {
        let mut log = gateway.log().into_iter();
        log.find(|line| line["reply"] == reply.last_line())
    });
    assert_eq!(line["verdict"], "reject");
    assert_eq!(line["reason"], reason);
    assert_eq!(line["recipient"], READER);
}

/// A mail server brings a report about the reader to the returns listener.
fn hand_in_report(gateway: &Gateway, address: &str) {
    hand_in(gateway, &report(address));
}

fn hand_in(gateway: &Gateway, report: &str) {
    let mut server = Client::hello(gateway.returns());
    server.say("MAIL FROM:<>", "250 ");
    server.say("RCPT TO:<news@bounces.example.com>", "250 ");
    server.data(report);
    server.expect("250 ");
    server.quit();
}

fn report(address: &str) -> String {
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\n\
         To: news@bounces.example.com\r\n\
         Subject: Undelivered\r\n\
         Auto-Submitted: auto-replied\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\
         \r\n\
         --b\r\n\
         \r\n\
         It could not be delivered.\r\n\
         --b\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; mx.example.net\r\n\
         \r\n\
         Final-Recipient: rfc822; {address}\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         Diagnostic-Code: smtp; 550 5.1.1 no such user\r\n\
         \r\n\
         --b\r\n\
         Content-Type: text/rfc822-headers\r\n\
         \r\n\
         Message-ID: <1@example.com>\r\n\
         Subject: news\r\n\
         \r\n\
         --b--\r\n"
    )
}

/// What kind of change a line of the history is about.
fn kind(entry: &serde_json::Value) -> String {
    entry["event"]["change"]["change"]
        .as_str()
        .unwrap_or_else(|| panic!("no kind in {entry}"))
        .to_owned()
}
