//! A [`Token`] is the signed local part of a return path: it says whom we wrote to, and that it was us.
//!
//! 40 octets in lower-case base32 (RFC 4648 §6) make exactly 64 letters, the longest local part of
//! RFC 5321 §4.5.3.1.1:
//!
//! | octets | what |
//! |---|---|
//! | 1 | version (high four bits) and kind |
//! | 1 | which key signed it |
//! | 2 | which tenant, as a hint |
//! | 16 | the recipient's key, or the id of a transaction |
//! | 4 | the label: campaign, stream and credential, by a tag that the store explains |
//! | 4 | when, in seconds since 1970 |
//! | 2 | random, so that two messages of one second differ |
//! | 10 | the first 80 bits of HMAC-SHA-256 over the tenant's name and all of the above |
//!
//! It carries no address, no name and nothing that a stranger could make or change.

mod hidden;
mod label;

use std::time::Duration;

use data_encoding::{Encoding, Specification};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

pub use hidden::{hidden, hidden_octets};
pub use label::Label;

use crate::suppression::Tenant;
use crate::timestamp::Timestamp;

/// Letters of a token.
pub const TOKEN_LENGTH: usize = 64;

/// Shortest secret that may sign, in octets.
pub const SECRET_MINIMUM: usize = 16;

const VERSION: u8 = 1;
const SIGNED: usize = 30;
const MAC_LENGTH: usize = 10;

/// What a token stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TokenKind {
    /// The return path of a message to one recipient; the subject is the recipient's key.
    Recipient,
    /// The return path of a message to several; the subject names the recorded set (B10).
    Transaction,
    /// An address that takes off one recipient; the subject is the recipient's key.
    Unsubscribe,
}

/// What a signed local part says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Token {
    /// What it stands for.
    pub kind: TokenKind,
    /// Whose list it is about.
    pub tenant: Tenant,
    /// A recipient's key, or the id of a transaction.
    pub subject: [u8; 16],
    /// The tag of a [label](crate::store::Store::label); 0 is none.
    pub label: u32,
    /// When it was made, to the second.
    pub at: Timestamp,
    /// Tells two messages of one second apart.
    pub nonce: u16,
}

/// Why a local part is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It has another form.
    #[error("not a token")]
    Form,
    /// No key of ours signed it for any tenant of ours.
    #[error("not signed by us")]
    Forged,
    /// It is older than the return path is valid.
    #[error("expired")]
    Expired,
}

/// Signs and checks tokens. Holds the secrets and never shows them.
#[derive(Clone)]
pub struct Signer {
    /// The first signs; all are believed.
    keys: Vec<Key>,
    validity: Duration,
}

#[derive(Clone)]
struct Key {
    id: u8,
    mac: Hmac<Sha256>,
}

impl Signer {
    /// A signer with these secrets: the first signs, all are believed, which is how keys rotate.
    ///
    /// `validity` is how long a return path is believed; an unsubscribe address has no end.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a [u8]>, validity: Duration) -> Self {
        let keys = secrets.into_iter().map(Key::new).collect();
        Self { keys, validity }
    }

    /// How long a return path is believed.
    #[must_use]
    pub const fn validity(&self) -> Duration {
        self.validity
    }

    /// The local part that says this; none if there is no key.
    #[must_use]
    pub fn sign(&self, token: &Token) -> Option<String> {
        let key = self.keys.first()?;
        let mut octets = [0; SIGNED + MAC_LENGTH];
        octets[..SIGNED].copy_from_slice(&token.octets(key.id));
        let mac = key.mac(&token.tenant, &octets[..SIGNED]);
        octets[SIGNED..].copy_from_slice(&mac);
        Some(base32().encode(&octets))
    }

    /// What a local part says, if it is ours and still valid.
    ///
    /// Upper case counts as lower case, because mail servers on the way may change it. The time it
    /// takes does not depend on how much of the signature is right (B1).
    ///
    /// # Errors
    /// When it has another form, was not signed by us for one of `tenants`, or has expired.
    pub fn check(
        &self,
        local_part: &str,
        tenants: &[Tenant],
        now: Timestamp,
    ) -> Result<Token, TokenError> {
        let octets = decode(local_part).ok_or(TokenError::Form)?;
        let (signed, mac) = octets.split_at(SIGNED);
        let keys = self.keys.iter().filter(|key| key.id == signed[1]);
        let tenant = keys
            .flat_map(|key| tenants.iter().map(move |tenant| (key, tenant)))
            .filter(|(_, tenant)| hint(tenant) == signed[2..4])
            .find(|(key, tenant)| bool::from(key.mac(tenant, signed).ct_eq(mac)))
            .map(|(_, tenant)| tenant.clone())
            .ok_or(TokenError::Forged)?;
        let token = Token::read(signed, tenant).ok_or(TokenError::Form)?;
        // Made in the future by a gateway whose clock is ahead: it is ours all the same.
        let is_return_path = token.kind != TokenKind::Unsubscribe;
        if is_return_path && token.at.plus(self.validity) < now {
            return Err(TokenError::Expired);
        }
        Ok(token)
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({} keys)", self.keys.len())
    }
}

