//! `[return_path]`: where bounces go, and the keys that sign the way there.

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

use super::{Config, duration};

/// Where bounces go.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReturnPath {
    /// The domain that the returns listeners accept mail for, and that signed return paths are in.
    /// Without one mail is relayed with the sender's own return path.
    pub domain: Option<String>,
    /// Whether return paths are signed, where neither the listener nor the user says.
    pub sign: bool,
    /// File that holds the key that signs; empty means `return-path.key` in `data_dir`, made when missing.
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
    /// The file with the key of the return path, and whether it is made when it is missing.
    #[must_use]
    pub fn return_path_key_file(&self) -> (PathBuf, bool) {
        match &self.return_path.key_file {
            Some(file) => (file.clone(), false),
            None => (self.data_dir.join("return-path.key"), true),
        }
    }
}
