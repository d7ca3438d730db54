//! A delivery status notification: RFC 3464, and RFC 6533 for addresses beyond ASCII.

use super::codes::{better, reply_code_in, says_little, status_in};
use super::field::{Field, all, fields, first, split_type};
use super::part::Message;
use super::recipient::{Action, Identity, ReportedRecipient};
use super::text::{told_about, without_returned_message};
use super::{Kind, Limits, Report};
use crate::mail::EnhancedStatus;

/// Longest address that is believed to be one, in octets. RFC 5321 allows 254; xtext needs more.
const ADDRESS_LIMIT: usize = 1000;

/// Reads the report, if the message has a delivery status part.
///
/// A report within the returned message is not ours to read, and such parts are never opened.
pub(super) fn read(message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let part = message.part(&[
        "message/delivery-status",
        "message/global-delivery-status",
        // Not registered, yet seen.
        "text/delivery-status",
    ])?;
    let text = String::from_utf8_lossy(&part.content(limits.size_limit)).into_owned();
    Some(read_groups(&text, message, limits))
}

/// Reads the groups of fields that stand in a text, where a report lost its parts or never had any.
pub(super) fn read_fields(text: &str, message: &Message<'_>, limits: &Limits) -> Option<Report> {
    let lower = text.to_ascii_lowercase();
    let start = lower.find("\nfinal-recipient:")?;
    // The group begins behind the last empty line.
    let start = lower[..start + 1].rfind("\n\n").map_or(start, |at| at + 1);
    let report = read_groups(&text[start..], message, limits);
    (!report.recipients.is_empty()).then_some(report)
}

fn read_groups(text: &str, message: &Message<'_>, limits: &Limits) -> Report {
    let mut report = Report::empty(Kind::Unreadable);
    let mut texts = Vec::new();
    for group in groups(text) {
        if group.len() > limits.header_limit {
            continue;
        }
        let fields: Vec<_> = fields(group).collect();
        let mta = first(&fields, "reporting-mta").map(|mta| split_type(mta).1.to_owned());
        report.reporting_mta = report.reporting_mta.or(mta);
        let arrival = first(&fields, "arrival-date").map(str::to_owned);
        report.arrival_date = report.arrival_date.or(arrival);
        if report.recipients.len() >= limits.recipient_limit {
            break;
        }
        if let Some((recipient, diagnostic)) = recipient(&fields, limits) {
            report.recipients.push(recipient);
            texts.push(diagnostic);
        }
    }
    ask_the_words(message, limits, &mut report.recipients, &mut texts);
    for (recipient, text) in report.recipients.iter_mut().zip(&texts) {
        recipient.decide(text);
    }
    report.kind = kind(&report.recipients);
    report.message_id = message.returned_message_id(limits);
    report
}

/// Fills in what the words to a person tell of recipients for whom the report has no diagnostic.
///
/// A status code that tells why is worth more than those words, which often list several reasons.
fn ask_the_words(
    message: &Message<'_>,
    limits: &Limits,
    recipients: &mut [ReportedRecipient],
    texts: &mut [String],
) {
    let open = |recipient: &ReportedRecipient| {
        recipient.diagnostic.is_none() && recipient.status.is_none_or(leaves_open)
    };
    if !recipients.iter().any(open) {
        return;
    }
    let words = message.human_text(limits.header_limit);
    let words = without_returned_message(&words);
    let addresses: Vec<_> = recipients.iter().map(|r| r.address.clone()).collect();
    let addresses: Vec<_> = addresses.iter().map(String::as_str).collect();
    let told = told_about(words, &addresses, limits.text_limit);
    for ((recipient, text), told) in recipients.iter_mut().zip(texts).zip(told) {
        if open(recipient) {
            recipient.status = better(recipient.status, status_in(&told));
            recipient.reply_code = reply_code_in(&told);
            *text = told;
        }
    }
}

/// Whether words may decide. X.4.4 is said for "no such domain" and for trouble on the way alike.
fn leaves_open(status: EnhancedStatus) -> bool {
    says_little(status) || (status.subject(), status.detail()) == (4, 4)
}

/// The groups of fields: empty lines stand between them.
fn groups(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        // Some servers end with many empty lines, and one empty group is as good as a thousand.
        rest = rest.trim_start_matches(['\r', '\n']);
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        for line in rest.split_inclusive('\n') {
            end += line.len();
            if line.trim_end_matches(['\r', '\n']).is_empty() {
                break;
            }
        }
        let (group, after) = rest.split_at(end);
        rest = after;
        Some(group)
    })
}

