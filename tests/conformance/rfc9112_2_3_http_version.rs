//! RFC 9112, section 2.3: `HTTP/1.1` or `HTTP/1.0`, by case.

use http::Version;
use switchover::http1::HeadError;

use crate::parsed::{request, response};

const OTHERS: [&str; 15] = [
    "HTTP/2.0",
    "HTTP/2",
    "HTTP/3.0",
    "HTTP/1.2",
    "HTTP/0.9",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/1.10",
    "HTTP/11.1",
    "HTTP/01.1",
    "http/1.1",
    "Http/1.1",
    "HTTPS/1.1",
    "HTTP /1.1",
    "HTCPCP/1.0",
];

#[test]
fn the_two_versions_of_a_request() {
    for (text, version) in [("HTTP/1.1", Version::HTTP_11), ("HTTP/1.0", Version::HTTP_10)] {
        assert_eq!(
            request(format!("GET / {text}\r\nHost: a\r\n\r\n"))
                .unwrap()
                .version,
            version
        );
    }
}

#[test]
fn other_versions_of_a_request() {
    for text in OTHERS {
        let error = request(format!("GET / {text}\r\nHost: a\r\n\r\n")).unwrap_err();
        // RFC 9110, section 15.6.6: 505 is for a version, and not for what is none.
        let is_version = ["HTTP/2.0", "HTTP/3.0", "HTTP/1.2", "HTTP/0.9"].contains(&text);
        assert_eq!(error == HeadError::Version, is_version, "{text:?}: {error}");
        let status = if is_version { 505 } else { 400 };
        assert_eq!(error.status(), status, "{text:?}: {error}");
    }
}

#[test]
fn other_versions_of_a_response() {
    for text in OTHERS {
        let error = response(format!("{text} 200 OK\r\n\r\n")).unwrap_err();
        assert!(
            matches!(error, HeadError::Version | HeadError::StartLine),
            "{text:?}: {error}"
        );
    }
}

#[test]
fn the_connection_preface_of_http_2() {
    let error = request("PRI * HTTP/2.0\r\n\r\n").unwrap_err();
    assert_eq!(
        (error.clone(), error.status().as_u16()),
        (HeadError::Version, 505)
    );
}

#[test]
fn a_request_of_http_0_9() {
    for head in ["GET /\r\n\r\n", "GET / \r\n\r\n", "GET\r\n\r\n"] {
        let error = request(head).unwrap_err();
        assert_eq!(error.status(), 400, "{head:?}: {error}");
    }
}
