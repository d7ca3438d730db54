//! Time, memory and numbers (W12, W13, F10, F22), and whom to believe about addresses (W15).

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::harness::{
    Act, Certificate, Client, FakeUpstream, Options, each_way, eventually, plain_gateway,
};

/// How often a slow client sends one more byte.
const DRIP: Duration = Duration::from_millis(100);

/// Sends one byte after the other until the gateway has had enough; what it said, and after how long.
fn drip(client: &mut Client, bytes: &[u8]) -> (Vec<String>, Duration) {
    let begun = Instant::now();
    for byte in bytes.iter().cycle() {
        // A pause that ends early when there is something to hear.
        match client.try_reply(DRIP) {
            Ok(reply) => {
                let mut heard = vec![reply.last_line()];
                heard.extend(client.remaining_replies());
                return (heard, begun.elapsed());
            }
            Err("closed") => return (Vec::new(), begun.elapsed()),
            Err(_) => {}
        }
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "it waits for ever"
        );
        let _ = client.try_send([*byte]);
    }
    unreachable!("a cycle does not end")
}

fn assert_timeout(heard: &[String], took: Duration) {
    assert_eq!(heard.len(), 1, "{heard:?}");
    assert!(heard[0].starts_with("421 4.4.2"), "{heard:?}");
    assert!(took > Duration::from_millis(800), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn w12_x36_one_byte_at_a_time_does_not_reset_the_clock() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .timeouts("command = \"1s\"")
        .start();
    let (heard, took) = drip(&mut gateway.client(), b"NOOP ");
    assert_timeout(&heard, took);
    // Silence is no better, and a command done in time starts the clock anew.
    let mut client = gateway.client();
    for _ in 0..3 {
        assert!(client.is_silent_for(Duration::from_millis(500)));
        client.say("NOOP", "250 ");
    }
    let begun = Instant::now();
    let heard = client.remaining_replies();
    assert_timeout(&heard, begun.elapsed());
}

#[test]
fn w12_x36_slow_data_ends_in_421() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .timeouts("data = \"1s\"\ndata_rate = 500")
        .start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.say("DATA", "354 ");
    client.send("Subject: slow\r\n\r\n");
    let (heard, took) = drip(&mut client, b"abcdefgh\r\n");
    assert_timeout(&heard, took);
    assert!(upstream.messages().is_empty());
    // Data at a decent rate may take longer than the pause that is allowed.
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.say("DATA", "354 ");
    client.send("Subject: steady\r\n\r\n");
    for _ in 0..15 {
        assert!(client.is_silent_for(DRIP));
        client.send("0123456789\r\n".repeat(20));
    }
    client.send(".\r\n");
    client.expect("250 ");
}

#[test]
fn w12_x36_a_slow_handshake_and_a_slow_login_are_cut_off() {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = Options::before(&upstream)
        .tls(&certificate)
        .user("alice", "correct horse", "")
        .timeouts("command = \"1s\"\ntls_handshake = \"1s\"")
        .start();
    let mut client = gateway.client();
    client.say("STARTTLS", "220 ");
    // The beginning of a ClientHello that never ends.
    let (heard, took) = drip(&mut client, &[0x16, 0x03, 0x01, 0x3f, 0xff, 0x01, 0, 0]);
    assert!(heard.is_empty(), "{heard:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
    let mut client = gateway.client();
    client.start_tls(&certificate);
    client.say("EHLO client.example", "250 ");
    client.say("AUTH PLAIN", "334 ");
    let (heard, took) = drip(&mut client, b"A");
    assert_timeout(&heard, took);
}

#[test]
fn w13_too_many_connections_are_turned_away() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .limits("connection_limit = 3\nconnections_per_client_limit = 2")
        .start();
    let from = |host: u8| {
        let source = std::net::IpAddr::from([127, 0, 0, host]);
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket
            .bind(&std::net::SocketAddr::new(source, 0).into())
            .unwrap();
        socket.connect(&gateway.smtp().into()).unwrap();
        Client::over(socket.into())
    };
    let mut first = from(11);
    first.expect("220 ");
    let mut second = from(11);
    second.expect("220 ");
    let mut third = from(11);
    third.expect("421 ");
    third.expect_closed();
    let mut other = from(12);
    other.expect("220 ");
    let mut fifth = from(13);
    fifth.expect("421 ");
    fifth.expect_closed();
    first.quit();
    eventually("a place to become free", || {
        let mut client = from(13);
        (client.reply().code() == 220).then_some(())
    });
    second.say("NOOP", "250 ");
}

