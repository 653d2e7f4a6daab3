//! The core between bytes of a client and bytes of an upstream, good ones and bad ones.

use std::net::IpAddr;

use header_rules::{Asked, Core, Decision, Judgement, Upstream};
use switchover::handshake::HandshakePolicy;
use switchover::http1::BodyLength;

const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7));

/// The handshake of RFC 6455, section 1.3, with lines more.
fn handshake(lines: &str) -> String {
    format!(
        "GET /chat/room?x=1 HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{lines}\r\n"
    )
}

const SWITCH: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn core() -> Core {
    let policy = HandshakePolicy::default()
        .refuse_incomplete_handshakes(true)
        .allow_origin("https://example.com".parse().unwrap())
        .allow_missing_origin(true);
    let upstream = |address: &str, path: Option<&str>| Upstream {
        address: address.to_owned(),
        path: path.map(str::to_owned),
    };
    Core::new(policy)
        .route("/chat".parse().unwrap(), upstream("chat:9000", Some("/ws")))
        .unwrap()
        .route("/files".parse().unwrap(), upstream("files:8000", None))
        .unwrap()
}

/// What goes upstream: its address, the lines of the head, and what the answer is measured by.
fn forwarded(core: &Core, request: &str) -> (String, Vec<String>, BodyLength, Asked) {
    match core.decide(request.as_bytes(), PEER) {
        Decision::Forward {
            upstream,
            head,
            body,
            consumed,
            asked,
        } => {
            assert!(request[..consumed].ends_with("\r\n\r\n"));
            (upstream.address.clone(), lines(&head), body, asked)
        }
        other => panic!("{request:?}: {other:?}"),
    }
}

fn lines(head: &[u8]) -> Vec<String> {
    let text = String::from_utf8(head.to_vec()).unwrap();
    let text = text.strip_suffix("\r\n\r\n").expect("a whole head");
    text.split("\r\n").map(str::to_owned).collect()
}

fn has(lines: &[String], wanted: &str) -> bool {
    lines.iter().any(|line| line == wanted)
}

fn asked(core: &Core) -> Asked {
    forwarded(core, &handshake("")).3
}

