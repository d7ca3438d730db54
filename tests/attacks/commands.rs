//! X20, X21 and X26 to X37: what is wrong with a command.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{
    Certificate, Client, FakeUpstream, Gateway, Options, dsn_gateway, each_way, plain_gateway,
};

/// The same input in every way, each on a session of its own that said EHLO.
fn check_each_way(gateway: &Gateway, input: &[u8], judge: impl Fn(&mut Client, &str)) {
    for pieces in each_way(input) {
        let mut client = gateway.client();
        client.send_pieces(pieces.iter().copied());
        let context = format!("{} in {} pieces", input.escape_ascii(), pieces.len());
        judge(&mut client, &context);
    }
}

#[test]
fn x20_w2_a_bare_byte_in_a_command_ends_the_session() {
    let (upstream, gateway) = plain_gateway();
    let inputs: [&[u8]; 4] = [
        b"NOOP\n",
        b"NOOP\rNOOP\r\n",
        b"NOOP\0\r\n",
        b"MAIL FROM:<a@example.com>\0\r\n",
    ];
    for input in inputs {
        check_each_way(&gateway, input, |client, context| {
            let heard = client.remaining_replies();
            assert!(
                heard.len() == 1 && heard[0].starts_with("500 5.5.2"),
                "{context}: {heard:?}"
            );
        });
    }
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn x21_w5_bytes_behind_starttls_are_never_answered() {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = Options::before(&upstream).tls(&certificate).start();
    let mut client = gateway.client();
    client.send("STARTTLS\r\nMAIL FROM:<x@example.com>\r\n");
    let heard = client.remaining_replies();
    assert!(
        !heard.iter().any(|reply| reply.starts_with("250")),
        "{heard:?}"
    );
    assert!(heard.len() <= 1, "{heard:?}");
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn x26_a_recipient_is_judged_by_its_path_and_not_by_orcpt() {
    let (_upstream, gateway) = dsn_gateway();
    gateway.admin().opt_out("opted.out@example.com");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let input = b"RCPT TO:<opted.out@example.com> ORCPT=rfc822;other@example.com\r\n";
    for pieces in each_way(input) {
        client.send_pieces(pieces);
        client.expect("550 5.7.1 ");
    }
}

#[test]
fn x27_e5_bad_dsn_parameters_are_refused_and_never_decoded() {
    let (upstream, gateway) = dsn_gateway();
    let input = b"MAIL FROM:<a@example.com> ENVID=a+0D+0ARCPT\r\n";
    check_each_way(&gateway, input, |client, context| {
        let reply = client.reply();
        assert!(
            reply.last_line().starts_with("501 5.5.4"),
            "{context}: {reply:?}"
        );
    });
    let input = b"RCPT TO:<b@example.net> NOTIFY=NEVER NOTIFY=FAILURE\r\n";
    for pieces in each_way(input) {
        let mut client = gateway.client();
        client.say("MAIL FROM:<a@example.com>", "250 ");
        client.send_pieces(pieces);
        client.expect("501 5.5.4");
    }
    assert!(upstream.commands_of("MAIL").is_empty());
    assert!(upstream.commands_of("RCPT").is_empty());
}

#[test]
fn x28_a_size_that_does_not_fit_a_number_does_not_wrap_around() {
    let (_upstream, gateway) = plain_gateway();
    let input = b"MAIL FROM:<a@example.com> SIZE=18446744073709551616\r\n";
    check_each_way(&gateway, input, |client, context| {
        let line = client.reply().last_line();
        let refused = line.starts_with("552 5.3.4") || line.starts_with("501 5.5.4");
        assert!(refused, "{context}: {line}");
    });
}

#[test]
fn x29_w9_a_chunk_without_end_is_refused() {
    let (_upstream, gateway) = plain_gateway();
    check_each_way(
        &gateway,
        b"BDAT 18446744073709551615 LAST\r\n",
        |client, context| {
            let line = client.reply().last_line();
            if line.starts_with("421 ") {
                client.expect_closed();
            } else {
                assert!(
                    line.starts_with("502") || line.starts_with("503"),
                    "{context}: {line}"
                );
            }
        },
    );
}

#[test]
fn x29_w9_no_octet_of_a_chunk_is_taken_for_a_command() {
    let (upstream, gateway) = plain_gateway();
    let input = b"BDAT 40\r\nMAIL FROM:<smuggled@example.com>\r\nNOOP\r\n";
    check_each_way(&gateway, input, |client, context| {
        let line = client.reply().last_line();
        if line.starts_with("421 ") {
            client.expect_closed();
        } else {
            assert!(
                line.starts_with("502") || line.starts_with("503"),
                "{context}: {line}"
            );
            client.say("VRFY still-in-step", "252 ");
        }
    });
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn x30_w10_lines_without_end_are_refused_and_the_session_stays_in_step() {
    let (_upstream, gateway) = plain_gateway();
    let ehlo = format!("EHLO {}\r\n", "a".repeat(2100));
    let auth = format!("AUTH PLAIN {}\r\n", "A".repeat(12_300));
    for (line, expected) in [(ehlo, "500 5.5.2"), (auth, "500 5.5.6")] {
        let bytes = line.as_bytes();
        let middle = bytes.len() / 2;
        let last = bytes.len() - 1;
        let ways: [Vec<&[u8]>; 6] = [
            vec![bytes],
            bytes.chunks(1).collect(),
            bytes.chunks(1000).collect(),
            vec![&bytes[..4], &bytes[4..]],
            vec![&bytes[..middle], &bytes[middle..]],
            vec![&bytes[..last], &bytes[last..]],
        ];
        for pieces in ways {
            let mut client = gateway.client();
            client.send_pieces(pieces);
            client.expect(expected);
            client.say("VRFY still-in-step", "252 ");
        }
    }
}

#[test]
fn x31_w6_credentials_that_cannot_be_read_are_refused() {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = Options::before(&upstream)
        .tls(&certificate)
        .user("alice", "correct horse", "")
        .start();
    for line in [
        "AUTH PLAIN YQBiAGMAZA==",
        "AUTH PLAIN AABw",
        "AUTH PLAIN =",
        "AUTH PLAIN not-base64!",
    ] {
        let mut client = gateway.client();
        client.start_tls(&certificate);
        client.say("EHLO client.example", "250 ");
        client.line(line);
        let reply = client.reply();
        assert!(matches!(reply.code(), 501 | 535), "{line}: {reply:?}");
        client.log_in("alice", "correct horse", "235 ");
    }
    let mut client = gateway.client();
    client.start_tls(&certificate);
    client.say("EHLO client.example", "250 ");
    client.say("AUTH PLAIN", "334 ");
    client.say("*", "501 ");
    client.say("AUTH LOGIN", "334 ");
    client.say("*", "501 ");
    client.log_in("alice", "correct horse", "235 ");
}

#[test]
fn x32_many_guesses_do_not_keep_the_true_user_out() {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = Options::before(&upstream)
        .tls(&certificate)
        .user("alice", "correct horse", "")
        .start();
    std::thread::scope(|scope| {
        let guesses: Vec<_> = (0..50)
            .map(|number| {
                let (gateway, certificate) = (&gateway, &certificate);
                scope.spawn(move || {
                    let mut client = gateway.client();
                    client.start_tls(certificate);
                    client.say("EHLO client.example", "250 ");
                    let line = format!("guess {number}");
                    let response = crate::harness::plain_response("alice", &line);
                    client.line(&format!("AUTH PLAIN {response}"));
                    client.reply().code()
                })
            })
            .collect();
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let mut client = gateway.client();
            client.start_tls(&certificate);
            client.say("EHLO client.example", "250 ");
            let response = crate::harness::plain_response("alice", "correct horse");
            client.line(&format!("AUTH PLAIN {response}"));
            match client.reply().code() {
                235 => break,
                454 | 421 => assert!(Instant::now() < deadline, "alice was kept out"),
                code => panic!("alice was told {code}"),
            }
        }
        for guess in guesses {
            let code = guess.join().unwrap();
            assert!(matches!(code, 535 | 454 | 421), "a guess was told {code}");
        }
    });
}

#[test]
fn x33_w15_nobody_claims_another_address() {
    let (upstream, gateway) = plain_gateway();
    for input in [
        &b"XCLIENT ADDR=127.0.0.1\r\n"[..],
        b"PROXY TCP4 127.0.0.1 127.0.0.1 1 25\r\n",
    ] {
        check_each_way(&gateway, input, |client, context| {
            let reply = client.reply();
            assert!((500..600).contains(&reply.code()), "{context}: {reply:?}");
        });
    }
    // As the first bytes of a connection, where a load balancer would say it.
    let mut client = Client::connect(gateway.smtp());
    client.line("PROXY TCP4 192.0.2.77 127.0.0.1 1 25");
    let reply = client.reply();
    assert!((500..600).contains(&reply.code()), "{reply:?}");
    client.say("EHLO client.example", "250 ");
    assert!(!client.say("EHLO client.example", "250 ").offers("XCLIENT"));
    client.deliver("b@example.net", "250 ");
    assert!(!upstream.message().text().contains("192.0.2.77"));
    assert_eq!(gateway.wait_for_log(1)[0]["client"], "127.0.0.1");
}

#[test]
fn x35_an_http_request_is_cut_off_after_its_first_line() {
    let (upstream, gateway) = plain_gateway();
    let input = b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@example.com>\r\n";
    for pieces in each_way(input) {
        let mut client = Client::connect(gateway.smtp());
        client.send_pieces(pieces);
        let heard = client.remaining_replies();
        assert!(heard.len() <= 1, "{heard:?}");
        assert!(
            heard
                .iter()
                .all(|reply| reply.starts_with('5') || reply.starts_with("421"))
        );
    }
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn x37_control_characters_in_a_name_are_refused_and_not_repeated() {
    let (_upstream, gateway) = plain_gateway();
    let input = b"EHLO a\x1b]0;x\x07\r\n";
    for pieces in each_way(input) {
        let mut client = Client::connect(gateway.smtp());
        client.send_pieces(pieces);
        let reply = client.reply();
        assert!((500..600).contains(&reply.code()), "{reply:?}");
        assert!(!reply.raw.contains(&0x1b) && !reply.raw.contains(&0x07));
    }
}
