//! STARTTLS and AUTH (W5, W6).

use std::sync::Arc;

use crate::harness::{Certificate, Client, FakeUpstream, Gateway, Options, plain_response};

fn gateway(listener: &str) -> (FakeUpstream, Gateway, Arc<Certificate>) {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = Options::before(&upstream)
        .listener(listener)
        .tls(&certificate)
        .user("alice", "correct horse", "")
        .start();
    (upstream, gateway, certificate)
}

fn secured(gateway: &Gateway, certificate: &Certificate) -> Client {
    let mut client = gateway.client();
    client.start_tls(certificate);
    client
}

#[test]
fn w5_what_was_said_in_clear_is_forgotten() {
    let (_upstream, gateway, certificate) = gateway("");
    let mut client = secured(&gateway, &certificate);
    client.say("MAIL FROM:<a@example.com>", "503 ");
    let hello = client.say("EHLO client.example", "250 ");
    assert!(!hello.offers("STARTTLS"));
    client.say("STARTTLS", "503 ");
    client.deliver("b@example.net", "250 ");
    client.quit();
}

#[test]
fn w5_starttls_forgets_a_transaction() {
    let (upstream, gateway, certificate) = gateway("");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.line("STARTTLS");
    let reply = client.reply();
    // Refused inside a transaction, or done and everything forgotten.
    if reply.code() == 220 {
        client.handshake(&certificate).unwrap();
        client.say("RCPT TO:<b@example.net>", "503 ");
    } else {
        assert_eq!(reply.code(), 503, "{reply:?}");
    }
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn w5_f9_a_handshake_that_fails_ends_the_session() {
    let (_upstream, gateway, _certificate) = gateway("");
    let mut client = gateway.client();
    client.say("STARTTLS", "220 ");
    client.line("MAIL FROM:<a@example.com>");
    let heard = client.rest();
    assert!(!heard.windows(4).any(|bytes| bytes == b"250 "), "{heard:?}");
    // The client that dies in the handshake harms nobody else.
    let mut client = gateway.client();
    client.say("STARTTLS", "220 ");
    client.reset();
    gateway.client().quit();
}

#[test]
fn w6_without_tls_auth_is_neither_offered_nor_taken() {
    let (_upstream, gateway, _certificate) = gateway("");
    let mut client = Client::connect(gateway.smtp());
    let hello = client.say("EHLO client.example", "250 ");
    assert!(
        hello.offers("STARTTLS") && !hello.offers("AUTH"),
        "{hello:?}"
    );
    client.log_in("alice", "correct horse", "538 5.7.11");
}

#[test]
fn w6_where_tls_is_required_mail_waits_for_it() {
    let (_upstream, gateway, certificate) = gateway("tls = \"required\"");
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "530 5.7.0");
    client.log_in("alice", "correct horse", "538 5.7.11");
    client.start_tls(&certificate);
    client.say("EHLO client.example", "250 ");
    client.deliver("b@example.net", "250 ");
}

#[test]
fn w6_known_and_unknown_users_hear_the_same() {
    let (_upstream, gateway, certificate) = gateway("");
    let mut client = secured(&gateway, &certificate);
    let hello = client.say("EHLO client.example", "250 ");
    assert!(hello.offers("AUTH"), "{hello:?}");
    let known = client.log_in("alice", "battery staple", "535 5.7.8");
    let unknown = client.log_in("mallory", "battery staple", "535 5.7.8");
    assert_eq!(known, unknown);
    client.say("AUTH LOGIN", "334 VXNlcm5hbWU6");
    client.say("YWxpY2U=", "334 UGFzc3dvcmQ6");
    client.say("d3Jvbmc=", "535 5.7.8");
    client.say("AUTH SCRAM-SHA-1", "504 ");
    client.log_in("alice", "correct horse", "235 2.7.0");
    client.log_in("alice", "correct horse", "503 ");
}

#[test]
fn w6_not_inside_a_transaction() {
    let (_upstream, gateway, certificate) = gateway("");
    let mut client = secured(&gateway, &certificate);
    client.say("EHLO client.example", "250 ");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.log_in("alice", "correct horse", "503 ");
    client.say("RSET", "250 ");
    client.log_in("alice", "correct horse", "235 ");
}

