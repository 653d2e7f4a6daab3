//! RFC 9110, section 5.3: a field that is no list stands in a message once.

use http::{Request, Version};
use switchover::http1::{HeadError, HeadLimits, check_request, check_request_within};

use crate::parsed::{request, response};

const OF_A_REQUEST: [(&str, &str, &str); 16] = [
    ("authorization", "Basic eDp5", "Bearer z"),
    ("content-location", "/a", "/b"),
    ("content-range", "bytes 0-1/2", "bytes 1-1/2"),
    ("content-type", "text/plain", "text/html"),
    ("date", "Sun, 06 Nov 1994 08:49:37 GMT", "x"),
    ("from", "a@example.com", "b@example.com"),
    ("if-match", "\"a\"", "\"b\""),
    ("if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", "x"),
    ("if-none-match", "\"a\"", "*"),
    ("if-range", "\"a\"", "\"b\""),
    ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", "x"),
    ("max-forwards", "1", "2"),
    ("origin", "https://a.example", "https://b.example"),
    ("range", "bytes=0-1", "bytes=1-2"),
    ("referer", "https://a.example/", "https://b.example/"),
    ("user-agent", "a", "b"),
];

/// Fields that are lists, or that clients do send in several lines.
const LISTS: [(&str, &str, &str); 14] = [
    ("accept", "text/html", "text/plain"),
    ("accept-encoding", "gzip", "br"),
    ("accept-language", "en", "de"),
    ("cache-control", "no-cache", "no-store"),
    ("content-encoding", "gzip", "br"),
    ("content-language", "en", "de"),
    ("cookie", "a=1", "b=2"),
    ("forwarded", "for=a", "for=b"),
    ("pragma", "no-cache", "x"),
    ("sec-websocket-protocol", "a", "b"),
    ("via", "1.1 a", "1.1 b"),
    ("warning", "110 a \"b\"", "111 a \"b\""),
    ("x-forwarded-for", "192.0.2.1", "192.0.2.2"),
    ("x-own", "1", "2"),
];

#[test]
fn repeated_singletons_of_a_request() {
    for (name, one, other) in OF_A_REQUEST {
        for (first, second) in [(one, other), (one, one), (one, ""), ("", one)] {
            let lines = format!("{name}: {first}\r\nX: y\r\n{}: {second}\r\n", name.to_uppercase());
            let error = request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n")).unwrap_err();
            assert_eq!(
                (error.name(), error.status().as_u16()),
                ("repeated-field", 400),
                "{lines:?}"
            );
            assert!(error.to_string().contains(name), "{error}");
            for version in [Version::HTTP_11, Version::HTTP_2] {
                let request = Request::get("http://a/").version(version).header("host", "a");
                let request = request.header(name, first).header(name, second);
                let (mut parts, ()) = request.body(()).unwrap().into_parts();
                assert_eq!(
                    check_request(&mut parts),
                    Err(error.clone()),
                    "{lines:?} {version:?}"
                );
            }
        }
        assert!(request(format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: {one}\r\n\r\n")).is_ok());
    }
}

#[test]
fn lists_in_several_lines_pass() {
    for (name, one, other) in LISTS {
        let lines = format!("{name}: {one}\r\n{name}: {other}\r\n");
        let parts = request(format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"));
        assert_eq!(parts.unwrap().headers.get_all(name).iter().count(), 2, "{name}");
    }
}

#[test]
fn singletons_of_a_response_that_differ() {
    for (name, one, other) in [
        ("location", "/a", "https://b.example/"),
        ("content-range", "bytes 0-1/9", "bytes 1-2/9"),
    ] {
        let head = |second: &str| {
            format!("HTTP/1.1 206 x\r\n{name}: {one}\r\nContent-Length: 2\r\n{name}: {second}\r\n\r\n")
        };
        let error = response(head(other)).unwrap_err();
        assert_eq!(error.name(), "repeated-field", "{name}");
        assert!(error.to_string().contains(name), "{error}");
        assert!(response(head(one)).is_ok(), "{name}");
    }
    for name in ["set-cookie", "content-type", "server", "date", "vary", "link"] {
        let head = format!("HTTP/1.1 200 x\r\n{name}: a\r\n{name}: b\r\n\r\n");
        assert!(response(head).is_ok(), "{name}");
    }
}

/// A head is within the same limits whichever parser has read it.
#[test]
fn limits_on_a_head_that_another_parser_has_read() {
    let small = HeadLimits::default().max_fields(4).max_bytes(200);
    let head = |version: Version, path: &str, fields: &[(&str, &str)]| {
        let request = Request::get(format!("http://a{path}"))
            .version(version)
            .header("host", "a");
        let request = fields
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        check_request_within(&mut parts, &small)
    };
    let (long, longer) = ("x".repeat(100), "x".repeat(200));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        assert_eq!(head(version, "/", &[("x", "1"); 3]), Ok(()));
        assert_eq!(
            head(version, "/", &[("x", "1"); 4]),
            Err(HeadError::TooManyFields { limit: 4 })
        );
        assert_eq!(head(version, "/", &[("x", &long)]), Ok(()));
        assert_eq!(
            head(version, "/", &[("x", &long), ("y", &long)]),
            Err(HeadError::TooLarge { limit: 200 })
        );
        let too_long = Err(HeadError::StartLineTooLong { limit: 200 });
        assert_eq!(head(version, &format!("/{longer}"), &[]), too_long);
    }
    // RFC 9113, section 8.2.3: crumbs of one field.
    assert_eq!(head(Version::HTTP_2, "/", &[("cookie", "a=1"); 8]), Ok(()));
    assert_eq!(
        head(Version::HTTP_11, "/", &[("cookie", "a=1"); 8]),
        Err(HeadError::TooManyFields { limit: 4 })
    );
    let mut parts = Request::get("http://a/")
        .version(Version::HTTP_2)
        .body(())
        .unwrap()
        .into_parts()
        .0;
    for number in 0..400 {
        let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
        parts.headers.insert(name, "1".parse().unwrap());
    }
    assert_eq!(
        check_request(&mut parts),
        Err(HeadError::TooManyFields { limit: 128 })
    );
}
