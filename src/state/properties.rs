//! Dead properties: what PROPPATCH stored, by resource.
//!
//! A resource is named by its key form: `a/b` a file, `a/b/` a folder, the empty text the root.
//! An in-memory index of the resources that have properties at all keeps PROPFIND of the others,
//! nearly all, away from the database.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::sync::Arc;

use parking_lot::RwLock;
use redb::{Database, Durability, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use super::{State, StateError};

/// Resource, NUL, namespace, NUL, local name -> the property's whole element as XML.
const TABLE: TableDefinition<&str, &[u8]> = TableDefinition::new("properties");

/// More than any client sets; bounds what one resource can cost. One value is bounded by the
/// limit on request bodies.
const MAX_PER_RESOURCE: usize = 256;
/// Of all of them, as XML: they are read and sent together.
const MAX_BYTES_PER_RESOURCE: usize = 1 << 20;

/// A property's qualified name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PropertyName {
    /// Empty: no namespace.
    pub namespace: String,
    pub local: String,
}

/// A stored property.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredProperty {
    pub name: PropertyName,
    /// The whole element.
    pub xml: Vec<u8>,
}

/// One instruction of a PROPPATCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PropertyChange {
    Set(StoredProperty),
    Remove(PropertyName),
}

/// Which resources have properties.
#[derive(Debug, Clone, Default)]
pub(super) struct Index(Arc<RwLock<BTreeSet<String>>>);

impl Index {
    pub(super) fn len(&self) -> usize {
        self.0.read().len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    pub(super) fn load(database: &Database) -> Result<Self, StateError> {
        let table = database.begin_read()?.open_table(TABLE)?;
        let mut resources = BTreeSet::new();
        for row in table.iter()? {
            let (key, _) = row?;
            resources.insert(resource_of(key.value()).to_owned());
        }
        Ok(Self(Arc::new(RwLock::new(resources))))
    }

    fn contains(&self, resource: &str) -> bool {
        self.0.read().contains(resource)
    }

    fn any_within(&self, resource: &str) -> bool {
        self.0
            .read()
            .range::<str, _>((Bound::Included(resource), Bound::Unbounded))
            .next()
            .is_some_and(|first| within(first, resource))
    }

    fn within(&self, resource: &str) -> Vec<String> {
        let resources = self.0.read();
        let from = resources.range::<str, _>((Bound::Included(resource), Bound::Unbounded));
        from.take_while(|found| within(found, resource)).cloned().collect()
    }

    fn remove_within(&self, resource: &str) {
        self.0.write().retain(|r| !within(r, resource));
    }

    fn note(&self, resource: &str, has_properties: bool) {
        let mut resources = self.0.write();
        if has_properties {
            resources.insert(resource.to_owned());
        } else {
            resources.remove(resource);
        }
    }
}

impl State {
    /// The dead properties of `resource`, by name.
    pub async fn properties(&self, resource: &str) -> Result<Vec<StoredProperty>, StateError> {
        if !self.0.properties.contains(resource) {
            return Ok(Vec::new());
        }
        let resource = resource.to_owned();
        self.read(move |transaction| {
            let table = transaction.open_table(TABLE)?;
            rows_of(&table, &resource)
        })
        .await
    }

    /// The resources at and below `resource` that have dead properties, folders before what is in them.
    pub fn resources_within(&self, resource: &str) -> Vec<String> {
        self.0.properties.within(resource)
    }

    /// Whether there are any.
    pub fn has_properties_within(&self, resource: &str) -> bool {
        self.0.properties.any_within(resource)
    }

    /// Carries out `changes` on `resource`, all or none.
    pub async fn change_properties(
        &self,
        resource: &str,
        changes: Vec<PropertyChange>,
    ) -> Result<(), StateError> {
        let (name, index) = (resource.to_owned(), self.0.properties.clone());
        let work = move |transaction: &WriteTransaction| {
            let mut table = transaction.open_table(TABLE)?;
            for change in &changes {
                match change {
                    PropertyChange::Set(p) => table.insert(&*row_key(&name, &p.name), &*p.xml)?,
                    PropertyChange::Remove(p) => table.remove(&*row_key(&name, p))?,
                };
            }
            let (count, bytes) = size_of(&table, &name)?;
            if count > MAX_PER_RESOURCE {
                return Err(StateError::TooManyProperties(MAX_PER_RESOURCE));
            }
            if bytes > MAX_BYTES_PER_RESOURCE {
                return Err(StateError::LargeProperties(MAX_BYTES_PER_RESOURCE));
            }
            Ok((name, count > 0))
        };
        self.write_then(Durability::Immediate, work, move |(name, has_any)| index.note(&name, has_any)).await
    }

    /// Forgets the properties of `resource` and, if it is a folder, of all below it.
    pub async fn remove_properties(&self, resource: &str) -> Result<(), StateError> {
        if !self.0.properties.any_within(resource) {
            return Ok(());
        }
        let (name, index) = (resource.to_owned(), self.0.properties.clone());
        let work = move |transaction: &WriteTransaction| {
            remove_within(&mut transaction.open_table(TABLE)?, &name)?;
            Ok(name)
        };
        self.write_then(Durability::Immediate, work, move |name| index.remove_within(&name)).await
    }

