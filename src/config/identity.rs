//! What a source is known by: in the name of its state directory, and in the note in it.

use super::{BucketSource, Source};
use crate::state::{SourceIdentity, SourceNote};

impl Source {
    /// By which its state is found again.
    pub fn identity(&self) -> SourceIdentity {
        match self {
            Self::Buckets(source) => {
                SourceIdentity::Buckets { endpoint: source.s3.endpoint_url.clone(), buckets: names(source) }
            }
            Self::Path(options) => SourceIdentity::Path(options.directory.clone()),
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
        }
    }
}

fn names(source: &BucketSource) -> Vec<String> {
    source.buckets.iter().map(ToString::to_string).collect()
}
