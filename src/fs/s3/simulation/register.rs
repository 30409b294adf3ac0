//! Whether all that clients were told fits one order of what was done: each key is a register. As Wing and Gong, and Lowe,
//! look for it: one order after the other, and no state twice.

use std::collections::{BTreeSet, HashSet};

use super::clients::within;
use super::history::{Act, Change, History, Known, Op, Outcome, Value, Who, is_within};
use super::verdict::original;
use super::world::{KEYS, World};
use crate::fs::Failure;

/// What can come of looking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Found,
    /// There is none; the furthest that was come, for people.
    None(String),
    /// There are too many to look at all.
    Unknown,
}

/// Something that happens at one moment.
#[derive(Debug, Clone)]
struct Event {
    /// Of the operation.
    of: usize,
    begun: u64,
    /// `None`: it may happen at any time from then on, or never.
    ended: Option<u64>,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// `may_lose`: it may not be seen, or no more after a while.
    Put {
        at: usize,
        value: Value,
        may_lose: bool,
    },
    Remove {
        at: usize,
    },
    /// `is_whole`: it cannot have stopped halfway.
    /// `is_lost`: it lies beside, or was there for a moment.
    Move {
        from: usize,
        to: usize,
        is_whole: bool,
        is_lost: bool,
    },
    /// What this operation did comes to nothing after all.
    Undo {
        of: usize,
        from: usize,
        to: usize,
    },
    Read {
        at: usize,
        found: Option<Value>,
    },
    See {
        at: usize,
        is_there: bool,
    },
}

impl What {
    fn keys(&self) -> [usize; 2] {
        match self {
            Self::Put { at, .. } | Self::Remove { at } | Self::Read { at, .. } | Self::See { at, .. } => {
                [*at; 2]
            }
            Self::Move { from, to, .. } | Self::Undo { from, to, .. } => [*from, *to],
        }
    }

    /// Whether it changes nothing.
    fn is_look(&self) -> bool {
        matches!(self, Self::Read { .. } | Self::See { .. })
    }
}

/// Keys between which nothing is moved have orders of their own.
pub(super) fn order(world: &World) -> Order {
    let history = world.history.lock();
    let events = events(&history, world.plan.has_denials);
    let mut group: Vec<usize> = (0..KEYS.len()).collect();
    for [from, to] in events.iter().map(|event| event.what.keys()) {
        let (old, new) = (group[from], group[to]);
        group.iter_mut().filter(|group| **group == old).for_each(|group| *group = new);
    }
    let groups: BTreeSet<usize> = group.iter().copied().collect();
    let mut unknown = false;
    for one in groups {
        let is_here = |event: &&Event| group[event.what.keys()[0]] == one;
        let events: Vec<Event> = events.iter().filter(is_here).cloned().collect();
        let is_stale = events.iter().any(|event| is_stale(event.of, &history));
        match order_of(&events) {
            Order::Found => {}
            // What is saved on what is not there any more is shown until that is found out.
            Order::None(_) if is_stale => unknown = true,
            Order::Unknown => unknown = true,
            none => return none,
        }
    }
    if unknown { Order::Unknown } else { Order::Found }
}

/// Whether a client may have had something else in mind than was there.
fn is_stale(number: usize, history: &History) -> bool {
    let History { ops, deaths, .. } = history;
    let op = &ops[number];
    let (Act::Save { key, .. } | Act::Move { to: key, .. }) = &op.act else { return false };
    // What was learned right before a crash is forgotten.
    let forgotten = op.known_since..=op.known_since + FORGOTTEN;
    let is_forgotten = |death: &u64| *death < op.begun && forgotten.contains(death);
    let known_since = if deaths.iter().any(is_forgotten) { 0 } else { op.known_since };
    let may_differ = |other: &Op| {
        let ended = if other.is_acknowledged() && other.who != Who::Other { other.ended } else { u64::MAX };
        other.may_be_done()
            && other.who != op.who
            && other.act.changes(key)
            && ended > known_since
            && other.begun < op.ended
    };
    // After a crash a client of which nothing is known may have read what was there before.
    let may_be_unsure = || deaths.iter().any(|death| *death < op.begun);
    let means_something = op.known != Known::Nothing || may_be_unsure();
    op.known == Known::Beside || (means_something && ops.iter().any(may_differ))
}

fn order_of(events: &[Event]) -> Order {
    if events.len() > 128 {
        return Order::Unknown;
    }
    let mut search = Search { events, known: HashSet::new(), furthest: (0, String::new()) };
    let begin = State { done: 0, registers: [None; KEYS.len()], undoable: Vec::new() };
    match search.run(&begin) {
        Some(true) => Order::Found,
        Some(false) => Order::None(search.furthest.1),
        None => Order::Unknown,
    }
}

fn place(key: &str) -> Option<usize> {
    KEYS.iter().position(|known| *known == key)
}

