use super::*;
use crate::bounce::{Limits, understand};
use crate::suppression::KeyMaker;

const OWN_DOMAIN: &str = "returns.example.com";

fn now() -> Timestamp {
    Timestamp::from_millis(1_700_000_000_000)
}

fn key(address: &str) -> RecipientKey {
    key_of(&Tenant::default(), &Address::parse(address).unwrap())
}

fn key_of(tenant: &Tenant, address: &Address) -> RecipientKey {
    KeyMaker::new(b"pepper").key(tenant, address)
}

/// What vouches for the reports of these tests.
#[derive(Clone)]
enum Vouching {
    Nobody,
    Token {
        kind: TokenKind,
        subject: RecipientKey,
        sent: Vec<RecipientKey>,
        addressed: bool,
    },
}

/// The return path of a message to one recipient.
fn of(recipient: &str) -> Vouching {
    token(TokenKind::Recipient, recipient, &[])
}

/// The return path of a message to several.
fn of_all(recipients: &[&str]) -> Vouching {
    token(TokenKind::Transaction, "set@example.com", recipients)
}

/// The address that takes off a recipient.
fn unsubscribe(recipient: &str) -> Vouching {
    token(TokenKind::Unsubscribe, recipient, &[])
}

fn token(kind: TokenKind, subject: &str, sent: &[&str]) -> Vouching {
    Vouching::Token {
        kind,
        subject: key(subject),
        sent: sent.iter().map(|address| key(address)).collect(),
        addressed: true,
    }
}

fn label() -> Label {
    Label {
        stream: Some("offers".into()),
        campaign: Some("spring".into()),
        credential: None,
        scope: Some("list:news.example.com".into()),
    }
}

fn prove(message: &str, vouching: &Vouching) -> Vec<Lesson> {
    let report = understand(message.as_bytes(), &Limits::default());
    let heading = Heading::read(message.as_bytes(), "gw.example");
    let tenant = Tenant::default();
    let label = label();
    let made;
    let witness = match vouching {
        Vouching::Nobody => Witness::Trust { tenant: &tenant },
        Vouching::Token {
            kind,
            subject,
            sent,
            addressed,
        } => {
            made = Token {
                kind: *kind,
                tenant: tenant.clone(),
                subject: *subject.as_bytes(),
                label: 1,
                at: now(),
                nonce: 1,
            };
            Witness::Token {
                token: &made,
                label: &label,
                sent,
                addressed: *addressed,
            }
        }
    };
    let named = Named::of(
        &report,
        |address| key_of(&tenant, address),
        |address| address.domain() == OWN_DOMAIN,
    );
    lessons(&Case {
        report: &report,
        heading: &heading,
        digest: message.as_bytes(),
        bearer: "192.0.2.1",
        witness,
        named: &named,
    })
}

/// Whom a report marks, and with what.
fn marks(message: &str, vouching: &Vouching) -> Vec<(RecipientKey, String)> {
    prove(message, vouching)
        .into_iter()
        .map(|lesson| (lesson.key, word(&lesson.change).to_owned()))
        .collect()
}

#[track_caller]
fn check(message: &str, vouching: &Vouching, expected: &[(&str, &str)]) {
    let expected: Vec<_> = expected
        .iter()
        .map(|(address, what)| (key(address), (*what).to_owned()))
        .collect();
    assert_eq!(marks(message, vouching), expected, "{message}");
}

/// A report with a group of fields for each recipient.
fn dsn(groups: &[&str]) -> String {
    let groups = groups.join("\r\n");
    format!(
        "From: MAILER-DAEMON@mx.example.net\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\n\
         Reporting-MTA: dns; MX.example.net\r\n\r\n{groups}\r\n--b--\r\n"
    )
}

fn group(address: &str, action: &str, status: &str) -> String {
    format!("Final-Recipient: rfc822; {address}\r\nAction: {action}\r\nStatus: {status}\r\n")
}

fn gone(address: &str) -> String {
    group(address, "failed", "5.1.1")
}

fn full(address: &str) -> String {
    group(address, "failed", "4.2.2")
}

