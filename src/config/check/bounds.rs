//! The bounds: none so small that mail which the standard lets through is refused.

use std::time::Duration;

use super::{Findings, KeyPath};
use crate::config::Config;

pub(super) fn check(config: &Config, findings: &mut Findings) {
    check_limits(config, findings);
    check_timeouts(config, findings);
    let learning = |key| KeyPath::of("learning").key(key);
    if config.learning.soft_limit == 0 {
        findings.add(learning("soft_limit"), "must be 1 or more");
    }
    if config.learning.remember.is_zero() {
        findings.add(
            learning("remember"),
            "must be more than 0: a report that comes twice would count twice (B4)",
        );
    }
    let window = config.learning.brake_window;
    if window < Duration::from_secs(60) || window > Duration::from_secs(24 * 60 * 60) {
        findings.add(
            learning("brake_window"),
            "must be between 1m and 24h; brake_recipients = 0 switches the brake off",
        );
    }
}

fn check_limits(config: &Config, findings: &mut Findings) {
    let limits = &config.limits;
    let count = |number: usize| number as u64;
    let bounds: [(&str, u64, u64, &str); 12] = [
        (
            "message_size_limit",
            limits.message_size_limit,
            64 * 1024,
            "octets (RFC 5321 §4.5.3.1.7)",
        ),
        (
            "report_size_limit",
            limits.report_size_limit,
            64 * 1024,
            "octets, or reports are lost",
        ),
        (
            "recipient_limit",
            count(limits.recipient_limit),
            100,
            "(RFC 5321 §4.5.3.1.8)",
        ),
        (
            "header_size_limit",
            limits.header_size_limit,
            16 * 1024,
            "octets, or ordinary headers are refused",
        ),
        (
            "text_line_limit",
            count(limits.text_line_limit),
            1000,
            "octets (RFC 5321 §4.5.3.1.6)",
        ),
        // RFC 5321 §6.3 wants "normally at least 100"; honest mail seldom takes 20.
        (
            "hop_limit",
            count(limits.hop_limit),
            20,
            "or mail that is no loop is refused",
        ),
        (
            "store_cache_limit",
            limits.store_cache_limit,
            4 * 1024 * 1024,
            "octets, or every look-up reads the file",
        ),
        ("connection_limit", count(limits.connection_limit), 1, ""),
        (
            "connections_per_client_limit",
            count(limits.connections_per_client_limit),
            1,
            "",
        ),
        ("error_limit", limits.error_limit.into(), 1, ""),
        (
            "junk_command_limit",
            limits.junk_command_limit.into(),
            1,
            "",
        ),
        (
            "upstream_reply_limit",
            limits.upstream_reply_limit,
            4096,
            "octets, or honest replies are refused",
        ),
    ];
    for (key, value, least, why) in bounds {
        if value < least {
            let message = format!("{value} is too small; the least is {least} {why}");
            findings.add(KeyPath::of("limits").key(key), message.trim_end());
        }
    }
}

/// How long a client waits for the reply to the end of the data, RFC 5321 §4.5.3.2.6.
const END_OF_DATA_WAIT: Duration = Duration::from_secs(10 * 60);

fn check_timeouts(config: &Config, findings: &mut Findings) {
    let timeouts = &config.timeouts;
    let path = |key| KeyPath::of("timeouts").key(key);
    // A drain of 0 is a decision; a wait of 0 would refuse everything.
    let waits: [(&str, Duration); 11] = [
        ("command", timeouts.command),
        ("command_overload", timeouts.command_overload),
        ("data", timeouts.data),
        ("tls_handshake", timeouts.tls_handshake),
        ("upstream_connect", timeouts.upstream_connect),
        ("upstream_command", timeouts.upstream_command),
        ("upstream_data", timeouts.upstream_data),
        ("upstream_block", timeouts.upstream_block),
        ("upstream_final", timeouts.upstream_final),
        ("learning", timeouts.learning),
        ("forwarding", timeouts.forwarding),
    ];
    for (key, wait) in waits {
        if wait.is_zero() {
            findings.add(path(key), "must be more than 0");
        }
        // Timers are sums of a point in time and a wait; a wait of centuries overflows them.
        if wait > Duration::from_secs(24 * 60 * 60) {
            findings.add(path(key), "must be 24h or less");
        }
    }
    if timeouts.learning.saturating_add(timeouts.forwarding) >= END_OF_DATA_WAIT {
        findings.add(
            path("forwarding"),
            "must be, together with timeouts.learning, less than 10m: no client waits longer at the end of the data (RFC 5321)",
        );
    }
    if timeouts.drain > Duration::from_secs(24 * 60 * 60) {
        findings.add(path("drain"), "must be 24h or less");
    }
    if timeouts.data_rate == 0 {
        findings.add(
            path("data_rate"),
            "must be 1 or more: without a lowest rate one octet at a time holds a connection for ever (W12)",
        );
    }
}
