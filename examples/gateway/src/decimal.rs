//! Numbers as text, without the formatting machinery of the standard library, which costs more than the rest of a record.

/// The digits of the largest number.
const MOST: usize = 20;

/// Appends a number.
pub(crate) fn push(number: u64, into: &mut String) {
    push_padded(number, 1, into);
}

/// Appends a number with zeros in front, so that it has so many digits at least; at most 20.
pub(crate) fn push_padded(mut number: u64, digits: usize, into: &mut String) {
    let mut text = [b'0'; MOST];
    let mut at = MOST;
    while number > 0 {
        at -= 1;
        text[at] += (number % 10) as u8;
        number /= 10;
    }
    for digit in &text[at.min(MOST - digits.min(MOST))..] {
        into.push(char::from(*digit));
    }
}

/// Appends a number of thousandths with three digits behind the point.
pub(crate) fn push_thousandths(number: u64, into: &mut String) {
    push(number / 1000, into);
    into.push('.');
    push_padded(number % 1000, 3, into);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_the_standard_library_has_them() {
        for number in [0, 1, 9, 10, 99, 100, 12_345, u64::MAX / 10, u64::MAX] {
            let mut text = "x".to_owned();
            push(number, &mut text);
            push_padded(number, 3, &mut text);
            push_thousandths(number, &mut text);
            let (whole, rest) = (number / 1000, number % 1000);
            assert_eq!(text, format!("x{number}{number:03}{whole}.{rest:03}"));
        }
    }
}
