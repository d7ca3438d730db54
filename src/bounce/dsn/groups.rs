//! The groups of fields of a delivery status part: one for the message, one for each recipient.

use crate::bounce::Limits;
use crate::bounce::field::{Field, fields, first};

/// Fields that name a recipient, the least trustworthy last.
pub(super) const RECIPIENT_FIELDS: [&str; 2] = ["final-recipient", "original-recipient"];

/// Fields that say what became of it.
const OUTCOME_FIELDS: [&str; 3] = ["action", "status", "diagnostic-code"];

/// The fields of a delivery status part, sorted by what they are about.
#[derive(Default)]
pub(super) struct Groups<'a> {
    /// Those of the whole message, and all that is about nobody.
    pub(super) message: Vec<Field<'a>>,
    /// Those of each recipient, as many as the limits allow.
    pub(super) recipients: Vec<Vec<Field<'a>>>,
    /// An outcome that stands without a recipient.
    pub(super) nameless: Vec<Field<'a>>,
}

impl<'a> Groups<'a> {
    /// Sorts the fields. An empty line should end a group (RFC 3464 §2.1), but some reporters leave
    /// it out between recipients, and some put it between a recipient and its outcome.
    pub(super) fn read(content: &'a [u8], limits: &Limits) -> Self {
        let mut groups = Self::default();
        let mut room = limits.header_limit;
        for block in blocks(content) {
            for group in split_at_repeats(fields(block, limits.header_limit)) {
                if !names_anybody(&group) {
                    // What belongs to nobody is bounded for the part as a whole.
                    let size: usize = group.iter().map(|field| field.value.len()).sum();
                    if size < room {
                        room -= size;
                        groups.add_nameless(group);
                    }
                } else if groups.recipients.len() < limits.recipient_limit {
                    groups.recipients.push(group);
                } else {
                    return groups;
                }
            }
        }
        groups
    }

    fn add_nameless(&mut self, group: Vec<Field<'a>>) {
        if !tells_outcome(&group) {
            self.message.extend(group);
            return;
        }
        match self.recipients.last_mut() {
            Some(last) if !tells_outcome(last) => last.extend(group),
            _ if self.nameless.is_empty() => self.nameless = group,
            _ => {}
        }
    }
}

fn names_anybody(group: &[Field<'_>]) -> bool {
    RECIPIENT_FIELDS
        .iter()
        .any(|name| first(group, name).is_some())
}

fn tells_outcome(group: &[Field<'_>]) -> bool {
    OUTCOME_FIELDS
        .iter()
        .any(|name| first(group, name).is_some())
}

/// A second name of the same kind begins another recipient.
fn split_at_repeats<'a>(fields: impl Iterator<Item = Field<'a>>) -> Vec<Vec<Field<'a>>> {
    let mut groups = vec![Vec::new()];
    for field in fields {
        let repeats = RECIPIENT_FIELDS
            .iter()
            .any(|name| field.name.eq_ignore_ascii_case(name))
            && groups
                .last()
                .and_then(|group| first(group, field.name))
                .is_some_and(|named| !named.eq_ignore_ascii_case(&field.value));
        if repeats {
            groups.push(Vec::new());
        }
        if let Some(group) = groups.last_mut() {
            group.push(field);
        }
    }
    groups
}

/// What stands between empty lines.
fn blocks(content: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = content;
    std::iter::from_fn(move || {
        // Some servers end with many empty lines, and one empty group is as good as a thousand.
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        for line in rest.split_inclusive(|&b| b == b'\n') {
            end += line.len();
            if line.trim_ascii().is_empty() {
                break;
            }
        }
        let (block, after) = rest.split_at(end);
        rest = after;
        Some(block)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(content: &str) -> Vec<(String, usize)> {
        let groups = Groups::read(content.as_bytes(), &Limits::default());
        let summary = |group: &Vec<Field<'_>>| {
            let name = first(group, "final-recipient").unwrap_or_default();
            (name.to_owned(), group.len())
        };
        groups.recipients.iter().map(summary).collect()
    }

    #[test]
    fn empty_lines_that_lack_or_are_too_many_do_no_harm() {
        let proper = "Reporting-MTA: dns; x\n\nFinal-Recipient: a\nAction: failed\n\n\
            Final-Recipient: b\nAction: failed\n";
        let expected = [("a".to_owned(), 2), ("b".to_owned(), 2)];
        assert_eq!(read(proper), expected);
        let lacking = proper.replace("failed\n\n", "failed\n");
        assert_eq!(read(&lacking), expected);
        let too_many = proper.replace("\nAction", "\n \r\nAction");
        assert_eq!(read(&too_many), expected);
    }

    #[test]
    fn a_name_that_is_repeated_as_it_was_is_the_same_recipient() {
        let twice = "Final-Recipient: a\nFinal-Recipient: A\nOriginal-Recipient: c\n";
        assert_eq!(read(twice), [("a".to_owned(), 3)]);
    }
}
