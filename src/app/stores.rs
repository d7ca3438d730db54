//! From the configuration to a store, its keys and its ledger.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use secrecy::ExposeSecret;
use tokio::runtime::Handle;

use crate::config::{Config, StoreUrl, secret};
use crate::store::embedded::EmbeddedStore;
use crate::store::identity::Identity;
use crate::store::ledger::{Ledger, LedgerOptions};
use crate::store::redis::{RedisOptions, RedisStore};
use crate::store::{Store, StoreError, pepper};
use crate::suppression::KeyMaker;

/// How long a start waits for the store to say who it is; after that it goes on without (S8).
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a store that did not answer is asked again.
const RETRY: Duration = Duration::from_secs(1);

/// Opens the configured store. Nothing is asked of it yet.
pub(super) fn open(config: &Config) -> anyhow::Result<(Stores, Arc<Ledger>, Identity)> {
    let keys = KeyMaker::new(&read_pepper(config)?);
    let url: StoreUrl = config.store.url.parse()?;
    let stores = match url {
        StoreUrl::Embedded(file) => {
            let cache_limit = usize::try_from(config.limits.store_cache_limit)?;
            let store = EmbeddedStore::open_with(&file, cache_limit)?;
            Stores::Embedded(Arc::new(store))
        }
        StoreUrl::Redis(url) => {
            let options = redis_options(config, url)?;
            Stores::Redis(Arc::new(RedisStore::new(&options)?), options)
        }
    };
    let options = LedgerOptions {
        rules: config.event_rules(),
        timeout: config.store.timeout,
        remember: config.learning.remember,
    };
    let ledger = Arc::new(Ledger::new(stores.shared(), keys.clone(), options));
    let identity = Identity {
        keys,
        state_file: config.data_dir.join("generation"),
        create: config.store.create,
    };
    Ok((stores, ledger, identity))
}

/// The configured store, and the ways to it.
pub(super) enum Stores {
    Embedded(Arc<EmbeddedStore>),
    /// With what it takes to connect once more.
    Redis(Arc<RedisStore>, RedisOptions),
}

impl Stores {
    /// The way that everybody shares.
    pub(super) fn shared(&self) -> Arc<dyn Store> {
        match self {
            Self::Embedded(store) => Arc::clone(store) as _,
            Self::Redis(store, _) => Arc::clone(store) as _,
        }
    }

    /// The ledger over a way of its own for whoever runs on `runtime`. A file needs none.
    pub(super) fn ledger_at(
        &self,
        runtime: &Handle,
        ledger: &Arc<Ledger>,
    ) -> anyhow::Result<Arc<Ledger>> {
        Ok(match self {
            Self::Embedded(_) => Arc::clone(ledger),
            Self::Redis(store, options) => {
                let own = store.beside(options, runtime)?;
                Arc::new(ledger.by_way_of(Arc::new(own)))
            }
        })
    }
}

fn redis_options(config: &Config, url: String) -> anyhow::Result<RedisOptions> {
    let password = match (&config.store.password, &config.store.password_file) {
        (Some(password), _) => Some(password.clone()),
        (None, Some(file)) => Some(secret::read(file)?),
        (None, None) => None,
    };
    Ok(RedisOptions {
        url: url.into(),
        user: config.store.user.clone(),
        password,
        ca_file: config.store.ca_file.clone(),
        timeout: config.store.timeout,
    })
}

fn read_pepper(config: &Config) -> anyhow::Result<Vec<u8>> {
    if let Some(pepper) = &config.keys.pepper {
        let pepper = pepper.expose_secret().trim().as_bytes().to_vec();
        anyhow::ensure!(
            pepper.len() >= pepper::PEPPER_MINIMUM,
            "SENDGATE_KEYS_PEPPER is too short; it needs {} octets or more",
            pepper::PEPPER_MINIMUM
        );
        return Ok(pepper);
    }
    let (file, may_create) = match &config.keys.pepper_file {
        Some(file) => (file.clone(), false),
        None => (config.data_dir.join("pepper"), config.store.create),
    };
    pepper::load_or_create_pepper(&file, may_create)
        .with_context(|| format!("cannot use the pepper {}", file.display()))
}

/// Asks the store who it is. One that does not answer is asked again in the background, and until
/// it does every look-up is Unavailable; one that is not ours ends the start.
pub(super) async fn establish(store: &Arc<dyn Store>, identity: Identity) -> anyhow::Result<()> {
    let asked = tokio::time::timeout(PATIENCE, identity.establish(&**store)).await;
    match asked {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(StoreError::Foreign(why))) => anyhow::bail!(why),
        Ok(Err(error)) => {
            tracing::error!(%error, "the store is not usable yet; recipients are deferred until it is")
        }
        Err(_) => {
            tracing::error!("the store does not answer; recipients are deferred until it does")
        }
    }
    let store = Arc::clone(store);
    tokio::spawn(async move {
        let mut said = String::new();
        loop {
            tokio::time::sleep(RETRY).await;
            match identity.establish(&*store).await {
                Ok(()) => {
                    tracing::info!("the store is usable");
                    return;
                }
                Err(error) => {
                    let text = error.to_string();
                    if text != said {
                        tracing::error!(error = text, "the store is not usable");
                        said = text;
                    }
                }
            }
        }
    });
    Ok(())
}
