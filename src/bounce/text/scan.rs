//! The [`Findings`] of a report in words: which addresses it names, how plainly, and what else its words say.

use std::collections::HashMap;

use super::address::{self, Found};
use super::matcher::{Match, phrase_at};
use super::phrases::Role;

/// How plainly an address is named as a recipient that failed; the first is the plainest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// By the words in front of it.
    Named,
    /// By a line of its own, in an announced list or as `<a@example.com>: reason`.
    Listed,
    /// By a line of its own that nothing announced.
    Alone,
    /// By what a server refused: `550 <a@example.com>... User unknown`, `RCPT TO:<a@example.com>`.
    Refused,
    /// It merely occurs.
    Loose,
    /// As somebody else: the sender, a help desk.
    Other,
}

/// An address that a report names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named<'a> {
    pub(super) address: &'a str,
    pub(super) rank: Rank,
    /// The address that was written to, where the text gives another one.
    pub(super) original: Option<&'a str>,
    /// A server said in the transcript that it takes this recipient.
    accepted: bool,
}

/// What the words of a report say.
#[derive(Debug, Default)]
pub(super) struct Findings<'a> {
    pub(super) named: Vec<Named<'a>>,
    /// A word in a list of recipients that is no whole address: a mailbox of the reporting host.
    pub(super) mailbox: Option<&'a str>,
    names: bool,
    pub(super) sign: bool,
    pub(super) hint: bool,
    pub(super) delayed: bool,
    pub(super) delivered: bool,
}

impl Findings<'_> {
    /// Whether the words are those of a report, whoever sent it.
    pub(super) fn is_report(&self) -> bool {
        self.names || self.sign
    }
}

/// Reads the words of a report, the returned message already cut off; at most `limit` addresses.
pub(super) fn scan(text: &str, limit: usize) -> Findings<'_> {
    let lower = text.to_ascii_lowercase();
    let mut scan = Scan {
        text,
        lower: lower.as_bytes(),
        findings: Findings::default(),
        seen: HashMap::new(),
        in_list: false,
        list_lines: 0,
        awaits_reply: false,
        broken_off: None,
        limit,
    };
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        scan.line(start, start + line.len());
        start += line.len();
    }
    scan.findings
}

struct Scan<'a, 'b> {
    text: &'a str,
    lower: &'b [u8],
    findings: Findings<'a>,
    /// Which of the findings an address is.
    seen: HashMap<&'a str, usize>,
    /// A list of recipients was announced.
    in_list: bool,
    /// Lines with words since then.
    list_lines: usize,
    /// The line before was a RCPT command.
    awaits_reply: bool,
    /// A phrase that began on the line before and ends on this one.
    broken_off: Option<Match>,
    limit: usize,
}

