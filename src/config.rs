//! A [`Config`] is what the operator decided: one TOML file in which every key has a default.
//!
//! `config/sendgate.toml` shows every key with its default and the reason for it; a test keeps the
//! two the same.

mod address;
mod bounces;
mod check;
mod defaults;
mod derived;
mod duration;
mod env;
mod error;
mod keys;
mod load;
mod network;
mod path;
mod read;
mod redact;
mod return_path;
pub mod secret;
mod share;
mod size;
mod store_url;
mod tree;
mod upstream_url;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use crate::suppression::event::Coupling;
use crate::suppression::{Axis, StreamClass, Tenant};

pub use bounces::Bounces;
pub use error::{ConfigError, Origin, Problem};
pub use load::{Loaded, environment};
pub use return_path::{ReturnPath, missing_return_path_key};
pub use store_url::StoreUrl;
pub use upstream_url::{Security, UpstreamUrl};

/// Everything that can be configured.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The name we greet with, say EHLO with and write into Received; empty means the machine's own.
    pub hostname: String,
    /// Where the pepper, the generation and the embedded store live.
    pub data_dir: PathBuf,
    /// Listeners for campaign tools and mail servers.
    pub smtp: Vec<SmtpListener>,
    /// Listeners for returned mail.
    pub returns: Vec<ReturnsListener>,
    /// The smarthost.
    pub upstream: Upstream,
    /// Where bounces go.
    pub return_path: ReturnPath,
    /// Where records are kept.
    pub store: Store,
    /// The pepper of the keys.
    pub keys: Keys,
    /// Certificates of the SMTP listeners.
    pub tls: Tls,
    /// Who may log in, by user name.
    pub users: BTreeMap<String, User>,
    /// Kinds of mail, by name; `campaign`, `transactional` and `personal` always exist.
    pub streams: BTreeMap<String, Stream>,
    /// How returned mail is read.
    pub bounces: Bounces,
    /// What reports do to records.
    pub learning: Learning,
    /// The admin listener.
    pub http: Http,
    /// The suppression log.
    pub log: Log,
    /// The operational log.
    pub trace: Trace,
    /// Every bound.
    pub limits: Limits,
    /// Every wait.
    pub timeouts: Timeouts,
}

/// A listener for campaign tools and mail servers.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SmtpListener {
    /// Address and port; port 0 takes a free one.
    #[serde(with = "address")]
    pub listen: SocketAddr,
    /// The stream of mail that does not say which.
    pub stream: String,
    /// The streams that `X-Sendgate-Stream` may choose besides `stream`.
    pub streams: Vec<String>,
    /// Whose list is asked.
    pub tenant: Tenant,
    /// What a suppressed recipient hears.
    pub suppressed: Suppressed,
    /// Whether verdicts are enforced or only logged.
    pub mode: Mode,
    /// Networks that may relay without logging in.
    #[serde(with = "network")]
    pub clients: Vec<IpNet>,
    /// Domains that anybody may relay to.
    pub relay_domains: Vec<String>,
    /// Whether `List-Id` and `X-Sendgate-Topic` are asked for scopes; DSN is not offered then.
    pub scopes: bool,
    /// Whether return paths are signed, instead of what `return_path.sign` says; DSN is not offered then.
    pub sign: Option<bool>,
    /// Whether a message to one recipient that has no List-Unsubscribe gets one.
    pub list_unsubscribe: bool,
    /// How TLS is offered.
    pub tls: TlsMode,
    /// Networks of load balancers: each connection must begin with a PROXY header (v1 or v2).
    #[serde(with = "network")]
    pub proxy: Vec<IpNet>,
    /// Networks of mail servers that may say with XCLIENT who they speak for.
    #[serde(with = "network")]
    pub xclient: Vec<IpNet>,
}

/// How TLS is offered on a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// STARTTLS is offered where a certificate is configured.
    #[default]
    Offered,
    /// Mail is refused before STARTTLS.
    Required,
    /// The connection begins with TLS (port 465).
    Implicit,
    /// No TLS.
    Off,
}

/// What a suppressed recipient hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Suppressed {
    /// A 5xx at RCPT.
    #[default]
    Reject,
    /// 250; the recipient is left out upstream and logged.
    Discard,
}

/// Whether verdicts are enforced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Suppressed recipients get no mail.
    #[default]
    Enforce,
    /// Everything is relayed; what would have been suppressed is logged.
    Observe,
}

