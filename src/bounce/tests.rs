use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Processor time this thread has used: a busy machine does not count against us.
fn processor_time() -> Duration {
    let used = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanoseconds = used.split(' ').next().unwrap().parse().unwrap();
    Duration::from_nanos(nanoseconds)
}

/// The text names a MIME bomb: it must be read quickly, or put aside.
fn check_hostile(name: &str, message: &[u8]) {
    let start = processor_time();
    let report = understand(message, &Limits::default());
    let took = processor_time() - start;
    assert!(took < Duration::from_millis(50), "{name} took {took:?}");
    assert!(
        report.recipients.iter().all(|r| r.effect == Effect::None),
        "{name}"
    );
}

#[test]
fn b7_x53_hostile_input_is_read_quickly_or_put_aside() {
    let h1 = "Content-Type: message/rfc822\r\n\r\n".repeat(33_000);
    check_hostile("nested messages", h1.as_bytes());

    let mut h2 = String::new();
    for level in 0..10_000 {
        h2 += &format!(
            "--zz{level}\r\nContent-Type: multipart/mixed; boundary=zz{}\r\n\r\n",
            level + 1
        );
    }
    let h2 = format!("Content-Type: multipart/mixed; boundary=zz0\r\n\r\n{h2}");
    check_hostile("nested multiparts", h2.as_bytes());

    let open = "--O\r\nContent-Type: multipart/mixed; boundary=zz\r\n\r\n".repeat(8_000);
    let open = format!("Content-Type: multipart/mixed; boundary=O\r\n\r\n{open}");
    check_hostile("multiparts never closed", open.as_bytes());

    let parts = "--b\r\n\r\nx\r\n".repeat(50_000);
    let parts = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}");
    check_hostile("many parts", parts.as_bytes());

    let line = format!("X: {}\r\n\r\n", "a".repeat(1 << 20));
    check_hostile("a long header line", line.as_bytes());
    let folded = format!("X: {}\r\n\r\n", "a\r\n ".repeat(10_000));
    check_hostile("a long folded field", folded.as_bytes());
    let fields = "a:b\r\n".repeat(200_000);
    check_hostile("many fields", fields.as_bytes());
    let dashes = format!(
        "Content-Type: multipart/mixed; boundary=-\r\n\r\n{}",
        "-".repeat(1 << 20)
    );
    check_hostile("dashes", dashes.as_bytes());
}

#[test]
fn b7_hostile_reports_are_read_quickly() {
    let head = "Content-Type: message/delivery-status\r\n\r\n";
    let groups = "Final-Recipient: rfc822; a@b\r\nAction: delayed\r\n\r\n".repeat(20_000);
    check_hostile("many groups", format!("{head}{groups}").as_bytes());
    check_hostile(
        "many empty groups",
        format!("{head}{}", "\r\n".repeat(200_000)).as_bytes(),
    );
    let diagnostic = "Diagnostic-Code: smtp; mailbox x ".repeat(8_000);
    check_hostile(
        "a long diagnostic",
        format!("{head}Final-Recipient: rfc822; a@b\r\n{diagnostic}\r\n").as_bytes(),
    );
    let failed: String = (0..5_000).map(|n| format!(" a{n}@example.net,")).collect();
    let lines: String = (0..5_000).map(|n| format!("a{n}@example.net\n")).collect();
    let words = format!("X-Failed-Recipients:{failed}\n\n{lines}");
    check_hostile("many failed recipients", words.as_bytes());
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
    fn no_text_panics(text in ".*", code in any::<u16>()) {
        let refusal = Refusal { reply_code: Some(code), text: &text, ..Refusal::default() };
        let _ = classify_refusal(&refusal, &Rules::built_in());
        let _ = understand_text(&text, &Limits::default());
    }
}
