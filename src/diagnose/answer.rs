//! A final answer as it came: status line, fields, and the beginning of the body; what it says in its own words, and whether
//! two answers say the same. Must not know what an answer means.

use std::fmt;

use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, StatusCode, response};

/// The part of a body that is looked at: enough for an error page.
const MAX_BODY: usize = 4096;

/// The longest quotation of a body in a finding, in characters.
const MAX_WORDS: usize = 160;

/// The part of two bodies that is compared, in words.
const COMPARED_WORDS: usize = 200;

/// A final answer to an attempt: its head, its reason phrase, and the beginning of its body.
///
/// ```
/// use http::StatusCode;
/// use switchover::diagnose::Answer;
///
/// let answer = Answer::from(StatusCode::BAD_REQUEST).body("{\"message\":\"Session ID unknown\"}");
/// assert_eq!(answer.words().as_deref(), Some("{\"message\":\"Session ID unknown\"}"));
/// ```
#[derive(Clone, Debug)]
pub struct Answer {
    head: response::Parts,
    reason: String,
    body: Vec<u8>,
    text: String,
    ended: bool,
}

/// What a body is, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyKind {
    /// There is none.
    Empty,
    /// Text in UTF-8.
    Text,
    /// It has a content coding, such as gzip (RFC 9110, section 8.4.1).
    Compressed,
    /// Neither text nor a known coding.
    Binary,
}

impl fmt::Display for BodyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            BodyKind::Empty => "empty",
            BodyKind::Text => "text",
            BodyKind::Compressed => "compressed",
            BodyKind::Binary => "binary",
        })
    }
}

impl From<response::Parts> for Answer {
    fn from(head: response::Parts) -> Self {
        Answer {
            head,
            reason: String::new(),
            body: Vec::new(),
            text: String::new(),
            ended: true,
        }
    }
}

impl From<StatusCode> for Answer {
    fn from(status: StatusCode) -> Self {
        let (mut head, ()) = http::Response::new(()).into_parts();
        head.status = status;
        Answer::from(head)
    }
}

impl Answer {
    /// The reason phrase as it came. Default: none. Some servers give the cause there and nowhere else.
    #[must_use]
    pub fn reason(mut self, phrase: impl AsRef<[u8]>) -> Self {
        self.reason = String::from_utf8_lossy(phrase.as_ref()).trim().to_owned();
        self
    }

    /// The beginning of the body, without its transfer coding. Default: empty. The first 4096 bytes are kept.
    #[must_use]
    pub fn body(mut self, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        self.body = body[..body.len().min(MAX_BODY)].to_vec();
        self.text = match self.body_kind() {
            BodyKind::Text => String::from_utf8_lossy(&self.body).into_owned(),
            _ => String::new(),
        };
        self
    }

    /// Marks a body that did not end before the deadline. Default: it ended, or more of it was not wanted.
    #[must_use]
    pub fn endless(mut self) -> Self {
        self.ended = false;
        self
    }

    /// The head.
    #[must_use]
    pub fn head(&self) -> &response::Parts {
        &self.head
    }

    /// The reason phrase as it came, or nothing.
    #[must_use]
    pub fn reason_phrase(&self) -> &str {
        &self.reason
    }

    /// The beginning of the body, at most 4096 bytes.
    #[must_use]
    pub fn body_bytes(&self) -> &[u8] {
        &self.body
    }

    /// What the body is.
    pub fn body_kind(&self) -> BodyKind {
        let coding = self.head.headers.get(CONTENT_ENCODING);
        let is_coded = coding.is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        match &self.body[..] {
            [] => BodyKind::Empty,
            _ if is_coded => BodyKind::Compressed,
            body if is_text(body) => BodyKind::Text,
            _ => BodyKind::Binary,
        }
    }

    /// What the answer says in its own words: a reason phrase that is not the usual one of the status, and the first line of
    /// the body, or the title of a page; at most 160 characters of each. `None` where it says no more than its status.
    #[must_use]
    pub fn words(&self) -> Option<String> {
        let reason = Some(shortened(&self.reason)).filter(|reason| !self.is_usual(reason));
        let body = first_words(&self.text).filter(|words| !self.is_usual(words));
        match (reason, body) {
            (Some(reason), Some(body)) if !body.contains(&reason) => Some(format!("{reason}; {body}")),
            (reason, body) => body.or(reason),
        }
    }

