//! The modules of the program, and which of them uses which: read from every path in the code, tests apart.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::tokens::{Token, tokens};

/// A module's path from the crate's root: `["fs", "path"]` is `crate::fs::path`.
pub type Module = Vec<String>;

/// All modules, with what each uses and what it hands on under another path.
#[derive(Default)]
pub struct Modules {
    uses: BTreeMap<Module, BTreeSet<Vec<String>>>,
    /// Names of `pub use`, and the paths that they stand for.
    handed_on: BTreeMap<Module, BTreeMap<String, Vec<String>>>,
}

impl Modules {
    /// Reads sources, each by its path from the root of the repository.
    pub fn read<'a>(sources: impl Iterator<Item = (&'a Path, &'a str)>) -> Self {
        let (mut modules, mut texts) = (Self::default(), Vec::new());
        for (path, text) in sources {
            let module = module_of(path);
            modules.uses.insert(module.clone(), BTreeSet::new());
            texts.push((module, tokens(text)));
        }
        texts.into_iter().for_each(|(module, tokens)| modules.scan(&module, &tokens));
        modules
    }

    /// Pairs of modules, the first of which uses the second. A name that is handed on counts for the module that
    /// has it; what a folder's `mod.rs` declares is the folder's own.
    pub fn arrows(&self) -> BTreeSet<(Module, Module)> {
        let pairs = self.uses.iter().flat_map(|(user, paths)| {
            paths.iter().filter_map(move |path| Some((user.clone(), self.module_at(user, path, 0)?)))
        });
        pairs.filter(|(user, used)| user != used && !used.is_empty()).collect()
    }

    /// Pairs of a module and a crate, or anything else that a path of its begins with.
    pub fn foreign(&self) -> impl Iterator<Item = (&Module, &str)> {
        let handed = self.handed_on.iter();
        let handed = handed.flat_map(|(user, names)| names.values().map(move |path| (user, path)));
        let used = self.uses.iter().flat_map(|(user, paths)| paths.iter().map(move |path| (user, path)));
        used.chain(handed).filter_map(|(user, path)| Some((user, path.first()?.as_str())))
    }

    fn scan(&mut self, module: &Module, tokens: &[Token]) {
        let mut at = 0;
        while let Some(token) = tokens.get(at) {
            at += match token {
                Token::Mark('#') if is_of_tests(&tokens[at..]) => length_of_item(&tokens[at..]),
                Token::Word(word) if word == "use" => self.read_use(module, tokens, at),
                Token::Word(_) => self.read_path(module, &tokens[at..]),
                Token::Mark(_) => 1,
            };
        }
    }

    /// Reads `use …;` and returns how many tokens it has.
    fn read_use(&mut self, module: &Module, tokens: &[Token], at: usize) -> usize {
        let length = tokens[at..].iter().position(|token| *token == Token::Mark(';'));
        let length = length.unwrap_or(tokens.len() - at);
        let mut leaves = Vec::new();
        leaves_of(&tokens[at + 1..at + length], &[], &mut leaves);
        // `pub use`, or `pub(…) use`.
        let before = at.checked_sub(1).map(|before| &tokens[before]);
        let is_handed_on =
            matches!(before, Some(Token::Mark(')'))) || before.is_some_and(|token| token.is("pub"));
        for (path, name) in leaves {
            if is_handed_on {
                self.handed_on.entry(module.clone()).or_default().insert(name, path);
            } else {
                self.uses.entry(module.clone()).or_default().insert(path);
            }
        }
        length
    }

    /// Reads a path in the code, and returns how many tokens it has.
    fn read_path(&mut self, module: &Module, tokens: &[Token]) -> usize {
        let (mut path, mut at) = (Vec::new(), 0);
        while let Some(Token::Word(word)) = tokens.get(at) {
            path.push(word.clone());
            at += 1;
            if !is_double_colon(&tokens[at..]) {
                break;
            }
            at += 2;
        }
        if path.len() > 1 {
            self.uses.entry(module.clone()).or_default().insert(path);
        }
        at
    }

    /// The module that has what `path` names in `user`; `None`: it is another crate's.
    fn module_at(&self, user: &Module, path: &[String], depth: usize) -> Option<Module> {
        let supers = path.iter().take_while(|word| *word == "super").count();
        let (mut module, mut rest) = match path.first()?.as_str() {
            "crate" => (Module::new(), &path[1..]),
            "self" => (user.clone(), &path[1..]),
            "super" => (user[..user.len().checked_sub(supers)?].to_vec(), &path[supers..]),
            _ if self.has(user, &path[0]) => (user.clone(), path),
            _ => return None,
        };
        while let Some(word) = rest.first().filter(|word| self.has(&module, word)) {
            module.push(word.clone());
            rest = &rest[1..];
        }
        let handed = rest.first().and_then(|word| self.handed_on.get(&module)?.get(word));
        let further = handed.filter(|_| depth < MOST_HANDS);
        further.and_then(|path| self.module_at(&module, path, depth + 1)).or(Some(module))
    }

    fn has(&self, module: &Module, child: &str) -> bool {
        let mut path = module.clone();
        path.push(child.to_owned());
        self.uses.contains_key(&path)
    }
}

