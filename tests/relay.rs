//! What is passed on, and what is not: R1 to R10.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{Act, Client, FakeUpstream, Gateway, Options, eventually, plain_gateway};

const DELAY: Duration = Duration::from_millis(300);

fn gateway_with(
    script: impl Fn(&crate::harness::Moment<'_>) -> Act + Send + Sync + 'static,
) -> (FakeUpstream, Gateway) {
    let upstream = FakeUpstream::scripted(script);
    let gateway = Options::before(&upstream).start();
    (upstream, gateway)
}

#[test]
fn r1_a_message_is_delivered_and_then_acknowledged() {
    let (upstream, gateway) = gateway_with(|moment| match moment.verb {
        "." => Act::After(DELAY, Box::new(Act::Say("250 2.0.0 queued as 4711"))),
        _ => Act::Usual,
    });
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Subject: a\r\n\r\nHello.\r\n");
    assert!(
        client.is_silent_for(DELAY / 3),
        "answered before the upstream"
    );
    client.expect("250 2.0.0 queued as 4711");
    let message = upstream.message();
    assert_eq!(message.mail, "MAIL FROM:<a@example.com>");
    assert_eq!(message.recipients, ["RCPT TO:<b@example.net>"]);
    assert_eq!(message.original(), b"Subject: a\r\n\r\nHello.\r\n");
    let line = gateway.wait_for_log(1).remove(0);
    assert_eq!(line["outcome"], "delivered");
    assert_eq!(line["upstream-reply"], "250 2.0.0 queued as 4711");
    client.quit();
}

#[test]
fn r1_a_refusal_behind_a_quick_upstream_is_never_a_delivery() {
    // The upstream answers as soon as it has the dot, many times over: no answer is misread.
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    for _ in 0..300 {
        client.deliver("b@example.net", "250 ");
    }
    assert_eq!(upstream.messages().len(), 300);
}

#[test]
fn r2_f9_a_client_that_dies_before_the_dot_delivers_nothing() {
    let (upstream, gateway) = plain_gateway();
    let endings: [fn(Client); 2] = [drop, Client::reset];
    for (number, end) in endings.into_iter().enumerate() {
        let mut client = gateway.client();
        client.envelope(&["b@example.net"]);
        client.say("DATA", "354 ");
        client.send("Subject: half\r\n\r\nHalf of it.\r\n.\r");
        eventually("the body to arrive upstream", || {
            let heard = upstream.heard();
            (heard.windows(4).filter(|w| w == b"Half").count() > number).then_some(())
        });
        end(client);
        upstream.wait_closed(number + 1);
    }
    assert!(upstream.messages().is_empty());
    let lines = gateway.wait_for_log(2);
    assert!(
        lines.iter().all(|line| line["outcome"] == "aborted"),
        "{lines:#?}"
    );
}

#[test]
fn r2_f9_a_client_that_dies_after_the_dot_is_delivered_and_logged() {
    let (upstream, gateway) = gateway_with(|moment| match moment.verb {
        "." => Act::After(DELAY, Box::new(Act::Usual)),
        _ => Act::Usual,
    });
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Subject: a\r\n\r\n");
    client.reset();
    let line = gateway.wait_for_log(1).remove(0);
    assert_eq!(line["outcome"], "delivered");
    assert!(upstream.message().accepted);
}

#[test]
fn r2_f9_a_client_that_dies_elsewhere_harms_nobody() {
    let (upstream, gateway) = plain_gateway();
    for begin in [
        "BDAT 1000\r\nhalf a chunk",
        "MAIL FROM:<a@example.com>\r\n",
        "MAI",
    ] {
        let mut client = gateway.client();
        client.send(begin);
        client.reset();
    }
    let mut client = gateway.client();
    client.deliver("b@example.net", "250 ");
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn r3_the_refusal_of_mail_shows_at_each_recipient() {
    let (upstream, gateway) = gateway_with(|moment| match (moment.verb, moment.overall) {
        ("MAIL", 0) => Act::Say("550 5.7.1 not from you"),
        _ => Act::Usual,
    });
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "550 5.7.1 not from you");
    client.say("RCPT TO:<c@example.net>", "550 5.7.1 not from you");
    client.say("DATA", "554 5.5.1");
    client.say("RSET", "250 ");
    client.deliver("b@example.net", "250 ");
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn r4_where_all_are_suppressed_no_connection_is_opened() {
    // Nothing listens upstream: whoever asked it would hear 451.
    let gateway = Options::default()
        .listener("suppressed = \"discard\"")
        .start();
    gateway.admin().opt_out("out@example.net");
    let mut client = Client::connect(gateway.smtp());
    client.say("HELO client.example", "250 ");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<out@example.net>", "250 ");
    client.data("Subject: a\r\n\r\n");
    client.expect("250 2.0.0");
    let line = gateway.wait_for_log(1).remove(0);
    assert_eq!(
        (&line["verdict"], &line["reason"]),
        (&"discard".into(), &"opt_out".into())
    );
    assert_eq!(line["outcome"], Value::Null);
}

#[test]
fn r5_refusals_of_the_data_are_passed_on() {
    for (verb, said, heard) in [
        ("DATA", "452 4.3.1 disk full", "452 4.3.1 disk full"),
        ("DATA", "554 5.5.1 no", "554 5.5.1 no"),
        (".", "451 4.7.1 greylisted", "451 4.7.1 greylisted"),
        (".", "550 5.7.1 spam", "550 5.7.1 spam"),
        // A missing status is added.
        (".", "550 spam", "550 5.0.0 spam"),
        (".", "450 later", "450 4.0.0 later"),
    ] {
        let (upstream, gateway) = gateway_with(move |moment| match moment.verb {
            at if at == verb => Act::Say(said),
            _ => Act::Usual,
        });
        let mut client = gateway.client();
        client.envelope(&["b@example.net"]);
        client.line("DATA");
        let mut reply = client.reply();
        if reply.code() == 354 {
            client.send("Subject: a\r\n\r\n.\r\n");
            reply = client.reply();
        }
        assert!(reply.last_line().starts_with(heard), "{said}: {reply:?}");
        client.say("NOOP", "250 ");
        assert!(upstream.messages().iter().all(|message| !message.accepted));
        let line = gateway.wait_for_log(1).remove(0);
        assert_eq!(line["outcome"], "refused", "{line:#}");
    }
}

#[test]
fn r5_a_refusal_of_the_data_stands_where_the_upstream_goes_away() {
    for ending in ["close", "reset", "421"] {
        let (_upstream, gateway) = gateway_with(move |moment| match (moment.verb, ending) {
            ("DATA", "close") => Act::SayAndClose("554 5.7.1 no"),
            ("DATA", _) => Act::Say("554 5.7.1 no"),
            ("RSET", "reset") => Act::Reset,
            ("RSET", _) => Act::SayAndClose("421 4.3.2 closing"),
            _ => Act::Usual,
        });
        let mut client = gateway.client();
        client.envelope(&["b@example.net"]);
        client.say("DATA", "554 5.7.1 no");
        client.say("NOOP", "250 ");
    }
}

#[test]
fn r5_a_failure_that_is_our_configuration_is_never_the_clients_fault() {
    for (verb, said) in [
        ("EHLO", "550 go away"),
        ("EHLO", "501 who is that"),
        ("MAIL", "530 5.7.0 authentication required"),
        ("MAIL", "535 5.7.8 no"),
        ("MAIL", "538 5.7.11 encrypt first"),
    ] {
        let (_upstream, gateway) = gateway_with(move |moment| match moment.verb {
            "HELO" if verb == "EHLO" => Act::Say(said),
            at if at == verb => Act::Say(said),
            _ => Act::Usual,
        });
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.say("RCPT TO:<b@example.net>", "451 4.3.5");
        client.say("NOOP", "250 ");
    }
}

#[test]
fn r5_starttls_that_is_demanded_and_missing_is_our_configuration() {
    let upstream = FakeUpstream::start();
    let url = format!("smtp+starttls://{}", upstream.address());
    let gateway = Options::default().upstream_url(&url).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "451 4.3.5");
    assert!(upstream.commands_of("MAIL").is_empty(), "in clear");
}

#[test]
fn r5_an_upstream_that_is_busy_is_not_taken_for_a_lesser_one() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "EHLO" => Act::Say("450 4.3.2 busy"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "451 4.3.5");
    assert!(upstream.commands_of("HELO").is_empty());
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn r6_r7_a_dot_without_an_answer_is_indeterminate_and_tried_once() {
    for act in [
        Act::Close,
        Act::Reset,
        Act::Hang,
        Act::SayAndClose("421 bye"),
    ] {
        let said = format!("{act:?}");
        let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
            "." => act.clone(),
            _ => Act::Usual,
        });
        let gateway = Options::before(&upstream)
            .timeouts("upstream_final = \"300ms\"\nupstream_block = \"300ms\"")
            .start();
        let mut client = gateway.client();
        client.envelope(&["b@example.net"]);
        client.data("Subject: a\r\n\r\n");
        client.expect("451 4.4.2");
        client.say("NOOP", "250 ");
        let line = gateway.wait_for_log(1).remove(0);
        // A 421 is an answer, and it says no.
        let outcome = if said.contains("421") {
            "refused"
        } else {
            "indeterminate"
        };
        assert_eq!(line["outcome"], outcome, "{said}");
        assert_eq!(upstream.messages().len(), 1, "{said}");
        assert_eq!(upstream.commands_of("MAIL").len(), 1, "{said}");
    }
}

