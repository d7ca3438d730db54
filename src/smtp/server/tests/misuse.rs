//! Clients that send too early, too much, or something that is not SMTP.

use super::*;

#[test]
fn w5_x21_bytes_behind_starttls_are_never_executed() {
    let mut session = Session::greeted();
    session.send(b"STARTTLS\r\nMAIL FROM:<x@example.com>\r\n");
    assert_eq!(session.codes(), ["554 5.5.0"]);
    assert_eq!(session.events, ["close EarlyInput"]);
}

#[test]
fn w6_x30_long_lines() {
    let mut session = Session::new(options(), true);
    session.send(b"EHLO c\r\n");
    session.send(format!("AUTH PLAIN {}\r\n", "A".repeat(12_300)).as_bytes());
    session.send(format!("EHLO {}\r\n", "a".repeat(2100)).as_bytes());
    session
        .send(b"AUTH PLAIN\r\n")
        .send(format!("{}\r\n", "A".repeat(12_300)).as_bytes());
    assert_eq!(
        session.codes(),
        ["250", "500 5.5.6", "500 5.5.2", "334", "500 5.5.6"]
    );
    let long = format!("AUTH PLAIN {}\r\n", "A".repeat(12_300));
    for piece in long.as_bytes().chunks(100) {
        session.send(piece);
    }
    assert_eq!(session.codes(), ["500 5.5.6"]);
}

#[test]
fn w8_bytes_behind_data_ehlo_or_auth_close_the_session() {
    let mut session = Session::greeted();
    session
        .send(MAIL)
        .send(RCPT)
        .send(b"DATA\r\nSubject: early\r\n");
    assert_eq!(session.codes(), ["250 2.0.0", "250 2.1.5", "554 5.5.0"]);
    assert_eq!(session.events.last().unwrap(), "close EarlyInput");

    let mut session = Session::new(options(), false);
    session.send(b"EHLO client.example\r\nMAIL FROM:<a@example.com>\r\n");
    assert_eq!(session.codes(), ["554 5.5.0"]);

    let mut session = Session::new(options(), true);
    session
        .send(b"EHLO client.example\r\n")
        .send(b"AUTH PLAIN AHUAcA==\r\nNOOP\r\n");
    assert_eq!(session.codes(), ["250", "554 5.5.0"]);
}

#[test]
fn w8_bytes_that_come_before_the_answer_is_made_up_are_never_executed() {
    for (before, command) in [
        (&b""[..], &b"EHLO client.example\r\n"[..]),
        (b"EHLO client.example\r\n", b"AUTH PLAIN AGEAYg==\r\n"),
        (
            b"EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<b@example.net>\r\n",
            b"DATA\r\n",
        ),
    ] {
        let mut session = Session::new(options(), true);
        for line in before.split_inclusive(|&b| b == b'\n') {
            session.send(line);
        }
        session.server.input().extend_from_slice(command);
        assert!(session.server.next_event().is_some());
        session
            .server
            .input()
            .extend_from_slice(b"MAIL FROM:<smuggled@example.com>\r\n");
        session
            .server
            .reply(Reply::new(454, EnhancedStatus::of(4, 7, 0), "Not now"));
        assert!(session.server.is_closed());
        let output = session.server.output().split();
        assert!(output.starts_with(b"554 5.5.0"), "{output:?}");
    }
}

#[test]
fn w13_errors_before_a_message_that_went_through_are_forgiven() {
    let mut session = Session::greeted();
    for _ in 0..3 {
        session.send(b"BOGUS\r\nBOGUS\r\nBOGUS\r\n");
        session.server.forgive();
        assert!(!session.server.is_closed());
    }
    session.send(b"BOGUS\r\nBOGUS\r\nBOGUS\r\n");
    session.send(b"BOGUS\r\nBOGUS\r\nBOGUS\r\n");
    assert!(session.server.is_closed());
}

#[test]
fn w9_x29_an_uninvited_chunk_is_skipped_or_ends_the_session() {
    let mut session = Session::greeted();
    session
        .send(b"BDAT 40\r\nMAIL FROM:<smuggled@example.com>\r\nNOOP\r\n")
        .send(b"NOOP\r\n");
    assert_eq!(
        session.codes(),
        ["502 5.5.1", "250 2.0.0"],
        "no octet of the chunk is a command"
    );
    assert!(session.events.is_empty());
    let mut session = Session::greeted();
    session.send(b"BDAT 18446744073709551615 LAST\r\n");
    assert_eq!(session.codes(), ["421 4.7.0"]);
}

#[test]
fn w13_errors_and_junk_end_in_421() {
    let mut session = Session::greeted();
    for _ in 0..7 {
        session.send(b"BOGUS\r\n");
    }
    assert_eq!(session.codes().last().unwrap(), "421 4.7.0");
    assert!(session.server.is_closed());

    let mut session = Session::greeted();
    for _ in 0..7 {
        session.send(b"NOOP\r\n");
    }
    assert_eq!(session.codes().last().unwrap(), "421 4.7.0");
}

#[test]
fn x7_what_follows_a_true_end_is_commands_again() {
    let mut session = Session::greeted();
    session.send(MAIL).send(RCPT).send(b"DATA\r\n").send(
        b"Subject: outer\r\n\r\nouter\0\r\n.\r\nMAIL FROM:<smuggled@example.com>\r\n\
          RCPT TO:<smuggled@example.net>\r\nDATA\r\nSubject: inner\r\n\r\ninner\r\n.\r\nQUIT\r\n",
    );
    assert_eq!(
        session.codes(),
        [
            "250 2.0.0",
            "250 2.1.5",
            "354",
            "550 5.5.2",
            "250 2.0.0",
            "250 2.1.5",
            "554 5.5.0"
        ]
    );
}

#[test]
fn x35_http_closes_after_the_first_line() {
    let mut session = Session::new(options(), false);
    session.send(b"POST / HTTP/1.1\r\nHost: x\r\n\r\nMAIL FROM:<a@example.com>\r\n");
    assert_eq!(session.codes(), ["500 5.5.2"]);
    assert_eq!(session.events, ["close NotSmtp"]);
}
