//! A path is an envelope address in its angle brackets: the argument of MAIL or of RCPT.
//!
//! A path keeps the bytes it was written with, because those go upstream, beside the canonical
//! [`Address`] they mean, because that is what is looked up. Ready-made parsers lose one of the two:
//! an unquoted local-part can then be looked up as one address and sent as another.

use bytes::Bytes;

use super::address::{Address, AddressError};

/// Longest path in octets, brackets included (RFC 5321 §4.5.3.1.3).
pub const PATH_LIMIT: usize = 256;

/// The argument of MAIL: where reports go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReversePath {
    /// `<>`: a report, which nobody must answer with another report (RFC 5321 §4.5.5).
    Null,
    /// A mailbox.
    Mailbox {
        /// As written, with brackets.
        wire: Bytes,
        /// What it means.
        address: Address,
    },
}

/// The argument of RCPT: one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardPath {
    /// `<postmaster>` without a domain, in any case (RFC 5321 §4.5.1).
    Postmaster {
        /// As written, with brackets.
        wire: Bytes,
    },
    /// A mailbox.
    Mailbox {
        /// As written, with brackets and any source route.
        wire: Bytes,
        /// What it means, source route removed.
        address: Address,
    },
}

/// Why a path cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// No `<` at the start, no `>` at the end, or something other than a space behind it.
    #[error("expected a path in angle brackets")]
    Brackets,
    /// `<>` where a recipient is needed.
    #[error("the null path is no recipient")]
    Null,
    /// Longer than [`PATH_LIMIT`].
    #[error("the path is too long")]
    TooLong,
    /// What is between the brackets is no mailbox.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl ReversePath {
    /// Reads the path at the start of `argument` and returns what follows the space behind it.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub fn parse(argument: &Bytes) -> Result<(Self, Bytes), PathError> {
        let (wire, rest) = bracketed(argument)?;
        if wire.as_ref() == b"<>" {
            return Ok((Self::Null, rest));
        }
        let address = mailbox(&wire)?;
        Ok((Self::Mailbox { wire, address }, rest))
    }

    /// As written, with brackets.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        match self {
            Self::Null => b"<>",
            Self::Mailbox { wire, .. } => wire,
        }
    }

    /// The mailbox, or none for `<>`.
    #[must_use]
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Null => None,
            Self::Mailbox { address, .. } => Some(address),
        }
    }
}

impl ForwardPath {
    /// Reads the path at the start of `argument` and returns what follows the space behind it.
    ///
    /// # Errors
    /// Says what is wrong with the path.
    pub fn parse(argument: &Bytes) -> Result<(Self, Bytes), PathError> {
        let (wire, rest) = bracketed(argument)?;
        if wire.as_ref() == b"<>" {
            return Err(PathError::Null);
        }
        if wire.eq_ignore_ascii_case(b"<postmaster>") {
            return Ok((Self::Postmaster { wire }, rest));
        }
        let address = mailbox(&wire)?;
        Ok((Self::Mailbox { wire, address }, rest))
    }

    /// As written, with brackets.
    #[must_use]
    pub fn wire(&self) -> &[u8] {
        match self {
            Self::Postmaster { wire } | Self::Mailbox { wire, .. } => wire,
        }
    }

    /// The mailbox, or none for a bare `<postmaster>`.
    #[must_use]
    pub const fn address(&self) -> Option<&Address> {
        match self {
            Self::Postmaster { .. } => None,
            Self::Mailbox { address, .. } => Some(address),
        }
    }

    /// Whether this is the postmaster, bare or at some domain (E9).
    #[must_use]
    pub fn is_postmaster(&self) -> bool {
        match self {
            Self::Postmaster { .. } => true,
            Self::Mailbox { address, .. } => address.local_part() == "postmaster",
        }
    }
}

/// The bytes up to the `>` outside quotes, and what follows the space behind it.
fn bracketed(argument: &Bytes) -> Result<(Bytes, Bytes), PathError> {
    if argument.first() != Some(&b'<') {
        return Err(PathError::Brackets);
    }
    let close = closing_bracket(argument).ok_or(PathError::Brackets)?;
    if close + 1 > PATH_LIMIT {
        return Err(PathError::TooLong);
    }
    let rest = match argument.get(close + 1) {
        None => Bytes::new(),
        // A parameter must not touch the bracket: some servers would read it as part of the path.
        Some(b' ') => argument.slice(close + 2..),
        Some(_) => return Err(PathError::Brackets),
    };
    Ok((argument.slice(..=close), rest))
}

