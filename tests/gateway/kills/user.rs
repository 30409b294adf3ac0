//! One who works until the gateway dies, ends then what was cut, and knows what must be there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use reqwest::{Client, Method};

use super::Check;
use crate::harness::dice::Dice;
use crate::harness::{client, xml};

/// The gateway died before it answered.
pub struct Cut;

type Done = Result<u16, Cut>;

/// What must be there of a file. Where something was cut there are several answers, until one is seen.
#[derive(Debug, Clone, Default)]
pub struct File {
    /// `None`: it may not be there at all.
    pub contents: Vec<Option<Bytes>>,
    /// Of the one property.
    pub properties: Vec<Option<String>>,
    /// Of the file that macOS keeps beside it.
    pub beside: Vec<Option<Bytes>>,
}

/// What was begun and not answered.
#[derive(Debug, Clone)]
enum Begun {
    Write(String),
    Property(String),
    Beside(String),
    Folder(String),
    Move { from: String, to: String },
    Delete(String),
}

pub struct User {
    number: u64,
    dice: Dice,
    client: Client,
    /// By path.
    pub files: BTreeMap<String, File>,
    /// With a slash at the end.
    pub folders: Vec<String>,
    begun: Option<Begun>,
    /// A lock that was not given back.
    lock: Option<(String, String)>,
    /// Paths seen in this life, so that what is written next replaces what was seen.
    seen: Vec<String>,
    made: u64,
    /// Requests of all users.
    sent: Arc<AtomicU64>,
    pub acknowledged: u64,
    pub cut: u64,
    pub faults: Vec<String>,
}

impl User {
    pub fn new(number: u64, dice: Dice, sent: &Arc<AtomicU64>) -> Self {
        Self {
            number,
            dice,
            client: client(),
            files: BTreeMap::new(),
            folders: vec![format!("/u{number}/")],
            begun: None,
            lock: None,
            seen: Vec::new(),
            made: 0,
            sent: Arc::clone(sent),
            acknowledged: 0,
            cut: 0,
            faults: Vec::new(),
        }
    }

    pub fn folder(&self) -> String {
        format!("u{}", self.number)
    }

    /// Works until the gateway dies.
    pub async fn work(&mut self, url: &str) {
        self.client = client();
        self.seen.clear();
        loop {
            let begun = self.begun.clone();
            let done = match begun {
                Some(begun) => self.end(url, begun).await,
                None => self.step(url).await,
            };
            if done.is_err() {
                self.cut += 1;
                return;
            }
        }
    }

    /// Ends what was cut; the gateway lives.
    pub async fn end_what_was_cut(&mut self, url: &str) {
        self.client = client();
        self.seen.clear();
        while let Some(begun) = self.begun.clone() {
            assert!(self.end(url, begun).await.is_ok(), "the gateway died");
        }
        assert!(self.unlock(url).await.is_ok(), "the gateway died");
    }

    async fn step(&mut self, url: &str) -> Result<(), Cut> {
        self.unlock(url).await?;
        let paths: Vec<String> = self.files.keys().cloned().collect();
        let choice = if paths.len() < FEW { 0 } else { self.dice.below(100) };
        match choice {
            0..30 => self.create(url).await,
            30..40 => self.replace(url, &paths).await,
            40..50 => self.patch(url, &paths).await,
            50..58 => self.keep_beside(url, &paths).await,
            58..64 => self.lock(url, &paths).await,
            64..70 => self.make_folder(url).await,
            70..84 => self.rename_file(url, &paths).await,
            84..90 => self.rename_folder(url).await,
            90..97 => self.delete_file(url, &paths).await,
            _ => self.delete_folder(url).await,
        }
    }

    /// A name that nobody had before.
    fn new_name(&mut self) -> String {
        self.made += 1;
        let folder = self.dice.below(self.folders.len() as u64) as usize;
        format!("{}f{}", self.folders[folder], self.made)
    }

    fn pick(&mut self, paths: &[String]) -> String {
        paths[self.dice.below(paths.len() as u64) as usize].clone()
    }

    /// Small, or so large that it goes in parts.
    fn new_content(&mut self) -> Bytes {
        self.made += 1;
        let mut content = format!("content {} of {} ", self.made, self.number);
        if self.dice.comes(30) {
            content = content.repeat(5000 + self.dice.below(5000) as usize);
        }
        content.into()
    }

