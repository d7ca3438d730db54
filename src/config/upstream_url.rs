//! An [`UpstreamUrl`] says where the smarthost is and how the way there is protected.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::error::nearest;

/// Where the smarthost is: `smtp://host:25`, `smtp+starttls://host:587`, `smtps://host:465`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamUrl {
    /// A name or an IP address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// How the connection is protected.
    pub security: Security,
}

/// How a connection to the smarthost is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Security {
    /// `smtp://`: STARTTLS where the upstream offers it, without asking who it is.
    Opportunistic,
    /// `smtp+starttls://`: STARTTLS with a valid certificate, or no mail (RFC 3207).
    StartTls,
    /// `smtps://`: TLS with a valid certificate from the first byte (RFC 8314 §3.3).
    Implicit,
}

impl Security {
    const ALL: [Self; 3] = [Self::Opportunistic, Self::StartTls, Self::Implicit];

    const fn scheme(self) -> &'static str {
        match self {
            Self::Opportunistic => "smtp",
            Self::StartTls => "smtp+starttls",
            Self::Implicit => "smtps",
        }
    }

    const fn default_port(self) -> u16 {
        match self {
            Self::Opportunistic => 25,
            Self::StartTls => 587,
            Self::Implicit => 465,
        }
    }
}

/// The text is no URL of a smarthost; the message says what to write, and shows no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpstreamUrlError(String);

impl FromStr for UpstreamUrl {
    type Err = UpstreamUrlError;

    fn from_str(text: &str) -> Result<Self, UpstreamUrlError> {
        let fail = |message: String| Err(UpstreamUrlError(message));
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return fail(
                "write smtp://HOST:PORT, smtp+starttls://HOST:PORT or smtps://HOST:PORT".into(),
            );
        };
        // First, before anything below could quote a part of the text.
        if rest.contains('@') {
            return fail(
                "a URL is no place for a user or a password; use upstream.user and upstream.password_file".into(),
            );
        }
        let known = |security: &Security| security.scheme().eq_ignore_ascii_case(scheme);
        let Some(security) = Security::ALL.into_iter().find(known) else {
            let hint = nearest(scheme, Security::ALL.map(Security::scheme));
            return fail(format!(
                "unknown scheme `{scheme}`{hint} (smtp, smtp+starttls or smtps)"
            ));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return fail("nothing may follow the port".into());
        }
        let (host, port) = split_port(authority).map_err(UpstreamUrlError)?;
        let port = port.unwrap_or_else(|| security.default_port());
        Ok(Self {
            host,
            port,
            security,
        })
    }
}

/// Host and port of `mail.example.com:25`, `192.0.2.1` or `[2001:db8::1]:587`.
fn split_port(authority: &str) -> Result<(String, Option<u16>), String> {
    if let Some(literal) = authority.strip_prefix('[') {
        let (address, after) = literal
            .split_once(']')
            .ok_or_else(|| "the bracket of the IPv6 address is not closed".to_owned())?;
        address
            .parse::<Ipv6Addr>()
            .map_err(|_| format!("`[{address}]` is not an IPv6 address"))?;
        return match after.strip_prefix(':') {
            Some(port) => Ok((address.to_owned(), Some(read_port(port)?))),
            None if after.is_empty() => Ok((address.to_owned(), None)),
            None => Err(format!(
                "`{after}` may not follow the address; a port is `:25`"
            )),
        };
    }
    if authority.parse::<Ipv6Addr>().is_ok() {
        return Err(format!(
            "write an IPv6 address in brackets: `[{authority}]`"
        ));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(read_port(port)?)),
        None => (authority, None),
    };
    if host.parse::<IpAddr>().is_err() && !super::derived::is_domain(host) {
        return Err(format!("`{host}` is neither a host name nor an IP address"));
    }
    Ok((host.to_owned(), port))
}

fn read_port(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err(format!("`{text}` is not a port (1 to 65535)")),
        Ok(port) => Ok(port),
    }
}

impl fmt::Display for UpstreamUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, port) = (self.security.scheme(), self.port);
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{port}", self.host)
        } else {
            write!(f, "{scheme}://{}:{port}", self.host)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_each_scheme_with_its_port() {
        for (text, full) in [
            ("smtp://127.0.0.1:25", "smtp://127.0.0.1:25"),
            ("smtp://mail.example.com", "smtp://mail.example.com:25"),
            (
                "smtp+starttls://mail.example.com/",
                "smtp+starttls://mail.example.com:587",
            ),
            ("SMTPS://mail.example.com", "smtps://mail.example.com:465"),
            ("smtps://[2001:db8::1]", "smtps://[2001:db8::1]:465"),
            ("smtp://[::1]:2525", "smtp://[::1]:2525"),
            ("smtp://mail_relay:2525", "smtp://mail_relay:2525"),
        ] {
            assert_eq!(text.parse::<UpstreamUrl>().unwrap().to_string(), full);
        }
        let url: UpstreamUrl = "smtp://[::1]:2525".parse().unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 2525));
        assert_eq!(url.security, Security::Opportunistic);
    }

    #[test]
    fn says_what_to_write() {
        for (text, advice) in [
            ("mail.example.com:25", "smtp://HOST:PORT"),
            ("smpt://h", "did you mean `smtp`?"),
            ("http://h", "smtp+starttls or smtps"),
            ("smtp://u:hunter2@h", "upstream.password_file"),
            ("smtp://::1", "`[::1]`"),
            ("smtp://[::1", "not closed"),
            ("smtp://[::g]", "not an IPv6 address"),
            ("smtp://[::1]25", "a port is `:25`"),
            ("smtp://h:0", "not a port"),
            ("smtp://h:65536", "not a port"),
            ("smtp://h/path", "nothing may follow"),
            ("smtp://", "neither a host name"),
            ("smtp://a b", "neither a host name"),
        ] {
            let error = text.parse::<UpstreamUrl>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
