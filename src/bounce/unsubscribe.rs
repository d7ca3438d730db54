//! A mail by which somebody asks to be taken off: what a `List-Unsubscribe` link makes, or one plain word.

use super::field::first;
use super::part::Message;
use super::{Kind, Limits, Report};

/// Requests, in lower case. Each is the whole of a subject or of a text, never a word of it.
const REQUESTS: [&str; 46] = [
    "unsubscribe",
    "unsubscribe me",
    "please unsubscribe",
    "please unsubscribe me",
    "list-unsubscribe",
    "remove",
    "remove me",
    "please remove me",
    "opt out",
    "opt-out",
    "optout",
    "stop",
    // German
    "abmelden",
    "abmeldung",
    "abbestellen",
    "bitte abmelden",
    "austragen",
    "newsletter abmelden",
    "newsletter abbestellen",
    // French
    "désinscription",
    "désabonnement",
    "me désinscrire",
    "me désabonner",
    "désabonner",
    // Spanish, Portuguese, Italian
    "baja",
    "dar de baja",
    "darme de baja",
    "cancelar suscripción",
    "descadastrar",
    "cancelar inscrição",
    "remover",
    "cancellami",
    "disiscrivimi",
    "cancellazione",
    // Dutch, Scandinavian languages, Polish, Czech
    "afmelden",
    "uitschrijven",
    "avregistrera",
    "afmeld",
    "avmelding",
    "wypisz",
    "odhlásit",
    // Russian, Chinese, Japanese
    "отписаться",
    "退订",
    "退訂",
    "配信停止",
    "配信停止希望",
];

/// Requests that are everyday words as well: as a subject they need a text that asks for nothing else.
const AMBIGUOUS: [&str; 7] = [
    "remove",
    "stop",
    "abmeldung",
    "austragen",
    "baja",
    "remover",
    "cancellazione",
];

/// Fields that lists and machines put into what they send. Those who ask to be taken off do not.
const LIST_FIELDS: [&str; 4] = [
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "feedback-id",
];

/// Octets of a text that may be nothing but the request.
const TEXT_LIMIT: usize = 512;

/// Octets of a text that cannot ask for something else: "Thank you."
const THANKS_LIMIT: usize = 20;

/// Reads the request, if the subject is nothing else, or if the text is and there is no subject.
///
/// Answers and newsletters talk about unsubscribing; only the bare request counts.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    if LIST_FIELDS
        .iter()
        .any(|name| first(message.fields(), name).is_some())
    {
        return None;
    }
    let subject = message.subject();
    let asks = match subject.trim() {
        // Apple's mail programs, when their user presses the button.
        _ if message
            .field("x-apple-unsubscribe")
            .eq_ignore_ascii_case("true") =>
        {
            true
        }
        "" | "(no subject)" => {
            let text = message.human_text(limits.text_limit);
            text.len() <= TEXT_LIMIT && first_words(&text).is_some_and(is_request)
        }
        subject if is_ambiguous(subject) => {
            let text = message.human_text(limits.text_limit);
            asks_for_nothing_else(&text)
        }
        subject => is_request(subject) || is_addressed_request(subject),
    };
    asks.then(|| Report::empty(Kind::Unsubscribe))
}

/// The first line that says something, if nothing but a signature or a quotation follows.
fn first_words(text: &str) -> Option<&str> {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let first = lines.next()?;
    let ends = |line: &str| line.starts_with('>') || line.starts_with("--") || line.len() <= 30;
    lines.next().is_none_or(ends).then_some(first)
}

/// Whether a text adds nothing to its subject, signature and quotation set aside.
fn asks_for_nothing_else(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    let own = lines.take_while(|line| !line.starts_with("--"));
    let mut own = own.filter(|line| {
        !line.is_empty() && !line.starts_with('>') && !line.starts_with("Sent from my ")
    });
    let first = own.next().unwrap_or_default();
    own.next().is_none() && (first.len() <= THANKS_LIMIT || is_request(first))
}

fn is_request(text: &str) -> bool {
    REQUESTS.contains(&bare_words(text).as_str())
}

fn is_ambiguous(text: &str) -> bool {
    AMBIGUOUS.contains(&bare_words(text).as_str())
}

/// A text in lower case, without marks around it.
fn bare_words(text: &str) -> String {
    text.trim_matches(|c: char| !c.is_alphanumeric())
        .to_lowercase()
}

/// `unsubscribe` and one word more: the name of a list, or the token of a link.
fn is_addressed_request(subject: &str) -> bool {
    let (word, rest) = subject.split_once([' ', ':', '=']).unwrap_or((subject, ""));
    let rest = rest.trim();
    word.eq_ignore_ascii_case("unsubscribe") && !rest.is_empty() && !rest.contains(' ')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::understand;

    fn check(message: &str, kind: Kind) {
        let report = understand(message.as_bytes(), &Limits::default());
        assert_eq!(report.kind, kind, "{message}");
        assert!(report.recipients.is_empty(), "{message}");
    }

    #[test]
    fn a_bare_request_is_one() {
        check("Subject: unsubscribe\n\n", Kind::Unsubscribe);
        check("Subject: UNSUBSCRIBE!\n\nthanks\n", Kind::Unsubscribe);
        check("Subject: Please unsubscribe me.\n\n", Kind::Unsubscribe);
        check("Subject: unsubscribe:a1b2c3\n\n", Kind::Unsubscribe);
        check("Subject: unsubscribe autumn-news\n\n", Kind::Unsubscribe);
        check("Subject: Abmelden\n\n", Kind::Unsubscribe);
        check(
            "Subject: =?utf-8?q?D=C3=A9sinscription?=\n\n",
            Kind::Unsubscribe,
        );
        check("Subject: =?utf-8?b?6YCA6K6i?=\n\n", Kind::Unsubscribe);
        check(
            "Subject: anything\nX-Apple-Unsubscribe: true\n\n",
            Kind::Unsubscribe,
        );
        check("\nunsubscribe\n-- \nA reader\n", Kind::Unsubscribe);
        check("Subject: STOP\n\n", Kind::Unsubscribe);
        check("Subject: Remove\n\nThank you.\n", Kind::Unsubscribe);
        check(
            "Subject: baja\n\ndarme de baja\n\nSent from my phone\n-- \nA reader of long mails\n",
            Kind::Unsubscribe,
        );
    }

    #[test]
    fn mail_that_contains_the_word_is_none() {
        check("Subject: How do I unsubscribe?\n\n", Kind::Other);
        check("Subject: Re: unsubscribe\n\n", Kind::Other);
        check("Subject: unsubscribe links in our mail\n\n", Kind::Other);
        check("Subject: Autumn news\n\nunsubscribe\n", Kind::Other);
        check(
            "Subject: unsubscribe\nList-Id: <news.example.org>\n\n",
            Kind::Other,
        );
        for everyday in [
            "Subject: stop\n\nPlease stop the delivery of order 11.\n",
            "Subject: Remove\n\nremove item 3\nand keep the rest\n",
            "Subject: baja\n\nBaja de temperatura desde el lunes.\n",
            "Subject: Abmeldung\n\nHiermit melde ich mich vom Kurs am Montag ab.\n",
        ] {
            check(everyday, Kind::Other);
        }
        let text = "unsubscribe\nis a word that nobody likes to read in a newsletter of ours\n";
        check(&format!("\n{text}"), Kind::Other);
    }

    #[test]
    fn an_automatic_reply_to_a_request_is_no_request() {
        check(
            "Auto-Submitted: auto-replied\nSubject: unsubscribe\n\n",
            Kind::AutoReply,
        );
    }
}
