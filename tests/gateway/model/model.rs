//! The bucket as it should be, in a few lines.

use std::collections::BTreeMap;

/// Keys and contents below a sequence's folder. A marker's content is empty.
pub type Objects = BTreeMap<String, String>;

/// What a step should do to the bucket; `None`: it should be refused.
pub type Expected = Option<Objects>;

fn prefix(folder: &str) -> String {
    if folder.is_empty() { String::new() } else { format!("{folder}/") }
}

pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

pub fn is_folder(objects: &Objects, folder: &str) -> bool {
    folder.is_empty() || objects.keys().any(|key| key.starts_with(&prefix(folder)))
}

/// The names that a listing of the folder shows; `None`: there is no such folder.
pub fn children(objects: &Objects, folder: &str) -> Option<Vec<String>> {
    let prefix = prefix(folder);
    let below = objects.keys().filter_map(|key| key.strip_prefix(&prefix)).filter(|rest| !rest.is_empty());
    let child = |rest: &str| match rest.split_once('/') {
        Some((folder, _)) => format!("{folder}/"),
        None => rest.to_owned(),
    };
    let mut names: Vec<String> = below.map(child).collect();
    names.dedup();
    is_folder(objects, folder).then_some(names)
}

/// After something was taken out of it, a folder stays.
pub fn keep(objects: &mut Objects, folder: &str) {
    if !is_folder(objects, folder) {
        objects.insert(prefix(folder), String::new());
    }
}

pub fn put(objects: &Objects, path: &str, content: &str) -> Expected {
    if is_folder(objects, path) || !is_folder(objects, parent(path)) {
        return None;
    }
    let mut objects = objects.clone();
    objects.insert(path.to_owned(), content.to_owned());
    Some(objects)
}

pub fn make_folder(objects: &Objects, folder: &str) -> Expected {
    if is_folder(objects, folder) || objects.contains_key(folder) || !is_folder(objects, parent(folder)) {
        return None;
    }
    let mut objects = objects.clone();
    objects.insert(prefix(folder), String::new());
    Some(objects)
}

/// A file, or a folder with all that is in it.
pub fn delete(objects: &Objects, path: &str) -> Expected {
    let mut left = objects.clone();
    left.retain(|key, _| key != path && !key.starts_with(&prefix(path)));
    if left == *objects {
        return None;
    }
    keep(&mut left, parent(path));
    Some(left)
}

/// COPY or MOVE of a file or a folder.
pub fn transfer(objects: &Objects, from: &str, to: &str, moves: bool, overwrite: bool) -> Expected {
    let is_there = |path: &str| objects.contains_key(path) || is_folder(objects, path);
    let overlap = format!("{from}/").starts_with(&format!("{to}/"))
        || format!("{to}/").starts_with(&format!("{from}/"));
    if !is_there(from) || overlap || !is_folder(objects, parent(to)) || (is_there(to) && !overwrite) {
        return None;
    }
    let of = |key: &str, path: &str| key == path || key.starts_with(&prefix(path));
    let mut after: Objects =
        objects.iter().filter(|(key, _)| !of(key, to)).map(|(k, v)| (k.clone(), v.clone())).collect();
    for (key, content) in objects.iter().filter(|(key, _)| of(key, from)) {
        after.insert(format!("{to}{}", &key[from.len()..]), content.clone());
        if moves {
            after.remove(key);
        }
    }
    if moves {
        keep(&mut after, parent(from));
    }
    Some(after)
}
