//! What an endpoint can: asked once a week and server, and remembered in the state database.
//!
//! Which server it is its answers say (`Server`); another one, or another version, may keep other conditions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::Kind;
use super::probe::Probe;
use crate::logging::with_causes;
use crate::state::{AbilityRow, State, millis};
use crate::store::reach::Reach;
use crate::store::{MultipartStore, StoreError, StoreResult};

/// Whom to ask, and where.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Its URL, and the bucket.
    pub name: String,
    /// Where keys to ask on may be made: empty, or with a slash at the end.
    pub prefix: String,
    /// Says which server answers.
    pub reach: Reach,
    /// How long a look at an object counts; see [`super::LOOK_AGE`].
    pub look_age: Duration,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Abilities {
    endpoint: Endpoint,
    /// Notes the keys, and the answers.
    state: State,
    /// By server.
    known: Mutex<BTreeMap<String, Known>>,
    /// Kinds of which it was seen that they are not kept after all.
    doubted: Mutex<BTreeSet<Kind>>,
    /// One asks at a time.
    asking: tokio::sync::Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Known {
    /// In milliseconds since 1970.
    asked: u64,
    /// `None`: it cannot be asked.
    keeps: BTreeMap<Kind, Option<bool>>,
}

impl Abilities {
    pub(super) fn new(endpoint: Endpoint, state: State) -> Self {
        let (known, doubted, asking) = Default::default();
        Self { endpoint, state, known, doubted, asking }
    }

    /// Whether the endpoint keeps the conditions of such writes. Whoever is first asks for all kinds; a failure is
    /// not taken for an answer.
    pub(super) async fn keeps(&self, store: &dyn MultipartStore, kind: Kind) -> StoreResult<bool> {
        if let Some(keeps) = self.known(kind) {
            return Ok(keeps);
        }
        let _turn = self.asking.lock().await;
        self.known.lock().retain(|_, known| is_young(known.asked));
        self.recall().await;
        if let Some(keeps) = self.known(kind) {
            return Ok(keeps);
        }
        let is_new = !self.known.lock().contains_key(&self.server());
        let kinds = if is_new { &Kind::ALL[..] } else { &[kind][..] };
        let probe = Probe { store, state: &self.state, prefix: &self.endpoint.prefix };
        let (mut answers, mut failure) = (BTreeMap::new(), None);
        for (asked, answer) in probe.ask(kinds).await? {
            match answer {
                Ok(answer) => answers.extend([(asked, answer)]),
                Err(error) if asked == kind => failure = Some(error),
                Err(error) => {
                    tracing::debug!(kind = asked.name(), %error, "it is asked again when it is needed")
                }
            }
        }
        tell(&answers);
        self.learn(answers).await;
        let no_answer = || {
            StoreError::Unavailable("it is unknown whether the endpoint supports conditional writes".into())
        };
        self.known(kind).ok_or_else(|| failure.unwrap_or_else(no_answer))
    }

    /// A write passed whose condition, as far as is known, did not hold: such writes are asked about anew, once.
    pub(super) async fn doubt(&self, kind: Kind) {
        if !self.doubted.lock().insert(kind) {
            return;
        }
        tracing::warn!(
            kind = kind.name(),
            "a write succeeded although its condition did not hold: the endpoint's conditional writes are \
             tested again"
        );
        let server = self.server();
        let known = {
            let mut known = self.known.lock();
            known.values_mut().for_each(|known| known.keeps.retain(|other, _| *other != kind));
            known.get(&server).cloned()
        };
        if let Some(known) = known {
            self.note(&server, &known).await;
        }
    }

    fn known(&self, kind: Kind) -> Option<bool> {
        let known = self.known.lock();
        let known = known.get(&self.server()).filter(|known| is_young(known.asked))?;
        Some(*known.keeps.get(&kind)? == Some(true))
    }

    fn server(&self) -> String {
        self.endpoint.reach.server().unwrap_or_default()
    }

    /// Takes over what an earlier life was told.
    async fn recall(&self) {
        let server = self.server();
        if self.known.lock().contains_key(&server) {
            return;
        }
        let row = match self.state.abilities(&self.row_of(&server)).await {
            Ok(row) => row.filter(|row| is_young(row.asked)),
            Err(error) => {
                tracing::debug!(error = with_causes(&error), "what the endpoint supports is no longer known");
                None
            }
        };
        let Some(row) = row else { return };
        let keeps = Kind::ALL.into_iter().filter_map(|kind| Some((kind, Some(*row.keeps.get(kind.name())?))));
        let known = Known { asked: row.asked, keeps: keeps.collect() };
        tell(&known.keeps);
        self.known.lock().insert(server, known);
    }

    async fn learn(&self, answers: BTreeMap<Kind, Option<bool>>) {
        if answers.is_empty() {
            return;
        }
        let server = self.server();
        let known = {
            let mut all = self.known.lock();
            let known = all.entry(server.clone()).or_default();
            if known.keeps.is_empty() {
                known.asked = millis(SystemTime::now());
            }
            known.keeps.extend(answers);
            known.clone()
        };
        self.note(&server, &known).await;
    }

    /// For the next lives. What could not be asked may be allowed then.
    async fn note(&self, server: &str, known: &Known) {
        let sure = known.keeps.iter().filter_map(|(kind, keeps)| Some((kind.name().to_owned(), (*keeps)?)));
        let row = AbilityRow { asked: known.asked, keeps: sure.collect() };
        let oldest = millis(SystemTime::now()).saturating_sub(REMEMBERED.as_millis() as u64);
        if let Err(error) = self.state.note_abilities(&self.row_of(server), &row, oldest).await {
            tracing::warn!(error = with_causes(&error), "the endpoint is tested again at the next start");
        }
    }

    fn row_of(&self, server: &str) -> String {
        format!("{}\0{server}", self.endpoint.name)
    }
}

/// Whether what was told then still counts. A clock that was set back tells nothing.
fn is_young(asked: u64) -> bool {
    let age = millis(SystemTime::now()).checked_sub(asked);
    age.is_some_and(|age| age < REMEMBERED.as_millis() as u64)
}

/// Says in the log what the user should know, once a life.
fn tell(answers: &BTreeMap<Kind, Option<bool>>) {
    let those = |wanted: Option<bool>| {
        let of_writes = answers.iter().filter(|(kind, keeps)| **kind != Kind::Listing && **keeps == wanted);
        let kinds = of_writes.map(|(kind, _)| kind.name());
        Some(kinds.collect::<Vec<_>>().join(", ")).filter(|kinds| !kinds.is_empty())
    };
    if answers.get(&Kind::Listing).is_some_and(|at_once| *at_once != Some(true)) {
        tracing::debug!("listings may not show at once what was written: each name is looked at by itself");
    }
    if let Some(kinds) = those(Some(true)) {
        tracing::debug!(kinds, "the endpoint supports these conditional writes");
    }
    if let Some(kinds) = those(Some(false)) {
        tracing::warn!(
            kinds,
            "the endpoint ignores the conditions of such writes: s3dav checks before each of them, but \
             simultaneous changes can be lost"
        );
    }
    if let Some(kinds) = those(None) {
        tracing::warn!(
            kinds,
            hint = HINT,
            "the endpoint's conditional writes cannot be tested, because a key below .s3dav/ cannot be \
             written and deleted: s3dav checks before each write, but simultaneous changes can be lost"
        );
    }
}

/// What the user can do where the endpoint cannot be asked.
const HINT: &str = "allow s3:PutObject and s3:DeleteObject below .s3dav/, or start the gateway with \
                    --conditional-writes yes if the endpoint supports them";
/// Servers are replaced and set up anew without another name.
const REMEMBERED: Duration = Duration::from_secs(7 * 24 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    async fn abilities(state: &State, server: &str) -> Abilities {
        let (reach, look_age) = (Reach::default(), super::super::LOOK_AGE);
        reach.is_served_by(server);
        let endpoint = Endpoint { name: "here".into(), prefix: ".s3dav/".into(), reach, look_age };
        Abilities::new(endpoint, state.clone())
    }

    #[tokio::test]
    async fn what_was_told_counts_for_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), "test").await.unwrap();
        let day = 24 * 3600 * 1000;
        let now = millis(SystemTime::now());
        // It keeps them, but was remembered to ignore them.
        for (asked, is_remembered) in [(now - 6 * day, true), (now - 8 * day, false), (now + day, false)] {
            let row = AbilityRow { asked, keeps: [("put".to_owned(), false)].into() };
            state.note_abilities("here\0server", &row, 0).await.unwrap();
            let keeps = abilities(&state, "server").await.keeps(&MemoryStore::default(), Kind::Put).await;
            assert_eq!(keeps.unwrap(), !is_remembered, "{asked}");
        }
    }

    #[tokio::test]
    async fn what_was_asked_is_remembered_of_that_server_until_it_is_doubted() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), "test").await.unwrap();
        let first = abilities(&state, "one").await;
        assert!(first.keeps(&MemoryStore::default(), Kind::Delete).await.unwrap());
        let remembered = async |server: &str| state.abilities(&format!("here\0{server}")).await.unwrap();
        let all: Vec<String> = remembered("one").await.unwrap().keeps.into_keys().collect();
        assert_eq!(all.len(), Kind::ALL.len(), "{all:?}");
        assert_eq!(remembered("two").await, None);
        first.doubt(Kind::Delete).await;
        assert_eq!(first.known(Kind::Delete), None);
        assert!(first.known(Kind::Put).is_some());
        assert_eq!(remembered("one").await.unwrap().keeps.len(), Kind::ALL.len() - 1);
        assert!(first.keeps(&MemoryStore::default(), Kind::Delete).await.unwrap());
        first.doubt(Kind::Delete).await;
        assert_eq!(first.known(Kind::Delete), Some(true), "asked again once");
    }

    #[tokio::test]
    async fn a_life_that_lasts_asks_again_after_a_week() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), "test").await.unwrap();
        let abilities = abilities(&state, "server").await;
        let store = MemoryStore::default();
        assert!(abilities.keeps(&store, Kind::Put).await.unwrap());
        let age = |age: u64| {
            let mut known = abilities.known.lock();
            let known = known.get_mut("server").unwrap();
            // It keeps them, but was found to ignore them.
            known.keeps.insert(Kind::Put, Some(false));
            known.asked = millis(SystemTime::now()) - age * 24 * 3600 * 1000;
        };
        age(6);
        assert!(!abilities.keeps(&store, Kind::Put).await.unwrap());
        age(8);
        assert!(abilities.keeps(&store, Kind::Put).await.unwrap());
        let row = state.abilities("here\0server").await.unwrap().unwrap();
        assert!(is_young(row.asked) && row.keeps.len() == Kind::ALL.len());
    }
}