fn complaint(fields: &str) -> String {
    format!(
        "From: fbl@example.net\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
         --b\r\nContent-Type: message/feedback-report\r\n\r\n\
         User-Agent: x/1\r\nVersion: 1\r\n{fields}\r\n--b\r\n\
         Content-Type: text/rfc822-headers\r\n\r\nMessage-ID: <1@example.com>\r\nSubject: x\r\n\r\n--b--\r\n"
    )
}

const B: &str = "b@example.net";
const C: &str = "c@example.org";

#[test]
fn b2_a_report_about_one_recipient_is_about_them_whatever_it_names() {
    check(&dsn(&[&gone(B)]), &of(B), &[(B, "hard")]);
    // Forwarded to somebody else, who is not there.
    check(
        &dsn(&[&gone("elsewhere@example.com")]),
        &of(B),
        &[(B, "hard")],
    );
    check(
        &dsn(&[&full("elsewhere@example.com")]),
        &of(B),
        &[(B, "soft")],
    );
    let lesson = &prove(&dsn(&[&gone(B)]), &of(B))[0];
    assert_eq!(lesson.address.as_deref(), Some(B));
    assert_eq!(lesson.message_at, Some(now()));
    assert_eq!(lesson.source.provider, "example.net");
    assert_eq!(lesson.source.host, "mx.example.net");
    let forwarded = &prove(&dsn(&[&gone("elsewhere@example.com")]), &of(B))[0];
    assert_eq!(forwarded.address, None, "the address of somebody else");
}

#[test]
fn b2_mere_words_about_somebody_else_prove_nothing() {
    let words = |text: &str| {
        format!(
            "From: MAILER-DAEMON@mx.example.net\r\nSubject: Delivery failed\r\n\
             Auto-Submitted: auto-replied\r\n\r\n{text}\r\n"
        )
    };
    let gone = |address: &str| {
        words(&format!(
            "Your message could not be delivered to the following recipient:\r\n\r\n\
             <{address}>:\r\nNo such user here"
        ))
    };
    check(&gone(B), &of(B), &[(B, "hard")]);
    check(&gone("elsewhere@example.com"), &of(B), &[]);
    // A code makes it a report of a mail server, which knows whom it forwarded to.
    let coded = gone("elsewhere@example.com").replace("No such", "550 5.1.1 No such");
    check(&coded, &of(B), &[(B, "hard")]);
}

#[test]
fn b2_of_several_that_are_named_the_one_we_wrote_to_counts() {
    let report = dsn(&[&gone(C), &full(B), &gone("d@example.org")]);
    check(&report, &of(B), &[(B, "soft")]);
    // Nobody we know: all must have fared alike.
    check(&report, &of("x@example.com"), &[]);
    let alike = dsn(&[&gone(C), &gone("d@example.org")]);
    check(&alike, &of(B), &[(B, "hard")]);
}

#[test]
fn b2_an_address_that_leads_to_two_mailboxes_is_not_dead_while_one_lives() {
    let original = format!("Original-Recipient: rfc822; {B}\r\n");
    let dead = format!("{original}{}", gone("one@example.org"));
    let alive = format!(
        "{original}{}",
        group("two@example.org", "delivered", "2.0.0")
    );
    check(&dsn(&[&dead, &alive]), &of(B), &[]);
    check(&dsn(&[&dead, &dead]), &of(B), &[(B, "hard")]);
    check(&dsn(&[&dead, &alive]), &of_all(&[B]), &[]);
}

#[test]
fn b2_x51_a_report_about_several_marks_members_of_the_set_only() {
    let report = dsn(&[&gone(B), &gone("victim@example.com"), &full(C)]);
    check(
        &report,
        &of_all(&[B, C, "d@example.com"]),
        &[(B, "hard"), (C, "soft")],
    );
    // The set is gone, or was never recorded.
    check(&report, &of_all(&[]), &[]);
    let original = format!(
        "Original-Recipient: rfc822;{B}\r\n{}",
        gone("moved@example.com")
    );
    check(&dsn(&[&original]), &of_all(&[B, C]), &[(B, "hard")]);
}