    /// Gives `to` the properties of `from`, with all below a folder, in place of those it had.
    /// `keep_source` tells COPY from MOVE.
    pub async fn transfer_properties(
        &self,
        from: &str,
        to: &str,
        keep_source: bool,
    ) -> Result<(), StateError> {
        if !self.0.properties.any_within(from) && !self.0.properties.any_within(to) {
            return Ok(());
        }
        let (source, target, index) = (from.to_owned(), to.to_owned(), self.0.properties.clone());
        let work = move |transaction: &WriteTransaction| {
            let mut table = transaction.open_table(TABLE)?;
            let keys = keys_within(&table, &source)?;
            remove_within(&mut table, &target)?;
            let mut resources = Vec::new();
            for key in keys {
                // One at a time: a tree may have more than fits the memory.
                let Some(xml) = table.get(&*key)?.map(|value| value.value().to_vec()) else { continue };
                if !keep_source {
                    table.remove(&*key)?;
                }
                let moved = format!("{target}{}", &key[source.len()..]);
                table.insert(&*moved, &*xml)?;
                resources.push(resource_of(&moved).to_owned());
            }
            Ok((source, target, resources))
        };
        let apply = move |(source, target, moved): (String, String, Vec<String>)| {
            index.remove_within(&target);
            if !keep_source {
                index.remove_within(&source);
            }
            moved.iter().for_each(|resource| index.note(resource, true));
        };
        self.write_then(Durability::Immediate, work, apply).await
    }
}

pub(super) fn create_table(transaction: &WriteTransaction) -> Result<(), StateError> {
    transaction.open_table(TABLE)?;
    Ok(())
}

fn row_key(resource: &str, name: &PropertyName) -> String {
    format!("{resource}\0{}\0{}", name.namespace, name.local)
}

fn resource_of(row_key: &str) -> &str {
    row_key.split('\0').next().unwrap_or_default()
}

/// Whether `resource` is `root` or, where `root` is a folder, lies below it.
fn within(resource: &str, root: &str) -> bool {
    resource == root || ((root.is_empty() || root.ends_with('/')) && resource.starts_with(root))
}

fn rows_of(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    resource: &str,
) -> Result<Vec<StoredProperty>, StateError> {
    let start = format!("{resource}\0");
    let mut found = Vec::new();
    for row in table.range(&*start..)? {
        let (key, xml) = row?;
        let Some(name) = key.value().strip_prefix(&start) else { break };
        let (namespace, local) = name.split_once('\0').unwrap_or(("", name));
        let name = PropertyName { namespace: namespace.to_owned(), local: local.to_owned() };
        found.push(StoredProperty { name, xml: xml.value().to_vec() });
    }
    Ok(found)
}

/// How many properties `resource` has, and their bytes as XML.
fn size_of(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    resource: &str,
) -> Result<(usize, usize), StateError> {
    let start = format!("{resource}\0");
    let (mut count, mut bytes) = (0, 0);
    for row in table.range(&*start..)? {
        let (key, xml) = row?;
        if !key.value().starts_with(&start) {
            break;
        }
        count += 1;
        bytes += xml.value().len();
    }
    Ok((count, bytes))
}

/// The keys of the rows of `root` and below; the values may be many times as long.
fn keys_within(
    table: &impl ReadableTable<&'static str, &'static [u8]>,
    root: &str,
) -> Result<Vec<String>, StateError> {
    let mut found = Vec::new();
    for row in table.range(root..)? {
        let (key, _) = row?;
        if !key.value().starts_with(root) {
            break;
        }
        if within(resource_of(key.value()), root) {
            found.push(key.value().to_owned());
        }
    }
    Ok(found)
}

fn remove_within(
    table: &mut redb::Table<'_, &'static str, &'static [u8]>,
    root: &str,
) -> Result<(), StateError> {
    for key in keys_within(table, root)? {
        table.remove(&*key)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(local: &str) -> StoredProperty {
        let name = PropertyName { namespace: "urn:x".into(), local: local.into() };
        StoredProperty { xml: format!("<{local}/>").into_bytes(), name }
    }

    async fn names(state: &State, resource: &str) -> Vec<String> {
        state.properties(resource).await.unwrap().into_iter().map(|p| p.name.local).collect()
    }

    #[tokio::test]
    async fn properties_follow_copy_move_and_delete() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), "test").await.unwrap();
        for resource in ["a/", "a/x", "a.txt", "b/old"] {
            state.change_properties(resource, vec![PropertyChange::Set(property("p"))]).await.unwrap();
        }
        state.transfer_properties("a/", "b/", true).await.unwrap();
        assert_eq!(names(&state, "b/x").await, ["p"]);
        assert_eq!(names(&state, "b/").await, ["p"]);
        assert!(names(&state, "b/old").await.is_empty(), "the target's own properties are gone");
        state.transfer_properties("a/", "c/", false).await.unwrap();
        assert!(names(&state, "a/x").await.is_empty());
        assert_eq!(names(&state, "a.txt").await, ["p"], "a sibling with the same start stays");
        state.remove_properties("c/").await.unwrap();
        assert!(names(&state, "c/x").await.is_empty());
        drop(state);
        let state = State::open(dir.path(), "test").await.unwrap();
        assert_eq!(names(&state, "b/x").await, ["p"], "kept over a restart");
    }

    #[tokio::test]
    async fn a_resource_has_so_many_properties_of_so_many_bytes() {
        let dir = tempfile::tempdir().unwrap();
        let state = State::open(dir.path(), "test").await.unwrap();
        let set = async |name: String, bytes: usize| {
            let xml = vec![b'x'; bytes];
            let change = PropertyChange::Set(StoredProperty { xml, ..property(&name) });
            state.change_properties("a", vec![change]).await
        };
        set("large".to_owned(), MAX_BYTES_PER_RESOURCE - 1).await.unwrap();
        assert!(matches!(set("more".to_owned(), 2).await, Err(StateError::LargeProperties(_))));
        for n in 0..MAX_PER_RESOURCE - 1 {
            set(n.to_string(), 0).await.unwrap();
        }
        assert!(matches!(set("more".to_owned(), 0).await, Err(StateError::TooManyProperties(_))));
        assert_eq!(names(&state, "a").await.len(), MAX_PER_RESOURCE);
    }
}
