use super::*;
use crate::bounce::{Cause, Effect, understand};

/// A report with these groups of fields, as a mail server of today writes it.
fn report_with(media_type: &str, groups: &str) -> Report {
    let message = format!(
        "From: MAILER-DAEMON@mx.example.net\r\nAuto-Submitted: auto-replied\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nIt failed.\r\n\
         --b\r\nContent-Type: {media_type}\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\
         Arrival-Date: Fri, 20 Nov 2026 10:00:00 +0000\r\n\r\n{groups}\r\n\
         --b\r\nContent-Type: message/rfc822\r\n\r\nMessage-ID: <1@example.org>\r\n\
         X-Failed-Recipients: other@example.net\r\nSubject: mailbox full\r\n\r\n\
         550 5.1.1 User unknown\r\n--b--\r\n"
    );
    understand(message.as_bytes(), &Limits::default())
}

fn report(groups: &str) -> Report {
    report_with("message/delivery-status", groups)
}

fn check(fields: &str, kind: Kind, effect: Effect) {
    let report = report(&format!(
        "Final-Recipient: rfc822; b@example.net\r\n{fields}"
    ));
    assert_eq!(report.kind, kind, "{fields}");
    assert_eq!(report.recipients.len(), 1, "{fields}");
    assert_eq!(report.recipients[0].effect, effect, "{fields}");
}

#[test]
fn b3_x52_only_failed_counts_and_only_what_is_the_recipients() {
    check(
        "Action: failed\r\nStatus: 5.1.1\r\n",
        Kind::Bounce,
        Effect::Hard,
    );
    check(
        "action:FAILED (gone)\r\nstatus: 5.1.1 (bad)\r\n",
        Kind::Bounce,
        Effect::Hard,
    );
    check(
        "Action: failed\r\nStatus: 4.2.2\r\n",
        Kind::Bounce,
        Effect::Soft,
    );
    check(
        "Action: failed\r\nStatus: 5.2.2\r\n",
        Kind::Bounce,
        Effect::Soft,
    );
    check(
        "Action: failed\r\nStatus: 4.4.7\r\n",
        Kind::Bounce,
        Effect::Soft,
    );
    check(
        "Action: failed\r\nStatus: 5.7.1\r\n",
        Kind::Bounce,
        Effect::None,
    );
    check("Action: failed\r\n", Kind::Bounce, Effect::None);
    check(
        "Action: delayed\r\nStatus: 4.2.2\r\n",
        Kind::Delayed,
        Effect::None,
    );
    check(
        "Action: delayed\r\nStatus: 5.1.1\r\n",
        Kind::Delayed,
        Effect::None,
    );
    check(
        "Action: delivered\r\nStatus: 5.1.1\r\n",
        Kind::Delivered,
        Effect::None,
    );
    check(
        "Action: relayed\r\nStatus: 5.1.1\r\n",
        Kind::Delivered,
        Effect::None,
    );
    check(
        "Action: expanded\r\nStatus: 5.1.1\r\n",
        Kind::Delivered,
        Effect::None,
    );
    check("Status: 5.1.1\r\n", Kind::Bounce, Effect::None);
}

#[test]
fn every_field_of_a_group_is_read() {
    let report = report(
        "Original-Recipient: rfc822;User+2Btag@example.com\r\n\
         Final-Recipient: RFC822; <user@example.net>\r\nAction: failed\r\nStatus: 5.0.0\r\n\
         Remote-MTA: dns; mx.example.org\r\nDiagnostic-Code: smtp; 550 5.1.1\r\n    no such\r\n\tuser\r\n",
    );
    assert_eq!(report.reporting_mta.as_deref(), Some("mx.example.net"));
    assert_eq!(
        report.arrival_date.as_deref(),
        Some("Fri, 20 Nov 2026 10:00:00 +0000")
    );
    assert_eq!(report.message_id.as_deref(), Some("1@example.org"));
    let recipient = &report.recipients[0];
    assert_eq!(recipient.address, "user@example.net");
    assert_eq!(recipient.original.as_deref(), Some("User+tag@example.com"));
    assert_eq!(recipient.status, Some(EnhancedStatus::of(5, 1, 1)));
    assert_eq!(recipient.reply_code, Some(550));
    assert_eq!(recipient.remote_mta.as_deref(), Some("mx.example.org"));
    assert_eq!(
        recipient.diagnostic.as_deref(),
        Some("550 5.1.1 no such user")
    );
    assert_eq!(
        (recipient.reason, recipient.rule.as_str()),
        (Cause::UserUnknown, "text:user-unknown")
    );
}

#[test]
fn x51_each_of_a_thousand_recipients_is_named_and_no_more() {
    let group = "Final-Recipient: rfc822; b@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n";
    assert_eq!(report(&group.repeat(1000)).recipients.len(), 1000);
    assert_eq!(report(&group.repeat(1500)).recipients.len(), 1000);
}

#[test]
fn x53_addresses_beyond_ascii() {
    let report = report_with(
        "message/global-delivery-status",
        "Original-Recipient: utf-8;j\\x{F6}rg@b\\x{FC}cher.example\r\n\
         Final-Recipient: utf-8; jörg@bücher.example\r\nAction: failed\r\nStatus: 5.1.1\r\n",
    );
    assert_eq!(report.recipients[0].address, "jörg@bücher.example");
    assert_eq!(report.recipients[0].original, None);
    assert_eq!(report.recipients[0].effect, Effect::Hard);
}

