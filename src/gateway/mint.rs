//! The [`Mint`] makes tokens: the present time, a number that tells apart the tokens of one moment, and
//! ids of transactions that nobody else has.
//!
//! The number begins at random and comes again after 65,536 others, and another gateway may have the
//! same: a report is told apart by what it is about, and the number only keeps two messages to one
//! recipient within one second from looking the same.

use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::store::TransactionId;
use crate::suppression::Tenant;
use crate::timestamp::Timestamp;
use crate::token::{Token, TokenKind};

/// Makes tokens.
pub struct Mint {
    /// Random, so that two gateways never make the same.
    seed: [u8; 32],
    made: AtomicU64,
}

impl Mint {
    /// A mint with a random seed.
    ///
    /// # Errors
    /// When the system has no random octets.
    pub fn new() -> std::io::Result<Self> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(std::io::Error::other)?;
        let made = u64::from(u16::from_be_bytes([seed[0], seed[1]]));
        Ok(Self {
            seed,
            made: AtomicU64::new(made),
        })
    }

    /// A token made now.
    #[must_use]
    pub fn token(&self, kind: TokenKind, tenant: &Tenant, subject: [u8; 16], label: u32) -> Token {
        let nonce = self.made.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        Token {
            kind,
            tenant: tenant.clone(),
            subject,
            label,
            at: Timestamp::now(),
            nonce: u16::from_be_bytes([nonce[6], nonce[7]]),
        }
    }

    /// The id of a transaction with several recipients: 128 bits that cannot be told from random.
    #[must_use]
    pub fn transaction_id(&self) -> TransactionId {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let digest = Sha256::new()
            .chain_update(self.seed)
            .chain_update(number.to_be_bytes())
            .finalize();
        let mut id = [0; 16];
        id.copy_from_slice(&digest[..16]);
        id
    }
}

impl std::fmt::Debug for Mint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mint(..)")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn nothing_is_made_twice() {
        let (mint, other) = (Mint::new().unwrap(), Mint::new().unwrap());
        let ids: HashSet<_> = (0..1000)
            .flat_map(|_| [mint.transaction_id(), other.transaction_id()])
            .collect();
        assert_eq!(ids.len(), 2000);
        let tenant = Tenant::default();
        let token = |_| mint.token(TokenKind::Recipient, &tenant, [1; 16], 0).nonce;
        let nonces: HashSet<_> = (0..1000).map(token).collect();
        assert_eq!(nonces.len(), 1000);
    }
}
