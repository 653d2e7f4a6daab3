//! After which ends of an attempt another server gets the request, and how often. Pure.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::connect::{AttemptEnd, AttemptOutcome, Shortage};

/// When a request goes to the next server: nginx's `proxy_next_upstream`, `_tries` and `_timeout`.
///
/// Only as long as nothing can happen twice: the client has not had a byte of an answer; and once the request was sent, only
/// if it has no body and its method is idempotent (RFC 9110, section 9.2.2). A WebSocket's handshake is.
///
/// ```
/// use http::StatusCode;
/// use switchover::upstream::Retry;
///
/// let retry = Retry::default()
///     .statuses([StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE])
///     .max_attempts(3);
/// ```
#[derive(Clone, Debug)]
pub struct Retry {
    max_attempts: usize,
    time_limit: Option<Duration>,
    errors: bool,
    timeouts: bool,
    invalid_heads: bool,
    statuses: Arc<[StatusCode]>,
}

impl Default for Retry {
    /// After errors, timeouts and invalid heads, each server once.
    fn default() -> Self {
        Retry {
            max_attempts: usize::MAX,
            time_limit: None,
            errors: true,
            timeouts: true,
            invalid_heads: true,
            statuses: Arc::default(),
        }
    }
}

impl Retry {
    /// Never: each request has one server. Servers are still ejected when they fail.
    #[must_use]
    pub fn never() -> Self {
        Retry::default().max_attempts(1)
    }

    /// How many servers a request may be tried on, the first included; at least one. Default: all of them, each once.
    #[must_use]
    pub fn max_attempts(mut self, attempts: usize) -> Self {
        self.max_attempts = attempts.max(1);
        self
    }

    /// No other server is tried when this long has passed since the first was. Default: none, no limit.
    ///
    /// A try that is under way is not cut short: how long one may take is the doors' business
    /// ([`UpgradeConfig::handshake_timeout`](crate::UpgradeConfig::handshake_timeout)), and a server that accepts and stays
    /// silent takes all of it.
    #[must_use]
    pub fn time_limit(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.time_limit = limit.into();
        self
    }

    /// After a connection that could not be made, or that broke before it had brought a response head. Default yes.
    ///
    /// Never after one for which this host has no descriptors or memory
    /// ([`Shortage::Resources`](crate::connect::Shortage::Resources)): it has none for the next server either.
    #[must_use]
    pub fn errors(mut self, retry: bool) -> Self {
        self.errors = retry;
        self
    }

    /// After a deadline for the connection or for the response head. Default yes.
    #[must_use]
    pub fn timeouts(mut self, retry: bool) -> Self {
        self.timeouts = retry;
        self
    }

    /// After a response head that is none, that is too large, or that says 101 and is no switch. Default yes.
    #[must_use]
    pub fn invalid_heads(mut self, retry: bool) -> Self {
        self.invalid_heads = retry;
        self
    }

    /// After a response with one of these statuses, which then counts as a failure of its server too: not so what says
    /// something of the request, as 403 and 404, and any other below 500 but 429. Default: none.
    ///
    /// Where no other server has an answer, because it fails, is full, or there is none, the client gets this one.
    #[must_use]
    pub fn statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// How many servers a request may be tried on, of so many.
    pub(super) fn limit(&self, servers: usize) -> usize {
        self.max_attempts.min(servers)
    }

    /// Whether another one is tried after this.
    pub(super) fn goes_on(&self, ended: AttemptEnd, servers: usize) -> bool {
        let is_wanted = match ended.outcome {
            AttemptOutcome::Failed
            | AttemptOutcome::Stale
            | AttemptOutcome::Shortage(Shortage::LocalAddress) => self.errors,
            AttemptOutcome::TimedOut => self.timeouts,
            AttemptOutcome::Invalid => self.invalid_heads,
            AttemptOutcome::Answered(status) => self.statuses.contains(&status),
            _ => false,
        };
        is_wanted
            && ended.attempts < self.limit(servers)
            && self.time_limit.is_none_or(|limit| ended.elapsed < limit)
    }

