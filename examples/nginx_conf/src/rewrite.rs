//! `set`, `rewrite`, `return`, `break` and `if`, in the order in which they stand.
//!
//! As in nginx, an `if` in a location is a location of its own: what it says holds instead, what it does not say is as around
//! it, and of several whose conditions hold the last one counts.

use std::sync::Arc;

use http::StatusCode;

use super::answer::Answer;
use super::condition::Condition;
use super::findings::Findings;
use super::location::Location;
use super::names::{self, Names};
use super::regex::Regex;
use super::state::State;
use super::text::{Asked, Text};
use super::tree::Directive;

/// One of the lines that are gone through for each request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Set(Target, Text),
    Rewrite(Box<Rewrite>),
    Answer(Answer),
    /// No line behind it counts.
    Break,
    If {
        /// As it is written, and where.
        shown: Arc<str>,
        condition: Condition,
        steps: Vec<Step>,
        /// The location that it is.
        instead: Option<Arc<Location>>,
    },
}

/// What `set` sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Variable(usize),
    /// `$args`.
    Args,
}

/// `rewrite`.
#[derive(Clone, Debug)]
pub(crate) struct Rewrite {
    /// As it is written, and where.
    shown: Arc<str>,
    regex: Regex,
    path: Text,
    args: Option<Text>,
    /// Not with a question mark at the end of the replacement.
    adds_args: bool,
    flag: Flag,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flag {
    None,
    Last,
    Break,
    Redirect(StatusCode),
}

/// A line as it is written, and where, for an explanation.
pub(crate) fn shown(line: &Directive) -> Arc<str> {
    Arc::from(format!("{} ({})", line.shown(), line.place))
}

/// What the lines come to.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    /// The location that takes the place of the one that was found.
    pub(crate) instead: Option<Arc<Location>>,
    pub(crate) end: End,
}

#[derive(Debug, Default)]
pub(crate) enum End {
    /// Nothing is changed.
    #[default]
    Same,
    /// The URI is another: its location is looked for.
    Rewritten,
    Answer(Answer),
    /// A redirection by a `rewrite`.
    Redirect(StatusCode, String),
}

/// `set`, `rewrite`, `return` and `break`. None for another line, and for one that is wrong.
pub(crate) fn read(line: &Directive, names: &Names, findings: &mut Findings) -> Option<Step> {
    let read = match &*line.name {
        "return" => return Answer::read(line, names, findings).map(Step::Answer),
        "break" => return Some(Step::Break),
        "set" => set(line, names, findings),
        "rewrite" => Rewrite::read(line, names, findings).map(|rewrite| Step::Rewrite(Box::new(rewrite))),
        _ => return None,
    };
    read.map_err(|why| findings.error(&line.place, format!("{}: {why}", line.shown())))
        .ok()
}

fn set(line: &Directive, names: &Names, findings: &mut Findings) -> Result<Step, String> {
    let [variable, value] = &line.arguments[..] else {
        return Err("set takes a variable and its value".to_owned());
    };
    let value = Text::parse(value, names, &line.place, findings);
    Target::read(variable, names).map(|target| Step::Set(target, value))
}

impl Target {
    pub(crate) fn read(variable: &str, names: &Names) -> Result<Target, String> {
        if variable.eq_ignore_ascii_case("$args") {
            return Ok(Target::Args);
        }
        if Text::has_own_value(variable) {
            return Err(format!(
                "{variable} has a value of its own; nginx does not start either"
            ));
        }
        names::defined(variable, names).map(Target::Variable)
    }

    pub(crate) fn set(self, state: &mut State, value: String) {
        match self {
            Target::Args => {
                state.args = value;
                // What goes up is put together of its parts.
                state.is_unparsed = false;
            }
            Target::Variable(number) => {
                if let Some(slot) = state.values.get_mut(number) {
                    *slot = Some(value);
                }
            }
        }
    }
}

impl Rewrite {
    fn read(line: &Directive, names: &Names, findings: &mut Findings) -> Result<Rewrite, String> {
        let (regex, replacement, flag) = match &line.arguments[..] {
            [regex, replacement] => (regex, replacement, ""),
            [regex, replacement, flag] => (regex, replacement, &**flag),
            _ => return Err("rewrite takes a regular expression and a replacement".to_owned()),
        };
        let leaves = ["http://", "https://", "$scheme"]
            .iter()
            .any(|start| replacement.starts_with(start));
        let flag = match flag {
            "redirect" => Flag::Redirect(StatusCode::FOUND),
            "permanent" => Flag::Redirect(StatusCode::MOVED_PERMANENTLY),
            "" | "last" | "break" if leaves => Flag::Redirect(StatusCode::FOUND),
            "" => Flag::None,
            "last" => Flag::Last,
            "break" => Flag::Break,
            other => return Err(format!("there is no flag {other}")),
        };
        let (replacement, adds_args) = match replacement.strip_suffix('?') {
            Some(without) => (without, false),
            None => (&**replacement, true),
        };
        let text = Text::parse(replacement, names, &line.place, findings);
        let (path, args) = match text.split_once('?') {
            Some((path, args)) => (path, Some(args)),
            None => (text, None),
        };
        Ok(Rewrite {
            shown: shown(line),
            regex: Regex::new(regex, false)?,
            path,
            args,
            adds_args,
            flag,
        })
    }

