//! The [`Author`] of a message, as its header tells: whether a mail server wrote it.

mod words;

use super::super::dsn::bare_address;
use super::super::field::{Field, all, first, in_clear};
use words::{
    CARRIERS, FIELDS, LIST_FIELDS, LOCAL_PARTS, MAIL_WORDS, NAMES, OTHER_SUBJECTS, ROBOTS,
    SUBJECTS, TITLES,
};

/// How sure the header makes that a mail server wrote the message, and not a person or their software.
///
/// All of this is forged easily. It keeps ordinary mail from being misread; who is marked is
/// decided from our own token (B2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Author {
    /// Nothing points to a server.
    Person,
    /// It has no return path, or a robot writes under a subject that speaks of failed mail: the words
    /// must tell, and a code must confirm it.
    Perhaps,
    /// Like the last, but its subject has the title of a report, or it has no return path and a subject
    /// that speaks of failed mail, or the robot is a carrier's: the words must tell.
    Likely,
    /// It writes in the name of the mail system; a person may do so, too.
    Server,
    /// It writes under a name that only mail systems have. All they write are reports.
    Daemon,
}

/// Who wrote it.
pub(super) fn author(fields: &[Field<'_>]) -> Author {
    let from = first(fields, "from").map(in_clear).unwrap_or_default();
    let subject = first(fields, "subject").map(in_clear).unwrap_or_default();
    // Courier writes `<@>`, the null path in the form that a header demands.
    let is_empty = fields.iter().any(|field| {
        field.name.eq_ignore_ascii_case("from") && matches!(bare_address(&field.value), "" | "@")
    });
    let is_daemon = is_empty || is_daemon(&from);
    let is_server = is_daemon || is_server(&from) || has_field(fields);
    let speaks_of_failure = speaks_of_failure(&subject);
    if LIST_FIELDS.iter().any(|name| first(fields, name).is_some()) {
        // People write to lists under any name; only what says twice that it is a report may be one.
        return if is_daemon || is_server && speaks_of_failure {
            Author::Server
        } else {
            Author::Person
        };
    }
    if is_daemon {
        Author::Daemon
    } else if is_server && (speaks_of_failure || !is_of_another_kind(&subject)) {
        Author::Server
    } else {
        by_path_and_subject(fields, &from, &subject)
    }
}

/// Who wrote what comes from no mail server by name.
fn by_path_and_subject(fields: &[Field<'_>], from: &str, subject: &str) -> Author {
    let speaks_of_failed_mail = speaks_of_failure(subject) && speaks_of_mail(subject);
    let (has_null_path, is_robot) = (has_null_path(fields), is_robot(from));
    if !has_null_path && !is_robot {
        Author::Person
    } else if has_null_path && speaks_of_failed_mail || has_title(subject) || is_carrier(from) {
        Author::Likely
    } else if has_null_path || speaks_of_failed_mail {
        Author::Perhaps
    } else {
        Author::Person
    }
}

/// Whether a subject begins as only those of reports do.
fn has_title(subject: &str) -> bool {
    let subject = subject.trim().to_ascii_lowercase();
    TITLES.iter().any(|title| subject.starts_with(title))
}

/// Whether no person wrote the message, as far as its header tells: a mail server, or some robot.
pub(super) fn is_machine(fields: &[Field<'_>]) -> bool {
    let from = first(fields, "from").map(in_clear).unwrap_or_default();
    author(fields) > Author::Person || is_robot(&from)
}

/// Whether a subject is about mail rather than parcels or anything else that is delivered.
pub(super) fn speaks_of_mail(subject: &str) -> bool {
    let subject = subject.to_lowercase();
    MAIL_WORDS.iter().any(|words| subject.contains(words))
}

/// Whether a subject is that of a digest or the like, of which mail systems send many.
fn is_of_another_kind(subject: &str) -> bool {
    let subject = subject.trim().to_lowercase();
    // Verizon answers with the subject of the message that was sent.
    !is_answer(&subject) && OTHER_SUBJECTS.iter().any(|words| subject.contains(words))
}

/// Whether a subject says that mail failed. Answers and forwards are written by people.
pub(super) fn speaks_of_failure(subject: &str) -> bool {
    let subject = subject.trim().to_ascii_lowercase();
    !is_answer(&subject) && SUBJECTS.iter().any(|words| subject.contains(words))
}

/// Whether a subject in lower case begins as that of an answer or a forward.
fn is_answer(subject: &str) -> bool {
    subject.split_once(':').is_some_and(|(prefix, _)| {
        matches!(
            prefix.trim(),
            "re" | "aw" | "fw" | "fwd" | "wg" | "sv" | "antw" | "tr" | "rv"
        )
    })
}

fn is_server(from: &str) -> bool {
    let address = bare_address(from);
    let local_part = address
        .rsplit_once('@')
        .map_or(address, |(local_part, _)| local_part);
    let local_part = local_part.trim_matches(['"', ' ']).to_ascii_lowercase();
    let is_local_part = LOCAL_PARTS
        .iter()
        .any(|name| local_part == *name || name.len() > 8 && local_part.ends_with(name))
        || local_part.starts_with("microsoftexchange");
    let display = from.to_ascii_lowercase();
    let display = match display.split_once('<') {
        Some((name, _)) => name,
        // The old style: `address (Name)`.
        None => display.split_once('(').map_or("", |(_, name)| name),
    };
    let display = display.trim_matches(['"', ' ', '\'']);
    is_local_part || NAMES.iter().any(|name| display.starts_with(name))
}

fn is_daemon(from: &str) -> bool {
    let address = bare_address(from);
    let local_part = address.split('@').next().unwrap_or_default();
    local_part.eq_ignore_ascii_case("mailer-daemon")
}

/// Whether the mail comes from one of the carriers whose reports look like any other robot's mail.
fn is_carrier(from: &str) -> bool {
    let domain = bare_address(from)
        .rsplit_once('@')
        .map(|(_, domain)| domain);
    domain.is_some_and(|domain| {
        let domain = domain.to_ascii_lowercase();
        CARRIERS.iter().any(|name| domain.ends_with(name))
    })
}

/// Whether no person reads what is sent to that address.
fn is_robot(from: &str) -> bool {
    let local_part = bare_address(from)
        .split('@')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    local_part.is_empty() || ROBOTS.iter().any(|name| local_part.starts_with(name))
}

fn has_field(fields: &[Field<'_>]) -> bool {
    fields.iter().any(|field| {
        FIELDS.iter().any(|(name, start)| {
            field.name.eq_ignore_ascii_case(name)
                && field
                    .value
                    .get(..start.len())
                    .is_some_and(|value| value.eq_ignore_ascii_case(start))
        })
    })
}

/// RFC 5321 §4.5.5: reports have the null reverse-path. Some stores write it as a daemon's name.
fn has_null_path(fields: &[Field<'_>]) -> bool {
    let is_null = |path: &str| {
        let path = bare_address(path);
        path.is_empty()
            || path
                .get(..13)
                .is_some_and(|start| start.eq_ignore_ascii_case("mailer-daemon"))
    };
    all(fields, "return-path").any(is_null)
        || fields
            .iter()
            .any(|field| field.name.eq_ignore_ascii_case("return-path") && field.value.is_empty())
}

#[cfg(test)]
mod tests {
    use super::super::super::field::fields;
    use super::*;

    #[test]
    fn servers_are_told_from_people() {
        for (header, author_of) in [
            ("From: MAILER-DAEMON@example.com", Author::Daemon),
            ("From: MAILER-DAEMON (Mail System)", Author::Daemon),
            (
                "From: mailer-daemon-weekly@example.com\nList-Unsubscribe: <mailto:u@example.com>",
                Author::Person,
            ),
            (
                "From: MAILER-DAEMON@example.com\nList-Id: <a.example.com>",
                Author::Server,
            ),
            (
                "From: Postmaster via A <a@example.com>\nList-Post: <mailto:a@example.com>\nSubject: x",
                Author::Person,
            ),
            (
                "From: Microsoft Outlook <reader@example.com>\nSubject: Microsoft Outlook Test Message",
                Author::Person,
            ),
            (
                "From: postmaster@example.com\nSubject: Quarantine digest",
                Author::Person,
            ),
            ("From: Mail Delivery System <x@example.com>", Author::Server),
            ("From: <>", Author::Daemon),
            ("From: Postmaster <>", Author::Daemon),
            ("From: x@example.com (Mail Delivery System)", Author::Server),
            ("From: E500_SMTP_Mail_Service@example.com", Author::Server),
            ("X-Failed-Recipients: a@example.com", Author::Server),
            ("Return-Path: <>\nFrom: info@example.com", Author::Perhaps),
            ("Return-Path:\nFrom: info@example.com", Author::Perhaps),
            (
                "Subject: Undeliverable: x\nFrom: no-reply@example.com",
                Author::Perhaps,
            ),
            (
                "Subject: =?utf-8?q?Unzustellbar:_x?=\nTo: a@example.com",
                Author::Perhaps,
            ),
            (
                "Subject: Delivery failed\nFrom: no-reply@example.com",
                Author::Person,
            ),
            ("From: no-reply@mail.docomo.ne.jp", Author::Likely),
            (
                "Subject: Returned mail: x\nFrom: no-reply@example.com",
                Author::Likely,
            ),
            (
                "Return-Path: <>\nSubject: Undeliverable: x\nFrom: info@example.com",
                Author::Likely,
            ),
            (
                "Subject: Undeliverable: x\nFrom: info@example.com",
                Author::Person,
            ),
            (
                "Subject: Re: Undeliverable: x\nFrom: no-reply@example.com",
                Author::Person,
            ),
            ("Subject: Hello\nFrom: info@example.com", Author::Person),
            ("Subject: Hello", Author::Person),
        ] {
            let found: Vec<_> = fields(header.as_bytes(), 1000).collect();
            assert_eq!(author(&found), author_of, "{header}");
        }
    }
}
