//! The flags, and the forms in which findings come.

use serde_json::{Value, json};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin};

use crate::examined::{closed_port, origin, run};

#[tokio::test]
async fn wrong_flags_end_with_2() {
    let cases: &[(&[&str], &str)] = &[
        (&[], "a URL is needed"),
        (&["ftp://example.com/"], "ftp://example.com/: a URL begins with"),
        (&["ws://user@example.com/"], "--header 'Authorization"),
        (
            &["--timeout", "soon", "ws://a/"],
            "--timeout soon: expected a duration",
        ),
        (&["--header", "no colon", "ws://a/"], "NAME: VALUE"),
        (
            &["--header", "a b: c", "ws://a/"],
            "\"a b\" is no name of a field",
        ),
        (
            &["--origin", "a\nb", "ws://a/"],
            "has bytes that no field may have",
        ),
        (&["ws://a b/"], "not a URL, as ws://HOST:PORT/PATH"),
        (&["--listen", "localhost:9000"], "as in 127.0.0.1:9000"),
        (&["--timeout"], "--timeout needs a value"),
        (
            &["--listen", "127.0.0.1:0", "ws://a/"],
            "--listen goes without a URL",
        ),
        (&["--ca", "/no/such/file", "wss://a/"], "--ca /no/such/file"),
        (
            &["--listen", "127.0.0.1:0", "--json"],
            "--listen goes without --json",
        ),
        (
            &["--idle", "1s", "--listen", "127.0.0.1:0"],
            "--listen goes without --idle",
        ),
        (&["--subprotocol", "", "ws://a/"], "a subprotocol has a name"),
        (
            &["--subprotocol", "a\nb", "ws://a/"],
            "has bytes that no field may have",
        ),
        (&["--listen", ":99999"], "or a port of 127.0.0.1"),
        (&["WS://a..b/"], "a..b is not a host"),
        (&["ws://127.0.0.1:99999/"], "127.0.0.1:99999 is not a host"),
        (&["ws://127.0.0.1:90OO/"], "127.0.0.1:90OO"),
        (&["ws://a..b/"], "a..b is not a host"),
        (&["--unreported-of", "x", "ws://a/"], "there is no such flag"),
        (&["ws://a/", "--unreported-of"], "there is no such flag"),
        (&["--timeout", "9999999999h", "ws://a/"], "up to 1000h"),
        (&["--idle", "0s", "ws://a/"], "above zero"),
    ];
    for (arguments, words) in cases {
        let output = run(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    let unused: [(&[&str], &str); 2] = [
        (
            &["--ca", "/no/such/file", "ws://127.0.0.1:1/"],
            "--ca is for wss:// and https://",
        ),
        (
            &["--insecure", "--ca", "a.pem", "wss://127.0.0.1:1/"],
            "--ca changes nothing",
        ),
    ];
    for (arguments, words) in unused {
        let output = run(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        // Nobody listens there.
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    let output = run(&["--help"]).await;
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--listen ADDR"));
}

/// Every field stands in the table of the README.
fn in_table(readme: &str, path: &str, value: &Value) {
    match value {
        // Its keys are names of products.
        _ if path.ends_with(".lines") => {}
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                assert!(
                    readme.contains(&format!("| `{path}` |")),
                    "{path} is not in the table"
                );
                in_table(readme, &path, value);
            }
        }
        Value::Array(values) => {
            for value in values {
                in_table(readme, &format!("{path}[]"), value);
            }
        }
        _ => {}
    }
}

/// A body of each kind, and no secret of it or of the request.
#[tokio::test]
async fn json_shows_the_answer_and_no_secret() {
    let cases: &[(&str, &[u8], Value)] = &[
        (
            "",
            b"no tenant for s3cr3t-token\x1b[31m\n",
            json!({"kind": "text", "bytes": 32, "cut": false, "text": "no tenant for …\u{fffd}[31m"}),
        ),
        (
            "Content-Encoding: gzip\r\n",
            b"\x1f\x8b\x08\0\0",
            json!({"kind": "compressed", "bytes": 5, "cut": false, "text": null}),
        ),
        (
            "",
            b"\x89PNG\r\n\x1a\n\0\0",
            json!({"kind": "binary", "bytes": 10, "cut": false, "text": null}),
        ),
        (
            "Transfer-Encoding: chunked\r\n",
            b"3\r\nno\n\r\n0\r\n\r\n",
            json!({"kind": "text", "bytes": 3, "cut": false, "text": "no"}),
        ),
        ("", b"", Value::Null),
    ];
    for (fields, body, expected) in cases {
        let length = match fields.contains("chunked") {
            true => String::new(),
            false => format!("Content-Length: {}\r\n", body.len()),
        };
        let head = format!("HTTP/1.1 400 No way\r\nSet-Cookie: sid=abc123\r\n{fields}{length}\r\n");
        let answer = [head.as_bytes(), body].concat();
        let origin = ScriptedOrigin::start(Script::new().read_head().send(answer).close()).await;
        let url = format!("ws://{}/?key=s3cr3t-token", origin.address());
        let output = run(&["--json", "--header", "Authorization: Bearer 0123456789", &url]).await;
        let text = String::from_utf8(output.stdout).expect("its output is UTF-8");
        for secret in ["s3cr3t", "abc123", "0123456789"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        let reported: Value = serde_json::from_str(&text).expect("its output is JSON");
        let url = &reported["urls"][0];
        assert_eq!(
            (&url["status_line"], &url["body"]),
            (&json!("HTTP/1.1 400 No way"), expected),
            "{text}"
        );
        in_table(include_str!("../../README.md"), "", &reported);
    }
}

#[tokio::test]
async fn json_has_the_names_that_stay() {
    let origin = origin();
    let (outer, inner) = (
        format!("ws://{}/", closed_port()),
        format!("ws://{}/", origin.address),
    );
    let output = run(&["--json", "--header", "X-Quoted: \"a\\b\"", &outer, &inner]).await;
    assert_eq!(output.status.code(), Some(1));
    let reported: Value = serde_json::from_slice(&output.stdout).expect("its output is JSON");
    assert_eq!(reported["lost_between"], json!([outer, inner]));
    let [fails, works] = &reported["urls"].as_array().expect("a list")[..] else {
        panic!("{reported}")
    };
    assert_eq!(
        (&fails["url"], &fails["works"], &fails["status"]),
        (&json!(outer), &json!(false), &Value::Null)
    );
    let finding = &fails["findings"][0];
    assert_eq!(finding["name"], "connection-refused");
    assert_eq!(
        (&finding["severity"], &finding["certain"]),
        (&json!("error"), &json!(true))
    );
    assert_eq!(
        (&works["works"], &works["status"], &works["findings"]),
        (&json!(true), &json!(101), &json!([]))
    );
    assert_eq!(
        (&reported["format"], &reported["version"]),
        (&json!(1), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert!(
        reported["verdict"]
            .as_str()
            .is_some_and(|verdict| verdict.starts_with("It works at ws://")),
        "{reported}"
    );
    assert_eq!(works["status_line"], "HTTP/1.1 101 Switching Protocols");
    assert_eq!(
        (&works["body"], &fails["status_line"]),
        (&Value::Null, &Value::Null)
    );
    let readme = include_str!("../../README.md");
    in_table(readme, "", &reported);
    let evidence = works["evidence"].as_array().expect("a list");
    assert!(evidence.contains(&json!("> X-Quoted: \"a\\b\"")), "{evidence:?}");
}

#[tokio::test]
async fn the_origin_answers_a_head_without_content() {
    let origin = origin();
    for (method, has_content) in [("GET", true), ("HEAD", false)] {
        let mut client = ScriptedClient::connect(origin.address).await;
        client
            .send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"))
            .await;
        let head = client.head().await;
        assert_eq!(head.status, 200, "{method}");
        assert_ne!(head.headers["content-length"], "0", "{method}");
        assert_eq!(!client.rest().await.is_empty(), has_content, "{method}");
    }
}