impl Token {
    /// What tells this token from every other; the signature is no part of it, so that a rotated
    /// key does not make one message two.
    #[must_use]
    pub fn identity(&self) -> [u8; SIGNED] {
        self.octets(0)
    }

    fn octets(&self, key_id: u8) -> [u8; SIGNED] {
        let mut octets = [0; SIGNED];
        octets[0] = (VERSION << 4) | self.kind.code();
        octets[1] = key_id;
        octets[2..4].copy_from_slice(&hint(&self.tenant));
        octets[4..20].copy_from_slice(&self.subject);
        octets[20..24].copy_from_slice(&self.label.to_be_bytes());
        octets[24..28].copy_from_slice(&seconds(self.at).to_be_bytes());
        octets[28..].copy_from_slice(&self.nonce.to_be_bytes());
        octets
    }

    fn read(octets: &[u8], tenant: Tenant) -> Option<Self> {
        if octets.first()? >> 4 != VERSION {
            return None;
        }
        Some(Self {
            kind: TokenKind::of_code(octets[0] & 15)?,
            tenant,
            subject: octets.get(4..20)?.try_into().ok()?,
            label: u32::from_be_bytes(octets.get(20..24)?.try_into().ok()?),
            at: Timestamp::from_millis(
                u64::from(u32::from_be_bytes(octets.get(24..28)?.try_into().ok()?)) * 1000,
            ),
            nonce: u16::from_be_bytes(octets.get(28..30)?.try_into().ok()?),
        })
    }
}

impl TokenKind {
    const fn code(self) -> u8 {
        match self {
            Self::Recipient => 1,
            Self::Transaction => 2,
            Self::Unsubscribe => 3,
        }
    }

    const fn of_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Recipient),
            2 => Some(Self::Transaction),
            3 => Some(Self::Unsubscribe),
            _ => None,
        }
    }
}

impl Key {
    fn new(secret: &[u8]) -> Self {
        #[expect(clippy::expect_used, reason = "HMAC takes a key of any length")]
        let mac = Hmac::<Sha256>::new_from_slice(secret).expect("any key length");
        // The id is of the secret, so that nobody has to number keys, and shows nothing of it.
        let mut naming = mac.clone();
        naming.update(b"sendgate key id");
        let id = naming.finalize().into_bytes()[0];
        Self { id, mac }
    }

    fn mac(&self, tenant: &Tenant, signed: &[u8]) -> [u8; MAC_LENGTH] {
        let mut mac = self.mac.clone();
        mac.update(b"sendgate token");
        mac.update(&(tenant.as_str().len() as u64).to_be_bytes());
        mac.update(tenant.as_str().as_bytes());
        mac.update(signed);
        let whole = mac.finalize().into_bytes();
        let mut first = [0; MAC_LENGTH];
        first.copy_from_slice(&whole[..MAC_LENGTH]);
        first
    }
}

/// Two octets that spare trying every tenant; the signature covers the whole name.
fn hint(tenant: &Tenant) -> [u8; 2] {
    let digest = Sha256::digest(tenant.as_str().as_bytes());
    [digest[0], digest[1]]
}

/// Seconds since 1970; the field lasts until 2106.
fn seconds(at: Timestamp) -> u32 {
    u32::try_from(at.millis() / 1000).unwrap_or(u32::MAX)
}

fn decode(local_part: &str) -> Option<[u8; SIGNED + MAC_LENGTH]> {
    if local_part.len() != TOKEN_LENGTH {
        return None;
    }
    let octets = base32().decode(local_part.as_bytes()).ok()?;
    octets.try_into().ok()
}

/// Lower case, no padding; reads both cases.
fn base32() -> &'static Encoding {
    use std::sync::OnceLock;
    static BASE32: OnceLock<Encoding> = OnceLock::new();
    BASE32.get_or_init(|| {
        let mut specification = Specification::new();
        specification
            .symbols
            .push_str("abcdefghijklmnopqrstuvwxyz234567");
        specification
            .translate
            .from
            .push_str("ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        specification
            .translate
            .to
            .push_str("abcdefghijklmnopqrstuvwxyz");
        specification
            .encoding()
            .unwrap_or(data_encoding::BASE32_NOPAD)
    })
}

#[cfg(test)]
mod tests;
