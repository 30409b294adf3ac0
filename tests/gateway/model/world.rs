//! A sequence carried out on a real gateway, and checked step by step.
//!
//! After each step the bucket itself is looked at. What the gateway did must be what the model
//! expects, exactly, where nobody else changed anything a moment ago. Where somebody did, the gateway
//! may still see the bucket as it was, but not longer than promised, never older than its own last
//! change, and it must not lose what it did not see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use bytes::Bytes;
use md5::{Digest, Md5};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use s3dav::embedded::{Action, Gate, Rule};

use super::knowledge::{File, Knowledge, Version};
use super::model::{self, Expected, Objects};
use super::ops::{CLIENTS, Fault, Op};
use crate::harness::{Bucket, TestGateway};

/// How long the gateway may not know of others' changes.
pub const TTL: Duration = Duration::from_millis(40);
/// Sequences in folders of such names write a second slash before the last segment of every path.
pub const DOUBLED: &str = "doubled";
/// Between the moment that something is said and the moment it is seen.
const SLACK: Duration = Duration::from_millis(40);

pub struct World<'a> {
    gateway: &'a TestGateway,
    bucket: Bucket,
    /// The sequence's own folder.
    root: String,
    objects: Objects,
    /// What was at each key, and from when on; the newest last.
    history: BTreeMap<String, Vec<(Instant, Option<String>)>>,
    /// When the gateway last changed a key itself.
    own: BTreeMap<String, Instant>,
    outside: Option<Instant>,
    knowledge: Knowledge,
    /// Contents that were ever written, by their MD5.
    written: HashMap<String, String>,
    /// Whether somebody else changed something shortly before the step began.
    recent: bool,
}

type Checked = Result<(), String>;

/// What a client knows of what it copies or moves.
#[derive(Clone, Copy)]
struct Knows {
    /// It has got or made it.
    has_seen: bool,
    /// It has got or made another version, or lost there, or was told that nothing is there.
    knows_other: bool,
}

/// What a request came to.
struct Answer {
    status: u16,
    etag: Option<String>,
    /// `None`: it broke off.
    body: Option<Bytes>,
}

