//! The defaults: a gateway on loopback with the embedded store, and the bounds of RFC 5321.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{
    Addresses, Bounces, Config, Http, Keys, Learning, Limits, Log, Mode, ReturnPath,
    ReturnsListener, SmtpListener, Store, Suppressed, Timeouts, Tls, TlsMode, Trace, TraceFormat,
    Upstream,
};
use crate::suppression::Tenant;

const MINUTE: Duration = Duration::from_secs(60);

impl Default for Config {
    fn default() -> Self {
        Self {
            hostname: String::new(),
            data_dir: "data".into(),
            smtp: vec![SmtpListener::default()],
            returns: vec![ReturnsListener::default()],
            upstream: Upstream::default(),
            return_path: ReturnPath::default(),
            store: Store::default(),
            keys: Keys::default(),
            tls: Tls::default(),
            users: std::collections::BTreeMap::new(),
            streams: std::collections::BTreeMap::new(),
            bounces: Bounces::default(),
            learning: Learning::default(),
            http: Http::default(),
            log: Log::default(),
            trace: Trace::default(),
            limits: Limits::default(),
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for SmtpListener {
    fn default() -> Self {
        Self {
            listen: loopback(2525),
            stream: "campaign".to_owned(),
            streams: Vec::new(),
            tenant: Tenant::default(),
            suppressed: Suppressed::Reject,
            mode: Mode::Enforce,
            clients: loopback_networks(),
            relay_domains: Vec::new(),
            scopes: true,
            sign: None,
            list_unsubscribe: false,
            tls: TlsMode::Offered,
            proxy: Vec::new(),
            xclient: Vec::new(),
        }
    }
}

impl Default for ReturnsListener {
    fn default() -> Self {
        Self {
            listen: loopback(2526),
            trusted: Vec::new(),
            domains: Vec::new(),
            feedback: Vec::new(),
            tenant: Tenant::default(),
            tls: TlsMode::Offered,
        }
    }
}

impl Default for Upstream {
    fn default() -> Self {
        Self {
            url: "smtp://127.0.0.1:25".to_owned(),
            user: None,
            password_file: None,
            password: None,
            ca_file: None,
            idle_connections: 100,
            idle_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "embedded:data/sendgate.redb".to_owned(),
            user: None,
            password_file: None,
            password: None,
            ca_file: None,
            timeout: Duration::from_millis(200),
            create: true,
        }
    }
}

impl Default for Learning {
    fn default() -> Self {
        Self {
            soft_limit: 5,
            soft_window: Duration::ZERO,
            auto_do_not_email: Vec::new(),
            from_upstream: true,
            // Mail servers give up after five days at most, and people read last month's mail.
            remember: Duration::from_secs(35 * 24 * 60 * 60),
            brake_recipients: 50,
            brake_share: 0.05,
            brake_window: Duration::from_secs(60 * 60),
        }
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            admin: Some(loopback(8026)),
            socket: "data/sendgate.sock".into(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            file: Some("data/suppression.log".into()),
            stdout: false,
            addresses: Addresses::Plain,
        }
    }
}

impl Default for Trace {
    fn default() -> Self {
        Self {
            format: TraceFormat::Human,
            level: "info".to_owned(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // What the large mailbox providers take; RFC 5321 §4.5.3.1.7 wants 64 KiB at least.
            message_size_limit: 25 * 1024 * 1024,
            report_size_limit: 1024 * 1024,
            recipient_limit: 1000,
            header_size_limit: 256 * 1024,
            text_line_limit: 1000,
            pass_long_lines: false,
            hop_limit: 100,
            // Each core has work for one thread, and no thread waits for another.
            workers: 0,
            connection_limit: 10_000,
            connections_per_client_limit: 1000,
            error_limit: 20,
            junk_command_limit: 100,
            upstream_reply_limit: 64 * 1024,
            store_cache_limit: crate::store::embedded::CACHE_LIMIT as u64,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            command: 5 * MINUTE,
            command_overload: Duration::from_secs(10),
            data: 3 * MINUTE,
            data_rate: 500,
            tls_handshake: Duration::from_secs(30),
            upstream_connect: Duration::from_secs(30),
            upstream_command: 5 * MINUTE,
            upstream_data: 2 * MINUTE,
            upstream_block: 3 * MINUTE,
            upstream_final: 10 * MINUTE,
            learning: 2 * MINUTE,
            forwarding: 4 * MINUTE,
            drain: Duration::from_secs(30),
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}

/// 127.0.0.0/8 and ::1.
fn loopback_networks() -> Vec<IpNet> {
    vec![
        IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
        IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    ]
}
