//! When a server is ejected from its group, for how long, and how it comes back.
//!
//! Pure: the time and the chance are arguments. Must not know what a request is.

use std::time::Duration;

use tokio::time::Instant;

use crate::clock::{After, scaled};

/// How many failures a server may have, and how long its ejection lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tolerance {
    /// Zero: any number.
    pub(super) max_fails: u32,
    pub(super) fail_timeout: Duration,
    pub(super) max_ejection: Duration,
    /// A success forgives no failure within the `fail_timeout`, and only a success forgives those before.
    pub(super) keeps_failures: bool,
}

impl Default for Tolerance {
    fn default() -> Self {
        Tolerance {
            max_fails: 1,
            fail_timeout: Duration::from_secs(10),
            max_ejection: Duration::from_secs(120),
            keeps_failures: false,
        }
    }
}

/// What attempts have shown of a server.
#[derive(Debug, Default)]
pub(super) struct Condition {
    failures: u32,
    /// When the first of them was, or the last where failures are kept.
    since: Option<Instant>,
    ejection: Option<Ejection>,
}

#[derive(Debug)]
struct Ejection {
    until: Instant,
    /// How many times in a row, this one included.
    times: u32,
    /// When the first of these times began.
    since: Instant,
    /// It has been reported to be out for too long.
    is_reported: bool,
    /// One request tries whether it is back.
    is_probed: bool,
}

/// How a server is doing, as far as requests have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Health {
    /// Nothing is known against it.
    Healthy,
    /// It has failed of late, and not as often as it may.
    Failing {
        /// How many times within its `fail_timeout`.
        failures: u32,
    },
    /// It has failed too often, and gets requests only if all servers are ejected.
    Ejected {
        /// For how long yet.
        remaining: Duration,
        /// How many times in a row it has been ejected.
        times: u32,
    },
    /// Its ejection is over, and the next request probes it; or such a probe is under way.
    Probing {
        /// How many times in a row it has been ejected.
        times: u32,
    },
}

impl Health {
    /// In a word, for logs and metrics: `healthy`, `failing`, `ejected`, `probing`. None of them changes in a minor version.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Failing { .. } => "failing",
            Health::Ejected { .. } => "ejected",
            Health::Probing { .. } => "probing",
        }
    }
}

impl Condition {
    /// Whether nothing is known against it.
    pub(super) fn is_healthy(&self) -> bool {
        self.failures == 0 && self.ejection.is_none()
    }

    /// Whether it gets a request: not while it is ejected, and afterwards one at a time until one has succeeded.
    pub(super) fn is_open(&self, now: Instant) -> bool {
        self.ejection
            .as_ref()
            .is_none_or(|ejection| ejection.until <= now && !ejection.is_probed)
    }

    /// It gets a request.
    pub(super) fn begin(&mut self, now: Instant) {
        if let Some(ejection) = self.ejection.as_mut().filter(|ejection| ejection.until <= now) {
            ejection.is_probed = true;
        }
    }

    /// A request has shown that it works.
    pub(super) fn succeeded(&mut self, now: Instant, tolerance: &Tolerance) {
        let is_kept = match (&self.ejection, self.since) {
            // It was under way when the server was ejected.
            (Some(ejection), _) => now < ejection.until,
            (None, Some(last)) => now.saturating_duration_since(last) <= tolerance.fail_timeout,
            (None, None) => false,
        };
        if !(tolerance.keeps_failures && is_kept) {
            *self = Condition::default();
        }
    }

    /// A request has shown nothing.
    pub(super) fn given_up(&mut self) {
        if let Some(ejection) = &mut self.ejection {
            ejection.is_probed = false;
        }
    }

    /// A request has failed. `chance` is a number from 0 to 1.
    pub(super) fn failed(&mut self, now: Instant, tolerance: &Tolerance, chance: f64) {
        match &mut self.ejection {
            // One that was under way when the server was ejected, or that was sent because all are ejected: nothing new.
            Some(ejection) if now < ejection.until => {}
            Some(ejection) => {
                ejection.times = ejection.times.saturating_add(1);
                ejection.until = now.after(ejection_time(ejection.times, tolerance, chance));
                ejection.is_probed = false;
            }
            None => {
                let is_over = |since: Instant| now.saturating_duration_since(since) > tolerance.fail_timeout;
                match tolerance.keeps_failures {
                    true => self.since = Some(now),
                    false if self.since.is_none_or(is_over) => (self.failures, self.since) = (0, Some(now)),
                    false => {}
                }
                self.failures = self.failures.saturating_add(1);
                if tolerance.max_fails > 0 && self.failures >= tolerance.max_fails {
                    self.ejection = Some(Ejection {
                        until: now.after(ejection_time(1, tolerance, chance)),
                        times: 1,
                        since: now,
                        is_reported: false,
                        is_probed: false,
                    });
                }
            }
        }
    }

