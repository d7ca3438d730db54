//! A [`Place`] is the private directory of one demo: its configuration, its store, its log.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::campaign::SOFT_LIMIT;
use super::message::RETURN_DOMAIN;

/// The campaign listener as configured.
pub(super) const CAMPAIGN: &str = "127.0.0.1:0";

/// How many names are tried before the system's answer is believed.
const NAME_LIMIT: u32 = 8;

/// A directory that is removed with all that is in it when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    directory: PathBuf,
}

impl Place {
    /// Makes the directory, below the system's for temporary files; only we may look inside.
    pub(super) fn make() -> anyhow::Result<Self> {
        let parent = std::env::temp_dir();
        let mut tries = 1;
        loop {
            let mut name = [0; 4];
            getrandom::fill(&mut name)
                .map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
            let name = u32::from_ne_bytes(name);
            let directory = parent.join(format!("sendgate-demo-{name:08x}"));
            match DirBuilder::new().mode(0o700).create(&directory) {
                Ok(()) => return Ok(Self { directory }),
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && tries < NAME_LIMIT =>
                {
                    tries += 1;
                }
                Err(error) => {
                    return Err(error).with_context(|| {
                        format!(
                            "cannot make a directory in {}; set TMPDIR to a place we may write to",
                            parent.display()
                        )
                    });
                }
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.directory
    }

    /// The configuration file.
    pub(super) fn config_file(&self) -> PathBuf {
        self.directory.join("sendgate.toml")
    }

    /// Writes the configuration file.
    pub(super) fn write_config(
        &self,
        smarthost: SocketAddr,
        receipts: &str,
    ) -> anyhow::Result<PathBuf> {
        let file = self.config_file();
        let directory = self
            .directory
            .to_str()
            .context("the name of the temporary directory is not UTF-8; set TMPDIR to another")?;
        fs::write(&file, config_text(directory, smarthost, receipts))
            .with_context(|| format!("cannot write {}", file.display()))?;
        Ok(file)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.directory) {
            tracing::warn!(directory = %self.directory.display(), %error, "the demo's directory is left behind");
        }
    }
}

/// A second address of loopback for the receipts: listeners are told apart by the address they are
/// configured with, and port 0 twice would be one. Linux has all of 127.0.0.0/8, others have ::1.
pub(super) fn receipts_address() -> &'static str {
    match std::net::TcpListener::bind("127.0.0.2:0") {
        Ok(_) => "127.0.0.2:0",
        Err(_) => "[::1]:0",
    }
}

fn config_text(directory: &str, smarthost: SocketAddr, receipts: &str) -> String {
    let path = |name: &str| toml::Value::String(format!("{directory}/{name}")).to_string();
    format!(
        r#"# Written by `sendgate demo`. Port 0 takes a free port; the demo prints which.
hostname = "gateway.example.com"
data_dir = {data}

# Campaign tools send here.
[[smtp]]
listen = "{CAMPAIGN}"
stream = "campaign"
scopes = true           # an opt-out of one list is found by the message's List-Id

# The shop sends its receipts here: an opt-out from campaigns does not stop them.
[[smtp]]
listen = "{receipts}"
stream = "transactional"

# Bounces come back here.
[[returns]]
listen = "127.0.0.1:0"

[return_path]
domain = "{RETURN_DOMAIN}"

# The demo's own smarthost.
[upstream]
url = "smtp://{smarthost}"

[store]
url = {store}
timeout = "2s"          # a machine that compiles beside the demo is no outage

[learning]
soft_limit = {SOFT_LIMIT}

[http]
admin = "127.0.0.1:0"
socket = {socket}

[log]
file = {log}
"#,
        data = path("data"),
        store = toml::Value::String(format!("embedded:{directory}/sendgate.redb")),
        socket = path("sendgate.sock"),
        log = path("suppression.log"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_configuration_is_one_and_the_place_is_private_and_goes_away() {
        use std::os::unix::fs::PermissionsExt;
        let place = Place::make().unwrap();
        let directory = place.path().to_owned();
        let mode = fs::metadata(&directory).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let smarthost = "127.0.0.1:2600".parse().unwrap();
        let file = place.write_config(smarthost, receipts_address()).unwrap();
        let config = Config::load(Some(&file), std::iter::empty())
            .unwrap()
            .config;
        assert_eq!(config.upstream.url, "smtp://127.0.0.1:2600");
        assert_eq!(config.http.socket, directory.join("sendgate.sock"));
        assert_eq!(config.smtp.len(), 2);
        assert_ne!(config.smtp[0].listen, config.smtp[1].listen);
        drop(place);
        assert!(!directory.exists());
    }

    #[test]
    fn a_strange_directory_name_is_quoted() {
        let smarthost = "127.0.0.1:2600".parse().unwrap();
        let text = config_text("/tmp/a \"b\"\\c", smarthost, "[::1]:0");
        let config: Config = toml::from_str(&text).unwrap();
        assert_eq!(config.data_dir, Path::new("/tmp/a \"b\"\\c/data"));
    }
}
