//! X40 to X42, and X21 from the other side: an upstream that misbehaves.

use std::sync::Arc;
use std::time::Duration;

use crate::harness::{Act, Certificate, FakeUpstream, Message, Options};

/// One transaction through an upstream with this script; the replies from RCPT on, as far as the
/// transaction goes.
fn transact(upstream: &FakeUpstream) -> Vec<String> {
    let gateway = Options::before(upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let mut replies = Vec::new();
    let mut say = |line: &str| {
        client.line(line);
        let reply = client.reply();
        replies.push(reply.last_line());
        reply.code()
    };
    if say("RCPT TO:<b@example.net>") == 250 && say("DATA") == 354 {
        say("Subject: a\r\n\r\nHello.\r\n.");
    }
    client.say("NOOP", "250 ");
    replies
}

fn lost(replies: &[String]) -> bool {
    replies.last().is_some_and(|last| last.starts_with("451 "))
}

fn none_accepted(messages: &[Message]) -> bool {
    messages.iter().all(|message| !message.accepted)
}

#[test]
fn x40_a_reply_without_end_is_cut_off() {
    for verb in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."] {
        for endless in [&b"250-x\r\n"[..], b"x"] {
            let mut flood = endless.repeat(if endless.len() == 1 {
                10_000_000
            } else {
                100_000
            });
            if endless.len() == 1 {
                flood.splice(..0, *b"250 ");
            }
            let upstream = FakeUpstream::scripted(move |moment| {
                if moment.verb == verb {
                    Act::Raw(flood.clone())
                } else {
                    Act::Usual
                }
            });
            let replies = transact(&upstream);
            assert!(lost(&replies), "at {verb}: {replies:?}");
        }
    }
}

#[test]
fn x40_a_reply_that_is_cut_short_is_no_reply() {
    for verb in ["EHLO", "MAIL", "RCPT", "DATA", "."] {
        let upstream = FakeUpstream::scripted(move |moment| {
            if moment.verb == verb {
                Act::EndAfter(b"250")
            } else {
                Act::Usual
            }
        });
        let replies = transact(&upstream);
        assert!(lost(&replies), "at {verb}: {replies:?}");
    }
}

#[test]
fn x41_a_reply_too_many_answers_nothing() {
    for verb in ["MAIL", "RCPT"] {
        for keywords in [&["DSN"][..], &["PIPELINING", "DSN"]] {
            let upstream = FakeUpstream::scripted(move |moment| {
                if moment.verb == verb {
                    Act::Raw(b"250 ok\r\n250 ok\r\n".to_vec())
                } else if moment.verb == "RCPT" {
                    Act::Say("550 5.1.1 no such user")
                } else {
                    Act::Usual
                }
            });
            upstream.offer(keywords);
            let replies = transact(&upstream);
            let context = format!("{verb} {keywords:?}: {replies:?}");
            assert!(lost(&replies), "{context}");
            assert!(none_accepted(&upstream.messages()), "{context}");
        }
    }
}

/// MAIL and RCPT are on their way together, so that a second reply to MAIL looks like the one to RCPT,
/// and that one, when it comes late, like the one to DATA.
#[test]
fn x41_a_reply_too_many_shifts_no_refusal_to_another_command() {
    for (refusal, at_data) in [
        ("550 5.1.1 no such user", "503 5.5.1 no recipients"),
        ("550 5.1.1 no such user", "354 go ahead"),
        ("450 4.2.0 later", "503 5.5.1 no recipients"),
        ("250 ok", "354 go ahead"),
    ] {
        let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
            "MAIL" => Act::Raw(b"250 ok\r\n250 ok\r\n".to_vec()),
            "RCPT" => Act::After(Duration::from_millis(100), Box::new(Act::Say(refusal))),
            "DATA" => Act::Raw(format!("{at_data}\r\n").into_bytes()),
            _ => Act::Usual,
        });
        upstream.offer(&["PIPELINING", "DSN"]);
        let replies = transact(&upstream);
        let context = format!("{refusal}, {at_data}: {replies:?}");
        let last = replies.last().unwrap();
        assert!(last.starts_with('4'), "{context}");
        assert!(none_accepted(&upstream.messages()), "{context}");
        upstream.wait_closed(1);
    }
}

#[test]
fn x41_a_code_that_makes_no_sense_is_a_fault() {
    for (verb, answer) in [
        ("MAIL", "220 hello"),
        ("MAIL", "354 go on"),
        ("RCPT", "354 go on"),
        ("RCPT", "220 hello"),
        ("DATA", "250 fine"),
        (".", "354 go on"),
    ] {
        let upstream = FakeUpstream::scripted(move |moment| {
            if moment.verb == verb {
                Act::Say(answer)
            } else {
                Act::Usual
            }
        });
        let replies = transact(&upstream);
        assert!(lost(&replies), "{answer} to {verb}: {replies:?}");
        assert!(none_accepted(&upstream.messages()));
    }
}

#[test]
fn x41_r12_such_a_connection_is_not_used_again() {
    let upstream = FakeUpstream::scripted(|moment| match (moment.verb, moment.overall) {
        ("RCPT", 0) => Act::Raw(b"250 ok\r\n550 stray\r\n".to_vec()),
        _ => Act::Usual,
    });
    upstream.offer(&[]);
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.line("RCPT TO:<b@example.net>");
    client.reply();
    client.say("RSET", "250 ");
    client.deliver("c@example.net", "250 ");
    let message = upstream.message();
    assert_eq!(message.recipients, ["RCPT TO:<c@example.net>"]);
    upstream.wait_closed(1);
}

#[test]
fn x42_w10_the_upstreams_words_are_cleaned() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "RCPT" => Act::Raw(b"550 5.1.1 \x1b[2Jno\x07 \xff\r\n".to_vec()),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let reply = client.say("RCPT TO:<b@example.net>", "550 5.1.1 ");
    let text = &reply.raw[..reply.raw.len() - 2];
    assert!(text.iter().all(|b| (b' '..=b'~').contains(b)), "{reply:?}");
    client.say("RSET", "250 ");
    let line = gateway.wait_for_log(1)[0].to_string();
    assert!(!line.bytes().any(|b| b < b' '), "{line}");
}

#[test]
fn x21_w5_f8_bytes_behind_the_upstreams_starttls_reply_are_never_believed() {
    let certificate = Arc::new(Certificate::new());
    let upstream = FakeUpstream::with_tls(&certificate, |moment| match moment.verb {
        "STARTTLS" => Act::Raw(b"220 begin\r\n250-injected\r\n250 PIPELINING\r\n".to_vec()),
        _ => Act::Usual,
    });
    let replies = transact(&upstream);
    assert!(lost(&replies), "{replies:?}");
    assert!(upstream.commands_of("MAIL").is_empty());
}
