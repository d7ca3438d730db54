use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Processor time this thread has used: a busy machine does not count against us.
fn processor_time() -> Duration {
    let used = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = used.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

/// What the worst input may take. Optimised code keeps well below the 50 ms that are promised;
/// without optimisation it is twenty times slower.
const TIME_LIMIT: Duration = Duration::from_millis(if cfg!(debug_assertions) { 1000 } else { 50 });

/// The input must be read quickly, or put aside; and it marks nobody.
fn check_hostile(name: &str, message: &[u8]) {
    let start = processor_time();
    let report = understand(message, &Limits::default());
    let took = processor_time() - start;
    assert!(took < TIME_LIMIT, "{name} took {took:?}");
    assert!(
        report.recipients.iter().all(|r| r.effect == Effect::None),
        "{name}"
    );
    assert!(report.recipients.len() <= Limits::default().recipient_limit);
}

/// As many copies as the default limits read, and some more.
fn repeated(text: &str) -> String {
    text.repeat((1 << 20) / text.len() + 2)
}

#[test]
fn b7_x53_hostile_mime_is_read_quickly_or_put_aside() {
    let h1 = "Content-Type: message/rfc822\r\n\r\n".repeat(35_000);
    check_hostile("nested messages", h1.as_bytes());

    let mut h2 = String::new();
    for level in 0..20_000 {
        h2 += &format!(
            "--zz{level}\r\nContent-Type: multipart/mixed; boundary=zz{}\r\n\r\n",
            level + 1
        );
    }
    let h2 = format!("Content-Type: multipart/mixed; boundary=zz0\r\n\r\n{h2}");
    check_hostile("nested multiparts", h2.as_bytes());
    let lost = h2.replace("boundary=zz", "boundary=lost");
    check_hostile(
        "nested multiparts that lost their boundaries",
        lost.as_bytes(),
    );

    for (name, start, piece) in [
        (
            "multiparts never closed",
            "boundary=O",
            "--O\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n",
        ),
        ("many parts", "boundary=b", "--b\r\n\r\nx\r\n"),
        ("many empty parts", "boundary=b", "--b\n"),
        ("lines that could be boundaries", "boundary=b", "--c\n"),
        ("dashes", "boundary=-", "-"),
        (
            "encoded parts",
            "boundary=b",
            "--b\nContent-Transfer-Encoding: base64\n\nQUJD\n",
        ),
    ] {
        let body = repeated(piece);
        let message = format!("Content-Type: multipart/mixed; {start}\r\n\r\n{body}");
        check_hostile(name, message.as_bytes());
    }
    for encoding in ["base64", "quoted-printable", "7bit"] {
        let body = repeated("=41=\n");
        let message = format!(
            "From: MAILER-DAEMON@example.net\nContent-Type: text/plain; charset=iso-2022-jp\n\
             Content-Transfer-Encoding: {encoding}\n\n{body}"
        );
        check_hostile(encoding, message.as_bytes());
    }
}

#[test]
fn b7_x53_hostile_headers_are_read_quickly() {
    for (name, piece) in [
        ("a long line", "a"),
        ("a long folded field", "a\r\n "),
        ("many fields", "a:b\r\n"),
        ("many addresses", "a@b, "),
        ("encoded words", "=?utf-8?q?a?= "),
        ("beginnings of encoded words", "=?utf-8?q?"),
        ("lines that are no fields", "a\r\n"),
    ] {
        for field in ["X", "To", "Subject", "Content-Type", "X-Failed-Recipients"] {
            let message = format!("{field}: {}\r\n\r\nhello", &repeated(piece)[..1_000_000]);
            check_hostile(&format!("{name} in {field}"), message.as_bytes());
        }
    }
}

#[test]
fn b7_hostile_reports_are_read_quickly() {
    for (name, piece) in [
        (
            "many groups",
            "Final-Recipient: rfc822; a@b\nAction: delayed\n\n",
        ),
        (
            "groups that run together",
            "Final-Recipient: rfc822; a@b\nFinal-Recipient: c@d\n",
        ),
        ("recipients named again", "a:b\nOriginal-Recipient: a@b\n"),
        ("groups of nobody", "Status: 5\n\n"),
        ("many empty groups", "\r\n"),
        ("groups of one field", "a:b\n\n"),
        ("a long diagnostic", "Diagnostic-Code: smtp; mailbox x "),
        ("many status codes", "Status: 5.0.0\n"),
    ] {
        for first in ["", "Final-Recipient: rfc822; a@b\n"] {
            let content = format!("{first}{}", repeated(piece));
            let message = format!("Content-Type: message/delivery-status\r\n\r\n{content}");
            check_hostile(name, message.as_bytes());
        }
    }
    for (name, piece) in [
        ("many complaints", "Original-Rcpt-To: a@b\n"),
        ("complaints in a row", "a@b,"),
    ] {
        let numbered: String = repeated(piece)
            .split_inclusive('a')
            .zip(0..200_000)
            .map(|(piece, number)| format!("{piece}{number}"))
            .collect();
        let message = format!(
            "Content-Type: message/feedback-report\n\nFeedback-Type: other\nOriginal-Rcpt-To: x@y\n{numbered}"
        );
        check_hostile(name, message.as_bytes());
    }
    // What came back stands in front, and each of the reports might ask for it.
    let returned = "eHh4eHh4eHh4eHh4eHh4eHh4eHh4\n".repeat(30_000);
    let reports =
        "--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\n".repeat(98);
    let message = format!(
        "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n--b\n\
         Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n{returned}\n{reports}--b--\n"
    );
    check_hostile("many complaints about one message", message.as_bytes());
    let failed: String = (0..5_000).map(|n| format!(" a{n}@example.net,")).collect();
    let lines: String = (0..5_000).map(|n| format!("a{n}@example.net\n")).collect();
    let words = format!("X-Failed-Recipients:{failed}\n\n{lines}");
    check_hostile("many failed recipients", words.as_bytes());
}

#[test]
fn b7_hostile_words_of_a_mail_server_are_read_quickly() {
    for (name, piece) in [
        ("an address on each line", "<a@example.com>: no\n"),
        ("many addresses", "a@example.com "),
        ("addresses upon each other", "a@"),
        ("brackets", "<"),
        ("marks of a copy", "--- copy "),
        ("codes", "550 5.0.0 "),
        ("beginnings of a phrase", "mailbox "),
        ("marks of HTML", "<td>&amp;"),
        ("open marks of HTML", "<a href="),
        ("fields of a report", "Final-Recipient: x\n"),
        ("quotations", "> "),
        ("empty lines", "\n"),
        ("beyond ASCII", "ä"),
    ] {
        let words = repeated(piece);
        for kind in ["plain", "html"] {
            let message = format!(
                "From: MAILER-DAEMON@example.net\nSubject: Warning: message delayed\n\
                 Content-Type: text/{kind}\n\n{words}"
            );
            check_hostile(&format!("{name} in {kind}"), message.as_bytes());
        }
    }
}

#[test]
fn b7_x53_a_header_line_of_a_megabyte_hides_no_report() {
    let long = "x".repeat(1_000_000);
    let fields = "Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n";
    let message = |outer: &str, inner: &str| {
        format!(
            "X-Long: {outer}\r\nContent-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
             --b\r\nX-Long: {inner}\r\nContent-Type: message/delivery-status\r\n\r\n\
             X-Long: {inner}\r\n\r\n{fields}\r\n--b--\r\n"
        )
    };
    for message in [message(&long, ""), message("", &long[..500_000])] {
        let start = processor_time();
        let report = understand(message.as_bytes(), &Limits::default());
        let took = processor_time() - start;
        assert!(took < TIME_LIMIT, "{took:?}");
        assert_eq!(report.recipients[0].effect, Effect::Hard);
    }
}

#[test]
fn b7_a_header_that_does_not_end_is_unreadable() {
    let message = "a: b\r\n".repeat(20_000);
    let report = understand(message.as_bytes(), &Limits::default());
    assert_eq!(report.kind, Kind::Unreadable);
}

#[test]
fn x53_a_report_without_its_last_boundary_is_read() {
    let message = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
        --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\n\
        Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\nStatus: 5.1.1";
    let report = understand(message.as_bytes(), &Limits::default());
    assert_eq!(report.recipients[0].effect, Effect::Hard);
}

#[test]
fn what_lies_beyond_the_size_limit_is_not_missed() {
    let message = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; a@example.net\r\n\
        Action: failed\r\nStatus: 5.1.1\r\n\r\n--b\r\nContent-Type: message/rfc822\r\n\r\n";
    let message = format!("{message}{}", "x".repeat(1 << 20));
    let report = understand(message.as_bytes(), &Limits::default());
    assert_eq!(report.recipients[0].effect, Effect::Hard);
}

/// Pieces that reports are made of, in any order.
fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just("Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n"),
        Just("Content-Type: message/delivery-status\r\n"),
        Just("Content-Type: message/feedback-report\r\n"),
        Just("Content-Type: text/plain; charset=iso-2022-jp\r\n"),
        Just("Content-Type: multipart/digest; boundary=\r\n"),
        Just("Content-Transfer-Encoding: base64\r\n"),
        Just("Content-Transfer-Encoding: quoted-printable\r\n"),
        Just("Final-Recipient: utf-8; \\x{110000}ö+C3@x\r\n"),
        Just("Original-Recipient: rfc822;+2B+2\r\n"),
        Just("Action: failed\r\nStatus: 5.1.\r\n"),
        Just("Diagnostic-Code: smtp; 550-5.1.1 mailbox é is full\r\n"),
        Just("Feedback-Type: abuse\r\nOriginal-Rcpt-To: <@\r\n"),
        Just("X-Failed-Recipients: a@b, <c@d\r\n"),
        Just("\r\n"),
        Just("\r"),
        Just("--b\r\n"),
        Just("--b--"),
        Just("=?utf-8?q?x"),
        Just("\u{85}\u{2028}\"<"),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat().into_bytes())
}

