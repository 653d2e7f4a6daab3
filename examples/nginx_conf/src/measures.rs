//! Sizes, times and switches, as nginx writes them.

use std::time::Duration;

/// `512`, `8k`, `1m`, `2g`.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size, as in 512, 8k or 1m");
    let (number, unit) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 1 << 10),
        Some((at, 'm' | 'M')) => (&text[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&text[..at], 1 << 30),
        _ => (text, 1),
    };
    digits(number)
        .and_then(|number| number.checked_mul(unit))
        .ok_or_else(wrong)
}

/// `75`, `60s`, `1m30s`, `500ms`, `1d`. A number without a unit is one of seconds.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no time, as in 60, 500ms, 1m30s or 1d");
    let mut total = Duration::ZERO;
    let mut rest = text;
    // Each unit once, and smaller than the one before.
    let mut largest = u64::MAX;
    while !rest.is_empty() || text.is_empty() {
        let end = rest
            .find(|sign: char| !sign.is_ascii_digit())
            .unwrap_or(rest.len());
        let number = digits(&rest[..end]).ok_or_else(wrong)?;
        let unit_end = rest[end..]
            .find(|sign: char| !sign.is_ascii_alphabetic())
            .map_or(rest.len(), |length| end + length);
        let milliseconds: u64 = match &rest[end..unit_end] {
            "ms" => 1,
            "" | "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            "w" => 7 * 24 * 60 * 60 * 1000,
            "M" => 30 * 24 * 60 * 60 * 1000,
            "y" => 365 * 24 * 60 * 60 * 1000,
            _ => return Err(wrong()),
        };
        if milliseconds >= largest {
            return Err(wrong());
        }
        largest = milliseconds;
        let part = number.checked_mul(milliseconds).ok_or_else(wrong)?;
        total = total.checked_add(Duration::from_millis(part)).ok_or_else(wrong)?;
        rest = rest[unit_end..].trim_start_matches(' ');
    }
    // A hundred years are for ever, and can still be added to the clock.
    Ok(total.min(Duration::from_secs(100 * 365 * 24 * 60 * 60)))
}

/// `on` or `off`.
pub(crate) fn switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("{text:?} is neither on nor off")),
    }
}

/// A whole number.
pub(crate) fn number(text: &str) -> Result<usize, String> {
    digits(text)
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| format!("{text:?} is no number"))
}

fn digits(text: &str) -> Option<u64> {
    let all = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    all.then(|| text.parse().ok()).flatten()
}
