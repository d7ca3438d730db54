//! The wire towards the client: lines, the data, order and sizes (W1 to W4, W7 to W11, W14).

use std::io::Read;
use std::net::TcpStream;

use crate::harness::{Act, Client, FakeUpstream, Options, each_way, plain_gateway};

#[test]
fn w1_a_message_in_any_pieces_is_the_same_message() {
    let (upstream, gateway) = plain_gateway();
    let body = b"Subject: pieces\r\n\r\n..\r\n.\r.not-an-end\r\n"
        .to_vec()
        .into_iter()
        .filter(|&b| b != b'\r' && b != b'\n')
        .collect::<Vec<_>>();
    let message = [b"Subject: a\r\n\r\n..\r\n", &body[..], b"\r\n..x\r\n.\r\n"].concat();
    let ways = each_way(&message);
    let mut client = gateway.client();
    for pieces in &ways {
        client.envelope(&["b@example.net"]);
        client.say("DATA", "354 ");
        client.send_pieces(pieces.iter().copied());
        client.expect("250 ");
    }
    let messages = upstream.messages();
    assert_eq!(messages.len(), ways.len());
    for heard in messages {
        assert_eq!(heard.original(), &message[..message.len() - 3]);
    }
}

#[test]
fn w3_a_bare_byte_in_the_data_delivers_nothing_and_leaves_the_session_in_step() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    for bare in [&b"\n"[..], b"\r", b"\0"] {
        client.envelope(&["b@example.net"]);
        let body = [b"Subject: a\r\n\r\none", bare, b"two\r\n"].concat();
        client.data(&body);
        client.expect("550 5.5.2");
        client.say("NOOP", "250 ");
    }
    assert!(upstream.messages().is_empty());
    assert!(!upstream.heard_bare_bytes());
    client.deliver("b@example.net", "250 ");
    assert_eq!(upstream.messages().len(), 1);
    let lines = gateway.wait_for_log(4);
    let delivered = lines.iter().filter(|line| line["outcome"] == "delivered");
    assert_eq!(delivered.count(), 1, "{lines:#?}");
}

#[test]
fn w3_a_large_message_with_a_bare_byte_at_its_end_is_refused_too() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    let mut body = b"Subject: large\r\n\r\n".to_vec();
    body.extend(b"0123456789abcdef\r\n".repeat(50_000));
    body.extend(b"bare\nline\r\n");
    client.data(&body);
    client.expect("550 5.5.2");
    client.say("NOOP", "250 ");
    upstream.wait_closed(1);
    assert!(upstream.messages().is_empty());
    assert!(!upstream.heard_bare_bytes());
}

#[test]
fn w3_loopback_is_no_exception() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Subject: a\n\nHello.\n\r\n");
    client.expect("550 5.5.2");
}

#[test]
fn w4_the_body_arrives_byte_for_byte() {
    let (upstream, gateway) = plain_gateway();
    let mut body = b"Subject: bytes\r\nX-Odd : kept\r\n\tfolded\r\n\r\n".to_vec();
    // Every octet that may stand in a line, in lines of every length, dots in every place.
    for length in 0..998_usize {
        let line: Vec<u8> = (0..length)
            .map(|at| match u8::try_from((at * 7 + length) % 256).unwrap() {
                0 | b'\r' | b'\n' => b'.',
                byte => byte,
            })
            .collect();
        if line.first() == Some(&b'.') {
            body.push(b'.');
        }
        body.extend(&line);
        body.extend(b"\r\n");
    }
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com> BODY=8BITMIME", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    client.data(&body);
    client.expect("250 ");
    let message = upstream.message();
    assert_eq!(message.mail, "MAIL FROM:<a@example.com> BODY=8BITMIME");
    assert!(message.original() == body, "the body was changed");
    assert!(!upstream.heard_bare_bytes());
}

#[test]
fn w4_messages_without_header_or_without_body_arrive_unchanged() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    let bodies: [&[u8]; 7] = [
        b"",
        b"\r\n",
        b"\r\nbody only\r\n",
        b"Subject: header only\r\n",
        b"no header at all\r\n",
        b"..\r\n",
        b"\r\n..\r\n\r\n\r\n",
    ];
    for body in bodies {
        client.envelope(&["b@example.net"]);
        client.data(body);
        client.expect("250 ");
        let message = upstream.messages().pop().unwrap();
        assert_eq!(
            message.original().escape_ascii().to_string(),
            body.escape_ascii().to_string()
        );
    }
}

