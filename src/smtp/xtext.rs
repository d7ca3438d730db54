//! `xtext` is how SMTP writes any octet in an argument: `+` and two hexadecimal digits (RFC 3461 §4).

/// The octets that `text` stands for; none if it is no xtext.
#[must_use]
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        match byte {
            b'+' => {
                let [high, low, after @ ..] = rest else {
                    return None;
                };
                decoded.push(digit(*high)? << 4 | digit(*low)?);
                rest = after;
            }
            b'=' => return None,
            b'!'..=b'~' => decoded.push(byte),
            _ => return None,
        }
    }
    Some(decoded)
}

/// Writes `octets` as xtext.
#[must_use]
pub fn encode(octets: &[u8]) -> String {
    let mut text = String::with_capacity(octets.len());
    for &octet in octets {
        match octet {
            b'+' | b'=' => text.push_str(&format!("+{octet:02X}")),
            b'!'..=b'~' => text.push(char::from(octet)),
            _ => text.push_str(&format!("+{octet:02X}")),
        }
    }
    text
}

/// Upper case only, as the standard has it.
const fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_again(octets in proptest::collection::vec(any::<u8>(), 0..40)) {
            let text = encode(&octets);
            prop_assert!(text.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(decode(text.as_bytes()), Some(octets));
        }
    }

    #[test]
    fn what_is_no_xtext_is_refused() {
        for text in [&b"a+2"[..], b"a+zz", b"a=b", b"a b", b"+0d"] {
            assert_eq!(decode(text), None);
        }
    }
}
