//! [`Options`] say what the gateway of a test is like; [`Options::start`] starts it.

use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;

use super::upstream::FakeUpstream;
use super::{Certificate, Gateway};

/// What the gateway of a test is like. Everything not said is as an operator would have it, but for
/// the test itself: it may bring reports that nothing proves.
#[derive(Clone)]
pub(crate) struct Options {
    dir: Option<Arc<TempDir>>,
    upstream_url: Option<String>,
    upstream_keys: String,
    store_url: Option<String>,
    listeners: Vec<String>,
    returns: String,
    timeouts: String,
    limits: String,
    extra: String,
    certificate: Option<Arc<Certificate>>,
    users: Vec<(String, String, String)>,
    environment: Vec<(String, String)>,
    shell_prefix: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            dir: None,
            upstream_url: None,
            upstream_keys: String::new(),
            store_url: None,
            listeners: Vec::new(),
            returns: "domains = [\"returns.example.com\"]\ntrusted = [\"127.0.0.0/8\"]".to_owned(),
            timeouts: String::new(),
            limits: String::new(),
            extra: String::new(),
            certificate: None,
            users: Vec::new(),
            environment: Vec::new(),
            shell_prefix: None,
        }
    }
}

impl Options {
    /// A gateway whose smarthost this is.
    pub(crate) fn before(upstream: &FakeUpstream) -> Self {
        Self::default().upstream_url(&format!("smtp://{}", upstream.address()))
    }

    /// Uses the directory of an earlier gateway: its store, its log, its pepper.
    pub(crate) fn dir(mut self, dir: &Arc<TempDir>) -> Self {
        self.dir = Some(Arc::clone(dir));
        self
    }

    pub(crate) fn upstream_url(mut self, url: &str) -> Self {
        self.upstream_url = Some(url.to_owned());
        self
    }

    /// Further keys of `[upstream]`.
    pub(crate) fn upstream_keys(mut self, keys: &str) -> Self {
        push_lines(&mut self.upstream_keys, keys);
        self
    }

    /// Another store than the embedded one.
    pub(crate) fn store_url(mut self, url: &str) -> Self {
        self.store_url = Some(url.to_owned());
        self
    }

    /// Adds an SMTP listener with these keys; the first one replaces the default.
    ///
    /// Listeners are told apart by their addresses, so each further one has the next of 127.0.0.0/8.
    pub(crate) fn listener(mut self, keys: &str) -> Self {
        self.listeners.push(keys.to_owned());
        self
    }

    /// The keys of the returns listener.
    pub(crate) fn returns(mut self, keys: &str) -> Self {
        self.returns = keys.to_owned();
        self
    }

    /// Keys of `[timeouts]`.
    pub(crate) fn timeouts(mut self, keys: &str) -> Self {
        push_lines(&mut self.timeouts, keys);
        self
    }

    /// Keys of `[limits]`.
    pub(crate) fn limits(mut self, keys: &str) -> Self {
        push_lines(&mut self.limits, keys);
        self
    }

    /// Further tables, as they stand in the file.
    pub(crate) fn extra(mut self, toml: &str) -> Self {
        push_lines(&mut self.extra, toml);
        self
    }

    /// The certificate of the listeners.
    pub(crate) fn tls(mut self, certificate: &Arc<Certificate>) -> Self {
        self.certificate = Some(Arc::clone(certificate));
        self
    }

    /// Somebody who may log in, with further keys of `[users.NAME]`.
    pub(crate) fn user(mut self, name: &str, password: &str, keys: &str) -> Self {
        let user = (name.to_owned(), hash(password), keys.to_owned());
        self.users.push(user);
        self
    }

    /// An environment variable of the gateway.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Shell commands that run before the gateway in its own process, such as `ulimit -n 64`.
    pub(crate) fn shell_prefix(mut self, commands: &str) -> Self {
        self.shell_prefix = Some(commands.to_owned());
        self
    }

    /// Writes the configuration, starts the program and waits until it is ready.
    #[track_caller]
    pub(crate) fn start(self) -> Gateway {
        match self.try_start() {
            Ok(gateway) => gateway,
            Err(stderr) => panic!("the gateway did not start:\n{stderr}"),
        }
    }

    /// Starts the program; the error is what it wrote before it ended.
    pub(crate) fn try_start(self) -> Result<Gateway, String> {
        let dir = self
            .dir
            .clone()
            .unwrap_or_else(|| Arc::new(TempDir::with_prefix("sendgate-").unwrap()));
        let config = dir.path().join("sendgate.toml");
        std::fs::write(&config, self.toml(dir.path())).unwrap();
        Gateway::spawn(
            dir,
            &config,
            &self.environment,
            self.shell_prefix.as_deref(),
        )
    }

    fn toml(&self, dir: &Path) -> String {
        let file = |name: &str| dir.join(name).display().to_string();
        let url = self
            .upstream_url
            .clone()
            .unwrap_or_else(|| "smtp://127.0.0.1:1".to_owned());
        let store = self
            .store_url
            .clone()
            .unwrap_or_else(|| format!("embedded:{}", file("store.redb")));
        let mut toml = format!(
            "hostname = \"gateway.example.com\"\ndata_dir = \"{}\"\n\n\
             [upstream]\nurl = \"{url}\"\n{}\n\
             [store]\nurl = \"{store}\"\n\n\
             [http]\nadmin = \"127.0.0.1:0\"\nsocket = \"{}\"\n\n\
             [log]\nfile = \"{}\"\n\n\
             [timeouts]\n{}\n[limits]\n{}\n\
             [[returns]]\nlisten = \"127.0.0.1:0\"\n{}\n",
            file("data"),
            self.upstream_keys,
            file("admin.sock"),
            file("suppression.log"),
            self.timeouts,
            self.limits,
            self.returns,
        );
        let default = [String::new()];
        let listeners: &[String] = if self.listeners.is_empty() {
            &default
        } else {
            &self.listeners
        };
        for (index, keys) in listeners.iter().enumerate() {
            let host = index + 1;
            push_lines(
                &mut toml,
                &format!("\n[[smtp]]\nlisten = \"127.0.0.{host}:0\"\n{keys}"),
            );
        }
        if let Some(certificate) = &self.certificate {
            let (certificate, key) = certificate.write_to(dir);
            push_lines(
                &mut toml,
                &format!(
                    "\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"",
                    certificate.display(),
                    key.display()
                ),
            );
        }
        for (name, hash, keys) in &self.users {
            push_lines(
                &mut toml,
                &format!("\n[users.{name}]\npassword_hash = \"{hash}\"\n{keys}"),
            );
        }
        push_lines(&mut toml, &self.extra);
        toml
    }
}

fn push_lines(text: &mut String, lines: &str) {
    text.push_str(lines);
    text.push('\n');
}

/// A hash that is cheap to check, so that tests do not wait for it.
fn hash(password: &str) -> String {
    use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
    let params = Params::new(64, 1, 1, None).unwrap();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password(password.as_bytes())
        .unwrap()
        .to_string()
}
