//! A [`Gateway`] is the real program, started for one test and killed when the test is over.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::{Admin, Client, PATIENCE, eventually};

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    dir: Arc<TempDir>,
    output: Arc<Output>,
    smtp: Vec<SocketAddr>,
    returns: Option<SocketAddr>,
    probes: Option<SocketAddr>,
}

/// What the program wrote to standard error.
#[derive(Default)]
struct Output {
    lines: Mutex<Written>,
    more: Condvar,
}

#[derive(Default)]
struct Written {
    lines: Vec<String>,
    ended: bool,
}

impl Gateway {
    /// Starts the program and waits until it says that it is ready.
    pub(super) fn spawn(
        dir: Arc<TempDir>,
        config: &Path,
        environment: &[(String, String)],
        shell_prefix: Option<&str>,
    ) -> Result<Self, String> {
        let binary = env!("CARGO_BIN_EXE_sendgate");
        let mut command = match shell_prefix {
            None => Command::new(binary),
            Some(prefix) => {
                let mut shell = Command::new("sh");
                let script = format!("{prefix}; exec \"$@\"");
                shell.args(["-c", &script, "sh", binary]);
                shell
            }
        };
        command
            .args(["serve", "--config"])
            .arg(config)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        for (name, value) in environment {
            command.env(name, value);
        }
        let mut child = command.spawn().unwrap();
        let output = Arc::new(Output::default());
        let stderr = child.stderr.take().unwrap();
        let collected = Arc::clone(&output);
        std::thread::spawn(move || collected.collect(BufReader::new(stderr)));
        let mut gateway = Self {
            child,
            dir,
            output,
            smtp: Vec::new(),
            returns: None,
            probes: None,
        };
        if !gateway.output.wait_for(is_ready) {
            return Err(gateway.stderr());
        }
        gateway.find_ports();
        Ok(gateway)
    }

    fn find_ports(&mut self) {
        let mut smtp = Vec::new();
        for line in self.output.snapshot() {
            let Some(address) = field(&line, "address").and_then(|found| found.parse().ok()) else {
                continue;
            };
            let address: SocketAddr = address;
            match field(&line, "kind").as_deref() {
                Some("smtp") => smtp.push(address),
                Some("returns") => self.returns = Some(address),
                Some("admin") => self.probes = Some(address),
                _ => {}
            }
        }
        // Listeners are numbered by their addresses, in the order of the configuration.
        smtp.sort_by_key(SocketAddr::ip);
        self.smtp = smtp;
    }

    /// Where the first SMTP listener is.
    pub(crate) fn smtp(&self) -> SocketAddr {
        self.smtp[0]
    }

    /// Where the SMTP listener with this number is, from 0.
    pub(crate) fn smtp_number(&self, index: usize) -> SocketAddr {
        let host = IpAddr::from([127, 0, 0, u8::try_from(index + 1).unwrap()]);
        *self
            .smtp
            .iter()
            .find(|address| address.ip() == host)
            .unwrap()
    }

    /// Where the returns listener is.
    pub(crate) fn returns(&self) -> SocketAddr {
        self.returns.unwrap()
    }

    /// Where `/metrics` and the probes are.
    pub(crate) fn probes(&self) -> SocketAddr {
        self.probes.unwrap()
    }

    /// What `/metrics` says.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.probes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The admin API.
    pub(crate) fn admin(&self) -> Admin {
        Admin::new(&self.socket())
    }

    /// The Unix socket of the admin API.
    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("admin.sock")
    }

    /// The directory with the configuration, the data and the log; it lives as long as somebody
    /// holds it.
    pub(crate) fn dir(&self) -> Arc<TempDir> {
        Arc::clone(&self.dir)
    }

    /// A client that said EHLO to the first listener.
    #[track_caller]
    pub(crate) fn client(&self) -> Client {
        Client::hello(self.smtp())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to standard error so far.
    pub(crate) fn stderr(&self) -> String {
        self.output.snapshot().join("\n")
    }

    /// Waits until a line of standard error contains this.
    #[track_caller]
    pub(crate) fn wait_for_stderr(&self, text: &str) {
        let found = self.output.wait_for(|line| line.contains(text));
        assert!(found, "never said {text:?}:\n{}", self.stderr());
    }

    /// The lines of the suppression log.
    pub(crate) fn log(&self) -> Vec<Value> {
        let file = self.dir.path().join("suppression.log");
        let text = std::fs::read_to_string(file).unwrap_or_default();
        // The last line may be in the middle of being written.
        let complete = text.rfind('\n').map_or("", |end| &text[..end]);
        complete
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The lines of the suppression log, once there are this many.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, count: usize) -> Vec<Value> {
        eventually("lines of the suppression log", || {
            let lines = self.log();
            (lines.len() >= count).then_some(lines)
        })
    }

    /// Sends a signal by its name, such as `TERM`.
    #[track_caller]
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status()
            .unwrap();
        assert!(sent.success(), "kill -{name} failed");
    }

    /// Kills it as a crash would (SIGKILL).
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        eventually("the gateway to end", || self.child.try_wait().unwrap())
    }

    /// Whether it is still there.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Memory in use, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the gateway said:\n{}", self.stderr());
        }
    }
}

impl Output {
    fn collect(&self, stderr: impl BufRead) {
        for line in stderr.split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            self.lock().lines.push(line);
            self.more.notify_all();
        }
        self.lock().ended = true;
        self.more.notify_all();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Written> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> Vec<String> {
        self.lock().lines.clone()
    }

    /// Waits for a line; false when the program ended or nothing came in time.
    fn wait_for(&self, wanted: impl Fn(&str) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE * 2;
        let mut written = self.lock();
        loop {
            if written.lines.iter().any(|line| wanted(line)) {
                return true;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if written.ended || left.is_zero() {
                return false;
            }
            let waited = self
                .more
                .wait_timeout(written, left.min(Duration::from_secs(1)));
            written = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Whether this line says that the gateway is ready, for people or as JSON.
fn is_ready(line: &str) -> bool {
    line.ends_with(" ready") || line.contains(": ready") || line.contains("\"message\":\"ready\"")
}

/// A field of a line that says `listening`: `address=127.0.0.1:25` or `"address":"127.0.0.1:25"`.
fn field(line: &str, name: &str) -> Option<String> {
    if !line.contains("listening") {
        return None;
    }
    let quoted = format!("\"{name}\":\"");
    if let Some(at) = line.find(&quoted) {
        let value = &line[at + quoted.len()..];
        return value.split('"').next().map(str::to_owned);
    }
    let plain = format!(" {name}=");
    let value = &line[line.find(&plain)? + plain.len()..];
    let value = value.split_whitespace().next()?;
    Some(value.trim_matches('"').to_owned())
}
