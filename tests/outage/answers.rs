//! What the gateway answers about one address, at each of its doors.

use serde_json::json;

use crate::harness::{Client, Gateway, eventually};

/// What a recipient hears at RCPT.
#[track_caller]
pub(super) fn at_rcpt(gateway: &Gateway, address: &str) -> String {
    let mut client = gateway.client();
    client.say("MAIL FROM:<a@example.com>", "250 ");
    client.line(&format!("RCPT TO:<{address}>"));
    let reply = client.reply().last_line();
    client.quit();
    reply
}

/// What an opt-out is answered over HTTP.
#[track_caller]
pub(super) fn write(gateway: &Gateway, address: &str) -> u16 {
    let path = format!("/v1/recipients/{address}/opt-out");
    gateway.admin().post(&path, &json!({})).status
}

/// Whether `/readyz` says yes.
pub(super) fn is_ready(gateway: &Gateway) -> bool {
    gateway.admin().get("/readyz").status == 200
}

/// What a report about an address is answered at its end.
#[track_caller]
pub(super) fn report(gateway: &Gateway, address: &str) -> String {
    let mut server = Client::hello(gateway.returns());
    server.say("MAIL FROM:<>", "250 ");
    server.say("RCPT TO:<news@returns.example.com>", "250 ");
    server.data(format!(
        "From: MAILER-DAEMON@mx.example.net\r\n\
         To: news@returns.example.com\r\n\
         MIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\
         \r\n\
         --b\r\n\
         Content-Type: message/delivery-status\r\n\
         \r\n\
         Reporting-MTA: dns; mx.example.net\r\n\
         \r\n\
         Final-Recipient: rfc822; {address}\r\n\
         Action: failed\r\n\
         Status: 5.1.1\r\n\
         \r\n\
         --b--\r\n"
    ));
    server.reply().last_line()
}

/// Waits until the one is refused and the other is taken.
#[track_caller]
pub(super) fn until_well(gateway: &Gateway, out: &str, fine: &str) {
    eventually("look-ups to be answered", || {
        at_rcpt(gateway, out)
            .starts_with("550 5.7.1 ")
            .then_some(())
    });
    assert!(at_rcpt(gateway, fine).starts_with("250 "));
}
