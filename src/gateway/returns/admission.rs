//! Who may be written to on a returns listener: *admission* (B1).
//!
//! Everybody else hears the same, whatever the reason, so that nobody learns how close they were.

use crate::gateway::settings::{ReturnsRules, Settings};
use crate::mail::{Address, EnhancedStatus, ForwardPath};
use crate::smtp::Reply;
use crate::suppression::Tenant;
use crate::timestamp::Timestamp;
use crate::token::{Signer, Token, TokenError};

/// Knows which addresses we signed.
#[derive(Debug, Clone, Copy)]
pub struct Seals<'a> {
    /// Who signed; none where nothing ever was.
    pub signer: Option<&'a Signer>,
    /// Everybody whose list it is.
    pub tenants: &'a [Tenant],
    /// Our domains, in canonical form.
    pub domains: &'a [String],
}

/// Whom mail on the returns listener is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Addressee {
    /// A signed address: what it says is proven.
    Signed(Box<Token>),
    /// An address that mailbox providers send complaints to.
    Feedback,
    /// The postmaster, who is always there (E9).
    Postmaster,
    /// Some address of ours, from a source that the operator trusts.
    Trusted,
}

/// Why an address is not accepted. The sender hears nothing of it; the operator counts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nobody could have such an address.
    Unreadable,
    /// The domain is not ours.
    Domain,
    /// The domain is ours; nobody signed the address.
    Unsigned(TokenError),
}

impl<'a> Seals<'a> {
    /// What these settings believe at the domains of a listener.
    #[must_use]
    pub fn of(settings: &'a Settings, rules: &'a ReturnsRules) -> Self {
        Self {
            signer: settings.signer.as_deref(),
            tenants: &settings.tenants,
            domains: &rules.domains,
        }
    }

    /// Whether the address is at a domain of ours.
    #[must_use]
    pub fn is_own(&self, address: &Address) -> bool {
        self.domains.iter().any(|domain| domain == address.domain())
    }

    /// What a signed address of ours says.
    ///
    /// # Errors
    /// When it is at another domain, or its local part is not signed by us or has expired.
    pub(super) fn open(&self, address: &Address, now: Timestamp) -> Result<Token, Refusal> {
        if !self.is_own(address) {
            return Err(Refusal::Domain);
        }
        let signer = self.signer.ok_or(Refusal::Unsigned(TokenError::Form))?;
        signer
            .check(address.local_part(), self.tenants, now)
            .map_err(Refusal::Unsigned)
    }

    /// The same for a source that the operator trusts: it may bring what is long since expired, as
    /// an archive does. The signature is proof all the same, and tells when the message was sent.
    pub(super) fn open_trusted(&self, address: &Address) -> Result<Token, Refusal> {
        self.open(address, Timestamp::from_millis(0))
    }
}

impl Refusal {
    /// The name in statistics.
    pub(super) const fn why(self) -> &'static str {
        match self {
            Self::Unreadable => "unreadable",
            Self::Domain => "domain",
            Self::Unsigned(TokenError::Form) => "unsigned",
            Self::Unsigned(TokenError::Forged) => "forged",
            Self::Unsigned(TokenError::Expired) => "expired",
        }
    }

    /// What the sender hears, whatever the reason.
    pub(super) fn reply() -> Reply {
        Reply::new(550, EnhancedStatus::of(5, 1, 1), "No such address here")
    }
}

