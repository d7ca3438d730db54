use super::*;

mod living;

/// `codes` as in `550 5.1.1`, either of which may be missing.
fn classified(codes: &str, text: &str) -> Classification {
    let status = codes.split(' ').find_map(|code| code.parse().ok());
    let reply_code = codes.split(' ').find_map(|code| code.parse().ok());
    let refusal = Refusal {
        status,
        reply_code,
        text,
        hosts: &[],
    };
    classify(&refusal, &Rules::built_in())
}

/// What it means that RCPT was answered so.
fn refused(code: u16, status: &str, text: &str) -> Classification {
    let refusal = Refusal {
        status: status.parse().ok(),
        reply_code: Some(code),
        text,
        hosts: &[],
    };
    classify_refusal(&refusal, &Rules::built_in())
}

fn check(codes: &str, text: &str, cause: Cause, effect: Effect) {
    let found = classified(codes, text);
    assert_eq!(
        (found.cause, found.effect),
        (cause, effect),
        "{codes} {text}"
    );
    assert_eq!(found.fault, cause.fault());
}

#[test]
fn b3_the_status_alone() {
    check("5.1.1", "", Cause::UserUnknown, Effect::Hard);
    check("5.1.2", "", Cause::HostUnknown, Effect::Hard);
    check("5.1.3", "", Cause::BadAddress, Effect::Hard);
    check("5.1.6", "", Cause::HasMoved, Effect::Hard);
    check("5.1.10", "", Cause::DomainTakesNoMail, Effect::Hard);
    check("5.2.1", "", Cause::MailboxDisabled, Effect::Hard);
    check("5.2.2", "", Cause::MailboxFull, Effect::Soft);
    check("5.4.1", "", Cause::HostUnreachable, Effect::Soft);
    check("5.4.4", "", Cause::Routing, Effect::Soft);
    check("5.4.7", "", Cause::Expired, Effect::Soft);
    check("5.1.7", "", Cause::SenderRejected, Effect::None);
    check("5.1.8", "", Cause::SenderRejected, Effect::None);
    check("5.3.4", "", Cause::TooLarge, Effect::None);
    check("5.5.3", "", Cause::RateLimited, Effect::None);
    check("5.6.0", "", Cause::Content, Effect::None);
    check("5.7.1", "", Cause::Policy, Effect::None);
    check("5.7.26", "", Cause::Authentication, Effect::None);
    check("5.7.515", "", Cause::Authentication, Effect::None);
    check("5.7.606", "", Cause::Blocked, Effect::None);
    check("5.0.0", "", Cause::Unknown, Effect::None);
    check("5.1.0", "", Cause::Unknown, Effect::None);
    check("4.0.0", "", Cause::Unknown, Effect::Soft);
    check("4.1.1", "", Cause::UserUnknown, Effect::Soft);
    check("4.7.1", "", Cause::Policy, Effect::None);
    check("5.7.25", "", Cause::ReverseDns, Effect::None);
    check("5.4.3", "", Cause::DnsFailure, Effect::Soft);
    check("2.1.5", "", Cause::Delivered, Effect::None);
}

#[test]
fn the_text_speaks_before_the_code() {
    check(
        "550 5.1.1",
        "Mailbox full",
        Cause::MailboxFull,
        Effect::Soft,
    );
    check(
        "550 5.2.2",
        "User unknown",
        Cause::UserUnknown,
        Effect::Hard,
    );
    check(
        "550 5.1.1",
        "blocked using dnsbl.example",
        Cause::Blocked,
        Effect::None,
    );
    check(
        "550 5.4.4",
        "Host not found",
        Cause::HostUnknown,
        Effect::Hard,
    );
    check(
        "550",
        "Sorry, no mailbox here by that name",
        Cause::UserUnknown,
        Effect::Hard,
    );
    check(
        "550 5.4.1",
        "Recipient address rejected: Access denied",
        Cause::UserUnknown,
        Effect::Hard,
    );
    check("550", "Access denied", Cause::Policy, Effect::None);
}

#[test]
fn b3_policy_never_marks_the_recipient() {
    check(
        "550 5.7.1",
        "User unknown",
        Cause::UserUnknown,
        Effect::None,
    );
    check(
        "550 5.7.1",
        "Mailbox full",
        Cause::MailboxFull,
        Effect::None,
    );
    check(
        "550 5.1.8",
        "invalid address",
        Cause::UserUnknown,
        Effect::None,
    );
}

#[test]
fn what_the_sender_did_is_not_charged_to_the_recipient() {
    check(
        "451 4.7.1",
        "Greylisted, try again",
        Cause::RateLimited,
        Effect::None,
    );
    check(
        "421 4.7.0",
        "Too many connections",
        Cause::RateLimited,
        Effect::None,
    );
    check(
        "451 4.1.8",
        "Sender address rejected: Domain not found",
        Cause::SenderRejected,
        Effect::None,
    );
}

