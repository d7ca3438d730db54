//! A delivery status notification: RFC 3464, and RFC 6533 for addresses beyond ASCII.

mod address;
mod groups;

use std::borrow::Cow;

use super::codes::{better, reply_code_in, says_little, status_in};
use super::field::{Field, all, fields, first, split_type};
use super::part::Message;
use super::recipient::{Action, Identity, ReportedRecipient};
use super::text::{self, told_about, without_returned_message};
use super::{Kind, Limits, Report};
use crate::mail::EnhancedStatus;

use address::address;
pub(super) use address::bare_address;
use groups::{Groups, RECIPIENT_FIELDS};

/// Fields with which the content of a delivery status part begins.
const OPENING_FIELDS: [&str; 6] = [
    "reporting-mta",
    "original-envelope-id",
    "received-from-mta",
    "arrival-date",
    "final-recipient",
    "original-recipient",
];

/// Fields in which reporters put what the refusing host said; the second is Exchange's.
const DIAGNOSTIC_FIELDS: [&str; 2] = ["diagnostic-code", "x-supplementary-info"];

/// Reads the report, if the message has a delivery status part, whatever that part is called.
///
/// A report within the returned message is not ours to read, and such parts are never opened.
/// Nor is one that a person attached.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    if !text::may_hold_fields(message) {
        return None;
    }
    let known = message.part(&[
        "message/delivery-status",
        "message/global-delivery-status",
        // Not registered, yet seen.
        "text/delivery-status",
        "message/delivery-status-notification",
    ]);
    let content = match known {
        Some(part) => part.content(limits.size_limit),
        None => mislabelled(message, limits)?,
    };
    Some(read_content(&content, message, limits))
}

/// Reads a report whose fields stand in the text that a mail server wrote, without a part of their own.
pub(super) fn read_in_text(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let [only] = &*message.parts else { return None };
    if !only.is("text/plain") || !text::is_from_mail_server(message.fields()) {
        return None;
    }
    let words = only.text(limits.header_limit);
    let start = line_with(&words, "reporting-mta:").or(line_with(&words, "final-recipient:"))?;
    let content = without_mime(&words[start..]);
    let report = read_content(content.as_bytes(), message, limits);
    (!report.recipients.is_empty()).then_some(report)
}

/// Reads the fields of a report that stand among its words, as in a message whose parts cannot be told apart.
pub(super) fn read_among_words(
    words: &str,
    message: &Message<'_>,
    limits: &Limits,
) -> Option<Report> {
    line_with(words, "final-recipient:")?;
    let groups = Groups::read(words.as_bytes(), limits);
    let names_somebody = groups
        .recipients
        .iter()
        .any(|group| recipient(group, limits).is_some());
    names_somebody.then(|| read_content(words.as_bytes(), message, limits))
}

/// Where the first line starts that begins with `name`, in any case.
fn line_with(text: &str, name: &str) -> Option<usize> {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let begins = line
            .get(..name.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(name));
        if begins {
            return Some(start);
        }
        start += line.len();
    }
    None
}

/// The text in front of a line that ends a part.
fn without_mime(text: &str) -> &str {
    text.find("\n--").map_or(text, |end| &text[..end])
}

/// The content of a part that has the wrong type, if it begins as no other part does.
fn mislabelled<'a>(message: &Message<'a>, limits: &Limits) -> Option<Cow<'a, [u8]>> {
    if message.parts.len() < 2 {
        return None;
    }
    let candidates = message
        .parts
        .iter()
        .filter(|part| part.is_any(&["text/plain", "application/octet-stream"]));
    candidates
        .map(|part| part.content(limits.size_limit))
        .find(|content| is_delivery_status(content, limits))
}

fn is_delivery_status(content: &[u8], limits: &Limits) -> bool {
    let content = content.trim_ascii_start();
    let mut names = fields(content, limits.header_limit)
        .map(|field| field.name)
        .take(40);
    let is_one_of = |name: &str, known: &[&str]| known.iter().any(|k| name.eq_ignore_ascii_case(k));
    names.next().is_some_and(|opening| {
        // Lines that are no fields are skipped, so the first field may stand far below.
        content.starts_with(opening.as_bytes())
            && is_one_of(opening, &OPENING_FIELDS)
            && (is_one_of(opening, &RECIPIENT_FIELDS)
                || names.any(|name| is_one_of(name, &RECIPIENT_FIELDS)))
    })
}

/// Reads the fields of a report; what they leave open is asked of the words to a person.
fn read_content(content: &[u8], message: &Message<'_>, limits: &Limits) -> Report {
    let groups = Groups::read(content, limits);
    let mut report = Report::empty(Kind::Unreadable);
    let mut texts = Vec::new();
    let mut nameless = groups.nameless;
    for group in groups.recipients {
        match recipient(&group, limits) {
            Some((recipient, diagnostic)) => {
                report.recipients.push(recipient);
                texts.push(diagnostic);
            }
            None if nameless.is_empty() => nameless = group,
            None => {}
        }
    }
    if report.recipients.is_empty() {
        report = named_by_words(&nameless, message, limits);
    } else {
        ask_the_words(message, limits, &mut report.recipients, &mut texts);
        for (recipient, text) in report.recipients.iter_mut().zip(&texts) {
            recipient.decide(text);
        }
        report.kind = kind(&report.recipients);
    }
    let of_message = |name| first(&groups.message, name).map(str::to_owned);
    report.reporting_mta = of_message("reporting-mta").map(|mta| split_type(&mta).1.to_owned());
    report.arrival_date = of_message("arrival-date");
    // Postfix names the reverse-path it would have sent the report to.
    let sender =
        all(&groups.message, "x-postfix-sender").map(|value| split_type(value).1.to_owned());
    report.return_paths.extend(sender.take(1));
    report
}

