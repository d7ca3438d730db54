//! [`Columns`] say where in a row what stands: by the names of a header, or by position without one.

use super::words::plain;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Address,
    Reason,
    Origin,
    At,
    Scope(ScopeKind),
    Status,
    Text,
    Campaign,
}

/// What a scope without a prefix stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ScopeKind {
    /// Nothing: it must have one.
    Prefixed,
    /// A topic.
    Topic,
    /// A mailing list.
    List,
}

/// Names as [`plain`] leaves them. Of several columns of one role the first named here counts.
const NAMES: &[(&str, Role)] = &[
    ("email", Role::Address),
    ("emailaddress", Role::Address),
    ("address", Role::Address),
    ("recipient", Role::Address),
    ("mail", Role::Address),
    ("to", Role::Address),
    ("type", Role::Reason),
    ("suppressionreason", Role::Reason),
    // Where there is a type as well, the reason is its text.
    ("reason", Role::Reason),
    ("origin", Role::Origin),
    ("createdat", Role::At),
    ("created", Role::At),
    ("date", Role::At),
    ("time", Role::At),
    ("timestamp", Role::At),
    ("blockedat", Role::At),
    ("bouncedat", Role::At),
    ("unsubscribedat", Role::At),
    ("addedat", Role::At),
    ("lastupdatetime", Role::At),
    ("updatedat", Role::At),
    ("scope", Role::Scope(ScopeKind::Prefixed)),
    ("tag", Role::Scope(ScopeKind::Topic)),
    ("tags", Role::Scope(ScopeKind::Topic)),
    ("topic", Role::Scope(ScopeKind::Topic)),
    ("list", Role::Scope(ScopeKind::List)),
    ("listid", Role::Scope(ScopeKind::List)),
    ("status", Role::Status),
    ("code", Role::Status),
    ("errorcode", Role::Status),
    ("description", Role::Text),
    ("error", Role::Text),
    ("comment", Role::Text),
    ("detail", Role::Text),
    ("message", Role::Text),
    ("reason", Role::Text),
    ("campaign", Role::Campaign),
    ("campaignid", Role::Campaign),
    ("campaignname", Role::Campaign),
];

/// Where what stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Columns {
    pub(super) address: Option<usize>,
    pub(super) reason: Option<usize>,
    pub(super) origin: Option<usize>,
    pub(super) at: Option<usize>,
    pub(super) scope: Option<(usize, ScopeKind)>,
    pub(super) status: Option<usize>,
    pub(super) text: Option<usize>,
    pub(super) campaign: Option<usize>,
}

impl Columns {
    /// The columns under these names; those to ignore are named as they are there.
    pub(super) fn named<'a>(names: impl IntoIterator<Item = &'a str>, ignored: &[String]) -> Self {
        let ignored: Vec<String> = ignored.iter().map(|name| plain(name)).collect();
        let names: Vec<String> = names.into_iter().map(plain).collect();
        let mut columns = Self::default();
        for (known, role) in NAMES {
            let place = names.iter().position(|name| name == known);
            if let Some(place) = place.filter(|_| !ignored.iter().any(|name| name == known)) {
                columns.set(*role, place);
            }
        }
        columns
    }

    /// Those of a list without a header: the address, and why where there is a second column.
    pub(super) fn positions(ignored: &[String]) -> Self {
        Self {
            address: Some(0),
            reason: Some(1).filter(|_| !ignored.iter().any(|name| name.trim() == "2")),
            ..Self::default()
        }
    }

    fn set(&mut self, role: Role, place: usize) {
        let slot = match role {
            Role::Address => &mut self.address,
            Role::Reason => &mut self.reason,
            Role::Origin => &mut self.origin,
            Role::At => &mut self.at,
            Role::Scope(kind) => {
                self.scope.get_or_insert((place, kind));
                return;
            }
            Role::Status => &mut self.status,
            Role::Text if self.reason == Some(place) => return,
            Role::Text => &mut self.text,
            Role::Campaign => &mut self.campaign,
        };
        slot.get_or_insert(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(header: &str) -> Columns {
        Columns::named(header.split(','), &[])
    }

    #[test]
    fn columns_are_found_by_name_without_case() {
        for header in ["id,E-Mail", "x,Email Address", "x,“RECIPIENT”", "x,e_mail"] {
            assert_eq!(named(header).address, Some(1), "{header}");
        }
        assert_eq!(named("Contact,Phone").address, None);
        let columns = named("address,code,error,created_at");
        assert_eq!(
            (columns.status, columns.text, columns.at, columns.reason),
            (Some(1), Some(2), Some(3), None)
        );
        assert_eq!(
            named("address,tag").scope,
            Some((1, ScopeKind::Topic)),
            "a tag is a topic"
        );
    }

    #[test]
    fn a_reason_beside_a_type_is_its_text() {
        let columns = named("email,type,reason,created_at");
        assert_eq!((columns.reason, columns.text), (Some(1), Some(2)));
        let columns = named("email,reason");
        assert_eq!((columns.reason, columns.text), (Some(1), None));
    }

    #[test]
    fn a_column_can_be_ignored() {
        let ignored = ["Reason".to_owned(), "2".to_owned()];
        let columns = Columns::named("status,reason,email,created".split(','), &ignored);
        assert_eq!((columns.reason, columns.text), (None, None));
        assert_eq!((columns.address, columns.at), (Some(2), Some(3)));
        assert_eq!(Columns::positions(&ignored).reason, None);
        assert_eq!(Columns::positions(&[]).reason, Some(1));
    }
}
