//! A *cause* is what many bounces have in common: the provider, the host that reports and its words.
//!
//! The words are compared without what differs from recipient to recipient and from message to
//! message: addresses, numbers, ids, names of hosts. "user a123 unknown" and "user b unknown" are one.

use super::Source;
use crate::store::lessons::CauseId;

/// Most words that are compared: a server that quotes the whole message says what it has to say first.
const WORD_LIMIT: usize = 40;

/// Stands for whatever differs.
const BLANK: &str = "#";

/// The id of the cause behind a bounce of this recipient.
#[must_use]
pub fn cause_of(source: &Source, address: Option<&str>) -> CauseId {
    CauseId::of(&[
        source.provider.to_ascii_lowercase().as_bytes(),
        group_of(&source.host).as_bytes(),
        normal(&source.words, address).as_bytes(),
    ])
}

/// The words without what differs from one recipient or message to the next.
///
/// The recipient's own name, in the address or alone, is such a thing wherever it stands; a name that
/// is a common word, too, only where names stand.
#[must_use]
pub fn normal(words: &str, address: Option<&str>) -> String {
    let words = words.to_lowercase();
    let address = address.unwrap_or_default().to_lowercase();
    let local = address.rsplit_once('@').map_or("", |(local, _)| local);
    let mut normal: Vec<&str> = Vec::new();
    let mut before = None;
    let mut rest = words.split_whitespace().peekable();
    while let Some(word) = rest.next() {
        let place = CodePlace {
            before: before.replace(word),
            after: rest.peek().copied(),
        };
        let core = word.trim_matches(is_mark);
        if core.is_empty() {
            continue;
        }
        let previous = normal.last().copied();
        let differs =
            is_own_name(core, local, previous) || differs(core, &place) || is_name(core, previous);
        let next = if differs { BLANK } else { core };
        // Several blanks in a row are one: an id may be written in one part or in three.
        if !(next == BLANK && normal.last() == Some(&BLANK)) {
            normal.push(next);
        }
        if normal.len() == WORD_LIMIT {
            break;
        }
    }
    normal.join(" ")
}

/// The host that words name as the one that spoke, as mail servers do: `host NAME[ADDRESS] said: …`.
#[must_use]
pub fn host_named(words: &str) -> Option<&str> {
    let mut rest = words.split_whitespace();
    while let Some(word) = rest.next() {
        if word.eq_ignore_ascii_case("host") {
            let name = rest.next()?;
            let end = name.find(['[', '(', ':']).unwrap_or(name.len());
            let name = &name[..end];
            let says = rest.next().is_some_and(|next| next.starts_with("said"));
            if says && is_host(name) {
                return Some(name);
            }
        }
    }
    None
}

/// Hosts that share the work are one: `mx1-07.example.net` and `mx2.example.net` speak for one system.
///
/// Their first labels are left out, the last two or, in a country whose registry gives out names below
/// `co.jp` and the like, three are kept. An address of the network is kept without its last part.
fn group_of(host: &str) -> String {
    let host = host.trim_matches(is_mark).to_ascii_lowercase();
    if let Ok(address) = host.parse::<std::net::IpAddr>() {
        return match address {
            std::net::IpAddr::V4(address) => {
                let [a, b, c, _] = address.octets();
                format!("{a}.{b}.{c}")
            }
            std::net::IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                format!("{a:x}:{b:x}:{c:x}:{d:x}")
            }
        };
    }
    let labels: Vec<&str> = host.split('.').filter(|label| !label.is_empty()).collect();
    let is_shared = matches!(labels.as_slice(), [.., second, country]
        if country.len() == 2 && SHARED_SECONDS.contains(second));
    let kept = if is_shared { 3 } else { 2 };
    labels[labels.len().saturating_sub(kept)..].join(".")
}

/// Second-level names below which the registries of countries give out names.
const SHARED_SECONDS: [&str; 18] = [
    "ac", "asso", "co", "com", "ed", "edu", "gob", "gouv", "gov", "gv", "ltd", "mil", "ne", "net",
    "nom", "or", "org", "plc",
];

/// Marks around a word that say nothing.
fn is_mark(c: char) -> bool {
    !c.is_alphanumeric()
}

/// Whether a word holds something that belongs to one recipient, message or host alone: an address,
/// a number, a name of a host, an id. A code of the reply (`550`, `5.1.1`) stays: it tells causes apart.
fn differs(word: &str, place: &CodePlace<'_>) -> bool {
    let is_code = is_status(word) || is_reply_code(word) && place.is_for_a_code();
    !is_code
        && (word.contains(|c: char| c == '@' || c.is_numeric()) || is_host(word) || is_id(word))
}