#[test]
fn w7_pipelined_commands_are_answered_in_order() {
    let (upstream, gateway) = plain_gateway();
    let input: &[u8] = b"EHLO client.example\r\n";
    let rest: &[u8] = b"NOOP\r\nMAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\n\
        VRFY x\r\nRCPT TO:<c@example.net>\r\nRSET\r\nMAIL FROM:<d@example.com>\r\nNOOP\r\nQUIT\r\n";
    for pieces in each_way(rest) {
        let mut client = Client::connect(gateway.smtp());
        client.send(input);
        client.expect("250 ");
        client.send_pieces(pieces);
        let codes: Vec<String> = client
            .remaining_replies()
            .iter()
            .map(|reply| reply[..3].to_owned())
            .collect();
        let expected = [
            "250", "250", "250", "252", "250", "250", "250", "250", "221",
        ];
        assert_eq!(codes, expected);
    }
    assert!(upstream.messages().is_empty());
}

#[test]
fn w7_a_multi_line_reply_leaves_in_one_write() {
    let (_upstream, gateway) = plain_gateway();
    let mut stream = TcpStream::connect(gateway.smtp()).unwrap();
    stream
        .set_read_timeout(Some(crate::harness::PATIENCE))
        .unwrap();
    let mut buffer = [0; 4096];
    let count = stream.read(&mut buffer).unwrap();
    assert!(buffer[..count].ends_with(b"\r\n"));
    std::io::Write::write_all(&mut stream, b"EHLO client.example\r\n").unwrap();
    // A client that reads once for each reply gets all of it.
    let count = stream.read(&mut buffer).unwrap();
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    let last = text.lines().last().unwrap();
    assert!(
        text.ends_with("\r\n") && last.starts_with("250 "),
        "{text:?}"
    );
}

#[test]
fn w7_no_data_without_an_accepted_recipient() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "RCPT" => Act::Say("550 5.1.1 no such user"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("DATA", "503 ");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("DATA", "554 5.5.1");
    client.say("RCPT TO:<b@example.net>", "550 5.1.1 ");
    client.say("DATA", "554 5.5.1");
    // The whole of it in one write.
    client.say("RSET", "250 ");
    client.send("MAIL FROM:<a@example.com>\r\nRCPT TO:<b@example.net>\r\nDATA\r\n");
    client.expect("250 ");
    client.expect("550 5.1.1 ");
    client.expect("554 5.5.1");
    client.say("NOOP", "250 ");
}

#[test]
fn w8_bytes_before_the_reply_they_depend_on_end_the_session() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.send("DATA\r\nSubject: early\r\n\r\n.\r\n");
    client.expect("554 5.5.0");
    client.expect_closed();
    assert!(upstream.messages().is_empty());

    let mut client = Client::connect(gateway.smtp());
    client.send("EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n");
    client.expect("554 5.5.0");
    client.expect_closed();
}

#[test]
fn w9_chunks_are_read_away_in_any_pieces() {
    let (_upstream, gateway) = plain_gateway();
    let chunk = "QUIT\r\n".repeat(5000);
    let input = format!("BDAT {} LAST\r\n{chunk}", chunk.len());
    for size in [1000, 4096, input.len()] {
        let mut client = gateway.client();
        client.send_pieces(input.as_bytes().chunks(size));
        let reply = client.reply();
        assert!(matches!(reply.code(), 502 | 503), "{reply:?}");
        client.say("VRFY still-in-step", "252 ");
    }
}

#[test]
fn w10_the_sizes_of_the_standard_are_taken() {
    let (upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    // A command line of 512 octets, CRLF included.
    client.say(&format!("NOOP {}", "x".repeat(505)), "250 ");
    // A path of 256 octets, its brackets included: 64 for the local-part, 189 for the domain.
    let local = "l".repeat(64);
    let labels = ["d".repeat(63), "d".repeat(63), "d".repeat(61)];
    let path = format!("<{local}@{}>", labels.join("."));
    assert_eq!(path.len(), 64 + 1 + 189 + 2);
    client.say(&format!("MAIL FROM:{path}"), "250 ");
    client.say(&format!("RCPT TO:{path}"), "250 ");
    // A text line of 1000 octets, CRLF included.
    let line = format!("{}\r\n", "t".repeat(998));
    client.data(format!("Subject: long\r\n\r\n{line}"));
    client.expect("250 ");
    assert!(upstream.message().text().contains(&line));
}

#[test]
fn w10_a_domain_of_255_octets_is_taken() {
    let (_upstream, gateway) = plain_gateway();
    let domain = [63, 63, 63, 63].map(|n: usize| "d".repeat(n)).join(".");
    assert_eq!(domain.len(), 255);
    let mut client = Client::connect(gateway.smtp());
    client.say(&format!("EHLO {domain}"), "250 ");
}

#[test]
fn w10_a_longer_text_line_is_refused_or_passed_on() {
    let upstream = FakeUpstream::start();
    let body = format!("Subject: long\r\n\r\n{}\r\nend\r\n", "t".repeat(5000));
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data(&body);
    client.expect("554 5.6.0");
    client.say("NOOP", "250 ");
    assert!(upstream.messages().is_empty());

    let gateway = Options::before(&upstream)
        .limits("pass_long_lines = true")
        .start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data(&body);
    client.expect("250 ");
    assert_eq!(upstream.message().original(), body.as_bytes());
}

#[test]
fn w10_replies_are_short_and_clean() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "RCPT" => Act::Raw([b"550 5.1.1 ", &b"x\xc3\xa9"[..].repeat(700)[..], b"\r\n"].concat()),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    let reply = client.say("RCPT TO:<b@example.net>", "550 5.1.1 ");
    for line in reply.raw.split_inclusive(|&b| b == b'\n') {
        assert!(line.len() <= 512, "{} octets", line.len());
        assert!(line.is_ascii(), "{reply:?}");
    }
}

