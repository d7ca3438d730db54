//! What a message is that reports nothing: an automatic reply (RFC 3834), a wish to be taken off, or mail.

use super::Kind;
use super::field::{first, parameter};
use super::part::Message;

/// Fields that only automatic replies have, whatever their value.
const REPLY_FIELDS: [&str; 5] = [
    "x-autoreply",
    "x-autoreply-from",
    "x-autorespond",
    "x-autoresponder",
    "x-mail-autoreply",
];

/// What a message is in which no report was found.
pub(super) fn kind(message: &Message<'_>) -> Kind {
    let fields = message.fields();
    let value = |name| first(&fields, name).unwrap_or_default();
    match report_type(value("content-type")).as_str() {
        "delivery-status" | "feedback-report" => return Kind::Unreadable,
        // A receipt of reading (RFC 8098) or a provider's statistics.
        kind if !kind.is_empty() => return Kind::Other,
        _ => {}
    }
    let submitted = value("auto-submitted").to_ascii_lowercase();
    let precedence = value("precedence").to_ascii_lowercase();
    let is_reply = submitted.starts_with("auto-replied")
        || matches!(precedence.as_str(), "auto_reply" | "auto-reply")
        || REPLY_FIELDS
            .iter()
            .any(|name| !matches!(value(name), "" | "no"));
    if is_reply {
        Kind::AutoReply
    } else if value("subject").eq_ignore_ascii_case("unsubscribe") {
        // What our own mailto link asks for, see `List-Unsubscribe`.
        Kind::Unsubscribe
    } else {
        Kind::Other
    }
}

/// The report type of a multipart/report in lower case; empty for anything else.
fn report_type(content_type: &str) -> String {
    let is_report = content_type
        .get(..16)
        .is_some_and(|start| start.eq_ignore_ascii_case("multipart/report"));
    if !is_report {
        return String::new();
    }
    parameter(content_type, "report-type")
        .unwrap_or("delivery-status")
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::{Limits, understand};

    fn check(header: &str, kind: Kind) {
        let message = format!("{header}\r\nContent-Type: text/plain\r\n\r\nI am away.\r\n");
        let report = understand(message.as_bytes(), &Limits::default());
        assert_eq!(report.kind, kind, "{header}");
        assert!(report.recipients.is_empty(), "{header}");
    }

    #[test]
    fn b5_x54_replies_and_ordinary_mail_name_nobody() {
        check("Auto-Submitted: auto-replied", Kind::AutoReply);
        check("Auto-Submitted: Auto-Replied (vacation)", Kind::AutoReply);
        check("Precedence: auto_reply", Kind::AutoReply);
        check("X-Autoreply: yes", Kind::AutoReply);
        check("X-Autorespond: Away", Kind::AutoReply);
        check("Auto-Submitted: no", Kind::Other);
        check("Auto-Submitted: auto-generated", Kind::Other);
        check("Precedence: bulk", Kind::Other);
        check("Subject: Unsubscribe", Kind::Unsubscribe);
        check("Subject: How do I unsubscribe?", Kind::Other);
        check("Subject: hello", Kind::Other);
    }

    #[test]
    fn b7_what_calls_itself_a_report_and_is_none() {
        let header = "Content-Type: multipart/report; report-type=delivery-status; boundary=b";
        let report = understand(
            format!("{header}\n\nno parts").as_bytes(),
            &Limits::default(),
        );
        assert_eq!(report.kind, Kind::Unreadable);
        let receipt = header.replace("delivery-status", "disposition-notification");
        let receipt = format!("{receipt}\nAuto-Submitted: auto-replied\n\n--b\n\nread\n--b--\n");
        assert_eq!(
            understand(receipt.as_bytes(), &Limits::default()).kind,
            Kind::Other
        );
    }
}
