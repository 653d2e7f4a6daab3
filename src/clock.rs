//! Arithmetic with instants and durations that cannot panic: a deadline that is beyond the clock is a deadline far away.
//!
//! `Instant + Duration` panics where the sum is beyond the clock, and a limit of `Duration::MAX` is a caller's way to say
//! "never". Every deadline in the crate is made here; the lint `arithmetic_side_effects` forbids the operators everywhere else.
//!
//! Must not know what a deadline is for.

use std::time::Duration;

/// Thirty years. Less than what any clock has left, and more than what any connection needs.
pub(crate) const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// An instant that deadlines are counted from.
pub(crate) trait After: Copy {
    /// The instant so much later, at most [`FAR`] from here.
    fn after(self, time: Duration) -> Self;
}

impl After for std::time::Instant {
    #[allow(clippy::arithmetic_side_effects)]
    fn after(self, time: Duration) -> Self {
        self + time.min(FAR)
    }
}

impl After for tokio::time::Instant {
    #[allow(clippy::arithmetic_side_effects)]
    fn after(self, time: Duration) -> Self {
        self + time.min(FAR)
    }
}

/// A part or a multiple of a duration, at most [`FAR`]. A factor that is negative or no number is zero.
pub(crate) fn scaled(time: Duration, factor: f64) -> Duration {
    // `max` turns what is no number into zero.
    let seconds = time.as_secs_f64() * factor.max(0.0);
    Duration::from_secs_f64(seconds.min(FAR.as_secs_f64()))
}

/// How long a peer that reads slowly may take for so many bytes: a second for each KiB, for the 256 KiB that the buffers of two
/// kernels usually have room for. More may be in them, and who has not read it by then is not waited for.
#[cfg(any(feature = "tunnel", feature = "http2"))]
pub(crate) fn reading_time(bytes: u64) -> Duration {
    Duration::from_secs((bytes / 1024).min(256))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_duration_is_beyond_the_clock() {
        let (std, tokio) = (std::time::Instant::now(), tokio::time::Instant::now());
        for time in [Duration::ZERO, Duration::from_secs(60), FAR] {
            assert_eq!(std.after(time), std + time);
            assert_eq!(tokio.after(time), tokio + time);
        }
        for time in [
            FAR + Duration::from_nanos(1),
            Duration::from_secs(u64::MAX),
            Duration::MAX,
        ] {
            assert_eq!(std.after(time), std + FAR);
            assert_eq!(tokio.after(time).after(time), tokio + FAR + FAR);
        }
    }

    #[test]
    fn no_factor_is_too_large() {
        let minute = Duration::from_secs(60);
        for (time, factor, expected) in [
            (minute, 0.5, Duration::from_secs(30)),
            (minute, 1.25, Duration::from_secs(75)),
            (minute, 0.0, Duration::ZERO),
            (minute, -1.0, Duration::ZERO),
            (minute, f64::NAN, Duration::ZERO),
            (minute, f64::INFINITY, FAR),
            (Duration::MAX, 1.25, FAR),
            (Duration::MAX, 0.0, Duration::ZERO),
        ] {
            assert_eq!(scaled(time, factor), expected, "{time:?} times {factor}");
        }
    }
}
