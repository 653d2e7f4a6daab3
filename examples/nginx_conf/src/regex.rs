//! Regular expressions as PCRE reads them, by kept crates.
//!
//! What has no look-around and no reference back is matched in linear time, whatever the text is. The rest is searched with backtracking, and only
//! where the expression without those parts fits: what gives up on a text gives up in nginx too. Giving up is an error of the request,
//! never "no match": a guard must not open by it.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, OnceLock};

use regex_automata::meta;
use regex_automata::util::syntax;

use super::linear;
use super::pattern::{self, Form};

/// How much an expression may backtrack on one text: as much as with PCRE.
const BACKTRACKING: usize = 10_000_000;

/// What stands for a byte that is none of a sign, as texts are read here.
const UNREADABLE: char = char::REPLACEMENT_CHARACTER;

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
    usual: Engine,
    ignores_case: bool,
    /// For a text that ends with a line feed, before which `$` fits too. Made when the first such text comes; none of what cannot be made.
    of_lines: OnceLock<Option<Engine>>,
}

impl fmt::Debug for Regex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Regex").field(&self.source).finish()
    }
}

impl Regex {
    pub(crate) fn new(source: &str, ignores_case: bool) -> Result<Regex, String> {
        let usual = Engine::new(source, ignores_case, None)
            .map_err(|why| format!("the regular expression \"{source}\" cannot be read: {why}"))?;
        Ok(Regex {
            source: source.to_owned(),
            names: usual.names(),
            compiled: Arc::new(Compiled {
                usual,
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
        let subject = Subject::new(text);
        let found = self.for_text(text)?.groups(&subject)?;
        let group = |range: Option<Range<usize>>| range.map(|range| subject.part(range));
        Ok(found.map(|groups| groups.into_iter().map(group).collect()))
    }

    fn for_text(&self, text: &str) -> Result<&Engine, GivenUp> {
        let Compiled {
            usual,
            ignores_case,
            of_lines,
        } = &*self.compiled;
        if !text.ends_with('\n') {
            return Ok(usual);
        }
        let end = Some(pattern::END_OF_LINES);
        let made = of_lines.get_or_init(|| Engine::new(&self.source, *ignores_case, end).ok());
        made.as_ref().ok_or(GivenUp)
    }
}

/// A text as the bytes that nginx would have of it.
struct Subject<'a> {
    text: &'a str,
    bytes: Cow<'a, [u8]>,
}

impl<'a> Subject<'a> {
    fn new(text: &'a str) -> Subject<'a> {
        // Never a byte of UTF-8.
        const NO_SIGN: u8 = 0xff;
        let mut bytes = Cow::Borrowed(text.as_bytes());
        if text.contains(UNREADABLE) {
            let mut made = Vec::with_capacity(text.len());
            for (number, part) in text.split(UNREADABLE).enumerate() {
                made.extend((number > 0).then_some(NO_SIGN));
                made.extend_from_slice(part.as_bytes());
            }
            bytes = made.into();
        }
        Subject { text, bytes }
    }

    /// What stands at some of the bytes. The half of a sign is one that cannot be read.
    fn part(&self, range: Range<usize>) -> String {
        match (self.text.get(range.clone()), self.bytes.get(range)) {
            (Some(part), _) if self.bytes.len() == self.text.len() => part.to_owned(),
            (_, Some(bytes)) => String::from_utf8_lossy(bytes).into_owned(),
            _ => String::new(),
        }
    }

    /// With one sign for each byte.
    fn of_bytes(&self) -> Cow<'_, str> {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if text.is_ascii() => text.into(),
            _ => self
                .bytes
                .iter()
                .map(|byte| pattern::sign_of(*byte))
                .collect::<String>()
                .into(),
        }
    }
}

/// What matches.
enum Engine {
    /// In linear time.
    Linear(meta::Regex),
    /// One sign at a time.
    Backtracking {
        regex: fancy_regex::Regex,
        /// Fits wherever the expression fits.
        loose: Option<meta::Regex>,
        reads_signs: bool,
    },
}

impl Engine {
    /// With `end` in place of a dollar sign.
    fn new(source: &str, ignores_case: bool, end: Option<&str>) -> Result<Engine, String> {
        let (reads_signs, source) = pattern::of_signs(source);
        if reads_signs {
            return Engine::backtracking(source, ignores_case, end, Form::Signs);
        }
        let linear = pattern::translated(source, Form::Linear, end)?;
        let readable = Some(&linear).filter(|linear| !linear::is_possessive(linear));
        match readable.and_then(|linear| linear_of(linear, ignores_case)) {
            Some(regex) => Ok(Engine::Linear(regex)),
            None => Engine::backtracking(source, ignores_case, end, Form::Bytes),
        }
    }

    fn backtracking(
        source: &str,
        ignores_case: bool,
        end: Option<&str>,
        form: Form,
    ) -> Result<Engine, String> {
        let written = pattern::translated(source, form, end)?;
        let written = if ignores_case {
            format!("(?i){written}")
        } else {
            written
        };
        let regex = fancy_regex::RegexBuilder::new(&written)
            .backtrack_limit(BACKTRACKING)
            .build()
            .map_err(|why| why.to_string())?;
        let reads_signs = form == Form::Signs;
        let loose = match reads_signs {
            true => None,
            false => pattern::translated(source, Form::Linear, end)
                .ok()
                .and_then(|linear| linear::loosened(&linear))
                .and_then(|loose| linear_of(&loose, ignores_case)),
        };
        Ok(Engine::Backtracking {
            regex,
            loose,
            reads_signs,
        })
    }

    fn names(&self) -> Vec<(String, usize)> {
        let of = |(number, name): (usize, Option<&str>)| Some((name?.to_ascii_lowercase(), number));
        match self {
            Engine::Linear(regex) => {
                let names = regex.group_info().all_names();
                names.filter_map(|(_, number, name)| of((number, name))).collect()
            }
            Engine::Backtracking { regex, .. } => regex.capture_names().enumerate().filter_map(of).collect(),
        }
    }

    /// Where the groups of the first match are, in bytes.
    fn groups(&self, subject: &Subject<'_>) -> Result<Option<Vec<Option<Range<usize>>>>, GivenUp> {
        match self {
            Engine::Linear(regex) => {
                let mut groups = regex.create_captures();
                regex.captures(&subject.bytes[..], &mut groups);
                let found = || groups.iter().map(|group| group.map(|group| group.range()));
                Ok(groups.is_match().then(|| found().collect()))
            }
            Engine::Backtracking {
                regex,
                loose,
                reads_signs,
            } => {
                if loose
                    .as_ref()
                    .is_some_and(|loose| !loose.is_match(&subject.bytes[..]))
                {
                    return Ok(None);
                }
                let text = match reads_signs {
                    // To PCRE it is no text.
                    true if subject.bytes.len() != subject.text.len() => return Err(GivenUp),
                    true => subject.text.into(),
                    false => subject.of_bytes(),
                };
                let Some(groups) = regex.captures(&text).map_err(|_| GivenUp)? else {
                    return Ok(None);
                };
                let is_same = text.len() == subject.bytes.len();
                let place = |at: usize| match is_same {
                    true => at,
                    false => text[..at].chars().count(),
                };
                let range = |group: fancy_regex::Match<'_>| place(group.start())..place(group.end());
                Ok(Some(groups.iter().map(|group| group.map(range)).collect()))
            }
        }
    }
}

/// None where it has what only a search that goes back finds.
fn linear_of(pattern: &str, ignores_case: bool) -> Option<meta::Regex> {
    let syntax = syntax::Config::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(ignores_case);
    let config = meta::Config::new().utf8_empty(false);
    meta::Builder::new()
        .syntax(syntax)
        .configure(config)
        .build(pattern)
        .ok()
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
        (r"^[\W]+$", "\u{e9}", Some("\u{e9}")),
        (r"^[\D_]+$", "\u{663}_", Some("\u{663}_")),
        // A dot is one byte, and what cannot be read has been one.
        (r"^/.$", "/\u{e9}", None),
        (r"^/..$", "/\u{e9}", Some("/\u{e9}")),
        (r"^/a.b$", "/a\u{fffd}b", Some("/a\u{fffd}b")),
        (r"^/a.b(?!c)", "/a\u{fffd}bd", Some("/a\u{fffd}b")),
        ("^/\u{e9}+$", "/\u{e9}", Some("/\u{e9}")),
        ("^/[\u{e0}-\u{fc}]+(?!.)", "/\u{e9}", Some("/\u{e9}")),
        (r"^/\xC3\xa9$", "/\u{e9}", Some("/\u{e9}")),
        (r"^/(?!x)\xC3[\xa9]$", "/\u{e9}", Some("/\u{e9}")),
        ("(*UTF8)^/.$", "/\u{e9}", Some("/\u{e9}")),
        ("(*UTF8)^/\u{e9}\\b", "/\u{e9}a", Some("/\u{e9}")),
        // Signs beyond ASCII are no case of a letter.
        (r"(?i)^/o[k]$", "/o\u{212a}", None),
        (r"(?i)^/(?!x)o[k]$", "/o\u{212a}", None),
        (r"(?i)^/[^k]+$", "/\u{212a}", Some("/\u{212a}")),
        (r"(?i:\.js)", "/a.j\u{17f}", None),
        (r"^/[^s](?=.)", "/\u{17f}", Some("/\u{fffd}")),
        // Classes, and hyphens in them.
        (r"^[\w-.]+$", "a-b.c", Some("a-b.c")),
        (r"^[[:alpha:]-_]+$", "a-b_c", Some("a-b_c")),
        (r"^[+--]+$", "+,-", Some("+,-")),
        (r"^[\101\x42]+$", "AB", Some("AB")),
        (r"^a}+$", "a}}", Some("a}}")),
        (r"^\Qa<b>\E_$", "a<b>_", Some("a<b>_")),
        (r"^(?>a+)b", "aab", Some("aab")),
        (r"^(?>a+)ab", "aab", None),
        (r"^a++b", "aab", Some("aab")),
        // A plus behind a quantifier keeps what it has matched; behind what stands for itself it is one.
        (r"^a++ab", "aab", None),
        (r"^a++ab$", "aab", None),
        (r"^/.*+admin", "/x/admin", None),
        (r"^a?+a$", "a", None),
        (r"^(a|b){2}+b$", "abb", Some("abb")),
        (r"^a{1,2}+a$", "aa", None),
        (r"^[ab]*+b$", "ab", None),
        (r"^\d++1$", "11", None),
        (r"^a+?a$", "aa", Some("aa")),
        (r"^\++\+$", "++", Some("++")),
        (r"^\Q*\E+\*$", "**", Some("**")),
        (r"^[*+]+\+$", "*+", Some("*+")),
        (r"^[]*]+\*$", "]*", Some("]*")),
        (r"^a}+}$", "a}}", Some("a}}")),
        (r"^{+{$", "{{", Some("{{")),
        (r"^}++b", "}}b", Some("}}b")),
        (r"^(a|b)\1$", "bb", Some("bb")),
        (r"^(?<x>a|b)\k<x>$", "ab", None),
    ];

    /// As long as a target may be, and nothing of it fits.
    #[test]
    fn what_does_not_fit_a_long_text_is_found_out() {
        const LONG: usize = 8 * 1024;
        let texts = ["a", "a/", "a b", "word-", "ab.", "\u{e9}x/"].map(|part| part.repeat(LONG / part.len()));
        for pattern in [
            r"\bphp\b",
            r".*\bphp",
            r".*\b.*\bphp\b",
            r"(.*)/(.*)\b(.*)php$",
            r"(\w+\b.?)+php$",
            r"\B(.+)\Bphp",
            r"(.+)\.php(?!x)",
            r"(?<!x)(.*)y(.*)php$",
            r"(?=.*a)(.*)\s(.*)php(?=.)q",
            r"(\w+).(?!\w+x)(.+)php",
            r"(.)(.*)\1(.*)php$",
            r"(?:(?>\w+).?)*+php$",
            r"(a++|b)*php(?!x)$",
        ] {
            let regex = Regex::new(pattern, false).unwrap_or_else(|why| panic!("{pattern}: {why}"));
            for text in &texts {
                assert_eq!(regex.captures(text), Ok(None), "{pattern} in {}...", &text[..6]);
            }
        }
    }

    /// What nginx does not start on, and what the crates read otherwise.
    #[test]
    fn what_is_no_expression_of_pcre_is_an_error() {
        for pattern in [
            "(", "[a", r"\j", "(?R)", "(?u)a", "a(?iR)b", "(*UCP)a", "(?'x", "*a",
        ] {
            assert!(Regex::new(pattern, false).is_err(), "{pattern}");
        }
    }

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
