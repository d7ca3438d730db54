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
    std::fs::rename(file("return-path.key"), file("previous.key")).unwrap();
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
