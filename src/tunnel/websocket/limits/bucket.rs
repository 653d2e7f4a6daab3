//! A token bucket: what a rate and a burst admit at an instant, or when they will.
//!
//! Knows numbers and the time that it is given. It must not know what is counted.

use std::time::{Duration, Instant};

use super::Rate;
use crate::clock::After;

const SECOND: u128 = 1_000_000_000;

/// How much room there is. Units are billionths, so that a nanosecond adds the rate, and nothing is lost by rounding.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: Rate,
    /// Below the full bucket. More than the burst is a debt.
    missing: u128,
    at: Instant,
}

impl Bucket {
    /// A full one.
    pub(super) fn new(rate: Rate, now: Instant) -> Self {
        Bucket {
            rate,
            missing: 0,
            at: now,
        }
    }

    pub(super) fn rate(&self) -> u64 {
        self.rate.per_second
    }

    pub(super) fn burst(&self) -> u64 {
        self.rate.burst
    }

    /// How much may be taken now.
    pub(super) fn room(&mut self, now: Instant) -> u64 {
        self.refill(now);
        let room = (u128::from(self.rate.burst) * SECOND).saturating_sub(self.missing) / SECOND;
        u64::try_from(room).unwrap_or(u64::MAX)
    }

    /// Whether `cost` may be taken now, or when it may be. More than the burst needs a full bucket.
    pub(super) fn check(&mut self, now: Instant, cost: u64) -> Result<(), Instant> {
        self.refill(now);
        let admits = u128::from(self.rate.burst.saturating_sub(cost)) * SECOND;
        match self.missing.saturating_sub(admits) {
            0 => Ok(()),
            lacking => {
                let nanos = lacking.div_ceil(u128::from(self.rate.per_second).max(1));
                Err(now.after(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))))
            }
        }
    }

    fn refill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_nanos();
        let refilled = passed.saturating_mul(u128::from(self.rate.per_second));
        self.missing = self.missing.saturating_sub(refilled);
        self.at = self.at.max(now);
    }

    /// Takes what [may be taken](Bucket::check).
    pub(super) fn take(&mut self, cost: u64) {
        self.missing = self.missing.saturating_add(u128::from(cost) * SECOND);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn milliseconds(count: u64) -> Duration {
        Duration::from_millis(count)
    }

    #[test]
    fn the_burst_passes_at_once_and_then_the_rate() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(10).burst(2), start);
        for (at, expected) in [
            (0, Ok(())),
            (0, Ok(())),
            (0, Err(100)),
            (99, Err(100)),
            (100, Ok(())),
            (100, Err(200)),
            (5000, Ok(())),
            (5000, Ok(())),
            (5000, Err(5100)),
        ] {
            let found = bucket.check(start + milliseconds(at), 1);
            assert_eq!(found, expected.map_err(|at| start + milliseconds(at)), "{at}");
            if found.is_ok() {
                bucket.take(1);
            }
        }
    }

    #[test]
    fn more_than_the_burst_needs_a_full_bucket_and_is_paid_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(Rate::per_second(100), start);
        assert_eq!(bucket.check(start, 1000), Ok(()));
        bucket.take(1000);
        assert_eq!(bucket.check(start, 1), Err(start + milliseconds(9010)));
        assert_eq!(bucket.check(start, 500), Err(start + milliseconds(10_000)));
        assert_eq!(bucket.check(start + milliseconds(10_000), 500), Ok(()));
    }

    fn extreme() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), Just(1), Just(u64::MAX), any::<u64>(), 0..100u64]
    }

    proptest! {
        #[test]
        fn nothing_overflows_and_what_is_to_wait_is_admitted_then(
            rate in extreme(), burst in extreme(), costs in prop::collection::vec((extreme(), extreme()), 1..20),
        ) {
            let mut now = Instant::now();
            let mut bucket = Bucket::new(Rate::per_second(rate).burst(burst), now);
            for (cost, pause) in costs {
                now = now.after(Duration::from_nanos(pause % 1_000_000_000_000));
                match bucket.check(now, cost) {
                    Ok(()) => bucket.take(cost),
                    Err(at) => {
                        prop_assert!(at > now);
                        let is_beyond_the_clock = at == now.after(Duration::MAX);
                        prop_assert!(is_beyond_the_clock || bucket.check(at, cost).is_ok());
                        now = at;
                    }
                }
            }
        }

        #[test]
        fn no_more_than_the_burst_and_the_rate_pass(
            rate in 1..1000u64, burst in 1..100u64, pauses in prop::collection::vec(0..200_000_000u64, 1..200),
        ) {
            let start = Instant::now();
            let (mut now, mut passed) = (start, 0u64);
            let mut bucket = Bucket::new(Rate::per_second(rate).burst(burst), now);
            for pause in pauses {
                now += Duration::from_nanos(pause);
                if bucket.check(now, 1).is_ok() {
                    bucket.take(1);
                    passed += 1;
                }
                let most = u128::from(burst) * SECOND + (now - start).as_nanos() * u128::from(rate);
                prop_assert!(u128::from(passed) * SECOND <= most);
            }
        }
    }
}