/// The report that the words to a person give where the fields name nobody.
///
/// If it is about one recipient, the outcome that stood without a name is theirs.
fn named_by_words(nameless: &[Field<'_>], message: &Message<'_>, limits: &Limits) -> Report {
    let Some(mut report) = text::read(message, limits) else {
        return Report::empty(Kind::Unreadable);
    };
    if let [recipient] = &mut *report.recipients
        && !nameless.is_empty()
    {
        let (outcome, diagnostic) = outcome(nameless, String::new(), limits);
        recipient.action = outcome.action.or(recipient.action);
        recipient.status = better(outcome.status, recipient.status);
        recipient.reply_code = outcome.reply_code.or(recipient.reply_code);
        recipient.remote_mta = outcome.remote_mta;
        recipient.diagnostic = outcome.diagnostic.or(recipient.diagnostic.take());
        let told = recipient.diagnostic.clone().unwrap_or(diagnostic);
        recipient.decide(&told);
        report.kind = kind(&report.recipients);
    }
    report
}

/// Fills in what the words to a person tell of recipients for whom the report has no diagnostic.
///
/// A status code that tells why is worth more than those words, which often list several reasons.
fn ask_the_words(
    message: &Message<'_>,
    limits: &Limits,
    recipients: &mut [ReportedRecipient],
    texts: &mut [String],
) {
    let open = |recipient: &ReportedRecipient| {
        recipient.diagnostic.is_none() && recipient.status.is_none_or(leaves_open)
    };
    if !recipients.iter().any(open) {
        return;
    }
    let words = message.human_text(limits.header_limit);
    let words = without_returned_message(&words);
    let addresses: Vec<_> = recipients.iter().map(|r| r.address.clone()).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let told = told_about(words, &addresses, limits.text_limit);
    for ((recipient, text), told) in recipients.iter_mut().zip(texts).zip(told) {
        if open(recipient) {
            recipient.status = better(recipient.status, status_in(&told));
            recipient.reply_code = reply_code_in(&told);
            *text = told;
        }
    }
}

/// Whether words may decide. X.4.4 is said for "no such domain" and for trouble on the way alike.
fn leaves_open(status: EnhancedStatus) -> bool {
    says_little(status) || (status.subject(), status.detail()) == (4, 4)
}

/// The recipient of a group and the text that tells why; nothing where no address can be read.
fn recipient(fields: &[Field<'_>], limits: &Limits) -> Option<(ReportedRecipient, String)> {
    let of = |name| all(fields, name).find_map(address);
    let last = of("final-recipient");
    let original = of("original-recipient");
    // Where mail was delivered to in the end (Sendmail); better than nobody.
    let named = last
        .or_else(|| original.clone())
        .or_else(|| of("x-actual-recipient"))?;
    let (mut recipient, diagnostic) = outcome(fields, named, limits);
    recipient.identity = match original {
        Some(_) => Identity::OriginalRecipient,
        None => Identity::FinalRecipient,
    };
    recipient.original =
        original.filter(|original| !original.eq_ignore_ascii_case(&recipient.address));
    Some((recipient, diagnostic))
}

/// What the fields of a group say became of `address`, and the text that tells why.
fn outcome(fields: &[Field<'_>], address: String, limits: &Limits) -> (ReportedRecipient, String) {
    let mut recipient = ReportedRecipient::named(address);
    // A repeated field is a broken report: the first one that can be read counts.
    recipient.action = all(fields, "action").find_map(Action::parse);
    recipient.remote_mta = first(fields, "remote-mta").map(|mta| split_type(mta).1.to_owned());
    let diagnostic = diagnostic(fields, limits.text_limit);
    // Of several codes, the one that tells most.
    let field = all(fields, "status")
        .filter_map(|value| EnhancedStatus::parse_prefix(value.as_bytes()))
        .map(|(status, _)| status)
        .reduce(|one, other| better(Some(one), Some(other)).unwrap_or(one));
    recipient.status = better(field, status_in(&diagnostic));
    recipient.reply_code = reply_code_in(&diagnostic);
    recipient.diagnostic = (!diagnostic.is_empty()).then(|| diagnostic.clone());
    (recipient, diagnostic)
}

fn diagnostic(fields: &[Field<'_>], limit: usize) -> String {
    let told = DIAGNOSTIC_FIELDS.iter().find_map(|name| {
        let told: Vec<_> = all(fields, name).map(|value| split_type(value).1).collect();
        (!told.is_empty()).then(|| told.join(" "))
    });
    cut(told.unwrap_or_default(), limit)
}

/// What the report is as a whole. Where nothing says what was done, the class of the status does.
fn kind(recipients: &[ReportedRecipient]) -> Kind {
    let done = |recipient: &ReportedRecipient| {
        recipient
            .action
            .or_else(|| match recipient.status?.class() {
                2 => Some(Action::Delivered),
                4 => Some(Action::Delayed),
                _ => None,
            })
    };
    let has = |wanted| recipients.iter().any(|recipient| done(recipient) == wanted);
    if has(Some(Action::Failed)) {
        Kind::Bounce
    } else if has(Some(Action::Delayed)) {
        Kind::Delayed
    } else if has(None) {
        Kind::Bounce
    } else {
        Kind::Delivered
    }
}

/// The text, cut to a limit at the boundary of a letter.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests;
