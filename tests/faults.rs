//! An upstream that is down, dies, hangs or drips (F1 to F8).

use std::net::TcpListener;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{Act, Certificate, Client, FakeUpstream, Gateway, Options, eventually};

/// Takes a transaction as far as it goes; the last reply.
fn transact(client: &mut Client) -> String {
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let mut last = String::new();
    for line in [
        "RCPT TO:<b@example.net>",
        "DATA",
        "Subject: a\r\n\r\nHello.\r\n.",
    ] {
        client.line(line);
        let reply = client.reply();
        last = reply.last_line();
        if reply.code() >= 400 {
            break;
        }
    }
    last
}

fn gateway_with(upstream: &FakeUpstream) -> Gateway {
    Options::before(upstream)
        .timeouts(
            "upstream_connect = \"1s\"\nupstream_command = \"500ms\"\nupstream_data = \"500ms\"\n\
             upstream_block = \"500ms\"\nupstream_final = \"500ms\"",
        )
        .start()
}

const STEPS: [&str; 6] = ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "."];

#[test]
fn f1_an_upstream_that_is_down_defers_and_is_found_again() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let gateway = Options::default()
        .upstream_url(&format!("smtp://127.0.0.1:{port}"))
        .start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "451 4.4.1");
    client.say("RSET", "250 ");
    let upstream = FakeUpstream::on_port(port);
    assert!(transact(&mut client).starts_with("250 "));
    assert_eq!(upstream.messages().len(), 1);
}

#[test]
fn f2_refusals_are_passed_on_with_their_code() {
    for step in ["MAIL", "RCPT", "DATA", "."] {
        for said in ["450 4.2.0 not now", "550 5.2.0 not ever"] {
            let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
                at if at == step => Act::Say(said),
                _ => Act::Usual,
            });
            let gateway = Options::before(&upstream).start();
            let mut client = gateway.client();
            let heard = transact(&mut client);
            assert!(heard.starts_with(said), "{said} at {step}: {heard}");
            client.say("NOOP", "250 ");
        }
    }
    for said in ["421 4.3.2 closing", "554 5.3.2 no mail here"] {
        let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
            "CONNECT" => Act::Say(said),
            _ => Act::Usual,
        });
        let gateway = Options::before(&upstream).start();
        let heard = transact(&mut gateway.client());
        assert!(heard.starts_with("451 4."), "{said}: {heard}");
    }
}

#[test]
fn f3_an_upstream_that_leaves_at_any_step_is_451_and_our_session_lives_on() {
    let acts = [
        Act::SayAndClose("421 4.3.2 closing"),
        Act::Close,
        Act::Reset,
        Act::EndSending,
    ];
    std::thread::scope(|scope| {
        for act in acts {
            scope.spawn(move || {
                for step in STEPS {
                    let scripted = act.clone();
                    let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
                        at if at == step => scripted.clone(),
                        _ => Act::Usual,
                    });
                    let gateway = gateway_with(&upstream);
                    let mut client = gateway.client();
                    let heard = transact(&mut client);
                    // Before there is a session with the upstream it cannot be lost: it is not there.
                    let expected = match step {
                        "CONNECT" | "EHLO" => "451 4.",
                        _ => "451 4.4.2",
                    };
                    assert!(heard.starts_with(expected), "{act:?} at {step}: {heard}");
                    client.say("NOOP", "250 ");
                    client.quit();
                }
            });
        }
    });
}

#[test]
fn f4_a_refusal_in_the_middle_of_the_data_is_one_reply_at_its_end() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "BODY" => Act::SayAndClose("550 5.7.1 enough"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    let body = format!(
        "Subject: a\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(1_100_000)
    );
    client.data(&body);
    let reply = client.reply();
    // Where the reset overtook the refusal there is only the loss to tell.
    let line = reply.last_line();
    assert!(
        line.starts_with("550 5.7.1 enough") || line.starts_with("451 4.4.2"),
        "{line}"
    );
    client.say("NOOP", "250 ");
    assert!(upstream.messages().is_empty());
}

#[test]
fn f4_an_early_refusal_by_an_upstream_that_reads_on_is_passed_on() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "BODY" => Act::Say("552 5.3.4 too much"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    let body = format!(
        "Subject: a\r\n\r\n{}",
        "0123456789abcdef\r\n".repeat(200_000)
    );
    client.data(&body);
    client.expect("552 5.3.4 too much");
    client.say("NOOP", "250 ");
    assert!(upstream.messages().is_empty());
}

#[test]
fn f4_w13_while_the_upstream_does_not_read_neither_do_we() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "BODY" => Act::Hang,
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream)
        .timeouts("upstream_block = \"2s\"")
        .start();
    let before = gateway.resident_kib();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.say("DATA", "354 ");
    let body = "0123456789abcdef\r\n".repeat(1_100_000);
    let begun = Instant::now();
    client.send(format!("Subject: a\r\n\r\n{body}.\r\n"));
    // 20 MB fit into no buffer: the client waited until the upstream was given up.
    assert!(
        begun.elapsed() > Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    client.expect("451 4.4.2");
    client.say("NOOP", "250 ");
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 10_000, "{grown} KiB more");
}

