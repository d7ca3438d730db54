//! A report in words: a mail server writes to a person that it could not deliver (Exim, Gmail, qmail, old Postfix).

use std::collections::{HashMap, HashSet};

use super::codes::{reply_code_in, status_in};
use super::dsn::{bare_address, cut};
use super::field::{Field, all, first};
use super::part::Message;
use super::recipient::{Action, ReportedRecipient};
use super::{Kind, Limits, Report};

/// Reads the report, if an `X-Failed-Recipients` field says that it is one, or if a mail server
/// wrote it and names recipients at the beginning of lines.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let fields = message.fields();
    let named_by_field: Vec<_> = all(fields, "x-failed-recipients")
        .flat_map(|value| value.split(','))
        .map(bare_address)
        .filter(|address| address.contains('@'))
        .take(limits.recipient_limit)
        .collect();
    if named_by_field.is_empty() && !is_from_mail_server(fields) {
        return None;
    }
    let text = message.human_text(limits.header_limit);
    let text = without_returned_message(&text);
    let failed = if named_by_field.is_empty() {
        named_by_lines(text, fields, limits.recipient_limit)
    } else {
        named_by_field
    };
    if failed.is_empty() {
        return None;
    }
    let action = if is_delay(first(fields, "subject").unwrap_or_default(), text) {
        Action::Delayed
    } else {
        Action::Failed
    };
    let mut report = Report::empty(match action {
        Action::Delayed => Kind::Delayed,
        _ => Kind::Bounce,
    });
    let told = told_about(text, &failed, limits.text_limit);
    for (address, about) in failed.into_iter().zip(told) {
        let mut recipient = ReportedRecipient::named(address.to_owned());
        recipient.action = Some(action);
        recipient.status = status_in(&about);
        recipient.reply_code = reply_code_in(&about);
        recipient.decide(&about);
        recipient.diagnostic = (!about.is_empty()).then_some(about);
        report.recipients.push(recipient);
    }
    Some(report)
}

/// Whether the author is a mail server: nobody else writes as MAILER-DAEMON or postmaster.
///
/// Forged easily, but what it names is believed no more than any other report (B2).
pub(super) fn is_from_mail_server(fields: &[Field<'_>]) -> bool {
    let address = first(fields, "from").map(bare_address).unwrap_or_default();
    let local_part = address.split('@').next().unwrap_or_default();
    ["mailer-daemon", "postmaster", "mail-daemon"]
        .iter()
        .any(|name| local_part.eq_ignore_ascii_case(name))
}

/// Whether the server still tries. The field and the layout are the same as of a failure.
fn is_delay(subject: &str, text: &str) -> bool {
    let subject = subject.to_ascii_lowercase();
    let text = text.to_ascii_lowercase();
    ["delay", "warning"]
        .iter()
        .any(|word| subject.contains(word))
        || [
            "not need to resend",
            "this is a warning message only",
            "will be retried",
            "will continue to be attempted",
            "will keep trying",
        ]
        .iter()
        .any(|words| text.contains(words))
}

/// Addresses with which a line begins, as in `<a@example.com>: reason`, each once.
///
/// Those that the report itself was written by and to are no recipients.
fn named_by_lines<'a>(text: &'a str, fields: &[Field<'_>], limit: usize) -> Vec<&'a str> {
    let own: Vec<_> = ["from", "to"]
        .iter()
        .filter_map(|name| first(fields, name).map(bare_address))
        .collect();
    let mut seen = HashSet::new();
    text.lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(|word| {
            word.trim_start_matches('<')
                .trim_end_matches(['.', ':', ','])
        })
        .map(|word| word.split('>').next().unwrap_or_default())
        .filter(|word| is_plain_address(word) && !own.contains(word))
        .filter(|word| seen.insert(*word))
        .take(limit)
        .collect()
}

fn is_plain_address(word: &str) -> bool {
    let odd = |c: char| c.is_control() || "<>()[]\"',;:\\/=".contains(c);
    word.split_once('@').is_some_and(|(local_part, domain)| {
        !local_part.is_empty()
            && domain.contains('.')
            && !domain.contains('@')
            && !word.contains(odd)
    })
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