impl Answer {
    fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl<'a> World<'a> {
    pub async fn new(gateway: &'a TestGateway, bucket: Bucket, root: String) -> Self {
        bucket.put(&format!("{root}/"), "").await;
        let (objects, history) = ([(String::new(), String::new())].into(), BTreeMap::new());
        let mut world = Self {
            gateway,
            bucket,
            root,
            objects,
            history,
            own: BTreeMap::new(),
            outside: None,
            knowledge: Knowledge::default(),
            written: [(hex::encode(Md5::digest("")), String::new())].into(),
            recent: false,
        };
        world.objects = world.look().await;
        world
    }

    pub async fn step(&mut self, op: &Op) -> Checked {
        let begun = Instant::now();
        let result = self.run(op, false).await;
        self.heal();
        match result {
            Ok(()) => Ok(()),
            Err(problem) => Err(format!("{op:?}: {problem}\n{}", self.circumstances(begun).await)),
        }
    }

    /// What may explain a step that went wrong: how long it took, and what S3 was asked for of its sequence until now.
    async fn circumstances(&self, begun: Instant) -> String {
        let took = begun.elapsed();
        let since = self.outside.map(|at| format!("{:?} after", begun.saturating_duration_since(at)));
        let since = since.unwrap_or_else(|| "without".to_owned());
        let asked = if self.gateway.has_hooks() { self.gateway.hooks().transcript() } else { Vec::new() };
        let own = asked.iter().rev().filter(|(_, target)| target.contains(&self.root)).take(12);
        let own: Vec<String> = own.map(|(operation, target)| format!("    {operation} {target}")).collect();
        let metrics = String::from_utf8_lossy(&self.gateway.get("/.s3dav/metrics").await.1).into_owned();
        let is_told =
            |line: &&str| line.contains("stale") || line.contains("pending") || line.contains("conflicts");
        let told: Vec<&str> = metrics.lines().filter(|line| !line.starts_with('#')).filter(is_told).collect();
        format!(
            "  it took {took:?}, {since} others' last change; {}; the last requests to S3, newest first:\n{}",
            told.join(", "),
            own.join("\n")
        )
    }

    /// `lenient`: S3 refuses something, so a refusal is an answer.
    async fn run(&mut self, op: &Op, lenient: bool) -> Checked {
        self.recent = self.outside.is_some_and(|at| at.elapsed() < TTL + SLACK);
        match op {
            Op::Put { client, path, length } => self.put(*client, path, *length, lenient).await,
            Op::Get { .. } | Op::GetRange { .. } | Op::Head { .. } | Op::List { .. } => {
                let begun = Instant::now();
                let answer = request(self.gateway, &self.root, op).await;
                self.check_read(op, answer, begun, lenient)
            }
            Op::MakeFolder { folder } => {
                let expected = model::make_folder(&self.objects, folder);
                let answer = self.plain("MKCOL", 0, folder).await;
                self.check_write(answer, expected, lenient, None).await
            }
            Op::Delete { client, path } => {
                let there = self.version(&self.objects, path);
                let is_told = |there: &Version| self.knowledge.must_be_told(*client, path, there);
                let may_be_deleted = self.objects.contains_key(*path) && !there.as_ref().is_some_and(is_told);
                let expected = model::delete(&self.objects, path).filter(|_| may_be_deleted);
                let answer = self.plain("DELETE", *client, path).await;
                if let (412 | 423, Some(there)) = (answer.status, there) {
                    self.knowledge.told(*client, path, there);
                }
                if answer.is_success() {
                    self.knowledge.forget(*client, path);
                    self.knowledge.told_absent(*client, path);
                }
                self.check_write(answer, expected, lenient, Some(path)).await
            }
            Op::DeleteFolder { client, folder } => {
                let expected = model::delete(&self.objects, folder);
                let answer = self.plain("DELETE", *client, folder).await;
                if answer.is_success() && self.is_directory() {
                    self.knowledge.forget_below(*client, folder);
                }
                self.check_write(answer, expected, lenient, Some(folder)).await
            }
            Op::Transfer { client, moves, from, to, overwrite } => {
                self.transfer(*client, *moves, (from, to), *overwrite, lenient).await
            }
            Op::TransferFolder { client, moves, from, to } => {
                self.transfer(*client, *moves, (from, to), true, lenient).await
            }
            Op::OutsidePut { path, length } => {
                let content = self.content(*length);
                self.bucket.put(&format!("{}/{path}", self.root), &content).await;
                self.note_outside(path, Some(content));
                Ok(())
            }
            Op::OutsideDelete { path } => {
                self.bucket.delete(&format!("{}/{path}", self.root)).await;
                self.note_outside(path, None);
                Ok(())
            }
            Op::Wait => {
                tokio::time::sleep(TTL + SLACK).await;
                Ok(())
            }
            Op::Faulty(_, op) if !self.gateway.has_hooks() => Box::pin(self.run(op, false)).await,
            Op::Held(read, write) if !self.gateway.has_hooks() => {
                Box::pin(self.run(write, false)).await?;
                Box::pin(self.run(read, false)).await
            }
            Op::Faulty(fault, op) => {
                self.harm(*fault);
                Box::pin(self.run(op, matches!(fault, Fault::ListRefused))).await
            }
            Op::Held(read, write) => self.held(read, write).await,
        }
    }

    fn harm(&self, fault: Fault) {
        let refused = Action::Fail { status: 403, code: "AccessDenied", message: "not now" };
        let (operation, action) = match fault {
            Fault::LostPutAnswer => ("PutObject", Action::ApplyThenFail),
            Fault::LostCopyAnswer => ("CopyObject", Action::ApplyThenFail),
            Fault::LostDeleteAnswer => ("DeleteObject", Action::ApplyThenFail),
            Fault::BrokenBody => ("GetObject", Action::CutBody(3)),
            Fault::ListRefused => ("ListObjectsV2", refused),
        };
        let times = if matches!(fault, Fault::ListRefused) { 2 } else { 1 };
        self.gateway.hooks().next(times, operation, action);
    }

    async fn held(&mut self, read: &Op, write: &Op) -> Checked {
        let gate = Gate::default();
        let operation = match read {
            Op::List { .. } => "ListObjectsV2",
            Op::Head { .. } => "HeadObject",
            _ => "GetObject",
        };
        self.gateway.hooks().add(Rule {
            operation: Some(operation.into()),
            target: None,
            times: 1,
            action: Action::Hold(gate.clone()),
        });
        let (gateway, root) = (self.gateway.clone_handle(), self.root.clone());
        let op = by_a_bystander(read.clone());
        let mut reading = tokio::spawn(async move { request(&gateway, &root, &op).await });
        let is_held = tokio::select! {
            _ = &mut reading => false,
            () = gate.reached() => true,
        };
        // The step may itself wait for what is held: then it goes on when the gate opens.
        let opener = gate.clone();
        let opening = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(15)).await;
            opener.open();
        });
        let written = Box::pin(self.run(write, false)).await;
        gate.open();
        if is_held {
            let _ = reading.await;
        }
        let _ = opening.await;
        written?;
        self.gateway.hooks().heal();
        // What was held is of before; what is asked now is not.
        Box::pin(self.run(read, false)).await?;
        Box::pin(self.run(&Op::List { client: CLIENTS, folder: "" }, false)).await
    }

    async fn put(&mut self, client: usize, path: &str, length: usize, lenient: bool) -> Checked {
        let content = self.content(length);
        let before = self.objects.clone();
        let there = self.version(&before, path);
        let loses = self.knowledge.loses(client, path, there.as_ref());
        let means_newest = self.knowledge.means_newest(client, path);
        let own_copy = self.own_copy(client, path);
        let answer = send(self.gateway, &self.root, "PUT", client, path, Some(content.clone()), None).await;
        let expected = model::put(&before, path, &content);
        if !answer.is_success() {
            return self.check_write(answer, expected, lenient, None).await;
        }
        let now = self.look().await;
        let beside = format!("{path} (conflict ");
        let copy = now.iter().find(|(key, body)| key.starts_with(&beside) && **body == content);
        let Some(copy) = copy.map(|(key, _)| key.clone()) else {
            if loses {
                return Err(format!("replaced {there:?}, which this client had not seen"));
            }
            self.knowledge.shown(client, path);
            let version = self.version(&now, path).ok_or("what was put is not there")?;
            self.knowledge.saw(client, path, version);
            return self.check_write(answer, expected, lenient, None).await;
        };
        let may_lose = loses || self.recent && means_newest;
        if !may_lose {
            return Err(format!("a conflict copy {copy:?}, from {before:?}"));
        }
        if own_copy.as_ref().is_some_and(|own| *own != copy)
            || own_copy.is_none() && before.contains_key(&copy)
        {
            return Err(format!("the copy is {copy:?}, and not {own_copy:?}, from {before:?}"));
        }
        let mut expected = before;
        expected.insert(copy.clone(), content);
        if now != self.shown(expected) {
            return Err(format!("a conflict copy {copy:?}, and the rest is {now:?}"));
        }
        let version = self.version(&now, &copy).ok_or("the copy is not there")?;
        self.knowledge.lost(client, path, &copy, version, true);
        self.adopt(now);
        Ok(())
    }

    /// Where the client's version of `path` lies that lost, if nobody has changed it since.
    fn own_copy(&self, client: usize, path: &str) -> Option<String> {
        let (copy, version) = self.knowledge.copy(client, path)?;
        (self.version(&self.objects, copy).as_ref() == Some(version)).then(|| copy.clone())
    }

    async fn transfer(
        &mut self,
        client: usize,
        moves: bool,
        (from, to): (&str, &str),
        overwrite: bool,
        lenient: bool,
    ) -> Checked {
        let before = self.objects.clone();
        let is_folder = model::is_folder(&before, from);
        let was_folder = model::is_folder(&before, to);
        let jobs = jobs(&before, from, to);
        let losers = self.losers(client, &jobs, is_folder);
        let known = self.known_of(client, from, &jobs);
        let is_refused = is_folder && was_folder && self.is_directory() && self.has_unseen(client, to);
        let expected = model::transfer(&before, from, to, moves, overwrite).filter(|_| !is_refused);
        let method = if moves { "MOVE" } else { "COPY" };
        let headers = [
            ("Destination", format!("{}{}", self.gateway.url, url(&self.root, to))),
            ("Overwrite", if overwrite { "T" } else { "F" }.to_owned()),
        ];
        let answer = send(self.gateway, &self.root, method, client, from, None, Some(&headers)).await;
        if !answer.is_success() {
            return self.check_write(answer, expected, lenient, None).await;
        }
        let now = self.look().await;
        let mut copies = copies(&before, &now, &jobs);
        for (from, to) in jobs.iter().filter(|_| !self.is_directory()) {
            // Its own copy is replaced, where it has one.
            let own =
                self.own_copy(client, to).filter(|own| own != from && now.get(own) == Some(&before[from]));
            if let (Some(own), true) = (own, losers.contains(to)) {
                copies.entry(to.clone()).or_insert(own);
            }
        }
        if self.is_directory() && is_folder {
            if was_folder {
                self.knowledge.forget_below(client, to);
            }
            self.learn_folder(client, moves, (from, to), &now, &jobs);
        } else {
            self.learn(client, moves, &now, &jobs, &copies, &known);
        }
        if copies.is_empty() {
            self.knowledge.made(client, to);
        }
        if moves && !is_folder {
            self.knowledge.told_absent(client, from);
        }
        let Some(mut expected) = expected else {
            return self.check_write(answer, None, lenient, Some(to)).await;
        };
        let brings_the_same =
            |target: &String| jobs.iter().any(|(from, to)| to == target && before[from] == before[to]);
        // In a folder the gateway may not know yet what was to be brought.
        for target in losers.iter().filter(|_| !(self.recent && is_folder)) {
            expected.insert(target.clone(), before[target].clone());
            match copies.get(target) {
                Some(copy) => _ = expected.insert(copy.clone(), now[copy].clone()),
                // A move that was cut and made again: the place has this content already.
                None if brings_the_same(target) => {}
                None => return Err(format!("{target:?} was replaced, or has no copy: {now:?}")),
            }
        }
        if is_folder && !losers.is_empty() && jobs.keys().any(|key| key.contains(" (conflict ")) {
            // Of a copy that comes along and one that is made now either may get a name first.
            let below = format!("{to}/");
            let mut kept = before.clone();
            kept.retain(|key, _| !key.starts_with(&below) || losers.contains(key));
            self.check_nothing_lost(&kept, &now, "\0")?;
            self.adopt(now);
            return Ok(());
        }
        self.check_write(answer, Some(expected), lenient, Some(to)).await
    }

    /// The places of `jobs` that keep what they have.
    fn losers(&self, client: usize, jobs: &BTreeMap<String, String>, is_folder: bool) -> Vec<String> {
        if is_folder && self.is_directory() {
            return Vec::new();
        }
        let loses = |to: &&String| match self.version(&self.objects, to) {
            Some(there) if is_folder => self.knowledge.has_other(client, to, &there),
            there => self.knowledge.loses(client, to, there.as_ref()),
        };
        jobs.values().filter(loses).cloned().collect()
    }

    /// Whether a folder holds what a client knows in another version: then a directory does not replace it.
    fn has_unseen(&self, client: usize, folder: &str) -> bool {
        self.knowledge.below(client, folder).iter().any(|(key, _)| {
            let there = self.version(&self.objects, key);
            there.is_some_and(|there| self.knowledge.has_other(client, key, &there))
        })
    }

    /// What a client that moves or copies `from` knows of the sources of `jobs`.
    fn known_of(
        &self,
        client: usize,
        from: &str,
        jobs: &BTreeMap<String, String>,
    ) -> BTreeMap<String, Knows> {
        let was_absent = self.knowledge.is_absent(client, from);
        let knows = |key: &String| {
            let there = self.version(&self.objects, key);
            let there = there.as_ref();
            let has_seen = there.is_some_and(|there| self.knowledge.has_seen(client, key, there));
            let knows_other =
                there.is_some_and(|there| self.knowledge.knows_other(client, key, there, was_absent));
            (key.clone(), Knows { has_seen, knows_other })
        };
        jobs.keys().map(knows).collect()
    }

    /// What a client knows after a COPY or MOVE, of each file; `known`: what it knew of the sources.
    fn learn(
        &mut self,
        client: usize,
        moves: bool,
        now: &Objects,
        jobs: &BTreeMap<String, String>,
        copies: &BTreeMap<String, String>,
        known: &BTreeMap<String, Knows>,
    ) {
        for (key, target) in jobs {
            let Knows { has_seen, knows_other } = known[key];
            let is_made = |version: &Version| version.content == self.objects[key];
            if let Some(copy) = copies.get(target) {
                let version = self.version(now, copy).expect("it was found");
                self.knowledge.lost(client, target, copy, version.clone(), has_seen);
                if self.is_directory() {
                    self.knowledge.saw(client, copy, version);
                }
            } else if let Some(version) = self.version(now, target).filter(is_made) {
                self.knowledge.saw(client, target, version);
                if moves && knows_other {
                    self.knowledge.moved_unseen(client, target);
                }
            } else {
                // The gateway did not know of it yet.
                continue;
            }
            if moves {
                self.knowledge.forget(client, key);
            }
        }
    }

    /// The same, where a directory's folder went as a whole.
    fn learn_folder(
        &mut self,
        client: usize,
        moves: bool,
        (from, to): (&str, &str),
        now: &Objects,
        jobs: &BTreeMap<String, String>,
    ) {
        if moves {
            // A renamed folder's files have not been looked at.
            return self.knowledge.moved(client, from, to);
        }
        for target in jobs.values() {
            if let Some(version) = self.version(now, target) {
                self.knowledge.saw(client, target, version);
            }
        }
    }

    /// `replaced`: contents below this path may be gone afterwards.
    async fn check_write(
        &mut self,
        answer: Answer,
        expected: Expected,
        lenient: bool,
        replaced: Option<&str>,
    ) -> Checked {
        let (before, now) = (self.objects.clone(), self.look().await);
        let expected = expected.map(|expected| self.shown(expected));
        if self.recent || lenient {
            self.check_nothing_lost(&before, &now, replaced.unwrap_or("\0"))?;
        } else {
            match (answer.is_success(), expected) {
                (true, Some(expected)) if now == expected => {}
                (false, None) if now == before => {}
                (_, expected) => {
                    return Err(format!(
                        "answered {}; the bucket was {before:?}, is {now:?} and should be {:?}",
                        answer.status,
                        expected.unwrap_or(before.clone())
                    ));
                }
            }
        }
        self.adopt(now);
        Ok(())
    }

    /// No content that was there has vanished but below `replaced`, or by being replaced.
    fn check_nothing_lost(&self, before: &Objects, now: &Objects, replaced: &str) -> Checked {
        for (key, content) in before.iter().filter(|(_, content)| !content.is_empty()) {
            let may_go = key == replaced || key.starts_with(&format!("{replaced}/"));
            let put_over = now.get(key).is_some_and(|other| other != content);
            if !may_go && !put_over && !now.values().any(|other| other == content) {
                return Err(format!("{content:?} at {key:?} is lost: {now:?}"));
            }
        }
        Ok(())
    }

    fn check_read(&mut self, op: &Op, answer: Answer, begun: Instant, lenient: bool) -> Checked {
        if let Op::Get { client, path } | Op::GetRange { client, path, .. } | Op::Head { client, path } = op {
            self.note_answer(*client, path, &answer);
        }
        if lenient && !answer.is_success() {
            return Ok(());
        }
        match op {
            Op::List { client, folder } => self.check_listing(*client, folder, answer, begun),
            Op::Get { client, path } => {
                self.check_content(path, &answer, begun, |content| Some(content.to_owned()))?;
                if let (200, Some(body)) = (answer.status, answer.body) {
                    let body = String::from_utf8(body.to_vec()).map_err(|error| error.to_string())?;
                    let version = Version { file: self.file(path), content: body };
                    let count = version.content.len();
                    self.knowledge.got(*client, path, version, 0, count);
                }
                Ok(())
            }
            Op::GetRange { client, path, first, last } => {
                let range =
                    |content: &str| content.get(*first..content.len().min(last + 1)).map(str::to_owned);
                let range = |content: &str| range(content).filter(|part| !part.is_empty());
                self.check_content(path, &answer, begun, range)?;
                let version = self.version_named(path, answer.etag.as_deref());
                if let (206, Some(body), Some(version)) = (answer.status, answer.body, version) {
                    self.knowledge.got(*client, path, version, *first, body.len());
                }
                Ok(())
            }
            Op::Head { path, .. } => {
                let is_there: Vec<bool> = self.admissible(path, begun).iter().map(Option::is_some).collect();
                if is_there.contains(&answer.is_success()) {
                    Ok(())
                } else {
                    Err(format!("answered {}", answer.status))
                }
            }
            _ => Ok(()),
        }
    }

    /// What a client learns of a name by the answer to a GET or HEAD.
    fn note_answer(&mut self, client: usize, path: &str, answer: &Answer) {
        if answer.status == 404 {
            self.knowledge.told_absent(client, path);
        } else if answer.is_success() {
            self.knowledge.shown(client, path);
        }
    }

    fn check_content(
        &self,
        path: &str,
        answer: &Answer,
        begun: Instant,
        part: impl Fn(&str) -> Option<String>,
    ) -> Checked {
        let admissible = self.admissible(path, begun);
        let fits = |version: &Option<String>| match (version, answer.status) {
            (Some(content), 200 | 206) => {
                part(content).is_some_and(|part| answer.body.as_ref().is_some_and(|body| *body == part))
            }
            (Some(content), 416) => part(content).is_none(),
            (None, 404) => true,
            _ => false,
        };
        if admissible.iter().any(fits) {
            Ok(())
        } else {
            Err(format!("answered {} {:?}, may be {admissible:?}", answer.status, answer.body))
        }
    }

    fn check_listing(&mut self, client: usize, folder: &str, answer: Answer, begun: Instant) -> Checked {
        let shown = match answer.status {
            207 => Some(self.listed(folder, &answer.body.ok_or("the listing broke off")?)),
            404 => None,
            other => return Err(format!("answered {other}")),
        };
        for name in shown.iter().flatten() {
            let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
            self.knowledge.shown(client, &format!("{prefix}{name}"));
        }
        let expected = model::children(&self.objects, folder);
        // The order is the gateway's own.
        let sorted = |names: &Option<Vec<String>>| {
            names.clone().map(|mut names| {
                names.sort();
                names
            })
        };
        if sorted(&shown) == sorted(&expected) {
            return Ok(());
        }
        if !self.recent {
            return Err(format!("shows {shown:?} instead of {expected:?}"));
        }
        // Somebody else changed something: each file by itself must have been so.
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let files = self.history.keys().filter(|key| {
            key.strip_prefix(&prefix).is_some_and(|name| !name.is_empty() && !name.contains('/'))
        });
        let shown = shown.unwrap_or_default();
        for key in files {
            let is_shown = shown.iter().any(|name| *name == key[prefix.len()..]);
            if !self.admissible(key, begun).iter().any(|version| version.is_some() == is_shown) {
                return Err(format!("{key:?} is shown: {is_shown}"));
            }
        }
        Ok(())
    }

    /// The names that a listing shows.
    fn listed(&self, folder: &str, body: &Bytes) -> Vec<String> {
        let hrefs = crate::harness::hrefs(&String::from_utf8_lossy(body));
        let own = url(&self.root, folder);
        let host = if own.starts_with("//") { self.gateway.url.as_str() } else { "" };
        let own = format!("{host}{own}");
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let own = format!("{}/", decode(&own).trim_end_matches('/'));
        hrefs
            .iter()
            .filter_map(|href| decode(href).strip_prefix(&own).map(str::to_owned))
            .filter(|n| !n.is_empty())
            .collect()
    }

    /// The version that `objects` has at a key.
    fn version(&self, objects: &Objects, key: &str) -> Option<Version> {
        let content = objects.get(key).filter(|_| !key.ends_with('/') || !self.is_directory())?;
        Some(Version { content: content.clone(), file: self.file(key) })
    }

    /// The version that an ETag stands for; a part of it may be part of another one, too.
    fn version_named(&self, path: &str, etag: Option<&str>) -> Option<Version> {
        if self.is_directory() {
            // What a directory holds is asked of it each time.
            return self.version(&self.objects, path);
        }
        let content = self.written.get(etag?).cloned()?;
        Some(Version { content, file: None })
    }

    /// What a directory has at a key now.
    fn file(&self, key: &str) -> Option<File> {
        let Bucket::Directory(directory) = &self.bucket else { return None };
        let meta = std::fs::metadata(directory.join(&self.root).join(key)).ok()?;
        let time = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Some(File {
            inode: meta.ino(),
            modified: time(meta.mtime(), meta.mtime_nsec()),
            changed: time(meta.ctime(), meta.ctime_nsec()),
        })
    }

    fn is_directory(&self) -> bool {
        matches!(self.bucket, Bucket::Directory(_))
    }

    /// What the gateway may believe to be at a key: what was there within its memory, but nothing
    /// from before its own last change.
    fn admissible(&self, key: &str, begun: Instant) -> Vec<Option<String>> {
        let history = self.history.get(key).filter(|_| !self.is_directory());
        let Some(history) = history else { return vec![self.objects.get(key).cloned()] };
        let oldest = begun.checked_sub(TTL + SLACK).unwrap_or(begun);
        let oldest = self.own.get(key).map_or(oldest, |own| oldest.max(*own));
        let mut admissible: Vec<Option<String>> = Vec::new();
        for (index, (_, version)) in history.iter().enumerate() {
            let until = history.get(index + 1).map(|(from, _)| *from);
            if until.is_none_or(|until| until > oldest) {
                admissible.push(version.clone());
            }
        }
        admissible
    }

    fn note_outside(&mut self, key: &str, content: Option<String>) {
        if !self.is_directory() {
            let now = Instant::now();
            self.outside = Some(now);
            self.remember(key, content.clone(), now);
        }
        let was_there = match content {
            Some(content) => self.objects.insert(key.to_owned(), content),
            None => self.objects.remove(key),
        };
        if self.is_directory() && was_there.is_some() {
            // A folder is one by itself.
            model::keep(&mut self.objects, model::parent(key));
        }
        self.objects = self.shown(self.objects.clone());
    }

    fn remember(&mut self, key: &str, content: Option<String>, at: Instant) {
        let before = self.objects.get(key).cloned();
        let history = self
            .history
            .entry(key.to_owned())
            .or_insert_with(|| vec![(at - Duration::from_secs(60), before)]);
        history.push((at, content));
    }

    /// Takes over what the gateway did.
    fn adopt(&mut self, now: Objects) {
        let at = Instant::now();
        let mut keys: Vec<String> = self.objects.keys().chain(now.keys()).cloned().collect();
        keys.dedup();
        for key in keys {
            if self.objects.get(&key) != now.get(&key) {
                self.remember(&key, now.get(&key).cloned(), at);
                self.own.insert(key, at);
            }
        }
        self.objects = now;
    }

    fn heal(&self) {
        if self.gateway.has_hooks() {
            self.gateway.hooks().heal();
        }
    }

    /// What should be there, as it is looked at: in a directory only an empty folder shows by itself.
    fn shown(&self, mut objects: Objects) -> Objects {
        if self.is_directory() {
            let keys: Vec<String> = objects.keys().cloned().collect();
            let is_filled = |folder: &str| keys.iter().any(|key| key != folder && key.starts_with(folder));
            objects.retain(|key, _| !key.is_empty() && (!key.ends_with('/') || !is_filled(key)));
        }
        objects
    }

    /// The bucket as it is.
    async fn look(&self) -> Objects {
        // What was to harm the step must not harm the look at what it did.
        self.heal();
        let prefix = format!("{}/", self.root);
        if self.is_directory() {
            let contents = self.bucket.contents().await;
            let below = |key: &String| key.strip_prefix(&prefix).map(str::to_owned);
            let text = |body: Bytes| String::from_utf8_lossy(&body).into_owned();
            let found = contents.into_iter().filter_map(|(key, body)| Some((below(&key)?, text(body))));
            return self.shown(found.collect());
        }
        let mut objects = Objects::new();
        for leaf in s3dav::store::tree::list(self.bucket.store(), &prefix).await.unwrap() {
            let key = leaf.key.as_str().strip_prefix(&prefix).unwrap().to_owned();
            // Contents are told by their MD5, which is what the ETag is here.
            let content = self.written.get(leaf.etag.unquoted()).cloned();
            objects.insert(key, content.unwrap_or_else(|| format!("unknown content {:?}", leaf.etag)));
        }
        objects
    }

    /// A content that was never there before.
    fn content(&mut self, length: usize) -> String {
        let number = self.written.len();
        let filling = "0123456789abcdefghijklmnopqrstuvwxyz".get(..length).unwrap_or_default();
        let content = format!("{number}:{filling}");
        self.written.insert(hex::encode(Md5::digest(&content)), content.clone());
        content
    }

    async fn plain(&self, method: &str, client: usize, path: &str) -> Answer {
        send(self.gateway, &self.root, method, client, path, None, None).await
    }
}

