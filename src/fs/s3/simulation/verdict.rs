//! Whether what was promised was kept: nothing that was acknowledged is lost, nothing of somebody else is replaced or deleted
//! unseen, nothing is there twice or was never written.

use std::collections::{BTreeMap, BTreeSet};

use super::history::{Act, Change, History, Known, Op, Outcome, Value, Who, is_within};
use super::world::{KEYS, World};

/// What is wrong; nothing, if all is well. `left` is in the store in the end.
pub(super) fn complaints(world: &World, left: &BTreeMap<String, Value>) -> Vec<String> {
    let history = world.history.lock();
    let seen = world.seen.lock();
    let seen = |value: Value| seen.get(&value).copied();
    let has_denials = world.plan.has_denials;
    let History { ops, changes, deaths, .. } = &*history;
    let has_died = !deaths.is_empty();
    let judge = Judge { ops, changes, seen: &seen, has_denials, has_died };
    let mut wrong = Vec::new();
    for change in history.changes.iter().filter(|change| change.by_gateway) {
        wrong.extend(judge.unlawful(change));
    }
    for op in &history.ops {
        wrong.extend(judge.lost(op, left));
    }
    wrong.extend(judge.strange(left));
    wrong
}

struct Judge<'a> {
    ops: &'a [Op],
    changes: &'a [Change],
    seen: &'a dyn Fn(Value) -> Option<u64>,
    has_denials: bool,
    has_died: bool,
}

