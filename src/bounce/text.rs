//! A report in words: the header names the failed recipients, the text says why (Exim, Gmail).

use std::collections::HashMap;

use super::codes::{reply_code_in, status_in};
use super::dsn::{bare_address, cut};
use super::field::{all, first};
use super::part::Message;
use super::recipient::{Action, ReportedRecipient};
use super::{Kind, Limits, Report};

/// Reads the report, if an `X-Failed-Recipients` field says that it is one.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let fields = message.fields();
    let failed: Vec<_> = all(&fields, "x-failed-recipients")
        .flat_map(|value| value.split(','))
        .map(bare_address)
        .filter(|address| address.contains('@'))
        .take(limits.recipient_limit)
        .collect();
    if failed.is_empty() {
        return None;
    }
    // The field is also written on notices that somebody still tries.
    let subject = first(&fields, "subject")
        .unwrap_or_default()
        .to_ascii_lowercase();
    let is_delay = ["delay", "warning"].iter().any(|w| subject.contains(w));
    let text = message.human_text(limits.header_limit);
    let text = without_returned_message(&text);
    let mut report = Report::empty(if is_delay {
        Kind::Delayed
    } else {
        Kind::Bounce
    });
    let told = told_about(text, &failed, limits.text_limit);
    for (address, about) in failed.into_iter().zip(told) {
        let mut recipient = ReportedRecipient::named(address.to_owned());
        recipient.action = Some(if is_delay {
            Action::Delayed
        } else {
            Action::Failed
        });
        recipient.status = status_in(&about);
        recipient.reply_code = reply_code_in(&about);
        recipient.decide(&about);
        recipient.diagnostic = (!about.is_empty()).then_some(about);
        report.recipients.push(recipient);
    }
    report.message_id = message.returned_message_id(limits);
    Some(report)
}

/// The text in front of the copy of the message that was sent: what stands there is not about it.
pub(super) fn without_returned_message(text: &str) -> &str {
    let mut end = 0;
    for line in text.split_inclusive('\n') {
        let lower = line.trim().to_ascii_lowercase();
        let announces = lower.starts_with("---")
            && ["message", "header", "return"]
                .iter()
                .any(|word| lower.contains(word));
        if announces || lower.starts_with("return-path:") || lower.starts_with("received:") {
            return &text[..end];
        }
        end += line.len();
    }
    text
}

/// What the text says about each address: from its line to that of the next failed address.
///
/// With one address it is everything, since the reason may stand in front as well.
pub(super) fn told_about(text: &str, failed: &[&str], limit: usize) -> Vec<String> {
    if failed.len() == 1 {
        let words: Vec<_> = text.split_whitespace().collect();
        return vec![cut(words.join(" "), limit)];
    }
    let numbers: HashMap<&str, usize> = failed.iter().copied().zip(0..).collect();
    let mut told = vec![String::new(); failed.len()];
    let mut current = None;
    for line in text.lines() {
        let named = line
            .split([' ', '\t', '<', '>', ',', ';', '"'])
            .find_map(|word| numbers.get(word.trim_end_matches(':')).copied());
        current = named.or(current);
        if let Some(text) = current.and_then(|number| told.get_mut(number))
            && text.len() < limit
        {
            text.push_str(line.trim());
            text.push(' ');
        }
    }
    told.into_iter().map(|text| cut(text, limit)).collect()
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
}