    /// A new file, as macOS makes it.
    async fn create(&mut self, url: &str) -> Result<(), Cut> {
        let path = self.new_name();
        let file =
            File { contents: vec![None, Some(Bytes::new())], properties: vec![None], beside: vec![None] };
        self.files.insert(path.clone(), file);
        self.begun = Some(Begun::Write(path.clone()));
        let made = self.send(url, "PUT", &path, &[], Bytes::new()).await?;
        self.expect(&[201], made, "PUT", &path);
        self.file(&path).contents = vec![Some(Bytes::new())];
        self.acknowledged += 1;
        self.write(url, &path).await
    }

    /// A content, under a lock.
    async fn write(&mut self, url: &str, path: &str) -> Result<(), Cut> {
        let token = self.take_lock(url, path).await?;
        let content = self.new_content();
        self.file(path).contents.push(Some(content.clone()));
        self.begun = Some(Begun::Write(path.to_owned()));
        let condition = [("If", format!("(<{token}>)"))];
        let written = self.send(url, "PUT", path, &condition, content.clone()).await?;
        self.expect(&[200, 201, 204], written, "PUT", path);
        self.file(path).contents = vec![Some(content)];
        self.seen.push(path.to_owned());
        self.done();
        self.unlock(url).await
    }

    async fn replace(&mut self, url: &str, paths: &[String]) -> Result<(), Cut> {
        let path = self.pick(paths);
        if !self.seen.contains(&path) {
            self.get(url, &path).await?;
        }
        self.write(url, &path).await
    }

    async fn patch(&mut self, url: &str, paths: &[String]) -> Result<(), Cut> {
        let path = self.pick(paths);
        self.made += 1;
        let value = format!("v{}", self.made);
        self.file(&path).properties.push(Some(value.clone()));
        self.begun = Some(Begun::Property(path.clone()));
        let body = xml::set(&format!("<colour xmlns=\"urn:kills\">{value}</colour>"));
        let patched = self.send(url, "PROPPATCH", &path, &[], body.into()).await?;
        self.expect(&[207], patched, "PROPPATCH", &path);
        self.file(&path).properties = vec![Some(value)];
        self.done();
        Ok(())
    }

    async fn keep_beside(&mut self, url: &str, paths: &[String]) -> Result<(), Cut> {
        let path = self.pick(paths);
        self.made += 1;
        let size = if self.dice.comes(20) { 20_000 } else { 1 };
        let content = Bytes::from(format!("attributes {} ", self.made).repeat(size));
        self.file(&path).beside.push(Some(content.clone()));
        self.begun = Some(Begun::Beside(path.clone()));
        let kept = self.send(url, "PUT", &beside(&path), &[], content.clone()).await?;
        self.expect(&[201, 204], kept, "PUT", &beside(&path));
        self.file(&path).beside = vec![Some(content)];
        self.done();
        Ok(())
    }

    async fn lock(&mut self, url: &str, paths: &[String]) -> Result<(), Cut> {
        let path = self.pick(paths);
        self.take_lock(url, &path).await?;
        self.unlock(url).await
    }

    async fn take_lock(&mut self, url: &str, path: &str) -> Result<String, Cut> {
        let headers = [("Timeout", "Second-600".to_owned()), ("Depth", "0".to_owned())];
        let request = self.request(url, "LOCK", path, &headers).body(LOCK);
        let Ok(answer) = request.send().await else { return Err(Cut) };
        let token = answer.headers().get("lock-token").map(|token| token.to_str().unwrap().to_owned());
        let Some(token) = token else {
            self.faults.push(format!("LOCK {path}: {}", answer.status()));
            return Ok("urn:none".to_owned());
        };
        let token = token.trim_matches(['<', '>']).to_owned();
        self.lock = Some((path.to_owned(), token.clone()));
        Ok(token)
    }

    /// A lock that a crash took along is as good as given back.
    async fn unlock(&mut self, url: &str) -> Result<(), Cut> {
        if let Some((path, token)) = self.lock.clone() {
            let token = [("Lock-Token", format!("<{token}>"))];
            self.send(url, "UNLOCK", &path, &token, Bytes::new()).await?;
            self.lock = None;
        }
        Ok(())
    }

    async fn make_folder(&mut self, url: &str) -> Result<(), Cut> {
        if self.folders.len() > MOST_FOLDERS {
            return Ok(());
        }
        self.made += 1;
        let folder = format!("/u{}/d{}/", self.number, self.made);
        self.begun = Some(Begun::Folder(folder.clone()));
        let made = self.send(url, "MKCOL", &folder, &[], Bytes::new()).await?;
        self.expect(&[201], made, "MKCOL", &folder);
        self.folders.push(folder);
        self.done();
        Ok(())
    }

    async fn rename_file(&mut self, url: &str, paths: &[String]) -> Result<(), Cut> {
        let (from, to) = (self.pick(paths), self.new_name());
        self.rename(url, from, to).await
    }

