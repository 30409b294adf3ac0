//! Words and marks of Rust, without comments and without what stands in quotes.

use std::iter::Peekable;
use std::str::Chars;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    Word(String),
    Mark(char),
}

impl Token {
    pub fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Mark(_) => None,
        }
    }

    pub fn is(&self, word: &str) -> bool {
        self.word() == Some(word)
    }
}

pub fn tokens(text: &str) -> Vec<Token> {
    let (mut found, mut rest) = (Vec::new(), text.chars().peekable());
    while let Some(c) = rest.next() {
        match c {
            '/' if rest.peek() == Some(&'/') => rest.by_ref().take_while(|c| *c != '\n').for_each(drop),
            '/' if rest.peek() == Some(&'*') => skip_comment(&mut rest),
            '"' => skip_string(&mut rest),
            '\'' => skip_character(&mut rest),
            'r' | 'b' if skips_raw_string(&mut rest) => {}
            c if is_of_word(c) => {
                let mut word = c.to_string();
                while let Some(c) = rest.next_if(|c| is_of_word(*c)) {
                    word.push(c);
                }
                found.push(Token::Word(word));
            }
            c if c.is_whitespace() => {}
            c => found.push(Token::Mark(c)),
        }
    }
    found
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn skip_comment(rest: &mut Peekable<Chars>) {
    let mut before = ' ';
    // The star that opens it closes nothing.
    for c in rest.skip(1) {
        if (before, c) == ('*', '/') {
            return;
        }
        before = c;
    }
}

fn skip_string(rest: &mut Peekable<Chars>) {
    while let Some(c) = rest.next() {
        match c {
            '\\' => _ = rest.next(),
            '"' => return,
            _ => {}
        }
    }
}

/// A character, or nothing where it is a lifetime.
fn skip_character(rest: &mut Peekable<Chars>) {
    let mut ahead = rest.clone();
    match (ahead.next(), ahead.next()) {
        (Some('\\'), Some(_)) => ahead.by_ref().take_while(|c| *c != '\'').for_each(drop),
        (Some(_), Some('\'')) => {}
        _ => return,
    }
    *rest = ahead;
}

/// What follows `r` or `b`: `"…"`, `#"…"#`, or `r"…"` again; says whether it was one of these.
fn skips_raw_string(rest: &mut Peekable<Chars>) -> bool {
    let mut ahead = rest.clone();
    ahead.next_if_eq(&'r');
    let mut hashes = 0;
    while ahead.next_if_eq(&'#').is_some() {
        hashes += 1;
    }
    if ahead.next() != Some('"') {
        return false;
    }
    let mut seen = None;
    for c in ahead.by_ref() {
        seen = match (c, seen) {
            ('"', _) => Some(0),
            ('#', Some(count)) => Some(count + 1),
            _ => None,
        };
        if seen == Some(hashes) {
            break;
        }
    }
    *rest = ahead;
    true
}

#[test]
fn what_is_quoted_is_no_code() {
    let text = r####"a /* b "*/ 'x' 'c' '\'' '\u{1}' "d\"e" r"f\" r#"g"h"# b"i" br##"j"#k"## l 'm' // n
        o::<'p>"####;
    let words: Vec<_> = tokens(text).iter().filter_map(|token| token.word().map(str::to_owned)).collect();
    assert_eq!(words, ["a", "l", "o", "p"]);
}