    /// The status with what it says, for a sentence.
    pub(super) fn status_and_words(&self) -> String {
        let status = self.head.status;
        match self.words() {
            // A title that begins with the number.
            Some(words) if words.starts_with(status.as_str()) => words,
            Some(words) => format!("{}: {words}", status.as_u16()),
            None => status.to_string(),
        }
    }

    /// Reason phrase and body, where texts are looked for.
    pub(super) fn texts(&self) -> [&str; 2] {
        [&self.text, &self.reason]
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    pub(super) fn status(&self) -> StatusCode {
        self.head.status
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended
    }

    pub(super) fn is_html(&self) -> bool {
        let kind = self.head.headers.get(CONTENT_TYPE);
        let named = kind.is_some_and(|kind| kind.as_bytes().to_ascii_lowercase().starts_with(b"text/html"));
        let start = self.text.trim_start().to_ascii_lowercase();
        named || start.starts_with("<!doctype html") || start.starts_with("<html")
    }

    /// Whether it is the same answer as another one: status, reason phrase and words. Numbers and paths are not compared, for
    /// they differ from request to request; of a body that is cut, what both have.
    pub(super) fn says_the_same(&self, other: &Answer) -> bool {
        let is_cut = |answer: &Answer| !answer.ended || answer.body.len() == MAX_BODY;
        let words = |answer: &Answer| {
            let text = match is_cut(answer) {
                // The last word of a body that is cut may be half a word.
                true => answer
                    .text
                    .rsplit_once(char::is_whitespace)
                    .map_or("", |(whole, _)| whole),
                false => &answer.text,
            };
            let words = text.split_whitespace();
            let words =
                words.filter(|word| !word.contains(|char: char| char == '/' || char.is_ascii_digit()));
            words.take(COMPARED_WORDS).map(str::to_owned).collect::<Vec<_>>()
        };
        // Nothing of the body came before the deadline, so nothing is known of it.
        let is_late = |answer: &Answer| !answer.ended && answer.body.is_empty();
        let (mine, others) = (words(self), words(other));
        let both = match is_cut(self) || is_cut(other) {
            true => mine.len().min(others.len()),
            false => mine.len().max(others.len()),
        };
        self.status() == other.status()
            && (self.reason == other.reason || self.is_usual(&self.reason) && other.is_usual(&other.reason))
            && (self.body_kind() == other.body_kind() || is_late(self) || is_late(other))
            && mine.get(..both) == others.get(..both)
            && mine.get(..both).is_some()
    }

    /// Whether words repeat the status, as `404 Not Found` or `404 page not found` do.
    fn is_usual(&self, words: &str) -> bool {
        let letters = |text: &str| {
            let letters = text.chars().filter(char::is_ascii_alphabetic);
            letters.collect::<String>().to_ascii_lowercase()
        };
        let words = letters(words);
        let usual = letters(self.status().canonical_reason().unwrap_or_default());
        words.is_empty() || words == usual || matches!(&*words, "error" | "pagenotfound" | "ok")
    }
}

/// No NUL, and next to no other control bytes or broken UTF-8.
fn is_text(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    let strange =
        |char: &char| *char == char::REPLACEMENT_CHARACTER || char.is_control() && !char.is_whitespace();
    // A body that is cut may end in the middle of a character.
    !body.contains(&0) && text.chars().filter(strange).count() <= 1 + body.len() / 100
}

/// The first line of a text, or the title of a page.
fn first_words(text: &str) -> Option<String> {
    let lower = text.to_ascii_lowercase();
    let between = |start: &str, end: &str| {
        let from = lower.find(start)? + start.len();
        let from = from + lower[from..].find('>')? + 1;
        let to = from + lower[from..].find(end)?;
        Some(without_tags(&text[from..to])).filter(|words| !words.is_empty())
    };
    let line = match lower.trim_start().starts_with('<') {
        true => between("<title", "</title")
            .or_else(|| between("<h1", "</h1").or_else(|| between("<pre", "</pre")))?,
        false => text
            .lines()
            .map(str::trim)
            .find(|line| !line.is_empty())?
            .to_owned(),
    };
    Some(shortened(&line))
}

fn without_tags(text: &str) -> String {
    let mut inside = false;
    let kept = text.chars().filter(|char| {
        inside = *char == '<' || inside && *char != '>';
        !inside && *char != '>'
    });
    kept.collect::<String>().trim().to_owned()
}

fn shortened(text: &str) -> String {
    let mut words: String = text.chars().take(MAX_WORDS).collect();
    if text.chars().nth(MAX_WORDS).is_some() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16) -> Answer {
        Answer::from(StatusCode::from_u16(status).unwrap())
    }