    async fn rename_folder(&mut self, url: &str) -> Result<(), Cut> {
        let Some(from) = self.folders.get(1).cloned() else { return Ok(()) };
        self.made += 1;
        let to = format!("/u{}/d{}/", self.number, self.made);
        self.rename(url, from, to).await
    }

    async fn rename(&mut self, url: &str, from: String, to: String) -> Result<(), Cut> {
        self.begun = Some(Begun::Move { from: from.clone(), to: to.clone() });
        let moved = self.send_move(url, &from, &to).await?;
        self.expect(&[201, 204], moved, "MOVE", &from);
        self.has_moved(&from, &to);
        self.done();
        Ok(())
    }

    async fn send_move(&mut self, url: &str, from: &str, to: &str) -> Done {
        self.send(url, "MOVE", from, &[("Destination", format!("{url}{to}"))], Bytes::new()).await
    }

    fn has_moved(&mut self, from: &str, to: &str) {
        for path in self.within(from) {
            let file = self.files.remove(&path).unwrap();
            self.files.insert(format!("{to}{}", &path[from.len()..]), file);
        }
        self.folders.iter_mut().filter(|folder| *folder == from).for_each(|folder| *folder = to.to_owned());
        self.seen.clear();
    }

    async fn delete_file(&mut self, url: &str, paths: &[String]) -> Result<(), Cut> {
        let path = self.pick(paths);
        self.delete(url, path).await
    }

    async fn delete_folder(&mut self, url: &str) -> Result<(), Cut> {
        match self.folders.get(1).cloned() {
            Some(folder) => self.delete(url, folder).await,
            None => Ok(()),
        }
    }

    async fn delete(&mut self, url: &str, path: String) -> Result<(), Cut> {
        self.begun = Some(Begun::Delete(path.clone()));
        let deleted = self.send(url, "DELETE", &path, &[], Bytes::new()).await?;
        self.expect(&[204], deleted, "DELETE", &path);
        self.has_deleted(&path);
        self.done();
        Ok(())
    }

    fn has_deleted(&mut self, path: &str) {
        for path in self.within(path) {
            self.files.remove(&path);
        }
        self.folders.retain(|folder| folder != path);
    }

    /// The file itself, or all files of a folder.
    fn within(&self, path: &str) -> Vec<String> {
        let is_in = |file: &&String| *file == path || (path.ends_with('/') && file.starts_with(path));
        self.files.keys().filter(is_in).cloned().collect()
    }
}

/// The end of what was cut: whoever was not answered looks, and tries again.
impl User {
    async fn end(&mut self, url: &str, begun: Begun) -> Result<(), Cut> {
        self.unlock(url).await?;
        match begun {
            Begun::Write(path) => {
                self.get(url, &path).await?;
                if self.file(&path).contents == [None] {
                    self.files.remove(&path);
                    self.begun = None;
                    return Ok(());
                }
                self.write(url, &path).await
            }
            Begun::Property(path) => {
                let seen = self.property(url, &path).await?;
                self.sees(&path, "property", seen, |file| &mut file.properties);
                self.begun = None;
                Ok(())
            }
            Begun::Beside(path) => {
                let seen = self.content(url, &beside(&path)).await?;
                self.sees(&path, "file beside", seen, |file| &mut file.beside);
                self.begun = None;
                Ok(())
            }
            Begun::Folder(folder) => {
                if self.is_there(url, &folder).await? {
                    self.folders.push(folder);
                }
                self.begun = None;
                Ok(())
            }
            Begun::Move { from, to } => self.end_move(url, &from, &to).await,
            Begun::Delete(path) => {
                let deleted = self.send(url, "DELETE", &path, &[], Bytes::new()).await?;
                self.expect(&[204, 404], deleted, "DELETE", &path);
                self.has_deleted(&path);
                self.begun = None;
                Ok(())
            }
        }
    }

    async fn end_move(&mut self, url: &str, from: &str, to: &str) -> Result<(), Cut> {
        if self.is_there(url, from).await? {
            let moved = self.send_move(url, from, to).await?;
            self.expect(&[201, 204], moved, "MOVE again", from);
        }
        self.has_moved(from, to);
        if !Check::Followers.is_on() {
            self.sees_followers(url, to).await?;
        }
        self.begun = None;
        Ok(())
    }

    /// Takes what is there for right.
    async fn sees_followers(&mut self, url: &str, to: &str) -> Result<(), Cut> {
        for path in self.within(to) {
            let property = self.property(url, &path).await?;
            let content = self.content(url, &beside(&path)).await?;
            let file = self.file(&path);
            file.properties = vec![property];
            file.beside = vec![content];
        }
        Ok(())
    }

