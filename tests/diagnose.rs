//! The findings of attempts, by tables: one good attempt with one thing changed, and what is found.

use std::time::Duration;

use http::request::Parts;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Version, response};
use switchover::diagnose::{
    Answer, Attempt, Chain, Conversation, Diagnosis, Echo, End, Ending, Failure, Finding, Product, Severity,
    TlsFault, Variation,
};

const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const SAMPLE_ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn request() -> Parts {
    let builder = Request::get("http://chat.example/ws?room=1")
        .header("host", "chat.example")
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", SAMPLE_KEY)
        .header("origin", "http://chat.example")
        .header("sec-websocket-protocol", "chat")
        .header("cookie", "session=1");
    builder.body(()).unwrap().into_parts().0
}

type Fields = &'static [(&'static str, &'static str)];

fn response(status: u16, fields: Fields) -> response::Parts {
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = StatusCode::from_u16(status).unwrap();
    for (name, value) in fields {
        parts
            .headers
            .append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    parts
}

fn switched(fields: Fields) -> response::Parts {
    let mut parts = response(
        101,
        &[
            ("connection", "Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-accept", SAMPLE_ACCEPT),
        ],
    );
    parts
        .headers
        .insert("sec-websocket-protocol", HeaderValue::from_static("chat"));
    for (name, value) in fields {
        parts.headers.remove(*name);
        if !value.is_empty() {
            parts.headers.insert(*name, HeaderValue::from_static(value));
        }
    }
    parts
}

fn talked() -> Conversation {
    let pinged = Conversation::default().greeting(true).first_ping(true);
    pinged
        .short_message(Echo::Same)
        .large_message(Echo::Same)
        .half_close(true)
}

fn names(findings: &[Finding]) -> Vec<&'static str> {
    findings.iter().map(Finding::name).collect()
}

fn assert_finds(stimulus: &str, attempt: &Attempt, expected: &[&str]) {
    let findings = attempt.findings();
    assert_eq!(names(&findings), expected, "{stimulus}: {findings:#?}");
    let fails = findings
        .iter()
        .any(|finding| finding.severity() == Severity::Error);
    assert_eq!(attempt.works(), !fails && attempt.is_switched(), "{stimulus}");
}

#[test]
fn nothing_is_found_for_a_healthy_attempt() {
    let healthy = Attempt::new(request()).answered(switched(&[]));
    assert_finds("a good 101", &healthy, &[]);
    assert!(healthy.works());
    assert_finds("and frames", &healthy.clone().conversation(talked()), &[]);
    assert_finds(
        "and the origin has got it as it was sent",
        &healthy.arrived(request()),
        &[],
    );
    assert_finds("nothing is known yet", &Attempt::new(request()), &[]);
}

