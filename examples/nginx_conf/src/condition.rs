//! What follows `if`.

use super::files::Test as FileTest;
use super::findings::Findings;
use super::names::Names;
use super::regex::Regex;
use super::text::{Asked, Text};
use super::tree::Directive;

/// What follows `if`.
#[derive(Clone, Debug)]
pub(crate) struct Condition {
    left: Text,
    test: Test,
    wanted: bool,
}

#[derive(Clone, Debug)]
enum Test {
    /// Neither empty nor `0`.
    Set,
    Equals(Text),
    Matches(Regex),
    File(FileTest),
}

impl Condition {
    /// `($variable)`, `($variable = text)`, `!=`, `~`, `~*`, `-f` and their opposites. None with an error among the findings.
    pub(crate) fn of(block: &Directive, names: &Names, findings: &mut Findings) -> Option<Condition> {
        let read = Condition::read(block, names, findings);
        read.map_err(|why| findings.error(&block.place, format!("{}: {why}", block.shown())))
            .ok()
    }

    fn read(block: &Directive, names: &Names, findings: &mut Findings) -> Result<Condition, String> {
        let words = words(block)?;
        let mut text = |source: &str| Text::parse(source, names, &block.place, findings);
        let (left, sign, right) = match &words[..] {
            [left] => (*left, "", ""),
            [test, file] if test.trim_start_matches('!').starts_with('-') => (*file, *test, ""),
            [left, sign, right] => (*left, *sign, *right),
            _ => {
                return Err(
                    "the condition is a variable, one compared with a text, or a test of a file".to_owned(),
                );
            }
        };
        let (sign, wanted) = match sign.strip_prefix('!') {
            Some(sign) => (sign, false),
            None => (sign, true),
        };
        let file = match sign {
            "-f" => Some(FileTest::File),
            "-d" => Some(FileTest::Folder),
            "-e" => Some(FileTest::Exists),
            "-x" => Some(FileTest::Executable),
            _ => None,
        };
        if file.is_none() && !left.starts_with('$') {
            return Err("what is compared is a variable".to_owned());
        }
        let test = match (sign, file) {
            (_, Some(test)) => Test::File(test),
            ("", _) => Test::Set,
            ("=", _) => Test::Equals(text(right)),
            ("~" | "~*", _) => Test::Matches(Regex::new(right, sign == "~*")?),
            (other, _) => return Err(format!("{other} compares nothing")),
        };
        Ok(Condition {
            left: text(left),
            test,
            wanted,
        })
    }

    pub(crate) fn holds(&self, asked: &Asked<'_>) -> bool {
        let value = self.left.value(asked);
        let holds = match &self.test {
            Test::Set => !matches!(&*value, "" | "0"),
            Test::Equals(text) => value == text.value(asked),
            Test::Matches(regex) => asked.tests(regex, &value),
            Test::File(test) => test.holds(&value),
        };
        holds == self.wanted
    }
}

/// What stands between the parentheses, of which either may stand for itself, before or behind a space or a quotation mark.
fn words(block: &Directive) -> Result<Vec<&str>, String> {
    let bare = "the condition stands in parentheses";
    let mut words: Vec<&str> = block.arguments.iter().map(String::as_str).collect();
    let first = words.first().and_then(|word| word.strip_prefix('('));
    words.splice(..words.len().min(1), [first.ok_or(bare)?]);
    let end = words.len() - 1;
    words[end] = words[end].strip_suffix(')').ok_or(bare)?;
    if words.first() == Some(&"") && words.len() > 1 {
        words.remove(0);
    }
    if words.last() == Some(&"") && matches!(words.len(), 2..=4) {
        words.pop();
    }
    Ok(words)
}
