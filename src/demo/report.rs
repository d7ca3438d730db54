//! A [`Dsn`] is the report about one message that could not be delivered (RFC 3464, RFC 6522).

use super::mailbox::Failure;
use crate::mail::Address;
use crate::timestamp::Timestamp;

/// What a report says.
#[derive(Debug)]
pub(super) struct Dsn<'a> {
    /// The name of the host that reports.
    pub(super) host: &'a str,
    /// Tells this report from every other of this host.
    pub(super) number: u64,
    /// The reverse-path of the message, as it came; the report goes there.
    pub(super) return_path: &'a str,
    /// Whom it could not be delivered to.
    pub(super) recipient: &'a Address,
    /// Why.
    pub(super) failure: Failure,
    /// When the message arrived at the reporting host.
    pub(super) arrived: Timestamp,
    /// The header of the message, each field with its CRLF.
    pub(super) header: &'a [u8],
}

impl Dsn<'_> {
    /// The report as a message, its lines ended by CRLF.
    pub(super) fn compose(&self) -> Vec<u8> {
        let boundary = self.boundary();
        let mut lines = self.header_fields(&boundary);
        lines.extend([
            format!("--{boundary}"),
            "Content-Type: text/plain; charset=us-ascii".to_owned(),
            String::new(),
            "The message could not be delivered to this recipient:".to_owned(),
            String::new(),
            format!("    {}", self.recipient),
            format!("    {}", self.failure.diagnostic),
            String::new(),
            format!("--{boundary}"),
            "Content-Type: message/delivery-status".to_owned(),
            String::new(),
        ]);
        lines.extend(self.status_fields());
        lines.extend([
            String::new(),
            format!("--{boundary}"),
            "Content-Type: text/rfc822-headers".to_owned(),
            String::new(),
        ]);
        let mut report = Vec::with_capacity(2048 + self.header.len());
        for line in lines {
            report.extend_from_slice(line.as_bytes());
            report.extend_from_slice(b"\r\n");
        }
        // Not necessarily text: the header is given back as it came.
        report.extend_from_slice(self.header);
        report.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        report
    }

    fn header_fields(&self, boundary: &str) -> Vec<String> {
        let Self { host, number, .. } = self;
        let date = Timestamp::now();
        vec![
            format!("From: Mail Delivery System <mailer-daemon@{host}>"),
            format!("To: {}", self.return_path),
            "Subject: Undelivered mail returned to its sender".to_owned(),
            format!("Date: {}", date.rfc5322()),
            format!("Message-ID: <{}.{number}@{host}>", date.millis()),
            // RFC 3834 §5: nobody must answer this by a machine.
            "Auto-Submitted: auto-replied".to_owned(),
            "MIME-Version: 1.0".to_owned(),
            "Content-Type: multipart/report; report-type=delivery-status;".to_owned(),
            format!("\tboundary=\"{boundary}\""),
            String::new(),
        ]
    }

    /// The fields about the message, an empty line, and those about the recipient (RFC 3464 §2.1).
    fn status_fields(&self) -> Vec<String> {
        vec![
            format!("Reporting-MTA: dns; {}", self.host),
            format!("Arrival-Date: {}", self.arrived.rfc5322()),
            String::new(),
            format!("Final-Recipient: rfc822; {}", self.recipient),
            "Action: failed".to_owned(),
            format!("Status: {}", self.failure.status),
            format!("Remote-MTA: dns; mx.{}", self.recipient.domain()),
            format!("Diagnostic-Code: smtp; {}", self.failure.diagnostic),
        ]
    }

    /// A line that does not occur in what is given back (RFC 2046 §5.1.1).
    fn boundary(&self) -> String {
        let mut boundary = format!("=_report-{}", self.number);
        while memchr::memmem::find(self.header, boundary.as_bytes()).is_some() {
            boundary.push('=');
        }
        boundary
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bounce::{Action, Effect, Kind, Limits, Report, understand};
    use crate::demo::mailbox::Mailbox;

    fn report(mailbox: Mailbox, header: &str) -> (String, Report) {
        let bytes = Dsn {
            host: "smarthost.example.com",
            number: 7,
            return_path: "<news@bounces.example.com>",
            recipient: &Address::parse("gone01@example.net").unwrap(),
            failure: mailbox.failure().unwrap(),
            arrived: Timestamp::from_millis(1_795_328_400_000),
            header: header.as_bytes(),
        }
        .compose();
        let report = understand(&bytes, &Limits::default());
        (String::from_utf8(bytes).unwrap(), report)
    }

    fn check(mailbox: Mailbox, status: &str, effect: Effect) {
        let (_, report) = report(mailbox, "Subject: x\r\nMessage-ID: <5.1@example.com>\r\n");
        assert_eq!(report.kind, Kind::Bounce, "{mailbox:?}");
        assert_eq!(report.message_id.as_deref(), Some("5.1@example.com"));
        assert_eq!(
            report.reporting_mta.as_deref(),
            Some("smarthost.example.com")
        );
        let [recipient] = report.recipients.as_slice() else {
            panic!("one recipient: {report:?}");
        };
        assert_eq!(recipient.address, "gone01@example.net");
        assert_eq!(recipient.action, Some(Action::Failed));
        assert_eq!(recipient.remote_mta.as_deref(), Some("mx.example.net"));
        assert_eq!(recipient.status.unwrap().to_string(), status);
        assert_eq!(recipient.effect, effect, "{mailbox:?} {}", recipient.rule);
    }

    #[test]
    fn our_own_reader_understands_every_report() {
        check(Mailbox::Unknown, "5.1.1", Effect::Hard);
        check(Mailbox::NoDomain, "5.1.2", Effect::Hard);
        check(Mailbox::Disabled, "5.2.1", Effect::Hard);
        check(Mailbox::Full, "5.2.2", Effect::Soft);
    }

    #[test]
    fn a_report_is_fit_for_the_wire() {
        let (text, _) = report(Mailbox::Full, "Subject: x\r\n");
        assert!(text.is_ascii());
        assert!(!text.replace("\r\n", "").contains(['\r', '\n']));
        assert!(text.lines().all(|line| line.len() <= 78), "{text}");
    }

    #[test]
    fn what_is_given_back_cannot_end_the_report() {
        let header = "X: =_report-7\r\n =_report-7=\r\nMessage-ID: <a@example.com>\r\n";
        let (text, report) = report(Mailbox::Unknown, header);
        assert!(text.ends_with("\r\n--=_report-7==--\r\n"), "{text}");
        assert_eq!(report.message_id.as_deref(), Some("a@example.com"));
    }

    #[test]
    fn a_message_without_a_header_has_a_report_too() {
        let (_, report) = report(Mailbox::Unknown, "");
        assert_eq!((report.kind, report.message_id), (Kind::Bounce, None));
    }
}