#[test]
fn r8_header_and_body_are_unchanged_but_for_our_received() {
    let (upstream, gateway) = plain_gateway();
    let message = "received: from elsewhere\r\n\tby here; Mon, 1 Jan 2024 00:00:00 +0000\r\n\
        DKIM-Signature: v=1; a=rsa-sha256;\r\n\tb=abc\r\nTo: undisclosed-recipients:;\r\n\
        Bcc: secret@example.net\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=  \r\nX-Empty:\r\n\
        X-Long: a\r\n b\r\n\tc\r\n\r\n\r\nbody  \r\n\r\n\t\r\n";
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data(message);
    client.expect("250 ");
    let text = upstream.message().text();
    assert!(text.starts_with("Received: "), "{text:?}");
    assert_eq!(text.matches("\r\nReceived: ").count(), 0);
    assert!(text.ends_with(message), "{text:?}");
    assert_eq!(upstream.message().original(), message.as_bytes());
}

#[test]
fn r9_received_tells_from_by_with_and_id_and_no_bcc() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.deliver("only@example.net", "250 ");
    client.envelope(&["first@example.net", "second@example.net"]);
    client.data("Subject: a\r\n\r\n");
    client.expect("250 ");
    let messages = upstream.messages();
    let one = messages[0].received();
    for part in [
        "from client.example",
        "[127.0.0.1]",
        "by gateway.example.com",
        "with ESMTP",
        " id ",
        "for <only@example.net>",
    ] {
        assert!(one.contains(part), "{part:?} in {one:?}");
    }
    let id = gateway.wait_for_log(3)[0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(one.contains(&id), "{id} in {one:?}");
    let many = messages[1].received();
    assert!(
        !many.contains(" for ") && !many.contains("@example.net"),
        "{many:?}"
    );
    assert!(one.lines().all(|line| line.len() <= 998));
}

