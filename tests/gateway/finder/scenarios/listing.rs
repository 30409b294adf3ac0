//! Looking at names, and opening folders.

use std::collections::BTreeSet;

use super::{TTL, World, scenarios};
use crate::finder::client::STAT;
use crate::finder::names::escaped;
use crate::finder::parser::{component, entries};

scenarios! {
    s06_what_is_missing_is_missing fails if |_, answer| {
        if answer.status == 404 {
            answer.body = "x".repeat(2000);
        }
    };
    s07_a_folder_is_found_with_and_without_its_slash fails if |asked, answer| {
        if !asked.path.ends_with('/') {
            answer.is(301);
        }
    };
    s08_each_entry_has_one_href fails if |_, answer| {
        answer.replace("<D:propstat>", "<D:location><D:href>/elsewhere</D:href></D:location><D:propstat>");
    };
    s09_odd_names_are_found_again fails if |_, answer| answer.replace("%26", "&amp;");
    s10_both_spellings_of_a_name_find_it fails if |asked, answer| {
        if asked.path.contains("e%CC%81") {
            answer.is(404);
        }
    };
    s11_a_folder_is_called_as_it_was_asked_for fails if |_, answer| answer.replace("e%CC%81", "%C3%A9");
    s12_what_no_path_can_show_is_left_out fails if |_, answer| {
        answer.replace("</D:multistatus>", "<D:response><D:href>/d/a//b</D:href></D:response></D:multistatus>");
    };
    s13_a_tree_is_read_as_it_is fails if |_, answer| answer.replace("%C3%A9", "é");
    s36_a_new_folder_shows_at_once fails if super::frozen;
    s37_others_changes_move_the_folders_date fails if super::frozen;
}

/// A front whose folders never change.
fn frozen(_: &crate::finder::broken::Asked, answer: &mut crate::finder::broken::Answer) {
    let mut text = String::new();
    for (at, piece) in answer.body.split("<D:getlastmodified>").enumerate() {
        match (at, piece.split_once('<')) {
            (0, _) | (_, None) => text.push_str(piece),
            (_, Some((_, rest))) => {
                text.push_str("<D:getlastmodified>Sat, 21 Nov 2026 00:00:00 GMT<");
                text.push_str(rest);
            }
        }
    }
    answer.body = text;
}

async fn s06_what_is_missing_is_missing(world: World) {
    for _ in 0..2 {
        let answer = world.mac.propfind("/missing", "0", STAT).send().await.unwrap();
        assert_eq!(answer.status(), 404);
        assert!(answer.bytes().await.unwrap().len() <= 1024);
    }
    // It may be forgotten in between, on a machine that is slow.
    for round in 0.. {
        world.mac.look("/missing").await;
        world.forget_costs();
        world.mac.look("/missing").await;
        if round == 20 || world.costs() == 0 {
            break;
        }
    }
    world.cost_nothing();
}

async fn s07_a_folder_is_found_with_and_without_its_slash(world: World) {
    world.outside("d/file", "x").await;
    for path in ["/d", "/d/"] {
        for depth in ["0", "1"] {
            let answer = world.mac.propfind(path, depth, STAT).send().await.unwrap();
            assert_eq!(answer.status(), 207, "{path}");
            assert!(entries(&answer.text().await.unwrap())[0].is_folder);
        }
    }
}

async fn s08_each_entry_has_one_href(world: World) {
    for key in ["a b/one", "a b/two", "a b/three/x"] {
        world.outside(key, "x").await;
    }
    let answer = world.mac.propfind("/a%20b/", "1", STAT).send().await.unwrap();
    let text = answer.text().await.unwrap();
    let hrefs: Vec<&str> = text
        .split("href>")
        .skip(1)
        .step_by(2)
        .map(|rest| rest.split("</").next().unwrap_or_default())
        .collect();
    assert_eq!(hrefs.len(), 4, "{text}");
    assert_eq!(hrefs[0], "/a%20b/", "itself, first, as it was asked for");
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_.~/%".contains(c);
    assert!(hrefs.iter().all(|href| href.chars().all(is_plain)), "{hrefs:?}");
    let begins = text.split("response>").skip(1).step_by(2);
    assert!(begins.into_iter().all(|response| response.trim_start().starts_with("<D:href>")), "{text}");
}

async fn s09_odd_names_are_found_again(world: World) {
    let long = "n".repeat(255);
    let names = ["a&b 'c' <d> \"e\".txt", "100% #1;x?.txt", "a:b", "é", "😀", "a+b=c@d", &long];
    for name in names {
        let path = format!("/{}", escaped(name));
        assert_eq!(world.mac.request("PUT", &path).body(name.to_owned()).send().await.unwrap().status(), 201);
    }
    let text = world.mac.propfind("/", "1", STAT).send().await.unwrap().text().await.unwrap();
    let found = entries(&text);
    let listed: BTreeSet<&str> = found.iter().filter_map(|entry| component("/", entry)).collect();
    assert_eq!(listed, names.into_iter().collect());
    for name in listed {
        assert_eq!(world.mac.get(&format!("/{}", escaped(name))).await, (200, name.to_owned().into()));
    }
}

