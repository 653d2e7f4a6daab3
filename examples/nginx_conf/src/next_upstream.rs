//! `proxy_next_upstream`: after what another server is asked, how often, and for how long.

use http::StatusCode;
use switchover::upstream::Retry;

use super::findings::Findings;
use super::scope::Scope;
use super::tree::Directive;

/// What follows `proxy_next_upstream`.
#[derive(Clone, Debug)]
pub(crate) struct Occasions {
    errors: bool,
    timeouts: bool,
    invalid_heads: bool,
    statuses: Vec<StatusCode>,
    off: bool,
}

impl Default for Occasions {
    /// What holds without the line.
    fn default() -> Self {
        Occasions {
            errors: true,
            timeouts: true,
            invalid_heads: false,
            statuses: Vec::new(),
            off: false,
        }
    }
}

impl Occasions {
    pub(crate) fn read(line: &Directive, findings: &mut Findings) -> Result<Occasions, String> {
        let mut occasions = Occasions {
            errors: false,
            timeouts: false,
            ..Occasions::default()
        };
        if line.arguments.is_empty() {
            return Err("it takes occasions, as in error timeout".to_owned());
        }
        for word in &line.arguments {
            match &**word {
                "error" => occasions.errors = true,
                "timeout" => occasions.timeouts = true,
                "invalid_header" => occasions.invalid_heads = true,
                "off" => occasions.off = true,
                "non_idempotent" => {
                    let text = "proxy_next_upstream non_idempotent is not carried out: what may have been done once \
                                is not asked for again";
                    findings.warning(&line.place, text);
                }
                other => occasions.statuses.push(status(other)?),
            }
        }
        Ok(occasions)
    }

    /// These, and those of another line.
    pub(crate) fn or(mut self, other: &Occasions) -> Occasions {
        self.errors |= other.errors;
        self.timeouts |= other.timeouts;
        self.invalid_heads |= other.invalid_heads;
        self.off |= other.off;
        self.statuses.extend(&other.statuses);
        self
    }
}

/// The statuses that nginx has a word for.
fn status(word: &str) -> Result<StatusCode, String> {
    let code = word.strip_prefix("http_").filter(|code| {
        let known = ["403", "404", "429", "500", "502", "503", "504"];
        known.contains(code)
    });
    let status = code.and_then(|code| code.parse().ok());
    status.ok_or_else(|| format!("{word:?} is no occasion"))
}

/// What holds in a location.
pub(crate) fn retry(scope: &Scope) -> Retry {
    let said = scope.next_upstream.as_ref();
    let occasions = said.map_or_else(Occasions::default, |said| said.value.clone());
    if occasions.off {
        // Statuses do not matter then, and failures count as before.
        return Retry::never();
    }
    let tries = scope.next_upstream_tries.as_ref().map_or(0, |said| said.value);
    let time = scope.next_upstream_timeout.as_ref().map(|said| said.value);
    let retry = Retry::default()
        .errors(occasions.errors)
        .timeouts(occasions.timeouts)
        .invalid_heads(occasions.invalid_heads)
        .statuses(occasions.statuses)
        // No limit is written as 0.
        .time_limit(time.filter(|time| !time.is_zero()));
    match tries {
        0 => retry,
        tries => retry.max_attempts(tries),
    }
}
