//! How caches find what a client has to do with a file, without a copy of either name.

use moka::Equivalent;

use super::Client;

/// The name of an entry; it must hash as `(Client, String)` does.
#[derive(Hash)]
pub(super) struct ClientKey<'a>(pub(super) &'a Client, pub(super) &'a str);

impl Equivalent<(Client, String)> for ClientKey<'_> {
    fn equivalent(&self, (client, key): &(Client, String)) -> bool {
        self.0 == client && self.1 == key
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_copy_is_found_as_the_name() {
        let client = |name: &str| Client::new(Some(name.to_owned()), [127, 0, 0, 1].into(), "agent/1.0");
        let (me, other) = (client("me"), client("other"));
        let name = (me.clone(), "a".to_owned());
        assert!(ClientKey(&me, "a").equivalent(&name));
        assert!(!ClientKey(&me, "b").equivalent(&name) && !ClientKey(&other, "a").equivalent(&name));
        let cache = moka::sync::Cache::new(1);
        cache.insert(name, ());
        assert!(cache.get(&ClientKey(&me, "a")).is_some());
    }
}