    /// Whether it is ejected, and has not worked for longer than this since it was ejected first. Says so once.
    pub(super) fn is_lost(&mut self, now: Instant, limit: Duration) -> bool {
        let Some(ejection) = &mut self.ejection else {
            return false;
        };
        // One that is to be probed may work: nobody has tried.
        let is_out = now < ejection.until;
        let is_over = now.saturating_duration_since(ejection.since) > limit;
        is_out && is_over && !std::mem::replace(&mut ejection.is_reported, true)
    }

    /// Whether it was ejected for too long, and has not worked since.
    pub(super) fn was_lost(&self) -> bool {
        self.ejection
            .as_ref()
            .is_some_and(|ejection| ejection.is_reported)
    }

    pub(super) fn health(&self, now: Instant, tolerance: &Tolerance) -> Health {
        let is_recent = |since: Instant| now.saturating_duration_since(since) <= tolerance.fail_timeout;
        match &self.ejection {
            Some(Ejection { until, times, .. }) if now < *until => Health::Ejected {
                remaining: until.saturating_duration_since(now),
                times: *times,
            },
            Some(Ejection { times, .. }) => Health::Probing { times: *times },
            None if self.failures > 0 && self.since.is_some_and(is_recent) => Health::Failing {
                failures: self.failures,
            },
            None => Health::Healthy,
        }
    }
}

