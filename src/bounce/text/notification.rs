//! A notification in JSON, sent as the text of a mail: Amazon SES by way of SNS.
//!
//! Format: Amazon SES Developer Guide, "Amazon SNS notification contents". The event publishing of
//! SES writes `eventType` where feedback forwarding writes `notificationType`.

use serde::Deserialize;

use super::super::codes::{better, reply_code_in, status_in};
use super::super::dsn::{bare_address, cut};
use super::super::feedback;
use super::super::field::{Field, first, split_type};
use super::super::recipient::{Action, Identity, ReportedRecipient};
use super::super::{Kind, Limits, Report};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Notification {
    #[serde(alias = "eventType")]
    notification_type: String,
    bounce: Option<Bounce>,
    complaint: Option<Complaint>,
    delivery: Option<Delivery>,
    mail: Option<Mail>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bounce {
    bounce_type: Option<String>,
    bounce_sub_type: Option<String>,
    bounced_recipients: Vec<Recipient>,
    #[serde(rename = "reportingMTA")]
    reporting_mta: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recipient {
    email_address: String,
    action: Option<String>,
    status: Option<String>,
    diagnostic_code: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Complaint {
    complained_recipients: Vec<Recipient>,
    complaint_feedback_type: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Delivery {
    recipients: Vec<String>,
    #[serde(rename = "reportingMTA")]
    reporting_mta: Option<String>,
    smtp_response: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Mail {
    common_headers: Option<CommonHeaders>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CommonHeaders {
    message_id: Option<String>,
}

/// What SNS wraps around it, unless "raw message delivery" is switched on.
#[derive(Debug, Deserialize)]
struct Envelope {
    #[serde(rename = "Message")]
    message: String,
}

/// Domains from which Amazon mails notifications.
const DOMAINS: [&str; 2] = ["amazonaws.com", "amazonses.com"];

/// Whether Amazon sent the message, as its header tells. People paste notifications, too.
pub(super) fn is_from_amazon(fields: &[Field<'_>]) -> bool {
    let has_field = fields.iter().any(|field| {
        let start = field.name.get(..10);
        start.is_some_and(|start| start.eq_ignore_ascii_case("x-amz-sns-"))
    });
    let domain = first(fields, "from").and_then(|from| bare_address(from).rsplit_once('@'));
    let is_theirs = domain.is_some_and(|(_, domain)| {
        let domain = domain.to_ascii_lowercase();
        let parent = |name: &str| domain.strip_suffix(name);
        DOMAINS
            .iter()
            .any(|name| parent(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.')))
    });
    has_field || is_theirs
}

/// Reads the notification with which a text begins.
pub(super) fn read(text: &str, limits: &Limits) -> Option<Report> {
    let text = text.trim_start();
    if !text.starts_with('{') {
        return None;
    }
    // Mail programs break long lines, within strings too.
    let text: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let notification = parse::<Notification>(&text).or_else(|| {
        let envelope = parse::<Envelope>(&text)?;
        parse(&envelope.message)
    })?;
    let mut report = match notification.notification_type.as_str() {
        "Bounce" => bounced(notification.bounce?, limits),
        "Complaint" => complained(notification.complaint?, limits),
        "Delivery" => delivered(notification.delivery?, limits),
        _ => return None,
    };
    report.message_id = notification
        .mail
        .and_then(|mail| mail.common_headers?.message_id)
        .map(|id| id.trim_matches(['<', '>']).to_owned());
    Some(report)
}

/// The first value of a text; a footer may follow it.
fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::Deserializer::from_str(text)
        .into_iter()
        .next()?
        .ok()
}

fn named(address: String) -> ReportedRecipient {
    let mut recipient = ReportedRecipient::named(address);
    recipient.identity = Identity::VendorField;
    recipient
}

fn bounced(bounce: Bounce, limits: &Limits) -> Report {
    let mut report = Report::empty(Kind::Bounce);
    report.reporting_mta = bounce
        .reporting_mta
        .map(|mta| split_type(&mta).1.to_owned());
    let kind = [bounce.bounce_type, bounce.bounce_sub_type]
        .into_iter()
        .flatten()
        .map(|word| in_words(&word));
    let kind = kind.collect::<Vec<_>>().join(": ");
    for bounced in bounce
        .bounced_recipients
        .into_iter()
        .take(limits.recipient_limit)
    {
        let mut recipient = named(bounced.email_address);
        let action = bounced.action.as_deref().and_then(Action::parse);
        recipient.action = action.or(Some(Action::Failed));
        let diagnostic = bounced.diagnostic_code.unwrap_or_default();
        let diagnostic = split_type(&diagnostic).1;
        let text = if diagnostic.is_empty() {
            &kind
        } else {
            diagnostic
        };
        let text = cut(text.to_owned(), limits.text_limit);
        let status = bounced.status.and_then(|status| status.trim().parse().ok());
        recipient.status = better(status, status_in(&text));
        recipient.reply_code = reply_code_in(&text);
        recipient.decide(&text);
        recipient.diagnostic = Some(text);
        report.recipients.push(recipient);
    }
    report
}

/// `MailboxFull` becomes "mailbox full", so that the rules read it.
fn in_words(name: &str) -> String {
    let mut words = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter.to_ascii_lowercase());
    }
    words
}

fn complained(complaint: Complaint, limits: &Limits) -> Report {
    let mut report = Report::empty(Kind::Feedback);
    let feedback_type = complaint.complaint_feedback_type;
    // SES leaves the type out where the provider sent none; it is a complaint all the same.
    let classification = feedback::classify(feedback_type.as_deref().unwrap_or("abuse"));
    let recipients = complaint.complained_recipients.into_iter();
    for complained in recipients.take(limits.recipient_limit) {
        let mut recipient = named(complained.email_address);
        recipient.take(classification.clone());
        report.recipients.push(recipient);
    }
    report
}

fn delivered(delivery: Delivery, limits: &Limits) -> Report {
    let mut report = Report::empty(Kind::Delivered);
    report.reporting_mta = delivery.reporting_mta;
    let response = cut(
        delivery.smtp_response.unwrap_or_default(),
        limits.text_limit,
    );
    for address in delivery.recipients.into_iter().take(limits.recipient_limit) {
        let mut recipient = named(address);
        recipient.action = Some(Action::Delivered);
        recipient.decide(&response);
        report.recipients.push(recipient);
    }
    report
}

#[cfg(test)]
mod tests {
    use super::super::super::field::fields;
    use super::*;
    use crate::bounce::{Cause, Effect, Reader};

    fn check(json: &str, kind: Kind, reason: Cause, effect: Effect) {
        let report = Reader::default().judge(read(json, &Limits::default()).unwrap());
        assert_eq!(report.kind, kind, "{json}");
        assert_eq!(report.recipients[0].address, "a@example.com");
        assert_eq!(report.recipients[0].reason, reason, "{json}");
        assert_eq!(report.recipients[0].effect, effect, "{json}");
    }

    #[test]
    fn b5_only_amazon_writes_notifications() {
        for (header, is_theirs) in [
            ("From: SNS <no-reply@sns.amazonaws.com>", true),
            ("From: x@example.com\nx-amz-sns-message-id: 1", true),
            ("From: x@notamazonaws.com", false),
            ("From: x@example.com\nX-Amz-Date: 1", false),
            ("Subject: x", false),
        ] {
            let found: Vec<_> = fields(header.as_bytes(), 1000).collect();
            assert_eq!(is_from_amazon(&found), is_theirs, "{header}");
        }
    }

    #[test]
    fn notifications_of_each_type_are_read() {
        let bounce = r#"{"notificationType":"Bounce","bounce":{"bounceType":"Permanent","bounceSubType":
            "General","bouncedRecipients":[{"emailAddress":"a@example.com","status":"5.1.1",
            "diagnosticCode":"smtp; 550 5.1.1 user unknown"}]}} footer"#;
        check(bounce, Kind::Bounce, Cause::UserUnknown, Effect::Hard);
        let full = r#"{"eventType":"Bounce","bounce":{"bounceType":"Transient","bounceSubType":
            "MailboxFull","bouncedRecipients":[{"emailAddress":"a@example.com"}]}}"#;
        check(full, Kind::Bounce, Cause::MailboxFull, Effect::Soft);
        let complaint = r#"{"notificationType":"Complaint","complaint":{"complainedRecipients":
            [{"emailAddress":"a@example.com"}],"complaintFeedbackType":"abuse"}}"#;
        check(
            complaint,
            Kind::Feedback,
            Cause::Complaint,
            Effect::Complaint,
        );
        let delivery = r#"{"notificationType":"Delivery","delivery":{"recipients":["a@example.com"],
            "smtpResponse":"250 ok"}}"#;
        check(delivery, Kind::Delivered, Cause::Delivered, Effect::None);
        let wrapped = serde_json::json!({"Type": "Notification", "Message": complaint}).to_string();
        check(
            &wrapped,
            Kind::Feedback,
            Cause::Complaint,
            Effect::Complaint,
        );
        for other in ["{}", "{", "[1]", r#"{"notificationType":"Bounce"}"#] {
            assert!(read(other, &Limits::default()).is_none(), "{other}");
        }
    }
}
