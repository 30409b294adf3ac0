//! Files that are moved and deleted, and folders that are made, while S3 is away.

use std::time::{Duration, Instant};

use super::Away;
use crate::harness::eventually;

/// A file that is known, with all of its folder, and a door that is shut.
pub(super) async fn away(files: &[(&str, &str)]) -> Away {
    let mut away = Away::start().await;
    for (key, content) in files {
        away.bucket.put(key, content).await;
    }
    away.bucket.put("unseen/file", "x").await;
    away.mac.list("/").await;
    for (key, content) in files {
        let path = format!("/{key}");
        away.mac.list(&path[..=path.rfind('/').unwrap()]).await;
        assert_eq!(away.mac.get(&path).await.1, *content);
    }
    away.door.shut().await;
    assert_eq!(away.mac.look("/unseen/other").await, 503, "from then on S3 is known to be away");
    away.s3.hooks().reset();
    away
}

impl Away {
    /// What S3 was asked to change, and what it has in the end.
    pub(super) async fn outcome(&mut self) -> (Vec<String>, Vec<(String, String)>) {
        self.door.open().await;
        let nothing = || async { self.told().await == serde_json::json!([]) };
        eventually("nothing is pending", nothing).await;
        self.drained().await;
        let changes = ["PutObject", "CopyObject", "DeleteObject", "DeleteObjects", "CreateMultipartUpload"];
        let requests = self.s3.hooks().transcript().into_iter().map(|(operation, _)| operation);
        let mut requests: Vec<String> = requests.filter(|name| changes.contains(&name.as_str())).collect();
        requests.sort();
        let mut objects = Vec::new();
        for key in self.bucket.keys().await.into_iter().filter(|key| key != "unseen/file") {
            let content = self.bucket.get(&key).await.unwrap();
            objects.push((key, String::from_utf8(content.to_vec()).unwrap()));
        }
        (requests, objects)
    }

    /// A file as programs save it beside a document.
    pub(super) async fn save_new(&self, path: &str, content: &str) {
        assert_eq!(self.mac.look(path).await, 404, "{path}");
        assert_eq!(self.mac.status("PUT", path).await, 201, "{path}");
        assert!(matches!(self.save(path, content.to_owned()).await, 200..=204), "{path}");
    }
}

