//! [`Settings`] are what the configuration means for sessions: streams, users, limits, the upstream.
//!
//! A reload makes new settings; sessions that are open keep the ones they began with, but for those
//! that bring returned mail, which take up the new ones with their next message.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use tokio_rustls::TlsAcceptor;

use super::auth::Users;
use super::drain::Drain;
use super::label_book::LabelBook;
use super::mint::Mint;
use super::upstream::Upstream;
use super::worker::Workers;
use crate::bounce::Rules;
use crate::config::{Limits, Mode, Suppressed, Timeouts, TlsMode};
use crate::learning::Learner;
use crate::log::SuppressionLog;
use crate::mail::{Address, ForwardPath};
use crate::smtp::Extensions;
use crate::store::ledger::Ledger;
use crate::suppression::{Stream, Tenant};
use crate::telemetry::Metrics;
use crate::token::Signer;
use crate::transaction::Policy;

/// What every listener shares.
pub struct Context {
    /// The records.
    pub ledger: Arc<Ledger>,
    /// Learns from what comes back.
    pub learner: Arc<Learner>,
    /// Makes tokens.
    pub mint: Mint,
    /// The labels of tokens.
    pub labels: LabelBook,
    /// The suppression log.
    pub log: SuppressionLog,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Ends it all in good order.
    pub drain: Drain,
    /// The threads that carry sessions.
    pub workers: Workers,
    /// What the configuration says now.
    pub settings: ArcSwap<Settings>,
}

/// What the configuration means for sessions.
pub struct Settings {
    /// Our name.
    pub hostname: Arc<str>,
    /// Every bound.
    pub limits: Limits,
    /// Every wait.
    pub timeouts: Timeouts,
    /// The smarthost.
    pub upstream: Arc<Upstream>,
    /// Those who may log in.
    pub users: Arc<Users>,
    /// The rules of each user's mail, by listener and name; a user may override the listener.
    pub user_rules: HashMap<String, UserRules>,
    /// Kinds of mail, by name.
    pub streams: BTreeMap<String, Arc<Stream>>,
    /// Our certificate.
    pub tls: Option<TlsAcceptor>,
    /// What words and codes of a refusal give away.
    pub bounce_rules: Arc<Rules>,
    /// Whether addresses in the words of others are hidden in the operational log.
    pub hide_addresses: bool,
    /// Whether the upstream's permanent refusal of a recipient counts as a bounce.
    pub learn_from_upstream: bool,
    /// Signs return paths and checks them; none where there is no domain for them.
    pub signer: Option<Arc<Signer>>,
    /// The domain of signed return paths, in canonical form.
    pub return_domain: Option<Arc<str>>,
    /// Whose lists there are: every tenant that a listener or a user names.
    pub tenants: Vec<Tenant>,
    /// The SMTP listeners by the address they are configured with.
    pub smtp: HashMap<String, Arc<SmtpRules>>,
    /// The returns listeners by the address they are configured with.
    pub returns: HashMap<String, Arc<ReturnsRules>>,
}

impl Settings {
    /// Whether anybody's return path is signed, so that a report can prove what it is about.
    #[must_use]
    pub fn signs(&self) -> bool {
        let users = self.user_rules.values();
        self.smtp.values().any(|rules| rules.policy.sign)
            || self.signer.is_some() && users.filter_map(|rules| rules.sign).any(|sign| sign)
    }
}

/// What a user has instead of the listener's rules.
#[derive(Debug, Clone, Default)]
pub struct UserRules {
    /// Whose list is asked.
    pub tenant: Option<Tenant>,
    /// The stream of mail that does not say which.
    pub stream: Option<Arc<Stream>>,
    /// The streams that a header may choose.
    pub streams: Option<Vec<Arc<Stream>>>,
    /// What a suppressed recipient hears.
    pub suppressed: Option<Suppressed>,
    /// Whether verdicts are enforced.
    pub mode: Option<Mode>,
    /// Where what comes back is sent on to.
    pub forward_to: Option<ForwardPath>,
    /// Whether return paths are signed.
    pub sign: Option<bool>,
    /// Whether List-Unsubscribe is added.
    pub list_unsubscribe: Option<bool>,
}

