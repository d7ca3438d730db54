//! A [`RecipientKey`] is the keyed hash under which a recipient is known: of the tenant and the
//! canonical address, so that neither the store nor a link has to carry the address itself.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;

use crate::mail::Address;

/// Whose list it is. Two tenants never share an entry.
///
/// A name of 1 to 64 letters, digits, `-`, `_` or `.`; it is part of every store key.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

/// The text is no tenant name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant name has 1 to 64 letters, digits, '-', '_' or '.'")]
pub struct TenantError;

/// The first 128 bits of HMAC-SHA-256(pepper, tenant with its length ‖ canonical address).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecipientKey([u8; 16]);

/// The text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key has 32 hexadecimal digits")]
pub struct KeyError;

/// Makes keys. Holds the pepper and never shows it.
#[derive(Clone)]
pub struct KeyMaker {
    mac: Hmac<Sha256>,
}

impl KeyMaker {
    /// A maker with this pepper.
    #[must_use]
    pub fn new(pepper: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mac = Hmac::<Sha256>::new_from_slice(pepper).expect("any key length");
        Self { mac }
    }

    /// The key of one recipient of one tenant.
    #[must_use]
    pub fn key(&self, tenant: &Tenant, address: &Address) -> RecipientKey {
        self.digest(&[tenant.as_str(), address.as_str()])
    }

    /// What the store keeps to tell whether it was filled with this pepper.
    ///
    /// It reveals neither the pepper nor any key.
    #[must_use]
    pub fn check_value(&self) -> String {
        self.digest(&["sendgate", "key check"]).to_string()
    }

    fn digest(&self, parts: &[&str; 2]) -> RecipientKey {
        let mut mac = self.mac.clone();
        // The length in front keeps ("ab", "c") and ("a", "bc") apart.
        mac.update(&(parts[0].len() as u64).to_be_bytes());
        mac.update(parts[0].as_bytes());
        mac.update(parts[1].as_bytes());
        let digest = mac.finalize().into_bytes();
        let mut key = [0; 16];
        key.copy_from_slice(&digest[..16]);
        RecipientKey(key)
    }
}

impl fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyMaker(..)")
    }
}

impl RecipientKey {
    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// A key read from its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl RecipientKey {
    /// The key in 32 hexadecimal digits, as it is shown.
    #[must_use]
    pub fn digits(&self) -> [u8; 32] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0u8; 32];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.digits()).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecipientKey({self})")
    }
}

impl FromStr for RecipientKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let digits = text.as_bytes();
        if digits.len() != 32 {
            return Err(KeyError);
        }
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (hex_digit(pair[0])? << 4) | hex_digit(pair[1])?;
        }
        Ok(Self(key))
    }
}

fn hex_digit(digit: u8) -> Result<u8, KeyError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(KeyError),
    }
}

impl Serialize for RecipientKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RecipientKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Tenant {
    /// A tenant of this name.
    ///
    /// # Errors
    /// When the name has other letters or another length than the type's documentation allows.
    pub fn new(name: &str) -> Result<Self, TenantError> {
        let fine = (1..=64).contains(&name.len())
            && name
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'));
        if fine {
            Ok(Self(name.into()))
        } else {
            Err(TenantError)
        }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Tenant {
    fn default() -> Self {
        Self("default".into())
    }
}

impl Borrow<str> for Tenant {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tenant {
    type Err = TenantError;

    fn from_str(text: &str) -> Result<Self, TenantError> {
        Self::new(text)
    }
}

impl Serialize for Tenant {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Tenant {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(pepper: &str, tenant: &str, address: &str) -> RecipientKey {
        KeyMaker::new(pepper.as_bytes()).key(
            &Tenant::new(tenant).unwrap(),
            &Address::parse(address).unwrap(),
        )
    }

    #[test]
    fn differs_by_pepper_tenant_and_address() {
        let one = key("p", "t", "a@example.com");
        assert_eq!(one, key("p", "t", "\"A\"@EXAMPLE.com."));
        assert_ne!(one, key("q", "t", "a@example.com"));
        assert_ne!(one, key("p", "u", "a@example.com"));
        assert_ne!(one, key("p", "t", "b@example.com"));
    }

    #[test]
    fn tenant_and_address_cannot_run_into_each_other() {
        assert_ne!(
            key("p", "t", "ta@example.com"),
            key("p", "tt", "a@example.com")
        );
    }

    #[test]
    fn reads_what_it_writes() {
        let one = key("p", "t", "a@example.com");
        assert_eq!(one.to_string().parse(), Ok(one));
        assert_eq!("xyz".parse::<RecipientKey>(), Err(KeyError));
        assert_eq!("é".repeat(16).parse::<RecipientKey>(), Err(KeyError));
    }

    #[test]
    fn keys_never_change() {
        // A changed derivation would forget everybody: this value is part of the store's format.
        assert_eq!(
            key("pepper", "default", "a@example.com").to_string(),
            "817b6bb68716870241dc38a4e98c1403"
        );
    }
}
