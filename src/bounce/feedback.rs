//! A feedback report: a mailbox provider passes on what its user pressed (RFC 5965).

mod redacted;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;

use super::cause::{Cause, Permanence};
use super::classify::Classification;
use super::dsn::bare_address;
use super::field::{Field, all, fields, first, parameter, split_type};
use super::part::{Message, Part, returned_header};
use super::recipient::{Identity, ReportedRecipient};
use super::text::may_hold_fields;
use super::{Kind, Limits, Report};

use redacted::{is_blanked, is_pseudonym};

/// The type of the part that makes a message a feedback report.
const REPORT: &str = "message/feedback-report";

/// Fields of the report that name a recipient. Removal-Recipient comes from the draft for opt-out
/// reports, before RFC 5965 had one field for all.
const RECIPIENT_FIELDS: [&str; 2] = ["original-rcpt-to", "removal-recipient"];

/// The field by which Microsoft's Junk Mail Reporting Program names the recipient, in the message
/// that it sends back whole and without a report.
const JMRP_FIELD: &str = "x-hmxmroriginalrecipient";

/// Domains from which the programme writes, and how its subjects begin.
const JMRP_DOMAINS: [&str; 5] = [
    "hotmail.com",
    "outlook.com",
    "live.com",
    "msn.com",
    "microsoft.com",
];
const JMRP_SUBJECT: &str = "complaint about message from ";

/// Local parts under which feedback is sent, besides those of robots.
const REPORTERS: [&str; 5] = ["feedback", "fbl", "complaint", "arf", "scomp"];

/// Fields in which the provider noted for whom it took the message, the surest first.
const DELIVERY_FIELDS: [&str; 4] = [
    "x-apparently-to",
    "delivered-to",
    "x-original-to",
    "envelope-to",
];

/// Reads the reports, if the message has a feedback part or is what Microsoft sends instead.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let is_report = |&position: &usize| message.parts[position].is(REPORT);
    let mut positions: Vec<_> = (0..message.parts.len()).filter(is_report).collect();
    // People attach reports to ask what they mean.
    if !positions.is_empty() && !may_hold_fields(message) && !is_from_reporter(message) {
        return None;
    }
    if positions.is_empty() {
        positions.extend(mislabelled(message, limits));
    }
    if positions.is_empty() {
        return without_report(message, limits);
    }
    let ends = positions.iter().skip(1).copied();
    let mut reader = Reader::new(message, limits);
    for (&start, end) in positions.iter().zip(ends.chain([message.parts.len()])) {
        reader.add_report(&message.parts[start..end]);
    }
    Some(reader.report)
}

/// The part that has the fields of a report and another type, in a message that says it is one.
fn mislabelled(message: &Message<'_>, limits: &Limits) -> Option<usize> {
    let content_type = message.field("content-type");
    let claims = parameter(content_type, "report-type")
        .is_some_and(|kind| kind.eq_ignore_ascii_case("feedback-report"));
    let begins = |part: &Part<'_>| {
        let content = part.content(limits.header_limit);
        let start = content.trim_ascii_start().get(..14);
        start.is_some_and(|start| start.eq_ignore_ascii_case(b"feedback-type:"))
    };
    message.parts.iter().position(|part| {
        claims && part.is_any(&["text/plain", "application/octet-stream"]) && begins(part)
    })
}

/// Whether a place that only passes on feedback wrote the message, as its header tells.
fn is_from_reporter(message: &Message<'_>) -> bool {
    let from = bare_address(message.field("from")).to_ascii_lowercase();
    REPORTERS.iter().any(|name| from.starts_with(name))
}

/// Whether Microsoft's programme wrote the message, as its header tells. Those who pass on such a
/// message have a subject of their own.
fn is_from_jmrp(message: &Message<'_>) -> bool {
    let from = bare_address(message.field("from")).to_ascii_lowercase();
    let is_staff = from
        .strip_prefix("staff@")
        .is_some_and(|domain| JMRP_DOMAINS.contains(&domain));
    let start = message.subject();
    is_staff
        || start
            .get(..JMRP_SUBJECT.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(JMRP_SUBJECT))
}

