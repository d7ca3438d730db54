//! A feedback report: a mailbox provider passes on what its user pressed (RFC 5965).

mod redacted;

use super::cause::{Cause, Permanence};
use super::classify::Classification;
use super::dsn::bare_address;
use super::field::{Field, all, fields, first, split_type};
use super::part::{Message, returned_header};
use super::recipient::ReportedRecipient;
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

/// Fields in which the provider noted for whom it took the message, the surest first.
const DELIVERY_FIELDS: [&str; 5] = [
    JMRP_FIELD,
    "x-apparently-to",
    "delivered-to",
    "x-original-to",
    "envelope-to",
];

/// Reads the reports, if the message has a feedback part or is what Microsoft sends instead.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let mut reports = Vec::new();
    for (position, part) in message.parts.iter().enumerate() {
        if part.is(REPORT) || is_mislabelled(message, position, limits) {
            reports.push(position);
        }
    }
    if reports.is_empty() {
        return without_report(message, limits);
    }
    let mut report = Report::empty(Kind::Unreadable);
    for (number, &position) in reports.iter().enumerate() {
        let end = reports.get(number + 1).copied();
        add_report(
            &mut report,
            message,
            position..end.unwrap_or(message.parts.len()),
            limits,
        );
    }
    Some(report)
}

/// Whether a part of another type has the fields of a report, in a message that says it is one.
fn is_mislabelled(message: &Message<'_>, position: usize, limits: &Limits) -> bool {
    let claims = message
        .field("content-type")
        .to_ascii_lowercase()
        .contains("feedback-report");
    let part = &message.parts[position];
    claims
        && !message.parts.iter().any(|part| part.is(REPORT))
        && part.is_any(&["text/plain", "application/octet-stream"])
        && part
            .content(limits.header_limit)
            .trim_ascii_start()
            .get(..13)
            .is_some_and(|start| start.eq_ignore_ascii_case(b"feedback-type"))
}

/// Adds one report; the message that it is about stands among the parts behind it.
fn add_report(
    report: &mut Report,
    message: &Message<'_>,
    parts: std::ops::Range<usize>,
    limits: &Limits,
) {
    let parts = &message.parts[parts];
    let content = parts[0].content(limits.header_limit);
    // Some providers put empty lines between the fields; there is one group only.
    let told: Vec<_> = fields(&content, limits.header_limit).collect();
    report.return_paths.extend(
        all(&told, "original-mail-from")
            .map(|value| bare_address(value).to_owned())
            .take(1),
    );
    let of_report = |name| first(&told, name).map(str::to_owned);
    let mta = of_report("reporting-mta").map(|mta| split_type(&mta).1.to_owned());
    report.reporting_mta = report.reporting_mta.take().or(mta);
    let arrival = of_report("arrival-date").or_else(|| of_report("received-date"));
    report.arrival_date = report.arrival_date.take().or(arrival);
    let Some(feedback_type) = first(&told, "feedback-type") else {
        return;
    };
    report.kind = Kind::Feedback;
    let classification = classify(feedback_type);
    let agrees = report
        .feedback
        .is_none_or(|cause| cause == classification.cause);
    report.feedback = Some(if agrees {
        classification.cause
    } else {
        Cause::OtherFeedback
    });
    let named: Vec<_> = RECIPIENT_FIELDS
        .iter()
        .flat_map(|name| all(&told, name))
        .collect();
    if !named.is_empty() {
        for value in named.into_iter().flat_map(|value| value.split(',')) {
            add_recipient(report, split_type(value).1, &classification, limits);
        }
        return;
    }
    let header = returned_header(&parts[1..], limits)
        .or_else(|| message.returned_header(limits))
        .unwrap_or_default();
    let returned: Vec<_> = fields(&header, limits.header_limit).collect();
    if let Some(addressee) = only_addressee(&returned) {
        add_recipient(report, addressee, &classification, limits);
    }
}

/// What Microsoft sends: the message itself, marked with its recipient, and not a word about it.
fn without_report(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let header = message.returned_header(limits).unwrap_or_default();
    let returned: Vec<_> = fields(&header, limits.header_limit).collect();
    let is_alone = message.human_text(limits.text_limit).trim().is_empty();
    let named = first(message.fields(), JMRP_FIELD)
        .or_else(|| first(&returned, JMRP_FIELD).filter(|_| is_alone))?;
    let mut report = Report::empty(Kind::Feedback);
    report.feedback = Some(Cause::Complaint);
    add_recipient(&mut report, named, &classify("abuse"), limits);
    Some(report)
}

/// Adds the recipient unless the provider blanked it out, or it is there already.
fn add_recipient(
    report: &mut Report,
    value: &str,
    classification: &Classification,
    limits: &Limits,
) {
    let address = bare_address(value);
    let is_known = report.recipients.iter().any(|known| {
        known.address.eq_ignore_ascii_case(address) && known.rule == classification.rule
    });
    if is_known || is_blanked(address) || report.recipients.len() >= limits.recipient_limit {
        return;
    }
    let mut recipient = ReportedRecipient::named(address.to_owned());
    recipient.take(if is_pseudonym(address) {
        // Nobody has this address; but it is all the provider tells, and it stays the same.
        Classification::without_effect(classification.cause, "feedback:pseudonym".to_owned())
    } else {
        classification.clone()
    });
    report.recipients.push(recipient);
}

/// The types of RFC 5965 §7.3 and its registry. One that we do not know changes nothing.
fn classify(feedback_type: &str) -> Classification {
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
    let microsofts = all(returned, JMRP_FIELD).next();
    let to = || {
        all(returned, "to")
            .chain(all(returned, "cc"))
            .collect::<Vec<_>>()
    };
    microsofts.or_else(|| match to()[..] {
        [one] if one.matches('@').count() == 1 => Some(one),
        [one] if one.contains('@') => None,
        [] | [_] => DELIVERY_FIELDS
            .iter()
            .find_map(|name| first(returned, name)),
        _ => None,
    })
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
    fn b7_a_report_without_a_type_is_unreadable() {
        let report = report("Original-Rcpt-To: a@example.com\r\n", "\r\n");
        assert_eq!(
            (report.kind, report.recipients.len()),
            (Kind::Unreadable, 0)
        );
    }
}