/// A name is handed on from hand to hand no further than this.
const MOST_HANDS: usize = 8;

fn module_of(path: &Path) -> Module {
    let mut module: Module =
        path.iter().skip(1).map(|part| part.to_string_lossy().trim_end_matches(".rs").to_owned()).collect();
    module.pop_if(|last| ["mod", "lib"].contains(&last.as_str()));
    module
}

/// The single paths of a tree such as `a::{b, c::{self, d as e}}`, each with the name that it gets.
fn leaves_of(tree: &[Token], before: &[String], leaves: &mut Vec<(Vec<String>, String)>) {
    for branch in branches(tree) {
        let head = branch.iter().take_while(|token| **token != Token::Mark('{'));
        let words = head.clone().filter_map(|token| token.word().map(str::to_owned));
        let mut path = [before.to_vec(), words.collect()].concat();
        let head = head.count();
        if head < branch.len() {
            leaves_of(&branch[head + 1..branch.len() - 1], &path, leaves);
            continue;
        }
        let mut name = path.last().cloned().unwrap_or_default();
        if path.len() > 2 && path[path.len() - 2] == "as" {
            path.truncate(path.len() - 2);
        }
        if path.pop_if(|word| word == "self").is_some() {
            name = path.last().cloned().unwrap_or_default();
        }
        if !path.is_empty() {
            leaves.push((path, name));
        }
    }
}

/// What stands between the commas of a list, those of inner lists apart.
fn branches(list: &[Token]) -> impl Iterator<Item = &[Token]> {
    let mut depth = 0;
    list.split(move |token| {
        depth += i32::from(*token == Token::Mark('{')) - i32::from(*token == Token::Mark('}'));
        depth == 0 && *token == Token::Mark(',')
    })
}

fn is_double_colon(tokens: &[Token]) -> bool {
    tokens.starts_with(&[Token::Mark(':'), Token::Mark(':')])
}

/// Whether an item of the tests begins here: `#[cfg(test)]`, or with more conditions.
fn is_of_tests(tokens: &[Token]) -> bool {
    let attribute = tokens.iter().take_while(|token| **token != Token::Mark(']'));
    let words: Vec<&str> = attribute.filter_map(Token::word).collect();
    words.starts_with(&["cfg", "test"]) || words.starts_with(&["cfg", "all", "test"])
}

/// How many tokens an item has, its attributes included.
fn length_of_item(tokens: &[Token]) -> usize {
    let mut depth = 0;
    let is_last = |token: &Token| {
        depth += i32::from(*token == Token::Mark('{')) - i32::from(*token == Token::Mark('}'));
        depth == 0 && matches!(token, Token::Mark(';' | '}'))
    };
    tokens.iter().position(is_last).map_or(tokens.len(), |last| last + 1)
}

/// Files and folders of one folder that use each other in a circle, for each folder that has some.
pub fn circles(arrows: &BTreeSet<(Module, Module)>) -> Vec<String> {
    let modules: BTreeSet<&Module> = arrows.iter().flat_map(|(user, used)| [user, used]).collect();
    let folders: BTreeSet<&[String]> =
        modules.iter().flat_map(|module| (0..module.len()).map(|depth| &module[..depth])).collect();
    folders.into_iter().flat_map(|folder| circles_in(folder, arrows)).collect()
}

fn circles_in(folder: &[String], arrows: &BTreeSet<(Module, Module)>) -> Vec<String> {
    let child = |module: &'_ Module| module.strip_prefix(folder).and_then(|rest| rest.first()).cloned();
    let mut left: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (user, used) in arrows {
        if let (Some(user), Some(used)) = (child(user), child(used))
            && user != used
        {
            left.entry(user).or_default().insert(used);
        }
    }
    // Whoever uses nobody that is left is in no circle, and neither is one whom nobody uses.
    loop {
        let (before, users) = (left.len(), left.keys().cloned().collect::<BTreeSet<String>>());
        left.values_mut().for_each(|used| used.retain(|name| users.contains(name)));
        let used: BTreeSet<String> = left.values().flatten().cloned().collect();
        left.retain(|name, uses| !uses.is_empty() && used.contains(name));
        if left.len() == before {
            break;
        }
    }
    left.iter().map(|(user, used)| format!("{}: {user} uses {used:?}", folder.join("/"))).collect()
}
