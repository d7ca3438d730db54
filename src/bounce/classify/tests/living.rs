//! No living address is called dead for what the sender or a passing trouble is to blame for.

use super::*;

/// All of these come with the codes of a dead address.
fn check_all(cause: Cause, effect: Effect, texts: &[&str]) {
    for text in texts {
        check("550 5.1.1", text, cause, effect);
    }
}

#[test]
fn a_failed_verification_does_not_make_a_dead_address() {
    check_all(
        Cause::SystemTrouble,
        Effect::None,
        &[
            "<a@example.com>: Recipient address rejected: unverified address: connect to \
             mx.example.com[192.0.2.1]:25: Connection timed out",
            "Recipient address rejected: unverified address: Address verification in progress",
            "Unable to verify recipient, LDAP timeout",
            "Unable to verify recipient",
            "Recipient verification failed: timeout",
            "Recipient verify failed",
            "recipient could not be verified because the directory server is down",
            "recipient was not reached: network",
        ],
    );
    let probe = "Recipient address rejected: undeliverable address";
    let told = |words| format!("{probe}: host mx.example.com[192.0.2.1] {words}");
    let check = |text: &str, cause, effect| check("550 5.1.1", text, cause, effect);
    check(&told("said: 554 denied"), Cause::Policy, Effect::None);
    check(
        &told("refused to talk to me: 554 denied"),
        Cause::Blocked,
        Effect::None,
    );
    check(
        &told("said: 550 User unknown"),
        Cause::UserUnknown,
        Effect::Hard,
    );
    check(probe, Cause::UserUnknown, Effect::Hard);
}

#[test]
fn passing_trouble_does_not_make_a_dead_address() {
    check_all(
        Cause::SystemTrouble,
        Effect::None,
        &[
            "mailbox is being migrated, mailbox is locked",
            "mailbox locked by another process",
            "mailbox currently unavailable, try later",
            "recipient unavailable due to maintenance",
            "local mailbox unavailable: database error",
            "user not found, but this may be temporary",
            "no such user, or a temporary failure",
            "Temporary lookup failure",
        ],
    );
    check_all(
        Cause::MailboxDisabled,
        Effect::Soft,
        &[
            "Account locked due to too many failed logins",
            "temporarily suspended, account locked",
        ],
    );
    check_all(
        Cause::DnsFailure,
        Effect::Soft,
        &[
            "Unrouteable address: DNS lookup timed out",
            "Host not found: timeout talking to resolver",
            "hostname lookup failed, resolver timeout",
        ],
    );
}

#[test]
fn an_unknown_sender_is_not_an_unknown_recipient() {
    check_all(
        Cause::SenderRejected,
        Effect::None,
        &[
            "sender not found in directory",
            "sender x user unknown",
            "sender <a@example.org> user unknown",
            "you are not registered to send here",
            "your domain example.org does not exist",
            "Domain example.org has no MX record, we do not accept mail from it",
            "mail from example.org: domain not found",
            "Your domain has expired",
            "Callout verification failed: User unknown",
            "Sender account disabled",
            "your account has expired",
            "This account has been suspended. Outgoing mail is off",
            "550-Requested action not taken: mailbox unavailable\r\n550 Sender address is not allowed.",
            "550-Requested action not taken: mailbox unavailable\r\n550 invalid DNS MX or A/AAAA resource record",
        ],
    );
    for (cause, text) in [
        (Cause::Authentication, "IP not found in SPF"),
        (Cause::ReverseDns, "IP not registered in DNS"),
        (Cause::ReverseDns, "Your host name does not exist"),
        (Cause::ReverseDns, "IP address 192.0.2.1 not found"),
        (Cause::Protocol, "HELO domain does not exist"),
        (Cause::RecipientRestricted, "not found in safe sender list"),
        (Cause::Security, "unknown user or password"),
        (Cause::Security, "Invalid user name or password for relay"),
        (Cause::Security, "no user authentication given"),
        (Cause::RateLimited, "no account credits left"),
        (Cause::Blocked, "Your IP has no account"),
        (
            Cause::Authentication,
            "550-Requested action not taken: mailbox unavailable\r\n550 Reject due to SPF policy",
        ),
    ] {
        check("550 5.1.1", text, cause, Effect::None);
    }
}

#[test]
fn only_what_is_said_of_a_mailbox_makes_it_dead() {
    for text in [
        "mail spool disk has moved",
        "message was retired from queue",
        "the service is not known here",
        "this is not a valid command",
        "the file does not exist",
        "server name is not recognized",
        "this feature is not activated",
        "this relay was discontinued",
    ] {
        check("550", text, Cause::Unknown, Effect::None);
    }
    check_all(
        Cause::UserUnknown,
        Effect::Hard,
        &[
            "The alias you wrote to does not exist",
            "local part is unknown",
            "No such inbox",
            "e-mail not found",
            "This number is not known: unknown subscriber",
            "Recipient name is not recognized",
            "There is no such mailbox",
        ],
    );
    check_all(
        Cause::HasMoved,
        Effect::Hard,
        &["This address has been retired", "User has moved"],
    );
}

#[test]
fn the_sender_is_looked_for_before_the_mailbox_at_gmx_and_outlook_too() {
    let check = |host: &str, text: &str, cause, effect| {
        let refusal = Refusal {
            status: None,
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
    let gmx = "mx00.gmx.net";
    let unavailable = "550 Requested action not taken: mailbox unavailable";
    check(gmx, unavailable, Cause::UserUnknown, Effect::Hard);
    let second =
        |line| format!("550-Requested action not taken: mailbox unavailable\r\n550 {line}");
    for (line, cause) in [
        (
            "invalid DNS MX or A/AAAA resource record",
            Cause::SenderRejected,
        ),
        ("Sender address is not allowed.", Cause::SenderRejected),
        ("Reject due to SPF policy", Cause::Authentication),
    ] {
        let text = second(line);
        check(gmx, &text, cause, Effect::None);
    }
    let outlook = "example-com.olc.protection.outlook.com";
    let marked = format!("{unavailable} (S2017062302)");
    check(outlook, &marked, Cause::UserUnknown, Effect::Hard);
}
