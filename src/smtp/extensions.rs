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
    /// XFORWARD: the attributes that may be sent.
    pub xforward: Xforward,
}

/// The XFORWARD attributes that the upstream takes (Postfix's XFORWARD_README).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Xforward {
    /// ADDR: the client's address.
    pub address: bool,
    /// HELO: what the client calls itself.
    pub helo: bool,
    /// PROTO: SMTP or ESMTP.
    pub protocol: bool,
}

impl Xforward {
    /// Reads the attributes from the lines of an EHLO reply, each as it came.
    #[must_use]
    pub fn of(reply: &[u8]) -> Self {
        let mut offered = Self::default();
        for line in reply.split(|&b| b == b'\n') {
            let text = line.get(4..).unwrap_or_default().trim_ascii();
            let mut words = text.split(|&b| b == b' ');
            if !words
                .next()
                .is_some_and(|word| word.eq_ignore_ascii_case(b"XFORWARD"))
            {
                continue;
            }
            for word in words {
                offered.address |= word.eq_ignore_ascii_case(b"ADDR");
                offered.helo |= word.eq_ignore_ascii_case(b"HELO");
                offered.protocol |= word.eq_ignore_ascii_case(b"PROTO");
            }
        }
        offered
    }

    /// Whether anything may be sent.
    #[must_use]
    pub const fn any(self) -> bool {
        self.address || self.helo || self.protocol
    }
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
            xforward: Xforward::default(),
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
