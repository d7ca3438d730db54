//! An [`OpenSmtpd`] is a private instance of the real one.

use super::circuit::{MailServer, Neighbours, RETURNS_DOMAIN};
use super::jail::Jail;
use super::program::{free_port, wait_until_it_listens};

/// Who it runs as and whose its queue is, for the names are compiled in; the numbers are nobody
/// else's.
const USERS: [(&str, u32); 2] = [("opensmtpd", 64_002), ("opensmtpq", 64_003)];

/// A running OpenSMTPD; it is stopped when the test is over.
pub(super) struct OpenSmtpd {
    port: u16,
    jail: Jail,
}

impl MailServer for OpenSmtpd {
    fn start(neighbours: &Neighbours) -> Self {
        let port = free_port();
        let mut jail = Jail::of("opensmtpd");
        jail.users(&USERS);
        jail.folder("var/lib/opensmtpd/empty", 0, 0o755);
        jail.folder("var/spool/smtpd", 0, 0o711);
        jail.folder("var/run", 0, 0o755);
        // It wants to be of the queue's group, and says so.
        jail.change("usr/sbin/smtpctl", USERS[1].1, 0o2755);
        jail.write("etc/mailname", "opensmtpd.example\n");
        jail.write("etc/smtpd.conf", &configuration(port, neighbours));
        // In the foreground, saying what it does.
        jail.start(&["/usr/sbin/smtpd", "-d"]);
        wait_until_it_listens(port);
        Self { port, jail }
    }

    fn port(&self) -> u16 {
        self.port
    }

    fn try_again(&self) {
        let ran = self.jail.run(&["/usr/sbin/smtpctl", "schedule", "all"]);
        assert_eq!(ran.code, 0, "{ran:?}");
    }
}

fn configuration(port: u16, neighbours: &Neighbours) -> String {
    let Neighbours { mailboxes, returns } = neighbours;
    format!(
        "bounce warn-interval 1s\n\
         listen on 127.0.0.1 port {port} hostname opensmtpd.example\n\
         action returns relay host \"smtp+notls://127.0.0.1:{returns}\"\n\
         action mailboxes relay host \"smtp+notls://127.0.0.1:{mailboxes}\"\n\
         match from any for domain \"{RETURNS_DOMAIN}\" action returns\n\
         match from any for any action mailboxes\n"
    )
}