#[test]
fn r9_a_refused_recipient_counts_as_given() {
    let (upstream, gateway) = plain_gateway();
    gateway.admin().opt_out("out@example.net");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<out@example.net>", "550 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.data("Subject: a\r\n\r\n");
    client.expect("250 ");
    assert!(!upstream.message().text().contains("out@example.net"));
}

#[test]
fn r10_a_looping_message_is_refused() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    let hops = |count: usize| {
        let mut message = String::new();
        for number in 0..count {
            message.push_str(&format!(
                "Received: from h{number} by h{number}.example; now\r\n"
            ));
        }
        message + "Subject: a\r\n\r\nHello.\r\n"
    };
    for (count, expected) in [(99, "250 "), (100, "554 5.4.6"), (150, "554 5.4.6")] {
        client.envelope(&["b@example.net"]);
        client.data(hops(count));
        let reply = client.reply();
        assert!(
            reply.last_line().starts_with(expected),
            "{count}: {reply:?}"
        );
    }
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn r10_our_own_mail_that_comes_back_again_and_again_is_refused() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    let mut message = "Subject: a\r\n\r\nHello.\r\n".to_owned();
    for round in 0.. {
        assert!(round < 20, "it still goes round");
        client.envelope(&["b@example.net"]);
        client.data(&message);
        let reply = client.reply();
        if reply.code() != 250 {
            assert!(reply.last_line().starts_with("554 5.4.6"), "{reply:?}");
            assert!(round >= 2, "refused at once");
            return;
        }
        message = upstream.messages().pop().unwrap().text();
    }
}

#[test]
fn r10_an_upstream_that_is_our_own_listener_is_a_configuration_error() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let started = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{port}"))
        .extra(&format!("[[smtp]]\nlisten = \"127.0.0.1:{port}\""))
        .try_start();
    let Err(error) = started else {
        panic!("it started");
    };
    assert!(error.contains("upstream"), "{error}");
}
