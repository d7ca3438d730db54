use std::fs::OpenOptions;
use std::io::Write;

use super::*;
use crate::log::entry::example;

/// What a reader says, in short.
#[derive(Debug, PartialEq, Eq)]
enum Said {
    Entry(String),
    Lost(u64),
    Unreadable(u64),
    End,
}
use Said::{End, Lost, Unreadable};

fn entry(id: &str) -> Said {
    Said::Entry(id.to_owned())
}

fn short(next: &Next<'_>) -> Said {
    match next {
        Next::Line(_, Line::Entry(entry)) => Said::Entry(entry.id.to_string()),
        Next::Line(_, Line::Gap(gap)) => Lost(gap.lost),
        Next::Unreadable(number) => Unreadable(*number),
        Next::End => End,
    }
}

fn line(id: &str) -> String {
    let mut entry = example("bob@example.net");
    entry.id = id.into();
    serde_json::to_string(&entry).unwrap() + "\n"
}

fn append(path: &Path, text: &str) {
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[track_caller]
fn check_all(text: &str, expected: &[Said]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&path, text);
    let mut reader = LogReader::open(&path).unwrap();
    for said in expected {
        assert_eq!(short(&reader.next_line().unwrap()), *said);
    }
    assert_eq!(short(&reader.next_line().unwrap()), End);
}

#[test]
fn reads_entries_and_gaps() {
    let gap = "{\"time\":\"2026-11-22T06:20:00Z\",\"lost\":7}\n";
    check_all(
        &[&line("a"), gap, &line("b")].concat(),
        &[entry("a"), Lost(7), entry("b")],
    );
    check_all("", &[]);
}

#[test]
fn skips_what_cannot_be_read_and_names_the_line() {
    let overlong = "x".repeat(3 * LINE_LIMIT) + "\n";
    let text = ["{\"time\":\n", &line("a"), &overlong, "\n", &line("b")].concat();
    check_all(
        &text,
        &[
            Unreadable(1),
            entry("a"),
            Unreadable(3),
            Unreadable(4),
            entry("b"),
        ],
    );
}

#[test]
fn a_last_line_without_its_end_is_read_where_it_is_whole() {
    check_all(line("a").trim_end(), &[entry("a")]);
    let torn = line("b");
    check_all(
        &[&line("a"), &torn[..20]].concat(),
        &[entry("a"), Unreadable(2)],
    );
}

#[test]
fn follows_growth_in_pieces() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&path, &line("a"));
    let mut reader = LogReader::open(&path).unwrap();
    let mut follow = || short(&reader.follow().unwrap());
    assert_eq!(follow(), entry("a"));
    assert_eq!(follow(), End);
    let next = line("b");
    append(&path, &next[..30]);
    assert_eq!(follow(), End);
    append(&path, &next[30..]);
    assert_eq!(follow(), entry("b"));
    assert_eq!(follow(), End);
}

#[test]
fn follows_a_rename_after_the_rest_of_the_old_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let old = directory.path().join("log.1");
    append(&path, &line("a"));
    let mut reader = LogReader::open(&path).unwrap();
    assert_eq!(short(&reader.follow().unwrap()), entry("a"));
    std::fs::rename(&path, &old).unwrap();
    assert_eq!(short(&reader.follow().unwrap()), End);
    append(&old, &line("b"));
    append(&path, &line("c"));
    assert_eq!(short(&reader.follow().unwrap()), entry("b"));
    assert_eq!(short(&reader.follow().unwrap()), entry("c"));
    assert_eq!(short(&reader.follow().unwrap()), End);
}

#[test]
fn follows_a_truncation() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    append(&path, &[line("a"), line("b")].concat());
    let mut reader = LogReader::open(&path).unwrap();
    reader.follow().unwrap();
    reader.follow().unwrap();
    std::fs::write(&path, line("c")).unwrap();
    assert_eq!(short(&reader.follow().unwrap()), entry("c"));
    assert_eq!(short(&reader.follow().unwrap()), End);
}

#[test]
fn begins_at_the_last_lines() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let from_last = |count| {
        let mut reader = LogReader::open(&path).unwrap();
        reader.skip_to_last(count).unwrap();
        short(&reader.follow().unwrap())
    };
    append(&path, "");
    assert_eq!(from_last(2), End);
    for id in ["a", "b", "c"] {
        append(&path, &line(id));
    }
    assert_eq!(from_last(1), entry("c"));
    assert_eq!(from_last(2), entry("b"));
    assert_eq!(from_last(3), entry("a"));
    assert_eq!(from_last(9), entry("a"));
    append(&path, &("x".repeat(100_000) + "\n" + &line("d")));
    assert_eq!(from_last(9), entry("d"));
}