#[test]
fn w6_a_long_response_is_refused_and_star_gives_up() {
    let (_upstream, gateway, certificate) = gateway("");
    let mut client = secured(&gateway, &certificate);
    client.say("EHLO client.example", "250 ");
    client.say("AUTH PLAIN", "334 ");
    client.say(&"A".repeat(12_300), "500 5.5.6");
    client.say("AUTH PLAIN", "334 ");
    client.say("*", "501 ");
    // What is within the limit is only wrong.
    client.say("AUTH PLAIN", "334 ");
    client.line(&"A".repeat(12_000));
    let reply = client.reply();
    assert!(matches!(reply.code(), 501 | 535), "{reply:?}");
    client.log_in("alice", "correct horse", "235 ");
}

#[test]
fn w8_bytes_behind_auth_end_the_session() {
    let (upstream, gateway, certificate) = gateway("clients = []");
    let mut client = secured(&gateway, &certificate);
    client.say("EHLO client.example", "250 ");
    let response = plain_response("alice", "correct horse");
    client.send(format!(
        "AUTH PLAIN {response}\r\nMAIL FROM:<a@example.com>\r\n"
    ));
    client.expect("554 5.5.0");
    client.expect_closed();
    assert!(upstream.commands_of("MAIL").is_empty());
}

#[test]
fn e1_a_client_that_logged_in_may_relay() {
    let (upstream, gateway, certificate) = gateway("clients = []");
    let mut client = secured(&gateway, &certificate);
    client.say("EHLO client.example", "250 ");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<b@example.net>", "550 5.7.1 ");
    client.say("RSET", "250 ");
    client.log_in("alice", "correct horse", "235 ");
    client.deliver("b@example.net", "250 ");
    let received = upstream.message().received();
    assert!(received.contains("with ESMTPSA"), "{received:?}");
    assert!(!received.contains("alice"), "{received:?}");
    let line = gateway.wait_for_log(1).pop().unwrap();
    assert_eq!(line["credential"], "alice");
    assert!(!gateway.stderr().contains("correct horse"));
}

#[test]
fn e11_w14_a_credential_may_discard_and_then_nobody_is_offered_dsn() {
    let upstream = FakeUpstream::start();
    let certificate = Arc::new(Certificate::new());
    let gateway = Options::before(&upstream)
        .tls(&certificate)
        .user("alice", "correct horse", "suppressed = \"discard\"")
        .start();
    gateway.admin().opt_out("out@example.net");
    let mut client = secured(&gateway, &certificate);
    let hello = client.say("EHLO client.example", "250 ");
    assert!(!hello.offers("DSN"), "{hello:?}");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<out@example.net>", "550 5.7.1 ");
    client.say("RSET", "250 ");
    client.log_in("alice", "correct horse", "235 ");
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.say("RCPT TO:<out@example.net>", "250 2.1.5");
    client.data("Subject: a\r\n\r\n");
    client.expect("250 2.0.0");
    assert!(upstream.commands_of("RCPT").is_empty());
}

#[test]
fn e7_requiretls_is_passed_on_or_refused() {
    let certificate = Arc::new(Certificate::new());
    let upstream = FakeUpstream::start();
    let gateway = Options::before(&upstream).tls(&certificate).start();
    let mut client = secured(&gateway, &certificate);
    let hello = client.say("EHLO client.example", "250 ");
    assert!(!hello.offers("REQUIRETLS"), "{hello:?}");
    client.line("MAIL FROM:<a@example.com> REQUIRETLS");
    let line = client.reply().last_line();
    assert!(
        line.starts_with("550 5.7.30") || line.starts_with("550 5.7.10"),
        "{line}"
    );
}

#[test]
fn x21_implicit_tls_begins_at_once() {
    let (_upstream, gateway, certificate) = gateway("tls = \"implicit\"");
    let mut client = Client::dial(gateway.smtp());
    client.handshake(&certificate).unwrap();
    client.expect("220 ");
    let hello = client.say("EHLO client.example", "250 ");
    assert!(!hello.offers("STARTTLS"), "{hello:?}");
    client.deliver("b@example.net", "250 ");
    client.quit();
}
