//! Uploads of which nobody knows whether they were begun, since their begin was not answered. What is begun now cannot be told
//! from them: they are looked for while none is begun to the same key.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::state::UploadRow;

/// See the module. Cloning shares it.
#[derive(Debug, Clone, Default)]
pub(super) struct Doubts(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    known: Mutex<Known>,
    noted: Notify,
}

#[derive(Debug, Default)]
struct Known {
    /// The keys to which uploads are being begun.
    beginning: Vec<String>,
    doubtful: Vec<UploadRow>,
}

/// An upload that is being begun.
pub(super) struct Beginning {
    doubts: Doubts,
    key: String,
}

impl Doubts {
    pub(super) fn begin(&self, key: &str) -> Beginning {
        self.0.known.lock().beginning.push(key.to_owned());
        Beginning { doubts: self.clone(), key: key.to_owned() }
    }

    /// Whether an upload to the key of `row` is being begun, whose id is not known yet.
    pub(super) fn is_beginning(&self, row: &UploadRow) -> bool {
        self.0.known.lock().beginning.contains(&row.key)
    }

    pub(super) fn note(&self, rows: impl IntoIterator<Item = UploadRow>) {
        let count = {
            let doubtful = &mut self.0.known.lock().doubtful;
            doubtful.extend(rows);
            doubtful.len()
        };
        if count > 0 {
            self.0.noted.notify_one();
        }
    }

    /// Waits until there is one more.
    pub(super) async fn noted(&self) {
        self.0.noted.notified().await;
    }

    /// Those that can be looked for.
    pub(super) fn take(&self) -> Vec<UploadRow> {
        let Known { beginning, doubtful } = &mut *self.0.known.lock();
        doubtful.extract_if(.., |row| !beginning.contains(&row.key)).collect()
    }
}

impl Drop for Beginning {
    fn drop(&mut self) {
        {
            let beginning = &mut self.doubts.0.known.lock().beginning;
            if let Some(at) = beginning.iter().position(|key| *key == self.key) {
                beginning.swap_remove(at);
            }
        }
        // What was noted meanwhile could not be looked for.
        self.doubts.note([]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_doubt_waits_until_nothing_is_begun_to_its_key() {
        let doubts = Doubts::default();
        let row = |key: &str| UploadRow::new(String::new(), key.to_owned(), key.to_owned());
        let (first, second) = (doubts.begin("a"), doubts.begin("a"));
        doubts.note([row("a"), row("b")]);
        assert!(doubts.is_beginning(&row("a")) && !doubts.is_beginning(&row("b")));
        let keys = || doubts.take().into_iter().map(|row| row.key).collect::<Vec<_>>();
        assert_eq!(keys(), ["b"]);
        drop(first);
        assert!(keys().is_empty());
        drop(second);
        assert_eq!((keys(), keys()), (vec!["a".to_owned()], vec![]));
    }
}
