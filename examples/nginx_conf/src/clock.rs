//! A moment as logs write it, in UTC: the standard library knows no time zones.

use std::time::SystemTime;

const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

const DAYS: [&str; 7] = [
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
    "Tuesday",
    "Wednesday",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    seconds: u64,
    milliseconds: u32,
    year: u64,
    month: usize,
    day: u64,
}

impl Moment {
    pub(crate) fn of(time: SystemTime) -> Moment {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let days = since.as_secs() / (24 * 60 * 60);
        // Counted from the first of March, the day that a leap year adds is the last of its year, and of its 400 years.
        let shifted = days + 719_468;
        let (era, of_era) = (shifted / 146_097, shifted % 146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * of_year + 2) / 153;
        let month = (from_march as usize + 2) % 12;
        Moment {
            seconds: since.as_secs(),
            milliseconds: since.subsec_millis(),
            year: era * 400 + year_of_era + u64::from(month < 2),
            month,
            day: of_year - (153 * from_march + 2) / 5 + 1,
        }
    }

    fn time_of_day(self) -> String {
        let (seconds, minutes, hours) = (
            self.seconds % 60,
            self.seconds / 60 % 60,
            self.seconds / 3600 % 24,
        );
        format!("{hours:02}:{minutes:02}:{seconds:02}")
    }

    /// `20/Nov/2026:13:16:13 +0000`
    pub(crate) fn as_in_logs(self) -> String {
        let Moment { year, month, day, .. } = self;
        format!("{day:02}/{}/{year}:{} +0000", MONTHS[month], self.time_of_day())
    }

    /// `2026-11-20T13:16:13+00:00`
    pub(crate) fn in_iso_8601(self) -> String {
        let Moment { year, month, day, .. } = self;
        format!("{year}-{:02}-{day:02}T{}+00:00", month + 1, self.time_of_day())
    }

    /// `Friday, 20-Nov-2026 13:16:13 GMT`
    pub(crate) fn as_http_date(self) -> String {
        let Moment { year, month, day, .. } = self;
        let weekday = DAYS[(self.seconds / (24 * 60 * 60) % 7) as usize];
        format!(
            "{weekday}, {day:02}-{}-{year} {} GMT",
            MONTHS[month],
            self.time_of_day()
        )
    }

    /// `Fri, 20 Nov 2026 13:16:13 GMT` (RFC 9110, section 5.6.7).
    pub(crate) fn in_fields(self) -> String {
        let Moment { year, month, day, .. } = self;
        let weekday = &DAYS[(self.seconds / (24 * 60 * 60) % 7) as usize][..3];
        let month = MONTHS[month];
        format!("{weekday}, {day:02} {month} {year} {} GMT", self.time_of_day())
    }

    /// `Fri, 20-Nov-26 13:16:13 GMT`, as nginx writes it in cookies.
    pub(crate) fn in_cookies(self) -> String {
        let Moment { year, month, day, .. } = self;
        let weekday = &DAYS[(self.seconds / (24 * 60 * 60) % 7) as usize][..3];
        // Two digits are enough for clients to know the century until then.
        let year = if year > 2037 { year } else { year % 100 };
        format!(
            "{weekday}, {day:02}-{}-{year:02} {} GMT",
            MONTHS[month],
            self.time_of_day()
        )
    }

    /// The moment that a field gives.
    pub(crate) fn read(text: &str) -> Option<SystemTime> {
        let mut words = text.split_once(", ")?.1.split(' ');
        let day: u64 = words.next()?.parse().ok()?;
        let month = words.next()?;
        let month = MONTHS.iter().position(|known| *known == month)? as u64;
        let year: u64 = words.next()?.parse().ok()?;
        let mut time = words.next()?.split(':').map(|part| part.parse::<u64>().ok());
        let (hours, minutes, seconds) = (time.next()??, time.next()??, time.next()??);
        // A leap second is one.
        let is_sound = (1..=31).contains(&day) && hours < 24 && minutes < 60 && seconds <= 60;
        if !is_sound || year > 9999 {
            return None;
        }
        // As in `of`, the other way.
        let shifted_year = year.checked_sub(u64::from(month < 2))?;
        let (era, year_of_era) = (shifted_year / 400, shifted_year % 400);
        let from_march = (month + 10) % 12;
        let of_year = (153 * from_march + 2) / 5 + (day - 1);
        let of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year;
        let days = (era.checked_mul(146_097)? + of_era).checked_sub(719_468)?;
        let seconds = days.checked_mul(24 * 60 * 60)? + hours * 3600 + minutes * 60 + seconds;
        SystemTime::UNIX_EPOCH.checked_add(std::time::Duration::from_secs(seconds))
    }

    /// `1795180573.042`
    pub(crate) fn in_seconds(self) -> String {
        format!("{}.{:03}", self.seconds, self.milliseconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_says_when_and_is_read_again() {
        for (seconds, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_827_696, "Tue, 29 Feb 2000 12:34:56 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
        ] {
            let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
            assert_eq!(Moment::of(time).in_fields(), text);
            assert_eq!(Moment::read(text), Some(time), "{text}");
        }
        for text in [
            "",
            "now",
            "Thu, 01 Jan",
            "Thu, 00 Jan 0000 00:00:00 GMT",
            "Thu, 1 X 1970 0:0:0 GMT",
            "Thu, 18446744073709551615 Jan 1970 00:00:00 GMT",
            "Thu, 01 Jan 18446744073709551615 00:00:00 GMT",
            "Thu, 01 Jan 1970 18446744073709551615:00:00 GMT",
            "Thu, 01 Jan 1970 00:18446744073709551615:00 GMT",
            "Thu, 01 Jan 1970 00:00:18446744073709551615 GMT",
        ] {
            assert_eq!(Moment::read(text), None, "{text}");
        }
    }
}
