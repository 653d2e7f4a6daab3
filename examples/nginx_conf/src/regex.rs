//! Regular expressions as PCRE reads them, on a kept crate with look-around and back references.
//!
//! What PCRE writes otherwise than the crate is put into the crate's words here. An expression that gives up on a text (too much
//! backtracking) is an error of the request, never "no match": a guard must not open by it.

use std::fmt;
use std::sync::Arc;

/// How much an expression may backtrack on one text. PCRE has ten times as much, and nobody to wait for it.
const BACKTRACKING: usize = 1_000_000;

/// What the groups of a match hold: 0 is all of it.
pub(crate) type Captures = Vec<Option<String>>;

/// An expression has given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GivenUp;

/// A regular expression.
#[derive(Clone)]
pub(crate) struct Regex {
    source: String,
    compiled: Arc<fancy_regex::Regex>,
    /// The names of groups, and their numbers.
    names: Vec<(String, usize)>,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.source).finish()
    }
}

impl Regex {
    pub(crate) fn new(source: &str, ignores_case: bool) -> Result<Regex, String> {
        let translated = translated(source);
        let pattern = match ignores_case {
            true => format!("(?i){translated}"),
            false => translated,
        };
        let compiled = fancy_regex::RegexBuilder::new(&pattern)
            .backtrack_limit(BACKTRACKING)
            .build()
            .map_err(|why| format!("the regular expression \"{source}\" cannot be read: {why}"))?;
        let names = compiled.capture_names().enumerate();
        let names = names.filter_map(|(number, name)| Some((name?.to_ascii_lowercase(), number)));
        Ok(Regex {
            source: source.to_owned(),
            names: names.collect(),
            compiled: Arc::new(compiled),
        })
    }

