//! Bodies of WebDAV requests. What a client sends byte for byte stands in the tests of that client.

/// PROPFIND of these properties: elements, with `D` for WebDAV's own.
pub fn propfind(properties: &str) -> String {
    format!("<D:propfind xmlns:D=\"DAV:\"><D:prop>{properties}</D:prop></D:propfind>")
}

/// PROPPATCH that sets these properties.
pub fn set(properties: &str) -> String {
    propertyupdate(&format!("<D:set><D:prop>{properties}</D:prop></D:set>"))
}

/// PROPPATCH that removes these properties.
pub fn remove(properties: &str) -> String {
    propertyupdate(&format!("<D:remove><D:prop>{properties}</D:prop></D:remove>"))
}

/// PROPPATCH of several steps.
pub fn propertyupdate(steps: &str) -> String {
    format!("<D:propertyupdate xmlns:D=\"DAV:\">{steps}</D:propertyupdate>")
}

/// LOCK of nobody in particular, exclusive.
pub const EXCLUSIVE: &str = "<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
    <D:locktype><D:write/></D:locktype></D:lockinfo>";

/// The same of an owner, an element.
pub fn exclusive(owner: &str) -> String {
    EXCLUSIVE.replace("</D:lockinfo>", &format!("<D:owner>{owner}</D:owner></D:lockinfo>"))
}
