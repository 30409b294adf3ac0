//! The rows that are held, in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::object::{Key, ObjectMeta};
use crate::state::CreateRow;

/// One of them.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) create: CreateRow,
    /// When its content has been waited for. Not by the wall clock, which may be set back meanwhile.
    due: Instant,
    /// Held while its content, or the empty object itself, goes to the store.
    pub(super) turn: Mutex<()>,
    /// A write of its content had no answer: the store may have it.
    attempted: AtomicBool,
    /// It is of an earlier life, and the store has not been asked about it yet.
    is_left: AtomicBool,
}

impl Row {
    pub(super) fn is_due(&self) -> bool {
        self.due <= Instant::now()
    }

    pub(super) fn attempted(&self) -> bool {
        self.attempted.load(Ordering::Relaxed)
    }

    pub(super) fn set_attempted(&self) {
        self.attempted.store(true, Ordering::Relaxed);
    }

    /// Its content may have been on its way when an earlier life ended: only the store knows.
    pub(super) fn set_left(&self) {
        self.set_attempted();
        self.is_left.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_left(&self) -> bool {
        self.is_left.load(Ordering::Relaxed)
    }

    pub(super) fn set_asked(&self) {
        self.is_left.store(false, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
pub(super) struct Rows(RwLock<BTreeMap<Key, Arc<Row>>>);

impl Rows {
    pub(super) fn len(&self) -> usize {
        self.0.read().len()
    }

    /// `wait`: how long from now on its content is waited for.
    pub(super) fn insert(&self, key: Key, create: CreateRow, wait: Duration) {
        let row = Row {
            create,
            due: Instant::now() + wait,
            turn: Mutex::default(),
            attempted: AtomicBool::default(),
            is_left: AtomicBool::default(),
        };
        self.0.write().insert(key, Arc::new(row));
    }

    pub(super) fn remove(&self, key: &Key) {
        self.0.write().remove(key);
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Row>> {
        self.0.read().get(key).cloned()
    }

    /// Whether this very row is still held.
    pub(super) fn has(&self, key: &Key, row: &Row) -> bool {
        self.0.read().get(key).is_some_and(|held| std::ptr::eq(&**held, row))
    }

    pub(super) fn all(&self) -> Vec<(Key, Arc<Row>)> {
        self.0.read().iter().map(|(key, row)| (key.clone(), Arc::clone(row))).collect()
    }

    /// Those whose keys begin with `prefix`.
    pub(super) fn below(&self, prefix: &str) -> Vec<(Key, Arc<Row>)> {
        // Few are held at any time.
        self.all().into_iter().filter(|(key, _)| key.as_str().starts_with(prefix)).collect()
    }

    /// What is told of them.
    pub(super) fn shown_below(&self, prefix: &str) -> impl Iterator<Item = (Key, ObjectMeta)> {
        self.below(prefix).into_iter().map(|(key, row)| (key, super::meta(&row.create)))
    }
}
