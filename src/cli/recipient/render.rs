//! The answers about a recipient as people read them: why did this person get no mail?

use crate::cli::text::{columns, moment, plain, reason, verdict};
use crate::http::answer::{Changed, History, Mailability, Outcome, Recipient, Ruling};
use crate::store::HistoryEntry;
use crate::suppression::event::{BounceKind, Effect, Grounds, Undone};
use crate::suppression::record::{Bounces, Complaint, Consent, DoNotEmail, Reset};
use crate::suppression::{Change, Record, Scope, Verdict};
use crate::timestamp::Timestamp;

/// Everything that is known, and what follows for each stream.
pub(super) fn recipient(recipient: &Recipient) -> String {
    let head = plain(&format!(
        "{}  tenant {}, key {}, version {}",
        recipient.address, recipient.tenant, recipient.key, recipient.version
    ));
    format!(
        "{head}\n\n{}\n{}",
        mailability(&recipient.mailability),
        facts(&recipient.record)
    )
}

/// What a change did, and how things stand now.
pub(super) fn changed(changed: &Changed) -> String {
    let effect = match changed.effect {
        Outcome::Changed => "changed",
        Outcome::AlreadySo => "it was so already; remembered in the history",
        Outcome::Outdated => "something newer stands in the record; nothing changed",
        Outcome::Duplicate => "this very change was made before; nothing changed",
    };
    format!("{effect}\n\n{}", recipient(&changed.recipient))
}

/// What happened, newest first.
pub(super) fn history(history: &History) -> String {
    let head = plain(&format!(
        "{}  tenant {}, key {}",
        history.address, history.tenant, history.key
    ));
    if history.history.is_empty() {
        return format!("{head}\n\nNothing happened yet.\n");
    }
    let rows: Vec<Vec<String>> = history.history.iter().map(happening).collect();
    let table = columns(
        Some(&["WHEN", "WHAT", "EFFECT", "VIA", "BY", "DETAILS"]),
        &rows,
    );
    format!("{head}\n\n{table}")
}

fn mailability(streams: &[Mailability]) -> String {
    let mut rows = Vec::new();
    for stream in streams {
        rows.push(ruling(&stream.stream, &stream.ruling));
        for exception in &stream.exceptions {
            rows.push(ruling(&format!("  {}", exception.scope), &exception.ruling));
        }
    }
    columns(Some(&["STREAM", "MAIL", "WHY", "SINCE", "ALSO"]), &rows)
}

fn ruling(name: &str, ruling: &Ruling) -> Vec<String> {
    let mail = match ruling.verdict {
        Verdict::Relay => "goes out",
        Verdict::Reject | Verdict::Discard => "blocked",
        Verdict::Defer => verdict(ruling.verdict),
    };
    let why = match (ruling.reason, ruling.status) {
        (None, _) => "-".to_owned(),
        (Some(why), None) => reason(why).to_owned(),
        (Some(why), Some(status)) => format!("{} {status}", reason(why)),
    };
    let also: Vec<&str> = ruling
        .active
        .iter()
        .filter(|&&axis| Some(axis) != ruling.reason)
        .map(|&axis| reason(axis))
        .collect();
    vec![
        name.to_owned(),
        mail.to_owned(),
        why,
        ruling.since.map_or_else(|| "-".to_owned(), moment),
        also.join(", "),
    ]
}

type Fact = Vec<String>;

/// Each axis with where it comes from.
fn facts(record: &Record) -> String {
    let mut rows = standing_against(record);
    rows.extend(set_right(record));
    if rows.is_empty() {
        return "Nothing is on record.\n".to_owned();
    }
    columns(Some(&["ON RECORD", "SINCE", "DETAILS"]), &rows)
}

/// What speaks against mail, in the order in which one of several is reported.
fn standing_against(record: &Record) -> Vec<Fact> {
    let erased = record
        .erased
        .iter()
        .map(|erased| fact("erased", erased.at, format!("by {}", erased.by)));
    let bounced = |kind: &str, of: &Option<Bounces>| {
        of.as_ref().map(|of| {
            fact(
                &format!("{kind} bounces: {}", of.count),
                of.last,
                bounces(of),
            )
        })
    };
    let complaint = record.complaint.iter().map(complained);
    let block = record.do_not_email.iter().map(blocked);
    let opt_outs = record
        .opt_outs
        .iter()
        .map(|(scope, act)| fact(&format!("opt-out {}", covered(scope)), act.at, consent(act)));
    erased
        .chain(bounced("hard", &record.hard))
        .chain(complaint)
        .chain(block)
        .chain(opt_outs)
        .chain(bounced("soft", &record.soft))
        .collect()
}

/// What was set right again.
fn set_right(record: &Record) -> Vec<Fact> {
    let opt_ins = record
        .opt_ins
        .iter()
        .map(|(scope, act)| fact(&format!("opt-in {}", covered(scope)), act.at, consent(act)));
    let resets = [("hard", &record.hard_reset), ("soft", &record.soft_reset)];
    let resets = resets.into_iter().filter_map(|(kind, done)| {
        let done = done.as_ref()?;
        Some(fact(&format!("{kind} bounces reset"), done.at, reset(done)))
    });
    opt_ins.chain(resets).collect()
}

fn fact(what: &str, at: Timestamp, details: String) -> Fact {
    vec![what.to_owned(), moment(at), details]
}

