//! Any octets are a message: reading them neither panics nor exceeds the limits.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sendgate::bounce::{Effect, Kind, Limits, understand};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits {
        recipient_limit: 20,
        ..Limits::default()
    };
    let report = understand(bytes, &limits);
    assert!(report.recipients.len() <= limits.recipient_limit);
    for recipient in &report.recipients {
        let diagnostic = recipient.diagnostic.as_deref().unwrap_or_default();
        assert!(diagnostic.len() <= limits.text_limit);
        let harmless = matches!(report.kind, Kind::Delayed | Kind::Delivered);
        assert!(!harmless || recipient.effect == Effect::None);
    }
});
