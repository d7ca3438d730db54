//! `[return_path]`: where bounces go, and the keys that sign the way there.

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Config, StoreUrl, duration};

/// Where bounces go.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReturnPath {
    /// The domain that the returns listeners accept mail for, and that signed return paths are in.
    /// Without one mail is relayed with the sender's own return path.
    pub domain: Option<String>,
    /// Whether return paths are signed, where neither the listener nor the user says.
    pub sign: bool,
    /// File that holds the key that signs; empty means `return-path.key` in `data_dir`.
    pub key_file: Option<PathBuf>,
    /// File that holds the key that signed before, believed while the keys rotate.
    pub previous_key_file: Option<PathBuf>,
    /// The key itself; only from the environment.
    #[serde(skip_serializing)]
    pub key: Option<SecretString>,
    /// The key that signed before; only from the environment.
    #[serde(skip_serializing)]
    pub previous_key: Option<SecretString>,
    /// How long a return path is believed.
    #[serde(with = "duration")]
    pub validity: Duration,
}

impl Default for ReturnPath {
    fn default() -> Self {
        Self {
            domain: None,
            sign: true,
            key_file: None,
            previous_key_file: None,
            key: None,
            previous_key: None,
            // A mail server gives up after five days; a vacation, a slow operator and a report of
            // somebody's own making come later.
            validity: Duration::from_secs(30 * 24 * 60 * 60),
        }
    }
}

impl Config {
    /// The file with the key of the return path, and whether a start makes it when it is missing.
    ///
    /// Only over a store that no other gateway has: two that each made a key would refuse each
    /// other's reports. And only where a new store may be made, too, because a key that was lost
    /// is to be restored.
    #[must_use]
    pub fn return_path_key_file(&self) -> (PathBuf, bool) {
        if let Some(file) = &self.return_path.key_file {
            return (file.clone(), false);
        }
        let is_alone = matches!(self.store.url.parse(), Ok(StoreUrl::Embedded(_)));
        let file = self.data_dir.join("return-path.key");
        (file, is_alone && self.store.create)
    }
}

/// What to do about a key of the return path that is missing.
#[must_use]
pub fn missing_return_path_key(file: &Path) -> String {
    let file = file.display();
    format!(
        "the key of the return path {file} is missing; copy it from another gateway of this store or \
         from a backup, or set SENDGATE_RETURN_PATH_KEY. For the very first gateway make one: \
         (umask 077; openssl rand -hex 32 > {file})"
    )
}
