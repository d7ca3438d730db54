//! The groups of fields of a delivery status part: one for the message, one for each recipient.

use std::borrow::Cow;

use crate::bounce::Limits;
use crate::bounce::field::{Field, fields};

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

/// One group on its way.
#[derive(Default)]
struct Group<'a> {
    fields: Vec<Field<'a>>,
    /// The value of each of [`RECIPIENT_FIELDS`].
    names: [Option<Cow<'a, str>>; 2],
    tells_outcome: bool,
}

impl<'a> Groups<'a> {
    /// Sorts the fields. An empty line should end a group (RFC 3464 §2.1), but some reporters leave
    /// it out between recipients, and some put it between a recipient and its outcome.
    pub(super) fn read(content: &'a [u8], limits: &Limits) -> Self {
        let mut groups = Self::default();
        // What belongs to nobody is bounded for the part as a whole.
        let mut room = limits.header_limit;
        let mut is_last_open = false;
        for group in blocks(content).flat_map(|block| split(fields(block, limits.header_limit))) {
            if group.names.iter().any(Option::is_some) {
                if groups.recipients.len() == limits.recipient_limit {
                    break;
                }
                is_last_open = !group.tells_outcome;
                groups.recipients.push(group.fields);
                continue;
            }
            let size: usize = group.fields.iter().map(|field| field.value.len()).sum();
            if size > room {
                continue;
            }
            room -= size;
            match groups.recipients.last_mut() {
                _ if !group.tells_outcome => groups.message.extend(group.fields),
                Some(last) if is_last_open => {
                    last.extend(group.fields);
                    is_last_open = false;
                }
                _ if groups.nameless.is_empty() => groups.nameless = group.fields,
                _ => {}
            }
        }
        groups
    }
}

impl<'a> Group<'a> {
    /// Whether the field names another recipient than the group does.
    fn ends_before(&self, field: &Field<'_>) -> bool {
        position(&RECIPIENT_FIELDS, field)
            .and_then(|kind| self.names[kind].as_ref())
            .is_some_and(|named| !named.eq_ignore_ascii_case(&field.value))
    }

    fn add(&mut self, field: Field<'a>) {
        if !field.value.is_empty() {
            if let Some(kind) = position(&RECIPIENT_FIELDS, &field) {
                self.names[kind].get_or_insert_with(|| field.value.clone());
            }
            self.tells_outcome |= position(&OUTCOME_FIELDS, &field).is_some();
        }
        self.fields.push(field);
    }
}

fn position(names: &[&str], field: &Field<'_>) -> Option<usize> {
    names
        .iter()
        .position(|name| field.name.eq_ignore_ascii_case(name))
}

/// A second name of the same kind begins another recipient.
fn split<'a>(fields: impl Iterator<Item = Field<'a>>) -> Vec<Group<'a>> {
    let mut groups = Vec::new();
    let mut current = Group::default();
    for field in fields {
        if current.ends_before(&field) {
            groups.push(std::mem::take(&mut current));
        }
        current.add(field);
    }
    groups.push(current);
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
    use crate::bounce::field::first;

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
