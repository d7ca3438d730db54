//! From the configuration to the keys of the signed return path.

use std::io;
use std::sync::Arc;

use anyhow::Context as _;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{Config, missing_return_path_key, secret};
use crate::mail::address::canonical_domain;
use crate::token::{SECRET_MINIMUM, Signer};

/// Makes the key at the first start, where it may be made. What was signed with a key that is lost is
/// refused when it comes back, so nothing that is running ever makes another.
pub(super) fn make_key(config: &Config) -> anyhow::Result<()> {
    let (file, may_be_made) = config.return_path_key_file();
    let settings = &config.return_path;
    if settings.domain.is_none() || settings.key.is_some() || !may_be_made || file.exists() {
        return Ok(());
    }
    match secret::create(&file) {
        Ok(_) => tracing::info!(file = %file.display(), "made a key for the return path"),
        // Of two that start together one makes it.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => Err(error).with_context(|| {
            format!("cannot make the key of the return path {}", file.display())
        })?,
    }
    Ok(())
}

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
        None => {
            let (file, _) = config.return_path_key_file();
            anyhow::ensure!(file.exists(), missing_return_path_key(&file));
            secret::read(&file)?
        }
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

/// White space around a key does not count.
fn usable(key: &SecretString) -> anyhow::Result<&[u8]> {
    let octets = key.expose_secret().trim().as_bytes();
    anyhow::ensure!(
        octets.len() >= SECRET_MINIMUM,
        "a key of the return path is too short; it needs {SECRET_MINIMUM} octets or more"
    );
    Ok(octets)
}
