//! What was done in a seed, by whom, and what came of it.

use std::collections::BTreeSet;
use std::fmt;

use bytes::Bytes;

/// A content that is written once in a seed; 0: none at all.
pub(super) type Value = u32;

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Act {
    Save {
        key: String,
        value: Value,
    },
    Delete {
        key: String,
    },
    Move {
        from: String,
        to: String,
    },
    Read {
        key: String,
    },
    List {
        folder: String,
    },
    Folder {
        name: String,
    },
    /// With all that is in it.
    DeleteFolder {
        name: String,
    },
}

impl Act {
    /// The keys that it changes.
    pub(super) fn changes(&self, key: &str) -> bool {
        match self {
            Self::Save { key: saved, .. } => saved == key,
            Self::Delete { key: deleted } => deleted == key,
            Self::Move { from, to } => from == key || to == key,
            Self::DeleteFolder { name } => is_within(key, name),
            Self::Read { .. } | Self::List { .. } | Self::Folder { .. } => false,
        }
    }

    /// Whether it puts something there.
    pub(super) fn puts_at(&self, key: &str) -> bool {
        match self {
            Self::Save { key: saved, .. } => saved == key,
            Self::Move { to, .. } => to == key,
            _ => false,
        }
    }
}

/// Whether a key lies in a folder.
pub(super) fn is_within(key: &str, folder: &str) -> bool {
    key.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// What its client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Nothing yet.
    UnderWay,
    Done,
    /// It is done, and lies beside.
    Lost,
    /// Nothing is there, or it cannot be done; so nothing was.
    Nothing(String),
    Found(Option<Value>),
    /// The names in a folder.
    Names(BTreeSet<String>),
    /// Nobody knows whether it was done.
    Failed(String),
    /// The gateway died.
    Cut,
}

/// What a client knows of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Known {
    #[default]
    Nothing,
    Absent,
    /// It got it, or made it.
    Value(Value),
    /// Its own lies beside.
    Beside,
    /// Something that it moved there.
    Moved,
}

/// Who does something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Who {
    Client(usize),
    /// Somebody else at the bucket.
    Other,
}

#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) who: Who,
    pub(super) act: Act,
    pub(super) begun: u64,
    /// When it was known how it ended.
    pub(super) ended: u64,
    pub(super) outcome: Outcome,
    /// Of what it writes, when it began, and since when.
    pub(super) known: Known,
    pub(super) known_since: u64,
}

impl Op {
    /// Whether it was done, as far as is known.
    pub(super) fn may_be_done(&self) -> bool {
        !matches!(self.outcome, Outcome::Nothing(_))
    }

    pub(super) fn is_acknowledged(&self) -> bool {
        matches!(self.outcome, Outcome::Done | Outcome::Lost)
    }
}

/// Something that happened to an object in the store.
#[derive(Debug, Clone)]
pub(super) struct Change {
    pub(super) at: u64,
    pub(super) by_gateway: bool,
    pub(super) key: String,
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
}

/// What is told of a seed that fails.
#[derive(Debug, Default)]
pub(super) struct History {
    clock: u64,
    pub(super) ops: Vec<Op>,
    pub(super) changes: Vec<Change>,
    /// Conditions that did not hold.
    pub(super) conflicts: u64,
    /// When the gateway died.
    pub(super) deaths: Vec<u64>,
    /// Everything, for people.
    lines: Vec<String>,
}

impl History {
    pub(super) fn now(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    pub(super) fn note(&mut self, line: impl fmt::Display) {
        let at = self.clock;
        self.lines.push(format!("{at:>5} {line}"));
    }

    pub(super) fn begin(&mut self, who: Who, act: Act, (known, known_since): (Known, u64)) -> usize {
        let begun = self.now();
        let number = self.ops.len();
        self.note(format!("#{number} {who:?} {act:?} knowing {known:?}"));
        let (ended, outcome) = (u64::MAX, Outcome::UnderWay);
        self.ops.push(Op { who, act, begun, ended, outcome, known, known_since });
        number
    }

    pub(super) fn end(&mut self, number: usize, outcome: Outcome) {
        let ended = self.now();
        self.note(format!("#{number} -> {outcome:?}"));
        let op = &mut self.ops[number];
        (op.ended, op.outcome) = (ended, outcome);
    }

    /// The gateway is dead. What was under way.
    pub(super) fn cut(&mut self) -> Vec<(Who, Act)> {
        let ended = self.now();
        self.deaths.push(ended);
        self.note("the gateway dies");
        let cut = self.ops.iter_mut().filter(|op| op.outcome == Outcome::UnderWay).map(|op| {
            (op.ended, op.outcome) = (ended, Outcome::Cut);
            (op.who, op.act.clone())
        });
        cut.collect()
    }

    pub(super) fn change(&mut self, change: Change) {
        self.note(format!("   in the store: {change:?}"));
        self.changes.push(change);
    }

    pub(super) fn told(&self) -> String {
        self.lines.join("\n")
    }
}

/// The bytes of a value: some take one request, some several.
pub(super) fn content(value: Value) -> Bytes {
    if value == 0 {
        return Bytes::new();
    }
    // Few lengths: what others write is often as long as what was there.
    let length = 8 + (value as usize % 4) * 49;
    let word = format!("v{value};");
    word.bytes().cycle().take(length.max(word.len())).collect()
}

/// The value of a content; `None`: nobody has written it.
pub(super) fn value_of(bytes: &[u8]) -> Option<Value> {
    if bytes.is_empty() {
        return Some(0);
    }
    let text = std::str::from_utf8(bytes).ok()?;
    let value = text.strip_prefix('v')?.split(';').next()?.parse().ok()?;
    (content(value) == bytes).then_some(value)
}