#[test]
fn w11_a_real_size_over_the_limit_is_refused_after_the_data() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .limits("message_size_limit = 70000")
        .start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    let body = format!("Subject: large\r\n\r\n{}", "0123456789\r\n".repeat(10_000));
    client.data(&body);
    client.expect("552 5.3.4");
    client.say("NOOP", "250 ");
    assert!(upstream.messages().is_empty());
    // Exactly the limit is within it.
    let mut exact = "Subject: exact\r\n\r\n".to_owned();
    exact.push_str(&"0123456789abcdefgh\r\n".repeat(4000));
    exact.truncate(69_998);
    exact.push_str("\r\n");
    client.envelope(&["b@example.net"]);
    client.data(&exact);
    client.expect("250 ");
    assert_eq!(upstream.message().original(), exact.as_bytes());
}

#[test]
fn w11_w14_the_smaller_size_is_offered() {
    let upstream = FakeUpstream::offering(&["SIZE 4000"]);
    let gateway = Options::before(&upstream).start();
    let mut client = gateway.client();
    let hello = client.say("EHLO client.example", "250 ");
    let offered = hello.keywords();
    assert!(offered.contains(&"SIZE 4000".to_owned()), "{offered:?}");
    client.say("MAIL FROM:<a@example.com> SIZE=4001", "552 5.3.4");
    client.say("MAIL FROM:<a@example.com> SIZE=4000", "250 ");
}

#[test]
fn w14_keywords_follow_the_upstream() {
    let upstream = FakeUpstream::offering(&["8BITMIME", "SMTPUTF8", "DSN", "PIPELINING"]);
    let gateway = Options::before(&upstream)
        .listener("scopes = false")
        .listener("scopes = false\nsuppressed = \"discard\"")
        .listener("scopes = false\nstreams = [\"transactional\"]")
        .listener("scopes = true")
        .start();
    let offered = |listener: usize| {
        let mut client = Client::connect(gateway.smtp_number(listener));
        client.say("EHLO client.example", "250 ")
    };
    let plain = offered(0);
    for keyword in ["8BITMIME", "SMTPUTF8", "DSN", "SIZE", "PIPELINING"] {
        assert!(plain.offers(keyword), "{keyword}: {plain:?}");
    }
    for keyword in ["REQUIRETLS", "STARTTLS", "AUTH", "CHUNKING", "XCLIENT"] {
        assert!(!plain.offers(keyword), "{keyword}: {plain:?}");
    }
    // Whoever discards, or lets a header take recipients out, offers no DSN.
    for listener in 1..=3 {
        let hello = offered(listener);
        assert!(!hello.offers("DSN"), "listener {listener}: {hello:?}");
        assert!(hello.offers("8BITMIME"), "listener {listener}: {hello:?}");
    }
}

#[test]
fn w14_f6_extensions_that_the_upstream_loses_are_withdrawn() {
    // The upstream closes after each message, so that the next one needs a new EHLO.
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "." => Act::SayAndClose("250 2.0.0 fine"),
        _ => Act::Usual,
    });
    let gateway = Options::before(&upstream)
        .listener("scopes = false")
        .start();
    let mut client = gateway.client();
    let hello = client.say("EHLO client.example", "250 ");
    assert!(hello.offers("DSN") && hello.offers("8BITMIME"));
    upstream.offer(&[]);
    // Connections that were opened for the first EHLO know nothing of it yet; they are used up.
    for _ in 0..4 {
        client.deliver("b@example.net", "250 ");
    }
    let hello = client.say("EHLO client.example", "250 ");
    assert!(!hello.offers("DSN") && !hello.offers("8BITMIME") && !hello.offers("SMTPUTF8"));
    client.say("MAIL FROM:<a@example.com> BODY=8BITMIME", "554 5.6.3");
    client.say("MAIL FROM:<a@example.com> SIZE=100", "250 ");
    client.say("RCPT TO:<b@example.net>", "250 ");
    let mail = upstream.commands_of("MAIL").pop().unwrap();
    assert_eq!(mail, "MAIL FROM:<a@example.com>");
}
