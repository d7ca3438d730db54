//! Checks what the types cannot: whether the parts of a configuration fit together.
//!
//! Everything is checked before any port is bound (C5), and all findings are told at once.

mod bounds;
mod listeners;
mod return_path;
mod senders;

use super::error::nearest;
use super::path::KeyPath;
use super::{Config, StoreUrl, UpstreamUrl, derived};

/// What is wrong: the key, and what to do about it.
pub(super) type Finding = (KeyPath, String);

/// Everything that does not fit together.
pub(super) fn check(config: &Config) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    check_names(config, &mut findings);
    check_upstream(config, &mut findings);
    check_store(config, &mut findings);
    check_trace(config, &mut findings);
    listeners::check(config, &mut findings);
    senders::check(config, &mut findings);
    return_path::check(config, &mut findings);
    bounds::check(config, &mut findings);
    findings.0
}

/// What fits together and is dangerous all the same.
pub(super) fn warn(config: &Config) -> Vec<Finding> {
    let mut findings = Findings(Vec::new());
    listeners::warn(config, &mut findings);
    findings.0
}

/// Collects what is wrong.
struct Findings(Vec<Finding>);

impl Findings {
    fn add(&mut self, path: KeyPath, message: impl Into<String>) {
        self.0.push((path, message.into()));
    }

    fn domain(&mut self, path: KeyPath, domain: &str) {
        let ascii = idna::domain_to_ascii(domain);
        if !ascii.is_ok_and(|domain| derived::is_domain(&domain)) {
            self.add(
                path,
                format!("`{domain}` is not a domain; write for example example.com"),
            );
        }
    }
}

fn check_names(config: &Config, findings: &mut Findings) {
    if !config.hostname.is_empty() && !derived::is_domain(&config.hostname) {
        findings.add(
            KeyPath::of("hostname"),
            format!(
                "`{}` is not a domain (RFC 5321 §4.1.2); write for example mail.example.com, or leave it empty",
                config.hostname
            ),
        );
    }
    if config.data_dir.as_os_str().is_empty() {
        findings.add(KeyPath::of("data_dir"), "is empty; name a directory");
    }
    let socket = &config.http.socket;
    // The address of a Unix socket has room for 107 octets; binding would fail later.
    if socket.as_os_str().is_empty() || socket.as_os_str().len() > 107 {
        findings.add(
            KeyPath::of("http").key("socket"),
            "a socket needs a path of 1 to 107 octets; choose a shorter one",
        );
    }
}

fn check_upstream(config: &Config, findings: &mut Findings) {
    let upstream = &config.upstream;
    let path = |key| KeyPath::of("upstream").key(key);
    match upstream.url.parse::<UpstreamUrl>() {
        Ok(url) => listeners::check_loop(config, &url, findings),
        Err(error) => findings.add(path("url"), error.to_string()),
    }
    let password = upstream.password.is_some() || upstream.password_file.is_some();
    if upstream.user.is_some() && !password {
        findings.add(
            path("user"),
            "has no password; set upstream.password_file or SENDGATE_UPSTREAM_PASSWORD",
        );
    }
    if upstream.user.is_none() && password {
        findings.add(path("password_file"), "has no user; set upstream.user");
    }
    if upstream.idle_timeout.is_zero() {
        findings.add(
            path("idle_timeout"),
            "must be more than 0; to keep no connection set idle_connections = 0",
        );
    }
}

fn check_store(config: &Config, findings: &mut Findings) {
    let store = &config.store;
    let path = |key| KeyPath::of("store").key(key);
    match store.url.parse::<StoreUrl>() {
        Ok(StoreUrl::Redis(url)) if store.ca_file.is_some() && !url.starts_with("rediss") => {
            findings.add(
                path("ca_file"),
                "is believed for rediss:// only, and the store is not asked with TLS; change store.url",
            );
        }
        Ok(_) => {}
        Err(error) => findings.add(path("url"), error.to_string()),
    }
    let timeout = store.timeout.as_millis();
    if !(1..=60_000).contains(&timeout) {
        findings.add(
            path("timeout"),
            "must be between 1ms and 1m: every RCPT waits for it (S1)",
        );
    }
}

/// The levels of the operational log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

fn check_trace(config: &Config, findings: &mut Findings) {
    let level = &config.trace.level;
    let path = KeyPath::of("trace").key("level");
    if let Err(error) = tracing_subscriber::EnvFilter::builder().parse(level) {
        findings.add(
            path,
            format!("cannot be read: {error}; write for example \"info\""),
        );
        return;
    }
    // The filter takes `inof` for the name of a module, and logs nothing at all.
    for directive in level.split(',').map(str::trim) {
        let alone = !directive.contains(['=', ':', '[', ']', '{', '}']);
        let known = LEVELS
            .iter()
            .any(|level| level.eq_ignore_ascii_case(directive));
        if alone && !known {
            findings.add(
                path.clone(),
                format!(
                    "unknown level `{directive}`{} (one of: {})",
                    nearest(directive, LEVELS),
                    LEVELS.join(", ")
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests;
