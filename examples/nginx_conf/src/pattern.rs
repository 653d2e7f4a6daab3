//! The regular expressions that are simple enough to be read without a library for them: a text, perhaps bound to the
//! beginning and to the end, and several of them with `|` in between.

use std::str::FromStr;

/// `~^text$`, `~*text`, `~^(one|other)$`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    texts: Vec<String>,
    at_start: bool,
    at_end: bool,
    ignores_case: bool,
}

impl FromStr for Pattern {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const TOO_MUCH: &str =
            "of regular expressions only a text is known here, as in ~^text$ or ~*^(one|other)$";
        let body = text.strip_prefix('~').ok_or(TOO_MUCH)?;
        let (body, ignores_case) = match body.strip_prefix('*') {
            Some(body) => (body, true),
            None => (body, false),
        };
        let (body, at_start) = match body.strip_prefix('^') {
            Some(body) => (body, true),
            None => (body, false),
        };
        let (body, at_end) = match body.strip_suffix('$') {
            Some(body) if !body.ends_with('\\') => (body, true),
            _ => (body, false),
        };
        let group = body.strip_prefix('(').and_then(|body| body.strip_suffix(')'));
        let alternatives: Vec<&str> = match group {
            Some(group) => group.split('|').collect(),
            None => vec![body],
        };
        let texts = alternatives.into_iter().map(literal).collect::<Option<Vec<_>>>();
        let mut texts = texts.ok_or(TOO_MUCH)?;
        if ignores_case {
            texts.iter_mut().for_each(|text| text.make_ascii_lowercase());
        }
        Ok(Pattern {
            texts,
            at_start,
            at_end,
            ignores_case,
        })
    }
}

/// A text in which nothing stands for anything but itself.
fn literal(body: &str) -> Option<String> {
    let mut text = String::new();
    let mut signs = body.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '\\' => text.push(signs.next().filter(char::is_ascii_punctuation)?),
            '.' | '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

impl Pattern {
    pub(crate) fn matches(&self, value: &str) -> bool {
        let small;
        let value = match self.ignores_case {
            true => {
                small = value.to_ascii_lowercase();
                &small
            }
            false => value,
        };
        self.texts.iter().any(|text| match (self.at_start, self.at_end) {
            (true, true) => value == text,
            (true, false) => value.starts_with(&**text),
            (false, true) => value.ends_with(&**text),
            (false, false) => value.contains(&**text),
        })
    }
}
