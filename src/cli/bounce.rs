//! `sendgate bounce explain` says what returned mail means, and which rule decided. It needs no gateway.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::bounce::{
    Cause, Effect, Fault, Identity, Kind, Limits, Permanence, Reader, Report, ReportedRecipient,
    Rules,
};

/// Explains each file, in the order given; `-` is the standard input.
///
/// A file is a message, or with `text` a bare SMTP reply. With `json` there is one line for each file;
/// also for one that cannot be opened, so that a batch is always answered whole.
///
/// # Errors
///
/// Only when `out` cannot be written to.
pub fn explain(
    files: &[PathBuf],
    json: bool,
    text: bool,
    rules: &Arc<Rules>,
    out: &mut impl Write,
) -> anyhow::Result<()> {
    let limits = Limits::default();
    let reader = Reader::new(limits, Arc::clone(rules));
    // A terminal's or a pipe's own buffer is written out at every line.
    let mut out = BufWriter::new(out);
    let mut bytes = Vec::new();
    for file in files {
        let report = read(file, limits.size_limit, &mut bytes).map(|()| {
            if text {
                reader.understand_text(&String::from_utf8_lossy(&bytes))
            } else {
                reader.understand(&bytes)
            }
        });
        if json {
            serde_json::to_writer(&mut out, &Line::of(file, &report))?;
            out.write_all(b"\n")?;
        } else {
            write_for_people(file, &report, rules, &mut out)?;
        }
    }
    out.flush()?;
    Ok(())
}

/// Fills `bytes` with as much of the file as is looked at.
fn read(file: &Path, size_limit: usize, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    // One more than is read, so that the reader sees that there is more.
    let limit = size_limit as u64 + 1;
    if file == Path::new("-") {
        io::stdin().lock().take(limit).read_to_end(bytes)?;
    } else {
        File::open(file)?.take(limit).read_to_end(bytes)?;
    }
    Ok(())
}

/// One answer, as tools read it. The names are a contract.
#[derive(Serialize)]
struct Line<'a> {
    file: Cow<'a, str>,
    kind: Kind,
    recipients: &'a [ReportedRecipient],
    reporting_mta: Option<&'a str>,
    arrival_date: Option<&'a str>,
    message_id: Option<&'a str>,
    /// What an automatic reply says about its author.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Cause>,
    /// Why there is no real answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl<'a> Line<'a> {
    fn of(file: &'a Path, report: &'a io::Result<Report>) -> Self {
        let mut line = Line {
            file: file.to_string_lossy(),
            kind: Kind::Other,
            recipients: &[],
            reporting_mta: None,
            arrival_date: None,
            message_id: None,
            hint: None,
            error: None,
        };
        match report {
            Err(error) => line.error = Some(error.to_string()),
            // The contract knows no word for it: to a tool it is mail that says nothing.
            Ok(report) if report.kind == Kind::Unreadable => {
                line.error = Some(UNREADABLE.to_owned());
            }
            Ok(report) => {
                line.kind = report.kind;
                line.recipients = &report.recipients;
                line.reporting_mta = report.reporting_mta.as_deref();
                line.arrival_date = report.arrival_date.as_deref();
                line.message_id = report.message_id.as_deref();
                line.hint = report.hint;
            }
        }
        line
    }
}

const UNREADABLE: &str = "calls itself a report but names no recipient that can be read";

fn write_for_people(
    file: &Path,
    report: &io::Result<Report>,
    rules: &Rules,
    out: &mut impl Write,
) -> io::Result<()> {
    let file = file.display();
    match report {
        Err(error) => writeln!(out, "{file}: cannot be read: {error}"),
        Ok(report) => {
            writeln!(out, "{file}: {}", kind_in_words(report.kind))?;
            if let Some(mta) = &report.reporting_mta {
                writeln!(out, "  reported by {}", clean(mta))?;
            }
            for recipient in &report.recipients {
                write_recipient(recipient, rules, out)?;
            }
            if let Some(hint) = report.hint {
                writeln!(out, "  its author says: {} (nothing changes)", hint.name())?;
            }
            Ok(())
        }
    }
}

fn write_recipient(
    recipient: &ReportedRecipient,
    rules: &Rules,
    out: &mut impl Write,
) -> io::Result<()> {
    match recipient.address.as_str() {
        "" => writeln!(out, "  (no address)")?,
        address => writeln!(out, "  {}", clean(address))?,
    }
    if let Some(original) = &recipient.original {
        writeln!(out, "    written to    {}", clean(original))?;
    }
    let codes = [
        recipient.reply_code.map(|code| code.to_string()),
        recipient.status.map(|status| status.to_string()),
    ];
    let codes: Vec<_> = codes.into_iter().flatten().collect();
    if !codes.is_empty() {
        writeln!(out, "    codes         {}", codes.join(" "))?;
    }
    writeln!(
        out,
        "    named by      {}",
        identity_in_words(recipient.identity)
    )?;
    if let Some(diagnostic) = &recipient.diagnostic {
        writeln!(out, "    said          {}", clean(diagnostic))?;
    }
    writeln!(
        out,
        "    because       {} ({}; {})",
        recipient.reason.name(),
        fault_in_words(recipient.fault),
        permanence_in_words(recipient.permanence)
    )?;
    writeln!(
        out,
        "    so            {}",
        effect_in_words(recipient.effect)
    )?;
    writeln!(
        out,
        "    decided by    {}",
        rule_in_words(&clean(&recipient.rule))
    )?;
    if let Some(words) = &recipient.matched {
        writeln!(out, "    words         {}", clean(words))?;
    }
    let id = recipient.rule.strip_prefix("text:").unwrap_or_default();
    match rules.source(id) {
        Some(source) => writeln!(out, "    known from    {}", clean(source)),
        None => Ok(()),
    }
}

