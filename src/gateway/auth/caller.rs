//! Who makes a request, and which sessions that one may use.

use std::sync::Arc;

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) struct Caller {
    /// Whom sessions belong to that the request makes; none where everybody may use all of them.
    pub(in crate::gateway) owner: Option<Arc<str>>,
    /// Which ids it may use.
    ids: Ids,
}

/// Ids that a token names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ids {
    /// All that do not belong to somebody else.
    Any,
    /// These, or those that begin as one that ends in a star.
    Only(Vec<String>),
}

impl Ids {
    fn contain(&self, id: &str) -> bool {
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => id.starts_with(beginning),
            None => id == pattern,
        };
        match self {
            Self::Any => true,
            Self::Only(patterns) => patterns.iter().any(fits),
        }
    }
}

impl Caller {
    /// Everybody, where nobody is asked who it is.
    pub(in crate::gateway) const fn anybody() -> Self {
        let (owner, ids) = (None, Ids::Any);
        Self { owner, ids }
    }

    pub(super) fn new(owner: &str, ids: Ids) -> Self {
        let owner = Some(owner.into());
        Self { owner, ids }
    }

    /// Whether it may use an id, whoever has a session of it.
    pub(in crate::gateway) fn may_use(&self, id: &str) -> bool {
        self.ids.contain(id)
    }

    /// Whether a session with this owner is its own.
    pub(in crate::gateway) fn owns(&self, owner: Option<&str>) -> bool {
        self.owner.is_none() || self.owner.as_deref() == owner
    }

    /// Whether it may learn that a session does not exist. Where its token does not name the ids, any id may be somebody else's.
    pub(in crate::gateway) fn may_know(&self) -> bool {
        self.owner.is_none() || self.ids != Ids::Any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_names_ids_or_how_they_begin() {
        let caller = Caller::new("ann", Ids::Only(vec!["a".to_owned(), "team/*".to_owned()]));
        let may: Vec<&str> = ["a", "ab", "team/", "team/1", "tea", ""]
            .into_iter()
            .filter(|id| caller.may_use(id))
            .collect();
        assert_eq!(may, ["a", "team/", "team/1"]);
        assert!(!Caller::new("ann", Ids::Only(Vec::new())).may_use("a"));
        assert!(Caller::new("ann", Ids::Any).may_use("a"));
    }

    #[test]
    fn a_session_belongs_to_its_owner_alone() {
        let caller = Caller::new("ann", Ids::Any);
        assert!(caller.owns(Some("ann")) && !caller.owns(Some("bob")) && !caller.owns(None));
        assert!(Caller::anybody().owns(Some("bob")) && Caller::anybody().owns(None));
    }

    #[test]
    fn absence_is_told_only_of_ids_that_the_token_names() {
        assert!(!Caller::new("ann", Ids::Any).may_know());
        assert!(Caller::new("ann", Ids::Only(vec!["a".to_owned()])).may_know() && Caller::anybody().may_know());
    }
}
