//! How rows of the demo's tables read, on a terminal of eighty columns.

use super::screen::{Screen, Tone};
use crate::cli::text;
use crate::demo::{Learnt, Outcome, Recipient, Row, SOFT_LIMIT};
use crate::suppression::Verdict;
use crate::suppression::event::BounceKind;

/// What the table of verdicts begins with.
pub(super) const VERDICTS_HEAD: &str =
    " No  Recipient               Verdict    Reason        The campaign tool hears\n";

/// What the table of bounces begins with.
pub(super) const BOUNCES_HEAD: &str =
    " Recipient               Told by    Status  On record             From now on\n";

/// How much of a reply is shown.
const REPLY_WIDTH: usize = 26;

/// One message and what became of it.
pub(super) fn verdict(screen: &Screen, number: usize, recipient: &str, row: &Row) -> String {
    let (word, tone) = word(row.outcome);
    let painted = screen.paint(&format!("{word:<9}"), tone);
    format!(
        " {number:>2}  {recipient:<22}  {painted}  {:<12}  {}\n",
        reason(row.outcome),
        cut(&text::plain(&row.reply), REPLY_WIDTH)
    )
}

/// One recipient that bounced, and what follows.
pub(super) fn bounce(screen: &Screen, recipient: &Recipient, learnt: &Learnt) -> String {
    let told_by = match learnt.via.as_str() {
        "returns" => "a report",
        "rcpt" => "a refusal",
        other => other,
    };
    let status = learnt
        .status
        .map_or_else(|| "-".to_owned(), |status| status.to_string());
    let on_record = match learnt.kind {
        BounceKind::Hard => "hard bounce".to_owned(),
        BounceKind::Soft => format!("soft bounce {} of {SOFT_LIMIT}", learnt.count),
    };
    let (follows, tone) = match learnt.verdict {
        Verdict::Relay => ("still mailed", Tone::Good),
        Verdict::Reject | Verdict::Discard => ("refused", Tone::Bad),
        Verdict::Defer => ("deferred", Tone::Odd),
    };
    format!(
        " {:<22}  {told_by:<9}  {status:<6}  {on_record:<20}  {}\n",
        recipient.address.as_str(),
        screen.paint(follows, tone)
    )
}

/// One line of the summary.
pub(super) fn count(what: &str, first: usize, second: usize) -> String {
    format!("   {what:<28} {first:>10} {second:>12}\n")
}

/// An outcome as the summary and complaints call it.
pub(super) fn outcome(outcome: Outcome) -> String {
    let (word, _) = word(outcome);
    match reason(outcome) {
        "-" => word.to_owned(),
        reason => format!("{word}: {reason}"),
    }
}

fn word(outcome: Outcome) -> (&'static str, Tone) {
    match outcome.verdict {
        Verdict::Relay if outcome.delivered => ("relayed", Tone::Good),
        Verdict::Relay | Verdict::Reject => ("refused", Tone::Bad),
        Verdict::Discard => ("discarded", Tone::Bad),
        Verdict::Defer => ("deferred", Tone::Odd),
    }
}

fn reason(outcome: Outcome) -> &'static str {
    match outcome.reason {
        Some(reason) => text::reason(reason),
        None if outcome.verdict == Verdict::Relay && !outcome.delivered => "by smarthost",
        None => "-",
    }
}

fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width - 3).collect();
    format!("{}...", kept.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::{Pass, recipients};

    fn row(pass: Pass, reply: &str, place: usize) -> String {
        let recipient = &recipients()[place];
        let row = Row {
            outcome: recipient.role.expected(pass),
            reply: reply.to_owned(),
        };
        let screen = Screen::with_colours(false);
        verdict(&screen, place + 1, recipient.address.as_str(), &row)
    }

    #[test]
    fn every_row_fits_into_eighty_columns() {
        let reply = "550 5.7.1 Recipient suppressed (do not email)";
        for pass in [Pass::First, Pass::Second] {
            for place in 0..recipients().len() {
                let line = row(pass, reply, place);
                assert!(line.trim_end().len() <= 80, "{line}");
                assert_eq!(line.find("550 5.7.1"), VERDICTS_HEAD.find("The campaign"));
            }
        }
        assert!(VERDICTS_HEAD.len() <= 81 && BOUNCES_HEAD.len() <= 81);
    }

    #[test]
    fn a_row_says_what_and_why() {
        assert_eq!(
            row(Pass::First, "250 2.0.0 Ok", 0),
            "  1  reader01@example.com    relayed    -             250 2.0.0 Ok\n"
        );
    }

    #[test]
    fn a_bounce_says_what_follows() {
        let recipient = &recipients()[0];
        let learnt = Learnt {
            kind: BounceKind::Soft,
            count: 5,
            status: "5.2.2".parse().ok(),
            via: "returns".to_owned(),
            verdict: Verdict::Reject,
        };
        let plain = bounce(&Screen::with_colours(false), recipient, &learnt);
        assert_eq!(
            plain,
            " reader01@example.com    a report   5.2.2   soft bounce 5 of 5    refused\n"
        );
        let coloured = bounce(&Screen::with_colours(true), recipient, &learnt);
        assert!(coloured.ends_with("\u{1b}[31mrefused\u{1b}[0m\n"));
    }
}
