//! The listeners: addresses that do not collide, TLS with a certificate, no loop back to ourselves.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{Findings, KeyPath};
use crate::config::{Config, TlsMode, UpstreamUrl};
use crate::mail::Address;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    check_collisions(config, findings);
    check_tls(config, findings);
    for (index, listener) in config.smtp.iter().enumerate() {
        for (place, domain) in listener.relay_domains.iter().enumerate() {
            let path = KeyPath::of("smtp")
                .index(index)
                .key("relay_domains")
                .index(place);
            findings.domain(path, domain);
        }
    }
    for (index, listener) in config.returns.iter().enumerate() {
        for (place, domain) in listener.domains.iter().enumerate() {
            let path = KeyPath::of("returns")
                .index(index)
                .key("domains")
                .index(place);
            findings.domain(path, domain);
        }
        for (place, address) in listener.feedback.iter().enumerate() {
            if Address::parse(address).is_err() {
                let path = KeyPath::of("returns").index(index).key("feedback");
                findings.add(
                    path.index(place),
                    format!("`{address}` is not an address; write local-part@domain"),
                );
            }
        }
    }
}

/// Every address that is listened on, with the key that says so.
fn addresses(config: &Config) -> Vec<(KeyPath, SocketAddr)> {
    let path = |section, index| KeyPath::of(section).index(index).key("listen");
    let smtp = config.smtp.iter().enumerate();
    let returns = config.returns.iter().enumerate();
    smtp.map(|(index, listener)| (path("smtp", index), listener.listen))
        .chain(returns.map(|(index, listener)| (path("returns", index), listener.listen)))
        .chain(
            config
                .http
                .admin
                .map(|admin| (KeyPath::of("http").key("admin"), admin)),
        )
        .collect()
}

fn check_collisions(config: &Config, findings: &mut Findings) {
    check_free_ports("smtp", config.smtp.iter().map(|one| &one.listen), findings);
    check_free_ports(
        "returns",
        config.returns.iter().map(|one| &one.listen),
        findings,
    );
    let addresses = addresses(config);
    for (place, (path, address)) in addresses.iter().enumerate() {
        let earlier = addresses[..place]
            .iter()
            .find(|(_, other)| collide(*address, *other));
        if let Some((other, _)) = earlier {
            findings.add(
                path.clone(),
                format!("{address} is taken by {other}; give each listener its own port"),
            );
        }
    }
}

/// Port 0 is a free port each time, yet listeners of a kind are told apart by what is configured.
fn check_free_ports<'a>(
    section: &str,
    listens: impl Iterator<Item = &'a SocketAddr>,
    findings: &mut Findings,
) {
    let mut seen = Vec::new();
    for (index, listen) in listens.enumerate() {
        if listen.port() == 0 && seen.contains(&listen) {
            findings.add(
                KeyPath::of(section).index(index).key("listen"),
                format!("{listen} stands here twice; only one listener of a kind can have it"),
            );
        }
        seen.push(listen);
    }
}

/// Whether both cannot be listened on: the same port of the same address, or of all addresses.
fn collide(a: SocketAddr, b: SocketAddr) -> bool {
    a.port() != 0
        && a.port() == b.port()
        && a.is_ipv4() == b.is_ipv4()
        && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
}

fn check_tls(config: &Config, findings: &mut Findings) {
    let tls = |key| KeyPath::of("tls").key(key);
    match (&config.tls.certificate, &config.tls.key) {
        (Some(_), None) => findings.add(tls("certificate"), "has no key; set tls.key"),
        (None, Some(_)) => findings.add(tls("key"), "has no certificate; set tls.certificate"),
        _ => {}
    }
    if config.tls.certificate.is_some() {
        return;
    }
    let smtp = config.smtp.iter().map(|listener| listener.tls).enumerate();
    let returns = config
        .returns
        .iter()
        .map(|listener| listener.tls)
        .enumerate();
    let modes = smtp
        .map(|(index, mode)| ("smtp", index, mode))
        .chain(returns.map(|(index, mode)| ("returns", index, mode)));
    for (section, index, mode) in modes {
        if matches!(mode, TlsMode::Required | TlsMode::Implicit) {
            findings.add(
                KeyPath::of(section).index(index).key("tls"),
                "needs a certificate; set tls.certificate and tls.key",
            );
        }
    }
}

/// An upstream that is one of our own listeners would send every message round and round (R10).
pub(super) fn check_loop(config: &Config, upstream: &UpstreamUrl, findings: &mut Findings) {
    for (path, address) in addresses(config) {
        if address.port() == upstream.port && leads_to(config, &upstream.host, address.ip()) {
            findings.add(
                KeyPath::of("upstream").key("url"),
                format!("{upstream} is our own listener ({path}); mail would loop (R10)"),
            );
        }
    }
}

/// A smarthost that is believed without proof: it hands over what strangers send through it.
pub(super) fn warn(config: &Config, findings: &mut Findings) {
    let Ok(upstream) = config.upstream.url.parse::<UpstreamUrl>() else {
        return;
    };
    let local = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    let hosts: Vec<IpAddr> = match upstream.host.parse() {
        Ok(host) => vec![host],
        Err(_) if upstream.host.eq_ignore_ascii_case("localhost") => local.to_vec(),
        Err(_) => Vec::new(),
    };
    for (index, listener) in config.returns.iter().enumerate() {
        let believed = |host: &&IpAddr| listener.trusted.iter().any(|net| net.contains(*host));
        if let Some(host) = hosts.iter().find(believed) {
            findings.add(
                KeyPath::of("returns").index(index).key("trusted"),
                format!(
                    "the smarthost ({host}) is believed without proof: if it hands over mail of \
                     strangers, they can have anybody suppressed; take it out"
                ),
            );
        }
    }
}

/// Whether a connection to `host` may end at a listener on `listen`, as far as that is known
/// without asking the DNS.
fn leads_to(config: &Config, host: &str, listen: IpAddr) -> bool {
    let ours = host.eq_ignore_ascii_case(&config.hostname());
    match host.parse::<IpAddr>() {
        Ok(host) => {
            host == listen
                || listen.is_unspecified() && (host.is_loopback() || host.is_unspecified())
        }
        Err(_) if host.eq_ignore_ascii_case("localhost") => {
            listen.is_loopback() || listen.is_unspecified()
        }
        Err(_) => ours && !listen.is_loopback(),
    }
}
