//! A [`RedisServer`] is a real `redis-server` of its own for one test: on a free port of 127.0.0.1,
//! in a folder of its own, killed by its process id when the test is over.

#![allow(
    dead_code,
    reason = "each of the test binaries that include this file uses a part of it"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to come up before the test fails.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running server.
#[derive(Debug)]
pub(crate) struct RedisServer {
    port: u16,
    arguments: Vec<String>,
    folder: tempfile::TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts a server with further arguments, as on its command line.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let arguments: Vec<String> = arguments.iter().map(|&text| text.to_owned()).collect();
        // Somebody may take the port between our look and the server's start: then another one.
        for _ in 0..5 {
            let mut server = Self {
                port: free_port(),
                arguments: arguments.clone(),
                folder: tempfile::tempdir().expect("a folder for the server"),
                process: None,
            };
            server.spawn(&[]);
            if server.wait_until_it_answers() {
                return server;
            }
        }
        panic!("redis-server does not start with {arguments:?}");
    }

    /// Where it listens.
    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port; with TLS arguments it may be one for TLS as well.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Its working folder.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Kills it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("kill redis-server");
            process.wait().expect("redis-server ends");
        }
    }

    /// Starts it again on the same port and in the same folder, without waiting for it.
    pub(crate) fn restart(&mut self, arguments: &[&str]) {
        self.kill();
        self.spawn(arguments);
    }

    /// Starts it again and waits until it answers.
    pub(crate) fn restart_and_wait(&mut self) {
        self.restart(&[]);
        assert!(
            self.wait_until_it_answers(),
            "redis-server does not start again"
        );
    }

    /// Freezes it (`kill -STOP`): it accepts connections and answers nothing.
    pub(crate) fn freeze(&self) {
        self.signal("-STOP");
    }

    /// Lets a frozen one go on.
    pub(crate) fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Sends one command and answers what came back, as on the wire; for values without spaces.
    pub(crate) fn command(&self, command: &str) -> String {
        self.command_of(&command.split(' ').collect::<Vec<_>>())
    }

    /// Sends one command in its parts and answers what came back, as on the wire.
    pub(crate) fn command_of(&self, parts: &[&str]) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect to Redis");
        exchange(&mut stream, parts).expect("an answer from Redis")
    }

    /// Sends commands one after the other on one connection and answers what came back.
    pub(crate) fn session(&self, commands: &[&[&str]]) -> Vec<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connect to Redis");
        commands
            .iter()
            .map(|parts| exchange(&mut stream, parts).expect("an answer from Redis"))
            .collect()
    }

    fn spawn(&mut self, more: &[&str]) {
        let process = Command::new("redis-server")
            .args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--logfile", "redis.log"])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.arguments)
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| {
                panic!("redis-server cannot be run ({error}): apt-get install redis-server")
            });
        self.process = Some(process);
    }

    fn wait_until_it_answers(&mut self) -> bool {
        let limit = Instant::now() + START_LIMIT;
        while Instant::now() < limit {
            let ended = self
                .process
                .as_mut()
                .is_none_or(|process| !matches!(process.try_wait(), Ok(None)));
            if ended {
                return false;
            }
            let answer = TcpStream::connect(("127.0.0.1", self.port))
                .and_then(|mut stream| exchange(&mut stream, &["PING"]));
            // One that asks for a password answers too.
            if answer.is_ok_and(|text| text.starts_with("+PONG") || text.starts_with("-NOAUTH")) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        false
    }

    fn signal(&self, signal: &str) {
        let id = self.process.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(
            status.expect("kill can be run").success(),
            "kill {signal} {id}"
        );
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // SIGKILL ends a frozen one too.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .expect("a free port")
        .port()
}

fn exchange(stream: &mut TcpStream, parts: &[&str]) -> std::io::Result<String> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut request = format!("*{}\r\n", parts.len());
    for part in parts {
        request.push_str(&format!("${}\r\n{part}\r\n", part.len()));
    }
    stream.write_all(request.as_bytes())?;
    let mut buffer = vec![0; 64 * 1024];
    let size = stream.read(&mut buffer)?;
    Ok(String::from_utf8_lossy(&buffer[..size]).into_owned())
}