/// A listener for returned mail.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReturnsListener {
    /// Address and port; port 0 takes a free one.
    #[serde(with = "address")]
    pub listen: SocketAddr,
    /// Networks whose reports are believed without proof: never a relay of strangers' mail.
    #[serde(with = "network")]
    pub trusted: Vec<IpNet>,
    /// Domains that are accepted besides `return_path.domain`.
    pub domains: Vec<String>,
    /// Addresses that mailbox providers send complaints to; anybody may write there.
    pub feedback: Vec<String>,
    /// Whose list a report changes.
    pub tenant: Tenant,
    /// How TLS is offered.
    pub tls: TlsMode,
}

/// The smarthost.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Upstream {
    /// `smtp://host:port` (STARTTLS where offered), `smtp+starttls://` (required) or `smtps://`.
    pub url: String,
    /// User name, where the smarthost wants one; never sent without TLS.
    pub user: Option<String>,
    /// File that holds the password.
    pub password_file: Option<PathBuf>,
    /// The password itself; only from the environment.
    #[serde(skip_serializing)]
    pub password: Option<SecretString>,
    /// PEM file of the authorities that are believed instead of the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How many idle connections are kept for the next transaction.
    pub idle_connections: usize,
    /// How long an idle connection is kept.
    #[serde(with = "duration")]
    pub idle_timeout: Duration,
}

/// Where records are kept.
#[derive(Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Store {
    /// `embedded:FILE`, `redis://host:port/db` or `rediss://…`.
    #[serde(serialize_with = "redact::serialize_url")]
    pub url: String,
    /// User name for Redis ACLs.
    pub user: Option<String>,
    /// File that holds the password for Redis.
    pub password_file: Option<PathBuf>,
    /// The password itself; only from the environment.
    #[serde(skip_serializing)]
    pub password: Option<SecretString>,
    /// PEM file of the authorities that are believed for `rediss://` instead of the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How long a look-up may take before it counts as not answered.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Whether an empty store may be set up by us when we never saw one before.
    pub create: bool,
}

/// The pepper of the keys.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keys {
    /// File that holds the pepper; empty means `pepper` in `data_dir`, made when missing.
    pub pepper_file: Option<PathBuf>,
    /// The pepper itself; only from the environment.
    #[serde(skip_serializing)]
    pub pepper: Option<SecretString>,
}

/// Certificates of the SMTP listeners.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tls {
    /// PEM file with the certificate chain.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key.
    pub key: Option<PathBuf>,
}

/// Somebody who may log in.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What `sendgate hash-password` printed.
    #[serde(skip_serializing)]
    pub password_hash: String,
    /// Whose list is asked instead of the listener's.
    #[serde(default)]
    pub tenant: Option<Tenant>,
    /// The stream of mail that does not say which, instead of the listener's.
    #[serde(default)]
    pub stream: Option<String>,
    /// The streams that `X-Sendgate-Stream` may choose, instead of the listener's.
    #[serde(default)]
    pub streams: Option<Vec<String>>,
    /// What a suppressed recipient hears, instead of the listener's choice.
    #[serde(default)]
    pub suppressed: Option<Suppressed>,
    /// Whether verdicts are enforced, instead of the listener's choice.
    #[serde(default)]
    pub mode: Option<Mode>,
    /// Mailbox that what comes back is sent on to, once it has been learnt from.
    #[serde(default)]
    pub forward_to: Option<String>,
    /// Whether return paths are signed, instead of the listener's choice.
    #[serde(default)]
    pub sign: Option<bool>,
    /// Whether List-Unsubscribe is added, instead of the listener's choice.
    #[serde(default)]
    pub list_unsubscribe: Option<bool>,
}

/// A kind of mail.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stream {
    /// Decides what is honoured by default.
    pub class: StreamClass,
    /// What is honoured instead.
    pub honours: Option<Vec<Axis>>,
    /// Whether consent must be on record.
    pub consent: Consent,
    /// What happens when the store does not answer; `pass` is for transactional streams only.
    pub on_unavailable: OnUnavailable,
}

/// Whether consent must be on record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Consent {
    /// No word means yes.
    #[default]
    Assumed,
    /// No word means no.
    Required,
}

/// What happens when the store does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnavailable {
    /// 451: the client tries again.
    #[default]
    Defer,
    /// Relayed unchecked and logged.
    Pass,
}

