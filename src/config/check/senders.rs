//! Streams and users: who sends what kind of mail.

use argon2::Params;
use password_hash::phc::PasswordHash;

use super::{Findings, KeyPath, nearest};
use crate::config::{Config, OnUnavailable, derived};
use crate::mail::Address;
use crate::mail::address::canonical_domain;
use crate::suppression::StreamClass;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    check_streams(config, findings);
    check_users(config, findings);
    for (index, listener) in config.smtp.iter().enumerate() {
        let path = || KeyPath::of("smtp").index(index);
        check_reference(config, path().key("stream"), &listener.stream, findings);
        for (place, stream) in listener.streams.iter().enumerate() {
            check_reference(config, path().key("streams").index(place), stream, findings);
        }
    }
}

fn check_streams(config: &Config, findings: &mut Findings) {
    let mut seen: Vec<String> = Vec::new();
    for (name, stream) in &config.streams {
        let path = || KeyPath::of("streams").key(name);
        if !is_stream_name(name) {
            findings.add(
                path(),
                "the name of a stream has 1 to 64 letters, digits, '-', '_' or '.'",
            );
        }
        // Scopes and headers compare streams without regard to case.
        let lower = name.to_lowercase();
        if seen.contains(&lower) {
            findings.add(
                path(),
                "there is a stream of this name already; case does not count",
            );
        }
        seen.push(lower);
        let built_in = derived::BUILT_IN_STREAMS
            .iter()
            .find(|(built_in, _)| built_in.eq_ignore_ascii_case(name));
        if built_in.is_some_and(|(_, class)| *class != stream.class) {
            findings.add(
                path().key("class"),
                format!(
                    "the stream `{name}` always has the class `{name}`; give yours another name"
                ),
            );
        }
        if stream.on_unavailable == OnUnavailable::Pass
            && stream.class != StreamClass::Transactional
        {
            findings.add(
                path().key("on_unavailable"),
                "only a stream of class `transactional` may pass unchecked (S1); use `defer`",
            );
        }
    }
}

fn is_stream_name(name: &str) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

fn check_users(config: &Config, findings: &mut Findings) {
    for (name, user) in &config.users {
        let path = || KeyPath::of("users").key(name);
        if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
            findings.add(
                path(),
                "a user name has 1 to 255 octets and no control characters",
            );
        }
        if !is_usable_hash(&user.password_hash) {
            findings.add(
                path().key("password_hash"),
                "not an argon2 hash; paste what `sendgate hash-password` prints, in single quotes",
            );
        }
        if let Some(stream) = &user.stream {
            check_reference(config, path().key("stream"), stream, findings);
        }
        for (place, stream) in user.streams.iter().flatten().enumerate() {
            check_reference(config, path().key("streams").index(place), stream, findings);
        }
        if let Some(mailbox) = &user.forward_to {
            check_forward_to(config, path().key("forward_to"), mailbox, findings);
        }
    }
}

/// What is sent on must leave: at a domain that comes back to us it would go round and round.
fn check_forward_to(config: &Config, path: KeyPath, mailbox: &str, findings: &mut Findings) {
    let Ok(address) = Address::parse(mailbox) else {
        findings.add(
            path,
            format!("`{mailbox}` is not an address; write local-part@domain"),
        );
        return;
    };
    let listeners = config.returns.iter().flat_map(|one| &one.domains);
    let comes_back = listeners
        .chain(&config.return_path.domain)
        .any(|domain| canonical_domain(domain).is_ok_and(|domain| domain == address.domain()));
    if comes_back {
        findings.add(
            path,
            format!(
                "{} is a domain of our own returns listener; mail would loop (R10)",
                address.domain()
            ),
        );
    }
}

/// Whether a password can be compared with it.
fn is_usable_hash(text: &str) -> bool {
    let Ok(hash) = PasswordHash::new(text) else {
        return false;
    };
    matches!(hash.algorithm.as_str(), "argon2id" | "argon2i" | "argon2d")
        && hash.salt.is_some()
        && hash.hash.is_some()
        && Params::try_from(&hash).is_ok()
}

/// A stream that is named must exist; its name is compared as it is written.
fn check_reference(config: &Config, path: KeyPath, name: &str, findings: &mut Findings) {
    let built_in = derived::BUILT_IN_STREAMS.iter().map(|(name, _)| *name);
    let names: Vec<_> = built_in
        .chain(config.streams.keys().map(String::as_str))
        .collect();
    if !names.contains(&name) {
        findings.add(
            path,
            format!(
                "there is no stream `{name}`{}; add [streams.NAME], or use one of: {}",
                nearest(name, names.iter().copied()),
                names.join(", ")
            ),
        );
    }
}
