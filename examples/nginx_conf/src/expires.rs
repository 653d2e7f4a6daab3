//! `expires`: how long an answer may be kept.

use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, EXPIRES, HeaderMap, HeaderValue, LAST_MODIFIED};

use super::clock::Moment;
use super::findings::Findings;
use super::measures;
use super::names::Names;
use super::text::{Asked, Text};
use super::tree::Directive;

const DAY: u64 = 24 * 60 * 60;

/// One `expires`, which takes the place of an outer one.
#[derive(Clone, Debug)]
pub(crate) struct Expires {
    /// Counted from when the content was modified last, where that is known.
    since_modified: bool,
    when: Text,
}

/// What its value says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Off,
    Epoch,
    Max,
    In(Duration),
    /// It has expired so long ago.
    Since(Duration),
    /// At a time of the day, in seconds.
    Daily(u64),
}

impl When {
    fn read(text: &str) -> Result<When, String> {
        Ok(match text {
            "" | "off" => When::Off,
            "epoch" => When::Epoch,
            "max" => When::Max,
            _ => match (text.strip_prefix('@'), text.strip_prefix('-')) {
                (Some(time), _) => match measures::time(time)?.as_secs() {
                    time if time > DAY => return Err(format!("{text:?} is no time of a day")),
                    time => When::Daily(time),
                },
                (None, Some(time)) => When::Since(measures::time(time)?),
                (None, None) => When::In(measures::time(text.strip_prefix('+').unwrap_or(text))?),
            },
        })
    }
}

impl Expires {
    pub(crate) fn read(line: &Directive, names: &Names, findings: &mut Findings) -> Result<Expires, String> {
        let (since_modified, when) = match &line.arguments[..] {
            [modified, when] if modified == "modified" => (true, when),
            [when] => (false, when),
            _ => return Err("takes a time, epoch, max or off".to_owned()),
        };
        let when = Text::parse(when, names, &line.place, findings);
        match when.constant().map(When::read) {
            Some(Err(why)) => Err(why),
            Some(Ok(When::Daily(_))) if since_modified => {
                Err("a time of a day is not one since modified".to_owned())
            }
            _ => Ok(Expires { since_modified, when }),
        }
    }

    /// Sets both fields, in place of those that are there. A value that is none changes nothing, as in nginx.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, asked: &Asked<'_>) {
        let Ok(when) = When::read(&self.when.value(asked)) else {
            return;
        };
        let now = SystemTime::now();
        let modified = headers.get(LAST_MODIFIED).filter(|_| self.since_modified);
        let modified = modified.and_then(|value| Moment::read(value.to_str().ok()?));
        let from = modified.unwrap_or(now);
        let (expires, cache) = match when {
            When::Off => return,
            When::Epoch => ("Thu, 01 Jan 1970 00:00:01 GMT".to_owned(), "no-cache".to_owned()),
            When::Max => (
                "Thu, 31 Dec 2037 23:55:55 GMT".to_owned(),
                "max-age=315360000".to_owned(),
            ),
            When::In(time) => {
                let at = from + time;
                let rest = at.duration_since(now);
                let cache = rest.map_or("no-cache".to_owned(), |rest| format!("max-age={}", rounded(rest)));
                (Moment::of(at).in_fields(), cache)
            }
            When::Since(time) => (
                Moment::of(from.checked_sub(time).unwrap_or(SystemTime::UNIX_EPOCH)).in_fields(),
                "no-cache".to_owned(),
            ),
            When::Daily(time) => {
                let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                let rest = (DAY + time - since.as_secs() % DAY) % DAY;
                let at = now + Duration::from_secs(rest);
                (Moment::of(at).in_fields(), format!("max-age={rest}"))
            }
        };
        for (name, value) in [(EXPIRES, expires), (CACHE_CONTROL, cache)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

/// The clock of fields has whole seconds.
fn rounded(rest: Duration) -> u64 {
    rest.as_millis().div_ceil(1000) as u64
}