pub(super) fn objects(given: &[(&str, &str)]) -> Vec<(String, String)> {
    given.iter().map(|(key, content)| ((*key).to_owned(), (*content).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_accepted_and_made_later() {
    let mut away = away(&[("d/doc", "old"), ("d/other", "x")]).await;
    assert_eq!(away.mac.status("DELETE", "/d/doc").await, 204);
    assert_eq!((away.mac.look("/d/doc").await, away.gateway.get("/d/doc").await.0), (404, 404));
    assert_eq!(away.mac.list("/d/").await.len(), 2);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "old", "S3 has it still");
    let (requests, left) = away.outcome().await;
    assert_eq!((requests, left), (vec!["DeleteObject".to_owned()], objects(&[("d/other", "x")])));
    assert_eq!(away.mac.look("/d/doc").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_lost_deletes_nothing() {
    let mut away = away(&[("doc", "old")]).await;
    assert_eq!(away.mac.status("DELETE", "/doc").await, 204);
    away.bucket.put("doc", "theirs").await;
    assert_eq!(away.outcome().await.1, objects(&[("doc", "theirs")]));
    assert_eq!(away.mac.get("/doc").await, (200, "theirs".into()), "it is shown again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_is_replaced_by_a_new_file_costs_one_write() {
    let mut away = away(&[("d/doc", "old")]).await;
    away.save_new("/d/doc.sb", "newer").await;
    assert_eq!(away.mac.rename("/d/doc.sb", "/d/doc").await, 204);
    assert_eq!(away.mac.get("/d/doc").await, (200, "newer".into()));
    assert_eq!(away.mac.look("/d/doc.sb").await, 404);
    assert_eq!(away.mac.list("/d/").await.len(), 2);
    let (requests, left) = away.outcome().await;
    assert_eq!(left, objects(&[("d/doc", "newer")]));
    assert_eq!(requests, ["PutObject"]);
    assert_eq!(away.save("/d/doc", "newest").await, 204);
    assert_eq!(away.bucket.get("d/doc").await.unwrap(), "newest");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_and_what_is_saved_in_it_are_accepted() {
    let away = away(&[("d/doc", "old")]).await;
    assert_eq!(away.mac.look("/d/new").await, 404);
    assert_eq!(away.mac.status("MKCOL", "/d/new").await, 201);
    assert_eq!(away.mac.look("/d/new/").await, 207);
    assert_eq!(away.mac.list("/d/").await.len(), 3);
    away.save_new("/d/new/file", "content").await;
    assert_eq!(away.mac.list("/d/new/").await.len(), 2);
    let mut away = away.restarted().await;
    let wanted = objects(&[("d/doc", "old"), ("d/new/", ""), ("d/new/file", "content")]);
    assert_eq!(away.outcome().await.1, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_made_and_deleted_before_it_was_sent_costs_nothing() {
    let mut away = away(&[("d/doc", "old")]).await;
    away.save_new("/d/new", "content").await;
    assert_eq!(away.mac.status("DELETE", "/d/new").await, 204);
    let (requests, left) = away.outcome().await;
    assert_eq!(left, objects(&[("d/doc", "old")]));
    assert!(requests.is_empty() || requests == ["DeleteObject", "PutObject"], "{requests:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_was_deleted_is_made_anew() {
    let mut away = away(&[("d/doc", "old")]).await;
    assert_eq!(away.mac.status("DELETE", "/d/doc").await, 204);
    let begun = Instant::now();
    away.save_new("/d/doc", "anew").await;
    assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    assert_eq!(away.mac.get("/d/doc").await, (200, "anew".into()));
    assert_eq!(away.outcome().await.1, objects(&[("d/doc", "anew")]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nothing_is_known_of_is_neither_made_nor_changed() {
    let mut away = Away::start().await;
    away.bucket.put("d/doc", "old").await;
    away.bucket.put("e/unseen", "theirs").await;
    assert_eq!((away.mac.list("/d/").await.len(), away.mac.get("/d/doc").await.0), (2, 200));
    away.door.shut().await;
    assert_eq!(away.mac.look("/e/unseen").await, 503);
    assert_eq!(away.mac.status("DELETE", "/e/unseen").await, 503);
    assert_eq!(away.mac.status("PUT", "/e/unseen").await, 503);
    assert_eq!(away.mac.status("MKCOL", "/e/folder").await, 503);
    assert_eq!(away.mac.rename("/d/doc", "/e/unseen").await, 503);
    assert_eq!(away.mac.rename("/e/unseen", "/d/doc").await, 503);
    assert_eq!(away.mac.get("/d/doc").await.1, "old");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_file_is_moved_as_often_as_is_wanted() {
    let mut away = away(&[("d/doc", "old")]).await;
    away.save_new("/d/a", "first").await;
    for (from, to) in [("/d/a", "/d/b"), ("/d/b", "/d/a"), ("/d/a", "/d/c")] {
        assert_eq!(away.mac.rename(from, to).await, 201, "{from} {to}");
    }
    away.save_new("/d/a", "second").await;
    assert_eq!(away.mac.rename("/d/c", "/d/doc").await, 204);
    let (requests, left) = away.outcome().await;
    assert_eq!(left, objects(&[("d/a", "second"), ("d/doc", "first")]));
    assert_eq!(requests, ["PutObject", "PutObject"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_are_what_they_are_after_a_restart() {
    let away = away(&[("d/doc", "old")]).await;
    for number in 0..6 {
        away.save_new(&format!("/d/new{number}"), "content").await;
    }
    away.save_new("/d/temporary", "newer").await;
    assert_eq!(away.mac.rename("/d/temporary", "/d/doc").await, 204);
    let mut away = away.restarted().await;
    let mut wanted = objects(&[("d/doc", "newer")]);
    wanted.extend((0..6).map(|number| (format!("d/new{number}"), "content".to_owned())));
    assert_eq!(away.outcome().await.1, wanted, "nothing lies beside, and the temporary file is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_somebody_made_is_not_hidden_nor_a_file() {
    let mut away = away(&[("d/doc", "old")]).await;
    away.save_new("/d/new", "mine").await;
    assert_eq!(away.mac.look("/d/folder").await, 404);
    assert_eq!(away.mac.status("MKCOL", "/d/folder").await, 201);
    away.bucket.put("d/new/file", "theirs").await;
    away.bucket.put("d/folder", "their file").await;
    let left = away.outcome().await.1;
    assert!(left.contains(&("d/folder".to_owned(), "their file".to_owned())), "{left:?}");
    assert!(!left.iter().any(|(key, _)| key == "d/folder/" || key == "d/new"), "{left:?}");
    assert!(left.iter().any(|(key, content)| key.starts_with("d/new (") && content == "mine"), "{left:?}");
}
