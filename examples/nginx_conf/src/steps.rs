//! `return`, `break` and `if`, in the order in which they stand: whether a request is answered at once, and whether another
//! location takes the place of its own.
//!
//! As in nginx, an `if` in a location is a location of its own: what it says holds instead, what it does not say is as around
//! it, and of several whose conditions hold the last one counts.

use super::answer::Answer;
use super::directives::Context;
use super::findings::{Findings, Place};
use super::location::Location;
use super::pattern::Pattern;
use super::text::{Asked, Text};
use super::tree::Directive;

/// One of the lines that are gone through for each request.
#[derive(Debug)]
pub(crate) enum Step {
    Answer(Answer),
    /// No line behind it counts.
    Break,
    If {
        condition: Condition,
        /// `return` or `break` within it.
        end: Option<Box<Step>>,
        /// Where it says more than that; else it is as the location around it.
        instead: Option<Box<Location>>,
    },
}

/// What the lines come to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Decision<'a> {
    /// The location that takes the place of the one that was found.
    pub(crate) instead: Option<&'a Location>,
    pub(crate) answer: Option<&'a Answer>,
}

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
    Matches(Pattern),
}

/// What may stand in an `if`, and where it may.
const WITHIN_IF: &[(&str, &[Context])] = &[
    ("return", &[Context::Server, Context::Location]),
    ("break", &[Context::Server, Context::Location]),
    ("add_header", &[Context::Location]),
    ("proxy_pass", &[Context::Location]),
    ("access_log", &[Context::Location]),
];

/// The lines of an `if` that are carried out. What else stands there is an error, since it may keep someone out, which
/// everything may.
pub(crate) fn within_if<'a>(
    block: &'a Directive,
    context: Context,
    findings: &mut Findings,
) -> Vec<&'a Directive> {
    let is_known = |line: &&Directive| {
        let known = WITHIN_IF.iter().find(|(name, _)| *name == line.name);
        let is_known = known.is_some_and(|(_, contexts)| contexts.contains(&context));
        if !is_known {
            let text = format!(
                "{} within if is not carried out, and what it is for is not known: only return and break are, and in a \
                 location proxy_pass, add_header and access_log",
                line.name
            );
            findings.error(&line.place, text);
        }
        is_known
    };
    block.lines().iter().filter(is_known).collect()
}

/// The first `return` or `break` of these lines.
pub(crate) fn end(lines: &[&Directive], names: &[String], findings: &mut Findings) -> Option<Step> {
    lines.iter().find_map(|line| one(line, names, findings))
}

/// `return` or `break`.
pub(crate) fn one(line: &Directive, names: &[String], findings: &mut Findings) -> Option<Step> {
    match &*line.name {
        "return" => Answer::read(line, names, findings).map(Step::Answer),
        "break" => Some(Step::Break),
        _ => None,
    }
}

/// Goes through the lines.
pub(crate) fn decide<'a>(steps: &'a [Step], asked: &Asked<'_>) -> Decision<'a> {
    let mut decision = Decision::default();
    for step in steps {
        let end = match step {
            Step::If {
                condition,
                end,
                instead,
            } => {
                if !condition.holds(asked) {
                    continue;
                }
                decision.instead = instead.as_deref();
                end.as_deref()
            }
            step => Some(step),
        };
        match end {
            Some(Step::Answer(answer)) => {
                decision.answer = Some(answer);
                break;
            }
            Some(_) => break,
            None => {}
        }
    }
    decision
}

impl Condition {
    /// `($variable)`, `($variable = text)`, `!=`, `~`, `~*` and their opposites. None with an error among the findings.
    pub(crate) fn of(block: &Directive, names: &[String], findings: &mut Findings) -> Option<Condition> {
        let read = Condition::read(block, names, findings);
        read.map_err(|why| findings.error(&block.place, format!("{}: {why}", block.shown())))
            .ok()
    }

    fn read(block: &Directive, names: &[String], findings: &mut Findings) -> Result<Condition, String> {
        let place: &Place = &block.place;
        let mut words: Vec<&str> = block.arguments.iter().map(String::as_str).collect();
        let bare = "the condition stands in parentheses";
        let first = words.first().and_then(|word| word.strip_prefix('('));
        words.splice(..words.len().min(1), [first.ok_or(bare)?]);
        let end = words.len() - 1;
        words[end] = words[end].strip_suffix(')').ok_or(bare)?;
        // A parenthesis may stand for itself, before or behind a space or a quotation mark.
        if words.first() == Some(&"") && words.len() > 1 {
            words.remove(0);
        }
        if words.last() == Some(&"") && matches!(words.len(), 2 | 4) {
            words.pop();
        }
        let mut text = |source: &str| Text::parse(source, names, place, findings);
        let (left, sign, right) = match words[..] {
            [left] => (left, "", ""),
            [left, sign, right] => (left, sign, right),
            _ => return Err("the condition is a variable, or one compared with a text".to_owned()),
        };
        if !left.starts_with('$') {
            return Err("only variables are compared here, no files".to_owned());
        }
        if !Text::is_known(left, names) {
            return Err(format!(
                "there is no variable {left} here, and who is kept out by it would come in"
            ));
        }
        let (sign, wanted) = match sign.strip_prefix('!') {
            Some(sign) => (sign, false),
            None => (sign, true),
        };
        let test = match sign {
            "" => Test::Set,
            "=" => Test::Equals(text(right)),
            "~" | "~*" => Test::Matches(format!("{sign}{right}").parse::<Pattern>()?),
            other => return Err(format!("{other} compares nothing")),
        };
        Ok(Condition {
            left: text(left),
            test,
            wanted,
        })
    }

    fn holds(&self, asked: &Asked<'_>) -> bool {
        let value = self.left.value(asked);
        let holds = match &self.test {
            Test::Set => !matches!(&*value, "" | "0"),
            Test::Equals(text) => value == text.value(asked),
            Test::Matches(pattern) => pattern.matches(&value),
        };
        holds == self.wanted
    }
}
