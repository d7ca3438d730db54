//! A [`Jail`] is a root directory of its own for a mail server that is not installed: Debian lets
//! only one be, and the paths and users of the others are compiled in.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::program::{Ran, beside_the_build, run};
use crate::harness::TICK;

/// A root directory, and the server in it; both are gone when the test is over.
pub(super) struct Jail {
    root: TempDir,
    server: Option<Child>,
}

impl Jail {
    /// Makes one of what `tests/run` unpacked under this name.
    #[track_caller]
    pub(super) fn of(name: &str) -> Self {
        let unpacked = beside_the_build(&format!("peers/{name}"));
        let root = TempDir::with_prefix(format!("sendgate-{name}-")).unwrap();
        let source = format!("{}/.", unpacked.display());
        let target = root.path().display().to_string();
        let ran = run(
            "cp",
            &["-r", "--preserve=mode,links", &source, &target],
            &[],
        );
        assert_eq!(ran.code, 0, "{ran:?}");
        let jail = Self { root, server: None };
        jail.folder("", 0, 0o755);
        jail.folder("tmp", 0, 0o1777);
        jail.folder("log", 0, 0o1777);
        // Servers open it to have their first descriptors taken; a file that stays empty does.
        jail.write("dev/null", "");
        jail.change("dev/null", 0, 0o666);
        jail.write("etc/hosts", "127.0.0.1 localhost\n");
        // Nobody answers there: whoever asks for a name hears so at once.
        jail.write("etc/resolv.conf", "nameserver 127.0.0.1\n");
        jail
    }

    /// Makes users, each with a group of the same name and number.
    pub(super) fn users(&self, users: &[(&str, u32)]) {
        let mut passwd = "root:x:0:0::/:/bin/false\n".to_owned();
        let mut group = "root:x:0:\n".to_owned();
        for (name, id) in users {
            passwd.push_str(&format!("{name}:x:{id}:{id}::/:/bin/false\n"));
            group.push_str(&format!("{name}:x:{id}:\n"));
        }
        self.write("etc/passwd", &passwd);
        self.write("etc/group", &group);
    }

    /// Writes a file, and the folders above it.
    pub(super) fn write(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Makes a folder of this owner.
    #[track_caller]
    pub(super) fn folder(&self, path: &str, owner: u32, mode: u32) {
        fs::create_dir_all(self.path(path)).unwrap();
        self.change(path, owner, mode);
    }

    /// Changes owner, group and mode of what is there.
    #[track_caller]
    pub(super) fn change(&self, path: &str, owner: u32, mode: u32) {
        let path = self.path(path);
        chown(&path, Some(owner), Some(owner))
            .unwrap_or_else(|error| panic!("a mail server needs root ({error})"));
        // In this order: a change of the owner takes set-id bits away.
        fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
    }

    /// Starts the server, which must stay in the foreground; what it says is in its
    /// [log](Self::log).
    #[track_caller]
    pub(super) fn start(&mut self, command: &[&str]) {
        let log = fs::File::create(self.path("log/said")).unwrap();
        let server = Command::new("/usr/sbin/chroot")
            .arg(self.root.path())
            .args(command)
            .env_clear()
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        self.server = Some(server);
    }

    /// Runs another program of it to its end.
    #[track_caller]
    pub(super) fn run(&self, command: &[&str]) -> Ran {
        let root = self.root.path().display().to_string();
        run("chroot", &[&[root.as_str()], command].concat(), &[])
    }

    /// What the server said so far, and wrote to files in `/log`.
    pub(super) fn log(&self) -> String {
        let files = fs::read_dir(self.path("log"));
        let files = files.into_iter().flatten().filter_map(Result::ok);
        files
            .filter_map(|file| fs::read_to_string(file.path()).ok())
            .collect()
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.path().join(path)
    }

    /// The processes that run in it, whoever their parents are by now.
    fn processes(&self) -> Vec<String> {
        let Ok(all) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        let inside = |process: &Path| {
            fs::read_link(process.join("root")).is_ok_and(|root| root == self.root.path())
        };
        all.filter_map(Result::ok)
            .map(|entry| entry.path())
            .filter(|process| inside(process))
            .filter_map(|process| Some(process.file_name()?.to_str()?.to_owned()))
            .collect()
    }
}

impl Drop for Jail {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the mail server said:\n{}", self.log());
        }
        // The parent first, so that it starts no others.
        if let Some(server) = &mut self.server {
            let _ = server.kill();
            let _ = server.wait();
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let left = self.processes();
            if left.is_empty() || Instant::now() > deadline {
                return;
            }
            let _ = Command::new("kill").arg("-KILL").args(left).output();
            std::thread::sleep(TICK);
        }
    }
}