#[test]
fn a_handshake_goes_up_the_route_and_the_101_comes_down() {
    let core = core();
    let (upstream, head, _, asked) = forwarded(&core, &handshake(""));
    assert_eq!(upstream, "chat:9000");
    assert_eq!(head[0], "GET /ws/room?x=1 HTTP/1.1");
    for line in [
        "Connection: upgrade",
        "Upgrade: websocket",
        "X-Forwarded-For: 192.0.2.7",
    ] {
        assert!(has(&head, line), "{line}: {head:?}");
    }
    match core.judge(asked, format!("{SWITCH}first bytes").as_bytes()) {
        Judgement::Switched {
            head,
            consumed,
            protocol,
        } => {
            assert_eq!((consumed, protocol.name()), (SWITCH.len(), "websocket"));
            assert_eq!(lines(&head)[0], "HTTP/1.1 101 Switching Protocols");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn heads_that_arrive_byte_by_byte() {
    let (core, request) = (core(), handshake(""));
    for length in 0..request.len() {
        let decision = core.decide(&request.as_bytes()[..length], PEER);
        assert!(matches!(decision, Decision::ReadMore), "{length}: {decision:?}");
    }
    let mut asked = asked(&core);
    for length in 0..SWITCH.len() {
        asked = match core.judge(asked, &SWITCH.as_bytes()[..length]) {
            Judgement::ReadMore(asked) => asked,
            other => panic!("{length}: {other:?}"),
        };
    }
    assert!(matches!(
        core.judge(asked, SWITCH.as_bytes()),
        Judgement::Switched { .. }
    ));
}

#[test]
fn requests_that_are_refused_and_why() {
    let plain = handshake("");
    let cases = [
        (plain.replace("13\r\n", "12\r\n"), "426", "is not 13"),
        (
            plain.replace("HTTP/1.1", "HTTP/1.0"),
            "426",
            "proxy_http_version 1.1",
        ),
        (
            plain.replace("Upgrade: websocket\r\n", ""),
            "426",
            "no Upgrade field",
        ),
        (
            handshake("Origin: https://evil.example\r\n"),
            "403",
            "allow_origin",
        ),
        (handshake("Content-Length: 3\r\n"), "400", "with a body"),
        (handshake("Host: other\r\n"), "400", "Host"),
        (plain.replace("/chat", "/nowhere"), "404", "no route"),
        ("GET / HTTP/1.1\nHost: a\n\n".to_owned(), "400", "bare line feed"),
        (
            "POST /files HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
                .to_owned(),
            "400",
            "both",
        ),
    ];
    for (request, status, reason) in cases {
        match core().decide(request.as_bytes(), PEER) {
            Decision::Refuse(answer) => {
                let answer = String::from_utf8(answer).unwrap();
                assert!(
                    answer.starts_with(&format!("HTTP/1.1 {status} ")),
                    "{request:?}: {answer}"
                );
                assert!(answer.contains(reason), "{request:?}: {answer}");
                assert!(answer.contains("\r\nConnection: close"), "{answer}");
            }
            other => panic!("{request:?}: {other:?}"),
        }
    }
}

#[test]
fn what_a_client_claims_and_nominates_stays_here() {
    let lines = "Connection: x-forwarded-for, cookie, x-internal\r\nX-Forwarded-For: 6.6.6.6\r\n\
         Cookie: session=1\r\nX-Internal: 1\r\n";
    let ordinary = format!("GET /files HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    for request in [handshake(lines), ordinary] {
        let (_, head, ..) = forwarded(&core(), &request);
        assert!(has(&head, "X-Forwarded-For: 192.0.2.7"), "{head:?}");
        assert!(has(&head, "Cookie: session=1"), "{head:?}");
        assert!(
            !head
                .iter()
                .any(|line| line.contains("6.6.6.6") || line.starts_with("X-Internal"))
        );
        assert_eq!(
            head.iter().filter(|line| line.starts_with("Connection:")).count(),
            1
        );
    }
}

#[test]
fn an_ordinary_request_keeps_the_framing_of_its_body() {
    let cases = [
        ("Transfer-Encoding: chunked", BodyLength::Chunked),
        ("Content-Length: 5", BodyLength::Exactly(5)),
    ];
    for (line, expected) in cases {
        let request =
            format!("POST /files HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n{line}\r\n\r\n5\r\n");
        let (upstream, head, body, _) = forwarded(&core(), &request);
        assert_eq!((upstream.as_str(), body), ("files:8000", expected));
        assert!(has(&head, line) && has(&head, "Connection: close"), "{head:?}");
    }
}

#[test]
fn answers_to_an_upgrade_that_are_no_switch() {
    let core = core();
    let no_switch = [
        SWITCH.replace("s3pP", "S3pP"),
        SWITCH.replace("Connection: Upgrade\r\n", ""),
        SWITCH.replace("Upgrade: websocket", "Upgrade: h2c"),
        SWITCH.replace("HTTP/1.1", "HTTP/1.0"),
        "hello\r\n\r\n".to_owned(),
    ];
    for answer in no_switch {
        match core.judge(asked(&core), answer.as_bytes()) {
            Judgement::Refuse(bytes) => assert!(bytes.starts_with(b"HTTP/1.1 502 "), "{answer:?}"),
            other => panic!("{answer:?}: {other:?}"),
        }
    }
    let declined = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nno";
    match core.judge(asked(&core), declined.as_bytes()) {
        Judgement::Answer { head, body, consumed } => {
            assert_eq!((body, &declined[consumed..]), (BodyLength::Exactly(2), "no"));
            assert!(has(&lines(&head), "Connection: close"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn interim_answers_are_passed_on_before_the_answer() {
    let core = core();
    let hint = "HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n";
    let both = format!("{hint}{SWITCH}");
    let Judgement::Interim {
        head: Some(head),
        consumed,
        asked,
    } = core.judge(asked(&core), both.as_bytes())
    else {
        panic!("an interim answer")
    };
    assert_eq!((consumed, &head[..]), (hint.len(), hint.as_bytes()));
    let answer = core.judge(asked, &both.as_bytes()[consumed..]);
    assert!(matches!(answer, Judgement::Switched { .. }), "{answer:?}");
}

#[test]
fn answers_to_an_ordinary_request() {
    let core = core();
    let ask = |method: &str| {
        let request = format!("{method} /files HTTP/1.1\r\nHost: a\r\n\r\n");
        forwarded(&core, &request).3
    };
    let cases = [
        ("GET", "200 OK\r\nTransfer-Encoding: chunked", BodyLength::Chunked),
        ("GET", "200 OK\r\nContent-Length: 7", BodyLength::Exactly(7)),
        ("HEAD", "200 OK\r\nContent-Length: 7", BodyLength::None),
        ("GET", "200 OK\r\nX: y", BodyLength::UntilClose),
    ];
    for (method, answer, expected) in cases {
        match core.judge(ask(method), format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()) {
            Judgement::Answer { head, body, .. } => {
                assert_eq!(body, expected, "{answer:?}");
                let field = answer.split("\r\n").nth(1).unwrap();
                assert!(has(&lines(&head), field), "{answer:?}");
            }
            other => panic!("{answer:?}: {other:?}"),
        }
    }
    let unasked = core.judge(ask("GET"), SWITCH.as_bytes());
    assert!(matches!(unasked, Judgement::Refuse(_)), "{unasked:?}");
}