impl<'a> Scan<'a, '_> {
    fn line(&mut self, start: usize, end: usize) {
        let line = &self.text[start..end];
        if line.trim().is_empty() {
            return;
        }
        self.list_lines += 1;
        self.note_reply(line);
        let mut last = self.broken_off.take();
        let mut at = start.max(last.map_or(start, |phrase| phrase.end)).min(end);
        let mut first_of_line = true;
        let mut named_end = None;
        let ats: Vec<_> = memchr::memchr_iter(b'@', line.as_bytes()).collect();
        for position in ats {
            let Some(found) = address::around(self.text, start + position, at) else {
                continue;
            };
            last = self.phrases(at, found.start).or(last);
            let goes_on =
                named_end.is_some_and(|end| is_list_between(&self.text[end..found.start]));
            let rank = if goes_on {
                Some(Rank::Named)
            } else {
                self.rank(last, &found, start, first_of_line)
            };
            named_end = (rank == Some(Rank::Named)).then_some(found.end);
            if named_end.is_some() && last.is_some_and(|phrase| phrase.role == Role::Names) {
                // Who is named on the line of the announcement is the whole list, unless it goes on.
                self.in_list &= line.trim_end().ends_with([',', ';']);
            }
            let is_original = last.is_some_and(|phrase| phrase.role == Role::Original);
            if is_original {
                self.add_original(found.address);
            } else {
                self.add(found.address, rank.unwrap_or(Rank::Other));
            }
            self.awaits_reply = rank == Some(Rank::Refused);
            at = found.end;
            last = None;
            first_of_line = false;
        }
        if first_of_line && self.in_list && self.list_lines <= 2 {
            self.note_mailbox(line);
        }
        let last = self.phrases(at, end);
        self.broken_off = last.filter(|phrase| phrase.end > end);
        // "For help write to:" ends a list; what follows is somebody else.
        if last.is_some_and(|phrase| phrase.role == Role::Other) && line.trim_end().ends_with(':') {
            self.in_list = false;
        }
    }

    /// Notes the phrases that begin in a stretch of the text; the last one leads to what follows.
    fn phrases(&mut self, start: usize, end: usize) -> Option<Match> {
        let mut last = None;
        let mut at = start;
        while at < end {
            let octet = self.lower[at];
            let previous = if at == 0 { b' ' } else { self.lower[at - 1] };
            let begins = !previous.is_ascii_alphanumeric() || !octet.is_ascii();
            let found = begins.then(|| phrase_at(self.lower, at)).flatten();
            let Some(found) = found else {
                at += 1;
                continue;
            };
            self.note(found.role);
            // Words that lead nowhere do not come between others and their address.
            if !matches!(found.role, Role::Sign | Role::Hint | Role::Delivered) || last.is_none() {
                last = Some(found);
            }
            at = found.end.max(at + 1);
        }
        last
    }

    fn note(&mut self, role: Role) {
        let findings = &mut self.findings;
        match role {
            Role::Names | Role::Delayed => {
                findings.names |= role == Role::Names;
                findings.delayed |= role == Role::Delayed;
                self.in_list = true;
                self.list_lines = 0;
            }
            Role::Sign => findings.sign = true,
            Role::Hint => findings.hint = true,
            Role::Delivered => findings.delivered = true,
            Role::Label | Role::Original | Role::Other => {}
        }
    }

    /// How an address is named; nothing for somebody else's.
    fn rank(
        &self,
        last: Option<Match>,
        found: &Found<'_>,
        line_start: usize,
        first_of_line: bool,
    ) -> Option<Rank> {
        let before = &self.text[line_start.min(found.start)..found.start];
        let behind = &self.text[found.end..];
        let opens_list = self.in_list && self.list_lines <= 1;
        if first_of_line && is_bullet(before) {
            let announced = self.in_list || before.ends_with('<') && is_end_of_item(behind);
            let rank = if announced { Rank::Listed } else { Rank::Alone };
            return (!is_quotation(behind)).then_some(rank);
        }
        match last.map(|phrase| phrase.role) {
            Some(Role::Names | Role::Delayed) => return Some(Rank::Named),
            Some(Role::Label) if !is_transcript(before) => return Some(Rank::Named),
            Some(Role::Label) => return Some(Rank::Refused),
            Some(Role::Other) => return None,
            _ => {}
        }
        Some(if first_of_line && is_reply(before) {
            Rank::Refused
        } else if opens_list {
            // Exchange puts X.400 names in front: `c=US;o=Example;SMTP=a@example.com on Friday`.
            Rank::Listed
        } else {
            Rank::Loose
        })
    }

    fn add(&mut self, address: &'a str, rank: Rank) {
        if let Some(&number) = self.seen.get(address) {
            let named = &mut self.findings.named[number];
            // A help desk named once more, without saying so, is still one.
            let is_other = named.rank == Rank::Other && rank >= Rank::Alone;
            if !is_other {
                named.rank = named.rank.min(rank);
            }
        } else if self.findings.named.len() < self.limit {
            self.seen.insert(address, self.findings.named.len());
            self.findings.named.push(Named {
                address,
                rank,
                original: None,
                accepted: false,
            });
        }
    }

    /// The address written to belongs to the recipient named last; without one it is the recipient.
    fn add_original(&mut self, address: &'a str) {
        let last = self.findings.named.last_mut();
        match last.filter(|named| named.rank <= Rank::Refused) {
            Some(named) if named.original.is_none() && named.address != address => {
                named.original = Some(address);
            }
            Some(_) => {}
            None => self.add(address, Rank::Named),
        }
    }

    /// A transcript goes on with what the server answered.
    fn note_reply(&mut self, line: &str) {
        if !std::mem::take(&mut self.awaits_reply) {
            return;
        }
        let reply = without_prompt(line);
        if let [b'2', b'0'..=b'5', b'0'..=b'9', b' ' | b'-', ..] = reply.as_bytes()
            && let Some(named) = self.findings.named.last_mut()
        {
            named.accepted = true;
        }
    }

    /// AOL names mailboxes of its own without their domain.
    fn note_mailbox(&mut self, line: &'a str) {
        let word = line.trim();
        let is_name = word.len() <= 64
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
            && word.bytes().any(|b| b.is_ascii_alphanumeric());
        if line.starts_with([' ', '\t']) && is_name && self.findings.mailbox.is_none() {
            self.findings.mailbox = Some(word);
        }
    }
}

