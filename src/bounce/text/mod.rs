//! A report in words: a mail server writes to a person that it could not deliver.
//!
//! Whether a message is such a report is decided strictly, from its header ([`author`]) and the words
//! of known programs ([`phrases`]) together. Whom it names is read by where addresses stand ([`scan`]).

mod address;
mod author;
mod body;
mod html;
mod matcher;
mod notification;
mod phrases;
mod scan;
mod told;
mod words;

pub(super) use told::{told_about, without_returned_message};

use super::codes::{reply_code_in, status_in};
use super::dsn::{bare_address, read_fields};
use super::field::{Field, all, fields, first};
use super::part::Message;
use super::recipient::{Action, Identity, ReportedRecipient};
use super::{Kind, Limits, Report};
use author::{Author, author, speaks_of_failure};
use scan::{Findings, scan};

/// Fields of the report's header that name failed recipients.
const VENDOR_FIELDS: &[&str] = &[
    // Exim, Gmail, Google Groups
    "x-failed-recipients",
    "x-failed-recipient",
    // Courier, PowerMTA and scripts around them
    "x-bounced-recipient",
    "x-bounce-recipient",
    "x-original-failed-recipient",
];

/// Reads the report, if the message is one.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let fields = message.fields();
    let texts = || body::texts(message, limits);
    if let Some(report) = texts().find_map(|text| notification::read(&text, limits)) {
        return Some(report);
    }
    let author = author(&fields);
    if author == Author::Person {
        return None;
    }
    let named_by_field = vendor_recipients(&fields, limits);
    if !named_by_field.is_empty() {
        let text = texts().next().unwrap_or_default();
        let named = named_by_field.into_iter().map(Identified::by_field);
        return Some(report(message, &fields, &text, named.collect(), limits));
    }
    let own = own_addresses(&fields);
    let own: Vec<_> = own.iter().map(String::as_str).collect();
    for text in texts() {
        let words = without_returned_message(&text);
        let findings = scan(words, limits.recipient_limit);
        if !is_report(author, &findings, words, &fields) {
            continue;
        }
        if let Some(report) = read_fields(words, message, limits) {
            return Some(report);
        }
        let named = identified(&findings, &own, author, &text, &fields);
        if !named.is_empty() {
            return Some(report(message, &fields, &text, named, limits));
        }
    }
    None
}

/// Whether header and words together make a report.
fn is_report(author: Author, findings: &Findings<'_>, words: &str, fields: &[Field<'_>]) -> bool {
    let says_so = findings.is_report();
    match author {
        Author::Person => false,
        Author::Perhaps => says_so,
        Author::Server => {
            says_so
                || findings.hint
                || findings.delayed
                || findings.delivered
                || status_in(words).is_some()
                || reply_code_in(words).is_some()
                || speaks_of_failure(&words::decoded(
                    first(fields, "subject").unwrap_or_default(),
                ))
        }
    }
}

/// A recipient, and what named it.
struct Identified {
    address: String,
    original: Option<String>,
    identity: Identity,
}

impl Identified {
    fn by_field(address: String) -> Self {
        Self {
            address,
            original: None,
            identity: Identity::VendorField,
        }
    }
}