proptest! {
    #[test]
    fn b7_no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = understand(&bytes, &Limits::default());
    }

    #[test]
    fn b7_no_pieces_of_reports_panic(
        bytes in pieces(),
        noise in prop::collection::vec(any::<u8>(), 0..8),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(bytes.len() + 1);
        let bytes = [&bytes[..at], &noise, &bytes[at..]].concat();
        let small = Limits {
            size_limit: 700,
            header_limit: 200,
            part_limit: 2,
            depth_limit: 1,
            recipient_limit: 1,
            text_limit: 10,
        };
        for limits in [Limits::default(), small] {
            let report = understand(&bytes, &limits);
            prop_assert!(report.recipients.len() <= limits.recipient_limit);
        }
    }

    #[test]
    fn line_ends_make_no_difference(bytes in pieces()) {
        let with = |end: &str| {
            let text = String::from_utf8_lossy(&bytes).replace('\r', "").replace('\n', end);
            understand(text.as_bytes(), &Limits::default())
        };
        prop_assert_eq!(with("\n"), with("\r\n"));
        prop_assert_eq!(with("\n"), with("\r"));
    }

    #[test]
    fn no_text_panics(text in ".*", code in any::<u16>()) {
        let refusal = Refusal { reply_code: Some(code), text: &text, ..Refusal::default() };
        let _ = classify_refusal(&refusal, &Rules::built_in());
        let _ = understand_text(&text, &Limits::default());
    }
}