/// The words around one, which tell a reply code from any other number: `(id 550)`.
struct CodePlace<'a> {
    before: Option<&'a str>,
    after: Option<&'a str>,
}

impl CodePlace<'_> {
    /// At the beginning, after a colon or a word that announces one, or before an enhanced status code.
    fn is_for_a_code(&self) -> bool {
        let is_status = |word: &str| is_status(word.trim_matches(is_mark));
        let announces = |word: &str| {
            word.ends_with([':', ';']) || BEFORE_CODES.contains(&word.trim_matches(is_mark))
        };
        self.before.is_none_or(announces) || self.after.is_some_and(is_status)
    }
}

/// After these a reply code may stand.
const BEFORE_CODES: [&str; 7] = [
    "code", "error", "reply", "response", "returned", "said", "status",
];

fn is_reply_code(word: &str) -> bool {
    word.len() == 3 && word.starts_with(['4', '5']) && word.bytes().all(|b| b.is_ascii_digit())
}

/// An enhanced status code (RFC 3463).
fn is_status(word: &str) -> bool {
    let mut parts = word.split('.');
    matches!(parts.next(), Some("4" | "5"))
        && word.split('.').count() == 3
        && parts
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit()))
}

/// A name with a dot inside, unless it is a sentence that goes on without a space.
fn is_host(word: &str) -> bool {
    word.contains("://")
        || word.split('.').count() > 1 && word.split('.').all(|label| !label.is_empty())
}

/// Ids of messages and sessions: long, and made of parts that are no words.
fn is_id(word: &str) -> bool {
    word.len() > 20
}

/// Whether a word is a user's name, by the word before it: `user NAME unknown`, `mailbox NAME does
/// not exist`, `unknown user NAME`.
fn is_name(word: &str, before: Option<&str>) -> bool {
    before.is_some_and(|before| BEFORE_NAMES.contains(&before)) && !NO_NAMES.contains(&word)
}

/// Whether a word is the recipient's own name. Somebody may be called `in` or `user`.
fn is_own_name(word: &str, local: &str, before: Option<&str>) -> bool {
    let is_common = NO_NAMES.contains(&word) || BEFORE_NAMES.contains(&word);
    let follows_user = before.is_some_and(|before| BEFORE_NAMES.contains(&before));
    word == local && (!is_common || follows_user)
}

/// After these a name may stand.
const BEFORE_NAMES: [&str; 6] = [
    "user",
    "mailbox",
    "recipient",
    "account",
    "username",
    "login",
];

