//! LMTP (RFC 2033): the same session with another greeting and a reply for each recipient.

use super::*;

fn local() -> Session {
    let mut session = Session::new(
        ServerOptions {
            lmtp: true,
            ..options()
        },
        false,
    );
    session.send(b"LHLO client.example\r\n");
    session
}

#[test]
fn rfc2033_each_accepted_recipient_has_a_reply_of_its_own() {
    let mut session = local();
    session.send(
        b"MAIL FROM:<>\r\nRCPT TO:<a@example.net>\r\nRCPT TO:<b@refused.example>\r\n\
          RCPT TO:<c@example.net>\r\nDATA\r\n",
    );
    assert_eq!(
        session.codes(),
        [
            "250",
            "250 2.0.0",
            "250 2.1.5",
            "550 5.1.5",
            "250 2.1.5",
            "354"
        ]
    );
    assert_eq!(session.server.replies_due(), 2);
    session.send(b"Subject: x\r\n\r\n.\r\n");
    // The session of the tests answers once; the other reply is still owed.
    assert_eq!(session.codes(), ["250 2.0.0"]);
    session.send(b"NOOP\r\n");
    assert!(session.codes().is_empty());
    let status = EnhancedStatus::of(4, 3, 0);
    session.server.reply(Reply::new(451, status, "later"));
    session.send(b"");
    assert_eq!(session.codes(), ["451 4.3.0", "250 2.0.0"]);
}

#[test]
fn rfc2033_no_recipient_is_503_and_a_session_has_one_protocol() {
    let mut session = local();
    session.send(b"MAIL FROM:<>\r\nRCPT TO:<b@refused.example>\r\nDATA\r\n");
    assert_eq!(
        session.codes(),
        ["250", "250 2.0.0", "550 5.1.5", "503 5.5.1"]
    );
    session.send(b"EHLO client.example\r\n");
    session.send(b"HELO client.example\r\n");
    session.send(b"LHLO client.example\r\n");
    assert_eq!(session.codes(), ["503 5.5.1", "503 5.5.1", "250"]);
    let mut mail = Session::greeted();
    mail.server.options.lmtp = true;
    mail.send(b"LHLO client.example\r\n");
    assert_eq!(mail.codes(), ["503 5.5.1"]);
}

#[test]
fn rfc2033_lhlo_is_unknown_where_lmtp_is_not_spoken() {
    let mut session = Session::new(options(), false);
    session.send(b"LHLO client.example\r\n");
    assert_eq!(session.codes(), ["500 5.5.2"]);
    session.send(b"EHLO client.example\r\n");
    assert_eq!(session.codes(), ["250"]);
}

#[test]
fn b1_a_listener_may_hide_why_a_recipient_cannot_be_read() {
    let mut session = Session::new(
        ServerOptions {
            unreadable_recipients: true,
            ..options()
        },
        false,
    );
    let long = format!("RCPT TO:<{}@example.net>\r\n", "a".repeat(70));
    session.send(b"EHLO c\r\n").send(long.as_bytes());
    assert_eq!(
        session.codes(),
        ["250", "503 5.5.1"],
        "the order comes first"
    );
    session.send(b"MAIL FROM:<>\r\n");
    session.codes();
    session.send(long.as_bytes());
    session.send(b"RCPT TO:<a b@example.net>\r\n");
    session.send(b"RCPT TO: <a@example.net>\r\n");
    assert_eq!(session.codes(), ["550 5.1.1", "550 5.1.1", "501 5.5.4"]);
}
