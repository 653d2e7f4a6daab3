//! The words of a configuration, as nginx reads them: what ends a word, what a quotation mark and a backslash do, where a
//! brace is one and where it belongs to `${name}`.

/// A word, or what stands between words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Token {
    /// Without its quotation marks and backslashes.
    Word(String),
    /// `;`
    Semicolon,
    /// `{`
    Open,
    /// `}`
    Close,
}

/// What cannot be read, and in which line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The line, from 1 on.
    pub line: usize,
    /// What is wrong, for people.
    pub why: String,
}

/// All tokens, each with the line in which it begins.
///
/// # Errors
///
/// A word that does not end, or a brace where none may stand.
pub fn read(text: &str) -> Result<Vec<(Token, usize)>, Unreadable> {
    let mut reader = Reader { text, at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(byte) = reader.peek() {
        let line = reader.line;
        let token = match byte {
            b' ' | b'\t' | b'\r' | b'\n' => {
                reader.take();
                continue;
            }
            b'#' => {
                while reader.peek().is_some_and(|byte| byte != b'\n') {
                    reader.take();
                }
                continue;
            }
            b';' => Token::Semicolon,
            b'{' => Token::Open,
            b'}' => Token::Close,
            quote @ (b'"' | b'\'') => {
                tokens.push((Token::Word(reader.quoted(quote)?), line));
                continue;
            }
            _ => {
                tokens.push((Token::Word(reader.bare()), line));
                continue;
            }
        };
        reader.take();
        tokens.push((token, line));
    }
    Ok(tokens)
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self) {
        self.line += usize::from(self.peek() == Some(b'\n'));
        self.at += 1;
    }

    fn since(&self, start: usize) -> String {
        unescape(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Up to the quotation mark that it began with, which must be the end of the word.
    fn quoted(&mut self, quote: u8) -> Result<String, Unreadable> {
        let begun = self.line;
        self.take();
        let start = self.at;
        loop {
            match self.peek() {
                Some(byte) if byte == quote => break,
                Some(b'\\') => {
                    self.take();
                    self.take();
                }
                Some(_) => self.take(),
                None => {
                    return Err(Unreadable {
                        line: begun,
                        why: "a quotation mark is never closed".to_owned(),
                    });
                }
            }
        }
        let word = self.since(start);
        self.take();
        match self.text.get(self.at..).and_then(|rest| rest.chars().next()) {
            None | Some(' ' | '\t' | '\r' | '\n' | ';' | '{' | ')') => Ok(word),
            Some(other) => Err(Unreadable {
                line: self.line,
                why: format!("unexpected \"{other}\" behind a quotation mark"),
            }),
        }
    }

    /// Up to white space, a semicolon or an opening brace. Quotation marks within it, number signs and closing braces are
    /// ordinary.
    fn bare(&mut self) -> String {
        let start = self.at;
        let mut behind_dollar = false;
        while let Some(byte) = self.peek() {
            match byte {
                b'{' if behind_dollar => {}
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'{' => break,
                b'\\' => self.take(),
                _ => {}
            }
            behind_dollar = byte == b'$';
            self.take();
        }
        self.at = self.at.min(self.text.len());
        self.since(start)
    }
}

/// A backslash stands for itself, but before a quotation mark, another backslash, and the letters of tab and line ends.
fn unescape(raw: &str) -> String {
    let mut word = String::with_capacity(raw.len());
    let mut rest = raw.chars();
    while let Some(this) = rest.next() {
        if this != '\\' {
            word.push(this);
            continue;
        }
        match rest.next() {
            Some(mark @ ('"' | '\'' | '\\')) => word.push(mark),
            Some('t') => word.push('\t'),
            Some('r') => word.push('\r'),
            Some('n') => word.push('\n'),
            Some(other) => word.extend(['\\', other]),
            None => word.push('\\'),
        }
    }
    word
}
