//! Runs an outside [program](run), which must be there: `tests/run` installs what is missing.

use std::ffi::OsString;
use std::fmt;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::harness::eventually;

/// How a program ended and what it said.
pub(super) struct Ran {
    pub(super) code: i32,
    pub(super) stdout: String,
    stderr: String,
}

impl fmt::Debug for Ran {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            code,
            stdout,
            stderr,
        } = self;
        write!(f, "exit code {code}\n{stdout}\n{stderr}")
    }
}

/// Runs a program to its end, for a minute at most.
#[track_caller]
pub(super) fn run(program: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Ran {
    let output = Command::new("timeout")
        .arg("60")
        .arg(program)
        .args(arguments)
        .env("PATH", path())
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let code = output.status.code().unwrap_or(-1);
    // What timeout(1) answers when there is no such program, and when it took too long.
    assert_ne!(code, 127, "{program} is not installed: use tests/run");
    assert_ne!(code, 124, "{program} {arguments:?} did not end");
    Ran {
        code,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Where programs are looked for; Debian keeps those of Postfix where users do not look.
pub(super) fn path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin");
    path
}

/// The number of a user of this machine.
pub(super) fn user_id(name: &str) -> u32 {
    let ran = run("id", &["-u", name], &[]);
    ran.stdout.trim().parse().unwrap()
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Waits until somebody takes connections there.
#[track_caller]
pub(super) fn wait_until_it_listens(port: u16) {
    eventually("a server to listen", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
}

/// Something that `tests/run` keeps beside the build, so that it is fetched once.
#[track_caller]
pub(super) fn beside_the_build(name: &str) -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_sendgate"));
    let path = binary.ancestors().nth(2).unwrap().join(name);
    assert!(path.is_dir(), "no {}: use tests/run", path.display());
    path
}
