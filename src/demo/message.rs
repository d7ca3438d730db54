//! A [`Message`] is one mail of the demo, as a campaign tool or a shop would hand it over.

use super::campaign::{Recipient, THIS_LIST};
use crate::mail::Address;
use crate::timestamp::Timestamp;

/// The domain that bounces go to; the returns listener takes mail for it.
pub(super) const RETURN_DOMAIN: &str = "bounces.example.com";

/// One message to one recipient.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    /// Where reports go.
    pub(super) reverse_path: String,
    /// The recipient.
    pub(super) to: Address,
    /// Header and body, lines ended by CRLF.
    pub(super) text: Vec<u8>,
}

impl Message {
    /// An issue of the newsletter. `edition` tells one message to a recipient from the next, also
    /// when the same issue is sent again.
    pub(crate) fn newsletter(recipient: &Recipient, edition: &str) -> Self {
        let to = &recipient.address;
        let header = [
            "From: Weekly news <news@example.com>".to_owned(),
            format!("Subject: Weekly news, {edition}"),
            format!("Message-ID: <{}@example.com>", name(edition, to)),
            format!("List-Id: Weekly news <{THIS_LIST}>"),
            format!("X-Sendgate-Campaign: {edition}"),
        ];
        Self::new("news", to, &header, "Here is what happened this week.")
    }

    /// A receipt, which somebody who opted out of campaigns gets all the same.
    pub(crate) fn receipt(to: &Address) -> Self {
        let header = [
            "From: Example shop <shop@example.com>".to_owned(),
            "Subject: Your receipt".to_owned(),
            format!("Message-ID: <{}@example.com>", name("receipt", to)),
        ];
        Self::new("shop", to, &header, "Thank you for your order.")
    }

    fn new(sender: &str, to: &Address, header: &[String], body: &str) -> Self {
        let header = header.join("\r\n");
        let date = Timestamp::now().rfc5322();
        let text = format!("{header}\r\nTo: {to}\r\nDate: {date}\r\n\r\n{body}\r\n");
        Self {
            reverse_path: format!("<{sender}@{RETURN_DOMAIN}>"),
            to: to.clone(),
            text: text.into_bytes(),
        }
    }
}

/// One name for each message: a report about it counts once (B4).
fn name(edition: &str, to: &Address) -> String {
    let name = format!("{edition}.{}.{}", to.local_part(), to.domain());
    name.replace(|c: char| !c.is_ascii_alphanumeric(), ".")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::campaign::{Role, recipients};
    use crate::suppression::Scope;
    use crate::transaction::labels;

    #[test]
    fn the_gateway_reads_list_and_campaign_in_it() {
        let recipient = &recipients()[0];
        assert_eq!(recipient.role, Role::Reader);
        let message = Message::newsletter(recipient, "issue-5");
        let labels = labels::read(&message.text, "gw.example.com").unwrap();
        assert_eq!(labels.campaign.as_deref(), Some("issue-5"));
        assert_eq!(labels.scopes.list, Scope::list(THIS_LIST).ok());
        let again = Message::newsletter(recipient, "issue-5-again");
        let again = labels::read(&again.text, "gw.example.com").unwrap();
        assert!(labels.message_id.is_some());
        assert_ne!(labels.message_id, again.message_id);
    }
}
