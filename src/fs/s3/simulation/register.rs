//! Whether all that clients were told fits one order of what was done: each key is a register. As Wing and Gong, and Lowe,
//! look for it: one order after the other, and no state twice.

use std::collections::{BTreeMap, HashSet};

use super::clients::within;
use super::history::{Act, Change, Op, Outcome, Value, Who};
use super::verdict::original;
use super::world::{KEYS, World};

/// What can come of looking.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Order {
    Found,
    /// There is none; the furthest that was come, for people.
    None(String),
    /// There are too many to look at all.
    Unknown,
}

type Registers = [Option<Value>; KEYS.len()];

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
    Put { at: usize, value: Value, may_miss: bool },
    Remove { at: usize },
    /// `is_whole`: it cannot have stopped halfway.
    Move { from: usize, to: usize, is_whole: bool },
    /// The move of this event comes to nothing after all.
    Undo { of: usize },
    Read { at: usize, found: Option<Value> },
    See { at: usize, is_there: bool },
}

pub(super) fn order(world: &World) -> Order {
    let history = world.history.lock();
    let events = events(&history.ops, &history.changes);
    if events.len() > 128 {
        return Order::Unknown;
    }
    let mut search = Search { events: &events, known: HashSet::new(), furthest: (0, String::new()) };
    let begin = State { done: 0, registers: [None; KEYS.len()], moved: BTreeMap::new() };
    match search.run(&begin) {
        Some(true) => Order::Found,
        Some(false) => Order::None(search.furthest.1),
        None => Order::Unknown,
    }
}

fn place(key: &str) -> Option<usize> {
    KEYS.iter().position(|known| *known == key)
}

fn events(ops: &[Op], changes: &[Change]) -> Vec<Event> {
    let has_others = ops.iter().any(|op| op.who == Who::Other);
    let mut events = Vec::new();
    for (number, op) in ops.iter().enumerate() {
        let is_open = !matches!(op.outcome, Outcome::Done | Outcome::Lost | Outcome::Found(_) | Outcome::Names(_));
        let ended = if is_open || op.who == Who::Other { None } else { Some(op.ended) };
        for what in whats(op, ops, changes) {
            events.push(Event { of: number, begun: op.begun, ended, what });
        }
        let is_move = matches!(op.act, Act::Move { .. }) && op.may_be_done();
        if is_move && has_others {
            let what = What::Undo { of: events.len() - 1 };
            events.push(Event { of: number, begun: op.begun, ended: None, what });
        }
    }
    events
}

/// What one operation does, or saw.
fn whats(op: &Op, ops: &[Op], changes: &[Change]) -> Vec<What> {
    match (&op.act, &op.outcome) {
        (_, Outcome::Nothing(_)) => Vec::new(),
        (Act::Save { .. }, Outcome::Lost) | (Act::Folder { .. }, _) => Vec::new(),
        (Act::Save { key, value }, _) => {
            let Some(at) = place(key) else { return Vec::new() };
            let may_miss = *value == 0 || may_lie_beside(op, ops, changes);
            vec![What::Put { at, value: *value, may_miss }]
        }
        (Act::Delete { key } | Act::Read { key }, Outcome::Found(found)) => {
            place(key).map(|at| What::Read { at, found: *found }).into_iter().collect()
        }
        (Act::Delete { key }, _) => place(key).map(|at| What::Remove { at }).into_iter().collect(),
        (Act::Move { from, .. }, Outcome::Lost) => {
            place(from).map(|at| What::Remove { at }).into_iter().collect()
        }
        (Act::Move { from, to }, outcome) => {
            let (Some(from), Some(to)) = (place(from), place(to)) else { return Vec::new() };
            vec![What::Move { from, to, is_whole: *outcome == Outcome::Done }]
        }
        (Act::List { folder }, Outcome::Names(names)) => {
            let here = KEYS.iter().enumerate().filter_map(|(at, key)| Some((at, within(key, folder)?)));
            here.map(|(at, name)| What::See { at, is_there: names.contains(name) }).collect()
        }
        _ => Vec::new(),
    }
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
    registers: Registers,
    /// What moves moved, and what was in its place, by event.
    moved: BTreeMap<usize, (Value, Option<Value>)>,
}

struct Search<'a> {
    events: &'a [Event],
    known: HashSet<State>,
    furthest: (u32, String),
}

impl Search<'_> {
    /// `None`: it takes too long.
    fn run(&mut self, state: &State) -> Option<bool> {
        let is_left = |number: &usize| state.done & (1 << number) == 0;
        let left: Vec<usize> = (0..self.events.len()).filter(is_left).collect();
        let ends = left.iter().filter_map(|number| self.events[*number].ended);
        let Some(first) = ends.min() else { return Some(true) };
        if self.known.len() > MOST_STATES {
            return None;
        }
        if !self.known.insert(state.clone()) {
            return Some(false);
        }
        let mut next: Vec<usize> =
            left.into_iter().filter(|number| self.events[*number].begun < first).collect();
        next.sort_by_key(|number| self.events[*number].ended.unwrap_or(u64::MAX));
        self.note(state, &next);
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
        let registers = &mut after.registers;
        match self.events[number].what {
            What::Put { at, value, may_miss } => {
                registers[at] = Some(value);
                let missed = State { registers: state.registers, ..after.clone() };
                if may_miss { vec![after, missed] } else { vec![after] }
            }
            What::Remove { at } => {
                registers[at] = None;
                vec![after]
            }
            What::Move { from, to, is_whole } => {
                let Some(value) = registers[from] else { return Vec::new() };
                after.moved.insert(number, (value, registers[to]));
                registers[to] = Some(value);
                let copied = after.clone();
                after.registers[from] = None;
                if is_whole { vec![after] } else { vec![after, copied] }
            }
            What::Undo { of } => {
                let Some((value, old)) = after.moved.get(&of).copied() else { return Vec::new() };
                let What::Move { from, to, .. } = self.events[of].what else { return Vec::new() };
                registers[from] = registers[from].or(Some(value));
                registers[to] = if registers[to] == Some(value) { old } else { registers[to] };
                vec![after]
            }
            What::Read { at, found } if registers[at] == found => vec![after],
            What::See { at, is_there } if registers[at].is_some() == is_there => vec![after],
            What::Read { .. } | What::See { .. } => Vec::new(),
        }
    }
}

/// More would take seconds.
const MOST_STATES: usize = 200_000;
