//! A feedback report: a mailbox provider passes on what its user pressed (RFC 5965).

use super::cause::{Cause, Permanence};
use super::classify::Classification;
use super::dsn::bare_address;
use super::field::{all, fields, first, split_type};
use super::part::Message;
use super::recipient::ReportedRecipient;
use super::{Kind, Limits, Report};

/// Reads the report, if the message has a feedback part.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let part = message.part(&["message/feedback-report"])?;
    let text = String::from_utf8_lossy(&part.content(limits.header_limit)).into_owned();
    // Some providers put empty lines between the fields; there is one group only.
    let fields: Vec<_> = fields(&text).collect();
    let Some(feedback_type) = first(&fields, "feedback-type") else {
        return Some(Report::empty(Kind::Unreadable));
    };
    let classification = classify(feedback_type);
    // Removal-Recipient comes from the draft for opt-out reports, before RFC 5965 had one field for all.
    let named: Vec<_> = all(&fields, "original-rcpt-to")
        .chain(all(&fields, "removal-recipient"))
        .filter_map(disclosed)
        .collect();
    let recipients = if named.is_empty() {
        only_addressee(message, limits).into_iter().collect()
    } else {
        named
    };
    let mut report = Report::empty(Kind::Feedback);
    for address in recipients.into_iter().take(limits.recipient_limit) {
        let mut recipient = ReportedRecipient::named(address);
        recipient.take(classification.clone());
        report.recipients.push(recipient);
    }
    report.reporting_mta = first(&fields, "reporting-mta").map(|mta| split_type(mta).1.to_owned());
    report.arrival_date = first(&fields, "arrival-date")
        .or_else(|| first(&fields, "received-date"))
        .map(str::to_owned);
    report.message_id = message.returned_message_id(limits);
    Some(report)
}

/// The types of RFC 5965 §7.3 and its registry. One that we do not know changes nothing.
fn classify(feedback_type: &str) -> Classification {
    let name = feedback_type.trim().to_ascii_lowercase();
    let cause = match name.as_str() {
        "abuse" => Cause::Complaint,
        "opt-out" | "opt-out-list" => Cause::OptOut,
        "not-spam" => Cause::NotSpam,
        _ => Cause::OtherFeedback,
    };
    Classification::of(cause, Permanence::Permanent, format!("feedback:{name}"))
}

/// The address, unless the provider blanked it out.
fn disclosed(value: &str) -> Option<String> {
    let address = bare_address(split_type(value).1);
    let (local_part, domain) = address.rsplit_once('@')?;
    let blank = |text: &str| {
        let text = text.to_ascii_lowercase();
        text.is_empty()
            || ["redacted", "removed", "hidden", "[", "*"]
                .iter()
                .any(|mark| text.contains(mark))
            || text.bytes().all(|b| b == b'x')
    };
    (!blank(local_part) && !blank(domain)).then(|| address.to_owned())
}

/// The person in the To field of the message that was sent, if it is one.
///
/// The field names a recipient, not a verdict, and it is our own sender who wrote it.
fn only_addressee(message: &Message<'_>, limits: &Limits) -> Option<String> {
    let header = message.returned_header(limits)?;
    let fields: Vec<_> = fields(&header).collect();
    let to = first(&fields, "to")?;
    (to.matches('@').count() == 1)
        .then(|| disclosed(to))
        .flatten()
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
