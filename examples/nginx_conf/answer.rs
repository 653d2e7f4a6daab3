//! `return`, and the `if` around it: what the proxy answers by itself.

use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Response, StatusCode};

use super::findings::{Findings, Place};
use super::pattern::Pattern;
use super::text::{Asked, Text};
use super::tree::Directive;

/// `return`.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    /// The text, or where a redirection leads.
    text: Text,
    /// `if` around it: only then.
    condition: Option<Condition>,
}

/// What follows `if`.
#[derive(Clone, Debug)]
struct Condition {
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

/// What nginx calls a request that it closes without a word.
pub(crate) const NO_ANSWER: u16 = 444;

impl Answer {
    /// A status without a text.
    pub(crate) fn plain(status: StatusCode) -> Answer {
        Answer {
            status,
            text: Text::default(),
            condition: None,
        }
    }

    /// What `return …` says. None with an error among the findings.
    pub(crate) fn read(directive: &Directive, names: &[String], findings: &mut Findings) -> Option<Answer> {
        let (place, arguments) = (&directive.place, &directive.arguments[..]);
        let (status, text) = match arguments {
            [url] if url.parse::<u16>().is_err() => ("302", &**url),
            [status] => (&**status, ""),
            [status, text] => (&**status, &**text),
            _ => {
                findings.error(place, "return takes a status and a text, or a URL");
                return None;
            }
        };
        let status = status
            .parse()
            .ok()
            .and_then(|code| StatusCode::from_u16(code).ok());
        // What is interim is no answer.
        let Some(status) = status.filter(|status| !status.is_informational()) else {
            findings.error(
                place,
                format!("{} has no status that could be answered", directive.shown()),
            );
            return None;
        };
        Some(Answer {
            status,
            text: Text::parse(text, names, place, findings),
            condition: None,
        })
    }

    /// What the `return`s in an `if` say. What else stands there is an error if it may keep someone out, which everything
    /// may.
    pub(crate) fn read_if(block: &Directive, names: &[String], findings: &mut Findings) -> Vec<Answer> {
        let condition = match Condition::read(block, names, findings) {
            Ok(condition) => condition,
            Err(why) => {
                findings.error(&block.place, format!("{}: {why}", block.shown()));
                return Vec::new();
            }
        };
        let mut answers = Vec::new();
        for line in block.lines() {
            match &*line.name {
                "return" => answers.extend(Answer::read(line, names, findings)),
                name => {
                    let text = format!(
                        "{name} within if is not carried out, and what it is for is not known: only return is"
                    );
                    findings.error(&line.place, text);
                }
            }
        }
        answers
            .into_iter()
            .map(|answer| Answer {
                condition: Some(condition.clone()),
                ..answer
            })
            .collect()
    }

    /// Whether it is the answer to this request.
    pub(crate) fn is_for(&self, asked: &Asked<'_>) -> bool {
        self.condition
            .as_ref()
            .is_none_or(|condition| condition.holds(asked))
    }

    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    pub(crate) fn response(&self, asked: &Asked<'_>, default_type: &str) -> Response<String> {
        let text = self.text.value(asked);
        let mut response = Response::new(String::new());
        *response.status_mut() = self.status;
        let redirects = matches!(self.status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let (name, value) = match redirects {
            true => (LOCATION, text),
            false if text.is_empty() => {
                if !self.status.is_success() {
                    *response.body_mut() = format!("{}\n", self.status);
                }
                (CONTENT_TYPE, "text/plain".to_owned())
            }
            false => {
                *response.body_mut() = text;
                (CONTENT_TYPE, default_type.to_owned())
            }
        };
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
        response
    }
}

impl Condition {
    /// `($variable)`, `($variable = text)`, `!=`, `~`, `~*` and their opposites.
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