/// What Microsoft sends: the message itself, marked with its recipient, and not a word about it.
fn without_report(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    if !is_from_jmrp(message) {
        return None;
    }
    let header = message.returned_header(limits).unwrap_or_default();
    let returned: Vec<_> = fields(&header, limits.header_limit).collect();
    let is_alone = || message.human_text(limits.text_limit).trim().is_empty();
    let named = first(message.fields(), JMRP_FIELD)
        .or_else(|| first(&returned, JMRP_FIELD).filter(|_| is_alone()))?;
    let mut reader = Reader::new(message, limits);
    reader.report.kind = Kind::Feedback;
    reader.add_type(Cause::Complaint);
    reader.add_recipient(named, Identity::VendorField, &classify("abuse"));
    Some(reader.report)
}

/// What was read so far of a message that may hold several reports.
struct Reader<'m, 'a> {
    message: &'m Message<'a>,
    limits: &'m Limits,
    report: Report,
    /// The header of the first message that came back; decoding it may cost much.
    returned: OnceCell<Option<Cow<'a, [u8]>>>,
    /// Rule and address of the recipients, so that each is there once.
    seen: HashSet<(String, String)>,
}

impl<'m, 'a> Reader<'m, 'a> {
    fn new(message: &'m Message<'a>, limits: &'m Limits) -> Self {
        Self {
            message,
            limits,
            report: Report::empty(Kind::Unreadable),
            returned: OnceCell::new(),
            seen: HashSet::new(),
        }
    }

