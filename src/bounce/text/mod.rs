//! A report in words: a mail server writes to a person that it could not deliver.
//!
//! Whether a message is such a report is decided strictly, from its header ([`author`]) and the words
//! of known programs ([`phrases`]) together. Whom it names is read by where addresses stand ([`scan`]).

mod address;
mod author;
mod beside;
mod body;
mod html;
mod matcher;
mod notification;
mod phrases;
mod scan;
mod told;

pub(super) use told::{told_about, without_returned_message};

use std::borrow::Cow;

use super::autoreply::is_reply;
use super::codes::{reply_code_in, status_in};
use super::dsn::{bare_address, read_among_words};
use super::field::{Field, all, fields, first, in_clear, parameter};
use super::part::Message;
use super::recipient::{Action, Identity, ReportedRecipient};
use super::{Kind, Limits, Report};
use author::{Author, author, is_machine, speaks_of_failure, speaks_of_mail};
use beside::has_code_beside;
use scan::{Findings, Named, scan};

/// The field by which Exim, Gmail and Google Groups name failed recipients.
const VENDOR_FIELD: &str = "x-failed-recipients";

/// Reads the report, if the message is one.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let texts = || body::texts(message, limits);
    if body::begins_as_json(message)
        && notification::is_from_amazon(message.fields())
        && let Some(report) = texts().find_map(|text| notification::read(&text, limits))
    {
        return Some(report);
    }
    let header = Header::of(message);
    if header.author == Author::Person {
        return None;
    }
    let named = header.failed_recipients(limits);
    if !named.is_empty() {
        let text = texts().next().unwrap_or_default();
        let words = without_returned_message(&text);
        let findings = scan(words, limits.recipient_limit);
        return Some(report(&header, words, &findings, named, limits));
    }
    for text in texts() {
        let words = without_returned_message(&text);
        let findings = scan(words, limits.recipient_limit);
        if !header.makes_report(&findings, words) {
            continue;
        }
        if let Some(report) = read_among_words(words, message, limits) {
            return Some(report);
        }
        let named = header.named(&findings, &text, limits);
        if !named.is_empty() {
            return Some(report(&header, words, &findings, named, limits));
        }
    }
    None
}

/// Whether the author is a mail server.
pub(super) fn is_from_mail_server(fields: &[Field<'_>]) -> bool {
    author(fields) >= Author::Server
}

/// Whether a part with the fields of a report makes the message one: it calls itself a report, or no
/// person wrote it. People attach reports to ask what they mean.
pub(super) fn may_hold_fields(message: &Message<'_>) -> bool {
    calls_itself_report(message.field("content-type")) || is_machine(message.fields())
}

/// Whether a Content-Type is that of a report, RFC 6522, or was before something on the way changed it.
fn calls_itself_report(content_type: &str) -> bool {
    let is_report = content_type
        .get(..16)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/report"));
    is_report || parameter(content_type, "report-type").is_some()
}

/// What the header of the report tells.
struct Header<'a> {
    fields: &'a [Field<'a>],
    author: Author,
    subject: Cow<'a, str>,
    /// Addresses that the report itself was written by and to.
    own: Vec<&'a str>,
    /// A machine answers in a person's name.
    is_reply: bool,
}

/// A recipient, and what named it.
struct Identified {
    address: String,
    original: Option<String>,
    identity: Identity,
}

impl Identified {
    fn by(identity: Identity, address: &str) -> Self {
        Self {
            address: address.to_owned(),
            original: None,
            identity,
        }
    }
}

impl<'a> Header<'a> {
    fn of(message: &'a Message<'_>) -> Self {
        let fields = message.fields();
        let own = ["from", "to", "sender", "reply-to"]
            .iter()
            .filter_map(|name| first(fields, name))
            .map(bare_address);
        Self {
            fields,
            author: author(fields),
            subject: message.subject(),
            own: own.collect(),
            is_reply: is_reply(message),
        }
    }

    /// Whether header and words together make a report.
    fn makes_report(&self, findings: &Findings<'_>, words: &str) -> bool {
        let says_so = findings.is_report();
        // A receipt is no report; but Dovecot's filters refuse mail in this form.
        if self.is_receipt() {
            return findings.sign;
        }
        let has_code = || has_code_beside(findings, words, &self.own);
        let speaks_of_failure = speaks_of_failure(&self.subject);
        match self.author {
            Author::Person => false,
            // Automatic replies have no return path either, and their authors write what they like.
            Author::Perhaps | Author::Likely if self.is_reply => {
                says_so && speaks_of_failure && speaks_of_mail(&self.subject) && has_code()
            }
            Author::Perhaps => says_so && (self.calls_itself_report() || has_code()),
            Author::Likely => says_so,
            Author::Daemon => true,
            Author::Server => {
                says_so
                    || findings.hint && findings.names_plainly(&self.own)
                    || findings.delayed
                    || findings.delivered
                    || speaks_of_failure
                    || has_code()
            }
        }
    }

