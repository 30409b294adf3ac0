//! New names in one spelling: two clients that make the same thing at the same moment, each in a spelling of its
//! own, must not make two. Whoever comes second takes the spelling of whoever came first, and meets what that one
//! makes under its own name: from then on all is as if both had written the same letters.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::names::for_new;
use super::{Client, Failure, ResourcePath};
use crate::path_key::PathKey;

/// Where something can be put.
#[derive(Debug)]
pub enum Spot<L> {
    Taken(L),
    New { key: String, name: NewName },
}

/// The names that are being made. Cloning shares them.
#[derive(Debug, Clone, Default)]
pub struct NewNames(Arc<Mutex<Making>>);

#[derive(Debug, Default)]
struct Making {
    /// Names that were made, or given up, so far.
    ended: u64,
    /// By [`ResourcePath::path_key`].
    names: HashMap<PathKey, InMaking>,
}

#[derive(Debug)]
struct InMaking {
    /// As the first one spells it.
    spelling: String,
    /// How many make it.
    makers: usize,
}

impl NewNames {
    /// For one request, which has not looked for anything yet.
    pub fn for_request(&self) -> Maker {
        let ended = Arc::new(self.0.lock().ended.into());
        Maker { names: self.clone(), ended }
    }
}

/// The new names of one request.
#[derive(Debug, Clone)]
pub struct Maker {
    names: NewNames,
    /// See [`Making::ended`]; as it was when this request began to look.
    ended: Arc<AtomicU64>,
}

impl Maker {
    /// Begins to make what `client` calls `path`, where nothing was found.
    pub fn begin(&self, path: &ResourcePath, client: &Client) -> NewName {
        let name = for_new(path.name(), client);
        if name.is_ascii() {
            return NewName { name, is_overtaken: false, making: None };
        }
        let composed = path.path_key();
        let mut making = self.names.0.lock();
        let ended = making.ended;
        let in_making =
            making.names.entry(composed.clone()).or_insert(InMaking { spelling: name, makers: 0 });
        in_making.makers += 1;
        NewName {
            name: in_making.spelling.clone(),
            is_overtaken: self.ended.swap(ended, Ordering::Relaxed) != ended,
            making: Some(Turn { names: self.names.clone(), composed }),
        }
    }
}

impl Maker {
    /// The key that `client` makes at `path`, where nothing was found. `again` looks anew, in case that somebody has made
    /// it meanwhile; `prefix` is that of the keys in its folder.
    pub async fn spot<L>(
        &self,
        path: &ResourcePath,
        client: &Client,
        again: impl Future<Output = Result<Option<L>, Failure>>,
        prefix: impl Future<Output = Result<String, Failure>>,
    ) -> Result<Spot<L>, Failure> {
        let name = self.begin(path, client);
        if name.is_overtaken
            && let Some(found) = again.await?
        {
            return Ok(Spot::Taken(found));
        }
        Ok(Spot::New { key: prefix.await? + &name.name, name })
    }
}

/// A name that is being made, until it is dropped: by then what was made can be found.
#[derive(Debug)]
pub struct NewName {
    /// As it is to be stored.
    pub name: String,
    /// Somebody may have made it since this request looked: it must look again.
    pub is_overtaken: bool,
    #[expect(dead_code, reason = "held until the name is there")]
    making: Option<Turn>,
}

#[derive(Debug)]
struct Turn {
    names: NewNames,
    composed: PathKey,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut making = self.names.0.lock();
        let Making { ended, names } = &mut *making;
        *ended += 1;
        if let Some(in_making) = names.get_mut(&self.composed) {
            in_making.makers -= 1;
            if in_making.makers == 0 {
                names.remove(&self.composed);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMPOSED: &str = "/d/caf%C3%A9";
    const DECOMPOSED: &str = "/d/cafe%CC%81";

    fn begin(maker: &Maker, path: &str) -> NewName {
        maker.begin(&ResourcePath::parse(path).unwrap(), &Client::new(None, [127, 0, 0, 1].into(), "test"))
    }

    #[test]
    fn the_first_spelling_is_everyones_until_the_last_has_made_it() {
        let names = NewNames::default();
        let first = begin(&names.for_request(), DECOMPOSED);
        let second = begin(&names.for_request(), COMPOSED);
        assert_eq!((first.name.as_str(), second.name.as_str()), ("cafe\u{301}", "cafe\u{301}"));
        drop(first);
        assert_eq!(begin(&names.for_request(), COMPOSED).name, "cafe\u{301}");
        drop(second);
        assert_eq!(begin(&names.for_request(), COMPOSED).name, "caf\u{e9}");
        assert!(names.0.lock().names.is_empty());
    }

    #[test]
    fn who_looked_before_another_ended_looks_again_once() {
        let names = NewNames::default();
        let (early, plain) = (names.for_request(), names.for_request());
        drop(begin(&names.for_request(), DECOMPOSED));
        assert!(begin(&early, COMPOSED).is_overtaken);
        assert!(!begin(&names.for_request(), COMPOSED).is_overtaken);
        assert!(!begin(&plain, "/d/ascii").is_overtaken, "it has no other spelling");
    }
}
