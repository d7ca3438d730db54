//! The return path: nothing can be signed without a domain, and a report must be known as long as it is believed.

use std::time::Duration;

use super::{Findings, KeyPath};
use crate::config::Config;

/// Longest domain that leaves room for a token in a path of 256 octets (RFC 5321 §4.5.3.1.3).
const DOMAIN_LIMIT: usize = 256 - "<@>".len() - crate::token::TOKEN_LENGTH;

/// Longest time a return path may be believed.
const VALIDITY_LIMIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

pub(super) fn check(config: &Config, findings: &mut Findings) {
    match &config.return_path.domain {
        Some(domain) => {
            check_domain(config, domain, findings);
            check_who_forwards(config, findings);
        }
        None => check_who_signs(config, findings),
    }
}

fn check_domain(config: &Config, domain: &str, findings: &mut Findings) {
    let path = |key| KeyPath::of("return_path").key(key);
    findings.domain(path("domain"), domain);
    if idna::domain_to_ascii(domain).is_ok_and(|ascii| ascii.len() > DOMAIN_LIMIT) {
        findings.add(
            path("domain"),
            format!("is too long for a signed return path; it may have {DOMAIN_LIMIT} octets"),
        );
    }
    let validity = config.return_path.validity;
    if validity.is_zero() || validity > VALIDITY_LIMIT {
        findings.add(
            path("validity"),
            "must be more than 0 and 366 days at most; mail servers give up after five days, and 30 is usual",
        );
    }
    if config.learning.remember < validity {
        findings.add(
            KeyPath::of("learning").key("remember"),
            "is shorter than return_path.validity: a report that comes again would count twice (B4)",
        );
    }
}

/// Those who ask for something signed, and there is no domain to put it into.
fn check_who_signs(config: &Config, findings: &mut Findings) {
    let needed = "needs return_path.domain; set it to the domain that the returns listeners serve";
    for (index, listener) in config.smtp.iter().enumerate() {
        let path = |key| KeyPath::of("smtp").index(index).key(key);
        if listener.sign == Some(true) {
            findings.add(path("sign"), needed);
        }
        if listener.list_unsubscribe {
            findings.add(path("list_unsubscribe"), needed);
        }
    }
    for (name, user) in &config.users {
        let path = |key| KeyPath::of("users").key(name).key(key);
        if user.sign == Some(true) {
            findings.add(path("sign"), needed);
        }
        if user.list_unsubscribe == Some(true) {
            findings.add(path("list_unsubscribe"), needed);
        }
        if user.forward_to.is_some() {
            findings.add(path("forward_to"), needed);
        }
    }
}

/// Those who want what comes back, and it does not say that it is theirs.
fn check_who_forwards(config: &Config, findings: &mut Findings) {
    let by_default = config.return_path.sign;
    let some_listener_signs = config
        .smtp
        .iter()
        .any(|listener| listener.sign.unwrap_or(by_default));
    for (name, user) in &config.users {
        if user.forward_to.is_some() && !user.sign.unwrap_or(some_listener_signs) {
            findings.add(
                KeyPath::of("users").key(name).key("forward_to"),
                "gets nothing: this user's return paths are not signed; set sign = true, or take it out",
            );
        }
    }
}
