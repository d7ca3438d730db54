//! From the configuration to the keys of the signed return path.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, secret};
use crate::mail::address::canonical_domain;
use crate::token::{SECRET_MINIMUM, Signer};

/// Who signs return paths and checks them; none where there is no domain for them.
///
/// Also where nothing is signed any more there is one, because what was signed still comes back.
pub(super) fn signer(config: &Config) -> anyhow::Result<Option<Arc<Signer>>> {
    let settings = &config.return_path;
    if settings.domain.is_none() {
        return Ok(None);
    }
    let key = match &settings.key {
        Some(key) => key.clone(),
        None => match config.return_path_key_file() {
            (file, true) => load_or_create(&file)?,
            (file, false) => secret::read(&file)?,
        },
    };
    let previous = match (&settings.previous_key, &settings.previous_key_file) {
        (Some(key), _) => Some(key.clone()),
        (None, Some(file)) => Some(secret::read(file)?),
        (None, None) => None,
    };
    let keys = std::iter::once(&key)
        .chain(&previous)
        .map(usable)
        .collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Some(Arc::new(Signer::new(keys, settings.validity))))
}

/// The domain that return paths are signed in, in canonical form.
pub(super) fn domain(config: &Config) -> anyhow::Result<Option<Arc<str>>> {
    let Some(domain) = &config.return_path.domain else {
        return Ok(None);
    };
    let canonical =
        canonical_domain(domain).with_context(|| format!("`{domain}` is not a domain"))?;
    Ok(Some(canonical.as_ref().into()))
}

/// The key in the data directory. Gateways that start together must not have two of them.
fn load_or_create(file: &Path) -> anyhow::Result<SecretString> {
    if !file.exists() {
        match secret::create(file) {
            Ok(key) => {
                tracing::info!(file = %file.display(), "made a key for the return path");
                return Ok(key);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => Err(error).with_context(|| {
                format!("cannot make the key of the return path {}", file.display())
            })?,
        }
    }
    Ok(secret::read(file)?)
}

/// White space around a key does not count.
fn usable(key: &SecretString) -> anyhow::Result<&[u8]> {
    let octets = key.expose_secret().trim().as_bytes();
    anyhow::ensure!(
        octets.len() >= SECRET_MINIMUM,
        "a key of the return path is too short; it needs {SECRET_MINIMUM} octets or more"
    );
    Ok(octets)
}
