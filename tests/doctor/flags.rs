//! The flags, and the forms in which findings come.

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
        (&["--timeout"], "--timeout needs a value"),
        (
            &["--listen", "127.0.0.1:0", "ws://a/"],
            "--listen goes without a URL",
        ),
        (&["--ca", "/no/such/file", "wss://a/"], "--ca /no/such/file"),
        (&["--unheard-of", "x", "ws://a/"], "there is no such flag"),
    ];
    for (arguments, words) in cases {
        let output = run(arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
    let output = run(&["--help"]).await;
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("--listen ADDR"));
}

#[tokio::test]
async fn json_has_the_names_that_stay() {
    let origin = origin();
    let (outer, inner) = (
        format!("ws://{}/\"", closed_port()),
        format!("ws://{}/", origin.address),
    );
    // A quotation mark is no part of a URL; in a field it has to be escaped.
    let outer = outer.trim_end_matches('"');
    let output = run(&["--json", "--header", "X-Quoted: \"a\\b\"", outer, &inner]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).expect("JSON is UTF-8");
    for part in [
        &format!("{{\"urls\":[{{\"url\":\"{outer}\",\"works\":false,\"status\":null,\"findings\":["),
        "{\"name\":\"connection-refused\",\"severity\":\"error\",\"certain\":true,\"sentence\":\"nobody listens",
        &format!(
            "{{\"url\":\"{inner}\",\"works\":true,\"status\":101,\"findings\":[],\"evidence\":[\"> GET / HTTP/1.1\""
        ),
        "\"> X-Quoted: \\\"a\\\\b\\\"\"",
        &format!("\"lost_between\":[\"{outer}\",\"{inner}\"]}}\n"),
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}
