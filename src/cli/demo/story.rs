//! The story of the demo: a campaign, what comes back, the campaign again.

use anyhow::{bail, ensure};

use super::lines;
use super::screen::{Screen, Tone};
use crate::demo::{
    Message, Outcome, Pass, Recipient, Role, Row, SOFT_LIMIT, Stage, THIS_LIST, wait_for_reports,
};

/// The issue of the newsletter that the campaign sends.
const ISSUE: u32 = 5;

/// Tells it, from the first line to the summary.
///
/// # Errors
/// When something broke, or did not go as the demo says it goes.
pub(super) async fn tell(
    stage: &Stage,
    recipients: &[Recipient],
    screen: &Screen,
) -> anyhow::Result<()> {
    introduce(stage, screen)?;
    prepare(stage, recipients, screen).await?;
    let mut complaints = Vec::new();

    let title = format!(
        "First pass: issue {ISSUE} of the newsletter to {} recipients",
        recipients.len()
    );
    screen.heading(&title)?;
    let first = send_campaign(stage, recipients, Pass::First, screen, &mut complaints).await?;
    send_receipt(stage, recipients, screen, &mut complaints).await?;
    show_what_came_back(stage, recipients, screen).await?;

    screen.heading("Second pass: the same campaign once more")?;
    let second = send_campaign(stage, recipients, Pass::Second, screen, &mut complaints).await?;

    sum_up(&first, &second, screen)?;
    judge_ourselves(&complaints, recipients, &first, &second, screen)
}

fn introduce(stage: &Stage, screen: &Screen) -> anyhow::Result<()> {
    let at = stage.addresses();
    let title = "Sendgate demo: a gateway, a smarthost and a campaign tool in one process";
    screen.say(&format!("{}\n\n", screen.paint(title, Tone::Heading)))?;
    screen.say(&format!(
        "   gateway    {:<18} campaign mail goes in here\n\
         \x20             {:<18} a shop's receipts go in here\n\
         \x20             {:<18} what bounces comes back here\n\
         \x20  smarthost  {:<18} takes all mail and reports what cannot arrive\n",
        at.campaign.to_string(),
        at.receipts.to_string(),
        at.returns.to_string(),
        at.smarthost.to_string(),
    ))
}

/// Brings the past about: what operators recorded, and the issues that bounced before.
async fn prepare(stage: &Stage, recipients: &[Recipient], screen: &Screen) -> anyhow::Result<()> {
    stage.record(recipients).await?;
    screen.heading("Before the campaign an operator has recorded")?;
    for (role, what) in [
        (Role::OptedOut, "opted out of everything"),
        (Role::LeftThisList, "opted out of this list"),
        (Role::LeftOtherList, "opted out of another list"),
        (Role::DoNotEmail, "Do Not Email"),
    ] {
        let count = recipients.iter().filter(|one| one.role == role).count();
        screen.say(&format!("   {count}  {what}\n"))?;
    }
    let earlier = send_earlier_issues(stage, recipients).await?;
    let full: Vec<_> = recipients
        .iter()
        .filter(|one| one.role.earlier_issues() > 0)
        .map(|one| (one, one.role.earlier_issues()))
        .collect();
    wait_for_reports(&stage.memory()?, &full).await?;
    screen.say(&format!(
        "and {} full mailboxes have sent back {earlier} messages of earlier issues.\n",
        full.len()
    ))
}

/// Sends the issues before this one to those whose mailboxes were full by then.
async fn send_earlier_issues(stage: &Stage, recipients: &[Recipient]) -> anyhow::Result<usize> {
    let mut tool = stage.tool(stage.addresses().campaign);
    let mut sent = 0;
    for issue in 1..ISSUE {
        let edition = format!("issue-{issue}");
        let full = recipients
            .iter()
            .filter(|one| one.role.earlier_issues() >= ISSUE - issue);
        for recipient in full {
            let row = tool.send(&Message::newsletter(recipient, &edition)).await?;
            ensure!(
                row.outcome.delivered,
                "issue {issue} should have reached the smarthost and did not: {}",
                row.reply
            );
            sent += 1;
        }
    }
    tool.leave().await;
    Ok(sent)
}