/// The addresses in the vendor fields: folded, repeated, encoded or with names, as they come.
fn vendor_recipients(fields: &[Field<'_>], limits: &Limits) -> Vec<String> {
    let mut recipients: Vec<String> = Vec::new();
    for name in VENDOR_FIELDS {
        for value in all(fields, name) {
            let value = words::decoded(value);
            let addresses = value.split([',', ';']).map(bare_address);
            let room = limits.recipient_limit.saturating_sub(recipients.len());
            recipients.extend(
                addresses
                    .filter(|address| address.contains('@'))
                    .take(room)
                    .map(str::to_owned),
            );
        }
    }
    recipients
}

/// Those whom the words name; where they name nobody, whoever the subject or the returned message does.
fn identified(
    findings: &Findings<'_>,
    own: &[&str],
    author: Author,
    text: &str,
    header: &[Field<'_>],
) -> Vec<Identified> {
    let of_text = |address: String, original: Option<&str>| Identified {
        address,
        original: original.map(str::to_owned),
        identity: Identity::Text,
    };
    let named = findings.recipients(own, author == Author::Server || findings.is_report());
    if !named.is_empty() {
        return named
            .iter()
            .map(|named| of_text(named.address.to_owned(), named.original))
            .collect();
    }
    // `Undeliverable: a@example.com`
    let subject = words::decoded(first(header, "subject").unwrap_or_default());
    if let Some(found) = address::first_in(&subject).filter(|_| speaks_of_failure(&subject)) {
        return vec![of_text(found.address.to_owned(), None)];
    }
    if author == Author::Server
        && let Some(mailbox) = findings.mailbox
        && let Some((_, domain)) =
            first(header, "from").and_then(|from| bare_address(from).rsplit_once('@'))
    {
        return vec![of_text(format!("{mailbox}@{domain}"), None)];
    }
    let returned = &text[told::start_of_returned_message(text)..];
    only_addressee(returned)
        .filter(|_| findings.is_report())
        .map(|address| Identified {
            address,
            original: None,
            identity: Identity::ReturnedHeader,
        })
        .into_iter()
        .collect()
}

/// The person in the To field of the returned message, if it is one.
///
/// The field tells who, never what happened.
fn only_addressee(returned: &str) -> Option<String> {
    let start = returned.find("\nTo:").map(|at| at + 1)?;
    let to = fields(&returned[start..]).next()?;
    (to.value.matches('@').count() == 1)
        .then(|| address::first_in(&to.value).map(|found| found.address.to_owned()))
        .flatten()
}

/// Whom the report was written by and to.
fn own_addresses(fields: &[Field<'_>]) -> Vec<String> {
    ["from", "to", "sender", "reply-to"]
        .iter()
        .filter_map(|name| first(fields, name))
        .map(|value| bare_address(value).to_owned())
        .collect()
}

/// Puts the report together: what the words tell of each recipient decides its cause.
fn report(
    message: &Message<'_>,
    fields: &[Field<'_>],
    text: &str,
    named: Vec<Identified>,
    limits: &Limits,
) -> Report {
    let words = without_returned_message(text);
    let findings = scan(words, 1);
    let subject = words::decoded(first(fields, "subject").unwrap_or_default());
    let action = action(&subject, &findings);
    let mut report = Report::empty(match action {
        Action::Delayed => Kind::Delayed,
        Action::Delivered => Kind::Delivered,
        _ => Kind::Bounce,
    });
    let told = {
        let addresses: Vec<_> = named.iter().map(|named| named.address.as_str()).collect();
        told_about(words, &addresses, limits.text_limit)
    };
    for (named, about) in named.into_iter().zip(told) {
        let mut recipient = ReportedRecipient::named(named.address);
        recipient.identity = named.identity;
        recipient.original = named.original;
        recipient.action = Some(action);
        recipient.status = status_in(&about);
        recipient.reply_code = reply_code_in(&about);
        recipient.decide(&about);
        recipient.diagnostic = (!about.is_empty()).then_some(about);
        report.recipients.push(recipient);
    }
    report.message_id = message.returned_message_id(limits);
    report
}

/// What the server did. Field and layout of a delay are the same as of a failure.
fn action(subject: &str, findings: &Findings<'_>) -> Action {
    let subject = subject.to_ascii_lowercase();
    let warns = ["delay", "warning"]
        .iter()
        .any(|word| subject.contains(word));
    if warns || findings.delayed {
        Action::Delayed
    } else if findings.delivered && !findings.is_report() {
        Action::Delivered
    } else {
        Action::Failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::{Cause, Effect, understand};

    const SEVERAL: &str = "X-Failed-Recipients: a@example.com,\r\n b@example.com\r\n\
        Auto-Submitted: auto-replied\r\nSubject: Mail delivery failed\r\n\r\n\
        These addresses failed:\r\n\r\n  a@example.com\r\n    550 5.1.1 User unknown\r\n\
        \x20 b@example.com\r\n    retry timeout exceeded\r\n\r\n\
        ------ This is a copy of the message ------\r\n\r\nSubject: mailbox full\r\n";

    #[test]
    fn each_recipient_gets_its_own_reason() {
        let report = understand(SEVERAL.as_bytes(), &Limits::default());
        assert_eq!(report.kind, Kind::Bounce);
        let found: Vec<_> = report
            .recipients
            .iter()
            .map(|r| (&*r.address, r.reason, r.effect))
            .collect();
        assert_eq!(
            found,
            [
                ("a@example.com", Cause::UserUnknown, Effect::Hard),
                ("b@example.com", Cause::Expired, Effect::Soft)
            ]
        );
    }

    #[test]
    fn the_copy_of_the_message_is_not_searched() {
        let one = SEVERAL.replace(",\r\n b@example.com", "");
        let one = one.replace("550 5.1.1 User unknown", "550 something");
        let one = one.replace("retry timeout exceeded", "");
        let report = understand(one.as_bytes(), &Limits::default());
        assert_eq!(report.recipients[0].reason, Cause::Unknown);
        assert_eq!(report.recipients[0].effect, Effect::None);
    }

    #[test]
    fn b3_a_delay_changes_nothing() {
        let delay = SEVERAL.replace(
            "Mail delivery failed",
            "Delivery Status Notification (Delay)",
        );
        let report = understand(delay.as_bytes(), &Limits::default());
        assert_eq!(report.kind, Kind::Delayed);
        assert!(report.recipients.iter().all(|r| r.effect == Effect::None));
    }

    #[test]
    fn a_mail_server_names_recipients_where_lines_begin() {
        let message = "From: MAILER-DAEMON@mx.example.net\nTo: bounces@returns.example.org\n\
            Subject: failure notice\n\nHi. This is the mail program at mx.example.net.\n\n\
            <a@example.com>:\nSorry, no mailbox here by that name. (#5.1.1)\n\n\
            <b@example.com>: Quota exceeded\n\nbounces@returns.example.org wrote it.\n\n\
            --- Below this line is a copy of the message.\n\nc@example.com\n";
        let report = understand(message.as_bytes(), &Limits::default());
        let found: Vec<_> = report
            .recipients
            .iter()
            .map(|r| (&*r.address, r.effect))
            .collect();
        assert_eq!(
            found,
            [
                ("a@example.com", Effect::Hard),
                ("b@example.com", Effect::Soft)
            ]
        );

        let person = message.replace("MAILER-DAEMON@mx", "reader@mx");
        let report = understand(person.as_bytes(), &Limits::default());
        assert_eq!((report.kind, report.recipients.len()), (Kind::Other, 0));
    }
}
