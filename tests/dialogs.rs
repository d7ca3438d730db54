//! Every file of `tests/dialogs`, played against a gateway of its own.

use std::path::{Path, PathBuf};

use crate::harness::Dialog;

/// Plays one of two halves, so that two tests share the work.
fn play(half: usize) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/dialogs");
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "dialog"))
        .collect();
    files.sort();
    assert!(files.len() >= 20, "the dialogs are not there");
    let wrong: Vec<String> = files
        .iter()
        .skip(half)
        .step_by(2)
        .filter_map(|file| {
            let error = Dialog::read(file).play().err()?;
            Some(format!("{}: {error}", file.display()))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn dialogs_go_as_written_first_half() {
    play(0);
}

#[test]
fn dialogs_go_as_written_second_half() {
    play(1);
}