fn closing_bracket(argument: &[u8]) -> Option<usize> {
    let (mut quoted, mut escaped) = (false, false);
    for (index, &byte) in argument.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if !quoted => return Some(index),
            _ => {}
        }
    }
    None
}

/// The mailbox in a bracketed path, behind any source route.
fn mailbox(wire: &[u8]) -> Result<Address, PathError> {
    let text = std::str::from_utf8(wire).map_err(|_| AddressError::Encoding)?;
    let inner = &text[1..text.len() - 1];
    let inner = match inner.strip_prefix('@') {
        // RFC 5321 §4.1.1.3: a source route is read and ignored; only its last element is the recipient.
        Some(route) => {
            let (hops, mailbox) = route.split_once(':').ok_or(AddressError::Shape)?;
            check_route(hops)?;
            mailbox
        }
        None => inner,
    };
    Ok(Address::parse(inner)?)
}

/// `@a,@b` of which the first `@` has been taken.
fn check_route(hops: &str) -> Result<(), AddressError> {
    for (index, hop) in hops.split(',').enumerate() {
        let host = if index == 0 {
            hop
        } else {
            hop.strip_prefix('@').ok_or(AddressError::Domain)?
        };
        super::address::canonical_domain(host)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn forward(argument: &'static str) -> Result<(ForwardPath, Bytes), PathError> {
        ForwardPath::parse(&Bytes::from_static(argument.as_bytes()))
    }

    fn check(argument: &'static str, address: &str, rest: &str) {
        let (path, after) = forward(argument).unwrap_or_else(|e| panic!("{argument}: {e}"));
        assert_eq!(path.address().unwrap().as_str(), address);
        assert_eq!(after, rest.as_bytes());
        assert!(argument.as_bytes().starts_with(path.wire()));
    }

    #[test]
    fn keeps_the_wire_form_beside_the_meaning() {
        check("<a@example.com>", "a@example.com", "");
        check(
            "<A@Example.com> NOTIFY=NEVER",
            "a@example.com",
            "NOTIFY=NEVER",
        );
        check("<\"A\"@example.com>", "a@example.com", "");
        check(
            "<@a.example,@b.example:opted.out@example.com>",
            "opted.out@example.com",
            "",
        );
    }

    #[test]
    fn h5_a_quoted_bracket_is_part_of_the_local_part() {
        check(
            "<\"a> NOTIFY=NEVER\"@example.com>",
            "\"a> notify=never\"@example.com",
            "",
        );
    }

    #[test]
    fn h5b_what_others_accept_is_refused() {
        for argument in [
            "a@example.com",
            " <a@example.com>",
            "<a@example.com>NOTIFY=NEVER",
            "<a@example.com",
            "<\"a@example.com>",
            "",
        ] {
            assert_eq!(forward(argument), Err(PathError::Brackets), "{argument}");
        }
        assert_eq!(forward("<>"), Err(PathError::Null));
        assert_eq!(
            forward("<a.@example.com>"),
            Err(AddressError::LocalPart.into())
        );
        assert_eq!(forward("<@a.example:>"), Err(AddressError::Shape.into()));
    }

    #[test]
    fn e9_postmaster_needs_no_domain() {
        assert!(forward("<PostMaster>").unwrap().0.is_postmaster());
        assert!(
            forward("<postMASTER@example.com>")
                .unwrap()
                .0
                .is_postmaster()
        );
        assert!(!forward("<a@example.com>").unwrap().0.is_postmaster());
    }

    #[test]
    fn the_null_reverse_path_is_a_path() {
        let (path, rest) = ReversePath::parse(&Bytes::from_static(b"<> SIZE=10")).unwrap();
        assert_eq!((path, rest.as_ref()), (ReversePath::Null, &b"SIZE=10"[..]));
    }

    #[test]
    fn w10_a_path_of_256_octets_is_accepted_and_no_more() {
        let path = |n: usize| {
            let domain = format!("{}.{}.example", "d".repeat(60), "e".repeat(60));
            let third = "f".repeat(n - 2 - 64 - 1 - domain.len() - 1);
            Bytes::from(format!("<{}@{third}.{domain}>", "l".repeat(64)))
        };
        assert_eq!(path(256).len(), 256);
        assert!(ForwardPath::parse(&path(256)).is_ok());
        assert_eq!(ForwardPath::parse(&path(257)), Err(PathError::TooLong));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let argument = Bytes::from([b"<", bytes.as_slice()].concat());
            if let Ok((path, _)) = ForwardPath::parse(&argument) {
                prop_assert!(argument.starts_with(path.wire()));
            }
        }
    }
}
