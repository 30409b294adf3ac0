//! Rows as JSON. One that this version cannot read is of another version, or a bug of one: it is left out, and stays
//! where it is.

use redb::ReadableTable;
use serde::de::DeserializeOwned;

use super::StateError;

/// What a table holds.
#[derive(Debug)]
pub(super) struct Rows<R> {
    /// By key.
    pub(super) all: Vec<(String, R)>,
    /// How many cannot be read.
    pub(super) unreadable: usize,
}

/// Reads all rows of a table.
pub(super) fn read<R: DeserializeOwned>(
    table: &impl ReadableTable<&'static str, &'static str>,
) -> Result<Rows<R>, StateError> {
    let mut rows = Rows { all: Vec::new(), unreadable: 0 };
    for row in table.iter()? {
        let (key, row) = row?;
        if let Ok(row) = serde_json::from_str(row.value()) {
            rows.all.push((key.value().to_owned(), row));
        } else {
            rows.unreadable += 1;
        }
    }
    Ok(rows)
}
