//! An [`Exim`] is a private instance of the real one.

use super::jail::Jail;
use super::program::{free_port, wait_until_it_listens};
use super::returned::{MailServer, Neighbours, RETURNS_DOMAIN};

/// Who it runs as, for Debian compiles in the name; the number is nobody else's.
const USER: (&str, u32) = ("Debian-exim", 64_001);

/// A running Exim; it is stopped when the test is over.
pub(super) struct Exim {
    port: u16,
    _jail: Jail,
}

impl MailServer for Exim {
    fn start(neighbours: Neighbours) -> Self {
        let port = free_port();
        let mut jail = Jail::of("exim");
        jail.users(&[USER]);
        jail.folder("var/spool/exim4", USER.1, 0o750);
        jail.write("etc/exim4/exim4.conf", &configuration(port, &neighbours));
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
    format!(
        "primary_hostname = exim.example\n\
         local_interfaces = 127.0.0.1\n\
         daemon_smtp_ports = {port}\n\
         log_file_path = /var/spool/exim4/%slog\n\
         pid_file_path = /var/spool/exim4/pid\n\
         host_lookup =\n\
         tls_advertise_hosts =\n\
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
         mailboxes:\n\
         \x20 driver = manualroute\n\
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
         begin retry\n\
         * * F,1h,1s\n"
    )
}