#[test]
fn w13_too_many_errors_end_the_session() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    let mut errors = 0;
    loop {
        client.line("FROBNICATE");
        let reply = client.reply();
        if reply.code() == 421 {
            break;
        }
        assert_eq!(reply.code(), 500, "{reply:?}");
        errors += 1;
        assert!(errors <= 21, "more than twenty errors");
    }
    assert!(errors >= 19, "only {errors} errors");
    client.expect_closed();
}

#[test]
fn w13_too_many_commands_that_do_nothing_end_the_session() {
    for junk in ["NOOP", "RSET", "VRFY a", "HELP", "EHLO client.example"] {
        let (_upstream, gateway) = plain_gateway();
        let mut client = gateway.client();
        let mut count = 0;
        loop {
            client.line(junk);
            let reply = client.reply();
            count += 1;
            if reply.code() == 421 || client.is_over() {
                break;
            }
            assert!(count <= 101, "{junk}: more than a hundred");
        }
        assert!(count >= 99, "{junk}: only {count}");
    }
}

#[test]
fn w13_mail_forgives_commands_that_do_nothing() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    for _ in 0..3 {
        for _ in 0..60 {
            client.say("NOOP", "250 ");
        }
        client.deliver("b@example.net", "250 ");
    }
}

#[test]
fn w13_a_header_without_end_is_refused() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).start();
    let before = gateway.resident_kib();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("X-Filler: 0123456789\r\n".repeat(500_000));
    let reply = client.reply();
    assert!((500..600).contains(&reply.code()), "{reply:?}");
    client.say("NOOP", "250 ");
    assert!(upstream.messages().is_empty());
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 10_000, "{grown} KiB more");
}

#[test]
fn w3_data_that_is_refused_is_not_read_for_ever() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .limits("message_size_limit = 65536")
        .start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.say("DATA", "354 ");
    client.send("Subject: a\n\r\n");
    for _ in 0..2048 {
        if client.try_send([b'x'; 998]).is_err() || client.try_send(*b"\r\n").is_err() {
            break;
        }
    }
    let heard = client.remaining_replies();
    assert!(
        heard.iter().all(|reply| reply.starts_with("421 4.7.0")),
        "{heard:?}"
    );
    assert!(upstream.messages().is_empty());
}

#[test]
fn w13_a_line_without_end_takes_no_memory() {
    let (_upstream, gateway) = plain_gateway();
    let mut client = gateway.client();
    let before = gateway.resident_kib();
    for _ in 0..300 {
        if client.try_send([b'x'; 100_000]).is_err() {
            break;
        }
    }
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 5000, "{grown} KiB more");
}

#[test]
fn f10_five_hundred_idle_sessions_take_little_memory() {
    let (upstream, gateway) = plain_gateway();
    let mut first = gateway.client();
    first.deliver("b@example.net", "250 ");
    let before = gateway.resident_kib();
    let mut idle: Vec<Client> = (0..500).map(|_| gateway.client()).collect();
    let grown = gateway.resident_kib().saturating_sub(before);
    assert!(grown < 500 * 24, "{grown} KiB for 500 sessions");
    // They are alive, and others are served meanwhile.
    first.deliver("b@example.net", "250 ");
    for client in idle.iter_mut().step_by(50) {
        client.say("NOOP", "250 ");
    }
    assert_eq!(upstream.messages().len(), 2);
}

#[test]
fn f22_without_descriptors_it_waits_and_recovers() {
    let upstream = FakeUpstream::start();
    let mut gateway = Options::before(&upstream)
        .shell_prefix("ulimit -n 64")
        .start();
    let clients: Vec<Client> = (0..100).map(|_| Client::dial(gateway.smtp())).collect();
    gateway.wait_for_stderr("accept");
    drop(clients);
    assert!(gateway.is_running());
    eventually("the gateway to recover", || {
        let mut client = Client::dial(gateway.smtp());
        let greeting = client.try_reply(Duration::from_secs(1)).ok()?;
        (greeting.code() == 220).then_some(())
    });
    let mut client = gateway.client();
    client.deliver("b@example.net", "250 ");
    // Backing off means not to fill the log meanwhile.
    let said = gateway.stderr().matches("accept").count();
    assert!(said < 200, "{said} lines");
}