#[test]
fn x51_of_a_thousand_recipients_only_the_members_count() {
    let groups: Vec<String> = (0..1000)
        .map(|n| gone(&format!("r{n}@example.net")))
        .collect();
    let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
    let report = dsn(&groups);
    let members = ["r7@example.net", "r999@example.net"];
    let expected = [(members[0], "hard"), (members[1], "hard")];
    check(&report, &of_all(&members), &expected);
}

#[test]
fn b3_x52_only_final_failures_of_the_recipient_count() {
    for (action, status, what) in [
        ("failed", "5.1.1", Some("hard")),
        ("failed", "4.2.2", Some("soft")),
        ("failed", "4.4.1", Some("soft")),
        ("failed", "5.7.1", None),
        ("delayed", "5.1.1", None),
        ("relayed", "2.1.5", None),
        ("delivered", "2.1.5", None),
        ("expanded", "2.1.5", None),
    ] {
        let report = dsn(&[&group(B, action, status)]);
        let expected: Vec<_> = what.into_iter().map(|what| (B, what)).collect();
        check(&report, &of(B), &expected);
        check(&report, &of_all(&[B, C]), &expected);
        check(&report, &Vouching::Nobody, &expected);
    }
}

#[test]
fn b4_one_message_is_one_event_from_however_many_hosts() {
    let first = prove(&dsn(&[&gone(B)]), &of(B)).remove(0);
    let other_host =
        dsn(&[&gone("elsewhere@example.com")]).replace("MX.example.net", "backup.example.net");
    let second = prove(&other_host, &of(B)).remove(0);
    assert_eq!(first.id, second.id);
    assert_ne!(first.actor, second.actor);
    let soft = prove(&dsn(&[&full(B)]), &of(B)).remove(0);
    assert_ne!(first.id, soft.id);
    let other = prove(&dsn(&[&gone(C)]), &of(C)).remove(0);
    assert_ne!(first.id, other.id);
}

#[test]
fn b5_x54_mail_that_is_no_report_changes_nothing() {
    let away = format!(
        "From: {B}\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\n550 5.1.1 {B}\r\n"
    );
    let person = format!("From: {B}\r\nSubject: Re: news\r\n\r\nUser {B} unknown, I think.\r\n");
    let not_spam = complaint(&format!(
        "Feedback-Type: not-spam\r\nOriginal-Rcpt-To: {B}\r\n"
    ));
    for message in [&away, &person, &not_spam] {
        check(message, &of(B), &[]);
        check(message, &of_all(&[B]), &[]);
        check(message, &Vouching::Nobody, &[]);
    }
    check(&away, &unsubscribe(B), &[]);
    check(&not_spam, &unsubscribe(B), &[]);
    check(&dsn(&[&gone(B)]), &unsubscribe(B), &[]);
}

#[test]
fn mail_to_an_address_that_takes_off_takes_off() {
    for message in [
        format!("From: {B}\r\nSubject: unsubscribe\r\nMessage-ID: <1@example.net>\r\n\r\n"),
        format!("From: {B}\r\nSubject: no more\r\nMessage-ID: <1@example.net>\r\n\r\nPlease.\r\n"),
    ] {
        let lesson = prove(&message, &unsubscribe(B)).remove(0);
        assert_eq!((lesson.key, lesson.message_at), (key(B), None));
        let Change::OptOut { scope, grounds } = lesson.change else {
            panic!("another change");
        };
        assert_eq!(scope.to_string(), "list:news.example.com");
        assert_eq!(grounds.campaign.as_deref(), Some("spring"));
        let evidence = grounds.evidence.unwrap();
        assert!(
            evidence.contains(B) && evidence.contains("<1@example.net>"),
            "{evidence}"
        );
    }
    let message = format!("From: {B}\r\nSubject: unsubscribe\r\n\r\n");
    // To the return path it takes off everything; to that of several, nobody knows whom.
    let lesson = prove(&message, &of(B)).remove(0);
    assert!(matches!(
        lesson.change,
        Change::OptOut {
            scope: Scope::All,
            ..
        }
    ));
    check(&message, &of_all(&[B]), &[]);
    check(&message, &Vouching::Nobody, &[]);
}