/// The recipient of a group and the text that tells why; nothing for the fields of the whole message.
fn recipient(fields: &[Field<'_>], limits: &Limits) -> Option<(ReportedRecipient, String)> {
    let of = |name| first(fields, name).and_then(address);
    let last = of("final-recipient");
    let original = of("original-recipient");
    let mut recipient = ReportedRecipient::named(last.or_else(|| original.clone())?);
    recipient.identity = match original {
        Some(_) => Identity::OriginalRecipient,
        None => Identity::FinalRecipient,
    };
    recipient.original =
        original.filter(|original| !original.eq_ignore_ascii_case(&recipient.address));
    // A repeated field is a broken report: the first one that can be read counts.
    recipient.action = all(fields, "action").find_map(Action::parse);
    recipient.remote_mta = first(fields, "remote-mta").map(|mta| split_type(mta).1.to_owned());
    let told: Vec<_> = all(fields, "diagnostic-code")
        .map(|value| split_type(value).1)
        .collect();
    let diagnostic = cut(told.join(" "), limits.text_limit);
    let field = all(fields, "status")
        .find_map(|value| EnhancedStatus::parse_prefix(value.as_bytes()))
        .map(|(status, _)| status);
    recipient.status = better(field, status_in(&diagnostic));
    recipient.reply_code = reply_code_in(&diagnostic);
    recipient.diagnostic = (!diagnostic.is_empty()).then(|| diagnostic.clone());
    Some((recipient, diagnostic))
}

fn kind(recipients: &[ReportedRecipient]) -> Kind {
    let has = |wanted| {
        recipients
            .iter()
            .any(|recipient| recipient.action == wanted)
    };
    if recipients.is_empty() {
        Kind::Unreadable
    } else if has(Some(Action::Failed)) {
        Kind::Bounce
    } else if has(Some(Action::Delayed)) {
        Kind::Delayed
    } else if has(None) {
        Kind::Bounce
    } else {
        Kind::Delivered
    }
}

/// The address in `rfc822; User+2Btag@example.com` or `utf-8; us\x{E9}r@example.com`.
fn address(value: &str) -> Option<String> {
    let (kind, text) = split_type(value);
    let bare = bare_address(text);
    let decoded = if kind.eq_ignore_ascii_case("utf-8") {
        from_utf8_xtext(bare)
    } else {
        from_xtext(bare)
    };
    let is_one = !decoded.is_empty() && !decoded.starts_with('@');
    (is_one && decoded.len() <= ADDRESS_LIMIT).then_some(decoded)
}

/// The address without brackets and without what follows it.
pub(super) fn bare_address(text: &str) -> &str {
    let text = text.trim();
    let text = match text.split_once('<') {
        Some((_, inner)) => inner.split('>').next().unwrap_or_default().trim(),
        None if text.starts_with('"') => text,
        None => text.split_whitespace().next().unwrap_or_default(),
    };
    // A source route, RFC 5321 appendix C: only its last element is the address.
    match text.split_once(':') {
        Some((route, address)) if route.starts_with('@') => address,
        _ => text,
    }
}

/// Undoes xtext (RFC 3461 §4) as far as it is certain.
///
/// RFC 3464 wants plain addresses here, but many servers copy ORCPT as it came. `+AB` may be a tag of the
/// address; only `+2B`, `+3D` and octets beyond ASCII have no other reason to be there.
fn from_xtext(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1..at + 3).and_then(hex_pair)) {
            (b'+', Some(octet)) if octet == b'+' || octet == b'=' || octet >= 0x80 => {
                decoded.push(octet);
                at += 3;
            }
            (octet, _) => {
                decoded.push(octet);
                at += 1;
            }
        }
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// Two hexadecimal digits, upper case as RFC 3461 demands.
fn hex_pair(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'A'..=b'F' => Some(b - b'A' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
        _ => None,
    }
}

/// Undoes the `\x{E9}` of RFC 6533 §3.
fn from_utf8_xtext(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("\\x{") {
        decoded.push_str(&rest[..start]);
        let inner = &rest[start + 3..];
        let letter = inner.find('}').filter(|&end| end <= 6).and_then(|end| {
            let code = u32::from_str_radix(&inner[..end], 16).ok()?;
            let letter = char::from_u32(code).filter(|letter| !letter.is_control())?;
            Some((letter, &inner[end + 1..]))
        });
        match letter {
            Some((letter, after)) => {
                decoded.push(letter);
                rest = after;
            }
            None => {
                decoded.push_str("\\x{");
                rest = inner;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

/// The text, cut to a limit at the boundary of a letter.
pub(super) fn cut(mut text: String, limit: usize) -> String {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests;
