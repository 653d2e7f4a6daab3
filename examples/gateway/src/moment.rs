//! A moment in the format of RFC 3339, in UTC: the standard library knows no calendar.

use std::time::SystemTime;

use super::decimal::{self, push_padded};

/// `2026-11-20T13:16:13.042Z`
pub(crate) fn of(time: SystemTime) -> String {
    let mut text = String::with_capacity(24);
    write(time, &mut text);
    text
}

/// Appends the same. Without the formatting machinery of the standard library: every record of a log begins with it.
pub(crate) fn write(time: SystemTime, into: &mut String) {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (seconds, milliseconds) = (since.as_secs(), since.subsec_millis());
    let (year, month, day) = date(seconds / (24 * 60 * 60));
    decimal::push(year, into);
    for (separator, number) in [
        ('-', month),
        ('-', day),
        ('T', seconds / 3600 % 24),
        (':', seconds / 60 % 60),
        (':', seconds % 60),
    ] {
        into.push(separator);
        push_padded(number, 2, into);
    }
    into.push('.');
    push_padded(milliseconds.into(), 3, into);
    into.push('Z');
}

/// The date of a day, counted from the first of 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Counted from the first of March of the year 0: the day that a leap year adds is the last of its year, and that of a
    // fourth century the last of its 400 years.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, of_year - (153 * from_march + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn moments_by_the_calendar() {
        for (seconds, milliseconds, expected) in [
            (0, 0, "1970-01-01T00:00:00.000Z"),
            (951_782_399, 7, "2000-02-28T23:59:59.007Z"),
            (951_782_400, 42, "2000-02-29T00:00:00.042Z"),
            (1_709_251_199, 999, "2024-02-29T23:59:59.999Z"),
            (4_107_542_400, 100, "2100-03-01T00:00:00.100Z"),
            (253_402_300_800, 0, "10000-01-01T00:00:00.000Z"),
        ] {
            let time = SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + milliseconds);
            assert_eq!(of(time), expected);
        }
    }
}