#[test]
fn f5_an_upstream_that_hangs_is_given_up_in_time() {
    std::thread::scope(|scope| {
        for step in STEPS {
            scope.spawn(move || {
                let upstream = FakeUpstream::scripted(move |moment| match moment.verb {
                    at if at == step => Act::Hang,
                    _ => Act::Usual,
                });
                let gateway = gateway_with(&upstream);
                let mut client = gateway.client();
                let heard = transact(&mut client);
                assert!(heard.starts_with("451 4.4."), "at {step}: {heard}");
                client.say("NOOP", "250 ");
                if step == "." {
                    let line = gateway.wait_for_log(1).remove(0);
                    assert_eq!(line["outcome"], "indeterminate");
                }
            });
        }
    });
}

#[test]
fn f6_an_upstream_of_the_last_century_is_spoken_to_with_helo() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "EHLO" => Act::Say("502 5.5.1 not implemented"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    let hello = client.say("EHLO client.example", "250 ");
    for keyword in ["8BITMIME", "DSN", "SMTPUTF8"] {
        assert!(!hello.offers(keyword), "{hello:?}");
    }
    client.say("MAIL FROM:<a@example.com> SIZE=1000", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.data("Subject: a\r\n\r\n");
    client.expect("250 ");
    assert_eq!(upstream.message().mail, "MAIL FROM:<a@example.com>");
}

#[test]
fn f7_replies_in_pieces_are_read_like_others() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "CONNECT" => Act::Dribble("220 slow.example ESMTP"),
        "EHLO" => Act::Dribble("250-slow.example\r\n250-PIPELINING\r\n250 DSN"),
        "MAIL" => Act::Dribble("250-2.1.0 two\r\n250 2.1.0 lines"),
        "RCPT" => Act::Dribble("250 2.1.5 slowly but fine"),
        "DATA" => Act::Dribble("354 go ahead"),
        "." => Act::Dribble("250 2.0.0 queued at last"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.deliver("b@example.net", "250 2.0.0 queued at last");
    client.deliver("b@example.net", "250 2.0.0 queued at last");
    assert_eq!(upstream.messages().len(), 2);
}

#[test]
fn f7_a_client_that_ends_its_sending_hears_its_last_reply() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Subject: a\r\n\r\n");
    client.end_sending();
    client.expect("250 ");
    assert!(upstream.message().accepted);
}

#[test]
fn f8_words_that_nobody_asked_for_are_no_delivery() {
    let upstream = FakeUpstream::scripted(|moment| match (moment.verb, moment.overall) {
        // The answer to the message, before there is one.
        ("DATA", 0) => Act::Raw(b"354 go ahead\r\n250 2.0.0 queued\r\n".to_vec()),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    let heard = transact(&mut client);
    assert!(heard.starts_with("451 "), "{heard}");
    assert!(transact(&mut client).starts_with("250 "));
}

#[test]
fn f8_an_idle_connection_that_says_farewell_is_dropped() {
    let upstream = FakeUpstream::scripted(|moment| match (moment.verb, moment.overall) {
        (".", 0) => Act::Raw(b"250 2.0.0 fine\r\n421 4.4.2 idle too long\r\n".to_vec()),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    assert!(transact(&mut client).starts_with("250 2.0.0 fine"));
    assert!(transact(&mut client).starts_with("250 "));
    eventually("the first connection to end", || {
        (upstream.closed() >= 1).then_some(())
    });
}

#[test]
fn f24_an_upstream_under_tls_is_believed_only_with_its_certificate() {
    let certificate = Arc::new(Certificate::new());
    let upstream = FakeUpstream::with_tls(&certificate, |_| Act::Usual);
    let folder = tempfile::TempDir::new().unwrap();
    let (file, _) = certificate.write_to(folder.path());
    let url = format!("smtp+starttls://localhost:{}", upstream.address().port());
    let trusting = Options::default()
        .upstream_url(&url)
        .upstream_keys(&format!("ca_file = \"{}\"", file.display()))
        .start();
    let mut client = trusting.client();
    assert!(transact(&mut client).starts_with("250 "));
    let strict = Options::default().upstream_url(&url).start();
    let heard = transact(&mut strict.client());
    assert!(heard.starts_with("451 4.3.5"), "{heard}");
    // Where TLS is not demanded, an unknown certificate is better than clear text.
    let lax = Options::default()
        .upstream_url(&format!("smtp://{}", upstream.address()))
        .start();
    assert!(transact(&mut lax.client()).starts_with("250 "));
    assert_eq!(upstream.messages().len(), 2);
}