/// What stands after them and is no name.
const NO_NAMES: [&str; 49] = [
    "account",
    "address",
    "and",
    "at",
    "blocked",
    "by",
    "cannot",
    "can't",
    "closed",
    "could",
    "currently",
    "deactivated",
    "deleted",
    "disabled",
    "does",
    "doesn't",
    "exceeded",
    "expired",
    "for",
    "from",
    "full",
    "has",
    "here",
    "in",
    "inactive",
    "invalid",
    "is",
    "isn't",
    "lookup",
    "mailbox",
    "may",
    "moved",
    "name",
    "no",
    "not",
    "on",
    "or",
    "over",
    "quota",
    "rejected",
    "suspended",
    "table",
    "temporarily",
    "terminated",
    "too",
    "unavailable",
    "unknown",
    "was",
    "with",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn same(one: &str, other: &str) {
        assert_eq!(normal(one, None), normal(other, None), "{one} / {other}");
    }

    #[track_caller]
    fn other(one: &str, other: &str) {
        assert_ne!(normal(one, None), normal(other, None), "{one} / {other}");
    }

    #[test]
    fn what_belongs_to_one_recipient_is_left_out() {
        same("user a123 unknown", "user b unknown");
        same(
            "550 5.1.1 <a@example.com>: Recipient address rejected: User unknown",
            "550 5.1.1 <bob.b@example.com>: Recipient address rejected: User unknown",
        );
        same(
            "550-5.1.1 The account a7 does not exist. Session x9f3-77 at mx3.example.net",
            "550-5.1.1 The account anna does not exist. Session k2b8-01 at mx11.example.net",
        );
        same("No such user (id 4411)", "no such user (id 97)");
        assert_eq!(
            normal(
                "anna: no mailbox here by that name",
                Some("anna@example.com")
            ),
            normal("bob: no mailbox here by that name", Some("bob@example.com")),
        );
        same(
            "Requested  action\r\n not taken",
            "requested action not taken",
        );
    }

    #[test]
    fn a_number_that_looks_like_a_code_is_a_number() {
        same("550 user unknown (id 400)", "550 user unknown (id 97)");
        same("550 5.1.1 #400 in table", "550 5.1.1 #97 in table");
    }

    #[test]
    fn a_name_that_is_a_common_word_is_a_name_where_names_stand() {
        let words = |name: &str| {
            let text = format!("<{name}@example.com>: user {name} unknown in table");
            normal(&text, Some(&format!("{name}@example.com")))
        };
        for name in ["in", "user", "unknown", "table", "no"] {
            assert_eq!(words(name), words("anna"), "{name}");
        }
    }

    #[test]
    fn what_tells_causes_apart_stays() {
        other("550 5.1.1 user unknown", "550 5.2.1 user unknown");
        other("550 mailbox disabled", "550 mailbox unknown");
        other("550 no such user", "554 no such user");
        other("user unknown", "host unknown");
        other("host said: 550 go away", "host said: 554 go away");
        other("it returned 550 to us", "it returned 554 to us");
        other("<550 5.1.1> to us", "<554 5.1.1> to us");
    }

    #[test]
    fn hosts_of_one_system_are_one() {
        let cause = |host: &str| {
            let source = Source {
                provider: "example.com".to_owned(),
                host: host.to_owned(),
                words: "user unknown".to_owned(),
            };
            cause_of(&source, None)
        };
        assert_eq!(cause("mx1.example.net"), cause("mx2-7.Example.net"));
        assert_eq!(cause("a.mx.example.co.jp"), cause("b.example.co.jp"));
        assert_ne!(cause("a.one.co.jp"), cause("a.two.co.jp"));
        assert_eq!(
            cause("mx00.abc.net"),
            cause("mx01.abc.net"),
            "short, and one"
        );
        assert_eq!(cause("mx1.ab.de"), cause("mx2.ab.de"));
        assert_ne!(cause("mx.one.com.br"), cause("mx.two.com.br"));
        assert_eq!(cause("mx1.co.com"), cause("mx2.co.com"));
        assert_ne!(cause("mx.example.net"), cause("mx.example.org"));
        assert_eq!(cause("192.0.2.1"), cause("192.0.2.77"));
        assert_ne!(cause("192.0.2.1"), cause("198.51.100.1"));
        assert_eq!(cause("2001:db8::1"), cause("2001:db8::2"));
        assert_eq!(cause(""), cause("."));
    }

    #[test]
    fn the_host_that_spoke_is_found() {
        let postfix = "550 5.1.1 host mx.example.com[192.0.2.1] said: 550 no such user";
        assert_eq!(host_named(postfix), Some("mx.example.com"));
        assert_eq!(host_named("550 host unknown"), None);
        assert_eq!(host_named("550 the host"), None);
        assert_eq!(host_named("host said: no"), None);
    }

    #[test]
    fn providers_are_kept_apart() {
        let cause = |provider: &str| {
            let source = Source {
                provider: provider.to_owned(),
                ..Source::default()
            };
            cause_of(&source, None)
        };
        assert_ne!(cause("example.com"), cause("example.org"));
        assert_eq!(cause("example.com"), cause("Example.COM"));
    }

    proptest! {
        #[test]
        fn any_words_are_normal_and_stay_so(words in ".{0,300}", address in "\\PC{0,40}") {
            let once = normal(&words, Some(&address));
            prop_assert!(once.split(' ').count() <= WORD_LIMIT);
            let _ = cause_of(&Source { words, host: address.clone(), provider: address }, None);
        }

        #[test]
        fn names_and_numbers_never_matter(
            one in "[a-z][a-z0-9]{0,12}",
            two in "[a-z][a-z0-9]{0,12}",
            number in 0u32..1_000_000,
        ) {
            let words = |name: &str, number: u32| {
                format!("550 5.1.1 <{name}@example.com>: user {name} unknown (#{number}) in table")
            };
            let address = |name: &str| format!("{name}@example.com");
            prop_assert_eq!(
                normal(&words(&one, number), Some(&address(&one))),
                normal(&words(&two, 7), Some(&address(&two)))
            );
        }
    }
}
