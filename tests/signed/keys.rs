//! The keys that sign: made, rotated, taken from the environment (A6).

use std::time::Duration;

use sendgate::suppression::Tenant;
use sendgate::timestamp::Timestamp;
use sendgate::token::{Signer, TokenKind};

use super::{RETURN_PATH, local_part, signer, signing};
use crate::harness::FakeUpstream;

#[test]
fn a6_keys_rotate_without_a_restart() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).start();
    let old = signer(&gateway);
    gateway.client().deliver("b@example.net", "250 ");

    let data = gateway.dir().path().join("data");
    let file = |name: &str| data.join(name).display().to_string();
    std::fs::copy(file("return-path.key"), file("previous.key")).unwrap();
    std::fs::write(file("return-path.key"), "fedcba9876543210\n").unwrap();
    let config = gateway.dir().path().join("sendgate.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let previous = format!(
        "{RETURN_PATH}\nprevious_key_file = \"{}\"",
        file("previous.key")
    );
    std::fs::write(&config, text.replace(RETURN_PATH, &previous)).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_stderr("configuration reloaded");

    gateway.client().deliver("b@example.net", "250 ");
    let messages = upstream.messages();
    let new = signer(&gateway);
    let check = |signer: &Signer, number: usize| {
        let path: &str = &messages[number].mail;
        let tenants = [Tenant::default()];
        signer
            .check(local_part(path), &tenants, Timestamp::now())
            .is_ok()
    };
    assert!(check(&old, 0) && !check(&old, 1));
    assert!(check(&new, 1) && !check(&new, 0));
}

/// Whatever was signed with the key that is missing would be refused.
#[test]
fn a6_no_key_is_made_where_one_may_be_lost() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).start();
    let key = gateway.dir().path().join("data/return-path.key");
    std::fs::rename(&key, key.with_extension("lost")).unwrap();
    gateway.signal("HUP");
    gateway.wait_for_stderr("is missing; copy it from another gateway");
    assert!(!key.exists());
    gateway.client().deliver("b@example.net", "250 ");

    let shared = signing(&upstream).store_url("redis://127.0.0.1:1");
    let Err(told) = shared.try_start() else {
        panic!("it started without the key of the other gateways");
    };
    assert!(told.contains("openssl rand -hex 32 > "), "{told}");
}

#[test]
fn a6_a_key_from_the_environment_signs() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream)
        .env("SENDGATE_RETURN_PATH_KEY", "0123456789abcdef")
        .start();
    gateway.client().deliver("b@example.net", "250 ");
    assert!(!gateway.dir().path().join("data/return-path.key").exists());
    let signer = Signer::new([&b"0123456789abcdef"[..]], Duration::from_secs(60));
    let mail = upstream.message().mail;
    let checked = signer.check(local_part(&mail), &[Tenant::default()], Timestamp::now());
    assert_eq!(checked.unwrap().kind, TokenKind::Recipient);
}