    #[test]
    fn what_an_answer_says_in_its_own_words() {
        let long = "x".repeat(500);
        let cases: &[(u16, &str, &str, Option<&str>)] = &[
            (400, "", "", None),
            (400, "Bad Request", "Bad Request\n", None),
            (404, "Not Found", "404 page not found\n", None),
            (
                404,
                "",
                "<html><head><title>404 Not Found</title></head></html>",
                None,
            ),
            (
                400,
                "missing port in HTTP Host header",
                "",
                Some("missing port in HTTP Host header"),
            ),
            (
                400,
                "Bad Request",
                "\n  the tenant is missing\nmore\n",
                Some("the tenant is missing"),
            ),
            (400, "No tenant", "see the log", Some("No tenant; see the log")),
            (400, "No tenant", "No tenant here", Some("No tenant here")),
            (
                400,
                "",
                "{\"code\":1,\"message\":\"Session ID unknown\"}",
                Some("{\"code\":1,\"message\":\"Session ID unknown\"}"),
            ),
            (
                404,
                "",
                "<!DOCTYPE html><html><body>\n<pre>Cannot GET /ws</pre></body></html>",
                Some("Cannot GET /ws"),
            ),
            (
                500,
                "",
                "<TITLE lang=en>Out of <b>order</b></TITLE>",
                Some("Out of order"),
            ),
            (500, "", "<p>no title", None),
        ];
        for (status, reason, body, expected) in cases {
            let answer = of(*status).reason(reason).body(body);
            assert_eq!(
                answer.words().as_deref(),
                *expected,
                "{status} {reason:?} {body:?}"
            );
        }
        let words = of(400).body(&long).words().unwrap();
        assert_eq!(words.chars().count(), MAX_WORDS + 1);
    }

    #[test]
    fn kinds_of_bodies() {
        let mut coded = of(400).head;
        coded
            .headers
            .insert("content-encoding", http::HeaderValue::from_static("gzip"));
        let cut = &"ä".as_bytes()[..1];
        let cases: &[(Answer, BodyKind)] = &[
            (of(400), BodyKind::Empty),
            (of(400).body("no\n"), BodyKind::Text),
            (of(400).body([b"na", cut].concat()), BodyKind::Text),
            (of(400).body(b"\x89PNG\r\n\x1a\n\0\0"), BodyKind::Binary),
            (of(400).body([0xff; 64]), BodyKind::Binary),
            (Answer::from(coded).body("no\n"), BodyKind::Compressed),
        ];
        for (answer, expected) in cases {
            assert_eq!(answer.body_kind(), *expected, "{answer:?}");
        }
        assert_eq!(of(400).body("x".repeat(9000)).body_bytes().len(), MAX_BODY);
    }

    #[test]
    fn answers_that_say_the_same() {
        let good = || of(400).reason("Bad Request").body("no tenant 7 at /ws");
        assert!(good().says_the_same(&good()));
        assert!(
            good().says_the_same(&of(400).body("no tenant 8 at /chat")),
            "numbers, paths and usual phrases"
        );
        let cut = of(400).body("no tenant 7 at /ws no tenant").endless();
        assert!(
            good().says_the_same(&cut) && cut.says_the_same(&good()),
            "what both have"
        );
        let others = [
            of(404).body("no tenant 7 at /ws"),
            of(400).reason("No tenant").body("no tenant 7 at /ws"),
            of(400).body("no session 7 at /ws"),
            of(400),
        ];
        for other in others {
            assert!(!good().says_the_same(&other), "{other:?}");
        }
    }

    #[test]
    fn a_body_that_is_cut_says_the_same_as_far_as_it_came() {
        let answer = |body: &str, ended: bool| {
            let answer = Answer::from(StatusCode::OK).body(body);
            match ended {
                true => answer,
                false => answer.endless(),
            }
        };
        let whole = "event: tick\ndata: alpha\ndata: beta\n";
        for at in 0..whole.len() {
            let cut = answer(&whole[..at], false);
            assert!(cut.says_the_same(&answer(whole, true)), "{at}");
            assert!(answer(whole, false).says_the_same(&cut), "{at}");
            let ended = answer(&whole[..at], true);
            let is_all_of_it = at == whole.len() - 1;
            assert_eq!(ended.says_the_same(&answer(whole, true)), is_all_of_it, "{at}");
        }
        assert!(!answer("event: tock\ndata: al", false).says_the_same(&answer(whole, true)));
    }
}