/// The rules of an SMTP listener.
#[derive(Debug)]
pub struct SmtpRules {
    /// As configured, for the log.
    pub name: Arc<str>,
    /// The rules for clients that do not log in.
    pub policy: Arc<Policy>,
    /// Networks that may relay without logging in.
    pub clients: Vec<IpNet>,
    /// Domains that anybody may relay to, in canonical form.
    pub relay_domains: Vec<String>,
    /// Networks that must begin with a PROXY header.
    pub proxy: Vec<IpNet>,
    /// Networks that may say with XCLIENT who they speak for.
    pub xclient: Vec<IpNet>,
    /// How TLS is offered.
    pub tls: TlsMode,
    /// Whether DSN may be offered here: nobody who could log in or connect is discarded from, or
    /// gets a signed return path (W14).
    pub dsn: bool,
}

/// The rules of a returns listener.
#[derive(Debug)]
pub struct ReturnsRules {
    /// As configured, for the log.
    pub name: Arc<str>,
    /// Networks whose reports are believed.
    pub trusted: Vec<IpNet>,
    /// Domains that mail is accepted for, in canonical form.
    pub domains: Vec<String>,
    /// Addresses that anybody may send complaints to.
    pub feedback: Vec<Address>,
    /// Whose list a trusted report changes that carries no signed address.
    pub tenant: Tenant,
    /// How TLS is offered.
    pub tls: TlsMode,
}

impl SmtpRules {
    /// The policy for a user who logged in here.
    #[must_use]
    pub fn policy_of(&self, rules: Option<&UserRules>) -> Arc<Policy> {
        let Some(rules) = rules else {
            return Arc::clone(&self.policy);
        };
        let base = &self.policy;
        let stream = rules.stream.as_ref().unwrap_or(&base.stream);
        let mut choices = vec![Arc::clone(stream)];
        let others = rules.streams.as_ref().unwrap_or(&base.choices);
        choices.extend(
            others
                .iter()
                .filter(|other| other.name != stream.name)
                .cloned(),
        );
        Arc::new(Policy {
            tenant: rules.tenant.clone().unwrap_or_else(|| base.tenant.clone()),
            stream: Arc::clone(stream),
            choices,
            suppressed: rules.suppressed.unwrap_or(base.suppressed),
            mode: rules.mode.unwrap_or(base.mode),
            scopes: base.scopes,
            sign: rules.sign.unwrap_or(base.sign),
            list_unsubscribe: rules.list_unsubscribe.unwrap_or(base.list_unsubscribe),
        })
    }

    /// The EHLO keywords that depend on the upstream (W14), after those that do not.
    #[must_use]
    pub fn keywords(
        &self,
        upstream: Option<Extensions>,
        message_size_limit: u64,
        secure: bool,
    ) -> Vec<String> {
        let upstream = upstream.unwrap_or_default();
        let mut keywords = vec![
            "PIPELINING".to_owned(),
            format!("SIZE {}", upstream.size_limit(message_size_limit)),
            "ENHANCEDSTATUSCODES".to_owned(),
        ];
        let mut offer = |offered: bool, keyword: &str| {
            if offered {
                keywords.push(keyword.to_owned());
            }
        };
        offer(upstream.eight_bit_mime, "8BITMIME");
        offer(upstream.smtp_utf8, "SMTPUTF8");
        offer(upstream.require_tls && secure, "REQUIRETLS");
        offer(upstream.dsn && self.dsn, "DSN");
        keywords
    }
}

/// Whether `address` is in one of `networks`; an IPv4 address written as IPv6 counts as IPv4.
#[must_use]
pub fn is_in(networks: &[IpNet], address: IpAddr) -> bool {
    let address = address.to_canonical();
    networks.iter().any(|network| network.contains(&address))
}