const COMPOSED: &str = "/caf%C3%A9";
const DECOMPOSED: &str = "/cafe%CC%81";

async fn s10_both_spellings_of_a_name_find_it(world: World) {
    world.outside("caf\u{e9}", "x").await;
    assert_eq!(world.mac.look(DECOMPOSED).await, 207);
    assert_eq!(world.mac.get(DECOMPOSED).await, (200, "x".into()));
    let put = world.mac.request("PUT", DECOMPOSED).body("y").send().await.unwrap();
    assert_eq!(put.status(), 204);
    assert_eq!(world.stored().await.keys().await, ["caf\u{e9}"], "the same one");
    assert_eq!(world.mac.rename(DECOMPOSED, "/tea").await, 201);
    assert_eq!(world.mac.rename("/tea", COMPOSED).await, 201);
    assert_eq!(world.mac.status("DELETE", DECOMPOSED).await, 204);
    assert!(world.stored().await.is_empty().await);
}

async fn s11_a_folder_is_called_as_it_was_asked_for(world: World) {
    world.outside("\u{e9}/x", "x").await;
    for (path, decoded) in [("/e%CC%81/", "/e\u{301}/"), ("/%C3%A9/", "/\u{e9}/")] {
        let text = world.mac.propfind(path, "1", STAT).send().await.unwrap().text().await.unwrap();
        let found = entries(&text);
        assert_eq!(found[0].href, decoded);
        let children: Vec<_> = found.iter().filter_map(|entry| component(decoded, entry)).collect();
        assert_eq!(children, ["x"], "told by length alone");
    }
}

async fn s12_what_no_path_can_show_is_left_out(world: World) {
    world.outside("d/shown", "x").await;
    if world.is_bucket() {
        for key in ["d/a//b", "d/./x", &format!("d/{}", "n".repeat(256))] {
            world.outside(key, "x").await;
        }
    }
    let text = world.mac.propfind("/d/", "1", STAT).send().await.unwrap().text().await.unwrap();
    let found: Vec<_> = entries(&text).into_iter().map(|entry| entry.href).collect();
    // `d/a` is the folder that holds what cannot be shown.
    let expected: &[&str] =
        if world.is_bucket() { &["/d/", "/d/a/", "/d/shown"] } else { &["/d/", "/d/shown"] };
    assert_eq!(found, expected);
}

async fn s13_a_tree_is_read_as_it_is(world: World) {
    let keys = ["a", "d/\u{e9}", "d/e/f & g", "d/e/100%", "z <1>/\u{1f600}"];
    for key in keys {
        world.outside(key, key).await;
    }
    let (mut found, mut folders) = (BTreeSet::new(), vec!["/".to_owned()]);
    while let Some(folder) = folders.pop() {
        let path: String = folder.split('/').map(escaped).collect::<Vec<_>>().join("/");
        let text = world.mac.propfind(&path, "1", STAT).send().await.unwrap().text().await.unwrap();
        for entry in entries(&text) {
            let Some(name) = component(&folder, &entry) else { continue };
            let child = format!("{folder}{name}");
            if entry.is_folder {
                folders.push(format!("{child}/"))
            } else {
                assert_eq!(entry.size, Some(child.len() as u64 - 1), "{child}");
                found.insert(child[1..].to_owned());
            }
        }
    }
    assert_eq!(found, keys.iter().map(ToString::to_string).collect());
}

async fn date(world: &World, path: &str) -> String {
    let text = world.mac.propfind(path, "0", STAT).send().await.unwrap().text().await.unwrap();
    entries(&text)[0].modified.clone()
}

async fn s36_a_new_folder_shows_at_once(world: World) {
    world.outside("d/file", "x").await;
    let before = date(&world, "/d/").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(world.mac.status("MKCOL", "/d/new").await, 201);
    assert_eq!(world.mac.status("MKCOL", "/d/new").await, 405);
    assert_eq!(world.mac.status("MKCOL", "/missing/new").await, 409);
    assert_eq!(world.mac.look("/d/new/").await, 207);
    assert!(world.mac.list("/d/").await.contains(&"/d/new/".to_owned()));
    assert_ne!(date(&world, "/d/").await, before);
}

async fn s37_others_changes_move_the_folders_date(world: World) {
    world.outside("d/file", "x").await;
    world.mac.list("/d/").await;
    let before = date(&world, "/d/").await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    world.outside("d/other", "x").await;
    tokio::time::sleep(TTL).await;
    world.mac.list("/d/").await;
    assert_ne!(date(&world, "/d/").await, before, "names that were missing are asked for again");
}