    /// Adds the report in the first of the parts; the message that it is about stands behind it.
    fn add_report(&mut self, parts: &[Part<'_>]) {
        let content = parts[0].content(self.limits.size_limit);
        // Some providers put empty lines between the fields; there is one group only.
        let told: Vec<_> = fields(&content, self.limits.header_limit).collect();
        let Some(feedback_type) = first(&told, "feedback-type") else {
            return;
        };
        self.report.kind = Kind::Feedback;
        self.add_circumstances(&told);
        let classification = classify(feedback_type);
        self.add_type(classification.cause);
        let named: Vec<_> = RECIPIENT_FIELDS
            .iter()
            .flat_map(|name| all(&told, name))
            .collect();
        if !named.is_empty() {
            for value in named.into_iter().flat_map(|value| value.split(',')) {
                self.add_recipient(
                    split_type(value).1,
                    Identity::OriginalRecipient,
                    &classification,
                );
            }
            return;
        }
        let (message, limits) = (self.message, self.limits);
        let first_returned = || {
            self.returned
                .get_or_init(|| message.returned_header(limits))
        };
        let header = returned_header(&parts[1..], limits)
            .or_else(|| first_returned().clone())
            .unwrap_or_default();
        let returned: Vec<_> = fields(&header, self.limits.header_limit).collect();
        if let Some(addressee) = only_addressee(&returned) {
            self.add_recipient(addressee, Identity::ReturnedHeader, &classification);
        }
    }

    /// Keeps what the provider passes on; reports of several types in one mail say nothing together.
    fn add_type(&mut self, cause: Cause) {
        let agrees = self.report.feedback.is_none_or(|known| known == cause);
        self.report.feedback = Some(if agrees { cause } else { Cause::OtherFeedback });
    }

    /// Takes over from the fields of a report what is not about the recipient.
    fn add_circumstances(&mut self, told: &[Field<'_>]) {
        let report = &mut self.report;
        let mail_from = first(told, "original-mail-from").map(bare_address);
        report.return_paths.extend(mail_from.map(str::to_owned));
        if report.reporting_mta.is_none() {
            let mta = first(told, "reporting-mta").map(|mta| split_type(mta).1);
            report.reporting_mta = mta.map(str::to_owned);
        }
        if report.arrival_date.is_none() {
            let date = first(told, "arrival-date").or_else(|| first(told, "received-date"));
            report.arrival_date = date.map(str::to_owned);
        }
    }

    /// Adds the recipient unless the provider blanked it out, or it is there already.
    fn add_recipient(&mut self, value: &str, identity: Identity, classification: &Classification) {
        let address = bare_address(value);
        let known = (classification.rule.clone(), address.to_ascii_lowercase());
        if self.report.recipients.len() >= self.limits.recipient_limit
            || is_blanked(address)
            || !self.seen.insert(known)
        {
            return;
        }
        let mut recipient = ReportedRecipient::named(address.to_owned());
        recipient.identity = identity;
        recipient.take(if is_pseudonym(address) {
            // Nobody has this address; but it is all the provider tells, and it stays the same.
            Classification::without_effect(classification.cause, "feedback:pseudonym".to_owned())
        } else {
            classification.clone()
        });
        self.report.recipients.push(recipient);
    }
}

/// The types of RFC 5965 §7.3 and its registry. One that we do not know changes nothing.
pub(super) fn classify(feedback_type: &str) -> Classification {
    let name = feedback_type
        .split([';', ' ', '('])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let cause = match name.as_str() {
        "abuse" => Cause::Complaint,
        "opt-out" | "opt-out-list" => Cause::OptOut,
        "not-spam" => Cause::NotSpam,
        _ => Cause::OtherFeedback,
    };
    Classification::of(cause, Permanence::Permanent, format!("feedback:{name}"))
}

/// The person that the returned message was for, if its header leaves no doubt.
///
/// The To field names a recipient, not a verdict, and it is our own sender who wrote it.
fn only_addressee<'a>(returned: &'a [Field<'_>]) -> Option<&'a str> {
    let addresses = |name| all(returned, name).flat_map(|value| value.split(','));
    let mut people = addresses("to")
        .chain(addresses("cc"))
        .filter(|value| value.contains('@'));
    let noted = || {
        DELIVERY_FIELDS
            .iter()
            .find_map(|name| first(returned, name))
    };
    match (first(returned, JMRP_FIELD), people.next(), people.next()) {
        (Some(sure), ..) => Some(sure),
        (None, Some(only), None) => Some(only),
        _ => noted(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::{Effect, understand};

    fn report(fields: &str, returned: &str) -> Report {
        let message = format!(
            "Content-Type: multipart/report; report-type=feedback-report; boundary=b\r\n\r\n\
             --b\r\n\r\nwords\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n{fields}\r\n\
             --b\r\nContent-Type: message/rfc822\r\n\r\n{returned}\r\n--b--\r\n"
        );
        understand(message.as_bytes(), &Limits::default())
    }

    fn check(feedback_type: &str, effect: Effect) {
        let report = report(
            &format!("Feedback-Type: {feedback_type}\r\nOriginal-Rcpt-To: <a@example.com>\r\n"),
            "Message-ID: <1@example.org>\r\n\r\n",
        );
        assert_eq!(report.kind, Kind::Feedback, "{feedback_type}");
        assert_eq!(report.message_id.as_deref(), Some("1@example.org"));
        assert_eq!(report.recipients[0].address, "a@example.com");
        assert_eq!(report.recipients[0].effect, effect, "{feedback_type}");
    }

    #[test]
    fn x54_only_abuse_and_opt_out_change_anything() {
        check("abuse", Effect::Complaint);
        check("Abuse", Effect::Complaint);
        check("opt-out", Effect::OptOut);
        check("not-spam", Effect::None);
        check("auth-failure", Effect::None);
        check("fraud", Effect::None);
        check("virus", Effect::None);
        check("other", Effect::None);
        check("something-new", Effect::None);
    }

    #[test]
    fn several_recipients_are_several_and_blanked_ones_none() {
        let several = report(
            "Feedback-Type: abuse\r\nOriginal-Rcpt-To: <a@example.com>\r\n\
             Original-Rcpt-To: rfc822;b@example.com\r\nOriginal-Rcpt-To: redacted@example.com\r\n\
             Original-Rcpt-To: xxxx@example.com\r\nOriginal-Rcpt-To: user@redacted.invalid\r\n",
            "To: c@example.com\r\n\r\n",
        );
        let named: Vec<_> = several.recipients.iter().map(|r| &*r.address).collect();
        assert_eq!(named, ["a@example.com", "b@example.com"]);
    }

    #[test]
    fn without_a_recipient_the_one_addressee_is_meant() {
        let one = report(
            "Feedback-Type: abuse\r\n",
            "To: \"A\" <a@example.com>\r\n\r\n",
        );
        assert_eq!(one.recipients[0].address, "a@example.com");
        let two = report(
            "Feedback-Type: abuse\r\n",
            "To: a@example.com, b@example.com\r\n\r\n",
        );
        assert!(two.recipients.is_empty());
        let comma = report(
            "Feedback-Type: abuse\r\n",
            "To: \"A, B\" <a@example.com>\r\n\r\n",
        );
        assert_eq!(comma.recipients[0].address, "a@example.com");
        let delivered = report(
            "Feedback-Type: abuse\r\n",
            "X-Apparently-To: a@example.com; Fri, 20 Nov 2026 10:00:00 +0000\r\n\
             To: undisclosed-recipients:;\r\n\r\n",
        );
        assert_eq!(delivered.recipients[0].address, "a@example.com");
    }

    #[test]
    fn a_pseudonym_is_named_and_marks_nobody() {
        let report = report(
            "Feedback-Type: abuse\r\n\
             Original-Rcpt-To: 0123456789abcdef0123456789abcdef@example.com\r\n",
            "\r\n",
        );
        let recipient = &report.recipients[0];
        assert_eq!(
            (recipient.effect, &*recipient.rule),
            (Effect::None, "feedback:pseudonym")
        );
    }

    #[test]
    fn several_reports_in_one_mail_each_have_their_own_type_and_message() {
        let report = report(
            "Feedback-Type: abuse\r\nOriginal-Mail-From: one@example.org\r\n",
            "To: a@example.com\r\n\r\n\r\n--b\r\nContent-Type: message/feedback-report\r\n\r\n\
             Feedback-Type: opt-out\r\nOriginal-Mail-From: two@example.org\r\n\
             \r\n--b\r\nContent-Type: message/rfc822\r\n\r\nTo: b@example.com\r\n\r\n",
        );
        let found: Vec<_> = report
            .recipients
            .iter()
            .map(|r| (&*r.address, r.effect))
            .collect();
        assert_eq!(
            found,
            [
                ("a@example.com", Effect::Complaint),
                ("b@example.com", Effect::OptOut)
            ]
        );
        assert_eq!(report.return_paths, ["one@example.org", "two@example.org"]);
    }

    #[test]
    fn a_report_in_a_part_of_another_type_is_one_if_the_message_says_so() {
        let message = "Content-Type: multipart/report; report-type=feedback-report; boundary=b\n\n\
            --b\n\nwords\n--b\nContent-Type: application/octet-stream\n\
            Content-Transfer-Encoding: base64\n\n\
            RmVlZGJhY2stVHlwZTogYWJ1c2UKT3JpZ2luYWwtUmNwdC1UbzogYUBleGFtcGxlLmNvbQo=\n--b--\n";
        let claimed = understand(message.as_bytes(), &Limits::default());
        assert_eq!(claimed.recipients[0].effect, Effect::Complaint);
        let silent = message.replace("report; report-type=feedback-report", "mixed");
        let silent = understand(silent.as_bytes(), &Limits::default());
        assert_eq!(silent.kind, Kind::Other);
    }

    #[test]
    fn a_message_sent_back_by_microsoft_is_a_complaint() {
        let message = "Subject: complaint about message from 192.0.2.1\n\
            Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\
            X-HmXmrOriginalRecipient: <a@example.com>\nTo: a@example.com\n\nhello\n--b--\n";
        let report = understand(message.as_bytes(), &Limits::default());
        assert_eq!(report.kind, Kind::Feedback);
        assert_eq!(report.recipients[0].effect, Effect::Complaint);
        // Somebody who passes one on has something to say about it.
        let passed_on = message.replacen("--b\n", "--b\n\nWhat is this?\n--b\n", 1);
        let report = understand(passed_on.as_bytes(), &Limits::default());
        assert_eq!((report.kind, report.recipients.len()), (Kind::Other, 0));
    }

    #[test]
    fn b5_a_report_that_a_person_attached_is_no_complaint() {
        let message = |from: &str| {
            let message = format!(
                "From: {from}\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nSee below.\n\
                 --b\nContent-Type: message/feedback-report\n\n\
                 Feedback-Type: abuse\nOriginal-Rcpt-To: a@example.com\n\n--b--\n"
            );
            understand(message.as_bytes(), &Limits::default())
        };
        let attached = message("reader@example.com");
        assert_eq!((attached.kind, attached.recipients.len()), (Kind::Other, 0));
        for from in ["fbl@example.com", "noreply@example.com", "<>"] {
            let report = message(from);
            assert_eq!(report.recipients[0].effect, Effect::Complaint, "{from}");
        }
        let marked =
            b"From: reader@example.com\nX-HmXmrOriginalRecipient: a@example.com\n\nhello\n";
        let marked = understand(marked, &Limits::default());
        assert_eq!((marked.kind, marked.recipients.len()), (Kind::Other, 0));
    }

    #[test]
    fn b7_a_report_without_a_type_is_unreadable() {
        let report = report("Original-Rcpt-To: a@example.com\r\n", "\r\n");
        assert_eq!(
            (report.kind, report.recipients.len()),
            (Kind::Unreadable, 0)
        );
    }
}
