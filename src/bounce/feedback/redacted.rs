//! Addresses that a provider blanked out to protect its user (RFC 6590), as they are found in reports.

/// Words that stand in the place of what was taken out.
const PLACEHOLDERS: [&str; 14] = [
    "redacted",
    "removed",
    "hidden",
    "suppressed",
    "withheld",
    "anonymized",
    "anonymised",
    "anonymous",
    "masked",
    "obfuscated",
    "undisclosed",
    "unknown",
    "private",
    "deleted",
];

/// Whether nothing is left of the address, or not enough to be one.
pub(super) fn is_blanked(address: &str) -> bool {
    let Some((local_part, domain)) = address.rsplit_once('@') else {
        return true;
    };
    // The last label may well be "xxx", which is a top-level domain.
    let name = domain.split('.').next().unwrap_or_default();
    is_blank(local_part) || is_blank(name) || domain.ends_with(".invalid")
}

/// Whether a hash stands in the place of the local-part: 16 or more octets in hexadecimal.
pub(super) fn is_pseudonym(address: &str) -> bool {
    let local_part = address.rsplit_once('@').map_or("", |(local, _)| local);
    local_part.len() >= 32
        && local_part.len().is_multiple_of(8)
        && local_part.bytes().all(|b| b.is_ascii_hexdigit())
        && local_part.bytes().any(|b| b.is_ascii_digit())
}

/// Whether this half of an address, or label of its domain, is a placeholder.
fn is_blank(text: &str) -> bool {
    let bare = text.trim_matches(|c: char| !c.is_alphanumeric());
    let is_marked = text.contains(['*', '[', ']', '#', '…']) || text.contains("...");
    let is_crossed_out = bare.len() >= 3 && bare.bytes().all(|b| matches!(b, b'x' | b'X'));
    let is_word = PLACEHOLDERS.iter().any(|word| {
        bare.get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word))
            // "redacted-for-privacy" and "redacted1", but not "unknownartist".
            && !bare[word.len()..].starts_with(|c: char| c.is_alphabetic())
    });
    bare.is_empty() || is_marked || is_crossed_out || is_word
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(address: &str, blanked: bool, pseudonym: bool) {
        assert_eq!(is_blanked(address), blanked, "{address}");
        assert_eq!(is_pseudonym(address), pseudonym, "{address}");
    }

    #[test]
    fn what_is_left_of_addresses() {
        check("redacted@example.com", true, false);
        check("[redacted]@example.com", true, false);
        check("REDACTED-1@example.com", true, false);
        check("redacted", true, false);
        check("redacted@", true, false);
        check("", true, false);
        check("xxxxx@example.com", true, false);
        check("XXX@example.com", true, false);
        check("j***n@example.com", true, false);
        check("j...@example.com", true, false);
        check("user@redacted.example", true, false);
        check("user@redacted.invalid", true, false);
        check("user@xxxx.xxx", true, false);
        check("a@example.com", false, false);
        check("x@example.com", false, false);
        check("unknownartist@example.com", false, false);
        check("alex.xander@example.com", false, false);
        check("0123456789abcdef0123456789abcdef@example.com", false, true);
        check("0123456789012@example.com", false, false);
    }
}
