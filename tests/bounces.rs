//! Every `bounces/NN-name.eml` against `NN-name.expected`; `NN-name.why` says what it teaches.
//!
//! `SENDGATE_BLESS=1` rewrites the expected answers; review them as a diff.
//! Real returned mail is read too, where a folder of it lies beside the repository.

#![expect(
    clippy::unwrap_used,
    reason = "a helper of a test may fail it as the test itself may"
)]

use std::fs;
use std::path::{Path, PathBuf};

use sendgate::bounce::{Effect, Kind, Limits, Rules, understand};
use sendgate::cli::bounce::explain;
use serde_json::Value;

#[test]
fn samples_are_understood_as_expected() {
    let bless = std::env::var("SENDGATE_BLESS").is_ok_and(|value| value == "1");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces");
    let samples = files_with(&folder, "eml");
    assert!(samples.len() >= 20, "the samples are not there");
    let mut wrong = Vec::new();
    for sample in samples {
        let why = fs::read_to_string(sample.with_extension("why")).unwrap_or_default();
        assert!(!why.trim().is_empty(), "{} has no why", sample.display());
        let answer = answer(&sample);
        let expected = sample.with_extension("expected");
        if bless {
            let pretty = serde_json::to_string_pretty(&answer).unwrap();
            fs::write(&expected, pretty + "\n").unwrap();
            continue;
        }
        let expected: Value = serde_json::from_slice(&fs::read(&expected).unwrap()).unwrap();
        if answer != expected {
            wrong.push(format!(
                "{}: {}\nexpected {expected:#}\nanswered {answer:#}",
                sample.display(),
                why.trim()
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What `bounce explain --json` prints, without the name of the file.
fn answer(sample: &Path) -> Value {
    let mut out = Vec::new();
    explain(
        &[sample.to_owned()],
        true,
        false,
        &Rules::built_in(),
        &mut out,
    )
    .unwrap();
    let mut answer: Value = serde_json::from_slice(&out).unwrap();
    answer.as_object_mut().unwrap().remove("file");
    answer
}

#[test]
fn b5_real_mail_that_is_no_bounce_marks_nobody() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/bounces");
    let Ok(truth) = fs::read_to_string(folder.join("truth.jsonl")) else {
        eprintln!("skipped: no real returned mail in {}", folder.display());
        return;
    };
    let mut marked = Vec::new();
    let mut read = 0;
    for line in truth.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        let name = row["file"].as_str().unwrap();
        let name = Path::new(name).file_name().unwrap();
        let Ok(bytes) = fs::read(folder.join("mail").join(name)) else {
            continue;
        };
        read += 1;
        let report = understand(&bytes, &Limits::default());
        let harmless = matches!(
            row["kind"].as_str(),
            Some("not" | "mdn" | "autoreply" | "delivered")
        );
        let marks = report.recipients.iter().any(|r| r.effect != Effect::None);
        if harmless && marks {
            marked.push(name.to_owned());
        }
    }
    assert!(read > 0, "{} holds no mail", folder.display());
    assert!(marked.len() <= 1, "marked by what is no bounce: {marked:?}");
}

#[test]
fn x53_line_ends_and_cuts_do_no_harm_to_any_sample() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bounces");
    let limits = Limits::default();
    for sample in files_with(&folder, "eml") {
        let bytes = fs::read(&sample).unwrap();
        let report = understand(&bytes, &limits);
        for end in ["\n", "\r\n", "\r"] {
            let turned = with_line_ends(&bytes, end.as_bytes());
            let again = understand(&turned, &limits);
            assert_eq!(again, report, "{} with {end:?}", sample.display());
        }
        let is_harmless = !matches!(report.kind, Kind::Bounce | Kind::Feedback);
        for cut in (0..bytes.len()).step_by(97) {
            let part = understand(&bytes[..cut], &limits);
            let marks = part.recipients.iter().any(|r| r.effect != Effect::None);
            // What is missing cannot make a failure out of what is none.
            assert!(!(marks && is_harmless), "{} cut at {cut}", sample.display());
        }
    }
}

/// The text with other line ends, whichever it has.
fn with_line_ends(bytes: &[u8], end: &[u8]) -> Vec<u8> {
    let bare: &[u8] = match bytes.contains(&b'\n') {
        true => b"\n",
        false => b"\r",
    };
    let mut turned = Vec::with_capacity(bytes.len() * 2);
    for &octet in bytes {
        match octet {
            _ if [octet] == bare => turned.extend_from_slice(end),
            b'\r' => {}
            _ => turned.push(octet),
        }
    }
    turned
}

/// The files with that extension, in order.
fn files_with(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    files.sort();
    files
}