    /// What comes of it for a URI; none where it does not match.
    fn apply(&self, asked: &Asked<'_>) -> Option<Result<End, StatusCode>> {
        let uri = asked.state.lock().uri.clone();
        if !asked.tests(&self.regex, &uri) {
            return None;
        }
        let own = asked.state.lock().args.clone();
        let is_redirect = matches!(self.flag, Flag::Redirect(_));
        // What groups hold is decoded: it is encoded again where it goes out.
        let path = match is_redirect {
            true => self.path.value_with_groups(asked, super::uri::escape_redirect),
            false => self.path.value(asked),
        };
        let args = self
            .args
            .as_ref()
            .map(|args| args.value_with_groups(asked, |group| escaped_args(group, asked)));
        let args = match (args, self.adds_args && !own.is_empty()) {
            (Some(args), true) if args.is_empty() => Some(own),
            (Some(args), true) => Some(format!("{args}&{own}")),
            (Some(args), false) => Some(args),
            (None, true) => Some(own),
            (None, false) if self.adds_args => Some(own),
            (None, false) => Some(String::new()),
        };
        let args = args.unwrap_or_default();
        if let Flag::Redirect(status) = self.flag {
            let path = super::uri::unescape_redirect(&path);
            let to = match args.is_empty() {
                true => path,
                false => format!("{path}?{args}"),
            };
            return Some(Ok(End::Redirect(status, to)));
        }
        if path.is_empty() {
            return Some(Err(StatusCode::INTERNAL_SERVER_ERROR));
        }
        let mut state = asked.state.lock();
        state.uri = path;
        state.args = args;
        state.is_unparsed = false;
        state.is_of_location &= self.flag != Flag::Break;
        state.is_internal = true;
        Some(Ok(End::Rewritten))
    }
}

/// What a group holds, in a query. As in nginx it is encoded only where the client's path has something to decode.
fn escaped_args(group: &str, asked: &Asked<'_>) -> String {
    match asked.head.uri.path().contains(['%', '+']) {
        true => super::uri::escape_args(group),
        false => group.to_owned(),
    }
}

/// Goes through the lines. What they have changed is in the state of the request.
pub(crate) fn run(steps: &[Step], asked: &Asked<'_>) -> Result<Ran, StatusCode> {
    let mut ran = Ran::default();
    run_into(steps, asked, &mut ran)?;
    if asked.state.has_failed() {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    }
    Ok(ran)
}

/// Returns whether the lines behind these count.
fn run_into(steps: &[Step], asked: &Asked<'_>, ran: &mut Ran) -> Result<bool, StatusCode> {
    for step in steps {
        match step {
            Step::Set(target, value) => {
                let value = value.value(asked);
                target.set(&mut asked.state.lock(), value);
            }
            Step::Break => {
                // Also for a `rewrite` before it: the location stays the same, with all that guards it.
                if matches!(ran.end, End::Rewritten) {
                    ran.end = End::Same;
                    asked.state.lock().is_of_location = false;
                }
                return Ok(false);
            }
            Step::Answer(answer) => {
                ran.end = End::Answer(answer.clone());
                return Ok(false);
            }
            Step::Rewrite(rewrite) => match (rewrite.apply(asked), rewrite.flag) {
                (None, _) => asked.explain(|| format!("{}: does not match", rewrite.shown)),
                (Some(end), flag) => {
                    asked.explain(|| format!("{}: matches", rewrite.shown));
                    ran.end = match (end?, flag) {
                        // The location stays the same.
                        (End::Rewritten, Flag::Break) => End::Same,
                        (end, _) => end,
                    };
                    if flag != Flag::None {
                        return Ok(false);
                    }
                }
            },
            Step::If {
                shown,
                condition,
                steps,
                instead,
            } => {
                let holds = condition.holds(asked);
                asked.explain(|| format!("{shown}: {}", if holds { "holds" } else { "does not hold" }));
                if !holds {
                    continue;
                }
                if instead.is_some() {
                    ran.instead.clone_from(instead);
                }
                if !run_into(steps, asked, ran)? {
                    return Ok(false);
                }
            }
        }
    }
    Ok(true)
}