/// How long an ejection lasts: `fail_timeout`, doubled each time that it fails again, up to the limit; and of that three quarters to
/// five, so that the servers that failed together do not come back together.
fn ejection_time(times: u32, tolerance: &Tolerance, chance: f64) -> Duration {
    let factor = 1_u32.checked_shl(times - 1).unwrap_or(u32::MAX);
    let time = tolerance
        .fail_timeout
        .saturating_mul(factor)
        .min(tolerance.max_ejection.max(tolerance.fail_timeout));
    scaled(time, 0.75 + chance.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOLERANCE: Tolerance = Tolerance {
        max_fails: 3,
        fail_timeout: Duration::from_secs(10),
        max_ejection: Duration::from_secs(30),
        keeps_failures: false,
    };

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// Its failures at these seconds after a moment, without chance, and that moment.
    fn after_failures(at: &[u64]) -> (Condition, Instant) {
        let start = Instant::now();
        let mut condition = Condition::default();
        for at in at {
            let now = start + seconds(*at);
            condition.begin(now);
            condition.failed(now, &TOLERANCE, 0.5);
        }
        (condition, start)
    }

    #[test]
    fn what_failures_lead_to() {
        let cases: &[(&[u64], u64, Health, bool)] = &[
            (&[], 0, Health::Healthy, true),
            (&[0], 1, Health::Failing { failures: 1 }, true),
            (&[0], 11, Health::Healthy, true),
            (&[0, 1], 2, Health::Failing { failures: 2 }, true),
            (&[0, 1, 12], 12, Health::Failing { failures: 1 }, true),
            (&[0, 11, 12, 13], 13, out(10, 1), false),
            (&[0, 1, 2], 2, out(10, 1), false),
            (&[0, 1, 2], 5, out(7, 1), false),
            (&[0, 1, 2], 12, Health::Probing { times: 1 }, true),
            // Those that were under way, and those that were sent because all are ejected.
            (&[0, 1, 2, 3, 4, 5], 5, out(7, 1), false),
            (&[0, 1, 2, 12], 12, out(20, 2), false),
            (&[0, 1, 2, 12, 32], 32, out(30, 3), false),
            (&[0, 1, 2, 12, 32, 62], 62, out(30, 4), false),
        ];
        for (failures, at, health, is_open) in cases {
            let (condition, start) = after_failures(failures);
            let now = start + seconds(*at);
            assert_eq!(condition.health(now, &TOLERANCE), *health, "{failures:?} at {at}");
            assert_eq!(condition.is_open(now), *is_open, "{failures:?} at {at}");
        }
    }

    fn out(left: u64, times: u32) -> Health {
        Health::Ejected {
            remaining: seconds(left),
            times,
        }
    }

    #[test]
    fn one_request_at_a_time_tries_whether_it_is_back() {
        let (mut condition, start) = after_failures(&[0, 0, 0]);
        let now = start + seconds(10);
        condition.begin(now);
        assert!(!condition.is_open(now), "one is under way");
        assert_eq!(condition.health(now, &TOLERANCE), Health::Probing { times: 1 });
        condition.given_up();
        assert!(condition.is_open(now), "the next one may try");
        condition.begin(now);
        condition.failed(now, &TOLERANCE, 0.5);
        assert_eq!(condition.health(now, &TOLERANCE), out(20, 2));

        let now = now + seconds(20);
        condition.begin(now);
        condition.succeeded(start, &TOLERANCE);
        assert!(condition.is_open(now) && condition.is_healthy());
        condition.failed(now, &TOLERANCE, 0.5);
        assert_eq!(condition.health(now, &TOLERANCE), Health::Failing { failures: 1 });
    }

    #[test]
    fn one_that_is_out_for_too_long_is_reported_once_for_each_time() {
        let (mut condition, start) = after_failures(&[0, 0, 0, 10]);
        let limit = seconds(15);
        assert!(!condition.is_lost(start + seconds(15), limit));
        assert!(condition.is_lost(start + seconds(16), limit));
        assert!(
            !condition.is_lost(start + seconds(17), limit),
            "it has been reported"
        );
        assert!(condition.was_lost());
        condition.succeeded(start, &TOLERANCE);
        assert!(!condition.was_lost());
        assert!(!condition.is_lost(start + seconds(18), limit), "it is back");
        for _ in 0..3 {
            condition.failed(start + seconds(20), &TOLERANCE, 0.5);
        }
        // Out until 30, and nobody has asked it for anything since.
        for at in [30, 31, 36, 3600] {
            assert!(!condition.is_lost(start + seconds(at), limit), "{at}");
        }
        condition.begin(start + seconds(40));
        condition.failed(start + seconds(40), &TOLERANCE, 0.5);
        assert!(condition.is_lost(start + seconds(41), limit));
    }

    #[test]
    fn any_success_brings_it_back() {
        for failures in [&[0][..], &[0, 0], &[0, 0, 0], &[0, 0, 0, 10]] {
            let (mut condition, start) = after_failures(failures);
            condition.succeeded(start, &TOLERANCE);
            assert_eq!(condition.health(start + seconds(10), &TOLERANCE), Health::Healthy);
        }
    }

    /// What happens at these seconds, and how it is doing then.
    #[test]
    fn failures_that_a_success_does_not_forgive() {
        const FAILS: bool = false;
        const WORKS: bool = true;
        let tolerance = Tolerance {
            keeps_failures: true,
            ..TOLERANCE
        };
        let failing = |failures| Health::Failing { failures };
        let cases: &[(&[(u64, bool)], Health)] = &[
            (&[(0, FAILS), (1, WORKS)], failing(1)),
            (&[(0, FAILS), (1, WORKS), (2, FAILS), (3, WORKS)], failing(2)),
            (
                &[(0, FAILS), (1, WORKS), (2, FAILS), (3, WORKS), (4, FAILS)],
                out(10, 1),
            ),
            // Each failure begins the time again.
            (&[(0, FAILS), (9, FAILS), (18, FAILS)], out(10, 1)),
            (&[(0, FAILS), (9, FAILS), (20, WORKS), (21, FAILS)], failing(1)),
            // Without a success in between nothing is forgiven.
            (&[(0, FAILS), (30, FAILS), (60, FAILS)], out(10, 1)),
            // It was under way when the server was ejected.
            (&[(0, FAILS), (0, FAILS), (0, FAILS), (5, WORKS)], out(5, 1)),
            (
                &[(0, FAILS), (0, FAILS), (0, FAILS), (11, WORKS)],
                Health::Healthy,
            ),
        ];
        for (events, expected) in cases {
            let start = Instant::now();
            let mut condition = Condition::default();
            let mut now = start;
            for (at, works) in *events {
                now = start + seconds(*at);
                condition.begin(now);
                match *works {
                    WORKS => condition.succeeded(now, &tolerance),
                    FAILS => condition.failed(now, &tolerance, 0.5),
                }
            }
            assert_eq!(condition.health(now, &tolerance), *expected, "{events:?}");
        }
    }

    #[test]
    fn any_number_of_failures_where_none_count() {
        let tolerance = Tolerance {
            max_fails: 0,
            ..TOLERANCE
        };
        let (mut condition, now) = (Condition::default(), Instant::now());
        for _ in 0..1000 {
            condition.failed(now, &tolerance, 0.0);
        }
        assert!(condition.is_open(now));
    }

    #[test]
    fn the_time_out_grows_within_its_bounds() {
        let tolerance = Tolerance::default();
        for (times, expected) in [(1, 10), (2, 20), (3, 40), (4, 80), (5, 120), (6, 120), (40, 120)] {
            let time = seconds(expected);
            assert_eq!(ejection_time(times, &tolerance, 0.5), time);
            assert_eq!(ejection_time(times, &tolerance, 0.0), scaled(time, 0.75));
            assert_eq!(ejection_time(times, &tolerance, 1.0), scaled(time, 1.25));
        }
        let never_shorter = Tolerance {
            fail_timeout: seconds(60),
            max_ejection: seconds(1),
            max_fails: 1,
            keeps_failures: false,
        };
        assert_eq!(ejection_time(3, &never_shorter, 0.5), seconds(60));
    }
}
