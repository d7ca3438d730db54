//! How facts read in lines for people.

use std::io::{self, Write};

use comfy_table::Table;
use comfy_table::presets::NOTHING;

use crate::suppression::{Reason, Verdict};
use crate::timestamp::Timestamp;

/// Writes to standard output. A reader that has seen enough (`| head`) is no error.
pub(super) fn print(text: &str) -> io::Result<Printed> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(Printed::Read),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Printed::Closed),
        Err(error) => Err(error),
    }
}

/// Whether somebody still reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Printed {
    /// It was written.
    Read,
    /// The reader is gone: stop quietly.
    Closed,
}

/// A reason in the words of the glossary.
pub(super) const fn reason(reason: Reason) -> &'static str {
    match reason {
        Reason::Erased => "erased",
        Reason::HardBounce => "hard bounce",
        Reason::Complaint => "complaint",
        Reason::DoNotEmail => "Do Not Email",
        Reason::OptOut => "opt-out",
        Reason::SoftBounce => "soft bounces",
        Reason::NoConsent => "no consent",
        Reason::Unavailable => "store unavailable",
    }
}

/// A verdict as the log names it.
pub(super) const fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Relay => "relay",
        Verdict::Reject => "reject",
        Verdict::Defer => "defer",
        Verdict::Discard => "discard",
    }
}

/// A moment to the second, in UTC.
pub(super) fn moment(at: Timestamp) -> String {
    let written = at.to_string();
    let seconds = written.get(..19).unwrap_or(&written);
    format!("{}Z", seconds.replace('T', " "))
}

/// A text from outside without what a terminal would obey (X37).
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, "?")
}

/// Rows in aligned columns, without lines around them.
pub(super) fn columns(head: Option<&[&str]>, rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    if let Some(head) = head {
        table.set_header(head.to_vec());
    }
    for row in rows {
        table.add_row(row.iter().map(|cell| plain(cell)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