#[test]
fn a_reply_code_alone_tells_little() {
    check("550", "", Cause::Unknown, Effect::None);
    check("550", "no", Cause::Unknown, Effect::None);
    check("552", "", Cause::Unknown, Effect::None);
    check("554", "", Cause::Unknown, Effect::None);
    check("556", "", Cause::DomainTakesNoMail, Effect::Hard);
    check("450", "", Cause::Unknown, Effect::Soft);
    check("", "", Cause::Unknown, Effect::None);
    assert_eq!(classified("550", "").rule, "reply:550");
    assert_eq!(classified("", "").rule, "none");
    assert_eq!(classified("550 5.1.1", "").rule, "status:5.1.1");
}

#[test]
fn a_doubt_about_the_class_is_settled_for_the_recipient() {
    check("450 5.1.1", "", Cause::UserUnknown, Effect::Soft);
    check(
        "550 4.1.1",
        "User unknown",
        Cause::UserUnknown,
        Effect::Soft,
    );
}

#[test]
fn refusals_at_rcpt_mark_only_when_permanent_and_about_the_recipient() {
    let check = |code, status: &str, text, effect| {
        let found = refused(code, status, text);
        assert_eq!(found.effect, effect, "{code} {status} {text}");
    };
    check(550, "5.1.1", "", Effect::Hard);
    check(550, "5.2.1", "", Effect::Hard);
    check(553, "5.1.3", "", Effect::Hard);
    check(550, "", "No such user", Effect::Hard);
    check(550, "", "", Effect::None);
    check(550, "5.0.0", "refused", Effect::None);
    check(550, "5.7.1", "Relaying denied", Effect::None);
    check(550, "5.7.1", "User unknown", Effect::None);
    check(552, "", "", Effect::Soft);
    check(552, "5.2.2", "", Effect::Soft);
    check(552, "5.3.4", "", Effect::None);
    // The client tries again.
    check(450, "4.2.2", "mailbox full", Effect::None);
    check(451, "4.3.0", "", Effect::None);
    check(450, "5.1.1", "User unknown", Effect::None);
    check(550, "4.1.1", "User unknown", Effect::None);
}

#[test]
fn what_we_said_ourselves_is_not_learnt_again() {
    for (status, text) in [
        (
            "5.1.1",
            "550 5.1.1 0t40h0gtqbxf0000 Recipient suppressed (hard bounce)",
        ),
        (
            "5.2.1",
            "550 5.2.1 0t40h0gtqbxf0000 Recipient suppressed (soft bounces)",
        ),
        ("4.3.0", "451 4.3.0 Temporary lookup failure"),
        ("4.4.2", "451 4.4.2 Upstream connection lost"),
        (
            "5.1.1",
            "554 5.1.1 Amazon SES did not send it, on the suppression list",
        ),
        ("5.1.1", "550 5.1.1 address is on the suppression list"),
    ] {
        let told = classified(status, text);
        assert_eq!(
            (told.cause, told.effect),
            (Cause::Suppressed, Effect::None),
            "{text}"
        );
        let refusal = refused(550, status, text);
        assert_eq!(refusal.effect, Effect::None, "{text}");
    }
}

#[test]
fn a_provider_speaks_its_own_language() {
    let check = |host, status: &str, text, cause, effect| {
        let refusal = Refusal {
            status: status.parse().ok(),
            reply_code: Some(550),
            text,
            hosts: &[host],
        };
        let found = classify(&refusal, &Rules::built_in());
        assert_eq!(
            (found.cause, found.effect),
            (cause, effect),
            "{host} {text}"
        );
    };
    let elsewhere = "mail.example.com";
    let words = "Mailbox unavailable or access denied";
    check("mx3.qq.com", "", words, Cause::RateLimited, Effect::None);
    check(elsewhere, "", words, Cause::UserUnknown, Effect::Hard);
    let words = "Unknown user";
    check(
        "mail.docomo.ne.jp",
        "",
        words,
        Cause::UserUnknown,
        Effect::Soft,
    );
    check(elsewhere, "", words, Cause::UserUnknown, Effect::Hard);
    let microsoft = "example-com.mail.protection.outlook.com";
    check(microsoft, "5.1.10", "", Cause::UserUnknown, Effect::Hard);
    check(
        elsewhere,
        "5.1.10",
        "",
        Cause::DomainTakesNoMail,
        Effect::Hard,
    );
    check("mx.aol.com", "", "554 RLY:B1", Cause::Blocked, Effect::None);
    check(elsewhere, "", "554 RLY:B1", Cause::Unknown, Effect::None);
}

#[test]
fn whether_it_lasts_is_said_by_the_class_the_cause_and_the_rule() {
    let check = |codes, text, permanence| {
        assert_eq!(
            classified(codes, text).permanence,
            permanence,
            "{codes} {text}"
        );
    };
    check("550 5.1.1", "", Permanence::Permanent);
    check("450 4.1.1", "", Permanence::Transient);
    check("552 5.2.2", "", Permanence::Transient);
    check("", "User unknown", Permanence::Permanent);
    check("550 5.7.1", "", Permanence::Permanent);
    check("550", "Mailbox temporarily disabled", Permanence::Transient);
    check("", "no", Permanence::Unknown);
}

#[test]
fn the_words_that_decided_are_told() {
    let found = classified("550 5.1.1", "550 5.1.1 <a@example.com> User Unknown");
    assert_eq!(found.matched.as_deref(), Some("user unknown"));
    assert_eq!(classified("550 5.1.1", "").matched, None);
}