impl<'a> Findings<'a> {
    /// The recipients: those named by words and lists, else those on lines of their own, else those
    /// refused in a transcript, else, if `loosely`, the only one there is.
    ///
    /// `own` are the addresses that the report itself was written by and to; they are recipients only
    /// where nobody else is.
    pub(super) fn recipients(&self, own: &[&str], loosely: bool) -> Vec<&Named<'a>> {
        let ranks: [&[Rank]; 3] = [
            &[Rank::Named, Rank::Listed],
            &[Rank::Alone],
            &[Rank::Refused],
        ];
        for ranks in ranks {
            let others = self.of(ranks, own);
            if !others.is_empty() {
                return others;
            }
        }
        let loose = self.of(&[Rank::Loose], own);
        if loosely && loose.len() == 1 {
            return loose;
        }
        self.of(&[Rank::Named, Rank::Listed], &[])
    }

    /// Whether an address, `own` aside, stands where reports name recipients, and not in a sentence.
    pub(super) fn names_plainly(&self, own: &[&str]) -> bool {
        let ranks = [Rank::Named, Rank::Listed, Rank::Alone, Rank::Refused];
        !self.of(&ranks, own).is_empty()
    }

    fn of(&self, ranks: &[Rank], own: &[&str]) -> Vec<&Named<'a>> {
        let is_own = |address: &str| own.iter().any(|own| address.eq_ignore_ascii_case(own));
        let found = self.named.iter();
        let found: Vec<_> = found
            .filter(|named| ranks.contains(&named.rank) && !is_own(named.address))
            .collect();
        // Whom the server took in the session is not the one who failed, unless it took everybody.
        let failed: Vec<_> = found
            .iter()
            .copied()
            .filter(|named| !named.accepted)
            .collect();
        let in_session = ranks.contains(&Rank::Refused) && !failed.is_empty();
        if in_session { failed } else { found }
    }
}

/// What may stand in front of an address on a line of its own.
fn is_bullet(before: &str) -> bool {
    before.len() <= 40
        && before
            .chars()
            .all(|c| c.is_whitespace() || "<>\"'*-•·・([:=|#.".contains(c) || c.is_ascii_digit())
        && before.chars().filter(char::is_ascii_digit).count() <= 2
}

/// Whether nothing but the end of the line or the reason follows: `<a@example.com>: reason`.
fn is_end_of_item(behind: &str) -> bool {
    let behind = behind.trim_start_matches(['>', '"', '\'']);
    behind.is_empty()
        || behind
            .trim_start_matches(' ')
            .starts_with(['\n', '\r', ':', ';', '(', '[', '.', ','])
}

/// What stands between the addresses of a list.
fn is_list_between(between: &str) -> bool {
    let joined =
        between.trim_matches([' ', '\t', '<', '>', ',', ';', '"', '\'', '(', ')', '[', ']']);
    joined.is_empty() || joined == "and"
}

/// A person quotes another: `a@example.com wrote:`.
fn is_quotation(behind: &str) -> bool {
    let words = behind.trim_start_matches(['>', ' ', ')', ',']);
    ["wrote", "writes", "schrieb", "a écrit", "escribió"]
        .iter()
        .any(|word| words.starts_with(word))
}

/// A line of a transcript, without `<<<`, `In:` and the like in front.
fn without_prompt(line: &str) -> &str {
    let line = line.trim_start_matches([' ', '\t', '<', '>', '*', '-', '"']);
    ["Out:", "In:", "Received", "Sent", "S:", "C:"]
        .iter()
        .find_map(|prompt| line.strip_prefix(prompt))
        .map_or(line, |line| {
            line.trim_start_matches([' ', '\t', '<', '>', ':'])
        })
}

/// Whether the words in front of an address are a refusal.
fn is_reply(before: &str) -> bool {
    let reply = without_prompt(before).trim_start_matches(['(', '[', '#']);
    matches!(
        reply.as_bytes(),
        [b'4' | b'5', b'0'..=b'9', b'0'..=b'9', b' ' | b'-', ..]
    )
}

/// Whether a line shows what was said in a session.
fn is_transcript(before: &str) -> bool {
    let line = before.trim_start();
    line.starts_with(">>>")
        || line.starts_with("<<<")
        || line.starts_with("In:")
        || line.starts_with("Out:")
        || without_prompt(line)
            .get(..7)
            .is_some_and(|command| command.eq_ignore_ascii_case("rcpt to"))
}