/// Whether a client may write to this address, and what it stands for.
pub(super) fn admit(
    path: &ForwardPath,
    seals: Seals<'_>,
    feedback: &[Address],
    trusted: bool,
    now: Timestamp,
) -> Result<Addressee, Refusal> {
    let Some(address) = path.address() else {
        return Ok(Addressee::Postmaster);
    };
    if feedback.contains(address) {
        return Ok(Addressee::Feedback);
    }
    let opened = if trusted {
        seals.open_trusted(address)
    } else {
        seals.open(address, now)
    };
    match opened {
        Ok(token) => Ok(Addressee::Signed(Box::new(token))),
        Err(Refusal::Unsigned(_)) if path.is_postmaster() => Ok(Addressee::Postmaster),
        Err(Refusal::Unsigned(_)) if trusted => Ok(Addressee::Trusted),
        Err(refusal) => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::token::TokenKind;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn now() -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000)
    }

    fn token(tenant: &str, at: Timestamp) -> Token {
        Token {
            kind: TokenKind::Recipient,
            tenant: Tenant::new(tenant).unwrap(),
            subject: [7; 16],
            label: 0,
            at,
            nonce: 1,
        }
    }

    fn signer(secret: &str) -> Signer {
        Signer::new([secret.as_bytes()], DAY * 30)
    }

    /// What becomes of a recipient: its addressee, or why it is refused.
    fn admitted(mailbox: &str, trusted: bool) -> Result<Addressee, &'static str> {
        let signer = signer("a secret of ours");
        let seals = Seals {
            signer: Some(&signer),
            tenants: &[Tenant::default()],
            domains: &["returns.example.com".to_owned()],
        };
        let feedback = [Address::parse("fbl@example.com").unwrap()];
        let (path, _) = ForwardPath::parse(&format!("<{mailbox}>").into()).unwrap();
        admit(&path, seals, &feedback, trusted, now()).map_err(Refusal::why)
    }

    fn signed(tenant: &str, at: Timestamp, secret: &str) -> String {
        let local = signer(secret).sign(&token(tenant, at)).unwrap();
        format!("{local}@returns.example.com")
    }

    #[test]
    fn b1_a_signed_address_is_accepted_in_any_case() {
        let address = signed("default", now(), "a secret of ours");
        let expected = Addressee::Signed(Box::new(token("default", now())));
        assert_eq!(admitted(&address, false), Ok(expected.clone()));
        assert_eq!(admitted(&address.to_uppercase(), false), Ok(expected));
    }

    #[test]
    fn b1_x50_what_is_not_signed_by_us_is_refused() {
        let good = signed("default", now(), "a secret of ours");
        let flipped = format!(
            "{}{}",
            if good.starts_with('c') { 'd' } else { 'c' },
            &good[1..]
        );
        let bit = format!("{}b{}", &good[..40], &good[41..]);
        let old = signed("default", now().minus(DAY * 31), "a secret of ours");
        let elsewhere = good.replace("returns", "other");
        for (address, why) in [
            ("bounce@returns.example.com", "unsigned"),
            (&flipped, "forged"),
            (&bit, "forged"),
            (&old, "expired"),
            (&signed("other", now(), "a secret of ours"), "forged"),
            (&signed("default", now(), "another secret.."), "forged"),
            (&elsewhere, "domain"),
            ("fbl@returns.example.com", "unsigned"),
        ] {
            if *address == good {
                continue;
            }
            assert_eq!(admitted(address, false), Err(why), "{address}");
        }
    }

    #[test]
    fn b1_feedback_and_postmaster_are_for_anybody() {
        for (address, addressee) in [
            ("fbl@example.com", Addressee::Feedback),
            ("FBL@Example.COM", Addressee::Feedback),
            ("postmaster", Addressee::Postmaster),
            ("Postmaster@returns.example.com", Addressee::Postmaster),
        ] {
            assert_eq!(admitted(address, false), Ok(addressee), "{address}");
        }
        assert_eq!(admitted("postmaster@other.example", false), Err("domain"));
    }

    #[test]
    fn b1_a_trusted_source_may_write_anywhere_at_home() {
        let old = signed("default", now().minus(DAY * 400), "a secret of ours");
        assert!(matches!(admitted(&old, true), Ok(Addressee::Signed(_))));
        let any = "bounce@returns.example.com";
        assert_eq!(admitted(any, true), Ok(Addressee::Trusted));
        assert_eq!(admitted("b@example.net", true), Err("domain"));
    }
}
