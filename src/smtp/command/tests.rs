use super::*;
use proptest::prelude::*;

fn parse(line: &str) -> Result<Command, CommandError> {
    Command::parse(&Bytes::copy_from_slice(line.as_bytes()))
}

fn reply(line: &str) -> String {
    parse(line).unwrap_err().reply().to_string()
}

#[test]
fn reads_the_commands_in_any_case() {
    assert_eq!(parse("data"), Ok(Command::Data));
    assert_eq!(parse("Quit"), Ok(Command::Quit));
    assert_eq!(parse("RSET "), Ok(Command::Rset));
    assert_eq!(parse("noop anything"), Ok(Command::Noop));
    assert_eq!(parse("VRFY someone"), Ok(Command::Vrfy));
    assert_eq!(parse("EXPN list"), Ok(Command::NotImplemented));
    assert_eq!(parse("STARTTLS"), Ok(Command::StartTls));
    assert_eq!(
        parse("ehlo [192.0.2.1]"),
        Ok(Command::Hello {
            name: "[192.0.2.1]".into(),
            extended: true
        })
    );
    assert!(matches!(
        parse("mail from:<> SIZE=5"),
        Ok(Command::Mail {
            path: ReversePath::Null,
            ..
        })
    ));
    assert!(matches!(
        parse("Rcpt To:<a@example.com>"),
        Ok(Command::Rcpt { .. })
    ));
    assert_eq!(
        parse("AUTH plain AGEAYg=="),
        Ok(Command::Auth {
            mechanism: Some(Mechanism::Plain),
            initial: Some(Bytes::from_static(b"AGEAYg=="))
        })
    );
    assert_eq!(
        parse("AUTH CRAM-MD5"),
        Ok(Command::Auth {
            mechanism: None,
            initial: None
        })
    );
}

#[test]
fn says_what_is_wrong() {
    assert_eq!(reply("BOGUS"), "500 5.5.2 Command not recognized");
    assert!(reply("").starts_with("500 5.5.2"));
    assert!(reply("DATA now").starts_with("501 5.5.4"));
    assert!(reply("EHLO").starts_with("501 5.5.4"));
    assert!(reply("EHLO a\u{1b}]0;x\u{7}").starts_with("501 5.5.4"));
    assert!(reply("MAIL FROM: <a@example.com>").starts_with("501 5.5.4"));
    assert!(reply("RCPT TO:a@example.com").starts_with("501 5.5.4"));
    assert!(reply("MAIL FROM:<a..b@example.com>").starts_with("501 5.1.7"));
    assert!(reply("RCPT TO:<a..b@example.com>").starts_with("501 5.1.3"));
    assert!(reply("RCPT TO:<a%b@example.com>").starts_with("553 5.1.3"));
    assert!(reply("MAIL FROM:<a@example.com> X=1").starts_with("555 5.5.4"));
    assert!(reply("MAIL FROM:<a@example.com> SIZE=18446744073709551616").starts_with("552 5.3.4"));
}

#[test]
fn h5b_a_path_must_stand_where_it_belongs() {
    for line in [
        "RCPT TO: <a@x.example>",
        "RCPT TO:<a@x.example>NOTIFY=NEVER",
        "RCPT TO:<>",
        "RCPT <a@x.example>",
    ] {
        assert!(parse(line).is_err(), "{line}");
    }
}

#[test]
fn x29_a_chunk_size_does_not_overflow() {
    assert_eq!(parse("BDAT 40"), Ok(Command::Bdat { size: Some(40) }));
    assert_eq!(
        parse("BDAT 18446744073709551616 LAST"),
        Ok(Command::Bdat { size: None })
    );
    assert_eq!(parse("BDAT x"), Ok(Command::Bdat { size: None }));
}

#[test]
fn x35_http_is_recognized() {
    assert_eq!(parse("POST / HTTP/1.1"), Err(CommandError::Http));
    assert_eq!(parse("GET /"), Err(CommandError::Http));
}

proptest! {
    #[test]
    fn any_line_is_read_or_refused(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let line = Bytes::from(line);
        if let Err(error) = Command::parse(&line) {
            prop_assert!(error.reply().code() >= 500);
        }
    }

    #[test]
    fn any_argument_is_read_or_refused(
        verb in prop_oneof![Just("MAIL FROM:"), Just("RCPT TO:"), Just("AUTH "), Just("BDAT "), Just("EHLO "), Just("VRFY ")],
        argument in "\\PC{0,80}",
    ) {
        let _ = parse(&format!("{verb}{argument}"));
    }
}