fn identity_in_words(identity: Identity) -> &'static str {
    match identity {
        Identity::ReturnPath => "our own return path",
        Identity::OriginalRecipient => "the report's field for who was written to",
        Identity::VendorField => "a field of the reporting program",
        Identity::FinalRecipient => "the report's field for who was reached",
        Identity::Text => "the report's words",
        Identity::ReturnedHeader => "the returned message's To field",
    }
}

fn kind_in_words(kind: Kind) -> &'static str {
    match kind {
        Kind::Bounce => "a bounce: delivery failed for good",
        Kind::Delayed => "a delay notice: delivery is still being tried",
        Kind::Delivered => "a report of success",
        Kind::Feedback => "a feedback report of a mailbox provider",
        Kind::AutoReply => "an automatic reply",
        Kind::Unsubscribe => "a wish to be taken off",
        Kind::Other => "nothing that was returned",
        Kind::Unreadable => UNREADABLE,
    }
}

fn fault_in_words(fault: Fault) -> &'static str {
    match fault {
        Fault::Recipient => "it lies with the recipient",
        Fault::Sender => "it lies with the sender",
        Fault::Infrastructure => "it lies on the way",
        Fault::Unknown => "nobody can be blamed",
    }
}

fn permanence_in_words(permanence: Permanence) -> &'static str {
    match permanence {
        Permanence::Permanent => "it stays like this",
        Permanence::Transient => "it may pass",
        Permanence::Unknown => "whether it lasts cannot be told",
    }
}

fn effect_in_words(effect: Effect) -> &'static str {
    match effect {
        Effect::Hard => "a hard bounce is counted",
        Effect::Soft => "a soft bounce is counted",
        Effect::Complaint => "a complaint is recorded",
        Effect::OptOut => "an opt-out is recorded",
        Effect::None => "nothing changes",
    }
}

fn rule_in_words(rule: &str) -> String {
    match rule.split_once(':') {
        Some(("text", id)) => format!("the rule {id}"),
        Some(("status", status)) => format!("the status code {status}"),
        Some(("reply", code)) => {
            format!("the reply code {code}; neither words nor status tell more")
        }
        Some(("action", "none")) => "no readable Action; only \"failed\" counts".to_owned(),
        Some(("action", action)) => format!("Action: {action}; only \"failed\" counts"),
        Some(("feedback", kind)) => format!("the feedback type {kind}"),
        _ => "nothing: neither words nor codes tell".to_owned(),
    }
}

/// Text from a stranger, fit for a terminal.
fn clean(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '?' } else { letter })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const REPORT: &str = "Content-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\
        Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n\r\n\
        Final-Recipient: rfc822; b@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n\
        Diagnostic-Code: smtp; 550 \x1b[2J gone\r\n\r\n--b--\r\n";

    fn explained(contents: &[&str], json: bool, text: bool) -> String {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, content) in contents.iter().enumerate() {
            files.push(folder.path().join(number.to_string()));
            std::fs::write(&files[number], content).unwrap();
        }
        files.push(folder.path().join("missing"));
        let mut out = Vec::new();
        explain(&files, json, text, &Rules::built_in(), &mut out).unwrap();
        String::from_utf8(out)
            .unwrap()
            .replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    fn every_file_gets_one_line_in_order() {
        let out = explained(&[REPORT, "", "Subject: hello\n\nhello\n"], true, false);
        let lines: Vec<serde_json::Value> = out
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let files: Vec<_> = lines.iter().map(|line| line["file"].clone()).collect();
        assert_eq!(files, ["0", "1", "2", "missing"]);
        assert_eq!(lines[0]["kind"], "bounce");
        assert_eq!(lines[0]["recipients"][0]["status"], "5.1.1");
        assert_eq!(lines[0]["recipients"][0]["reason"], "user_unknown");
        assert_eq!(
            lines[0]["recipients"][0]["original"],
            serde_json::Value::Null
        );
        assert_eq!(lines[2]["kind"], "other");
        assert!(lines[3]["error"].is_string());
    }

    #[test]
    fn people_read_why_and_no_control_characters() {
        let out = explained(&[REPORT], false, false);
        assert!(out.contains("a hard bounce is counted"), "{out}");
        assert!(out.contains("the status code 5.1.1"), "{out}");
        assert!(!out.contains('\x1b'), "{out}");
        assert!(out.contains("missing: cannot be read"), "{out}");
    }

    #[test]
    fn a_bare_reply_is_explained() {
        let out = explained(&["552 5.2.2 <a@example.com> Mailbox full"], false, true);
        assert!(out.contains("the rule mailbox-full"), "{out}");
        assert!(out.contains("words         mailbox full\n"), "{out}");
        assert!(out.contains("known from    "), "{out}");
        assert!(out.contains("a soft bounce is counted"), "{out}");
    }
}
