//! The envelope: who may relay, what an address is, what is passed on (E1 to E11).
//!
//! Many of these are dialogs; here are those that need more than a dialog can say.

use std::net::IpAddr;

use crate::harness::{Client, FakeUpstream, Options, dsn_gateway, plain_gateway};

#[test]
fn e1_only_listed_networks_may_relay() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("clients = [\"127.0.0.7\"]")
        .start();
    let from = |host: u8| {
        let mut client = Client::connect_from(IpAddr::from([127, 0, 0, host]), gateway.smtp());
        client.say("EHLO client.example", "250 ");
        client
    };
    from(7).deliver("b@example.net", "250 ");
    let mut other = from(8);
    other.say("MAIL FROM:<a@example.com>", "250 ");
    other.say("RCPT TO:<b@example.net>", "550 5.7.1 ");
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn e2_the_wire_form_goes_upstream_unchanged() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.say("MAIL FROM:<\"A\"@Example.COM>", "250 ");
    let paths = [
        "<\"b\"@EXAMPLE.net>",
        "<B.C@example.net.>",
        "<\"with space\"@example.net>",
        "<d+tag@[192.0.2.1]>",
        "<o'neill@example.net>",
    ];
    for path in paths {
        client.say(&format!("RCPT TO:{path}"), "250 ");
    }
    client.data("Subject: a\r\n\r\n");
    client.expect("250 ");
    let message = upstream.message();
    assert_eq!(message.mail, "MAIL FROM:<\"A\"@Example.COM>");
    let expected = paths.map(|path| format!("RCPT TO:{path}"));
    assert_eq!(message.recipients, expected);
}

#[test]
fn e2_spellings_have_one_key() {
    let (_upstream, gateway) = plain_gateway();
    let admin = gateway.admin();
    let key = admin.key("a.b@example.com");
    for same in ["A.B@EXAMPLE.com", "\"a.b\"@example.com", "a.b@example.com."] {
        assert_eq!(admin.key(same), key, "{same}");
    }
    for other in ["ab@example.com", "a.b+tag@example.com", "a.b@example.net"] {
        assert_ne!(admin.key(other), key, "{other}");
    }
}

#[test]
fn e3_what_has_no_canonical_form_never_goes_upstream() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com> SMTPUTF8", "250 ");
    let paths: [&[u8]; 7] = [
        b"<b@xn--a-ecp.ru--.example->",
        b"<b@-example.net>",
        b"<b@exa\xffmple.net>",
        b"<b\xff@example.net>",
        b"<b@[300.1.2.3]>",
        b"<b@[IPv6:zz]>",
        b"<b@xn--999999999.example>",
    ];
    for path in paths {
        client.send([b"RCPT TO:", path, b"\r\n"].concat());
        let reply = client.reply();
        assert!(
            reply.last_line().starts_with("501 5.1.3"),
            "{}: {reply:?}",
            path.escape_ascii()
        );
    }
    assert!(upstream.commands_of("RCPT").is_empty());
}

#[test]
fn e3_a_quoted_local_part_is_one_address_and_no_parameter() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.line("RCPT TO:<\"b> NOTIFY=NEVER\"@example.net>");
    let reply = client.reply();
    let commands = upstream.commands_of("RCPT");
    if reply.code() == 250 {
        assert_eq!(commands, ["RCPT TO:<\"b> NOTIFY=NEVER\"@example.net>"]);
    } else {
        assert!(commands.is_empty(), "{commands:?}");
    }
}

#[test]
fn e5_dsn_parameters_are_neither_added_nor_dropped() {
    let (upstream, gateway) = dsn_gateway();
    let mut client = gateway.client();
    // With and without NOTIFY the reply is the same.
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let without = client.say("RCPT TO:<b@example.net>", "250 ");
    client.say("RSET", "250 ");
    client.say("MAIL FROM:<a@example.com> ENVID=x+2B RET=full", "250 ");
    let with = client.say("RCPT TO:<b@example.net> NOTIFY=DELAY,FAILURE", "250 ");
    assert_eq!(without, with);
    assert_eq!(
        upstream.commands_of("RCPT"),
        [
            "RCPT TO:<b@example.net>",
            "RCPT TO:<b@example.net> NOTIFY=DELAY,FAILURE"
        ]
    );
    let mail = upstream.commands_of("MAIL").pop().unwrap();
    assert_eq!(mail, "MAIL FROM:<a@example.com> ENVID=x+2B RET=full");
}

