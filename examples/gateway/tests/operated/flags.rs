//! Command lines that are wrong: each error names what was wrong, and what to write instead.

use crate::program::refusal;

#[tokio::test]
async fn what_is_wrong_and_what_to_write_instead() {
    let cases: &[(&[&str], &str)] = &[
        (
            &["--lisen", "127.0.0.1:0"],
            "--lisen: there is no such flag; see --help",
        ),
        (&["--lisen"], "--lisen: there is no such flag; see --help"),
        (&["chat"], "chat: there is no such flag; see --help"),
        (&["--listen"], "--listen needs a value"),
        (
            &["--listen", "localhost"],
            "--listen localhost: an address is HOST:PORT, as in 127.0.0.1:8080",
        ),
        (&["--listen", ":65536"], "an address is HOST:PORT"),
        (&["--set-header", "Host: ${Server_Name}"], "$server_name"),
        (&["--set-header", "X: $host $server_name"], "$server_name"),
        (&["--listen", "127.0.0.1:65536"], "an address is HOST:PORT"),
        (&["--health", "here"], "--health here: an address is HOST:PORT"),
        (&["--route", "/chat"], "a route is [HOST]/PREFIX=URL"),
        (&["--route", "/=127.0.0.1:9000"], "a URL begins with http://"),
        (&["--route", "chat=http://a:1"], "as in /chat or example.com/chat"),
        (&["--route", "/=http://a/b c"], "no spaces"),
        (&["--route", "/=http://a:", "--log", "none"], "--log none"),
        (&["--route", "/=HTTP://a", "--log", "none"], "--log none"),
        (&["--route", "/=ftp://a"], "none of http, https, ws and wss"),
        (&["--route", "/=unix:a.sock"], "unix:/PATH"),
        (
            &["--route", "/=http://a;weight=0"],
            "weight=0: expected a whole number above zero",
        ),
        (
            &["--route", "/=http://a;speed=9"],
            "none of weight=N, max-tunnels=N, backup and resolve=DURATION",
        ),
        (
            &["--route", "/=http://a", "--route", "/=http://b"],
            "/ has a route already",
        ),
        (&["--balance", "fastest"], "round-robin, least-tunnels"),
        (&["--workers", "0"], "expected a whole number above zero"),
        (&["--read-timeout", "5"], "as in 500ms, 2s, 10m or 1h"),
        (
            &["--ping-interval", "5s"],
            "--ping-interval needs --tunnel-mode websocket",
        ),
        (&["--tunnel-mode", "frames"], "expected stream or websocket"),
        (&["--evacuate", "soon"], "expected a duration"),
        (&["--rebalance", "5"], "--rebalance needs --evacuate"),
        (
            &["--evacuate-ejected", "5s"],
            "--evacuate-ejected needs --evacuate",
        ),
        (
            &["--evacuate", "1m", "--evacuate-close", "1012"],
            "--evacuate-close needs --tunnel-mode websocket",
        ),
        (
            &["--tunnel-mode", "websocket", "--drain-close", "bye"],
            "as in '1012 back in a minute'",
        ),
        (
            &["--tunnel-mode", "websocket", "--drain-close", "999"],
            "1000 to 4999",
        ),
        (&["--set-header", "X"], "a field is NAME: VALUE"),
        (
            &["--set-header", "X: $tls"],
            "there is no variable $tls; there are $args",
        ),
        (&["--allow-upgrade", "web socket"], "a protocol is a token"),
        (&["--allow-origin", "example.com"], "an origin is scheme://host"),
        (&["--log", "all"], "expected warn, info or debug"),
        (
            &["--tls-cert", "a.pem"],
            "--tls-cert and --tls-key need each other",
        ),
    ];
    for (arguments, words) in cases {
        let output = refusal("gateway", arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        assert!(errors.contains(words), "{arguments:?}: {errors}");
    }
}

/// Others may have set it for all gateways alike: it is named, and nothing more.
#[tokio::test]
async fn flags_that_change_nothing_are_named() {
    let cases: [(&[&str], &str); 5] = [
        (
            &["--access-log-query", "drop"],
            "--access-log-query is for --access-log",
        ),
        (
            &[],
            "--upstream-ca is for https and wss servers, and no --route has one",
        ),
        (
            &["--allow-upgrade", "tcp", "--subprotocols", "tokens"],
            "--subprotocols tokens is for WebSockets, and --allow-upgrade names other protocols alone",
        ),
        (
            &["--allow-upgrade", "tcp", "--tunnel-mode", "websocket"],
            "--tunnel-mode websocket is for WebSockets",
        ),
        (
            &["--allow-upgrade", "H2C"],
            "an upgrade to h2c goes up without HTTP2-Settings",
        ),
    ];
    for (arguments, words) in cases {
        // The file that is not there ends the program behind them.
        let always = ["--upstream-ca", "/none", "--route", "/=http://a"];
        let output = refusal("gateway", &[arguments, &always].concat()).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains(words), "{arguments:?}: {errors}");
        assert!(
            errors.contains("--upstream-ca /none: "),
            "{arguments:?}: {errors}"
        );
    }
}

#[tokio::test]
async fn what_is_asked_of_the_program_itself() {
    for (flag, start) in [
        ("--help", "An HTTP gateway"),
        ("-h", "An HTTP gateway"),
        ("--version", concat!("gateway ", env!("CARGO_PKG_VERSION"))),
        ("-V", "gateway "),
    ] {
        let output = refusal("gateway", &[flag]).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.starts_with(start),
            "{flag}: {text}"
        );
    }
}
