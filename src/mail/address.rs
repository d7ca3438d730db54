//! An [`Address`] is a mailbox in its canonical form: the form from which keys are made.
//!
//! Two spellings that reach the same mailbox by the rules of RFC 5321 have one canonical form:
//! quoting that says nothing is removed, the local-part is lower-cased, the domain becomes A-labels.
//! Nothing else is folded. Plus tags and Gmail dots stay, because strangers would share an entry.
//! The canonical form is looked up and never sent; what the client wrote goes upstream (E2).

use std::borrow::Cow;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use unicode_normalization::{UnicodeNormalization, is_nfc};

/// Longest local-part, in octets, as written without its quotes (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_LIMIT: usize = 64;
/// Longest domain, in octets, as written (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_LIMIT: usize = 255;

/// A mailbox in canonical form.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    text: Box<str>,
    at: usize,
}

/// Why a text has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// There is no `@` between a local-part and a domain.
    #[error("expected local-part@domain")]
    Shape,
    /// The local-part is neither a dot-atom nor a quoted string (RFC 5321 §4.1.2).
    #[error("the local-part is not valid")]
    LocalPart,
    /// The local-part asks a relay to route the message on: `%`, `!` or `@` inside it (E2).
    #[error("the local-part holds a route (%, ! or @)")]
    Routed,
    /// The domain is neither a host name nor an address literal.
    #[error("the domain is not valid")]
    Domain,
    /// The local-part or the domain is longer than the standard allows.
    #[error("the address is too long")]
    TooLong,
    /// The bytes are not UTF-8.
    #[error("the address is not UTF-8")]
    Encoding,
}

impl Address {
    /// Reads a mailbox as it stands in an envelope, without angle brackets.
    ///
    /// # Errors
    /// Says what keeps the text from having a canonical form.
    pub fn parse(mailbox: &str) -> Result<Self, AddressError> {
        if let Some(plain) = Self::plain(mailbox) {
            return Ok(plain);
        }
        let (local, domain) = split(mailbox)?;
        if local.len() > LOCAL_PART_LIMIT + 2 || domain.len() > DOMAIN_LIMIT {
            return Err(AddressError::TooLong);
        }
        Self::join(&local_part(local)?, &canonical_domain(domain)?)
    }

    /// The canonical text, `local-part@domain`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The canonical local-part, quoted where it must be.
    #[must_use]
    pub fn local_part(&self) -> &str {
        &self.text[..self.at]
    }

    /// The canonical domain: A-labels in lower case, or an address literal in brackets.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.text[self.at + 1..]
    }

    /// Nearly every address: ASCII, nothing quoted, nothing to be folded but the case of letters.
    fn plain(mailbox: &str) -> Option<Self> {
        let at = memchr::memchr(b'@', mailbox.as_bytes())?;
        let (local, domain) = (&mailbox[..at], &mailbox[at + 1..]);
        (is_plain_local_part(local) && is_plain_host_name(domain)).then(|| Self {
            text: mailbox.to_ascii_lowercase().into_boxed_str(),
            at,
        })
    }

    fn join(local: &str, domain: &str) -> Result<Self, AddressError> {
        if local.is_empty() || domain.is_empty() {
            return Err(AddressError::Shape);
        }
        let at = local.len();
        Ok(Self {
            text: format!("{local}@{domain}").into_boxed_str(),
            at,
        })
    }
}

/// Splits at the `@` that separates the two halves: the first one outside quotes.
fn split(mailbox: &str) -> Result<(&str, &str), AddressError> {
    let at = if mailbox.starts_with('"') {
        let close = closing_quote(mailbox).ok_or(AddressError::LocalPart)?;
        if mailbox.as_bytes().get(close + 1) != Some(&b'@') {
            return Err(AddressError::LocalPart);
        }
        close + 1
    } else {
        mailbox.find('@').ok_or(AddressError::Shape)?
    };
    let (local, domain) = (&mailbox[..at], &mailbox[at + 1..]);
    if domain.contains('@') {
        return Err(AddressError::Routed);
    }
    Ok((local, domain))
}

/// The index of the quote that closes the quoted string at the start of `text`.
fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    for (index, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return Some(index),
            _ => {}
        }
    }
    None
}

fn local_part(written: &str) -> Result<String, AddressError> {
    let content = if written.starts_with('"') {
        Cow::Owned(unquote(written)?)
    } else if is_dot_atom(written) {
        Cow::Borrowed(written)
    } else {
        return Err(AddressError::LocalPart);
    };
    if content.len() > LOCAL_PART_LIMIT {
        return Err(AddressError::TooLong);
    }
    // RFC 5321 §3.6.1 lets a relay act on these; the key would then be made from the wrong mailbox.
    if content.contains(['%', '!', '@']) {
        return Err(AddressError::Routed);
    }
    let folded = fold_local_part(&content);
    Ok(if is_dot_atom(&folded) {
        folded
    } else {
        quote(&folded)
    })
}

