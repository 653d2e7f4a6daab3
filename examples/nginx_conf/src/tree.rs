//! Directives with their blocks, and the files that `include` puts in between.

use std::borrow::Cow;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

use super::findings::{Findings, Place};
use super::mask;
use super::sources::Sources;
use nginx_conf::words::{self, Token};

/// How deep files may include each other.
const DEEPEST: usize = 32;

/// How deep blocks may stand within each other. Locations within locations are never as many; and the stack is not without end.
const DEEPEST_BLOCK: usize = 100;

/// A line of a configuration, or a block with its lines.
#[derive(Clone, Debug)]
pub(crate) struct Directive {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) place: Place,
    pub(crate) block: Option<Vec<Directive>>,
}

impl Directive {
    /// The first argument; empty where there is none.
    pub(crate) fn first(&self) -> &str {
        self.argument(0)
    }

    /// An argument; empty where there are not so many.
    pub(crate) fn argument(&self, index: usize) -> &str {
        self.arguments.get(index).map_or("", String::as_str)
    }

    /// The lines of its block.
    pub(crate) fn lines(&self) -> &[Directive] {
        self.block.as_deref().unwrap_or_default()
    }

    /// As it was written, but for quotation marks.
    pub(crate) fn shown(&self) -> String {
        [&self.name]
            .into_iter()
            .chain(&self.arguments)
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// Reads a configuration with all that it includes. What cannot be read is an error among the findings.
pub(crate) fn read(file: &Path, findings: &mut Findings) -> (Vec<Directive>, Sources) {
    let folder = file.parent().unwrap_or(Path::new("")).to_owned();
    let mut reading = Reading {
        folder,
        within: Vec::new(),
        depth: 0,
        is_given_up: false,
        sources: Sources::default(),
        findings,
    };
    let nowhere = Place {
        file: Arc::from(file.to_string_lossy()),
        line: 0,
    };
    let directives = reading.file(file, &nowhere);
    (directives, reading.sources)
}

type Tokens = Peekable<vec::IntoIter<(Token, usize)>>;

struct Reading<'a> {
    /// Includes are relative to the folder of the first file, whichever file they stand in.
    folder: PathBuf,
    /// The files that include each other, the first one first.
    within: Vec<PathBuf>,
    /// Of blocks.
    depth: usize,
    /// It has no end: no other file is read.
    is_given_up: bool,
    sources: Sources,
    findings: &'a mut Findings,
}

impl Reading<'_> {
    fn file(&mut self, file: &Path, included_at: &Place) -> Vec<Directive> {
        let name: Arc<str> = Arc::from(file.to_string_lossy());
        let bytes = match std::fs::read(file) {
            Ok(bytes) => bytes,
            Err(why) => {
                let text = match included_at.line {
                    0 => why.to_string(),
                    _ => format!("{name}: {why}"),
                };
                self.findings.error(included_at, text);
                return Vec::new();
            }
        };
        self.sources.add(file, &bytes);
        let place = |line| Place {
            file: name.clone(),
            line,
        };
        // Comments may be in any encoding.
        let text = String::from_utf8_lossy(&bytes);
        let tokens = match words::read(&text) {
            Ok(tokens) => tokens,
            Err(unreadable) => {
                self.findings.error(&place(unreadable.line), unreadable.why);
                return Vec::new();
            }
        };
        let is_utf_8 = matches!(text, Cow::Borrowed(_));
        let is_strange = |token: &Token| matches!(token, Token::Word(word) if word.contains('\u{fffd}'));
        for (token, line) in tokens.iter().filter(|(token, _)| !is_utf_8 && is_strange(token)) {
            if let Token::Word(word) = token {
                let text = format!("\"{word}\" is not UTF-8: what cannot be read of it stands as \u{fffd}");
                self.findings.warning(&place(*line), text);
            }
        }
        let mut tokens = tokens.into_iter().peekable();
        self.within.push(file.to_owned());
        let directives = self.block(&mut tokens, &place);
        self.within.pop();
        if let Some((_, line)) = tokens.next() {
            self.findings.error(&place(line), "unexpected \"}\"");
        }
        directives
    }

    /// Directives up to the brace that closes the block, or to the end of the file.
    fn block(&mut self, tokens: &mut Tokens, place: &dyn Fn(usize) -> Place) -> Vec<Directive> {
        let mut directives = Vec::new();
        let mut words: Vec<(String, usize)> = Vec::new();
        while let Some((token, line)) = tokens.next_if(|(token, _)| *token != Token::Close) {
            let word = match token {
                Token::Word(word) => {
                    words.push((word, line));
                    continue;
                }
                other => other,
            };
            let mut words = std::mem::take(&mut words).into_iter();
            let Some((name, begun)) = words.next() else {
                let sign = if word == Token::Open { "{" } else { ";" };
                self.findings
                    .error(&place(line), format!("unexpected \"{sign}\""));
                // Whatever stands in a block without a name is part of the same mistake.
                if word == Token::Open {
                    self.inner(tokens, place, line);
                }
                continue;
            };
            let mut directive = Directive {
                name,
                arguments: words.map(|(word, _)| word).collect(),
                place: place(begun),
                block: None,
            };
            if word == Token::Open {
                directive.block = Some(self.inner(tokens, place, begun));
            }
            match &*directive.name {
                "include" if directive.block.is_none() => directives.extend(self.include(&directive)),
                _ => directives.push(directive),
            }
        }
        if let Some((word, line)) = words.first() {
            let text = format!("\"{word}\" is not ended by \";\", nor followed by a block");
            self.findings.error(&place(*line), text);
        }
        directives
    }

    fn inner(&mut self, tokens: &mut Tokens, place: &dyn Fn(usize) -> Place, begun: usize) -> Vec<Directive> {
        if self.depth >= DEEPEST_BLOCK {
            let text = format!("blocks stand in each other, more than {DEEPEST_BLOCK} of them");
            self.findings.error(&place(begun), text);
            self.is_given_up = true;
            tokens.by_ref().for_each(drop);
            return Vec::new();
        }
        self.depth += 1;
        let directives = self.block(tokens, place);
        self.depth -= 1;
        if self.is_given_up {
            return directives;
        }
        if tokens.next().is_none() {
            self.findings.error(&place(begun), "the block is never closed");
        }
        directives
    }

    fn include(&mut self, directive: &Directive) -> Vec<Directive> {
        let [pattern] = &directive.arguments[..] else {
            self.findings.error(&directive.place, "include takes one file");
            return Vec::new();
        };
        if self.is_given_up {
            return Vec::new();
        }
        let path = self.folder.join(pattern);
        let files = match mask::is_mask(pattern) {
            true => mask::expand(&path),
            false => vec![path],
        };
        let mut included = Vec::new();
        for file in files {
            let is_within = self.within.iter().any(|outer| is_same(outer, &file));
            if is_within || self.within.len() >= DEEPEST {
                let text = format!("include {pattern}: files include each other without end");
                self.findings.error(&directive.place, text);
                self.is_given_up = true;
                break;
            }
            included.extend(self.file(&file, &directive.place));
        }
        included
    }
}

/// Whether two paths lead to one file.
fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(one) == real(other)
}
