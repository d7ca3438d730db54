//! From the configuration to what sessions go by.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::Context as _;

use super::return_path;
use crate::bounce::Rules;
use crate::config::{self, Addresses, Config, Mode, Suppressed, UpstreamUrl, secret};
use crate::gateway::auth::{User, Users};
use crate::gateway::settings::{ReturnsRules, Settings, SmtpRules, UserRules};
use crate::gateway::tls;
use crate::gateway::upstream::{Upstream, UpstreamOptions, UpstreamTimeouts};
use crate::mail::address::canonical_domain;
use crate::mail::{Address, ForwardPath};
use crate::suppression::{Stream, Tenant};
use crate::telemetry::Metrics;
use crate::transaction::Policy;

type Streams = BTreeMap<String, Arc<Stream>>;

/// Builds the settings; an upstream that is given is kept with its connections.
pub(super) fn build(
    config: &Config,
    bounce_rules: Arc<Rules>,
    upstream: Option<Arc<Upstream>>,
    workers: usize,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Settings> {
    let streams = config.streams();
    let tls = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Some(tls::acceptor(certificate, key)?),
        _ => None,
    };
    let upstream = match upstream {
        Some(upstream) => upstream,
        None => Arc::new(build_upstream(config, workers, metrics)?),
    };
    let user_rules = config
        .users
        .iter()
        .map(|(name, user)| Ok((name.clone(), user_rules(user, &streams)?)))
        .collect::<anyhow::Result<HashMap<_, _>>>()?;
    let signs = config.return_path.domain.is_some() && config.return_path.sign;
    let may_log_in = tls.is_some() && !config.users.is_empty();
    let smtp = config
        .smtp
        .iter()
        .map(|listener| {
            let users = may_log_in.then_some(&user_rules);
            Ok((
                listener.listen.to_string(),
                Arc::new(smtp_rules(listener, &streams, users, signs)?),
            ))
        })
        .collect::<anyhow::Result<HashMap<_, _>>>()?;
    let returns = config
        .returns
        .iter()
        .map(|listener| {
            Ok((
                listener.listen.to_string(),
                Arc::new(returns_rules(listener, config)?),
            ))
        })
        .collect::<anyhow::Result<HashMap<_, _>>>()?;
    Ok(Settings {
        hostname: config.hostname().into(),
        limits: config.limits.clone(),
        timeouts: config.timeouts.clone(),
        upstream,
        users: Arc::new(Users::new(config.users.iter().map(|(name, user)| User {
            name: name.as_str().into(),
            password_hash: user.password_hash.clone(),
        }))),
        user_rules,
        streams,
        tls,
        bounce_rules,
        hide_addresses: config.log.addresses == Addresses::Hashed,
        learn_from_upstream: config.learning.from_upstream,
        signer: return_path::signer(config)?,
        return_domain: return_path::domain(config)?,
        tenants: tenants(config),
        smtp,
        returns,
    })
}