/// `has_denials`: the store may refuse what was accepted.
fn events(history: &History, has_denials: bool) -> Vec<Event> {
    let History { ops, changes, conflicts, .. } = history;
    let has_conflicts = has_denials || *conflicts > 0 || ops.iter().any(|op| op.who == Who::Other);
    let mut events = Vec::new();
    for (of, op) in ops.iter().enumerate() {
        let is_answered =
            matches!(op.outcome, Outcome::Done | Outcome::Lost | Outcome::Found(_) | Outcome::Names(_));
        let ended = (is_answered && op.who != Who::Other).then_some(op.ended);
        for what in whats(op, ops, changes, has_denials) {
            events.push(Event { of, begun: op.begun, ended, what });
            let undone = match what {
                What::Move { from, to, .. } if has_conflicts => Some((from, to)),
                What::Put { at, may_lose: true, .. } => Some((at, at)),
                What::Remove { at } if has_denials || was_refused(op, ops) => Some((at, at)),
                _ => None,
            };
            if let Some((from, to)) = undone {
                let what = What::Undo { of, from, to };
                events.push(Event { of, begun: op.begun, ended: None, what });
            }
        }
    }
    events
}

/// What one operation does, or saw.
fn whats(op: &Op, ops: &[Op], changes: &[Change], has_denials: bool) -> Vec<What> {
    match (&op.act, &op.outcome) {
        (_, Outcome::Nothing(_)) => Vec::new(),
        (Act::Save { .. }, Outcome::Lost) | (Act::Folder { .. }, _) => Vec::new(),
        (Act::Save { key, value }, _) => {
            let Some(at) = place(key) else { return Vec::new() };
            let is_given_up = || has_denials && is_moved_over(op, key, ops);
            let may_lose =
                *value == 0 || may_lie_beside(op, ops, changes) || is_given_up() || was_refused(op, ops);
            vec![What::Put { at, value: *value, may_lose }]
        }
        (Act::Delete { key } | Act::Read { key }, Outcome::Found(found)) => {
            place(key).map(|at| What::Read { at, found: *found }).into_iter().collect()
        }
        (Act::DeleteFolder { name }, _) => {
            let within = KEYS.iter().enumerate().filter(|(_, key)| is_within(key, name));
            within.map(|(at, _)| What::Remove { at }).collect()
        }
        (Act::Delete { key }, _) => place(key).map(|at| What::Remove { at }).into_iter().collect(),
        (Act::Move { from, to }, outcome) => {
            let is_lost = *outcome == Outcome::Lost;
            let is_whole = is_lost || *outcome == Outcome::Done && !has_denials && !has_rival(op, ops);
            let (Some(from), Some(to)) = (place(from), place(to)) else { return Vec::new() };
            vec![What::Move { from, to, is_whole, is_lost }]
        }
        (Act::List { folder }, Outcome::Names(names)) => {
            let here = KEYS.iter().enumerate().filter_map(|(at, key)| Some((at, within(key, folder)?)));
            here.map(|(at, name)| What::See { at, is_there: names.contains(name) }).collect()
        }
        _ => Vec::new(),
    }
}

/// Whether others move the same at the same time: each may have it then.
fn has_rival(op: &Op, ops: &[Op]) -> bool {
    let is_at_once = |other: &&Op| other.who != op.who && other.begun < op.ended && op.begun < other.ended;
    let moved = |op: &Op| match &op.act {
        Act::Move { from, .. } => Some(from.clone()),
        _ => None,
    };
    ops.iter().filter(is_at_once).any(|other| moved(other).is_some() && moved(other) == moved(op))
}

/// Whether its client was told before that somebody else's is there, and did not get that: what it saves then loses, and what
/// it deletes then is its own.
fn was_refused(op: &Op, ops: &[Op]) -> bool {
    let (Act::Save { key, .. } | Act::Delete { key }) = &op.act else { return false };
    ops.iter().filter(|earlier| earlier.who == op.who && earlier.begun < op.begun).any(|earlier| {
        let is_deletion = matches!(&earlier.act, Act::Delete { key: deleted } if deleted == key);
        is_deletion && earlier.outcome == Outcome::Failed(Failure::Changed.to_string())
    })
}

/// Whether something was moved over what was saved. If the store refuses both, neither is there.
fn is_moved_over(op: &Op, key: &str, ops: &[Op]) -> bool {
    ops.iter().any(|later| later.ended > op.begun && matches!(&later.act, Act::Move { to, .. } if to == key))
}

