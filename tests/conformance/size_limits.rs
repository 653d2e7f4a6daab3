//! RFC 9112, section 3, and RFC 9110, section 5.4: what is too large is refused, and the status says what was.

use switchover::http1::{HeadError, HeadLimits, Parsed, TargetError, parse_request};

use crate::parsed::{request, request_within, response_within};

fn small() -> HeadLimits {
    HeadLimits::default().max_bytes(200).max_fields(4)
}

/// A good request of exactly this many bytes, with the padding in a field or in the target.
fn padded(length: usize, in_target: bool) -> String {
    let (start, end) = if in_target {
        ("GET /", " HTTP/1.1\r\nHost: a\r\n\r\n")
    } else {
        ("GET / HTTP/1.1\r\nHost: a\r\nX: ", "\r\n\r\n")
    };
    format!("{start}{}{end}", "x".repeat(length - start.len() - end.len()))
}

#[test]
fn a_head_of_just_the_limit_and_one_byte_beyond() {
    assert!(request_within(padded(200, false), &small()).is_ok());
    let error = request_within(padded(201, false), &small()).unwrap_err();
    assert_eq!(
        (error.clone(), error.status().as_u16()),
        (HeadError::TooLarge { limit: 200 }, 431)
    );
    assert!(error.to_string().contains("200"), "names the limit: {error}");
}

#[test]
fn a_request_line_beyond_the_limit() {
    let error = request_within(padded(300, true), &small()).unwrap_err();
    assert_eq!(
        (error.clone(), error.status().as_u16()),
        (HeadError::StartLineTooLong { limit: 200 }, 414)
    );
    assert!(error.to_string().contains("200"), "names the limit: {error}");
}

#[test]
fn a_field_more_than_the_limit() {
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert!(request_within(fields(4), &small()).is_ok());
    let error = request_within(fields(5), &small()).unwrap_err();
    assert_eq!(
        (error.clone(), error.status().as_u16()),
        (HeadError::TooManyFields { limit: 4 }, 431)
    );
    assert!(error.to_string().contains('4'), "names the limit: {error}");
}

#[test]
fn the_limits_by_default() {
    assert!(request(padded(65_536, false)).is_ok());
    assert_eq!(
        request(padded(65_537, false)).unwrap_err(),
        HeadError::TooLarge { limit: 65_536 }
    );
    let fields = |count: usize| {
        format!(
            "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
            "X: y\r\n".repeat(count - 1)
        )
    };
    assert!(request(fields(128)).is_ok());
    assert_eq!(
        request(fields(129)).unwrap_err(),
        HeadError::TooManyFields { limit: 128 }
    );
}

#[test]
fn a_head_that_never_ends_is_refused_at_the_limit() {
    let endless: [(&str, &str, u16); 4] = [
        ("", "A", 414),
        ("", "\r\n", 414),
        ("GET / HTTP/1.1\r\nX: ", "x", 431),
        ("GET / HTTP/1.1\r\n", "X: y\r\n", 431),
    ];
    for (start, repeated, status) in endless {
        let bytes = format!("{start}{}", repeated.repeat(500));
        let error = parse_request(bytes.as_bytes(), &small()).unwrap_err();
        assert_eq!(error.status(), status, "{start:?} {repeated:?}: {error}");
    }
    let partial = parse_request(&[b'A'; 200], &small());
    assert!(
        matches!(partial, Ok(Parsed::Partial)),
        "up to the limit there is hope"
    );
}

#[test]
fn a_target_beyond_what_a_uri_may_be() {
    let limits = HeadLimits::default().max_bytes(1024 * 1024);
    let head = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(length - 1));
    let parse = |length| parse_request(head(length).as_bytes(), &limits);
    assert!(matches!(parse(65_534), Ok(Parsed::Complete { .. })));
    let error = parse(65_535).unwrap_err();
    assert_eq!(
        (error.clone(), error.status().as_u16()),
        (HeadError::Target(TargetError::TooLong), 414)
    );
}

#[test]
fn a_response_beyond_the_limits() {
    let status_line = format!("HTTP/1.1 200 {}\r\n\r\n", "x".repeat(300));
    let error = response_within(status_line, &small()).unwrap_err();
    assert_eq!(error, HeadError::StartLineTooLong { limit: 200 });
    let field = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(300));
    assert_eq!(
        response_within(field, &small()).unwrap_err(),
        HeadError::TooLarge { limit: 200 }
    );
    let fields = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(5));
    assert_eq!(
        response_within(fields, &small()).unwrap_err(),
        HeadError::TooManyFields { limit: 4 }
    );
}

#[test]
fn as_many_different_fields_as_the_most_generous_limits_let_through() {
    // No limit that can be set may lead to more fields than a map holds: that would be a panic.
    let limits = HeadLimits::default()
        .max_bytes(16 * 1024 * 1024)
        .max_fields(usize::MAX);
    for count in [1_000, 30_000, 100_000] {
        let mut head = String::from("GET / HTTP/1.1\r\nHost: a\r\n");
        for number in 0..count {
            head.push_str(&format!("X-{number}: y\r\n"));
        }
        head.push_str("\r\n");
        match parse_request(head.as_bytes(), &limits) {
            Ok(Parsed::Complete { parts, .. }) => assert_eq!(parts.headers.len(), count + 1),
            Ok(Parsed::Partial) => panic!("{count} fields: no end found"),
            Err(error) => assert_eq!(error.status(), 431, "{count} fields: {error}"),
        }
    }
}

#[test]
fn a_name_of_any_length() {
    let limits = HeadLimits::default().max_bytes(1024 * 1024);
    for length in [1, 64, 65, 32_767, 65_534, 65_535, 65_536, 100_000] {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{}: y\r\n\r\n", "x".repeat(length));
        match parse_request(head.as_bytes(), &limits) {
            Ok(Parsed::Complete { parts, .. }) => assert_eq!(parts.headers.len(), 2),
            Ok(Parsed::Partial) => panic!("{length}: no end found"),
            Err(error) => assert_eq!(error, HeadError::FieldName, "{length}"),
        }
    }
}
