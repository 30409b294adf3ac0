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
        true => PropertyChange::Set(StoredProperty {
            name,
            xml: element(prop.xml.as_deref().unwrap_or_default()),
        }),
        false => PropertyChange::Remove(name),
    }
}

/// The element without the XML declaration that the engine puts before it.
fn element(xml: &[u8]) -> Vec<u8> {
    let declaration =
        xml.starts_with(b"<?xml").then(|| xml.windows(2).position(|pair| pair == b"?>")).flatten();
    declaration.map_or(xml, |end| &xml[end + 2..]).trim_ascii().to_vec()
}
