//! Reads the configuration: the file, then the environment over it, then the checks.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Config;
use super::error::{ConfigError, Origin};

/// A configuration and where it came from.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was decided.
    pub config: Config,
    /// The file it was read from; none when there is none and the defaults hold.
    pub file: Option<PathBuf>,
}

/// Where a file is looked for when nobody names one.
const FILES: [&str; 2] = ["sendgate.toml", "/etc/sendgate/sendgate.toml"];

impl Config {
    /// Reads the configuration from the named file, else from that of `SENDGATE_CONFIG`, else from
    /// `./sendgate.toml`, else from `/etc/sendgate/sendgate.toml`, else from the built-in defaults.
    ///
    /// # Errors
    /// When the named file is missing, or with everything that is wrong in it.
    pub fn load(
        explicit: Option<&Path>,
        env: impl Iterator<Item = (String, String)>,
    ) -> Result<Loaded, ConfigError> {
        let env: Vec<_> = env.collect();
        let named = explicit.map(Path::to_owned).or_else(|| {
            env.iter()
                .find(|(name, value)| name == "SENDGATE_CONFIG" && !value.is_empty())
                .map(|(_, value)| value.into())
        });
        let file = named.or_else(|| {
            FILES
                .map(PathBuf::from)
                .into_iter()
                .find(|file| file.exists())
        });
        let Some(file) = file else {
            return Ok(Loaded {
                config: Self::default(),
                file: None,
            });
        };
        let origin = Origin::File(Arc::new(file.clone()));
        let text = std::fs::read_to_string(&file)
            .map_err(|error| ConfigError::one(origin.clone(), "", error.to_string()))?;
        let config =
            toml::from_str(&text).map_err(|error| ConfigError::one(origin, "", error.message()))?;
        Ok(Loaded {
            config,
            file: Some(file),
        })
    }
}