#[test]
fn e7_eight_bit_mail_is_never_downgraded() {
    let upstream = FakeUpstream::offering(&["PIPELINING"]);
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com> BODY=8BITMIME", "554 5.6.3");
    client.line("MAIL FROM:<a@example.com> SMTPUTF8");
    let line = client.reply().last_line();
    assert!(
        line.starts_with("550 5.6.7") || line.starts_with("553 5.6.7"),
        "{line}"
    );
    client.line("MAIL FROM:<a@example.com> REQUIRETLS");
    let line = client.reply().last_line();
    assert!(
        line.starts_with("550 5.7.30") || line.starts_with("550 5.7.10"),
        "{line}"
    );
    client.say("MAIL FROM:<a@example.com> BODY=7BIT", "250 ");
    assert!(
        upstream
            .commands_of("MAIL")
            .iter()
            .all(|m| !m.contains("8BIT"))
    );
}

#[test]
fn e8_a_thousand_recipients_by_default() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    let mut input = "MAIL FROM:<a@example.com>\r\n".to_owned();
    for number in 0..1001 {
        input.push_str(&format!("RCPT TO:<r{number}@example.net>\r\n"));
    }
    client.send(&input);
    client.expect("250 ");
    for _ in 0..1000 {
        client.expect("250 ");
    }
    client.expect("452 4.5.3");
    client.data("Subject: many\r\n\r\n");
    client.expect("250 ");
    assert_eq!(upstream.message().recipients.len(), 1000);
}

#[test]
fn e10_an_unlisted_client_cannot_read_the_list() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).listener("clients = []").start();
    gateway.admin().opt_out("out@example.net");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let listed = client.say("RCPT TO:<out@example.net>", "550 5.7.1 ");
    let unlisted = client.say("RCPT TO:<in@example.net>", "550 5.7.1 ");
    assert_eq!(listed, unlisted);
    let listed = client.say("VRFY out@example.net", "252 ");
    let unlisted = client.say("VRFY in@example.net", "252 ");
    assert_eq!(listed, unlisted);
}

#[test]
fn e10_guessing_recipients_ends_in_421() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).listener("clients = []").start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    for _ in 0..100 {
        client.line("RCPT TO:<b@example.net>");
        if client.reply().code() == 421 {
            client.expect_closed();
            return;
        }
    }
    panic!("a hundred guesses and still no end");
}

#[test]
fn e11_the_log_tells_each_verdict_and_why() {
    let (_upstream, gateway) = plain_gateway();
    gateway.admin().opt_out("out@example.net");
    gateway.admin().block("blocked@example.net");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let refused = client.say("RCPT TO:<out@example.net>", "550 5.7.1 ");
    client.say("RCPT TO:<blocked@example.net>", "550 5.7.1 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.data("Message-ID: <m1@example.com>\r\nSubject: a\r\n\r\n");
    client.expect("250 ");
    let lines = gateway.wait_for_log(3);
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
            (text("recipient"), text("verdict"), text("reason"))
        })
        .collect();
    let expect = |r: &str, v: &str, w: &str| (r.to_owned(), v.to_owned(), w.to_owned());
    assert_eq!(
        told,
        [
            expect("out@example.net", "reject", "opt_out"),
            expect("blocked@example.net", "reject", "do_not_email"),
            expect("b@example.net", "relay", "-"),
        ]
    );
    assert_eq!(lines[0]["reply"], refused.last_line());
    assert!(
        refused
            .last_line()
            .contains(lines[0]["id"].as_str().unwrap())
    );
    assert!(refused.last_line().ends_with("(opt-out)"));
    assert!(lines.iter().all(|line| line["id"] == lines[0]["id"]));
    assert_eq!(lines[2]["message-id"], "<m1@example.com>");
}
