//! How long the answers to the tunnel's pings took.
//!
//! Values only. It must not know pings.

use std::time::Duration;

/// How long one side took to answer pings that the tunnel injects: from [`Traffic::round_trips`](crate::tunnel::Traffic::round_trips) and
/// [`TunnelWatch::round_trips`](crate::tunnel::TunnelWatch::round_trips). Exact to a microsecond.
///
/// A time runs from when the ping was written to when the pong was read. What the side was sent or had sent before is ahead of both, so
/// this is how long a message takes there and back, and not the time of the network alone. An answer is not timed if its ping or
/// the answer had to wait because the other side took no bytes, or for a rate; nor if an earlier ping was still unanswered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RoundTrips {
    pub(in crate::tunnel) count: u32,
    /// In microseconds.
    pub(in crate::tunnel) last: u32,
    pub(in crate::tunnel) smallest: u32,
    pub(in crate::tunnel) sum: u64,
}

impl RoundTrips {
    pub(super) const NONE: Self = RoundTrips {
        count: 0,
        last: 0,
        smallest: 0,
        sum: 0,
    };

    /// How many answers were timed.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The last time. `None` where no answer was timed.
    #[must_use]
    pub fn last(&self) -> Option<Duration> {
        self.some(self.last.into())
    }

    /// The smallest time.
    #[must_use]
    pub fn smallest(&self) -> Option<Duration> {
        self.some(self.smallest.into())
    }

    /// The mean of all times.
    #[must_use]
    pub fn mean(&self) -> Option<Duration> {
        self.some(self.sum / u64::from(self.count.max(1)))
    }

    fn some(&self, micros: u64) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_micros(micros))
    }

    pub(super) fn add(&mut self, time: Duration) {
        let micros = u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
        self.smallest = match self.count {
            0 => micros,
            _ => self.smallest.min(micros),
        };
        self.last = micros;
        self.sum = self.sum.saturating_add(micros.into());
        self.count = self.count.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_round_trips_the_last_the_smallest_and_the_mean_are_kept() {
        let micros = Duration::from_micros;
        let mut trips = RoundTrips::default();
        assert_eq!((trips.last(), trips.smallest(), trips.mean()), (None, None, None));
        for (time, last, smallest, mean) in [(30, 30, 30, 30), (10, 10, 10, 20), (50, 50, 10, 30)] {
            trips.add(micros(time));
            let found = (trips.last(), trips.smallest(), trips.mean());
            let expected = [last, smallest, mean].map(|time| Some(micros(time)));
            assert_eq!([found.0, found.1, found.2], expected);
        }
        trips.add(Duration::MAX);
        trips.add(Duration::ZERO);
        assert_eq!((trips.count(), trips.smallest()), (5, Some(Duration::ZERO)));
    }
}
