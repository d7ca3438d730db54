//! The Received field is our trace in a message: from, by, with and id (RFC 5321 §4.4).

use std::net::IpAddr;

use crate::mail::ForwardPath;
use crate::timestamp::Timestamp;

/// What the field tells.
#[derive(Debug)]
pub struct Received<'a> {
    /// What the client called itself in EHLO.
    pub helo: &'a str,
    /// Where it connected from.
    pub client: IpAddr,
    /// Our name.
    pub hostname: &'a str,
    /// `SMTP`, `ESMTP`, `ESMTPSA`, `UTF8SMTPS` and so on (RFC 3848, RFC 6531 §4.3).
    pub with: &'static str,
    /// The transaction.
    pub id: &'a str,
    /// The recipient, given only when it is the only one, so that no Bcc shows (R9).
    pub only: Option<&'a ForwardPath>,
    /// When.
    pub at: Timestamp,
}

impl Received<'_> {
    /// Writes the field with its line end.
    pub fn encode(&self, out: &mut impl bytes::BufMut) {
        let (tag, address) = match self.client {
            IpAddr::V4(address) => ("", address.to_string()),
            IpAddr::V6(address) => ("IPv6:", address.to_string()),
        };
        for part in [
            "Received: from ",
            self.helo,
            " ([",
            tag,
            &address,
            "])\r\n\tby ",
        ] {
            out.put_slice(part.as_bytes());
        }
        for part in [
            self.hostname,
            " (Sendgate) with ",
            self.with,
            " id ",
            self.id,
        ] {
            out.put_slice(part.as_bytes());
        }
        if let Some(path) = self.only {
            out.put_slice(b"\r\n\tfor ");
            out.put_slice(path.wire());
        }
        out.put_slice(b";\r\n\t");
        out.put_slice(self.at.rfc5322().as_bytes());
        out.put_slice(b"\r\n");
    }
}

/// The protocol name for the `with` clause.
#[must_use]
pub const fn protocol(
    extended: bool,
    secure: bool,
    authenticated: bool,
    utf8: bool,
) -> &'static str {
    match (utf8, extended, secure, authenticated) {
        (true, _, false, false) => "UTF8SMTP",
        (true, _, true, false) => "UTF8SMTPS",
        (true, _, false, true) => "UTF8SMTPA",
        (true, _, true, true) => "UTF8SMTPSA",
        (false, false, ..) => "SMTP",
        (false, true, false, false) => "ESMTP",
        (false, true, true, false) => "ESMTPS",
        (false, true, false, true) => "ESMTPA",
        (false, true, true, true) => "ESMTPSA",
    }
}

/// Whether the value of a Received field was written by a Sendgate of this name (R10).
#[must_use]
pub fn is_ours(value: &str, hostname: &str) -> bool {
    let mut words = value.split_whitespace();
    while let Some(word) = words.next() {
        if word == "by" {
            let name = words.next().unwrap_or_default();
            return name.eq_ignore_ascii_case(hostname) && words.next() == Some("(Sendgate)");
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn field(only: Option<&ForwardPath>) -> String {
        let mut out = Vec::new();
        Received {
            helo: "client.example",
            client: "192.0.2.1".parse().unwrap(),
            hostname: "gw.example",
            with: protocol(true, true, true, false),
            id: "abc",
            only,
            at: Timestamp::from_millis(0),
        }
        .encode(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn r9_from_by_with_and_id() {
        let (path, _) = ForwardPath::parse(&Bytes::from_static(b"<B@example.net>")).unwrap();
        assert_eq!(
            field(Some(&path)),
            "Received: from client.example ([192.0.2.1])\r\n\tby gw.example (Sendgate) with ESMTPSA id abc\r\n\
             \tfor <B@example.net>;\r\n\tThu, 01 Jan 1970 00:00:00 +0000\r\n"
        );
        assert!(!field(None).contains("for <"));
    }

    #[test]
    fn r10_our_own_field_is_recognized() {
        let value = field(None).replace("\r\n", " ");
        assert!(is_ours(&value, "GW.example"));
        assert!(!is_ours(&value, "other.example"));
        assert!(!is_ours("from a by gw.example with ESMTP", "gw.example"));
    }
}
