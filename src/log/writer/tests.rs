use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::log::Line;
use crate::log::entry::example;

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    lost: AtomicU64,
}

impl LogMetrics for Counts {
    fn log_written(&self, lines: u64) {
        self.written.fetch_add(lines, Ordering::SeqCst);
    }
    fn log_lost(&self, lines: u64) {
        self.lost.fetch_add(lines, Ordering::SeqCst);
    }
}

fn start(path: &Path, hashed: bool) -> (SuppressionLog, Arc<Counts>) {
    let counts = Arc::new(Counts::default());
    let options = LogOptions {
        file: Some(path.to_owned()),
        stdout: false,
        hashed,
    };
    let metrics: Arc<dyn LogMetrics> = Arc::<Counts>::clone(&counts);
    (SuppressionLog::start(options, metrics).unwrap(), counts)
}

fn close(log: SuppressionLog) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    runtime.block_on(log.flush_and_close(Duration::from_secs(5)))
}

fn lines(path: &Path) -> Vec<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Asks again until it is so, with a deadline.
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        thread::yield_now();
    }
}

#[test]
fn every_line_is_on_disk_after_closing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("deep/er/log.jsonl");
    let (log, counts) = start(&path, false);
    for number in 0..5000 {
        let mut entry = example("bob@example.net");
        entry.id = number.to_string().into();
        log.write([entry]);
    }
    assert_eq!(close(log), 0);
    let lines = lines(&path);
    assert_eq!(lines.len(), 5000);
    for (number, line) in lines.iter().enumerate() {
        let entry: Entry = serde_json::from_str(line).unwrap();
        assert_eq!(*entry.id, *number.to_string());
    }
    assert_eq!(counts.written.load(Ordering::SeqCst), 5000);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(
        mode & 0o137,
        0,
        "not writable by the group, closed to others"
    );
}

#[test]
fn a5_an_entry_is_one_line_whatever_it_holds() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let (log, _) = start(&path, false);
    let mut entry = example("\"a\u{1b}[2J\"@example.net");
    entry.upstream_reply = Some("550 \r\n\u{7}no\u{0}".into());
    log.write([entry.clone()]);
    close(log);
    let text = fs::read_to_string(&path).unwrap();
    assert_eq!(text.matches('\n').count(), 1);
    assert!(
        !text
            .trim_end_matches('\n')
            .contains(|c: char| c.is_control())
    );
    let read: Entry = serde_json::from_str(&text).unwrap();
    assert_eq!(read.key, None, "with plain addresses the key is left out");
    entry.key = None;
    assert_eq!(read, entry);
}

#[test]
fn a5_a_hashed_log_holds_no_local_part() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let (log, _) = start(&path, true);
    let mut entry = example("Bob.Smith@example.net");
    entry.upstream_reply = Some("550 5.1.1 <bob.smith@example.net> unknown".into());
    let key = entry.key;
    log.write([entry]);
    close(log);
    let text = fs::read_to_string(&path).unwrap();
    assert!(!text.to_lowercase().contains("smith"), "{text}");
    let read: Entry = serde_json::from_str(&text).unwrap();
    assert_eq!(read.recipient, "example.net");
    assert_eq!(read.key, key);
}

#[test]
fn a_torn_last_line_is_ended_first() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    fs::write(&path, "{\"time\":\"2026-").unwrap();
    let (log, _) = start(&path, false);
    log.write([example("bob@example.net")]);
    close(log);
    let lines = lines(&path);
    assert_eq!(lines.len(), 2);
    assert!(serde_json::from_str::<Entry>(&lines[1]).is_ok());
}

#[test]
fn a_renamed_file_is_noticed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let old = directory.path().join("log.jsonl.1");
    let (log, _) = start(&path, false);
    log.write([example("one@example.net")]);
    eventually("the first line is written", || lines(&path).len() == 1);
    fs::rename(&path, &old).unwrap();
    log.write([example("two@example.net")]);
    eventually("the second is in the new file", || lines(&path).len() == 1);
    fs::rename(&path, &old).unwrap();
    log.reopen();
    eventually("a reopened log has its file at once", || path.exists());
    close(log);
}

#[test]
fn f21_lines_wait_while_the_disk_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    symlink("/dev/full", &path).unwrap();
    let (log, counts) = start(&path, false);
    for _ in 0..10 {
        log.write([example("bob@example.net")]);
    }
    fs::remove_file(&path).unwrap();
    assert_eq!(close(log), 0);
    assert_eq!(lines(&path).len(), 10);
    assert_eq!(counts.lost.load(Ordering::SeqCst), 0);
}

#[test]
fn f21_what_finds_no_room_leaves_a_mark() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    symlink("/dev/full", &path).unwrap();
    let counts = Arc::new(Counts::default());
    let metrics: Arc<dyn LogMetrics> = Arc::<Counts>::clone(&counts);
    let sinks = vec![Sink::file(path.clone()).unwrap()];
    let log = SuppressionLog::start_with(sinks, false, 20_000, metrics).unwrap();
    for _ in 0..1000 {
        log.write([example("bob@example.net")]);
    }
    let lost = counts.lost.load(Ordering::SeqCst);
    assert!(lost > 900, "{lost}");
    fs::remove_file(&path).unwrap();
    assert_eq!(close(log), 0);
    let told: u64 = lines(&path)
        .iter()
        .map(|line| match Line::parse(line.as_bytes()).unwrap() {
            Line::Gap(gap) => gap.lost,
            Line::Entry(_) => 0,
        })
        .sum();
    assert_eq!(told, lost);
}

#[test]
fn closing_gives_up_on_a_full_disk() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    symlink("/dev/full", &path).unwrap();
    let (log, counts) = start(&path, false);
    log.write([example("bob@example.net")]);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let unwritten = runtime.block_on(log.flush_and_close(Duration::from_millis(50)));
    assert_eq!(unwritten, 1);
    assert_eq!(counts.lost.load(Ordering::SeqCst), 1);
}

#[test]
fn a_closed_pipe_does_not_stop_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let pipe = Sink::from_file(File::from(OwnedFd::from(writer)));
    let sinks = vec![pipe, Sink::file(path.clone()).unwrap()];
    let counts = Arc::new(Counts::default());
    let metrics: Arc<dyn LogMetrics> = Arc::<Counts>::clone(&counts);
    let log = SuppressionLog::start_with(sinks, false, QUEUE_LIMIT, metrics).unwrap();
    log.write([example("one@example.net")]);
    eventually("the file has the line", || lines(&path).len() == 1);
    log.write([example("two@example.net")]);
    assert_eq!(close(log), 0);
    assert_eq!(lines(&path).len(), 2);
}

#[test]
fn followers_see_what_was_and_what_comes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.jsonl");
    let (log, _) = start(&path, false);
    log.write([example("one@example.net")]);
    eventually("the first line is written", || !lines(&path).is_empty());
    let (recent, mut following) = log.follow();
    log.write([example("two@example.net")]);
    let mut seen = recent.to_vec();
    seen.extend_from_slice(&following.blocking_recv().unwrap());
    close(log);
    assert_eq!(seen, fs::read(&path).unwrap());
}
