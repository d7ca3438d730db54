//! A [`Found`] is an address that stands in a text, with its place.

/// Octets that a local part in running text may have in front of its at sign. RFC 5321 allows 64;
/// rewritten addresses are longer.
const LOCAL_LIMIT: usize = 128;

/// Octets of a domain, RFC 5321 §4.5.3.1.2.
const DOMAIN_LIMIT: usize = 255;

/// An address in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    pub(super) address: &'a str,
    /// Where it begins in the text, in octets.
    pub(super) start: usize,
    /// Where it ends.
    pub(super) end: usize,
}

/// The address around the at sign at `at`; it begins at or behind `floor`.
pub(super) fn around(text: &str, at: usize, floor: usize) -> Option<Found<'_>> {
    let bytes = text.as_bytes();
    let mut start = start_of_local_part(bytes, at, floor)?;
    let mut end = end_of_domain(bytes, at + 1)?;
    let in_brackets = start > 0 && bytes[start - 1] == b'<';
    if !in_brackets {
        start += without_script_before(text.get(start..at)?);
        end = at + 1 + without_script_behind(text.get(at + 1..end)?);
    }
    let address = text.get(start..end)?;
    is_plausible(address, in_brackets).then_some(Found {
        address,
        start,
        end,
    })
}

/// Words in a script without spaces stick to the address; letters such as `ö` are part of it.
fn is_of_script_without_spaces(letter: char) -> bool {
    letter >= '\u{2E80}'
}

fn without_script_before(local_part: &str) -> usize {
    local_part
        .rfind(is_of_script_without_spaces)
        .and_then(|last| Some(last + local_part.get(last..)?.chars().next()?.len_utf8()))
        .unwrap_or_default()
}

fn without_script_behind(domain: &str) -> usize {
    domain
        .find(is_of_script_without_spaces)
        .unwrap_or(domain.len())
}

/// The first address of a text.
pub(super) fn first_in(text: &str) -> Option<Found<'_>> {
    memchr::memchr_iter(b'@', text.as_bytes()).find_map(|at| around(text, at, 0))
}

fn start_of_local_part(bytes: &[u8], at: usize, floor: usize) -> Option<usize> {
    let floor = floor.max(at.saturating_sub(LOCAL_LIMIT));
    let before = &bytes[floor..at];
    if let Some(quoted) = before.strip_suffix(b"\"") {
        let line = memchr::memrchr(b'\n', quoted).map_or(0, |position| position + 1);
        let open = line + memchr::memrchr(b'"', &quoted[line..])?;
        return Some(floor + open);
    }
    let length = before.iter().rev().take_while(|&&b| is_local(b)).count();
    let mut start = at - length;
    // Exchange writes X.400 style: SMTP=a@example.com.
    if let Some(equals) = memchr::memchr(b'=', &bytes[start..at])
        && bytes[start..start + equals].eq_ignore_ascii_case(b"smtp")
    {
        start += equals + 1;
    }
    // Quotes, bullets and dots in front of it belong to the sentence.
    while start < at && b"'`.*-=|".contains(&bytes[start]) {
        start += 1;
    }
    (start < at).then_some(start)
}

fn end_of_domain(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = &bytes[start..bytes.len().min(start + DOMAIN_LIMIT)];
    let length = rest.iter().take_while(|&&b| is_domain(b)).count();
    let domain = &rest[..length];
    let kept = domain
        .iter()
        .rposition(|b| !b".-_".contains(b))
        .map(|last| last + 1)?;
    (memchr::memchr(b'.', &domain[..kept])? > 0).then_some(start + kept)
}

/// RFC 5322 `atext` and the dot, and letters beyond ASCII (RFC 6532).
fn is_local(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b) || b >= 0x80
}

fn is_domain(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b".-_".contains(&b) || b >= 0x80
}

/// Not part of a link, and not blotted out as `some...@example.com` (as archives of lists do).
fn is_plausible(address: &str, in_brackets: bool) -> bool {
    let Some((local_part, domain)) = address.rsplit_once('@') else {
        return false;
    };
    let in_link = !in_brackets && local_part.contains(['/', '?', '&', '%']);
    !in_link
        && !local_part.is_empty()
        && !local_part.ends_with("...")
        && !domain.starts_with('.')
        && domain.contains('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn first(text: &str) -> Option<&str> {
        first_in(text).map(|found| found.address)
    }

    #[test]
    fn addresses_are_taken_out_of_what_stands_around_them() {
        for (text, address) in [
            ("to <a@example.com>: no", Some("a@example.com")),
            ("'a@example.com'.", Some("a@example.com")),
            ("o'neil@example.com...", Some("o'neil@example.com")),
            ("mailto:a+b@example.com)", Some("a+b@example.com")),
            ("[SMTP:a@example.com]", Some("a@example.com")),
            ("/SMTP=a@example.com on", None),
            ("c=US;SMTP=a@example.com on", Some("a@example.com")),
            ("rfc822;a@example.com", Some("a@example.com")),
            ("<\"a b\"@example.com>", Some("\"a b\"@example.com")),
            ("-a.b.@example.com", Some("a.b.@example.com")),
            ("some...@example.com", None),
            ("https://example.com/?u=a@example.com", None),
            ("root@localhost", None),
            ("@example.com", None),
            ("a@.", None),
            ("<jörg@bücher.example>", Some("jörg@bücher.example")),
            ("宛先a@example.comへ", Some("a@example.com")),
        ] {
            assert_eq!(first(text), address, "{text}");
        }
    }
}
