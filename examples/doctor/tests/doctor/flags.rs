//! The flags, and the forms in which findings come.

use serde_json::{Value, json};

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
        format!("ws://{}/", closed_port()),
        format!("ws://{}/", origin.address),
    );
    let output = run(&["--json", "--header", "X-Quoted: \"a\\b\"", &outer, &inner]).await;
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).expect("its output is JSON");
    assert_eq!(told["lost_between"], json!([outer, inner]));
    let [fails, works] = &told["urls"].as_array().expect("a list")[..] else {
        panic!("{told}")
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
    let evidence = works["evidence"].as_array().expect("a list");
    assert!(evidence.contains(&json!("> X-Quoted: \"a\\b\"")), "{evidence:?}");
}
