//! A [`Postfix`] is a private instance of the real one, in a folder of its own, for one test.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use tempfile::TempDir;

use super::program::{Ran, free_port, run, user_id};
use crate::harness::eventually;

/// The services that relaying and delivering to maildirs takes.
const SERVICES: &str = "
pickup   unix n - n 60 1 pickup
cleanup  unix n - n - 0 cleanup
qmgr     unix n - n 300 1 qmgr
rewrite  unix - - n - - trivial-rewrite
bounce   unix - - n - 0 bounce
defer    unix - - n - 0 bounce
trace    unix - - n - 0 bounce
verify   unix - - n - 1 verify
flush    unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp     unix - - n - - smtp
relay    unix - - n - - smtp
error    unix - - n - - error
retry    unix - - n - - error
lmtp     unix - - n - - lmtp
virtual  unix - n n - - virtual
anvil    unix - - n - 1 anvil
scache   unix - - n - 1 scache
postlog  unix-dgram n - n - 1 postlogd
";

/// A running Postfix; it is stopped when the test is over.
pub(super) struct Postfix {
    port: u16,
    folder: TempDir,
}

impl Postfix {
    /// Starts one with these further lines of main.cf.
    #[track_caller]
    pub(super) fn start(hostname: &str, settings: &str) -> Self {
        let folder = TempDir::with_prefix("sendgate-postfix-").unwrap();
        let port = free_port();
        let postfix = Self { port, folder };
        // Its daemons run as other users, and have to come by.
        let readable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(postfix.folder.path(), readable).unwrap();
        for (name, owner) in [
            ("config", None),
            ("queue", None),
            ("data", Some("postfix")),
            ("mail", Some("nobody")),
        ] {
            let path = postfix.file(name);
            std::fs::create_dir(&path).unwrap();
            let owner = owner.map(user_id);
            std::os::unix::fs::chown(&path, owner, None)
                .unwrap_or_else(|error| panic!("Postfix needs root ({error})"));
        }
        std::fs::write(
            postfix.file("config/main.cf"),
            postfix.main_cf(hostname, settings),
        )
        .unwrap();
        let smtpd = format!("127.0.0.1:{port} inet n - n - - smtpd");
        std::fs::write(
            postfix.file("config/master.cf"),
            format!("{smtpd}{SERVICES}"),
        )
        .unwrap();
        let ran = postfix.control("start");
        assert_eq!(ran.code, 0, "{ran:?}\n{}", postfix.log());
        postfix
    }

    fn main_cf(&self, hostname: &str, settings: &str) -> String {
        let folder = self.folder.path().display();
        let nobody = user_id("nobody");
        format!(
            "compatibility_level = 3.6\n\
             config_directory = {folder}/config\n\
             queue_directory = {folder}/queue\n\
             data_directory = {folder}/data\n\
             maillog_file = {folder}/maillog\n\
             maillog_file_prefixes = {folder}\n\
             myhostname = {hostname}\n\
             mydestination =\n\
             local_recipient_maps =\n\
             alias_maps =\n\
             alias_database =\n\
             inet_interfaces = loopback-only\n\
             inet_protocols = ipv4\n\
             mynetworks = 127.0.0.0/8\n\
             smtp_tls_security_level = none\n\
             virtual_mailbox_base = {folder}/mail\n\
             virtual_uid_maps = static:{nobody}\n\
             virtual_gid_maps = static:{nobody}\n\
             {settings}\n"
        )
    }

    /// Where it takes mail.
    pub(super) const fn port(&self) -> u16 {
        self.port
    }

    /// What it logged so far.
    pub(super) fn log(&self) -> String {
        std::fs::read_to_string(self.file("maillog")).unwrap_or_default()
    }

    /// Waits until a line of its log holds all of these.
    #[track_caller]
    pub(super) fn wait_for_log(&self, words: &[&str]) -> String {
        let line = |log: String| {
            log.lines()
                .find(|line| words.iter().all(|word| line.contains(word)))
                .map(str::to_owned)
        };
        eventually("a line in the log of Postfix", || line(self.log()))
    }

    /// The messages in a maildir, once there are this many.
    #[track_caller]
    pub(super) fn wait_for_mail(&self, mailbox: &str, count: usize) -> Vec<String> {
        eventually("mail in a maildir", || {
            let mail = self.mail(mailbox);
            (mail.len() >= count).then_some(mail)
        })
    }

    /// The messages in a maildir.
    pub(super) fn mail(&self, mailbox: &str) -> Vec<String> {
        let new = self.file("mail").join(mailbox).join("new");
        let Ok(entries) = std::fs::read_dir(new) else {
            return Vec::new();
        };
        entries
            .map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect()
    }

    /// Has it try at once what it put off.
    #[track_caller]
    pub(super) fn flush(&self) {
        let ran = self.tool("postqueue", &["-f"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    /// Has it give up on all mail in its queue when it next tries.
    #[track_caller]
    pub(super) fn expire(&self) {
        let ran = self.tool("postsuper", &["-e", "ALL"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn control(&self, command: &str) -> Ran {
        self.tool("postfix", &[command])
    }

    /// Runs one of its programs for this instance.
    fn tool(&self, program: &str, arguments: &[&str]) -> Ran {
        let config = self.file("config").display().to_string();
        run(
            program,
            &[&["-c", config.as_str()], arguments].concat(),
            &[],
        )
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- Postfix said:\n{}", self.log());
        }
        self.control("stop");
    }
}