#[test]
fn recipients_are_told_apart_by_the_words_where_the_fields_say_nothing() {
    let message = "Content-Type: multipart/report; boundary=b\n\n--b\n\n\
        a@example.net: 550 5.1.1 User unknown\nb@example.net: 552 5.2.2 Mailbox full\n\
        --b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n\
        Final-Recipient: rfc822; a@example.net\nAction: failed\nStatus: 5.0.0\n\n\
        Final-Recipient: rfc822; b@example.net\nAction: failed\nStatus: 5.0.0\n\n\n\n--b--\n";
    for newline in ["\n", "\r\n", "\r"] {
        let message = message.replace('\n', newline);
        let report = understand(message.as_bytes(), &Limits::default());
        let effects: Vec<_> = report.recipients.iter().map(|r| r.effect).collect();
        assert_eq!(effects, [Effect::Hard, Effect::Soft], "{newline:?}");
    }
}

#[test]
fn the_returned_message_is_never_searched_for_a_verdict() {
    let bounce = "Content-Type: multipart/report; report-type=delivery-status; boundary=c\n\n\
        --c\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; x\n\n\
        Final-Recipient: rfc822; victim@example.net\nAction: failed\nStatus: 5.1.1\n\n--c--\n";
    let forwarded = format!(
        "Content-Type: multipart/mixed; boundary=b\n\n--b\n\nLook at this.\n\
         --b\nContent-Type: message/rfc822\n\n{bounce}\n--b--\n"
    );
    let report = understand(forwarded.as_bytes(), &Limits::default());
    assert_eq!((report.kind, report.recipients.len()), (Kind::Other, 0));

    let outer = bounce.replace(
        "--c--",
        &format!("--c\nContent-Type: message/rfc822\n\n{bounce}"),
    );
    let outer = outer.replacen("victim", "outer", 1);
    let report = understand(outer.as_bytes(), &Limits::default());
    assert_eq!(report.recipients[0].address, "outer@example.net");
}

#[test]
fn repeated_fields_count_once_and_a_route_is_no_address() {
    let report = report(
        "Final-Recipient: rfc822; @a.example:b@example.net\r\nAction: nonsense\r\nAction: failed\r\n\
         Status: none\r\nStatus: 5.1.1\r\nStatus: 4.0.0\r\n",
    );
    assert_eq!(report.recipients[0].address, "b@example.net");
    assert_eq!(
        report.recipients[0].status,
        Some(EnhancedStatus::of(5, 1, 1))
    );
    assert_eq!(report.recipients[0].effect, Effect::Hard);
}

#[test]
fn xtext_is_undone_only_where_it_is_certain() {
    for (written, read) in [
        ("rfc822;User+2Btag@example.com", "User+tag@example.com"),
        ("rfc822;john+AB@example.com", "john+AB@example.com"),
        ("rfc822;j+C3+B6rg@example.com", "jörg@example.com"),
        ("rfc/822; a+3Db@example.com", "a=b@example.com"),
        ("utf-8; a\\x{zz}b@example.com", "a\\x{zz}b@example.com"),
        ("utf-8; a\\x{0A}b@example.com", "a\\x{0A}b@example.com"),
        (
            "rfc822; \"a b\"@example.com (comment)",
            "\"a b\"@example.com (comment)",
        ),
    ] {
        assert_eq!(address(written).as_deref(), Some(read), "{written}");
    }
    assert_eq!(address("rfc822;"), None);
    assert_eq!(address("rfc822; @mx.example.net"), None);
}

#[test]
fn the_hosts_own_code_wins_where_the_field_says_little_or_blames_the_recipient() {
    let of = |text: &str| text.parse().ok();
    for (field, said, better_one) in [
        ("5.0.0", "5.1.1", "5.1.1"),
        ("5.0.0", "4.2.2", "4.2.2"),
        ("5.1.1", "5.7.1", "5.7.1"),
        ("5.1.1", "5.2.2", "5.1.1"),
        ("4.0.0", "5.1.1", "4.0.0"),
        ("4.4.7", "4.2.2", "4.2.2"),
        ("5.2.2", "", "5.2.2"),
        ("", "5.2.2", "5.2.2"),
    ] {
        assert_eq!(
            better(of(field), of(said)),
            of(better_one),
            "{field} {said}"
        );
    }
}

#[test]
fn b5_a_report_that_a_person_attached_is_none() {
    let message = |from: &str, media_type: &str| {
        let message = format!(
            "From: {from}\nContent-Type: {media_type}; boundary=b\n\n--b\n\nSee below.\n\
             --b\nContent-Type: message/delivery-status\n\n\
             Final-Recipient: rfc822; b@example.net\nAction: failed\nStatus: 5.1.1\n\n--b--\n"
        );
        understand(message.as_bytes(), &Limits::default())
    };
    let attached = message("reader@example.com", "multipart/mixed");
    assert_eq!((attached.kind, attached.recipients.len()), (Kind::Other, 0));
    for (from, media_type) in [
        ("reader@example.com", "multipart/report"),
        (
            "reader@example.com",
            "multipart/mixed; report-type=delivery-status",
        ),
        ("postmaster@example.com", "multipart/mixed"),
        ("no-reply@example.com", "multipart/mixed"),
        ("<>", "multipart/mixed"),
    ] {
        let report = message(from, media_type);
        assert_eq!(report.recipients.len(), 1, "{from} {media_type}");
        assert_eq!(report.recipients[0].effect, Effect::Hard);
    }
}
