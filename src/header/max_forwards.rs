//! `Max-Forwards` counts the hops of an OPTIONS or a TRACE (RFC 9110, section 7.6.2). Other methods do not have it.

use http::Method;
use http::header::{HeaderValue, MAX_FORWARDS};

use crate::http1::AnyFields;

/// Whether a request has come as far as its client wants, and this proxy answers it "as the final recipient".
pub(crate) fn ends_here(method: &Method, fields: &impl AnyFields) -> bool {
    is_counted(method) && fields.first(&MAX_FORWARDS).and_then(number) == Some(0)
}

/// Counts the hop to the next recipient. A value that is no number is the origin's to judge.
pub(crate) fn count(method: &Method, fields: &mut impl AnyFields) {
    if !is_counted(method) {
        return;
    }
    let Some(left) = fields.first(&MAX_FORWARDS).and_then(number) else {
        return;
    };
    fields.set(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
}

fn is_counted(method: &Method) -> bool {
    *method == Method::OPTIONS || *method == Method::TRACE
}

/// `1*DIGIT`. One that is too large for this proxy becomes the largest that it supports, as the section permits.
fn number(digits: &[u8]) -> Option<u64> {
    let are_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    are_digits.then(|| {
        let digits = digits.iter().map(|digit| u64::from(digit - b'0'));
        digits.fold(0u64, |number, digit| {
            number.saturating_mul(10).saturating_add(digit)
        })
    })
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::*;

    #[test]
    fn values_by_method() {
        type Case = (&'static str, &'static str, bool, &'static str);
        let cases: [Case; 11] = [
            ("OPTIONS", "0", true, "0"),
            ("OPTIONS", "000", true, "0"),
            ("OPTIONS", "1", false, "0"),
            ("OPTIONS", "10", false, "9"),
            ("TRACE", "0", true, "0"),
            ("TRACE", "2", false, "1"),
            (
                "OPTIONS",
                "99999999999999999999999",
                false,
                "18446744073709551614",
            ),
            ("OPTIONS", "-1", false, "-1"),
            ("OPTIONS", "", false, ""),
            ("GET", "0", false, "0"),
            ("options", "0", false, "0"),
        ];
        for (method, value, ends, counted) in cases {
            let method: Method = method.parse().unwrap();
            let mut headers = HeaderMap::new();
            headers.insert(MAX_FORWARDS, HeaderValue::from_static(value));
            assert_eq!(ends_here(&method, &headers), ends, "{method} {value:?}");
            count(&method, &mut headers);
            assert_eq!(headers[MAX_FORWARDS], counted, "{method} {value:?}");
        }
        let mut none = HeaderMap::new();
        assert!(!ends_here(&Method::OPTIONS, &none));
        count(&Method::OPTIONS, &mut none);
        assert!(none.is_empty());
    }
}