/// Removes the quotes and the backslashes of a quoted string.
fn unquote(written: &str) -> Result<String, AddressError> {
    let inner = written
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
        .ok_or(AddressError::LocalPart)?;
    let mut content = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        let character = match character {
            '\\' => characters.next().ok_or(AddressError::LocalPart)?,
            other => other,
        };
        if character.is_control() {
            return Err(AddressError::LocalPart);
        }
        content.push(character);
    }
    if content.is_empty() {
        return Err(AddressError::LocalPart);
    }
    Ok(content)
}

fn quote(content: &str) -> String {
    let mut quoted = String::with_capacity(content.len() + 2);
    quoted.push('"');
    for character in content.chars() {
        if matches!(character, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(character);
    }
    quoted.push('"');
    quoted
}

/// NFC, and ASCII letters in lower case. Other letters keep their case: no Turkish i.
fn fold_local_part(content: &str) -> String {
    if is_nfc(content) {
        content.to_ascii_lowercase()
    } else {
        content.nfc().collect::<String>().to_ascii_lowercase()
    }
}

/// `Dot-string` of RFC 5321 §4.1.2, with the non-ASCII letters of RFC 6531 §3.3.
fn is_dot_atom(text: &str) -> bool {
    !text.is_empty()
        && text
            .split('.')
            .all(|atom| !atom.is_empty() && atom.chars().all(is_atom_character))
}

fn is_atom_character(character: char) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '!' | '#' | '$' | '%' | '&' | '\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_'
        | '`' | '{' | '|' | '}' | '~' => true,
        other => !other.is_ascii() && !other.is_control() && !other.is_whitespace(),
    }
}

/// A domain as lower-case A-labels without a trailing dot, or an address literal in lower case.
///
/// # Errors
/// [`AddressError::Domain`] if it is neither.
pub fn canonical_domain(written: &str) -> Result<Cow<'_, str>, AddressError> {
    if let Some(literal) = written.strip_prefix('[') {
        let inner = literal.strip_suffix(']').ok_or(AddressError::Domain)?;
        return canonical_literal(inner).map(Cow::Owned);
    }
    let written = written.strip_suffix('.').unwrap_or(written);
    if is_plain_host_name(written) {
        return Ok(if written.bytes().any(|b| b.is_ascii_uppercase()) {
            Cow::Owned(written.to_ascii_lowercase())
        } else {
            Cow::Borrowed(written)
        });
    }
    let ascii = Uts46::new()
        .to_ascii(
            written.as_bytes(),
            AsciiDenyList::new(true, " !\"#$%&'()*+,/:;<=>?@[\\]^`{|}~"),
            Hyphens::CheckFirstLast,
            DnsLength::Verify,
        )
        .map_err(|_| AddressError::Domain)?;
    Ok(Cow::Owned(ascii.into_owned()))
}

/// An address literal as numbers are written, because `2001:db8::1` has many spellings. IPv6 is the
/// only tag that was ever registered (RFC 5321 §4.1.3).
fn canonical_literal(inner: &str) -> Result<String, AddressError> {
    let parsed = match inner.split_once(':') {
        Some((tag, number)) if tag.eq_ignore_ascii_case("IPv6") => number
            .parse()
            .map(|address: Ipv6Addr| format!("[ipv6:{address}]")),
        _ => inner
            .parse()
            .map(|address: Ipv4Addr| format!("[{address}]")),
    };
    parsed.map_err(|_| AddressError::Domain)
}

/// The ordinary case: a dot-atom of ASCII in which nothing could be a route.
fn is_plain_local_part(text: &str) -> bool {
    text.len() <= LOCAL_PART_LIMIT
        && text.as_bytes().split(|&byte| byte == b'.').all(|atom| {
            let letter = |byte: &u8| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'=')
            };
            !atom.is_empty() && atom.iter().all(letter)
        })
}

/// The ordinary case, decided without Unicode tables: letters, digits, hyphens, underscores, and
/// no label in an encoded form that would have to be checked.
fn is_plain_host_name(text: &str) -> bool {
    text.len() < DOMAIN_LIMIT
        && text.as_bytes().split(|&byte| byte == b'.').all(|bytes| {
            !bytes.is_empty()
                && bytes.len() <= 63
                && bytes
                    .iter()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && bytes[0] != b'-'
                && bytes[bytes.len() - 1] != b'-'
                && !(bytes.len() >= 4 && bytes[..4].eq_ignore_ascii_case(b"xn--"))
        })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.text)
    }
}

