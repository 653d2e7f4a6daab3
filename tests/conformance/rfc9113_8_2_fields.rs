//! RFC 9113, section 8.2: the fields that no HTTP/2 message has, and crumbs of cookies.

use switchover::handshake::Rejection;
use switchover::handshake::extended_connect::{MalformedConnect, PROTOCOL, to_upgrade};

use crate::rfc8441_4_extended_connect::{EXAMPLE, connect, key, lines};

fn with(fields: &[(&str, &str)]) -> Result<http::request::Parts, Rejection> {
    to_upgrade(
        connect("https://a/", &[EXAMPLE, fields].concat()),
        PROTOCOL,
        key(),
    )
}

#[test]
fn section_8_2_1_values_with_white_space_at_an_end() {
    for (value, good) in [
        ("a b", true),
        ("", true),
        ("a\tb", true),
        (" a", false),
        ("a ", false),
        ("\ta", false),
        ("a\t", false),
        (" ", false),
    ] {
        match with(&[("x-field", value)]) {
            Ok(upgrade) => assert!(good && upgrade.headers["x-field"] == value, "{value:?}"),
            Err(rejection) => assert!(
                !good && rejection == MalformedConnect::FieldValue.into(),
                "{value:?}"
            ),
        }
    }
}

#[test]
fn section_8_2_2_fields_of_an_http_1_connection() {
    for (name, value) in [
        ("connection", "upgrade"),
        ("connection", ""),
        ("upgrade", "websocket"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
    ] {
        let rejection = with(&[(name, value)]).unwrap_err();
        assert_eq!(
            (&rejection, rejection.status().as_u16()),
            (&MalformedConnect::ConnectionSpecific.into(), 400),
            "{name}"
        );
    }
}

#[test]
fn section_8_2_2_te_is_for_trailers_alone() {
    for (values, good) in [
        (&["trailers"][..], true),
        (&["Trailers"], true),
        (&["trailers", "trailers"], true),
        (&["gzip"], false),
        (&["trailers, gzip"], false),
        (&["trailers", "gzip"], false),
        (&[""], false),
    ] {
        let fields: Vec<_> = values.iter().map(|value| ("te", *value)).collect();
        match with(&fields) {
            Ok(upgrade) => {
                assert!(good, "{values:?}");
                assert_eq!(
                    upgrade.headers["connection"], "upgrade, te",
                    "RFC 9110, section 10.1.4"
                );
            }
            Err(rejection) => assert!(!good && rejection == MalformedConnect::Te.into(), "{values:?}"),
        }
    }
}

#[test]
fn section_8_2_3_crumbs_of_a_cookie_become_one_line() {
    let upgrade = with(&[
        ("cookie", "a=1"),
        ("x-between", "x"),
        ("cookie", "b=2"),
        ("cookie", "c=3; d=4"),
    ])
    .unwrap();
    let cookies: Vec<_> = lines(&upgrade.headers)
        .into_iter()
        .filter(|(name, _)| *name == "cookie")
        .collect();
    assert_eq!(cookies, [("cookie", "a=1; b=2; c=3; d=4")]);
}