#[test]
fn an_address_that_is_only_quoted_takes_nobody_off() {
    let Vouching::Token {
        kind,
        subject,
        sent,
        ..
    } = unsubscribe(B)
    else {
        panic!("no token");
    };
    let quoted = Vouching::Token {
        kind,
        subject,
        sent,
        addressed: false,
    };
    check(
        "From: c@example.org\r\nSubject: look at this\r\n\r\n",
        &quoted,
        &[],
    );
    check(
        "From: c@example.org\r\nSubject: unsubscribe\r\n\r\n",
        &quoted,
        &[(B, "opt_out")],
    );
}

#[test]
fn somebody_who_was_taken_off_and_came_back_can_leave_again() {
    let mail =
        |id: u8| format!("From: {B}\r\nSubject: unsubscribe\r\nMessage-ID: <{id}@x>\r\n\r\n");
    let ids: Vec<_> = [1, 1, 2]
        .map(|id| prove(&mail(id), &unsubscribe(B)).remove(0).id)
        .to_vec();
    assert_eq!(ids[0], ids[1]);
    assert_ne!(ids[0], ids[2]);
}

#[test]
fn b2_a_complaint_counts_with_a_token_and_names_stream_and_campaign() {
    let named = complaint(&format!(
        "Feedback-Type: abuse\r\nOriginal-Rcpt-To: {B}\r\n"
    ));
    let lesson = prove(&named, &of(B)).remove(0);
    assert_eq!(
        lesson.change,
        Change::Complaint {
            stream: Some("offers".into()),
            campaign: Some("spring".into())
        }
    );
    // Providers blank out the recipient; the token knows.
    let blank = complaint("Feedback-Type: abuse\r\nOriginal-Rcpt-To: redacted@example.net\r\n");
    let silent = complaint("Feedback-Type: abuse\r\n");
    for message in [&blank, &silent] {
        check(message, &of(B), &[(B, "complaint")]);
        check(message, &unsubscribe(B), &[(B, "complaint")]);
        check(message, &of_all(&[B]), &[]);
        check(message, &Vouching::Nobody, &[]);
    }
    check(&named, &of_all(&[B, C]), &[(B, "complaint")]);
    check(&named, &of_all(&[C]), &[]);
    let leaves = complaint("Feedback-Type: opt-out\r\n");
    check(&leaves, &of(B), &[(B, "opt_out")]);
    for kind in ["fraud", "virus", "auth-failure", "other", "not-spam"] {
        check(
            &complaint(&format!("Feedback-Type: {kind}\r\n")),
            &of(B),
            &[],
        );
    }
}

#[test]
fn b2_a_trusted_source_needs_no_token_and_is_never_about_us() {
    check(
        &dsn(&[&gone(B), &full(C)]),
        &Vouching::Nobody,
        &[(B, "hard"), (C, "soft")],
    );
    check(
        &dsn(&[&gone("bounce@returns.example.com")]),
        &Vouching::Nobody,
        &[],
    );
    let forwarded = format!("Original-Recipient: rfc822;{B}\r\n{}", gone(C));
    let lesson = prove(&dsn(&[&forwarded]), &Vouching::Nobody).remove(0);
    assert_eq!((lesson.key, lesson.message_at), (key(B), None));
    assert_eq!(lesson.identity, Identity::OriginalRecipient);
    let named = complaint(&format!(
        "Feedback-Type: abuse\r\nOriginal-Rcpt-To: {B}\r\n"
    ));
    check(&named, &Vouching::Nobody, &[(B, "complaint")]);
}

#[test]
fn b7_x53_nothing_that_cannot_be_read_proves_anything() {
    let broken = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n";
    for message in ["", "\r\n", broken, "Final-Recipient: rfc822; b@example.net"] {
        for vouching in [of(B), of_all(&[B]), Vouching::Nobody] {
            check(message, &vouching, &[]);
        }
    }
}
