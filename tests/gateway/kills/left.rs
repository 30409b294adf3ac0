//! What is left over in the bucket, and in the state directory.

use std::collections::BTreeSet;
use std::path::Path;

use redb::{ReadableDatabase, ReadableTable, TableDefinition};
use s3dav::embedded::EmbeddedS3;
use tokio::time::{Duration, Instant};

use super::Check;
use super::user::{User, beside};
use crate::harness::{Bucket, open_uploads};

/// Objects that nobody made, and uploads that nobody ends.
pub async fn in_the_bucket(s3: &EmbeddedS3, bucket: &Bucket, users: &[User]) -> Vec<String> {
    let mut faults = Vec::new();
    let expected: BTreeSet<&str> =
        users.iter().flat_map(|user| user.files.keys()).map(|path| &path[1..]).collect();
    let folders: BTreeSet<&str> =
        users.iter().flat_map(|user| &user.folders).map(|path| &path[1..]).collect();
    let contents = bucket.contents().await;
    for key in contents.keys() {
        let is_question = key.starts_with(".s3dav/");
        let is_expected = expected.contains(&**key) || folders.contains(&**key);
        if !is_expected && (!is_question || Check::Questions.is_on()) {
            faults.push(format!("{key} lies in the bucket"));
        }
    }
    for (path, file) in users.iter().flat_map(|user| &user.files) {
        let content = contents.get(&path[1..]).cloned();
        if !file.contents.contains(&content) {
            faults.push(format!("S3 has another {path}: {content:.60?}"));
        }
    }
    if Check::Uploads.is_on() {
        let end = Instant::now() + RECOVERY;
        while !open_uploads(s3).await.is_empty() && Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let open = open_uploads(s3).await.len();
        if open > 0 {
            faults.push(format!("{open} multipart uploads are open"));
        }
    }
    faults
}

/// Rows and files of what is no more. The gateway has ended.
pub fn in_the_state(directory: &Path, users: &[User]) -> Vec<String> {
    let mut faults = Vec::new();
    let known = |name: &str| NAMES.contains(&name) || name.starts_with("gateway");
    for entry in std::fs::read_dir(directory).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !known(&name) {
            faults.push(format!("{name} lies in the state directory"));
        }
    }
    if !Check::Followers.is_on() {
        return faults;
    }
    let database = redb::Database::open(directory.join("state.redb")).unwrap();
    let read = database.begin_read().unwrap();
    let properties: TableDefinition<&str, &[u8]> = TableDefinition::new("properties");
    let files: BTreeSet<&str> = users.iter().flat_map(|user| user.files.keys()).map(String::as_str).collect();
    for row in read.open_table(properties).unwrap().iter().unwrap() {
        let key = row.unwrap().0.value().to_owned();
        let resource = format!("/{}", key.split('\0').next().unwrap());
        if !files.contains(&*resource) {
            faults.push(format!("properties of {resource} are left"));
        }
    }
    let shelf: TableDefinition<&str, &str> = TableDefinition::new("shelf");
    let shelved: BTreeSet<String> = files.iter().map(|path| beside(path)).collect();
    let mut rows = String::new();
    for row in read.open_table(shelf).unwrap().iter().unwrap() {
        let (path, row) = row.unwrap();
        rows.push_str(row.value());
        if !shelved.contains(path.value()) {
            faults.push(format!("{} is left on the shelf", path.value()));
        }
    }
    for entry in std::fs::read_dir(directory.join("shelf")).into_iter().flatten() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        if !rows.contains(&name) {
            faults.push(format!("shelf/{name} belongs to nothing"));
        }
    }
    faults
}

/// What a state directory has.
const NAMES: &[&str] = &["state.redb", "credential", "control.sock", "shelf", "source.toml"];
/// Of what an earlier life left.
const RECOVERY: Duration = Duration::from_secs(60);