#[test]
fn w15_a_listed_balancer_tells_who_connected() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("proxy = [\"127.0.0.0/8\"]\nclients = [\"192.0.2.0/24\"]")
        .start();
    let v1 = b"PROXY TCP4 192.0.2.77 198.51.100.1 56324 25\r\n";
    let mut v2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    v2.extend([192, 0, 2, 78, 198, 51, 100, 1, 0xdc, 4, 0, 25]);
    let mut count = 0;
    for (header, address) in [(&v1[..], "192.0.2.77"), (&v2[..], "192.0.2.78")] {
        for pieces in each_way(header).into_iter().step_by(5) {
            let mut client = Client::dial(gateway.smtp());
            client.send_pieces(pieces);
            client.expect("220 ");
            client.say("EHLO client.example", "250 ");
            client.deliver("b@example.net", "250 ");
            count += 1;
            let line = gateway.wait_for_log(count).pop().unwrap();
            assert_eq!(line["client"], address);
        }
    }
    // Somebody else is nobody here.
    let mut client = Client::dial(gateway.smtp());
    client.send("PROXY TCP4 203.0.113.5 198.51.100.1 56324 25\r\n");
    client.expect("220 ");
    client.say("EHLO client.example", "250 ");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "550 5.7.1 ");
}

#[test]
fn w13_w15_clients_behind_a_balancer_are_counted_each() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("proxy = [\"127.0.0.0/8\"]")
        .limits("connections_per_client_limit = 1")
        .start();
    let from = |host: u8| {
        let mut client = Client::dial(gateway.smtp());
        client.send(format!(
            "PROXY TCP4 192.0.2.{host} 198.51.100.1 56324 25\r\n"
        ));
        client
    };
    let (mut first, mut other) = (from(1), from(2));
    first.expect("220 ");
    other.expect("220 ");
    let mut second = from(1);
    second.expect("421 ");
    second.expect_closed();
}

#[test]
fn w15_x34_where_the_header_is_required_nothing_else_is_taken() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("proxy = [\"127.0.0.0/8\"]")
        .timeouts("command = \"1s\"\ntls_handshake = \"1s\"")
        .start();
    let long = format!("PROXY TCP4 {}", "1".repeat(200));
    let inputs: [&[u8]; 6] = [
        b"EHLO client.example\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
        long.as_bytes(),
        b"PROXY TCP4 999.0.0.1 127.0.0.1 1 25\r\n",
        b"PROXY TCP4\r\n",
        b"PRO",
    ];
    for input in inputs {
        let mut client = Client::dial(gateway.smtp());
        let _ = client.try_send(input);
        let heard = client.rest();
        assert!(
            heard.is_empty(),
            "{}: {}",
            input.escape_ascii(),
            heard.escape_ascii()
        );
    }
}

#[test]
fn w15_xclient_resets_the_session_and_not_inside_a_transaction() {
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream)
        .listener("xclient = [\"127.0.0.1\"]\nclients = [\"192.0.2.0/24\"]")
        .start();
    let mut client = Client::connect(gateway.smtp());
    let hello = client.say("EHLO relay.example", "250 ");
    assert!(hello.offers("XCLIENT"), "{hello:?}");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("XCLIENT ADDR=192.0.2.9", "503 ");
    client.say("RSET", "250 ");
    client.say("XCLIENT ADDR=192.0.2.9", "220 ");
    client.say("MAIL FROM:<a@example.com>", "503 ");
    client.say("EHLO client.example", "250 ");
    client.deliver("b@example.net", "250 ");
    assert!(upstream.message().received().contains("[192.0.2.9]"));
    assert_eq!(gateway.wait_for_log(1)[0]["client"], "192.0.2.9");
    // Elsewhere it is neither offered nor taken.
    let source = std::net::IpAddr::from([127, 0, 0, 44]);
    let mut other = Client::connect_from(source, gateway.smtp());
    let hello = other.say("EHLO relay.example", "250 ");
    assert!(!hello.offers("XCLIENT"), "{hello:?}");
    other.line("XCLIENT ADDR=192.0.2.9");
    assert!((500..600).contains(&other.reply().code()));
    other.say("MAIL FROM:<a@example.com>", "250 ");
    other.say("RCPT TO:<b@example.net>", "550 5.7.1 ");
}

#[test]
fn c2_sigterm_finishes_what_is_in_flight() {
    let upstream = FakeUpstream::scripted(|moment| match moment.verb {
        "." => Act::After(Duration::from_millis(500), Box::new(Act::Usual)),
        _ => Act::Usual,
    });
    let mut gateway = Options::before(&upstream).start();
    let mut idle = gateway.client();
    let mut busy = gateway.client();
    busy.envelope(&["b@example.net"]);
    busy.data("Subject: a\r\n\r\n");
    gateway.signal("TERM");
    idle.expect("421 4.3.2");
    idle.expect_closed();
    busy.expect("250 ");
    assert!(gateway.wait_exit().success());
    assert!(upstream.message().accepted);
    assert_eq!(gateway.log().len(), 1);
}
