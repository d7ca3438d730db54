//! [`Extensions`] are the EHLO keywords that matter to a relay: what one side supports now.

use smtp_proto::{
    EXT_8BIT_MIME, EXT_DSN, EXT_PIPELINING, EXT_REQUIRE_TLS, EXT_SIZE, EXT_SMTP_UTF8,
    EXT_START_TLS, EhloResponse,
};

/// What the upstream offered in its last EHLO reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extensions {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtp_utf8: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// SIZE (RFC 1870): offered, with the limit in octets; 0 means no fixed limit.
    pub size: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub start_tls: bool,
}

impl Extensions {
    /// Reads what an EHLO reply offers.
    #[must_use]
    pub fn of(reply: &EhloResponse<String>) -> Self {
        let has = |extension: u32| reply.capabilities & extension != 0;
        Self {
            pipelining: has(EXT_PIPELINING),
            eight_bit_mime: has(EXT_8BIT_MIME),
            smtp_utf8: has(EXT_SMTP_UTF8),
            require_tls: has(EXT_REQUIRE_TLS),
            dsn: has(EXT_DSN),
            size: has(EXT_SIZE).then_some(reply.size as u64),
            start_tls: has(EXT_START_TLS),
        }
    }

    /// The smaller of our size limit and the upstream's.
    #[must_use]
    pub fn size_limit(&self, ours: u64) -> u64 {
        match self.size {
            Some(theirs) if theirs > 0 => theirs.min(ours),
            _ => ours,
        }
    }
}