/// Sends the campaign and shows each verdict as it falls.
async fn send_campaign(
    stage: &Stage,
    recipients: &[Recipient],
    pass: Pass,
    screen: &Screen,
    complaints: &mut Vec<String>,
) -> anyhow::Result<Vec<Row>> {
    screen.say(lines::VERDICTS_HEAD)?;
    let edition = match pass {
        Pass::First => format!("issue-{ISSUE}"),
        Pass::Second => format!("issue-{ISSUE}-again"),
    };
    let taken_before = stage.taken();
    let mut tool = stage.tool(stage.addresses().campaign);
    let mut rows = Vec::with_capacity(recipients.len());
    for (place, recipient) in recipients.iter().enumerate() {
        let row = tool.send(&Message::newsletter(recipient, &edition)).await?;
        let address = recipient.address.as_str();
        screen.say(&lines::verdict(screen, place + 1, address, &row))?;
        let expected = recipient.role.expected(pass);
        if row.outcome != expected {
            complaints.push(format!(
                "{pass:?} pass: {address} was {}, expected {}",
                lines::outcome(row.outcome),
                lines::outcome(expected)
            ));
        }
        rows.push(row);
    }
    tool.leave().await;
    let relayed = rows.iter().filter(|row| row.outcome.delivered).count();
    let taken = stage.taken() - taken_before;
    if taken != relayed as u64 {
        complaints.push(format!(
            "{pass:?} pass: {relayed} messages were relayed and the smarthost took {taken}"
        ));
    }
    Ok(rows)
}

/// Sends a receipt to somebody who opted out of campaigns.
async fn send_receipt(
    stage: &Stage,
    recipients: &[Recipient],
    screen: &Screen,
    complaints: &mut Vec<String>,
) -> anyhow::Result<()> {
    let Some(customer) = recipients.iter().find(|one| one.role == Role::OptedOut) else {
        return Ok(());
    };
    screen.heading("A receipt to one who opted out: another stream, another answer")?;
    let mut shop = stage.tool(stage.addresses().receipts);
    let row = shop.send(&Message::receipt(&customer.address)).await?;
    shop.leave().await;
    let address = customer.address.as_str();
    screen.say(&lines::verdict(screen, 1, address, &row))?;
    if row.outcome != Role::Reader.expected(Pass::First) {
        complaints.push(format!(
            "the receipt to {address} was {}, expected relayed",
            lines::outcome(row.outcome)
        ));
    }
    Ok(())
}

/// Waits for every report of the first pass and shows what was learnt from it.
async fn show_what_came_back(
    stage: &Stage,
    recipients: &[Recipient],
    screen: &Screen,
) -> anyhow::Result<()> {
    let bounced: Vec<_> = recipients
        .iter()
        .filter(|one| matches!(one.role, Role::Gone(_) | Role::Full { .. }))
        .map(|one| (one, one.role.earlier_issues() + 1))
        .collect();
    let learnt = wait_for_reports(&stage.memory()?, &bounced).await?;
    screen.heading("What came back")?;
    screen.say(lines::BOUNCES_HEAD)?;
    for ((recipient, _), learnt) in bounced.iter().zip(&learnt) {
        screen.say(&lines::bounce(screen, recipient, learnt))?;
    }
    screen.say(&format!(
        "One hard bounce is enough; soft ones count up to {SOFT_LIMIT}.\n"
    ))
}

/// Counts both passes side by side.
fn sum_up(first: &[Row], second: &[Row], screen: &Screen) -> anyhow::Result<()> {
    screen.heading("Summary                            first pass  second pass")?;
    let mut seen: Vec<Outcome> = Vec::new();
    for row in first.iter().chain(second) {
        if !seen.contains(&row.outcome) {
            seen.push(row.outcome);
        }
    }
    for outcome in seen {
        let count = |rows: &[Row]| rows.iter().filter(|row| row.outcome == outcome).count();
        let what = lines::outcome(outcome);
        screen.say(&lines::count(&what, count(first), count(second)))?;
    }
    Ok(())
}

/// Says what changed, or that the demo did not show what it is there to show.
fn judge_ourselves(
    complaints: &[String],
    recipients: &[Recipient],
    first: &[Row],
    second: &[Row],
    screen: &Screen,
) -> anyhow::Result<()> {
    if !complaints.is_empty() {
        screen.heading("This did not go as it should")?;
        for complaint in complaints {
            screen.say(&format!("   {complaint}\n"))?;
        }
        bail!("{} verdicts were not as expected", complaints.len());
    }
    let changed = (first.iter().zip(second))
        .filter(|(before, after)| before.outcome != after.outcome)
        .count();
    let other_list = recipients
        .iter()
        .find(|one| one.role == Role::LeftOtherList)
        .map_or("", |one| one.address.as_str());
    screen.say(&format!(
        "\nWhat changed: {changed} recipients whose mail bounced are refused now, in the session,\n\
         and the smarthost hears no more of them. A mailbox that is only filling up goes\n\
         on getting mail, and so does {other_list}, who left another list than\n\
         {THIS_LIST}. Every verdict was as expected.\n"
    ))
}