impl Judge<'_> {
    fn saved(&self, value: Value) -> Option<&Op> {
        self.ops.iter().find(|op| matches!(op.act, Act::Save { value: saved, .. } if saved == value))
    }

    /// Where a value may have come to, by its save and by moves.
    fn places(&self, value: Value) -> BTreeSet<&str> {
        let mut places = BTreeSet::new();
        if let Some(Act::Save { key, .. }) = self.saved(value).map(|op| &op.act) {
            places.insert(key.as_str());
        }
        for _ in 0..KEYS.len() {
            for op in self.ops.iter().filter(|op| op.may_be_done()) {
                if let Act::Move { from, to } = &op.act
                    && places.contains(from.as_str())
                {
                    places.insert(to);
                }
            }
        }
        places
    }

    /// Whether the gateway may have known of a value until then.
    fn is_known(&self, value: Value, until: u64) -> bool {
        let Some(saved) = self.saved(value) else { return false };
        match saved.who {
            Who::Client(_) => saved.begun < until,
            Who::Other => (self.seen)(value).is_some_and(|at| at < until),
        }
    }

    /// Whether `op` may have taken away what was there, by itself.
    fn may_take(&self, op: &Op, key: &str, value: Value) -> bool {
        // What its client did not wait for goes on.
        let ended = if matches!(op.outcome, Outcome::Failed(_)) { u64::MAX } else { op.ended };
        if op.who == Who::Other || !op.may_be_done() || !self.is_known(value, ended) {
            return false;
        }
        if self.saved(value).is_some_and(|saved| saved.who == op.who) {
            return op.act.changes(key);
        }
        match &op.act {
            Act::Delete { key: deleted } => deleted == key,
            Act::DeleteFolder { name } => is_within(key, name),
            Act::Move { from, .. } if from == key => true,
            Act::Save { key: to, .. } | Act::Move { to, .. } if to == key => match op.known {
                Known::Nothing | Known::Moved => true,
                Known::Value(known) => known == value || known == 0 || self.brings(op, value),
                // What it brought there it was not told of, if that was refused halfway.
                Known::Absent | Known::Beside => self.may_have_brought(op, key, value),
            },
            _ => false,
        }
    }

    /// Whether that value may be at the source of this move: what changes meanwhile is moved once more.
    fn brings(&self, op: &Op, value: Value) -> bool {
        matches!(&op.act, Act::Move { from, .. } if self.places(value).contains(from.as_str()))
    }

    /// Whether the client of `op` may have moved that value there before, and was told that it had failed; or does so now.
    fn may_have_brought(&self, op: &Op, key: &str, value: Value) -> bool {
        if self.brings(op, value) {
            return true;
        }
        let is_open = |own: &&Op| matches!(own.outcome, Outcome::Failed(_) | Outcome::Cut);
        let mut own = self.ops.iter().filter(|own| own.who == op.who && own.begun < op.begun).filter(is_open);
        own.any(|own| match &own.act {
            Act::Move { from, to } => to == key && self.places(value).contains(from.as_str()),
            _ => false,
        })
    }

    /// The same, with all that may have been accepted before and came to nothing by itself.
    fn may_have_taken(&self, ended: u64, key: &str, value: Value) -> bool {
        self.ops.iter().any(|op| op.begun < ended && self.may_take(op, key, value))
    }

    /// What is wrong with something that the gateway did.
    fn unlawful(&self, change: &Change) -> Option<String> {
        let Change { at, key, before, after, .. } = change;
        if key.ends_with('/') {
            return None;
        }
        let before = before.filter(|before| *before != 0)?;
        // A copy beside is its writer's own.
        let place = if KEYS.contains(&key.as_str()) { key.as_str() } else { original(key) };
        let saved = after.filter(|after| *after != 0).and_then(|after| self.saved(after));
        let is_lawful = match saved {
            Some(saved) if place != key => self.may_replace_copy(saved, place, before),
            Some(saved) => self.may_replace(saved, place, before),
            // Empty files are all alike.
            None => self.may_have_taken(*at, place, before),
        };
        (!is_lawful).then(|| format!("at {at} v{before} at {key:?} was taken away by {after:?}, unseen"))
    }

    /// Whether what was saved may come, maybe by moves, to a place where that was.
    fn may_replace(&self, saved: &Op, key: &str, before: Value) -> bool {
        let Act::Save { key: to, value } = &saved.act else { return false };
        let moves = self.ops.iter().filter(|op| matches!(op.act, Act::Move { .. }) && op.may_be_done());
        let is_on_its_way = self.places(*value).contains(key);
        let moved = moves.filter(|op| is_on_its_way && op.act.puts_at(key)).map(|op| op.ended).max();
        let ended = if to == key { saved.ended.max(moved.unwrap_or(0)) } else { moved.unwrap_or(0) };
        self.may_have_taken(ended, key, before)
    }

    /// Whether what was saved may take the place of a copy beside, with what was there: its client goes on from that, or has
    /// lost there before it began.
    fn may_replace_copy(&self, saved: &Op, place: &str, before: Value) -> bool {
        let Act::Save { key: to, value } = &saved.act else { return false };
        let is_on_its_way = self.places(*value).contains(place);
        let moves = self.ops.iter().filter(|op| matches!(op.act, Act::Move { .. }) && op.may_be_done());
        let goes_on = |op: &Op| op.act.puts_at(place) && self.goes_on_from(op, before);
        let takes_away = |op: &Op| match &op.act {
            Act::Move { from, .. } => from == place,
            act => matches!(act, Act::Delete { .. } | Act::DeleteFolder { .. }),
        };
        // What it had given up may have become known to it after what it did next.
        let is_movers = |there: &Op| {
            is_on_its_way && moves.clone().any(|op| op.who == there.who && op.act.puts_at(place))
        };
        let is_own_open =
            |there: &Op| !there.is_acknowledged() && (there.who == saved.who || is_movers(there));
        if self.saved(before).is_some_and(is_own_open) {
            return true;
        }
        let was_taken = || self.ops.iter().any(|op| takes_away(op) && self.may_take(op, place, before));
        to == place && goes_on(saved) || is_on_its_way && moves.clone().any(goes_on) || was_taken()
    }

    /// Whether what a client does goes on from that value, or from what it made when it knew of no other.
    fn goes_on_from(&self, op: &Op, before: Value) -> bool {
        let (mut known, mut is_own) = (op.known, true);
        for _ in 0..self.ops.len() {
            let Known::Value(value) = known else { return is_own };
            // Empty files are all alike.
            if value == before || value == 0 {
                return true;
            }
            let Some(saved) = self.saved(value) else { return false };
            (known, is_own) = (saved.known, is_own && saved.who == op.who);
        }
        false
    }

    /// Whether an acknowledged save is nowhere, and nothing explains it; or is there twice.
    fn lost(&self, op: &Op, left: &BTreeMap<String, Value>) -> Option<String> {
        let Act::Save { key, value } = &op.act else { return None };
        if *value == 0 {
            return None;
        }
        let places: Vec<&String> =
            left.iter().filter(|(_, there)| *there == value).map(|(at, _)| at).collect();
        if places.len() > 1 && !self.is_doubtful(*value) {
            return Some(format!("v{value} is there more than once: {places:?}"));
        }
        if !places.is_empty() || !op.is_acknowledged() {
            return None;
        }
        let was_there = |change: &&Change| change.after == Some(*value);
        let was_taken = |change: &&Change| change.before == Some(*value) && change.after != Some(*value);
        // Whether that was lawful was looked at.
        if self.changes.iter().any(|change| was_there(&change)) {
            let is_taken = self.changes.iter().any(|change| was_taken(&change));
            return (!is_taken).then(|| format!("v{value} was at {key:?} and is not"));
        }
        let is_replaced = |by: &&Op| {
            let is_other = !matches!(by.act, Act::Save { value: saved, .. } if saved == *value);
            is_other
                && by.ended > op.begun
                && self.places(*value).iter().any(|place| self.may_take(by, place, *value))
        };
        let is_replaced = self.ops.iter().any(|by| is_replaced(&by));
        (!is_replaced).then(|| format!("v{value} of #{key:?} was acknowledged and never came to the store"))
    }

    /// Whether a move of it, or its save, was not answered as it should be, or it was moved while somebody else saved or
    /// moved it: each may have it then.
    fn is_doubtful(&self, value: Value) -> bool {
        let places = self.places(value);
        let is_of_it = |op: &&Op| match &op.act {
            Act::Move { from, to } => places.contains(from.as_str()) || places.contains(to.as_str()),
            Act::Save { value: saved, .. } => *saved == value,
            _ => false,
        };
        // A move that is refused after its copy was made may come to nothing.
        let is_refused = |op: &Op| self.has_denials && matches!(op.act, Act::Move { .. });
        let is_open = |op: &Op| {
            matches!(op.outcome, Outcome::Failed(_) | Outcome::Cut | Outcome::UnderWay) || is_refused(op)
        };
        let is_move_of_it =
            |op: &&Op| matches!(&op.act, Act::Move { from, .. } if places.contains(from.as_str()));
        let moves: Vec<&Op> = self.ops.iter().filter(is_move_of_it).collect();
        let is_at_once =
            |one: &Op, other: &Op| one.who != other.who && one.begun < other.ended && other.begun < one.ended;
        let others = || moves.iter().copied().chain(self.saved(value));
        self.ops.iter().filter(is_of_it).any(is_open)
            || moves.iter().any(|one| others().any(|other| is_at_once(one, other)))
    }

    /// Whether one client alone has changed a key, and those where it moved something between them, and was told what came
    /// of it.
    fn is_undisputed(&self, key: &str) -> bool {
        let moves = self.ops.iter().filter_map(|op| match &op.act {
            Act::Move { from, to } if op.act.changes(key) && op.may_be_done() => Some([from, to]),
            _ => None,
        });
        let keys: BTreeSet<&str> = moves.flatten().map(String::as_str).chain([key]).collect();
        let changes_one = |op: &Op| keys.iter().any(|key| op.act.changes(key));
        let mut at = self.ops.iter().filter(|op| changes_one(op) && op.may_be_done());
        let first = at.next().map(|op| op.who);
        let is_told =
            |op: &Op| op.is_acknowledged() || matches!(op.outcome, Outcome::Found(_) | Outcome::Nothing(_));
        // What is refused may come to nothing when something else is saved there.
        !self.has_died
            && !self.has_denials
            && at.all(|op| Some(op.who) == first)
            && self.ops.iter().all(|op| !changes_one(op) || is_told(op))
    }

    /// What nobody wrote, or not there.
    fn strange(&self, left: &BTreeMap<String, Value>) -> Vec<String> {
        let mut strange = Vec::new();
        for (key, value) in left {
            if key.ends_with('/') {
                continue;
            }
            let place = if KEYS.contains(&key.as_str()) { key.as_str() } else { original(key) };
            if *value != 0 && !self.places(*value).contains(place) {
                strange.push(format!("v{value} is at {key:?}, where it does not belong"));
            }
            if place != key && self.is_undisputed(place) {
                strange.push(format!("v{value} is at {key:?}, though nobody else wrote at {place:?}"));
            }
        }
        strange
    }
}

/// The key beside which a copy lies: `a (conflict …)`, `d/x (conflict …)`.
pub(super) fn original(key: &str) -> &str {
    key.split(" (").next().unwrap_or(key)
}
