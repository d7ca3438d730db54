//! A [`Report`] is what a returned message says: whom it is about, what happened, and what that means.
//!
//! Pure: bytes in, values out. Nothing here believes the report; who is marked is decided
//! from our own token by the caller (B2).

mod autoreply;
mod cause;
mod classify;
mod codes;
mod dsn;
mod feedback;
mod field;
mod origin;
mod part;
mod reader;
mod recipient;
mod reply;
mod rules;
#[cfg(test)]
mod tests;
mod text;
mod unsubscribe;

use serde::Serialize;

pub use cause::{Cause, Effect, Fault, Permanence};
pub use classify::{Classification, Refusal, classify, classify_refusal};
pub use reader::Reader;
pub use recipient::{Action, Identity, ReportedRecipient};
pub use rules::{RuleProblem, Rules, RulesError};

use part::Message;

/// What one message may cost to read. Whatever lies beyond a limit is not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Octets read of a message. The report stands in front of the returned message, so the rest is not missed.
    pub size_limit: usize,
    /// Octets kept of the fields of one header block, and of one group of fields in a report.
    /// A field may use half of what is left.
    pub header_limit: usize,
    /// Parts read of one message.
    pub part_limit: usize,
    /// Multiparts within multiparts. Nested messages are never opened.
    pub depth_limit: usize,
    /// Recipients kept of one report.
    pub recipient_limit: usize,
    /// Octets of text that the rules are tried on, and that are kept as diagnostic.
    pub text_limit: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            size_limit: 1024 * 1024,
            header_limit: 64 * 1024,
            part_limit: 100,
            depth_limit: 4,
            recipient_limit: 1000,
            text_limit: 4096,
        }
    }
}

/// What a message that came back is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Delivery failed for good for at least one recipient.
    Bounce,
    /// Delivery is still being tried.
    Delayed,
    /// Delivery succeeded, or was handed on to a place that sends no reports.
    Delivered,
    /// A mailbox provider passes on what its user pressed (RFC 5965).
    Feedback,
    /// A machine answered in a person's name (RFC 3834).
    #[serde(rename = "autoreply")]
    AutoReply,
    /// A person, or their mail program, asks to be taken off.
    Unsubscribe,
    /// Anything else, ordinary mail above all.
    Other,
    /// It calls itself a report but cannot be read as one (B7).
    Unreadable,
}

/// What a message says, once read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// What it is.
    pub kind: Kind,
    /// Those it is about, in the order it names them; empty where it names none.
    pub recipients: Vec<ReportedRecipient>,
    /// The host that reports, without its name type.
    pub reporting_mta: Option<String>,
    /// When the message reached that host, as the report writes it. Its clock is not ours.
    pub arrival_date: Option<String>,
    /// Message-ID of the message that was sent, without its angle brackets.
    pub message_id: Option<String>,
    /// Addresses that may be our own reverse-path, in the order in which they are likely to be it,
    /// each once and few. Nothing here was decided by them.
    pub return_paths: Vec<String>,
    /// What an automatic reply says about its author, such as that they left the company.
    /// It changes nothing; a person may look into it.
    pub hint: Option<Cause>,
    /// What a feedback report says of the message, also where it names nobody: [`Cause::Complaint`],
    /// [`Cause::OptOut`] and so on. Where several reports in one mail differ, [`Cause::OtherFeedback`].
    pub feedback: Option<Cause>,
}

impl Report {
    /// A report that names nobody.
    fn empty(kind: Kind) -> Self {
        Self {
            kind,
            recipients: Vec::new(),
            reporting_mta: None,
            arrival_date: None,
            message_id: None,
            return_paths: Vec::new(),
            hint: None,
            feedback: None,
        }
    }

    /// What is left of a message that could not be read (B7).
    #[must_use]
    pub fn unreadable() -> Self {
        Self::empty(Kind::Unreadable)
    }
}

/// Reads a message that came back, and judges it by the built-in rules; a [`Reader`] goes by others.
///
/// Never fails and never panics: what cannot be read is [`Kind::Unreadable`] or [`Kind::Other`].
/// The work is linear in `limits.size_limit`. Line ends may be CRLF, LF or CR.
///
/// ```
/// use sendgate::bounce::{Effect, Kind, Limits, understand};
///
/// let message = b"Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\
///     \r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n\
///     Reporting-MTA: dns; mx.example.net\r\n\r\n\
///     Final-Recipient: rfc822; b@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\r\n--b--\r\n";
/// let report = understand(message, &Limits::default());
/// assert_eq!(report.kind, Kind::Bounce);
/// assert_eq!(report.recipients[0].effect, Effect::Hard);
/// ```
#[must_use]
pub fn understand(bytes: &[u8], limits: &Limits) -> Report {
    Reader::new(*limits, Rules::built_in()).understand(bytes)
}

/// Reads a text such as `550 5.1.1 <a@example.com> User unknown` as the diagnostic of a final failure,
/// and judges it by the built-in rules; a [`Reader`] goes by others.
///
/// The recipient is the first address in the text, or empty where there is none.
#[must_use]
pub fn understand_text(text: &str, limits: &Limits) -> Report {
    Reader::new(*limits, Rules::built_in()).understand_text(text)
}

/// Reads a message without judging it yet.
fn read(bytes: &[u8], limits: &Limits) -> Report {
    let bytes = part::with_line_feeds(part::whole_lines(bytes, limits.size_limit));
    let Some(message) = Message::read(&bytes, limits) else {
        return Report::empty(Kind::Unreadable);
    };
    let message = message.unwrapped(limits).unwrap_or(message);
    // The order matters: a report also says that it was written by a machine, and a report about
    // a failed opt-out would otherwise be taken for one.
    let mut report = dsn::read(&message, limits)
        .or_else(|| feedback::read(&message, limits))
        .or_else(|| text::read(&message, limits))
        .or_else(|| dsn::read_in_text(&message, limits))
        .or_else(|| autoreply::read(&message, limits))
        .or_else(|| unsubscribe::read(&message, limits))
        .unwrap_or_else(|| Report::empty(Kind::Other));
    origin::complete(&mut report, &message, limits);
    report
}
