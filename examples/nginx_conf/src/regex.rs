//! Regular expressions as PCRE reads them, on a kept crate with look-around and back references.
//!
//! What PCRE writes otherwise than the crate is put into the crate's words here. An expression that gives up on a text (too much
//! backtracking) is an error of the request, never "no match": a guard must not open by it.

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, OnceLock};

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
    compiled: Arc<Compiled>,
    /// The names of groups, and their numbers.
    names: Vec<(String, usize)>,
}

struct Compiled {
    plain: fancy_regex::Regex,
    ignores_case: bool,
    /// For a text that ends with a line feed, before which `$` fits too. Made when the first such text comes; none of what cannot be made.
    of_lines: OnceLock<Option<fancy_regex::Regex>>,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.source).finish()
    }
}

impl Regex {
    pub(crate) fn new(source: &str, ignores_case: bool) -> Result<Regex, String> {
        let plain = compiled(source, ignores_case, "$")
            .map_err(|why| format!("the regular expression \"{source}\" cannot be read: {why}"))?;
        let names = plain.capture_names().enumerate();
        let names = names.filter_map(|(number, name)| Some((name?.to_ascii_lowercase(), number)));
        Ok(Regex {
            source: source.to_owned(),
            names: names.collect(),
            compiled: Arc::new(Compiled {
                plain,
                ignores_case,
                of_lines: OnceLock::new(),
            }),
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

    pub(crate) fn is_match(&self, text: &str) -> Result<bool, GivenUp> {
        self.captures(text).map(|found| found.is_some())
    }

    /// The groups of its first match. `$` fits before a line feed that ends the text too, as in PCRE.
    pub(crate) fn captures(&self, text: &str) -> Result<Option<Captures>, GivenUp> {
        let found = self
            .for_text(text)?
            .captures(&of_one_case(text))
            .map_err(|_| GivenUp)?
            .map(|groups| {
                let range = |found: Option<fancy_regex::Match<'_>>| found.map(|found| found.range());
                groups.iter().map(range).collect::<Vec<_>>()
            });
        let group = |range: Option<std::ops::Range<usize>>| {
            range.and_then(|range| text.get(range)).map(str::to_owned)
        };
        Ok(found.map(|groups| groups.into_iter().map(group).collect()))
    }

    fn for_text(&self, text: &str) -> Result<&fancy_regex::Regex, GivenUp> {
        let Compiled {
            plain,
            ignores_case,
            of_lines,
        } = &*self.compiled;
        if !text.ends_with('\n') {
            return Ok(plain);
        }
        let made = of_lines.get_or_init(|| compiled(&self.source, *ignores_case, "(?=\\n?\\z)").ok());
        made.as_ref().ok_or(GivenUp)
    }
}

/// With `end` in place of a dollar sign.
fn compiled(source: &str, ignores_case: bool, end: &str) -> Result<fancy_regex::Regex, fancy_regex::Error> {
    let translated = translated(source, end);
    let pattern = match ignores_case {
        true => format!("(?i){translated}"),
        false => translated,
    };
    fancy_regex::RegexBuilder::new(&pattern)
        .backtrack_limit(BACKTRACKING)
        .build()
}

/// The text without the two signs beyond ASCII that are another case of a letter in it: to PCRE they are none. What stands for them is as
/// long.
fn of_one_case(text: &str) -> Cow<'_, str> {
    const LONG_S: char = '\u{17f}';
    const KELVIN: char = '\u{212a}';
    match text.contains([LONG_S, KELVIN]) {
        true => text.replace(LONG_S, "\u{80}").replace(KELVIN, "\u{fffd}").into(),
        false => text.into(),
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
fn translated(source: &str, end: &str) -> String {
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
            '$' if !in_class => out.push_str(end),
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
    const WORD: &str = "[A-Za-z0-9_]";
    let class = |inside: &str, negated: bool| match (in_class, negated) {
        (true, false) => inside.to_owned(),
        (_, true) => format!("[^{inside}]"),
        (false, false) => format!("[{inside}]"),
    };
    match escaped {
        None => "\\\\".to_owned(),
        Some('d') => class("0-9", false),
        Some('w') => class("A-Za-z0-9_", false),
        Some('s') => class("\\t\\n\\r\\x0b\\x0c ", false),
        Some('h') => class("\\t ", false),
        Some('D') => class("0-9", true),
        Some('W') => class("A-Za-z0-9_", true),
        Some('S') => class("\\t\\n\\r\\x0b\\x0c ", true),
        // Words are of ASCII.
        Some('b') if !in_class => format!("(?:(?<!{WORD})(?={WORD})|(?<={WORD})(?!{WORD}))"),
        Some('B') if !in_class => format!("(?:(?<!{WORD})(?!{WORD})|(?<={WORD})(?={WORD}))"),
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
        // A line feed at the end, before which a dollar sign fits wherever it stands.
        (r"^/(?!shut$).*", "/shut\n", None),
        (r"^/(?!shut$).*", "/shut\n\n", Some("/shut")),
        (r"^(?!.*\n)", "/a\n", None),
        (r"^(.*)$", "/a\n", Some("/a")),
        (r"[$]a", "$a", Some("$a")),
        // Words and their ends are of ASCII.
        (r"^/shut\b", "/shut\u{e9}", Some("/shut")),
        (r"^/shut\B", "/shut\u{e9}", None),
        (r"^/shut\b", "/shuts", None),
        (r"^[\W]$", "\u{e9}", Some("\u{e9}")),
        (r"^[\D_]+$", "\u{663}_", Some("\u{663}_")),
    ];

    /// Letters have two cases, and none of them is beyond ASCII.
    #[test]
    fn cases_of_letters() {
        for (pattern, text, expected) in [
            (r"\.JS$", "/a.js", Some(".js")),
            (r"\.js$", "/a.j\u{17f}", None),
            (r"ok", "/o\u{212a}", None),
            (r"(.*)\.js$", "/\u{17f}\u{212a}.JS", Some("/\u{17f}\u{212a}.JS")),
        ] {
            let regex = Regex::new(pattern, true).unwrap();
            let found = regex.captures(text).unwrap().and_then(|groups| groups[0].clone());
            assert_eq!(found.as_deref(), expected, "{pattern} in {text:?}");
        }
    }

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