    /// `~text` or `~*text`, as in `map` and `server_name`.
    pub(crate) fn behind_tilde(text: &str) -> Result<Regex, String> {
        let body = text.strip_prefix('~').unwrap_or(text);
        match body.strip_prefix('*') {
            Some(body) => Regex::new(body, true),
            None => Regex::new(body, false),
        }
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn names(&self) -> &[(String, usize)] {
        &self.names
    }

    /// Whether it has groups.
    pub(crate) fn captures_len(&self) -> usize {
        self.compiled.captures_len()
    }

    pub(crate) fn is_match(&self, text: &str) -> Result<bool, GivenUp> {
        self.captures(text).map(|found| found.is_some())
    }

    /// The groups of its first match. `$` fits before a line feed that ends the text too, as in PCRE.
    pub(crate) fn captures(&self, text: &str) -> Result<Option<Captures>, GivenUp> {
        let found = self.captures_of(text)?;
        match (found, text.strip_suffix('\n')) {
            (None, Some(shorter)) => self.captures_of(shorter),
            (found, _) => Ok(found),
        }
    }

    fn captures_of(&self, text: &str) -> Result<Option<Captures>, GivenUp> {
        let found = self.compiled.captures(text).map_err(|_| GivenUp)?;
        let group = |found: Option<fancy_regex::Match<'_>>| found.map(|found| found.as_str().to_owned());
        Ok(found.map(|groups| groups.iter().map(group).collect()))
    }
}

/// The names of the groups in an expression, without reading it: they are variables.
pub(crate) fn names_in(source: &str) -> Vec<String> {
    let mut names = Vec::new();
    for opening in ["(?<", "(?P<", "(?'"] {
        for behind in source.split(opening).skip(1) {
            let name: String = behind
                .chars()
                .take_while(|sign| sign.is_ascii_alphanumeric() || *sign == '_')
                .collect();
            let closes = behind[name.len()..].starts_with(['>', '\'']);
            if closes && !name.is_empty() {
                names.push(name.to_ascii_lowercase());
            }
        }
    }
    names
}

/// PCRE's words in those of the crate: classes of ASCII alone, a bracket or a brace that stands for itself, names in quotation
/// marks.
fn translated(source: &str) -> String {
    let mut out = String::with_capacity(source.len() + 16);
    let mut rest = source;
    let mut in_class = false;
    let mut at_class_start = false;
    while let Some(sign) = rest.chars().next() {
        let behind = &rest[sign.len_utf8()..];
        let mut taken = sign.len_utf8();
        match sign {
            '\\' if behind.starts_with('Q') => {
                // All that stands for itself.
                let (quoted, length) = match behind.find("\\E") {
                    Some(end) => (&behind[1..end], end + 2),
                    None => (&behind[1..], behind.len()),
                };
                out.push_str(&fancy_regex::escape(quoted));
                taken += length;
            }
            '\\' => {
                let escaped = behind.chars().next();
                taken += escaped.map_or(0, char::len_utf8);
                out.push_str(&escape(escaped, in_class));
                // What is in braces belongs to it: \p{L}, \x{41}, \k{name}.
                if let (Some('p' | 'P' | 'x' | 'k' | 'g' | 'o'), Some(end)) =
                    (escaped, rest[taken..].find('}'))
                {
                    if rest[taken..].starts_with('{') {
                        out.push_str(&rest[taken..=taken + end]);
                        taken += end + 1;
                    }
                }
            }
            '[' if in_class && behind.starts_with(':') => match behind.find(":]") {
                Some(end) => {
                    out.push_str(&rest[..end + 3]);
                    taken = end + 3;
                }
                None => out.push_str("\\["),
            },
            '[' | '&' | '~' if in_class => out.extend(['\\', sign]),
            '[' => {
                in_class = true;
                at_class_start = true;
                out.push('[');
                if behind.starts_with('^') {
                    out.push('^');
                    taken += 1;
                }
                rest = &rest[taken..];
                continue;
            }
            ']' if in_class && at_class_start => out.push_str("\\]"),
            ']' => {
                in_class = false;
                out.push(']');
            }
            '{' if !in_class && !is_quantifier(behind) => out.push_str("\\{"),
            '(' if !in_class && behind.starts_with("?'") => {
                out.push_str("(?<");
                taken += 2;
                if let Some(end) = behind[2..].find('\'') {
                    out.push_str(&behind[2..2 + end]);
                    out.push('>');
                    taken += end + 1;
                }
            }
            other => out.push(other),
        }
        at_class_start = false;
        rest = &rest[taken..];
    }
    out
}

fn escape(escaped: Option<char>, in_class: bool) -> String {
    let class = |inside: &str, negated: bool| match (in_class, negated) {
        (true, _) => inside.to_owned(),
        (false, true) => format!("[^{inside}]"),
        (false, false) => format!("[{inside}]"),
    };
    match escaped {
        None => "\\\\".to_owned(),
        Some('d') => class("0-9", false),
        Some('w') => class("A-Za-z0-9_", false),
        Some('s') => class("\\t\\n\\r\\x0b\\x0c ", false),
        Some('h') => class("\\t ", false),
        Some('D') if !in_class => class("0-9", true),
        Some('W') if !in_class => class("A-Za-z0-9_", true),
        Some('S') if !in_class => class("\\t\\n\\r\\x0b\\x0c ", true),
        Some('Z') if !in_class => "(?=\\n?\\z)".to_owned(),
        // They stand for themselves, and the crate has other uses for them.
        Some(sign @ ('<' | '>' | '_')) => sign.to_string(),
        Some(sign) if !sign.is_ascii() => sign.to_string(),
        Some(sign) => format!("\\{sign}"),
    }
}

/// `3}`, `3,}` or `3,5}`.
fn is_quantifier(behind: &str) -> bool {
    let Some((inside, _)) = behind.split_once('}') else {
        return false;
    };
    let (least, most) = inside.split_once(',').unwrap_or((inside, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each with what PCRE finds in it.
    const CASES: &[(&str, &str, Option<&str>)] = &[
        (
            "^/api/v[0-9]+/(my/)?socket$",
            "/api/v4/socket",
            Some("/api/v4/socket"),
        ),
        (r"\.php$", "/x.php", Some(".php")),
        (r"\.php$", "/x.php\n", Some(".php")),
        (r"^/(?!admin)", "/admin", None),
        (r"^/(?!admin)", "/public", Some("/")),
        (r"^/\d+$", "/12", Some("/12")),
        (r"^/\d+$", "/\u{663}", None),
        (r"[\w.-]+", "a.b-c", Some("a.b-c")),
        (r"[[]x[]]", "[x]", Some("[x]")),
        (r"[]a]+", "]a", Some("]a")),
        (r"[^]a]+", "]ab", Some("b")),
        (r"[a&&b]+", "&", Some("&")),
        (r"a{2}", "aa", Some("aa")),
        (r"a{b}", "a{b}", Some("a{b}")),
        (r"^a\/b\-c\_d$", "a/b-c_d", Some("a/b-c_d")),
        (r"(?'name'x)\k<name>", "xx", Some("xx")),
        (r"[[:digit:]]+", "a12", Some("12")),
        (r"\s", "\u{a0}", None),
        (r"^\Q.a(b\E$", ".a(b", Some(".a(b")),
        (r"^\p{L}+\x{41}$", "bA", Some("bA")),
    ];

    #[test]
    fn as_pcre_reads_it() {
        for (pattern, text, expected) in CASES {
            let regex = Regex::new(pattern, false).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            let found = regex.captures(text).unwrap().and_then(|groups| groups[0].clone());
            assert_eq!(found.as_deref(), *expected, "{pattern} in {text:?}");
        }
    }

    #[test]
    fn what_takes_for_ever_gives_up() {
        let regex = Regex::new(r"^(a|a)*(?=b)\1$", false).unwrap();
        assert_eq!(regex.is_match(&"a".repeat(64)), Err(GivenUp));
    }

    #[test]
    fn names_of_groups() {
        assert_eq!(
            names_in("^(?<One>a)(?P<two>b)(?'three'c)(?<=d)(?<!e)"),
            ["one", "two", "three"]
        );
    }
}