impl std::str::FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Self::parse(text)
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(written: &str, canonical: &str) {
        let address = Address::parse(written).unwrap_or_else(|e| panic!("{written}: {e}"));
        assert_eq!(address.as_str(), canonical, "{written}");
        assert_eq!(
            Address::parse(address.as_str()).as_ref(),
            Ok(&address),
            "canonical form is a fixed point"
        );
    }

    fn refuse(written: &str, error: AddressError) {
        assert_eq!(Address::parse(written), Err(error), "{written}");
    }

    #[test]
    fn e2_spellings_of_one_mailbox_have_one_form() {
        for written in [
            "opted.out@example.com",
            "\"Opted.Out\"@Example.COM",
            "OPTED.OUT@example.com",
            "\"opted\\.out\"@example.com",
            "opted.out@example.com.",
            "opted.out@ｅｘａｍｐｌｅ.com",
        ] {
            check(written, "opted.out@example.com");
        }
    }

    #[test]
    fn e2_international_domains_become_a_labels() {
        check("OPTED@bücher.example", "opted@xn--bcher-kva.example");
        check("opted@xn--bcher-kva.example", "opted@xn--bcher-kva.example");
        check("opted@BU\u{308}CHER.example", "opted@xn--bcher-kva.example");
        check("opted@XN--BCHER-KVA.example", "opted@xn--bcher-kva.example");
    }

    #[test]
    fn e2_nothing_else_is_folded() {
        check("a+tag@gmail.com", "a+tag@gmail.com");
        check("a.b@gmail.com", "a.b@gmail.com");
        check("ｏｐｔｅｄ@example.com", "ｏｐｔｅｄ@example.com");
        check("u\u{308}@example.com", "\u{fc}@example.com");
        check("\u{130}@example.com", "\u{130}@example.com");
    }

    #[test]
    fn quotes_stay_where_they_say_something() {
        check("\"A B\"@example.com", "\"a b\"@example.com");
        check("\"a..b\"@example.com", "\"a..b\"@example.com");
        check("\"a\\\"b\"@example.com", "\"a\\\"b\"@example.com");
        check("\"a>b\"@example.com", "\"a>b\"@example.com");
    }

    #[test]
    fn e2_literals_have_one_form() {
        check("a@[IPv6:2001:DB8::1]", "a@[ipv6:2001:db8::1]");
        check("a@[IPV6:2001:db8:0:00::0001]", "a@[ipv6:2001:db8::1]");
        check("a@[192.0.2.1]", "a@[192.0.2.1]");
    }

    #[test]
    fn e2_routes_in_the_local_part_are_refused() {
        refuse("opted.out%example.com@relay.example", AddressError::Routed);
        refuse("example.com!opted.out@relay.example", AddressError::Routed);
        refuse(
            "\"opted.out@example.com\"@relay.example",
            AddressError::Routed,
        );
        refuse("a@b@example.com", AddressError::Routed);
    }

    #[test]
    fn e3_what_has_no_canonical_form_is_refused() {
        refuse("nobody", AddressError::Shape);
        refuse("@example.com", AddressError::LocalPart);
        refuse("a@", AddressError::Domain);
        refuse("a.@example.com", AddressError::LocalPart);
        refuse(".a@example.com", AddressError::LocalPart);
        refuse("a b@example.com", AddressError::LocalPart);
        refuse("\"a\"b@example.com", AddressError::LocalPart);
        refuse("\"\"@example.com", AddressError::LocalPart);
        refuse("\"a\0\"@example.com", AddressError::LocalPart);
        refuse("a@x..y", AddressError::Domain);
        refuse("a@[300.1.2.3]", AddressError::Domain);
        refuse("a@[IPv6:zz]", AddressError::Domain);
        refuse("a@[X-tag:x]", AddressError::Domain);
        refuse("a@[]", AddressError::Domain);
        refuse("a@-x.example", AddressError::Domain);
        refuse("a@x .example", AddressError::Domain);
        refuse("a@[]", AddressError::Domain);
        refuse("a@[1.2.3.4", AddressError::Domain);
        refuse(
            &format!("{}@example.com", "a".repeat(65)),
            AddressError::TooLong,
        );
    }

    #[test]
    fn w10_longest_parts_are_accepted() {
        let label = "a".repeat(63);
        let domain = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(domain.len(), 253);
        let longest = format!("{}@{domain}", "l".repeat(64));
        check(&longest, &longest);
    }

    proptest! {
        #[test]
        fn canonical_form_is_a_fixed_point(text in "\\PC{0,40}@\\PC{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                let again = Address::parse(address.as_str());
                prop_assert_eq!(again.as_ref(), Ok(&address));
                prop_assert!(!address.as_str().contains(['\r', '\n', '\0']));
            }
        }

        #[test]
        fn quoting_never_changes_the_mailbox(local in "[a-z0-9][a-z0-9_+-]{0,20}", domain in "[a-z]{1,10}\\.example") {
            let plain = Address::parse(&format!("{local}@{domain}")).unwrap();
            let quoted = Address::parse(&format!("\"{local}\"@{domain}.")).unwrap();
            prop_assert_eq!(plain, quoted);
        }
    }
}
