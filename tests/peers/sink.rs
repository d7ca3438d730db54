//! An [`SmtpSink`] is Postfix' `smtp-sink`: it takes everything and dumps each message.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::program::{free_port, path, user_id, wait_until_it_listens};

/// A running sink.
pub(super) struct SmtpSink {
    port: u16,
    folder: TempDir,
    process: Child,
}

impl SmtpSink {
    pub(super) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further options.
    pub(super) fn start_with(options: &[&str]) -> Self {
        let folder = TempDir::with_prefix("sendgate-sink-").unwrap();
        let port = free_port();
        let mut command = Command::new("smtp-sink");
        // Started by root it wants to be told whom to become.
        if user_id_of_ours() == 0 {
            std::os::unix::fs::chown(folder.path(), Some(user_id("nobody")), None).unwrap();
            command.args(["-u", "nobody"]);
        }
        let process = command
            .args(["-4", "-d"])
            .arg(folder.path().join("m."))
            .args(options)
            .args([&format!("127.0.0.1:{port}"), "200"])
            .env("PATH", path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("smtp-sink ({error}): use tests/run"));
        wait_until_it_listens(port);
        Self {
            port,
            folder,
            process,
        }
    }

    pub(super) fn url(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.port)
    }

    /// How often each recipient stands in an envelope.
    pub(super) fn recipients(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for entry in std::fs::read_dir(self.folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            let dump = String::from_utf8_lossy(&bytes);
            for recipient in dump
                .lines()
                .filter_map(|line| line.strip_prefix("X-Rcpt-Args: "))
            {
                *counts.entry(recipient.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

impl Drop for SmtpSink {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The user that runs the tests.
fn user_id_of_ours() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").unwrap().uid()
}