fn build_upstream(
    config: &Config,
    workers: usize,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<Upstream> {
    let upstream = &config.upstream;
    let url: UpstreamUrl = upstream.url.parse()?;
    let credentials = match &upstream.user {
        Some(user) => Some((user.clone(), upstream_password(upstream)?)),
        None => None,
    };
    let timeouts = &config.timeouts;
    let options = UpstreamOptions {
        url,
        credentials,
        ca_file: upstream.ca_file.clone(),
        hostname: config.hostname(),
        idle_connections: upstream.idle_connections,
        workers,
        idle_timeout: upstream.idle_timeout,
        reply_limit: usize::try_from(config.limits.upstream_reply_limit).unwrap_or(usize::MAX),
        timeouts: UpstreamTimeouts {
            connect: timeouts.upstream_connect,
            command: timeouts.upstream_command,
            data: timeouts.upstream_data,
            block: timeouts.upstream_block,
            final_reply: timeouts.upstream_final,
        },
    };
    Ok(Upstream::new(options, Arc::clone(metrics))?)
}

fn upstream_password(upstream: &config::Upstream) -> anyhow::Result<secrecy::SecretString> {
    match (&upstream.password, &upstream.password_file) {
        (Some(password), _) => Ok(password.clone()),
        (None, Some(file)) => Ok(secret::read(file)?),
        (None, None) => anyhow::bail!(
            "upstream.user is set and there is no password; name a file with upstream.password_file"
        ),
    }
}

/// Whether the upstream is configured the same, so that its connections can be kept on a reload.
pub(super) fn same_upstream(before: &Config, after: &Config) -> bool {
    let password = |config: &Config| upstream_password(&config.upstream).ok();
    let same_password = match (password(before), password(after)) {
        (None, None) => true,
        (Some(a), Some(b)) => {
            use secrecy::ExposeSecret;
            a.expose_secret() == b.expose_secret()
        }
        _ => false,
    };
    let text = |config: &Config| {
        serde_json::to_string(&(
            &config.upstream,
            &config.timeouts,
            &config.limits.upstream_reply_limit,
            config.hostname(),
        ))
        .ok()
    };
    same_password && text(before) == text(after)
}

fn stream(name: &str, streams: &Streams) -> anyhow::Result<Arc<Stream>> {
    streams
        .get(name)
        .cloned()
        .with_context(|| format!("there is no stream `{name}`; add [streams.{name}]"))
}

fn user_rules(user: &config::User, streams: &Streams) -> anyhow::Result<UserRules> {
    Ok(UserRules {
        tenant: user.tenant.clone(),
        stream: user
            .stream
            .as_deref()
            .map(|name| stream(name, streams))
            .transpose()?,
        streams: user
            .streams
            .as_ref()
            .map(|names| names.iter().map(|name| stream(name, streams)).collect())
            .transpose()?,
        suppressed: user.suppressed,
        mode: user.mode,
        forward_to: user.forward_to.as_deref().map(forward_path).transpose()?,
        sign: user.sign,
        list_unsubscribe: user.list_unsubscribe,
    })
}

fn forward_path(mailbox: &str) -> anyhow::Result<ForwardPath> {
    let (path, _) = ForwardPath::parse(&format!("<{mailbox}>").into())?;
    Ok(path)
}

fn smtp_rules(
    listener: &config::SmtpListener,
    streams: &Streams,
    users: Option<&HashMap<String, UserRules>>,
    signs: bool,
) -> anyhow::Result<SmtpRules> {
    let default = stream(&listener.stream, streams)?;
    let mut choices = vec![Arc::clone(&default)];
    for name in &listener.streams {
        if *name != listener.stream {
            choices.push(stream(name, streams)?);
        }
    }
    let policy = Policy {
        tenant: listener.tenant.clone(),
        stream: default,
        choices,
        suppressed: listener.suppressed,
        mode: listener.mode,
        scopes: listener.scopes,
        sign: listener.sign.unwrap_or(signs),
        list_unsubscribe: listener.list_unsubscribe,
    };
    let mut rules = SmtpRules {
        name: listener.listen.to_string().into(),
        policy: Arc::new(policy),
        clients: listener.clients.clone(),
        relay_domains: domains(&listener.relay_domains)?,
        proxy: listener.proxy.clone(),
        xclient: listener.xclient.clone(),
        tls: listener.tls,
        dsn: false,
    };
    // EHLO may come before AUTH, so the strictest of those who could log in decides (W14).
    rules.dsn = may_offer_dsn(&rules.policy)
        && users.is_none_or(|users| {
            users
                .values()
                .all(|user| may_offer_dsn(&rules.policy_of(Some(user))))
        });
    Ok(rules)
}

/// Whether nobody who was told 250 is ever left out (RFC 3461 §5.1), and reports go where the client
/// wants them (RFC 3461 §5.2.7.1).
fn may_offer_dsn(policy: &Policy) -> bool {
    let never_silent = policy.mode == Mode::Observe
        || (policy.suppressed == Suppressed::Reject && !policy.header_may_take_out());
    never_silent && !policy.sign
}

/// Every tenant that is named somewhere, once.
fn tenants(config: &Config) -> Vec<Tenant> {
    let smtp = config.smtp.iter().map(|listener| &listener.tenant);
    let returns = config.returns.iter().map(|listener| &listener.tenant);
    let users = config
        .users
        .values()
        .filter_map(|user| user.tenant.as_ref());
    let all: BTreeSet<&Tenant> = smtp.chain(returns).chain(users).collect();
    all.into_iter().cloned().collect()
}

fn returns_rules(
    listener: &config::ReturnsListener,
    config: &Config,
) -> anyhow::Result<ReturnsRules> {
    let mut all = listener.domains.clone();
    all.extend(config.return_path.domain.clone());
    Ok(ReturnsRules {
        name: listener.listen.to_string().into(),
        trusted: listener.trusted.clone(),
        domains: domains(&all)?,
        feedback: listener
            .feedback
            .iter()
            .map(|address| Address::parse(address))
            .collect::<Result<_, _>>()?,
        tenant: listener.tenant.clone(),
        tls: listener.tls,
    })
}

fn domains(written: &[String]) -> anyhow::Result<Vec<String>> {
    written
        .iter()
        .map(|domain| {
            canonical_domain(domain)
                .map(std::borrow::Cow::into_owned)
                .with_context(|| format!("`{domain}` is not a domain"))
        })
        .collect()
}

/// Says which changes a reload does not make.
pub(super) fn warn_of_restart(before: &Config, after: &Config) {
    let text = |value: &dyn erased::Json| value.json();
    let parts: [(&str, &dyn erased::Json, &dyn erased::Json); 8] = [
        ("data_dir", &before.data_dir, &after.data_dir),
        ("[store]", &before.store, &after.store),
        ("[keys]", &before.keys, &after.keys),
        (
            "learning.remember",
            &before.learning.remember,
            &after.learning.remember,
        ),
        (
            "limits.workers",
            &before.limits.workers,
            &after.limits.workers,
        ),
        (
            "limits.store_cache_limit",
            &before.limits.store_cache_limit,
            &after.limits.store_cache_limit,
        ),
        ("[http]", &before.http, &after.http),
        ("[log]", &before.log, &after.log),
    ];
    for (name, old, new) in parts {
        if text(old) != text(new) {
            tracing::warn!("{name} has changed and takes effect at the next start");
        }
    }
}

/// Comparing parts of the configuration by what they say.
mod erased {
    pub(super) trait Json {
        fn json(&self) -> Option<String>;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> Option<String> {
            serde_json::to_string(self).ok()
        }
    }
}