    /// Whether it claims to be a report by its type, RFC 6522.
    fn calls_itself_report(&self) -> bool {
        calls_itself_report(first(self.fields, "content-type").unwrap_or_default())
    }

    /// Whether it is a disposition notification, RFC 8098.
    fn is_receipt(&self) -> bool {
        let content_type = first(self.fields, "content-type").unwrap_or_default();
        parameter(content_type, "report-type")
            .is_some_and(|kind| kind.eq_ignore_ascii_case("disposition-notification"))
    }

    /// The addresses in the vendor field: folded, repeated, encoded or with names, as they come.
    fn failed_recipients(&self, limits: &Limits) -> Vec<Identified> {
        let mut named: Vec<Identified> = Vec::new();
        for value in all(self.fields, VENDOR_FIELD) {
            let value = in_clear(value);
            let addresses = value.split([',', ';']).map(bare_address);
            let room = limits.recipient_limit.saturating_sub(named.len());
            let found = addresses
                .filter(|address| address.contains('@'))
                .take(room)
                .map(|address| Identified::by(Identity::VendorField, address));
            named.extend(found);
        }
        named
    }

    /// Those whom the words name; where they name nobody, whom the subject or the returned message does.
    fn named(&self, findings: &Findings<'_>, text: &str, limits: &Limits) -> Vec<Identified> {
        let loosely = self.author >= Author::Server || findings.is_report();
        let named = findings.recipients(&self.own, loosely);
        if !named.is_empty() {
            let identified = |named: &&Named<'_>| Identified {
                original: named.original.map(str::to_owned),
                ..Identified::by(Identity::Text, named.address)
            };
            return named.iter().map(identified).collect();
        }
        // `Undeliverable: a@example.com`
        let in_subject =
            address::first_in(&self.subject).filter(|_| speaks_of_failure(&self.subject));
        if let Some(found) = in_subject {
            return vec![Identified::by(Identity::Text, found.address)];
        }
        if let Some(address) = self.own_mailbox(findings) {
            return vec![Identified::by(Identity::Text, &address)];
        }
        let returned = &text[told::start_of_returned_message(text)..];
        let addressee = only_addressee(returned, limits).filter(|_| findings.is_report());
        addressee
            .map(|address| Identified::by(Identity::ReturnedHeader, &address))
            .into_iter()
            .collect()
    }

    /// The address of a mailbox that a server names without its own domain.
    fn own_mailbox(&self, findings: &Findings<'_>) -> Option<String> {
        let mailbox = findings.mailbox.filter(|_| self.author >= Author::Server)?;
        let (_, domain) = bare_address(first(self.fields, "from")?).rsplit_once('@')?;
        Some(format!("{mailbox}@{domain}"))
    }
}

/// The person in the To field of the returned message, if it is one.
///
/// The field tells who, never what happened.
fn only_addressee(returned: &str, limits: &Limits) -> Option<String> {
    let start = returned.find("\nTo:").map(|at| at + 1)?;
    let to = fields(&returned.as_bytes()[start..], limits.header_limit).next()?;
    (to.value.matches('@').count() == 1)
        .then(|| address::first_in(&to.value).map(|found| found.address.to_owned()))
        .flatten()
}

/// Puts the report together: what the words tell of each recipient decides its cause.
fn report(
    header: &Header<'_>,
    words: &str,
    findings: &Findings<'_>,
    named: Vec<Identified>,
    limits: &Limits,
) -> Report {
    let action = action(&header.subject, findings);
    let mut report = Report::empty(match action {
        Action::Delayed => Kind::Delayed,
        Action::Delivered => Kind::Delivered,
        _ => Kind::Bounce,
    });
    let one = match &*named {
        [one] => Some(told::told_from(words, &one.address, limits.text_limit)),
        _ => None,
    };
    let told = {
        let addresses: Vec<_> = named.iter().map(|named| named.address.as_str()).collect();
        told_about(words, &addresses, limits.text_limit)
    };
    for (named, about) in named.into_iter().zip(told) {
        let mut recipient = ReportedRecipient::named(named.address);
        recipient.identity = named.identity;
        recipient.original = named.original;
        recipient.action = Some(action);
        let close = one.as_deref().unwrap_or(&about);
        recipient.status = status_in(close).or_else(|| status_in(&about));
        recipient.reply_code = reply_code_in(close).or_else(|| reply_code_in(&about));
        recipient.decide_by(close, &about);
        recipient.diagnostic = (!about.is_empty()).then_some(about);
        report.recipients.push(recipient);
    }
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
mod tests;
