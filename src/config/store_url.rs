//! A [`StoreUrl`] says where records are kept: in a file of our own or in Redis.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use redis::IntoConnectionInfo;

use super::error::nearest;
use super::redact;

/// Where records are kept.
#[derive(Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:FILE`: one file, one gateway.
    Embedded(PathBuf),
    /// `redis://host:port/db` or `rediss://…` with TLS: any number of gateways.
    Redis(String),
}

/// The text is no URL of a store; the message says what to write, and shows no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct StoreUrlError(String);

const SCHEMES: [&str; 3] = ["embedded", "redis", "rediss"];

impl FromStr for StoreUrl {
    type Err = StoreUrlError;

    fn from_str(text: &str) -> Result<Self, StoreUrlError> {
        let fail = |message: String| Err(StoreUrlError(message));
        let text = text.trim();
        let Some((scheme, rest)) = text.split_once(':') else {
            return fail("write embedded:FILE or redis://HOST:PORT/DB".into());
        };
        match scheme.to_ascii_lowercase().as_str() {
            "embedded" => embedded(rest),
            "redis" | "rediss" => redis(text),
            "redis-sentinel" | "redis-cluster" => fail(format!(
                "{scheme}:// is not in this release yet; use redis://, rediss:// or embedded:"
            )),
            _ => fail(format!(
                "unknown scheme `{scheme}`{} (embedded, redis or rediss)",
                nearest(scheme, SCHEMES)
            )),
        }
    }
}

fn embedded(rest: &str) -> Result<StoreUrl, StoreUrlError> {
    // `embedded:///var/lib/x` means the same file as `embedded:/var/lib/x`.
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path.ends_with('/') {
        return Err(StoreUrlError(
            "embedded: needs a file, such as embedded:data/sendgate.redb".into(),
        ));
    }
    Ok(StoreUrl::Embedded(path.into()))
}

fn redis(url: &str) -> Result<StoreUrl, StoreUrlError> {
    // The driver's own reader decides, so that what passes here also connects. Its error may quote
    // the URL, password included, and is not shown.
    match url.into_connection_info() {
        Ok(_) => Ok(StoreUrl::Redis(url.to_owned())),
        Err(_) => Err(StoreUrlError(
            "not a Redis URL; write redis://HOST:PORT/DB, with the password in store.password_file"
                .into(),
        )),
    }
}

impl fmt::Display for StoreUrl {
    /// The URL without its password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(path) => write!(f, "embedded:{}", path.display()),
            Self::Redis(url) => f.write_str(&redact::url(url)),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_files_and_redis() {
        for (text, url) in [
            (
                "embedded:data/sendgate.redb",
                StoreUrl::Embedded("data/sendgate.redb".into()),
            ),
            (
                "embedded:///var/lib/s.redb",
                StoreUrl::Embedded("/var/lib/s.redb".into()),
            ),
            (
                "redis://h:6379/2",
                StoreUrl::Redis("redis://h:6379/2".into()),
            ),
            ("rediss://u:p@h", StoreUrl::Redis("rediss://u:p@h".into())),
        ] {
            assert_eq!(text.parse(), Ok(url));
        }
    }

    #[test]
    fn says_what_to_write_and_shows_no_password() {
        for (text, advice) in [
            ("data/sendgate.redb", "embedded:FILE"),
            ("embedded:", "embedded:data/sendgate.redb"),
            ("embedded:data/", "needs a file"),
            ("embeded:x", "did you mean `embedded`?"),
            ("redis-cluster://h", "not in this release"),
            ("redis-sentinel://:hunter2@h", "not in this release"),
            ("redis://:hunter2@h:port", "not a Redis URL"),
            ("redis://h/notanumber", "not a Redis URL"),
        ] {
            let error = text.parse::<StoreUrl>().unwrap_err().to_string();
            assert!(error.contains(advice), "{text}: {error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let url: StoreUrl = "redis://:hunter2@h".parse().unwrap();
        assert!(!format!("{url:?} {url}").contains("hunter2"));
    }
}
