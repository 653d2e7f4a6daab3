//! Chromium on the pages of the examples, over HTTP/1.1 and over HTTP/2.

use std::path::Path;
use std::process::Command;

use crate::over_tls::Files;
use crate::programs::{Server, example, has_chromium, node, passes};

/// How many WebSockets the script opens.
const OPENED: usize = 15;

#[test]
fn chromium_on_the_demo_page() {
    if !has_chromium() {
        return;
    }
    let gateway = Server::gateway(&[]);
    let screenshot = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo.png");
    passes(
        node("browser.mjs")
            .arg(format!("http://{}/", gateway.address))
            .arg(&screenshot),
    );
    println!("screenshot: {}", screenshot.display());
}

/// The example with an echo behind it that speaks permessage-deflate, and Chromium in front. Returns what the example has
/// printed, and the heads of the requests that the echo has seen.
fn live(test: &str, flags: &[&str], protocol: &str) -> (Vec<String>, Vec<String>) {
    let files = Files::new(test);
    let upstream = Server::start(&mut node("ws_server.mjs"));
    let example = Server::start(
        Command::new(example("http2_websocket"))
            .args(["127.0.0.1:0", &upstream.address.to_string()])
            .args([&files.chain, &files.key])
            .args(flags),
    );
    let url = format!("https://localhost:{}/", example.address.port());
    passes(
        node("browser_live.mjs")
            .env("TLS_CERT", &files.chain)
            .args([&url, protocol]),
    );
    // Each tunnel is told of when it has ended: all else has been printed by then.
    (
        example.prints("websocket: ", OPENED),
        upstream.prints("opened ", OPENED),
    )
}

fn starting<'a>(lines: &'a [String], start: &str) -> Vec<&'a str> {
    lines.iter().filter_map(|line| line.strip_prefix(start)).collect()
}

/// One connection of HTTP/2 carries the page and all WebSockets, each an extended CONNECT (RFC 8441). The upstream sees
/// upgrades of HTTP/1.1, with keys that are not the browser's: it has sent none.
#[test]
fn chromium_over_http_2() {
    if !has_chromium() {
        return;
    }
    let (printed, heads) = live("chromium-h2", &[], "h2");
    assert_eq!(starting(&printed, "connection: "), ["h2"]);
    assert_eq!(starting(&printed, "CONNECT "), ["/live HTTP/2.0"; OPENED]);
    assert_eq!(starting(&printed, "GET /live"), [""; 0]);
    for head in starting(&heads, "opened ") {
        println!("{head}");
        assert!(head.contains("\"x-forwarded-proto\":\"https\""), "{head}");
    }
}

/// The same application without HTTP/2: an upgrade on a connection of its own for each WebSocket.
#[test]
fn chromium_over_http_1() {
    if !has_chromium() {
        return;
    }
    let (printed, _) = live("chromium-http1", &["--http1"], "http/1.1");
    assert_eq!(starting(&printed, "GET /live "), ["HTTP/1.1"; OPENED]);
    assert_eq!(starting(&printed, "CONNECT "), [""; 0]);
    let connections = starting(&printed, "connection: ");
    assert!(connections.len() > OPENED);
    assert!(
        connections.iter().all(|agreed| *agreed == "http/1.1"),
        "{connections:?}"
    );
}
