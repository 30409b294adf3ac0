//! What seeds have found, reduced.

use std::sync::Arc;

use super::clients::Session;
use super::faults::all;
use super::history::{Act, Outcome, Value};
use super::life::Life;
use super::random::Random;
use super::seeds::{in_runtime, rest};
use super::steps::Steps;
use super::world::World;

fn save(value: Value) -> Act {
    Act::Save { key: "a".to_owned(), value }
}

/// What is in the bucket when a Mac saves a file that it has deleted or moved away while S3 was away, which came to nothing
/// since somebody else had written it; another Mac has looked at it meanwhile.
fn saved_again_after(act: Act) -> Vec<(String, Value)> {
    let (world, place) = (World::calm(), tempfile::tempdir().unwrap());
    let path = place.path().to_owned();
    let steps = Steps::new(Random::new(1), None, (path.clone(), path.clone()));
    in_runtime(&steps, async {
        let life = Arc::new(Life::begin(&world, &steps, &path).await);
        let session = |number| Session { world: Arc::clone(&world), life: Arc::clone(&life), number };
        assert_eq!(session(0).act(save(MINE), None).await, Outcome::Done);
        // What is known is worked on while S3 is away.
        session(0).act(Act::List { folder: String::new() }, None).await;
        world.weather.lock().is_away = true;
        assert_eq!(session(0).act(act, None).await, Outcome::Done);
        world.change_elsewhere("a", Some(THEIRS));
        world.weather.lock().is_away = false;
        assert!(rest(&life).await.is_empty());
        let read = session(1).act(Act::Read { key: "a".to_owned() }, None).await;
        assert_eq!(read, Outcome::Found(Some(THEIRS)));
        session(0).act(save(MY_NEXT), None).await;
    });
    all(&world.objects).into_iter().collect()
}

#[test]
fn who_has_deleted_or_moved_in_vain_replaces_nothing_of_others_unseen() {
    let (a, b) = ("a".to_owned(), "b".to_owned());
    for act in [Act::Delete { key: a.clone() }, Act::Move { from: a, to: b }] {
        let left = saved_again_after(act);
        let values: Vec<Value> = left.iter().map(|(_, value)| *value).collect();
        assert_eq!(values, [THEIRS, MY_NEXT], "{left:?}");
    }
}

const MINE: Value = 1;
const THEIRS: Value = 2;
const MY_NEXT: Value = 3;