/// What a COPY or MOVE brings where.
fn jobs(objects: &Objects, from: &str, to: &str) -> BTreeMap<String, String> {
    let of = |key: &&String| *key == from || key.starts_with(&format!("{from}/"));
    let keys = objects.keys().filter(of);
    keys.map(|key| (key.clone(), format!("{to}{}", &key[from.len()..]))).collect()
}

/// Where what was meant for the places of `jobs` lies beside them.
fn copies(before: &Objects, now: &Objects, jobs: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let places: BTreeSet<&String> = jobs.values().collect();
    let mut new: Vec<&String> =
        now.keys().filter(|key| !before.contains_key(*key) && !places.contains(key)).collect();
    let mut copies = BTreeMap::new();
    // A copy may itself have got a copy, whose name is longer.
    for (from, to) in jobs.iter().rev() {
        let beside = format!("{to} (conflict ");
        let at = new.iter().position(|key| key.starts_with(&beside) && now[*key] == before[from]);
        if let Some(at) = at {
            copies.insert(to.clone(), new.remove(at).clone());
        }
    }
    copies
}

/// A client that reads and writes the same file at once may mean either version; so another one reads.
fn by_a_bystander(mut read: Op) -> Op {
    if let Op::Get { client, .. }
    | Op::GetRange { client, .. }
    | Op::Head { client, .. }
    | Op::List { client, .. } = &mut read
    {
        *client = CLIENTS;
    }
    read
}

