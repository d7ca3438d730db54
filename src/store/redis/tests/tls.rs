//! Redis behind TLS, with certificates made for the test.

use std::path::PathBuf;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use super::*;

/// A server that speaks TLS only, and the authority it is to be believed by.
struct TlsServer {
    server: RedisServer,
    port: u16,
    ca_file: PathBuf,
    _folder: tempfile::TempDir,
}

fn tls_server(name: &str) -> TlsServer {
    let folder = tempfile::tempdir().unwrap();
    let path = |file: &str| folder.path().join(file);
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()])
        .unwrap()
        .signed_by(&key, &authority)
        .unwrap();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    std::fs::write(path("cert.pem"), certificate.pem()).unwrap();
    std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
    let text = |file: &str| path(file).to_str().unwrap().to_owned();
    let port = server::free_port();
    let server = RedisServer::start_with(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &text("cert.pem"),
        "--tls-key-file",
        &text("key.pem"),
        "--tls-ca-cert-file",
        &text("ca.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    TlsServer {
        server,
        port,
        ca_file: path("ca.pem"),
        _folder: folder,
    }
}

impl TlsServer {
    fn options(&self) -> RedisOptions {
        RedisOptions {
            ca_file: Some(self.ca_file.clone()),
            timeout: Duration::from_secs(2),
            ..options(&format!("rediss://127.0.0.1:{}", self.port))
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_believed_certificate_is_used() {
    let tls = tls_server("127.0.0.1");
    let store: Arc<dyn Store> = Arc::new(RedisStore::new(&tls.options()).unwrap());
    store.create_meta(&meta("g")).await.unwrap();
    store.expect_generation("g");
    let ledger = ledger(&store);
    ledger.record(&tenant(), &key(1), event(1)).await.unwrap();
    assert!(matches!(
        ledger
            .look_up(&tenant(), &[key(1), key(2)])
            .await
            .as_slice(),
        [Finding::Known(_), Finding::Clear]
    ));
    assert!(tls.server.command("DBSIZE").starts_with(':'));
}

#[tokio::test]
async fn a_certificate_of_another_name_or_authority_is_refused() {
    let named = tls_server("redis.example.com");
    let store = RedisStore::new(&named.options()).unwrap();
    let error = store.meta().await.unwrap_err().to_string();
    assert!(error.contains("certificate"), "{error}");
    let other = tls_server("127.0.0.1");
    let confused = RedisOptions {
        ca_file: Some(named.ca_file.clone()),
        ..other.options()
    };
    let error = RedisStore::new(&confused)
        .unwrap()
        .meta()
        .await
        .unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}

#[tokio::test]
async fn without_a_ca_file_the_machine_s_own_authorities_decide() {
    let tls = tls_server("127.0.0.1");
    let own = RedisOptions {
        ca_file: None,
        ..tls.options()
    };
    match RedisStore::new(&own) {
        Ok(store) => assert!(
            store.meta().await.is_err(),
            "nobody believes this certificate"
        ),
        // A machine may have none.
        Err(error) => assert!(matches!(error, RedisConfigError::Tls(_)), "{error}"),
    }
}
