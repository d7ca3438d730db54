//! Any octets are what a refusing server said, alone or in an SMTP session.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sendgate::bounce::{Effect, Limits, Refusal, Rules, classify_refusal, understand_text};

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let limits = Limits::default();
    let report = understand_text(&text, &limits);
    let [recipient] = &report.recipients[..] else {
        panic!("a reply is about one recipient");
    };
    let diagnostic = recipient.diagnostic.as_deref().unwrap_or_default();
    assert!(diagnostic.len() <= limits.text_limit);
    // The client tries again, so a transient refusal changes nothing.
    let refusal = Refusal {
        reply_code: Some(450),
        text: &text,
        ..Refusal::default()
    };
    let classification = classify_refusal(&refusal, &Rules::built_in());
    assert_eq!(classification.effect, Effect::None);
});
