//! A bare SMTP reply or diagnostic, without a message around it.

use super::codes::{reply_code_in, status_in};
use super::dsn::cut;
use super::recipient::{Action, ReportedRecipient};
use super::{Kind, Limits, Report};

/// Reads the text as the diagnostic of a final failure.
pub(super) fn read(text: &str, limits: &Limits) -> Report {
    let words: Vec<_> = text.split_whitespace().collect();
    let diagnostic = cut(words.join(" "), limits.text_limit);
    let mut recipient = ReportedRecipient::named(address_in(&diagnostic));
    recipient.action = Some(Action::Failed);
    recipient.status = status_in(&diagnostic);
    recipient.reply_code = reply_code_in(&diagnostic);
    recipient.decide(&diagnostic);
    recipient.diagnostic = Some(diagnostic);
    let mut report = Report::empty(Kind::Bounce);
    report.recipients.push(recipient);
    report
}

fn address_in(text: &str) -> String {
    text.split([' ', '<', '>', '(', ')', ',', ';', '"', '\''])
        .map(|word| word.trim_matches([':', '.', '[', ']']))
        .find(|word| {
            word.split_once('@')
                .is_some_and(|(local_part, domain)| !local_part.is_empty() && domain.contains('.'))
        })
        .unwrap_or_default()
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::{Effect, understand_text};

    #[test]
    fn a_bare_reply_is_read() {
        let report = understand_text(
            "550-5.1.1 <a@example.com>: no\r\n550 5.1.1 such user\r\n",
            &Limits::default(),
        );
        let recipient = &report.recipients[0];
        assert_eq!(recipient.address, "a@example.com");
        assert_eq!(recipient.reply_code, Some(550));
        assert_eq!(recipient.effect, Effect::Hard);
        assert_eq!(recipient.rule, "text:user-unknown");
        assert_eq!(
            understand_text("", &Limits::default()).recipients[0].effect,
            Effect::None
        );
    }
}