fn complained(complaint: &Complaint) -> Fact {
    let streams: Vec<&str> = complaint
        .streams()
        .map(|stream| stream.unwrap_or("any stream"))
        .collect();
    let about = streams.join(", ");
    let details = format!("about {about}, told by {}", complaint.source);
    fact("complaint", complaint.at, details)
}

fn blocked(block: &DoNotEmail) -> Fact {
    let until = block
        .until
        .map(|until| format!(", until {}", moment(until)))
        .unwrap_or_default();
    let rule = if block.auto { " (by a rule)" } else { "" };
    let details = format!("by {}{rule}: {}{until}", block.by, block.why);
    fact("Do Not Email", block.at, details)
}

fn covered(scope: &Scope) -> String {
    match scope {
        Scope::All => "of everything".to_owned(),
        Scope::List(_) | Scope::Topic(_) | Scope::Stream(_) => format!("of {scope}"),
    }
}

fn consent(act: &Consent) -> String {
    let mut details = vec![format!("via {} by {}", act.via, act.actor)];
    if let Some(last) = act.last {
        details.push(format!("again {}", moment(last)));
    }
    details.extend(grounds([
        ("campaign", act.campaign.as_deref()),
        ("reason", act.reason.as_deref()),
        ("comment", act.comment.as_deref()),
        ("evidence", act.evidence.as_deref()),
    ]));
    details.join(", ")
}

fn bounces(bounces: &Bounces) -> String {
    let mut details = vec![format!("first {}", moment(bounces.first))];
    if let Some(status) = bounces.status {
        details.push(status.to_string());
    }
    details.extend(
        bounces
            .diagnostic
            .as_ref()
            .map(|words| format!("\"{words}\"")),
    );
    details.extend(grounds([("campaign", bounces.campaign.as_deref())]));
    details.join(", ")
}

fn reset(reset: &Reset) -> String {
    let mut details = vec![format!("by {}", reset.by)];
    details.extend(grounds([("reason", reset.reason.as_deref())]));
    details.join(", ")
}

fn grounds<const N: usize>(named: [(&str, Option<&str>); N]) -> Vec<String> {
    named
        .into_iter()
        .filter_map(|(name, value)| Some(format!("{name} \"{}\"", value?)))
        .collect()
}

fn happening(entry: &HistoryEntry) -> Vec<String> {
    let event = &entry.event;
    let (what, mut details) = change(&event.change);
    if let Some(by) = &entry.decided {
        details.push(format!("decided by {} {}", by.actor, moment(by.at)));
        details.extend(grounds([("reason", by.reason.as_deref())]));
    }
    let effect = match entry.effect {
        Effect::Changed => "changed",
        Effect::AlreadySo => "already so",
        Effect::Outdated => "outdated",
        Effect::Dropped => "dropped",
    };
    vec![
        moment(event.at),
        what,
        effect.to_owned(),
        event.via.clone(),
        event.actor.clone(),
        details.join(", "),
    ]
}

/// What was done, and the particulars.
fn change(change: &Change) -> (String, Vec<String>) {
    let of = |grounds_given: &Grounds| {
        grounds([
            ("campaign", grounds_given.campaign.as_deref()),
            ("reason", grounds_given.reason.as_deref()),
            ("comment", grounds_given.comment.as_deref()),
            ("evidence", grounds_given.evidence.as_deref()),
        ])
    };
    match change {
        Change::OptOut { scope, grounds } => (format!("opt-out {}", covered(scope)), of(grounds)),
        Change::OptIn { scope, grounds } => (format!("opt-in {}", covered(scope)), of(grounds)),
        Change::Block { why, until } => {
            let until = until.map(|until| format!("until {}", moment(until)));
            let details = std::iter::once(why.clone()).chain(until).collect();
            ("block".to_owned(), details)
        }
        Change::Unblock { reason } => ("unblock".to_owned(), vec![reason.clone()]),
        Change::Complaint { stream, campaign } => {
            let about = stream.iter().map(|stream| format!("about {stream}"));
            let mut details: Vec<String> = about.collect();
            details.extend(grounds([("campaign", campaign.as_deref())]));
            ("complaint".to_owned(), details)
        }
        Change::Bounce {
            kind,
            reason,
            status,
            diagnostic,
            campaign,
        } => {
            let what = match kind {
                BounceKind::Hard => "hard bounce",
                BounceKind::Soft => "soft bounce",
            };
            let mut details: Vec<String> = reason.iter().cloned().collect();
            details.extend(status.iter().map(ToString::to_string));
            details.extend(diagnostic.as_ref().map(|words| format!("\"{words}\"")));
            details.extend(grounds([("campaign", campaign.as_deref())]));
            (what.to_owned(), details)
        }
        Change::ResetBounces { hard, soft, reason } => {
            let what = match (hard, soft) {
                (true, false) => "reset hard bounces",
                (false, true) => "reset soft bounces",
                _ => "reset bounces",
            };
            (what.to_owned(), grounds([("reason", reason.as_deref())]))
        }
        Change::Undo {
            of, undone, reason, ..
        } => {
            let what = match undone {
                Undone::Bounce { kind } => match kind {
                    BounceKind::Hard => "undo hard bounce".to_owned(),
                    BounceKind::Soft => "undo soft bounce".to_owned(),
                },
                Undone::Complaint { .. } => "undo complaint".to_owned(),
                Undone::OptOut { scope } => format!("undo opt-out {}", covered(scope)),
            };
            let mut details = vec![format!("of {}", moment(*of))];
            details.extend(grounds([("reason", reason.as_deref())]));
            (what, details)
        }
    }
}

#[cfg(test)]
mod tests;
