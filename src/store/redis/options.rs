//! A [`Target`] is the Redis server to connect to, made from [`RedisOptions`].

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis::{ConnectionAddr, IntoConnectionInfo, ProtocolVersion, RedisConnectionInfo};
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use rustls_platform_verifier::BuilderVerifierExt;
use secrecy::{ExposeSecret, SecretString};
use tokio_rustls::TlsConnector;

/// Where Redis is and how to log in.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// `redis://host:port/db` or `rediss://…`; it may hold user and password, and is never logged.
    pub url: SecretString,
    /// User name for ACLs, instead of the one in the URL.
    pub user: Option<String>,
    /// Password, instead of the one in the URL.
    pub password: Option<SecretString>,
    /// PEM file of the authorities that are believed for `rediss://` instead of the machine's own.
    pub ca_file: Option<PathBuf>,
    /// How long a look-up may take; a write may take ten times that.
    pub timeout: Duration,
}

/// Why the options cannot work, whether the server is up or not.
#[derive(Debug, thiserror::Error)]
pub enum RedisConfigError {
    /// The URL is none. It may hold a password, so it is not shown.
    #[error("store.url is no Redis URL; write redis://host:port/db, or rediss:// for TLS")]
    Url,
    /// The URL asks for something we do not do.
    #[error("store.url asks for {0}, which is not supported; write redis:// or rediss://")]
    Unsupported(&'static str),
    /// A user without a password cannot log in.
    #[error("store.user needs a password; set store.password_file or SENDGATE_STORE_PASSWORD")]
    UserWithoutPassword,
    /// The authorities cannot be read.
    #[error("store.ca_file {path} cannot be used: {cause}; it must hold certificates in PEM form")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The machine's authorities cannot be used.
    #[error("TLS cannot be set up: {0}; set store.ca_file")]
    Tls(String),
    /// The store works in the background and needs a runtime to do so.
    #[error("the Redis store was made outside of the runtime")]
    NoRuntime,
}

/// A server to connect to.
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
    pub(super) login: RedisConnectionInfo,
}

impl Target {
    pub(super) fn new(options: &RedisOptions) -> Result<Self, RedisConfigError> {
        let url = options.url.expose_secret();
        check_scheme(url)?;
        let info = url
            .into_connection_info()
            .map_err(|_| RedisConfigError::Url)?;
        let (host, port, tls) = match info.addr() {
            ConnectionAddr::Tcp(host, port) => (host.clone(), *port, None),
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(RedisConfigError::Unsupported("TLS without verification"));
            }
            ConnectionAddr::TcpTls { host, port, .. } => {
                let name = ServerName::try_from(host.clone()).map_err(|_| RedisConfigError::Url)?;
                let tls = (connector(options.ca_file.as_deref())?, name);
                (host.clone(), *port, Some(tls))
            }
            _ => return Err(RedisConfigError::Unsupported("another kind of socket")),
        };
        Ok(Self {
            host,
            port,
            tls,
            login: login(info.redis_settings().clone(), options)?,
        })
    }
}

