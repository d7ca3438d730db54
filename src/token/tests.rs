use proptest::prelude::*;

use super::*;

const DAY: Duration = Duration::from_secs(86_400);

fn signer(secrets: &[&str]) -> Signer {
    Signer::new(secrets.iter().map(|secret| secret.as_bytes()), 30 * DAY)
}

fn now() -> Timestamp {
    "2026-11-22T09:30:00Z".parse().unwrap()
}

fn token() -> Token {
    Token {
        kind: TokenKind::Recipient,
        tenant: Tenant::default(),
        subject: *b"0123456789abcdef",
        label: 0xdead_beef,
        at: now(),
        nonce: 77,
    }
}

fn tenants() -> Vec<Tenant> {
    vec![Tenant::new("other").unwrap(), Tenant::default()]
}

#[test]
fn b1_a_token_is_64_lower_case_letters_and_says_what_was_signed() {
    let signer = signer(&["one secret of ours"]);
    let text = signer.sign(&token()).unwrap();
    assert_eq!(text.len(), TOKEN_LENGTH);
    assert!(
        text.bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()),
        "{text}"
    );
    assert_eq!(signer.check(&text, &tenants(), now()), Ok(token()));
    assert_eq!(
        signer.check(&text.to_uppercase(), &tenants(), now()),
        Ok(token())
    );
}

#[test]
fn x50_what_is_not_ours_is_not_believed() {
    let ours = signer(&["one secret of ours"]);
    let text = ours.sign(&token()).unwrap();
    let theirs = signer(&["another secret"]);
    assert_eq!(
        theirs.check(&text, &tenants(), now()),
        Err(TokenError::Forged)
    );
    let others = [Tenant::new("other").unwrap()];
    assert_eq!(ours.check(&text, &others, now()), Err(TokenError::Forged));
    assert_eq!(
        ours.check(&format!("{text}a"), &tenants(), now()),
        Err(TokenError::Form)
    );
    assert_eq!(ours.check("", &tenants(), now()), Err(TokenError::Form));
    assert_eq!(
        ours.check(&"é".repeat(32), &tenants(), now()),
        Err(TokenError::Form)
    );
}

#[test]
fn x50_every_flipped_bit_is_seen() {
    let signer = signer(&["one secret of ours"]);
    let text = signer.sign(&token()).unwrap();
    let octets = decode(&text).unwrap();
    for bit in 0..octets.len() * 8 {
        let mut changed = octets;
        changed[bit / 8] ^= 1 << (bit % 8);
        let changed = base32().encode(&changed);
        assert_eq!(
            signer.check(&changed, &tenants(), now()),
            Err(TokenError::Forged),
            "bit {bit}"
        );
    }
}

#[test]
fn x50_a_return_path_expires_and_an_unsubscribe_address_does_not() {
    let signer = signer(&["one secret of ours"]);
    let text = signer.sign(&token()).unwrap();
    let later = now().plus(30 * DAY);
    assert!(signer.check(&text, &tenants(), later).is_ok());
    let too_late = later.plus(Duration::from_secs(1));
    assert_eq!(
        signer.check(&text, &tenants(), too_late),
        Err(TokenError::Expired)
    );
    let unsubscribe = Token {
        kind: TokenKind::Unsubscribe,
        ..token()
    };
    let text = signer.sign(&unsubscribe).unwrap();
    assert!(
        signer
            .check(&text, &tenants(), now().plus(9000 * DAY))
            .is_ok()
    );
}

#[test]
fn f19_a_clock_that_is_ahead_makes_valid_tokens() {
    let signer = signer(&["one secret of ours"]);
    let ahead = Token {
        at: now().plus(DAY),
        ..token()
    };
    let text = signer.sign(&ahead).unwrap();
    assert_eq!(signer.check(&text, &tenants(), now()), Ok(ahead));
}

#[test]
fn a6_two_keys_are_valid_during_a_rotation_and_one_message_stays_one() {
    let old = signer(&["the old secret"]);
    let rotating = signer(&["the new secret", "the old secret"]);
    let text = old.sign(&token()).unwrap();
    let read = rotating.check(&text, &tenants(), now()).unwrap();
    let fresh = rotating.sign(&token()).unwrap();
    assert_ne!(text, fresh);
    let again = rotating.check(&fresh, &tenants(), now()).unwrap();
    assert_eq!(read.identity(), again.identity());
    assert_eq!(
        old.check(&fresh, &tenants(), now()),
        Err(TokenError::Forged)
    );
    assert_eq!(signer(&[]).sign(&token()), None);
}

#[test]
fn tokens_never_change() {
    // Bounces come back for weeks: a changed form would refuse those of messages already sent.
    assert_eq!(
        signer(&["secret"]).sign(&token()).unwrap(),
        "cfqtpkbqgezdgnbvgy3tqolbmjrwizlg32w3533lak3bqacn25fexdynzv5rc3xw"
    );
}

proptest! {
    #[test]
    fn reads_what_it_writes(
        subject: [u8; 16],
        label: u32,
        seconds: u32,
        nonce: u16,
        kind in prop::sample::select(vec![TokenKind::Recipient, TokenKind::Transaction, TokenKind::Unsubscribe]),
    ) {
        let signer = signer(&["one secret of ours"]);
        let at = Timestamp::from_millis(u64::from(seconds) * 1000);
        let token = Token { kind, tenant: Tenant::default(), subject, label, at, nonce };
        let text = signer.sign(&token).unwrap();
        prop_assert_eq!(signer.check(&text, &tenants(), at), Ok(token));
    }

    #[test]
    fn b7_no_text_panics(text in ".{0,80}") {
        prop_assert!(signer(&["s"]).check(&text, &tenants(), now()).is_err());
    }
}
