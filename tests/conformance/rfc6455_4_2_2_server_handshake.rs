//! RFC 6455, section 4.2.2, and the client's checks of section 4.1: which 101 makes a switch.

use std::collections::HashSet;

use http::Version;
use switchover::handshake::{BadSwitch, HandshakePolicy, PendingUpgrade, UpgradeRequest, Verdict};
use switchover::header::{Forwarding, Hop, ProtocolError};

use crate::parsed::{request, response};

const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

fn asked() -> PendingUpgrade {
    let parts = request(
        "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket, echo/2\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Protocol: chat, superchat\r\n\
         Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-other\r\n\r\n",
    )
    .unwrap();
    let policy = HandshakePolicy::default().allow("echo/2".parse().unwrap());
    let upgrade = UpgradeRequest::parse(&parts, &policy).unwrap().unwrap();
    upgrade.forward(parts, Hop::unknown(), &Forwarding::default()).1
}

fn changed(part: &str, by: &str) -> String {
    assert!(GOOD.contains(part), "{part:?}");
    GOOD.replacen(part, by, 1)
}

fn judge(head: &str) -> Result<Verdict, BadSwitch> {
    asked().judge(response(head).unwrap())
}

#[test]
fn the_good_answer_and_harmless_variations() {
    let good: &[(&str, &str, Option<&str>)] = &[
        ("HTTP", "HTTP", None),
        ("Switching Protocols", "", None),
        ("Upgrade: websocket", "Upgrade: WebSocket", None),
        (
            "Connection: Upgrade",
            "Connection: keep-alive\r\nConnection: upgrade",
            None,
        ),
        (
            ACCEPT,
            "sec-websocket-accept:\ts3pPLMBiTxaQ9kYGzzhZRbK+xOo= \r\n",
            None,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
            Some("chat"),
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: superchat\r\n\r\n",
            Some("superchat"),
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n",
            None,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: X-Other, permessage-deflate\r\n\r\n",
            None,
        ),
        ("\r\n\r\n", "\r\nContent-Length: 0\r\n\r\n", None),
        ("\r\n\r\n", "\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    ];
    for (part, by, subprotocol) in good {
        let head = changed(part, by);
        let Ok(Verdict::Switched(switched)) = judge(&head) else {
            panic!("{head:?}: {:?}", judge(&head))
        };
        assert!(switched.protocol().is_websocket());
        assert_eq!(
            switched.subprotocol().map(|name| name.to_str().unwrap()),
            *subprotocol,
            "{head:?}"
        );
        let headers = &switched.response().headers;
        assert_eq!(headers["connection"], "upgrade", "{head:?}");
        assert_eq!(headers["upgrade"], "websocket", "{head:?}");
        assert_eq!(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        for name in ["content-length", "transfer-encoding"] {
            assert!(!headers.contains_key(name), "{head:?}");
        }
    }
}

#[test]
fn answers_101_that_are_no_switch() {
    let twice = format!("{ACCEPT}{ACCEPT}");
    let bad: &[(&str, &str, BadSwitch)] = &[
        ("HTTP/1.1", "HTTP/1.0", BadSwitch::Version),
        ("Connection: Upgrade\r\n", "", BadSwitch::Connection),
        ("Connection: Upgrade", "Connection: close", BadSwitch::Connection),
        (
            "Connection: Upgrade",
            "Connection: no-upgrade",
            BadSwitch::Connection,
        ),
        ("Upgrade: websocket\r\n", "", BadSwitch::UpgradeMissing),
        ("Upgrade: websocket", "Upgrade:", BadSwitch::UpgradeMissing),
        ("Upgrade: websocket", "Upgrade: h2c", BadSwitch::UpgradeNotOffered),
        (
            "Upgrade: websocket",
            "Upgrade: echo",
            BadSwitch::UpgradeNotOffered,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket/13",
            BadSwitch::UpgradeNotOffered,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket, echo/2",
            BadSwitch::UpgradeSeveral,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket\r\nUpgrade: websocket",
            BadSwitch::UpgradeRepeated,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket, WebSocket",
            BadSwitch::UpgradeRepeated,
        ),
        (
            "Upgrade: websocket",
            "Upgrade: websocket\r\nUpgrade: h2c",
            BadSwitch::UpgradeSeveral,
        ),
        (ACCEPT, "", BadSwitch::AcceptMissing),
        (ACCEPT, &twice, BadSwitch::AcceptRepeated),
        (ACCEPT, "Sec-WebSocket-Accept:\r\n", BadSwitch::AcceptWrong),
        (
            ACCEPT,
            "Sec-WebSocket-Accept: dGhlIHNhbXBsZSBub25jZQ==\r\n",
            BadSwitch::AcceptWrong,
        ),
        ("xOo=", "xOo", BadSwitch::AcceptWrong),
        ("xOo=", "xoo=", BadSwitch::AcceptWrong),
        ("xOo=", "xOo= x", BadSwitch::AcceptWrong),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: other\r\n\r\n",
            BadSwitch::SubprotocolNotOffered,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: Chat\r\n\r\n",
            BadSwitch::SubprotocolNotOffered,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol:\r\n\r\n",
            BadSwitch::SubprotocolEmpty,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat, superchat\r\n\r\n",
            BadSwitch::SubprotocolSeveral,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat, other\r\n\r\n",
            BadSwitch::SubprotocolNotOffered,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat,\r\n\r\n",
            BadSwitch::SubprotocolNotOffered,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
            BadSwitch::SubprotocolRepeated,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: bbf-usp\r\n\r\n",
            BadSwitch::ExtensionNotOffered,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: x-other, unreported-of\r\n\r\n",
            BadSwitch::ExtensionNotOffered,
        ),
        (
            "\r\n\r\n",
            "\r\nSec-WebSocket-Extensions: x-other\r\nSec-WebSocket-Extensions: x-other\r\n\r\n",
            BadSwitch::ExtensionsRepeated,
        ),
    ];
    let mut causes: Vec<&BadSwitch> = Vec::new();
    for (part, by, expected) in bad {
        let head = changed(part, by);
        assert_eq!(judge(&head).unwrap_err(), *expected, "{head:?}");
        if !causes.contains(&expected) {
            causes.push(expected);
        }
    }
    // One word, one sentence and one remedy for each cause.
    for words in [
        |bad: &BadSwitch| bad.name().to_owned(),
        |bad: &BadSwitch| bad.to_string(),
        |bad: &BadSwitch| bad.hint().to_owned(),
    ] {
        let different: HashSet<String> = causes.iter().map(|bad| words(bad)).collect();
        assert_eq!(different.len(), causes.len(), "{different:#?}");
    }
    let error = judge(&changed("Upgrade: websocket", "Upgrade: (x)")).unwrap_err();
    assert!(matches!(error, BadSwitch::UpgradeInvalid(_)), "{error}");
}

/// RFC 6455, section 4.1: the client's offer is what the answer is measured by, whatever its syntax.
#[test]
fn subprotocols_are_selected_byte_for_byte() {
    let offers = [
        "Sec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
        "Sec-WebSocket-Protocol: x, SPDY/3.1+portforward.k8s.io, a:b, c=d==, x\r\n",
        "Sec-WebSocket-Protocol: x\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
        "Sec-WebSocket-Protocol:\r\nSec-WebSocket-Protocol: SPDY/3.1+portforward.k8s.io\r\n",
    ];
    for offer in offers {
        let parts = request(format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{offer}\r\n"
        ))
        .unwrap();
        let judge = |selected: &str| {
            let upgrade = UpgradeRequest::parse(&parts, &HandshakePolicy::default())
                .unwrap()
                .unwrap();
            let pending = upgrade
                .forward(parts.clone(), Hop::unknown(), &Forwarding::default())
                .1;
            let head = changed(
                "\r\n\r\n",
                &format!("\r\nSec-WebSocket-Protocol: {selected}\r\n\r\n"),
            );
            pending.judge(response(head).unwrap())
        };
        let judged = judge("SPDY/3.1+portforward.k8s.io");
        assert!(
            matches!(judged, Ok(Verdict::Switched(_))),
            "{offer:?}: {judged:?}"
        );
        for wrong in [
            "spdy/3.1+portforward.k8s.io",
            "SPDY/3.1",
            "portforward.k8s.io",
            "SPDY/3.1+portforward.k8s.io;x",
        ] {
            assert_eq!(
                judge(wrong).unwrap_err(),
                BadSwitch::SubprotocolNotOffered,
                "{offer:?}: {wrong}"
            );
        }
    }
}

#[test]
fn an_answer_with_more_extensions_than_anyone_needs() {
    let list = vec!["x-other"; 65].join(", ");
    let head = changed(
        "\r\n\r\n",
        &format!("\r\nSec-WebSocket-Extensions: {list}\r\n\r\n"),
    );
    assert_eq!(judge(&head).unwrap_err(), BadSwitch::TooManyExtensions);
    let list = vec!["websocket"; 65].join(", ");
    let head = changed("Upgrade: websocket", &format!("Upgrade: {list}"));
    assert_eq!(
        judge(&head).unwrap_err(),
        BadSwitch::UpgradeInvalid(ProtocolError::TooMany)
    );
}

#[test]
fn a_101_to_another_protocol_that_was_asked_for() {
    let head = changed("Upgrade: websocket", "Upgrade: Echo/2").replacen(ACCEPT, "", 1);
    let Ok(Verdict::Switched(switched)) = judge(&head) else {
        panic!("{:?}", judge(&head))
    };
    assert_eq!(switched.protocol().to_string(), "echo/2");
}

#[test]
fn answers_with_the_fields_of_a_switch_and_another_status() {
    for status in [200, 204, 299, 301, 400, 403, 404, 426, 500, 502, 599] {
        let head = changed("101 Switching Protocols", &format!("{status} x"));
        let Ok(Verdict::Declined(declined)) = judge(&head) else {
            panic!("{status}: {:?}", judge(&head))
        };
        assert_eq!(declined.response().status, status);
    }
}

#[test]
fn interim_answers_are_not_the_answer() {
    for (status, sent) in [(100, false), (102, true), (103, true), (199, true)] {
        let head = changed("101 Switching Protocols", &format!("{status} x"));
        let Ok(Verdict::Interim {
            pending,
            response: interim,
        }) = judge(&head)
        else {
            panic!("{status}: {:?}", judge(&head))
        };
        assert_eq!(interim.is_some(), sent, "{status}");
        if let Some(interim) = interim {
            assert_eq!(
                (interim.status.as_u16(), interim.version),
                (status, Version::HTTP_11)
            );
            for name in ["connection", "upgrade", "content-length", "transfer-encoding"] {
                assert!(!interim.headers.contains_key(name), "{status} {name}");
            }
        }
        assert!(
            matches!(pending.judge(response(GOOD).unwrap()), Ok(Verdict::Switched(_))),
            "after {status}"
        );
    }
}

#[test]
fn nominated_fields_of_a_switch() {
    let head = changed(
        "Connection: Upgrade",
        "Connection: Upgrade, X-Secret, Sec-WebSocket-Accept\r\nX-Secret: 1\r\nX-Kept: 2",
    );
    let Ok(Verdict::Switched(switched)) = judge(&head) else {
        panic!("{:?}", judge(&head))
    };
    let headers = &switched.response().headers;
    assert!(!headers.contains_key("x-secret"));
    assert_eq!(
        (&headers["x-kept"], headers["connection"].as_bytes()),
        (&"2".parse().unwrap(), &b"upgrade"[..])
    );
    assert!(headers.contains_key("sec-websocket-accept"), "protected");
}

/// RFC 6455, section 5.2: a reserved bit "MUST be 0 unless an extension is negotiated that defines meanings for non-zero
/// values".
#[test]
fn which_reserved_bits_the_extensions_need() {
    for (extensions, bits) in [
        ("", [false; 3]),
        ("permessage-deflate", [true, false, false]),
        (
            "PerMessage-Deflate; client_max_window_bits=10",
            [true, false, false],
        ),
        ("x-other", [true; 3]),
        ("permessage-deflate, x-other", [true; 3]),
    ] {
        let line = match extensions {
            "" => String::new(),
            extensions => format!("Sec-WebSocket-Extensions: {extensions}\r\n"),
        };
        let head = changed("\r\n\r\n", &format!("\r\n{line}\r\n"));
        let Ok(Verdict::Switched(switched)) = judge(&head) else {
            panic!("{extensions}")
        };
        assert_eq!(switched.reserved_bits(), bits, "{extensions}");
    }
    let head = changed("Upgrade: websocket", "Upgrade: echo/2");
    let Ok(Verdict::Switched(switched)) = judge(&head) else {
        panic!()
    };
    assert_eq!(switched.reserved_bits(), [false; 3]);
}
