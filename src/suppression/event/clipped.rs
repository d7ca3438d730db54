//! An event is *clipped* before it is kept: a report can carry texts of any length.

use super::{Change, Event, Grounds, TEXT_LIMIT, clip};

impl Event {
    /// The event with every text cut to [`TEXT_LIMIT`], control characters as
    /// spaces.
    #[must_use]
    pub fn clipped(mut self) -> Self {
        clip_text(&mut self.actor);
        clip_text(&mut self.via);
        clip_option(&mut self.address);
        match &mut self.change {
            Change::OptOut { grounds, .. } | Change::OptIn { grounds, .. } => clip_grounds(grounds),
            Change::Block { why: text, .. } | Change::Unblock { reason: text } => clip_text(text),
            Change::ResetBounces { reason, .. } | Change::Undo { reason, .. } => {
                clip_option(reason)
            }
            Change::Complaint { stream, campaign } => {
                clip_option(stream);
                clip_option(campaign);
            }
            Change::Bounce {
                reason,
                diagnostic,
                campaign,
                ..
            } => {
                clip_option(reason);
                clip_option(diagnostic);
                clip_option(campaign);
            }
        }
        self
    }
}

fn clip_grounds(grounds: &mut Grounds) {
    clip_option(&mut grounds.campaign);
    clip_option(&mut grounds.reason);
    clip_option(&mut grounds.comment);
    clip_option(&mut grounds.evidence);
}

fn clip_option(text: &mut Option<String>) {
    if let Some(text) = text {
        clip_text(text);
    }
}

fn clip_text(text: &mut String) {
    // Most texts are short and plain, and an import has many of them.
    if text.len() > TEXT_LIMIT || !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        *text = clip(text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{EventId, TEXT_LIMIT};
    use super::*;
    use crate::timestamp::Timestamp;

    #[test]
    fn long_texts_are_cut_and_short_ones_stay() {
        let event = Event {
            id: EventId::of(&[b"clip"]),
            at: Timestamp::from_millis(1),
            actor: "mx.example.net".into(),
            via: "returns".into(),
            message_at: None,
            address: Some("a@example.com".into()),
            change: Change::Bounce {
                reason: None,
                kind: super::super::BounceKind::Hard,
                status: None,
                diagnostic: Some("é\n".repeat(100_000)),
                campaign: Some("spring".into()),
            },
        };
        let clipped = event.clone().clipped();
        assert_eq!(clipped.actor, event.actor);
        assert_eq!(clipped.address, event.address);
        let Change::Bounce {
            diagnostic: Some(diagnostic),
            campaign,
            ..
        } = clipped.change
        else {
            panic!("another change");
        };
        assert_eq!(campaign.as_deref(), Some("spring"));
        assert!(diagnostic.len() <= TEXT_LIMIT && diagnostic.starts_with("é é "));
    }
}
