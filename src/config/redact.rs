//! What keeps secrets out of every dump (A6).

use std::fmt;

use serde::ser::Serializer;

use super::{Store, User};

/// A URL with the password in it replaced.
pub(super) fn url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    // A password may hold '@' and '/' unescaped by mistake: the last '@' of the whole URL hides more.
    let Some(at) = authority.rfind('@').or_else(|| rest.rfind('@')) else {
        return url.to_owned();
    };
    match rest[..at].split_once(':') {
        Some((user, _)) => format!("{scheme}://{user}:***@{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}

/// Whether a URL holds a password.
pub(super) fn holds_password(text: &str) -> bool {
    url(text) != text
}

pub(super) fn serialize_url<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&url(text))
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("url", &url(&self.url))
            .field("user", &self.user)
            .field("password_file", &self.password_file)
            .field("password", &self.password)
            .field("ca_file", &self.ca_file)
            .field("timeout", &self.timeout)
            .field("create", &self.create)
            .finish()
    }
}

impl fmt::Debug for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("User")
            .field("password_hash", &format_args!("***"))
            .field("tenant", &self.tenant)
            .field("stream", &self.stream)
            .field("streams", &self.streams)
            .field("suppressed", &self.suppressed)
            .field("mode", &self.mode)
            .field("forward_to", &self.forward_to)
            .field("sign", &self.sign)
            .field("list_unsubscribe", &self.list_unsubscribe)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a6_no_dump_shows_a_password() {
        for (text, shown) in [
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("redis://:hunter2@h/0", "redis://:***@h/0"),
            ("rediss://u:hun@ter2@h", "rediss://u:***@h"),
            ("redis://u:hun/ter2@h", "redis://u:***@h"),
            ("redis://user@h", "redis://user@h"),
            ("embedded:data/a@b:c", "embedded:data/a@b:c"),
        ] {
            assert_eq!(url(text), shown);
        }
        let store = Store {
            url: "redis://u:hunter2@h".into(),
            password: Some("hunter2".into()),
            ..Store::default()
        };
        assert!(!format!("{store:?}").contains("hunter2"));
        assert!(!toml::to_string(&store).unwrap().contains("hunter2"));
        let user = User {
            password_hash: "$argon2id$secret".into(),
            tenant: None,
            stream: None,
            streams: None,
            suppressed: None,
            mode: None,
            sign: None,
            list_unsubscribe: None,
            forward_to: None,
        };
        assert!(!format!("{user:?}").contains("secret"));
        assert!(!toml::to_string(&user).unwrap().contains("secret"));
    }
}
