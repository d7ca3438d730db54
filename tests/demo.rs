//! `sendgate demo`, as a newcomer meets it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::harness::eventually;

/// The demo in a world of its own, in which a configuration and a variable lie in wait that it must
/// not heed: they may belong to a gateway that is no toy.
fn demo(world: &TempDir, arguments: &[&str]) -> Command {
    fs::write(world.path().join("sendgate.toml"), "no configuration").unwrap();
    let temporary = world.path().join("tmp");
    fs::create_dir_all(&temporary).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_sendgate"));
    command
        .arg("demo")
        .args(arguments)
        .current_dir(world.path())
        .env("TMPDIR", temporary)
        .env("SENDGATE_STORE_URL", "redis://127.0.0.1:1")
        .stdin(Stdio::null());
    command
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).unwrap().next().is_none()
}

/// The verdict, reason and reply of each row about this recipient.
fn rows<'a>(output: &'a str, recipient: &str) -> Vec<&'a str> {
    output
        .lines()
        .filter_map(|line| line.split_once(recipient))
        .filter(|(number, _)| number.trim().parse::<u32>().is_ok())
        .map(|(_, rest)| rest.trim())
        .collect()
}

#[test]
fn once_shows_a_campaign_before_and_after_its_bounces() {
    let world = TempDir::new().unwrap();
    let output = demo(&world, &["--once"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}\n{errors}");
    assert_eq!(errors, "", "nothing garbles the table");
    for (recipient, before, after) in [
        ("reader01@", "relayed", "relayed"),
        ("optout01@", "refused    opt-out", "refused    opt-out"),
        ("leftlist01@", "refused    opt-out", "refused    opt-out"),
        ("offers01@", "relayed", "relayed"),
        (
            "noemail01@",
            "refused    Do Not Email",
            "refused    Do Not Email",
        ),
        (
            "nobody01@",
            "refused    by smarthost",
            "refused    hard bounce",
        ),
        ("unknown01@", "relayed", "refused    hard bounce"),
        ("full01@", "relayed", "refused    soft bounces"),
        ("filling01@", "relayed", "relayed"),
    ] {
        let found = rows(&text, recipient);
        let [first, second] = found.as_slice() else {
            panic!("{recipient} stands in two tables: {found:?}");
        };
        // What follows the domain of eleven letters.
        let verdict = |row: &str| row[11..].trim().to_owned();
        assert!(verdict(first).starts_with(before), "{recipient} {first}");
        assert!(verdict(second).starts_with(after), "{recipient} {second}");
    }
    assert!(text.contains("Every verdict was as expected."), "{text}");
    assert!(!text.contains('\u{1b}'), "no colours outside a terminal");
    let (tables, _) = text.split_once("Where to look next").unwrap();
    assert!(tables.lines().all(|line| line.chars().count() <= 80));
    assert!(
        is_empty(&world.path().join("tmp")),
        "nothing is left behind"
    );
}

/// A demo that stays up; killed when the test is over.
struct Running {
    child: Child,
    told: String,
}

impl Running {
    /// Starts it and reads what it tells until it only waits.
    fn start(world: &TempDir) -> Self {
        let mut child = demo(world, &[]).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut running = Self {
            child,
            told: String::new(),
        };
        while !running.told.contains("The gateway stays up.") {
            let read = lines.read_line(&mut running.told).unwrap();
            assert_ne!(read, 0, "it ended early:\n{}", running.told);
        }
        // It goes on talking, and somebody must listen.
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        running
    }

    /// The commands it suggests, each on one line.
    fn commands(&self) -> Vec<String> {
        let joined = self.told.replace(" \\\n     ", "");
        joined
            .lines()
            .filter(|line| line.contains(" --config "))
            .map(|line| line.trim().to_owned())
            .collect()
    }

    /// What stands behind this word.
    fn field(&self, word: &str) -> &str {
        let (_, rest) = self.told.split_once(word).unwrap();
        rest.split_whitespace().next().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_commands_it_suggests_work_until_it_is_told_to_stop() {
    let world = TempDir::new().unwrap();
    let mut running = Running::start(&world);

    let commands = running.commands();
    assert_eq!(commands.len(), 4, "{}", running.told);
    for (command, answer) in commands
        .iter()
        .zip(["hard bounce", "5.1.1", "", "unknown01@"])
    {
        let command = command.replace(" --follow", "");
        let output = Command::new("sh").args(["-c", &command]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command}\n{errors}");
        assert!(text.contains(answer), "{command}\n{text}");
    }

    let log = fs::read_to_string(running.field("JSON lines:")).unwrap();
    assert!(log.lines().count() >= 98, "every verdict is in the log");
    let metrics = running.field("Metrics:").strip_prefix("http://").unwrap();
    let (address, path) = metrics.split_once('/').unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");

    let pid = running.child.id().to_string();
    let sent = Command::new("kill").args(["-TERM", &pid]).status().unwrap();
    assert!(sent.success());
    let status = eventually("the demo to end", || running.child.try_wait().unwrap());
    assert!(status.success(), "{status}");
    assert!(
        is_empty(&world.path().join("tmp")),
        "nothing is left behind"
    );
}
