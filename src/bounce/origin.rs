//! Where the message came from that is reported about: its Message-ID, and addresses that may be our own reverse-path.
//!
//! The gateway looks among them for one that it signed. That is how a complaint, which goes to a
//! fixed address, proves that it is about our mail.

use super::dsn::bare_address;
use super::field::{all, fields, first};
use super::part::Message;
use super::{Limits, Report};

/// Addresses kept of one report.
const ADDRESS_COUNT_LIMIT: usize = 8;

/// Octets of an address that could be one: RFC 5321 §4.5.3.1 allows 64, the sign, and 255.
const ADDRESS_LIMIT: usize = 320;

/// Fields of the returned header in which servers note the reverse-path they were given.
const REVERSE_PATH_FIELDS: [&str; 5] = [
    "return-path",
    "x-original-return-path",
    "x-return-path",
    "envelope-from",
    "x-envelope-from",
];

/// Fields of the report's own header that say where it was sent to.
const DESTINATION_FIELDS: [&str; 5] = [
    "delivered-to",
    "x-original-to",
    "envelope-to",
    "x-delivered-to",
    "to",
];

/// Adds what the returned header and the report's own header tell to what the report itself told.
pub(super) fn complete(report: &mut Report, message: &Message<'_>, limits: &Limits) {
    let mut found = Found(Vec::new());
    for told in std::mem::take(&mut report.return_paths) {
        found.add(&told);
    }
    let header = message.returned_header(limits).unwrap_or_default();
    let returned: Vec<_> = fields(&header, limits.header_limit).collect();
    if report.message_id.is_none() {
        report.message_id = first(&returned, "message-id")
            .map(|id| id.trim_matches(['<', '>']).to_owned())
            .filter(|id| !id.is_empty());
    }
    for name in REVERSE_PATH_FIELDS {
        all(&returned, name).for_each(|value| found.add(value));
    }
    for name in DESTINATION_FIELDS {
        for value in all(message.fields(), name) {
            value.split(',').for_each(|value| found.add(value));
        }
    }
    for value in all(&returned, "list-unsubscribe") {
        mailto_addresses(value).for_each(|value| found.add(value));
    }
    report.return_paths = found.0;
}

/// The addresses of a List-Unsubscribe field (RFC 2369): `<mailto:a@example.com?subject=x>, <https://...>`.
fn mailto_addresses(value: &str) -> impl Iterator<Item = &str> {
    value.split('<').filter_map(|uri| {
        let uri = uri.split('>').next()?.trim();
        let (scheme, rest) = uri.split_once(':')?;
        let address = rest.split('?').next()?;
        scheme.eq_ignore_ascii_case("mailto").then_some(address)
    })
}

/// Addresses, each once.
struct Found(Vec<String>);

impl Found {
    fn add(&mut self, value: &str) {
        let address = bare_address(value);
        let is_one = address
            .rsplit_once('@')
            .is_some_and(|(local_part, domain)| !local_part.is_empty() && !domain.is_empty())
            && address.len() <= ADDRESS_LIMIT
            && !address.contains(|c: char| c.is_whitespace() || c.is_control());
        let is_new = !self
            .0
            .iter()
            .any(|known| known.eq_ignore_ascii_case(address));
        if is_one && is_new && self.0.len() < ADDRESS_COUNT_LIMIT {
            self.0.push(address.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::understand;

    const COMPLAINT: &str = "From: feedback@provider.example\nTo: Loop <fbl@example.org>, <FBL@example.org>\n\
        Delivered-To: fbl@returns.example.org\n\
        Content-Type: multipart/report; report-type=feedback-report; boundary=f\n\n\
        --f\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\n\
        Original-Mail-From: <t0ken@returns.example.org>\nOriginal-Rcpt-To: a@example.com\n\n\
        --f\nContent-Type: message/rfc822\n\nReturn-Path: <second@returns.example.org>\n\
        Message-ID: <1@example.org>\n\
        List-Unsubscribe: <https://example.org/u?x=@>, <mailto:leave@returns.example.org?subject=unsubscribe>\n\n\
        Hello.\n--f--\n";

    #[test]
    fn places_of_our_own_reverse_path_are_collected_in_order() {
        let report = understand(COMPLAINT.as_bytes(), &Limits::default());
        assert_eq!(
            report.return_paths,
            [
                "t0ken@returns.example.org",
                "second@returns.example.org",
                "fbl@returns.example.org",
                "fbl@example.org",
                "leave@returns.example.org",
            ]
        );
        assert_eq!(report.message_id.as_deref(), Some("1@example.org"));
    }

    #[test]
    fn they_are_few_and_look_like_addresses() {
        let many: String = (0..100).map(|n| format!("a{n}@example.org, ")).collect();
        let message = format!("Delivered-To: <>\nTo: nobody, @, a@, {many}\n\nhello\n");
        let report = understand(message.as_bytes(), &Limits::default());
        assert_eq!(report.return_paths.len(), ADDRESS_COUNT_LIMIT);
        assert_eq!(report.return_paths[0], "a0@example.org");
    }
}
