//! An [`Exim`] is a private instance of the real one.

use super::circuit::{MailServer, Neighbours, RETURNS_DOMAIN};
use super::jail::Jail;
use super::program::{free_port, wait_until_it_listens};

/// Where it has mailboxes itself: `full` has no room, `disabled` is closed, there are no others.
pub(super) const OWN_DOMAIN: &str = "exim.example";

/// Who it runs as, for Debian compiles in the name; the number is nobody else's.
const USER: (&str, u32) = ("Debian-exim", 64_001);

/// A running Exim; it is stopped when the test is over.
pub(super) struct Exim {
    port: u16,
    _jail: Jail,
}

impl MailServer for Exim {
    fn start(neighbours: &Neighbours) -> Self {
        let port = free_port();
        let mut jail = Jail::of("exim");
        jail.users(&[USER]);
        jail.folder("var/spool/exim4", USER.1, 0o750);
        jail.write("etc/exim4/exim4.conf", &configuration(port, neighbours));
        // In the foreground, saying what it does, and looking at its queue every second.
        jail.start(&["/usr/sbin/exim4", "-bdf", "-q1s"]);
        wait_until_it_listens(port);
        Self { port, _jail: jail }
    }

    fn port(&self) -> u16 {
        self.port
    }
}

fn configuration(port: u16, neighbours: &Neighbours) -> String {
    let Neighbours { mailboxes, returns } = neighbours;
    let (user, _) = USER;
    format!(
        "primary_hostname = {OWN_DOMAIN}\n\
         local_interfaces = 127.0.0.1\n\
         daemon_smtp_ports = {port}\n\
         log_file_path = /log/%s\n\
         pid_file_path = /var/spool/exim4/pid\n\
         host_lookup =\n\
         tls_advertise_hosts =\n\
         smtputf8_advertise_hosts = *\n\
         keep_environment =\n\
         acl_smtp_rcpt = accept\n\
         delay_warning = 1s:1h\n\
         begin routers\n\
         returns:\n\
         \x20 driver = manualroute\n\
         \x20 domains = {RETURNS_DOMAIN}\n\
         \x20 route_list = * 127.0.0.1\n\
         \x20 self = send\n\
         \x20 transport = returns\n\
         full:\n\
         \x20 driver = accept\n\
         \x20 domains = {OWN_DOMAIN}\n\
         \x20 local_parts = full\n\
         \x20 transport = full\n\
         disabled:\n\
         \x20 driver = redirect\n\
         \x20 domains = {OWN_DOMAIN}\n\
         \x20 local_parts = disabled\n\
         \x20 allow_fail\n\
         \x20 data = :fail: this mailbox is disabled\n\
         mailboxes:\n\
         \x20 driver = manualroute\n\
         \x20 domains = !{OWN_DOMAIN}\n\
         \x20 route_list = * 127.0.0.1\n\
         \x20 self = send\n\
         \x20 transport = mailboxes\n\
         begin transports\n\
         returns:\n\
         \x20 driver = smtp\n\
         \x20 port = {returns}\n\
         \x20 allow_localhost\n\
         mailboxes:\n\
         \x20 driver = smtp\n\
         \x20 port = {mailboxes}\n\
         \x20 allow_localhost\n\
         full:\n\
         \x20 driver = appendfile\n\
         \x20 file = /var/spool/exim4/full\n\
         \x20 user = {user}\n\
         \x20 quota = 1\n\
         begin retry\n\
         full@{OWN_DOMAIN} quota\n\
         stuck@example.net * F,1s,1s\n\
         * * F,1h,1s\n"
    )
}