    /// Looks at everything.
    pub async fn check(&mut self, url: &str) {
        for path in self.files.keys().cloned().collect::<Vec<_>>() {
            let seen = async {
                self.get(url, &path).await?;
                let property = self.property(url, &path).await?;
                self.sees(&path, "property", property, |file| &mut file.properties);
                let content = self.content(url, &beside(&path)).await?;
                self.sees(&path, "file beside", content, |file| &mut file.beside);
                Ok::<(), Cut>(())
            };
            assert!(seen.await.is_ok(), "the gateway died");
        }
        for folder in self.folders.clone() {
            if !self.is_there(url, &folder).await.is_ok_and(|is_there| is_there) {
                self.faults.push(format!("the folder {folder} is lost"));
            }
        }
    }

    async fn get(&mut self, url: &str, path: &str) -> Result<(), Cut> {
        let seen = self.content(url, path).await?;
        self.seen.push(path.to_owned());
        self.sees(path, "content", seen, |file| &mut file.contents);
        Ok(())
    }

    /// Something was seen: it must be one of what may be there, and is it from now on.
    fn sees<T: PartialEq + std::fmt::Debug + Clone>(
        &mut self,
        path: &str,
        what: &str,
        seen: T,
        of: impl Fn(&mut File) -> &mut Vec<T>,
    ) {
        let known = of(self.file(path));
        if !known.contains(&seen) {
            let fault = format!("the {what} of {path} is {:.80?}, and may be {:.300?}", seen, known);
            known.clear();
            known.push(seen);
            self.faults.push(fault);
            return;
        }
        *known = vec![seen];
    }

    async fn content(&mut self, url: &str, path: &str) -> Result<Option<Bytes>, Cut> {
        let answer = self.request(url, "GET", path, &[]).send().await.map_err(|_| Cut)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(|_| Cut)?;
        self.expect(&[200, 404], status, "GET", path);
        Ok((status == 200).then_some(body))
    }

    async fn property(&mut self, url: &str, path: &str) -> Result<Option<String>, Cut> {
        let ask = xml::propfind("<colour xmlns=\"urn:kills\"/>");
        let headers = [("Depth", "0".to_owned())];
        let request = self.request(url, "PROPFIND", path, &headers).body(ask);
        let answer = request.send().await.map_err(|_| Cut)?;
        let text = answer.text().await.map_err(|_| Cut)?;
        let value = text.split("colour").nth(1).and_then(|rest| rest.split('>').nth(1));
        let value = value.and_then(|value| value.split('<').next()).filter(|value| value.starts_with('v'));
        Ok(value.map(str::to_owned))
    }

    async fn is_there(&mut self, url: &str, path: &str) -> Result<bool, Cut> {
        let looked = self.send(url, "PROPFIND", path, &[("Depth", "0".to_owned())], Bytes::new()).await?;
        self.expect(&[207, 404], looked, "PROPFIND", path);
        Ok(looked == 207)
    }
}

impl User {
    fn file(&mut self, path: &str) -> &mut File {
        self.files.get_mut(path).unwrap()
    }

    fn done(&mut self) {
        self.begun = None;
        self.acknowledged += 1;
    }

    fn expect(&mut self, expected: &[u16], status: u16, method: &str, path: &str) {
        if !expected.contains(&status) {
            self.faults.push(format!("{method} {path}: {status}"));
        }
    }

    fn request(
        &self,
        url: &str,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> reqwest::RequestBuilder {
        self.sent.fetch_add(1, Ordering::Relaxed);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let request = self.client.request(method, format!("{url}{path}"));
        let request = request.header("User-Agent", crate::finder::client::AGENT);
        headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
    }

    async fn send(
        &mut self,
        url: &str,
        method: &str,
        path: &str,
        headers: &[(&'static str, String)],
        body: Bytes,
    ) -> Done {
        let answer = self.request(url, method, path, headers).body(body).send().await;
        let answer = answer.map_err(|_| Cut)?;
        let status = answer.status().as_u16();
        answer.bytes().await.map_err(|_| Cut)?;
        Ok(status)
    }
}

/// Where macOS keeps what a file has beside its content.
pub fn beside(path: &str) -> String {
    let (folder, name) = path.rsplit_once('/').unwrap();
    format!("{folder}/._{name}")
}

const LOCK: &str = crate::finder::client::LOCK;
/// Below this there are only new ones.
const FEW: usize = 6;
const MOST_FOLDERS: usize = 4;