/// Whether what was saved, or what its client saved over it, came beside.
fn may_lie_beside(op: &Op, ops: &[Op], changes: &[Change]) -> bool {
    let Act::Save { key, .. } = &op.act else { return false };
    let later = ops.iter().filter(|later| later.begun >= op.begun);
    later.into_iter().any(|later| {
        let Act::Save { key: saved, value } = &later.act else { return false };
        let is_beside = |change: &Change| {
            change.after == Some(*value) && original(&change.key) == saved && change.key != *saved
        };
        saved == key && (later.outcome == Outcome::Lost || changes.iter().any(is_beside))
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// A bit for each event.
    done: u128,
    registers: [Option<Value>; KEYS.len()],
    /// What operations put somewhere that may come to nothing, and what was in its place.
    undoable: Vec<(usize, Value, Option<Value>)>,
}

struct Search<'a> {
    events: &'a [Event],
    known: HashSet<State>,
    furthest: (u32, String),
}

impl Search<'_> {
    /// `None`: it takes too long.
    fn run(&mut self, state: &State) -> Option<bool> {
        let mut next: Vec<usize> = Vec::new();
        let mut first = u64::MAX;
        for (number, event) in self.events.iter().enumerate() {
            if state.done & (1 << number) == 0 {
                next.push(number);
                first = first.min(event.ended.unwrap_or(u64::MAX));
            }
        }
        if first == u64::MAX {
            return Some(true);
        }
        if self.known.len() > MOST_STATES {
            return None;
        }
        if !self.known.insert(state.clone()) {
            return Some(false);
        }
        next.retain(|number| self.events[*number].begun < first);
        // What fits and changes nothing may as well be the next.
        let looks = next.iter().filter(|number| self.events[**number].what.is_look());
        let fitting = looks.flat_map(|number| self.after(state, *number)).next();
        if let Some(after) = fitting {
            return self.run(&after);
        }
        self.note(state, &next);
        next.sort_by_key(|number| self.events[*number].ended.unwrap_or(u64::MAX));
        for number in next {
            for after in self.after(state, number) {
                if self.run(&after)? {
                    return Some(true);
                }
            }
        }
        Some(false)
    }

    fn note(&mut self, state: &State, next: &[usize]) {
        let count = state.done.count_ones();
        if count >= self.furthest.0 {
            let next = next.iter().map(|number| &self.events[*number]);
            let next: Vec<_> = next.map(|event| (event.of, event.what)).collect();
            self.furthest = (count, format!("{:?} is there, and then came one of {next:?}", state.registers));
        }
    }

    /// What may be there after an event; nothing: it cannot be the next.
    fn after(&self, state: &State, number: usize) -> Vec<State> {
        let mut after = State { done: state.done | 1 << number, ..state.clone() };
        let (of, registers) = (self.events[number].of, &mut after.registers);
        match self.events[number].what {
            What::Put { at, value, may_lose } => {
                if may_lose {
                    let missed = after.clone();
                    after.undoable.push((of, value, after.registers[at]));
                    after.registers[at] = Some(value);
                    return vec![after, missed];
                }
                registers[at] = Some(value);
                vec![after]
            }
            What::Remove { at } => {
                if let Some(old) = registers[at].take() {
                    after.undoable.push((of, NOTHING, Some(old)));
                }
                vec![after]
            }
            What::Move { from, to, is_whole, is_lost } => {
                let Some(value) = registers[from].take() else {
                    return if is_lost { vec![after] } else { Vec::new() };
                };
                let beside = after.clone();
                after.undoable.push((of, value, after.registers[to]));
                after.registers[to] = Some(value);
                let mut copied = after.clone();
                copied.registers[from] = Some(value);
                match (is_whole, is_lost) {
                    (_, true) => vec![beside, after],
                    (true, false) => vec![after],
                    (false, false) => vec![after, copied],
                }
            }
            What::Undo { of, from, to } => {
                let Some(at) = after.undoable.iter().position(|undoable| undoable.0 == of) else {
                    return Vec::new();
                };
                let (_, value, old) = after.undoable.remove(at);
                let mut undone = match after.registers[to] {
                    Some(there) if there != value => vec![after],
                    Some(_) => {
                        // Its source may stay alone.
                        let there = after.clone();
                        after.registers[to] = old;
                        if from == to { vec![after] } else { vec![after, there] }
                    }
                    // What was to be deleted did not come there; what it was to replace is there, unless it was that.
                    None => {
                        let gone = after.clone();
                        after.registers[to] = old;
                        vec![after, gone]
                    }
                };
                if from != to {
                    // What is moved stays where it was, or comes beside.
                    let stayed = undone.clone().into_iter().map(|mut state| {
                        state.registers[from] = state.registers[from].or(Some(value));
                        state
                    });
                    undone.splice(0..0, stayed);
                }
                undone
            }
            What::Read { at, found } if registers[at] == found => vec![after],
            What::See { at, is_there } if registers[at].is_some() == is_there => vec![after],
            What::Read { .. } | What::See { .. } => Vec::new(),
        }
    }
}

/// Steps before a crash.
const FORGOTTEN: u64 = 15;
/// No value.
const NOTHING: Value = Value::MAX;
/// More would take seconds.
const MOST_STATES: usize = 20_000;