fn url(root: &str, path: &str) -> String {
    let segments = path.split('/').map(|segment| utf8_percent_encode(segment, NON_ALPHANUMERIC).to_string());
    let url = format!("/{root}/{}", segments.collect::<Vec<_>>().join("/"));
    if !root.starts_with(DOUBLED) {
        return url;
    }
    let last = url.trim_end_matches('/').rfind('/').unwrap();
    format!("{}/{}", &url[..last], &url[last..])
}

async fn request(gateway: &TestGateway, root: &str, op: &Op) -> Answer {
    match op {
        Op::Get { client, path } => send(gateway, root, "GET", *client, path, None, None).await,
        Op::GetRange { client, path, first, last } => {
            let range = [("Range", format!("bytes={first}-{last}"))];
            send(gateway, root, "GET", *client, path, None, Some(&range)).await
        }
        Op::Head { client, path } => send(gateway, root, "HEAD", *client, path, None, None).await,
        Op::List { client, folder } => {
            let depth = [("Depth", "1".to_owned())];
            send(gateway, root, "PROPFIND", *client, folder, None, Some(&depth)).await
        }
        _ => unreachable!("only reads are asked for so"),
    }
}

async fn send(
    gateway: &TestGateway,
    root: &str,
    method: &str,
    client: usize,
    path: &str,
    body: Option<String>,
    headers: Option<&[(&str, String)]>,
) -> Answer {
    let mut request =
        gateway.request(method, &url(root, path)).header("User-Agent", format!("client{client}/1"));
    for (name, value) in headers.unwrap_or_default() {
        request = request.header(*name, value);
    }
    if let Some(body) = body {
        request = request.body(body);
    }
    let answer = request.send().await.unwrap();
    let status = answer.status().as_u16();
    let etag = answer.headers().get("etag").and_then(|etag| etag.to_str().ok());
    let etag = etag.map(|etag| etag.trim_matches('"').to_owned());
    Answer { status, etag, body: answer.bytes().await.ok() }
}
