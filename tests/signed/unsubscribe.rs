//! List-Unsubscribe with a signed address, where a listener adds one (R8, U9, U10).

use sendgate::suppression::Tenant;
use sendgate::timestamp::Timestamp;
use sendgate::token::{Label, Token, TokenKind};

use super::{MESSAGE, hex, signer, signing};
use crate::harness::{FakeUpstream, Gateway};

const UNSUBSCRIBE: &str = "list_unsubscribe = true";

/// What the List-Unsubscribe field that was added says, and its address.
#[track_caller]
fn unsubscribe(gateway: &Gateway, text: &str) -> Token {
    let field = "List-Unsubscribe:\r\n\t<mailto:";
    let at = text.find(field).unwrap_or_else(|| panic!("{text}"));
    let (local_part, rest) = text[at + field.len()..].split_once('@').unwrap();
    let end = "returns.example.com?subject=unsubscribe>\r\n";
    assert!(rest.starts_with(end), "{text}");
    let tenants = [Tenant::default()];
    let checked = signer(gateway).check(local_part, &tenants, Timestamp::now());
    checked.unwrap()
}

#[test]
fn r8_u9_a_message_to_one_gets_an_unsubscribe_address() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).listener(UNSUBSCRIBE).start();
    let mut client = gateway.client();
    client.envelope(&["b@example.net"]);
    client.data("Subject: a\r\nList-Id: News <News.example.com>\r\n\r\n..Hello.\r\n");
    client.expect("250 ");
    let text = upstream.message().text();
    let token = unsubscribe(&gateway, &text);
    assert_eq!(token.kind, TokenKind::Unsubscribe);
    assert_eq!(hex(&token.subject), gateway.admin().key("b@example.net"));
    let label = Label {
        stream: Some("campaign".to_owned()),
        scope: Some("list:news.example.com".to_owned()),
        ..Label::default()
    };
    assert_eq!(token.label, label.tag(0));
    // It is the last of the header, and the body is as it was.
    assert!(text.ends_with("subject=unsubscribe>\r\n\r\n..Hello.\r\n"));
    assert!(!text.contains("b@example.net?") && !text.contains("List-Unsubscribe-Post"));
}

#[test]
fn r8_u10_no_unsubscribe_address_where_it_would_be_wrong() {
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).listener(UNSUBSCRIBE).start();
    let mut client = gateway.client();
    for header in [
        "List-Unsubscribe: <mailto:stop@example.com>\r\n",
        "DKIM-Signature: v=1; a=rsa-sha256\r\n",
    ] {
        client.envelope(&["b@example.net"]);
        client.data(format!("{header}{MESSAGE}"));
        client.expect("250 ");
    }
    client.envelope(&["b@example.net", "c@example.net"]);
    client.data(MESSAGE);
    client.expect("250 ");
    for message in upstream.messages() {
        assert!(!message.text().contains("returns.example.com"));
    }
    // And not unless a listener is told to.
    let upstream = FakeUpstream::start();
    let gateway = signing(&upstream).start();
    gateway.client().deliver("b@example.net", "250 ");
    assert_eq!(upstream.message().original(), MESSAGE.as_bytes());
}