    /// What it says of the server: that it works, that it does not, or nothing.
    pub(super) fn judge(&self, outcome: AttemptOutcome) -> Option<bool> {
        match outcome {
            AttemptOutcome::Connected => Some(true),
            AttemptOutcome::Answered(status) => Some(!(blames(status) && self.statuses.contains(&status))),
            AttemptOutcome::Failed | AttemptOutcome::TimedOut | AttemptOutcome::Invalid => Some(false),
            _ => None,
        }
    }
}

/// Whether a status says something of its server.
fn blames(status: StatusCode) -> bool {
    status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTCOMES: [AttemptOutcome; 10] = [
        AttemptOutcome::Connected,
        AttemptOutcome::Answered(StatusCode::SWITCHING_PROTOCOLS),
        AttemptOutcome::Answered(StatusCode::SERVICE_UNAVAILABLE),
        AttemptOutcome::Failed,
        AttemptOutcome::TimedOut,
        AttemptOutcome::Invalid,
        AttemptOutcome::Stale,
        AttemptOutcome::GivenUp,
        AttemptOutcome::Shortage(Shortage::Resources),
        AttemptOutcome::Shortage(Shortage::LocalAddress),
    ];

    fn ended(outcome: AttemptOutcome, attempts: usize, seconds: u64) -> AttemptEnd {
        AttemptEnd {
            outcome,
            attempts,
            elapsed: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn after_what_another_server_is_tried() {
        let retry = Retry::default;
        let cases = [
            (
                retry(),
                [false, false, false, true, true, true, true, false, false, true],
            ),
            (
                retry().statuses([StatusCode::SERVICE_UNAVAILABLE]),
                [false, false, true, true, true, true, true, false, false, true],
            ),
            (
                retry().errors(false),
                [false, false, false, false, true, true, false, false, false, false],
            ),
            (
                retry().timeouts(false),
                [false, false, false, true, false, true, true, false, false, true],
            ),
            (
                retry().invalid_heads(false),
                [false, false, false, true, true, false, true, false, false, true],
            ),
            (Retry::never(), [false; 10]),
        ];
        for (retry, expected) in cases {
            let goes_on = OUTCOMES.map(|outcome| retry.goes_on(ended(outcome, 1, 0), 3));
            assert_eq!(goes_on, expected, "{retry:?}");
        }
    }

    #[test]
    fn how_often_and_how_long() {
        let retry = Retry::default;
        for (retry, servers, attempts, seconds, expected) in [
            (retry(), 3, 2, 1000, true),
            (retry(), 3, 3, 0, false),
            (retry(), 1, 1, 0, false),
            (retry().max_attempts(2), 3, 1, 0, true),
            (retry().max_attempts(2), 3, 2, 0, false),
            (retry().max_attempts(9), 3, 3, 0, false),
            (retry().max_attempts(0), 3, 1, 0, false),
            (retry().time_limit(Duration::from_secs(5)), 3, 1, 4, true),
            (retry().time_limit(Duration::from_secs(5)), 3, 1, 5, false),
        ] {
            let goes_on = retry.goes_on(ended(AttemptOutcome::Failed, attempts, seconds), servers);
            assert_eq!(goes_on, expected, "{retry:?} {servers} {attempts} {seconds}");
        }
    }

    #[test]
    fn what_counts_against_a_server() {
        let (yes, no, nothing) = (Some(true), Some(false), None);
        let default = OUTCOMES.map(|outcome| Retry::default().judge(outcome));
        assert_eq!(
            default,
            [yes, yes, yes, no, no, no, nothing, nothing, nothing, nothing]
        );
        let listed = Retry::never().statuses([StatusCode::SERVICE_UNAVAILABLE]);
        let listed = OUTCOMES.map(|outcome| listed.judge(outcome));
        assert_eq!(
            listed,
            [yes, yes, no, no, no, no, nothing, nothing, nothing, nothing]
        );
        let any = Retry::never().statuses((400..600).filter_map(|code| StatusCode::from_u16(code).ok()));
        for (code, expected) in [
            (403, yes),
            (404, yes),
            (429, no),
            (499, yes),
            (500, no),
            (502, no),
        ] {
            let status = StatusCode::from_u16(code).unwrap();
            assert_eq!(any.judge(AttemptOutcome::Answered(status)), expected, "{code}");
        }
    }
}