type Answers = &'static [(&'static str, u16, Fields, &'static str, &'static [&'static str])];

#[test]
fn an_answer_that_is_no_switch() {
    const NGINX: &str = "<html><center><h1>x</h1></center><hr><center>nginx/1.22.1</center></html>";
    let cases: Answers = &[
        ("a text", 200, &[], "welcome", &["upgrade-lost"]),
        (
            "a page",
            200,
            &[],
            "<html>welcome</html>",
            &["page-served", "upgrade-lost"],
        ),
        (
            "a page of a single-page application",
            200,
            &[("content-type", "text/html; charset=utf-8")],
            "<!-- app --><div id=root></div>",
            &["page-served", "upgrade-lost"],
        ),
        (
            "400 with a reason that is not known here",
            400,
            &[],
            "the tenant is missing",
            &["request-refused"],
        ),
        (
            "Socket.IO without affinity",
            400,
            &[],
            "{\"code\":1,\"message\":\"Session ID unknown\"}",
            &["session-unknown"],
        ),
        (
            "SignalR without affinity",
            404,
            &[],
            "No Connection with that ID",
            &["session-unknown"],
        ),
        (
            "Socket.IO without its query",
            400,
            &[],
            "{\"code\":0,\"message\":\"Transport unknown\"}",
            &["protocol-parameters"],
        ),
        (
            "Socket.IO without an upgrade",
            400,
            &[],
            "{\"code\":3,\"message\":\"Bad request\"}",
            &["upgrade-lost"],
        ),
        (
            "400 of Starlette",
            400,
            &[],
            "Invalid host header",
            &["host-refused"],
        ),
        (
            "403 of Vite",
            403,
            &[],
            "Blocked request. This host (\"a.example\") is not allowed.",
            &["host-refused"],
        ),
        ("421", 421, &[], "", &["host-refused"]),
        (
            "403 of Django",
            403,
            &[],
            "<title>403 Forbidden</title><p>CSRF verification failed. Request aborted.",
            &["csrf-refused"],
        ),
        ("no content", 204, &[], "", &["upgrade-lost"]),
        (
            "400, as Unexpected response code: 400",
            400,
            &[],
            "Bad Request",
            &["upgrade-lost"],
        ),
        ("400 by nginx itself", 400, &[], NGINX, &["bad-request"]),
        (
            "404 of the origin",
            404,
            &[],
            "Cannot GET /ws",
            &["not-found", "upgrade-lost"],
        ),
        ("404 by nginx itself", 404, &[], NGINX, &["not-found"]),
        (
            "426",
            426,
            &[("upgrade", "websocket")],
            "Upgrade Required",
            &["upgrade-lost"],
        ),
        (
            "426 of an older server",
            426,
            &[("sec-websocket-version", "8, 7")],
            "",
            &["version-refused"],
        ),
        (
            "426 that names 13",
            426,
            &[("sec-websocket-version", "13")],
            "",
            &["upgrade-lost"],
        ),
        ("501", 501, &[], "", &["upgrade-lost"]),
        ("505", 505, &[], "", &["http10-hop"]),
        (
            "to https",
            301,
            &[("location", "https://chat.example/ws?room=1")],
            "",
            &["redirect-to-tls"],
        ),
        (
            "to the slash",
            301,
            &[("location", "http://chat.example/ws/?room=1")],
            "",
            &["redirect-to-slash"],
        ),
        (
            "to the slash, path alone",
            308,
            &[("location", "/ws/")],
            "",
            &["redirect-to-slash"],
        ),
        (
            "to a login page",
            302,
            &[("location", "/login?next=/ws")],
            "",
            &["redirect-to-login"],
        ),
        (
            "to a login page over TLS",
            302,
            &[("location", "https://sso.example/oauth2/authorize?x=1")],
            "",
            &["redirect-to-login"],
        ),
        (
            "to another page",
            302,
            &[("location", "/home")],
            "",
            &["redirect"],
        ),
        ("to nowhere", 302, &[], "", &["redirect"]),
        ("304", 304, &[], "", &["unexpected-status"]),
        (
            "401",
            401,
            &[("www-authenticate", "Basic")],
            "",
            &["unauthorized"],
        ),
        ("403", 403, &[], "", &["forbidden"]),
        (
            "403 of Tornado",
            403,
            &[],
            "Cross origin websockets not allowed",
            &["origin-refused"],
        ),
        (
            "403 of this library",
            403,
            &[],
            "the Origin is not allowed\nOpen …\n",
            &["origin-refused"],
        ),
        (
            "403 with CORS",
            403,
            &[("access-control-allow-origin", "*")],
            "",
            &["forbidden", "cors-instead-of-origin"],
        ),
        (
            "405",
            405,
            &[("allow", "POST")],
            "",
            &["method-not-allowed", "upgrade-lost"],
        ),
        ("407", 407, &[], "", &["proxy-authentication"]),
        ("414", 414, &[], "", &["request-head-too-large"]),
        ("431", 431, &[], "", &["request-head-too-large"]),
        (
            "400 of nginx's limit",
            400,
            &[],
            "<title>400 Request Header Or Cookie Too Large</title>",
            &["request-head-too-large"],
        ),
        ("429", 429, &[], "", &["rate-limited"]),
        ("500", 500, &[], "", &["server-error"]),
        ("502", 502, &[("server", "nginx")], NGINX, &["bad-gateway"]),
        ("503", 503, &[], "", &["unavailable"]),
        ("504", 504, &[], "", &["gateway-timeout"]),
        (
            "Cloudflare's 521",
            521,
            &[("server", "cloudflare")],
            "",
            &["origin-unreachable"],
        ),
        ("Cloudflare's 524", 524, &[], "", &["gateway-timeout"]),
        ("Cloudflare's 526", 526, &[], "", &["origin-unreachable"]),
        (
            "a filter's page",
            503,
            &[],
            "blocked by FortiGuard Intrusion Prevention",
            &["content-inspection"],
        ),
        (
            "nginx on a TLS port",
            400,
            &[],
            "400 The plain HTTP request was sent to HTTPS port",
            &["plain-to-tls-port"],
        ),
        (
            "Go on a TLS port",
            400,
            &[],
            "Client sent an HTTP request to an HTTPS server.\n",
            &["plain-to-tls-port"],
        ),
        (
            "SockJS",
            400,
            &[],
            "Can \"Upgrade\" only to \"WebSocket\".",
            &["upgrade-lost"],
        ),
        (
            "SockJS, Connection",
            400,
            &[],
            "\"Connection\" must be \"Upgrade\".",
            &["connection-field-lost"],
        ),
        (
            "gorilla",
            400,
            &[],
            "the client is not using the websocket protocol: 'websocket' token not found in 'Upgrade' header",
            &["upgrade-field-lost"],
        ),
        (
            "coder",
            426,
            &[],
            "WebSocket protocol violation: Connection header \"close\" does not contain Upgrade",
            &["connection-field-lost"],
        ),
        (
            "Python",
            426,
            &[],
            "Failed to open a WebSocket connection: missing Upgrade header.\n",
            &["upgrade-field-lost"],
        ),
        (
            "this library, HTTP/1.0",
            426,
            &[],
            "a WebSocket handshake in an HTTP/1.0 request\nSpeak …\n",
            &["http10-hop"],
        ),
        (
            "this library, no route",
            404,
            &[],
            "there is no route for this host and path\n",
            &["not-found"],
        ),
    ];
    for (stimulus, status, fields, body, expected) in cases {
        let attempt = Attempt::new(request()).answered(Answer::from(response(*status, fields)).body(body));
        assert_finds(stimulus, &attempt, expected);
    }
}

#[test]
fn an_answer_in_http_1_0() {
    let mut answer = response(404, &[]);
    answer.version = Version::HTTP_10;
    let attempt = Attempt::new(request()).answered(answer);
    assert_finds(
        "404 in HTTP/1.0",
        &attempt,
        &["http10-hop", "not-found", "upgrade-lost"],
    );
    let mut answer = switched(&[]);
    answer.version = Version::HTTP_10;
    assert_finds(
        "101 in HTTP/1.0",
        &Attempt::new(request()).answered(answer),
        &["http10-hop"],
    );
}

#[test]
fn what_a_variation_tells() {
    let of = |status: StatusCode| Ok(Answer::from(status));
    let ok = of(StatusCode::SWITCHING_PROTOCOLS);
    let cases = [
        (403, Variation::WithoutOrigin, ok.clone(), "origin-refused"),
        (403, Variation::OwnOrigin, ok.clone(), "origin-refused"),
        (
            403,
            Variation::WithoutOrigin,
            of(StatusCode::FORBIDDEN),
            "forbidden",
        ),
        (
            400,
            Variation::WithoutSubprotocol,
            ok.clone(),
            "subprotocol-refused",
        ),
        (400, Variation::HostPort, ok.clone(), "host-refused"),
        (403, Variation::HostPort, ok, "host-refused"),
        (400, Variation::HostPort, of(StatusCode::OK), "upgrade-lost"),
        (
            400,
            Variation::WithoutUpgrade,
            of(StatusCode::OK),
            "handshake-refused",
        ),
        (
            400,
            Variation::WithoutUpgrade,
            of(StatusCode::BAD_REQUEST),
            "upgrade-lost",
        ),
        (
            400,
            Variation::WithoutUpgrade,
            of(StatusCode::BAD_GATEWAY),
            "upgrade-lost",
        ),
        (
            400,
            Variation::WithoutUpgrade,
            of(StatusCode::FOUND),
            "upgrade-lost",
        ),
        (
            400,
            Variation::WithoutUpgrade,
            Err(Failure::AnswerTimedOut),
            "upgrade-lost",
        ),
        (426, Variation::WithoutUpgrade, of(StatusCode::OK), "upgrade-lost"),
        (502, Variation::WithoutUpgrade, of(StatusCode::OK), "bad-gateway"),
    ];
    for (status, variation, varied, expected) in cases {
        let stimulus = format!("{status}, {variation:?} {varied:?}");
        let attempt = Attempt::new(request()).answered(response(status, &[]));
        assert_finds(&stimulus, &attempt.varied(variation, varied), &[expected]);
    }
}

#[test]
fn a_101_that_is_no_switch() {
    let cases: &[(&str, Fields, &[&str])] = &[
        ("no Accept", &[("sec-websocket-accept", "")], &["switch-invalid"]),
        (
            "another's Accept",
            &[("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA=")],
            &["accept-wrong"],
        ),
        ("no Upgrade", &[("upgrade", "")], &["switch-invalid"]),
        ("another Upgrade", &[("upgrade", "h2c")], &["switch-invalid"]),
        ("no Connection", &[("connection", "")], &["switch-invalid"]),
        (
            "Connection: close",
            &[("connection", "close")],
            &["switch-invalid"],
        ),
        (
            "an extension",
            &[("sec-websocket-extensions", "permessage-deflate")],
            &["extension-not-offered"],
        ),
        (
            "another subprotocol",
            &[("sec-websocket-protocol", "v2")],
            &["subprotocol-not-offered"],
        ),
        (
            "no subprotocol",
            &[("sec-websocket-protocol", "")],
            &["subprotocol-ignored"],
        ),
    ];
    for (stimulus, fields, expected) in cases {
        let attempt = Attempt::new(request())
            .answered(switched(fields))
            .conversation(talked());
        assert_finds(stimulus, &attempt, expected);
    }
}

#[test]
fn what_has_arrived() {
    type Change = fn(&mut Parts);
    let cases: &[(&str, Change, &[&str])] = &[
        ("as it was", |_| {}, &[]),
        (
            "upgrade in another case, and what proxies add",
            |parts| {
                parts
                    .headers
                    .insert("connection", HeaderValue::from_static("upgrade"));
                parts
                    .headers
                    .insert("x-forwarded-for", HeaderValue::from_static("192.0.2.1"));
                parts.headers.insert("via", HeaderValue::from_static("1.1 proxy"));
            },
            &[],
        ),
        (
            "without both",
            |parts| {
                parts.headers.remove("connection");
                parts.headers.remove("upgrade");
            },
            &["upgrade-lost"],
        ),
        (
            "without Upgrade",
            |parts| drop(parts.headers.remove("upgrade")),
            &["upgrade-field-lost"],
        ),
        (
            "Connection: close",
            |parts| {
                drop(
                    parts
                        .headers
                        .insert("connection", HeaderValue::from_static("close")),
                )
            },
            &["connection-field-lost"],
        ),
        (
            "in HTTP/1.0",
            |parts| parts.version = Version::HTTP_10,
            &["http10-hop"],
        ),
        (
            "in HTTP/1.0 without Upgrade",
            |parts| {
                parts.version = Version::HTTP_10;
                parts.headers.remove("upgrade");
            },
            &["http10-hop", "upgrade-field-lost"],
        ),
        (
            "without the key",
            |parts| drop(parts.headers.remove("sec-websocket-key")),
            &["key-changed"],
        ),
        (
            "with another key",
            |parts| {
                let key = HeaderValue::from_static("AQIDBAUGBwgJCgsMDQ4PEA==");
                parts.headers.insert("sec-websocket-key", key);
            },
            &["key-changed"],
        ),
        (
            "with version 8",
            |parts| {
                drop(
                    parts
                        .headers
                        .insert("sec-websocket-version", HeaderValue::from_static("8")),
                )
            },
            &["version-changed"],
        ),
        (
            "as a POST",
            |parts| parts.method = http::Method::POST,
            &["method-changed"],
        ),
        (
            "with a body",
            |parts| {
                drop(
                    parts
                        .headers
                        .insert("content-length", HeaderValue::from_static("5")),
                )
            },
            &["handshake-invalid"],
        ),
        (
            "with another Host",
            |parts| drop(parts.headers.insert("host", HeaderValue::from_static("backend"))),
            &["host-changed"],
        ),
        (
            "with an Origin made up",
            |parts| drop(parts.headers.insert("origin", HeaderValue::from_static("xxx"))),
            &["origin-changed"],
        ),
        (
            "without Origin",
            |parts| drop(parts.headers.remove("origin")),
            &["origin-changed"],
        ),
        (
            "at another path",
            |parts| parts.uri = "/chat/ws?room=1".parse().unwrap(),
            &["path-changed"],
        ),
        (
            "without the cookie",
            |parts| drop(parts.headers.remove("cookie")),
            &["fields-lost"],
        ),
        (
            "without subprotocols",
            |parts| drop(parts.headers.remove("sec-websocket-protocol")),
            &["fields-lost"],
        ),
        (
            "with another cookie",
            |parts| {
                drop(
                    parts
                        .headers
                        .insert("cookie", HeaderValue::from_static("session=2")),
                )
            },
            &["fields-changed"],
        ),
    ];
    for (stimulus, change, expected) in cases {
        let mut arrived = request();
        change(&mut arrived);
        // What the origin has answered then adds nothing to it.
        let switches = expected.iter().all(|name| {
            let diagnosis = Diagnosis::ALL.iter().find(|diagnosis| diagnosis.name() == *name);
            diagnosis.unwrap().severity() != Severity::Error
        });
        let answer = if switches {
            switched(&[])
        } else {
            response(400, &[])
        };
        let attempt = Attempt::new(request()).answered(answer).arrived(arrived);
        assert_finds(stimulus, &attempt, expected);
    }
}

#[test]
fn no_answer_and_no_frames() {
    let failed = |failure| Attempt::new(request()).failed(failure);
    assert_finds("refused", &failed(Failure::Refused), &["connection-refused"]);
    let silent = failed(Failure::AnswerTimedOut);
    assert_finds("silence", &silent, &["no-answer"]);
    let without = |answered| silent.clone().varied(Variation::WithoutUpgrade, answered);
    assert_finds(
        "silence to a page too",
        &without(Err(Failure::AnswerTimedOut)),
        &["no-answer", "upgrade-lost"],
    );
    assert_finds(
        "a page is there",
        &without(Ok(Answer::from(StatusCode::OK))),
        &["no-answer"],
    );
    let tls = Failure::Tls {
        fault: TlsFault::NotTls,
        hint: Some("…"),
    };
    assert_finds("no TLS", &failed(tls), &["tls-to-plain-port"]);
    let talked = Attempt::new(request()).answered(switched(&[]));
    let silent = talked
        .clone()
        .conversation(Conversation::default().first_ping(false).later_ping(false));
    assert_finds("101 and silence", &silent, &["no-frames"]);
    let end = End::new(Ending::Ended, Duration::from_secs(101), Duration::from_secs(100));
    let ended = talked.conversation(Conversation::default().first_ping(true).ended(end));
    assert_finds("ended when idle", &ended, &["idle-timeout"]);
    assert!(ended.findings()[0].sentence().contains("Cloudflare"));
    assert!(ended.works(), "a timeout is a warning");
}

#[test]
fn a_finding_tells_what_to_change_and_where() {
    let of = |server| {
        let mut answer = response(426, &[("x-powered-by", "Express")]);
        answer.headers.insert("server", HeaderValue::from_static(server));
        Attempt::new(request()).answered(answer).findings().remove(0)
    };
    let finding = of("nginx/1.22.1");
    assert_eq!(finding.diagnosis(), Diagnosis::UpgradeLost);
    assert_eq!(
        finding.seen(),
        Some("nginx/1.22.1 (Server), Express (X-Powered-By)")
    );
    let [(Product::Nginx, line)] = finding.lines()[..] else {
        panic!("{:?}", finding.lines())
    };
    assert!(line.contains("proxy_http_version 1.1"));
    assert!(
        finding
            .change()
            .contains("proxy_set_header Upgrade $http_upgrade")
    );
    assert!(finding.reference().starts_with("RFC 9110"));
    assert!(
        finding
            .to_string()
            .starts_with("error upgrade-lost: probably Upgrade and Connection"),
        "{finding}"
    );
    assert!(
        of("unreported of").lines().len() >= 8,
        "of all products, where none is known"
    );
}

fn chain(attempts: &[Attempt]) -> (Vec<Vec<&'static str>>, Option<(usize, usize)>) {
    let chain = Chain::new(attempts);
    (
        chain.findings().iter().map(|findings| names(findings)).collect(),
        chain.lost_between(),
    )
}

#[test]
fn the_hop_is_between_the_last_that_fails_and_the_first_that_works() {
    let good = || Attempt::new(request()).answered(switched(&[]));
    let bad = || Attempt::new(request()).answered(response(403, &[]));
    type Lost = Option<(usize, usize)>;
    let cases: Vec<(&str, Vec<Attempt>, Lost)> = vec![
        ("none", vec![], None),
        ("one that works", vec![good()], None),
        ("one that fails", vec![bad()], None),
        ("all work", vec![good(), good(), good()], None),
        ("all fail", vec![bad(), bad()], None),
        ("the outer one fails", vec![bad(), good(), good()], Some((0, 1))),
        ("two fail", vec![bad(), bad(), good()], Some((1, 2))),
        ("the innermost fails", vec![good(), bad()], None),
        ("two hops", vec![bad(), good(), bad(), good()], Some((2, 3))),
    ];
    for (stimulus, attempts, expected) in cases {
        assert_eq!(chain(&attempts).1, expected, "{stimulus}");
    }
}

#[test]
fn what_works_one_hop_further_in_tells_the_cause() {
    let inner = || Attempt::new(request()).answered(switched(&[]));
    let outer = |status| Attempt::new(request()).answered(response(status, &[]));
    let large = {
        let mut answer = switched(&[]);
        answer
            .headers
            .insert("set-cookie", HeaderValue::try_from("x".repeat(5000)).unwrap());
        Attempt::new(request()).answered(answer)
    };
    let status = |status: StatusCode| Ok(Answer::from(status));
    let plain = |answered| inner().varied(Variation::WithoutUpgrade, answered);
    let page = || plain(status(StatusCode::OK));
    let missing = || plain(status(StatusCode::NOT_FOUND));
    let failed = |failure| Attempt::new(request()).failed(failure);
    let of_nginx =
        Attempt::new(request()).answered(Answer::from(response(404, &[])).body("<hr><center>nginx</center>"));
    let cases: Vec<(&str, Attempt, Attempt, &[&str])> = vec![
        (
            "502 and a large head",
            outer(502),
            large,
            &["response-head-too-large", "bad-gateway"],
        ),
        ("502 and a small one", outer(502), inner(), &["bad-gateway"]),
        ("404, as to a page", outer(404), missing(), &["upgrade-lost"]),
        (
            "404, and a page is there",
            outer(404),
            page(),
            &["not-found", "upgrade-lost"],
        ),
        (
            "500, as to a page",
            outer(500),
            plain(status(StatusCode::INTERNAL_SERVER_ERROR)),
            &["upgrade-lost"],
        ),
        ("500, and a page is there", outer(500), page(), &["server-error"]),
        ("404 of nginx's own", of_nginx, missing(), &["not-found"]),
        (
            "405, as to a page",
            outer(405),
            plain(status(StatusCode::METHOD_NOT_ALLOWED)),
            &["upgrade-lost"],
        ),
        (
            "silence, as to a page",
            failed(Failure::AnswerTimedOut),
            plain(Err(Failure::AnswerTimedOut)),
            &["upgrade-lost"],
        ),
        (
            "silence, and a page is there",
            failed(Failure::AnswerTimedOut),
            page(),
            &["no-answer"],
        ),
        (
            "504, and silence to a page",
            outer(504),
            plain(Err(Failure::AnswerTimedOut)),
            &["upgrade-lost"],
        ),
        (
            "502 at once, and silence to a page",
            outer(502),
            plain(Err(Failure::AnswerTimedOut)),
            &["bad-gateway"],
        ),
        (
            "502, and a page is answered by closing",
            outer(502),
            plain(Err(Failure::Closed)),
            &["upgrade-lost", "bad-gateway"],
        ),
        (
            "closed, as to a page",
            failed(Failure::Closed),
            plain(Err(Failure::Closed)),
            &["upgrade-lost"],
        ),
        (
            "reset, and silence to a page",
            failed(Failure::Reset),
            plain(Err(Failure::AnswerTimedOut)),
            &["reset-unanswered"],
        ),
        (
            "403",
            outer(403),
            plain(status(StatusCode::FORBIDDEN)),
            &["forbidden"],
        ),
    ];
    for (stimulus, outer, inner, expected) in cases {
        let (found, lost) = chain(&[outer, inner]);
        assert_eq!(found[0], expected, "{stimulus}");
        assert_eq!(lost, Some((0, 1)), "{stimulus}");
    }
}

/// A loss is supposed from two answers, and certain only where the request that arrived was seen. A reason is shown.
#[test]
fn a_loss_is_certain_only_where_it_was_seen() {
    let inner = || Attempt::new(request()).answered(switched(&[]));
    let no_tenant = |status| Answer::from(response(status, &[])).body("no tenant");
    let outer = |answer: Answer| Attempt::new(request()).answered(answer);
    let first = |outer: Attempt, inner: Attempt| {
        let chain = Chain::new(&[outer, inner]);
        let names = names(&chain.findings()[0]);
        (
            names,
            chain.findings()[0][0].is_certain(),
            chain.findings()[0][0].sentence(),
        )
    };
    type Case = (&'static str, Attempt, Attempt, &'static [&'static str], bool);
    let cases: Vec<Case> = vec![
        (
            "the same words without Upgrade",
            outer(no_tenant(400)),
            inner().varied(Variation::WithoutUpgrade, Ok(no_tenant(400))),
            &["upgrade-lost"],
            false,
        ),
        (
            "other words without Upgrade",
            outer(no_tenant(400)),
            inner().varied(
                Variation::WithoutUpgrade,
                Ok(Answer::from(StatusCode::BAD_REQUEST)),
            ),
            &["request-refused"],
            true,
        ),
        (
            "the same words with another port in Host",
            outer(no_tenant(400)),
            inner()
                .varied(
                    Variation::WithoutUpgrade,
                    Ok(Answer::from(StatusCode::BAD_REQUEST)),
                )
                .varied(Variation::HostPort, Ok(no_tenant(400))),
            &["host-refused"],
            false,
        ),
        (
            "both, where nothing is known of the hop within",
            outer(no_tenant(400)).varied(Variation::WithoutUpgrade, Ok(no_tenant(400))),
            inner(),
            &["request-refused", "upgrade-lost"],
            true,
        ),
    ];
    for (stimulus, outer, inner, expected, certain) in cases {
        let (names, is_certain, sentence) = first(outer, inner);
        assert_eq!(names, expected, "{stimulus}");
        assert_eq!(is_certain, certain, "{stimulus}");
        assert!(sentence.contains("no tenant"), "{stimulus}: {sentence}");
    }
    let mut arrived = request();
    arrived.headers.remove("connection");
    arrived.headers.remove("upgrade");
    let seen = outer(no_tenant(400)).arrived(arrived);
    assert_eq!(names(&seen.findings()), ["upgrade-lost"]);
    assert!(seen.findings()[0].is_certain(), "both ends were seen");
}

/// No status shows a loss, and no finding of one is certain by it.
#[test]
fn a_status_alone_is_no_certain_loss() {
    for status in (200..600).filter(|status| *status != 101) {
        let attempt = Attempt::new(request()).answered(response(status, &[]));
        for finding in attempt.findings() {
            let lost = finding.diagnosis() == Diagnosis::UpgradeLost;
            assert!(!lost || !finding.is_certain(), "{status}: {finding}");
            let number = status.to_string();
            assert!(
                finding.sentence().contains(&number),
                "{status} is not shown: {finding}"
            );
        }
    }
}

/// The reason that Autobahn gives, in the status line and nowhere else.
#[test]
fn a_reason_phrase_is_read_and_shown() {
    let answer = Answer::from(response(400, &[]))
        .reason("missing port in HTTP Host header 'a' and server runs on 9000");
    let attempt = Attempt::new(request()).answered(answer);
    assert_finds("Autobahn", &attempt, &["host-refused"]);
    let finding = attempt.findings().remove(0);
    assert!(
        finding.is_certain() && finding.sentence().contains("runs on 9000"),
        "{finding}"
    );
}

#[test]
fn a_head_that_is_too_large() {
    let large = || {
        let mut parts = request();
        parts
            .headers
            .insert("cookie", HeaderValue::try_from("x".repeat(5000)).unwrap());
        Attempt::new(parts)
    };
    let short = |attempt: Attempt, status: u16| {
        attempt.varied(Variation::ShortHead, Ok(Answer::from(response(status, &[]))))
    };
    let cases: Vec<(&str, Attempt, &[&str])> = vec![
        (
            "400",
            short(large().answered(response(400, &[])), 101),
            &["request-head-too-large"],
        ),
        (
            "500",
            short(large().answered(response(500, &[])), 101),
            &["request-head-too-large"],
        ),
        (
            "closed",
            short(large().failed(Failure::Closed), 101),
            &["request-head-too-large", "closed-unanswered"],
        ),
        (
            "400 to a short one too",
            short(large().answered(response(400, &[])), 400),
            &["upgrade-lost"],
        ),
        (
            "a short one has no session",
            short(large().answered(response(500, &[])), 401),
            &["server-error"],
        ),
        (
            "a head that is short itself",
            short(Attempt::new(request()).answered(response(500, &[])), 101),
            &["server-error"],
        ),
    ];
    for (stimulus, attempt, expected) in cases {
        assert_finds(stimulus, &attempt, expected);
    }
}

#[test]
fn a_body_without_end_is_noted() {
    let answer = Answer::from(response(200, &[("content-type", "text/event-stream")])).body("data: 1\n");
    let attempt = Attempt::new(request()).answered(answer.endless());
    assert_finds("events", &attempt, &["upgrade-lost", "body-incomplete"]);
}

#[test]
fn the_manual_has_every_name() {
    let manual = include_str!("../src/manual/diagnose.md");
    for diagnosis in Diagnosis::ALL {
        assert!(manual.contains(&format!("`{diagnosis}`")), "{diagnosis}");
    }
}
