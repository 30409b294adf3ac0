//! What endpoints can, as they were asked: they are not asked again at each start.

use std::collections::BTreeMap;

use redb::{Durability, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::{JsonTable, State, StateError};

/// Endpoint, as whoever asks names it -> row.
const TABLE: JsonTable = TableDefinition::new("abilities");

/// What one endpoint can.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbilityRow {
    /// When it was asked, in milliseconds since 1970.
    pub asked: u64,
    /// Whether it keeps the conditions of writes, by their kinds.
    pub keeps: BTreeMap<String, bool>,
}

impl State {
    /// What is known of an endpoint. A row that cannot be read is none: the endpoint can be asked again.
    pub async fn abilities(&self, endpoint: &str) -> Result<Option<AbilityRow>, StateError> {
        let endpoint = endpoint.to_owned();
        self.read(move |transaction| {
            let table = transaction.open_table(TABLE)?;
            Ok(table.get(&*endpoint)?.and_then(|row| serde_json::from_str(row.value()).ok()))
        })
        .await
    }

    /// Notes what is known of an endpoint, and drops all rows of what was asked before `oldest`. Not synced at once:
    /// what a crash loses is asked again.
    pub async fn note_abilities(
        &self,
        endpoint: &str,
        row: &AbilityRow,
        oldest: u64,
    ) -> Result<(), StateError> {
        let (endpoint, row) = (endpoint.to_owned(), serde_json::to_string(row)?);
        self.write(Durability::None, move |transaction| {
            let mut table = transaction.open_table(TABLE)?;
            table.insert(&*endpoint, &*row)?;
            let is_young =
                |row: &str| serde_json::from_str(row).is_ok_and(|row: AbilityRow| row.asked >= oldest);
            Ok(table.retain(|_, row| is_young(row))?)
        })
        .await
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_an_endpoint_can_is_kept_until_it_is_too_old() {
        let dir = tempfile::tempdir().unwrap();
        let row = |asked| AbilityRow { asked, keeps: [("put".to_owned(), asked > 5)].into() };
        let state = State::open(dir.path(), "test").await.unwrap();
        state.note_abilities("old", &row(5), 0).await.unwrap();
        state.note_abilities("new", &row(9), 5).await.unwrap();
        state.close().await.unwrap();
        drop(state);
        let state = State::open(dir.path(), "test").await.unwrap();
        assert_eq!(state.abilities("old").await.unwrap(), Some(row(5)));
        assert_eq!(state.abilities("new").await.unwrap(), Some(row(9)));
        assert_eq!(state.abilities("other").await.unwrap(), None);
        state.note_abilities("newer", &row(10), 6).await.unwrap();
        assert_eq!(state.abilities("old").await.unwrap(), None);
    }
}
