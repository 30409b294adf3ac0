//! Dead properties: the engine's form and the database's.

use dav_server::fs::DavProp;
use http::StatusCode;

use super::{Failure, ResourcePath, S3FileSystem};
use crate::state::{PropertyChange, PropertyName, StoredProperty};

impl S3FileSystem {
    /// Carries out a PROPPATCH, all or nothing; `true` sets, `false` removes.
    pub(super) async fn change_properties(
        &self,
        path: &ResourcePath,
        patch: Vec<(bool, DavProp)>,
    ) -> Result<Vec<(StatusCode, DavProp)>, Failure> {
        let located = self.locate(path).await?.ok_or(Failure::NotFound)?;
        let changes = patch.iter().map(|(set, prop)| change(*set, prop)).collect();
        let (state, id) = (self.shared.state.clone(), located.id());
        self.detached(async move { Ok(state.change_properties(&id, changes).await?) }).await?;
        Ok(patch.into_iter().map(|(_, prop)| (StatusCode::OK, DavProp { xml: None, ..prop })).collect())
    }
}

fn change(set: bool, prop: &DavProp) -> PropertyChange {
    let name =
        PropertyName { namespace: prop.namespace.clone().unwrap_or_default(), local: prop.name.clone() };
    match set {
        true => PropertyChange::Set(StoredProperty { name, xml: prop.xml.clone().unwrap_or_default() }),
        false => PropertyChange::Remove(name),
    }
}
