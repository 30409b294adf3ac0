//! On what condition a body takes its place.

use super::RequestContext;
use crate::object::{Condition, ETag};

/// See the module.
#[derive(Debug, Clone)]
pub struct WriteCondition {
    pub condition: Condition,
    /// The client asked for it itself, and is told when it does not hold.
    pub is_clients_own: bool,
}

impl WriteCondition {
    /// `basis`: the version that the client means to replace, as far as is known.
    pub fn of(context: &RequestContext, basis: Option<ETag>, create_new: bool) -> Self {
        let condition = match (&context.if_match, basis) {
            _ if create_new => Condition::IfAbsent,
            (Some(etag), _) => Condition::IfMatch(etag.clone()),
            (None, Some(basis)) => Condition::IfMatch(basis),
            (None, None) => Condition::IfAbsent,
        };
        let is_clients_own = create_new || context.has_own_condition;
        Self { condition, is_clients_own }
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::fs::Client;

    fn tag(text: &str) -> ETag {
        ETag::new(text)
    }

    fn get() -> RequestContext {
        let me = Client::new(Some("me".to_owned()), [127, 0, 0, 1].into(), "agent/1.0");
        RequestContext::bare(Method::GET, "/a", me)
    }

    #[test]
    fn a_body_takes_its_place_on_the_condition_of_its_client_or_of_what_it_has_seen() {
        let condition = |context: &RequestContext, basis: Option<&str>, create_new| {
            let write = WriteCondition::of(context, basis.map(tag), create_new);
            (write.condition, write.is_clients_own)
        };
        let context = get();
        assert_eq!(condition(&context, None, false), (Condition::IfAbsent, false));
        assert_eq!(condition(&context, Some("1"), false), (Condition::IfMatch(tag("1")), false));
        assert_eq!(condition(&context, Some("1"), true), (Condition::IfAbsent, true));
        let named = RequestContext { if_match: Some(tag("2")), has_own_condition: true, ..get() };
        assert_eq!(condition(&named, Some("1"), false), (Condition::IfMatch(tag("2")), true));
        assert_eq!(condition(&named, None, false), (Condition::IfMatch(tag("2")), true));
        assert_eq!(condition(&named, None, true), (Condition::IfAbsent, true));
    }
}
