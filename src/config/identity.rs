//! What a source is known by: in the name of its state directory, and in the note in it.

use std::path::{Path, PathBuf};

use super::buckets::endpoint_of_environment;
use super::file::layer_of_source;
use super::{BucketSource, FarSource, Source};
use crate::bucket_spec::BucketSpec;
use crate::mistake::Mistake;
use crate::state::{SourceIdentity, SourceNote};

/// The states that there are of a source of the configuration file, the one that was used last first.
pub fn states_of_source(config: Option<PathBuf>, source: &str) -> Result<Vec<PathBuf>, Mistake> {
    let layer = layer_of_source(config, source)?;
    let first = |name: &str| layer.get(name).and_then(|values| values.first());
    if let Some(named) = first("state-dir") {
        return Ok(vec![PathBuf::from(named)]);
    }
    if let Some(path) = first("path") {
        let path = Path::new(path);
        return Ok(SourceIdentity::Path(path.canonicalize().unwrap_or_else(|_| path.to_owned())).states());
    }
    if let Some(file_system) = first("s3files") {
        let far = FarSource::name_of(file_system, first("access-point").map(String::as_str));
        return Ok(SourceIdentity::Far(far).states());
    }
    let given = layer.get("bucket").map(Vec::as_slice).unwrap_or_default();
    let buckets = given.iter().map(|text| BucketSpec::parse(text).map(|bucket| bucket.to_string()));
    let buckets = buckets.collect::<Result<_, _>>().map_err(|message| Mistake::new(message, ""))?;
    let endpoint = std::env::var("S3DAV_ENDPOINT_URL").ok().or_else(|| first("endpoint-url").cloned());
    let endpoint = endpoint.or_else(endpoint_of_environment);
    Ok(SourceIdentity::Buckets { endpoint, buckets }.states())
}

impl Source {
    /// By which its state is found again.
    pub fn identity(&self) -> SourceIdentity {
        match self {
            Self::Buckets(source) => {
                SourceIdentity::Buckets { endpoint: source.s3.endpoint_url.clone(), buckets: names(source) }
            }
            Self::Path(options) => SourceIdentity::Path(options.directory.clone()),
            Self::Far(source) => SourceIdentity::Far(source.name.clone()),
        }
    }

    /// For people who look for its state; `options`: those of `serve`.
    pub fn note(&self, options: Vec<String>) -> SourceNote {
        let note = SourceNote { options, ..SourceNote::default() };
        match self {
            Self::Buckets(source) => {
                SourceNote { buckets: names(source), endpoint: source.s3.endpoint_url.clone(), ..note }
            }
            Self::Path(options) => SourceNote { path: Some(options.directory.clone()), ..note },
            Self::Far(source) => SourceNote { far: Some(source.name.clone()), ..note },
        }
    }
}

fn names(source: &BucketSource) -> Vec<String> {
    source.buckets.iter().map(ToString::to_string).collect()
}