/// What reports do to records.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Learning {
    /// How many soft bounces make an address undeliverable.
    pub soft_limit: u32,
    /// Only those of this time count; 0 counts all.
    #[serde(with = "duration")]
    pub soft_window: Duration,
    /// Which axes also set Do Not Email.
    pub auto_do_not_email: Vec<Coupling>,
    /// Whether the upstream's permanent refusal of a recipient counts as a bounce.
    pub from_upstream: bool,
    /// How long a report's id is remembered, so that it counts once.
    #[serde(with = "duration")]
    pub remember: Duration,
    /// How many recipients one cause may always take out; 0 switches the brake off.
    pub brake_recipients: u64,
    /// How large a part of what was relayed to their provider it may take out, 0 to 1.
    #[serde(with = "share")]
    pub brake_share: f64,
    /// Within which time.
    #[serde(with = "duration")]
    pub brake_window: Duration,
}

/// The admin listener.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Http {
    /// Address of `/metrics`, `/livez` and `/readyz`; an empty text in the file means none.
    #[serde(with = "address::optional")]
    pub admin: Option<SocketAddr>,
    /// Unix socket of the admin API, which the command line uses.
    pub socket: PathBuf,
}

/// The suppression log.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// The file; an empty text means none.
    pub file: Option<PathBuf>,
    /// Whether lines also go to standard output.
    pub stdout: bool,
    /// Whether addresses are written out.
    pub addresses: Addresses,
}

/// Whether addresses are written out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// As they are.
    #[default]
    Plain,
    /// The key and the domain.
    Hashed,
}

/// The operational log.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Trace {
    /// JSON lines or lines for people.
    pub format: TraceFormat,
    /// What is logged: a level, or directives such as `info,sendgate::gateway=debug`.
    pub level: String,
}

/// How the operational log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TraceFormat {
    /// Lines for people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// Every bound.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest message, in octets.
    #[serde(with = "size")]
    pub message_size_limit: u64,
    /// Largest report on a returns listener, in octets.
    #[serde(with = "size")]
    pub report_size_limit: u64,
    /// Most recipients of one transaction (RFC 5321 wants at least 100).
    pub recipient_limit: usize,
    /// Largest header that is held to be judged, in octets.
    #[serde(with = "size")]
    pub header_size_limit: u64,
    /// Longest text line in the data, CRLF included.
    pub text_line_limit: usize,
    /// Whether a longer text line is passed on rather than refused.
    pub pass_long_lines: bool,
    /// How many Received fields make a message a loop.
    pub hop_limit: usize,
    /// Threads that carry sessions; 0 means one for each core.
    pub workers: usize,
    /// Most connections of one listener.
    pub connection_limit: usize,
    /// Most connections from one address.
    pub connections_per_client_limit: usize,
    /// Errors after which a session is closed.
    pub error_limit: u32,
    /// Commands that do nothing after which a session is closed.
    pub junk_command_limit: u32,
    /// Longest reply that is read from the upstream, in octets.
    #[serde(with = "size")]
    pub upstream_reply_limit: u64,
    /// Memory for pages of the embedded store, in octets.
    #[serde(with = "size")]
    pub store_cache_limit: u64,
}

/// Every wait.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// How long a client may take for one command.
    #[serde(with = "duration")]
    pub command: Duration,
    /// The same while connections are scarce.
    #[serde(with = "duration")]
    pub command_overload: Duration,
    /// How long a client may pause in the data.
    #[serde(with = "duration")]
    pub data: Duration,
    /// The slowest data, in octets per second, measured over the whole message.
    pub data_rate: u64,
    /// How long a TLS handshake may take, on either side.
    #[serde(with = "duration")]
    pub tls_handshake: Duration,
    /// How long connecting upstream may take, greeting included.
    #[serde(with = "duration")]
    pub upstream_connect: Duration,
    /// How long the upstream may take to answer EHLO, MAIL, RCPT or RSET.
    #[serde(with = "duration")]
    pub upstream_command: Duration,
    /// How long the upstream may take to answer DATA.
    #[serde(with = "duration")]
    pub upstream_data: Duration,
    /// How long the upstream may take to accept a block of data.
    #[serde(with = "duration")]
    pub upstream_block: Duration,
    /// How long the upstream may take to answer the end of the data.
    #[serde(with = "duration")]
    pub upstream_final: Duration,
    /// How long recording what a returned message proves may take; then it is to come again.
    #[serde(with = "duration")]
    pub learning: Duration,
    /// How long sending a returned message on to its sender may take; then it is to come again.
    #[serde(with = "duration")]
    pub forwarding: Duration,
    /// How long work in flight may take after SIGTERM.
    #[serde(with = "duration")]
    pub drain: Duration,
}

#[cfg(test)]
mod tests;