/// Shows neither user nor password.
impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls.is_some() {
            "rediss"
        } else {
            "redis"
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

fn check_scheme(url: &str) -> Result<(), RedisConfigError> {
    match url.split_once("://").map(|(scheme, _)| scheme) {
        Some("redis" | "rediss") => Ok(()),
        Some("redis-sentinel") => Err(RedisConfigError::Unsupported("Sentinel")),
        Some("redis-cluster") => Err(RedisConfigError::Unsupported("Cluster")),
        Some(_) => Err(RedisConfigError::Unsupported("another scheme")),
        None => Err(RedisConfigError::Url),
    }
}

fn login(
    mut login: RedisConnectionInfo,
    options: &RedisOptions,
) -> Result<RedisConnectionInfo, RedisConfigError> {
    if let Some(user) = &options.user {
        login = login.set_username(user);
    }
    if let Some(password) = &options.password {
        login = login.set_password(password.expose_secret());
    }
    if login.username().is_some() && login.password().is_none() {
        return Err(RedisConfigError::UserWithoutPassword);
    }
    // The bounds on replies follow RESP2.
    Ok(login
        .set_protocol(ProtocolVersion::RESP2)
        .set_lib_name("sendgate", env!("CARGO_PKG_VERSION")))
}

fn connector(ca_file: Option<&Path>) -> Result<TlsConnector, RedisConfigError> {
    // Given here, so that nothing depends on who set the provider of the process, or whether.
    let provider: Arc<CryptoProvider> = Arc::new(ring::default_provider());
    let tls = |error: rustls::Error| RedisConfigError::Tls(error.to_string());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(tls)?;
    let config = match ca_file {
        Some(file) => builder
            .with_root_certificates(authorities(file)?)
            .with_no_client_auth(),
        None => builder
            .with_platform_verifier()
            .map_err(tls)?
            .with_no_client_auth(),
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn authorities(file: &Path) -> Result<RootCertStore, RedisConfigError> {
    let failure = |cause: String| RedisConfigError::CaFile {
        path: file.to_owned(),
        cause,
    };
    let pem = std::fs::read(file).map_err(|error| failure(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&pem) {
        let certificate = certificate.map_err(|error| failure(error.to_string()))?;
        roots
            .add(certificate)
            .map_err(|error| failure(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(failure("it holds no certificate".to_owned()));
    }
    Ok(roots)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(url: &str) -> RedisOptions {
        RedisOptions {
            url: url.into(),
            user: None,
            password: None,
            ca_file: None,
            timeout: Duration::from_millis(200),
        }
    }

    #[test]
    fn reads_host_port_and_login() {
        let target = Target::new(&options("redis://u:p@redis.example.com:7000/3")).unwrap();
        assert_eq!(format!("{target:?}"), "redis://redis.example.com:7000");
        assert_eq!(target.login.username(), Some("u"));
        assert_eq!(target.login.password(), Some("p"));
        assert_eq!(target.login.db(), 3);
        assert!(target.tls.is_none());
        let target = Target::new(&options("redis://[::1]")).unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 6379));
    }

    #[test]
    fn what_is_given_apart_wins_over_the_url() {
        let mut options = options("redis://u:p@127.0.0.1");
        options.user = Some("v".into());
        options.password = Some("q".into());
        let target = Target::new(&options).unwrap();
        assert_eq!(target.login.username(), Some("v"));
        assert_eq!(target.login.password(), Some("q"));
    }

    #[test]
    fn a6_no_error_and_no_dump_shows_the_password() {
        let mut bad = options("redis://u:s3cr3t@");
        bad.password = Some("s3cr3t".into());
        let error = Target::new(&bad).unwrap_err();
        for text in [error.to_string(), format!("{error:?}"), format!("{bad:?}")] {
            assert!(!text.contains("s3cr3t"), "{text}");
        }
        let target = Target::new(&options("redis://u:s3cr3t@127.0.0.1")).unwrap();
        assert!(!format!("{target:?}").contains("s3cr3t"));
    }

    #[test]
    fn what_cannot_work_is_refused_at_once() {
        for url in [
            "127.0.0.1:6379",
            "http://127.0.0.1",
            "redis://",
            "redis://0.0.0.0",
            "redis-sentinel://127.0.0.1",
            "redis-cluster://127.0.0.1",
            "rediss://127.0.0.1/#insecure",
            "redis://u@127.0.0.1",
        ] {
            assert!(Target::new(&options(url)).is_err(), "{url}");
        }
        let mut tls = options("rediss://127.0.0.1");
        tls.ca_file = Some("/nonexistent/ca.pem".into());
        let error = Target::new(&tls).unwrap_err().to_string();
        assert!(error.contains("/nonexistent/ca.pem"), "{error}");
    }
}
