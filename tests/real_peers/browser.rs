//! Chromium on the pages of the examples, over HTTP/1.1 and over HTTP/2.

use std::path::Path;
use std::process::Command;

use crate::over_tls::Files;
use crate::programs::{Server, executable, has_chromium, node, passes};

/// How many WebSockets the script opens.
const OPENED: usize = 16;

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

    // The same over TLS, which is over HTTP/2.
    let files = Files::new("chromium-demo");
    let gateway = files.gateway(&[]);
    passes(
        node("browser.mjs")
            .env("TLS_CERT", &files.chain)
            .arg(format!("https://localhost:{}/", gateway.address.port()))
            .arg(&screenshot),
    );
}

/// What the example has printed, and the heads of the requests that the echo behind it has seen.
struct Seen {
    printed: Vec<String>,
    heads: Vec<String>,
}

impl Seen {
    /// The example with an echo behind it that speaks permessage-deflate, and Chromium in front.
    fn of(test: &str, flags: &[&str], protocol: &str) -> Seen {
        let upstream = Server::start(&mut node("ws_server.mjs"));
        Seen::behind(test, &upstream.address.to_string(), &upstream, flags, protocol)
    }

    /// The same, where another program stands between the example and the echo.
    fn behind(test: &str, next: &str, echo: &Server, flags: &[&str], protocol: &str) -> Seen {
        let files = Files::new(test);
        let mut program = Command::new(executable("http2_websocket"));
        program
            .args(["127.0.0.1:0", next])
            .args([&files.chain, &files.key]);
        let example = Server::start(program.args(flags));
        let mut chromium = node("browser_live.mjs");
        passes(
            chromium
                .env("TLS_CERT", &files.chain)
                .args([&page_of(&example), protocol]),
        );
        Seen {
            // The end of a tunnel is the last that is reported of it.
            printed: example.prints("websocket: ", OPENED),
            heads: echo.prints("opened ", OPENED),
        }
    }

    /// What stands behind this, in the lines that begin with it.
    fn printed(&self, start: &str) -> Vec<&str> {
        let rests = self.printed.iter().filter_map(|line| line.strip_prefix(start));
        rests.collect()
    }
}

fn page_of(example: &Server) -> String {
    format!("https://localhost:{}/", example.address.port())
}

/// A connection of HTTP/2 carries the page and all WebSockets, each an extended CONNECT (RFC 8441). The upstream sees
/// upgrades of HTTP/1.1, with keys that are not the browser's: it has sent none.
#[test]
fn chromium_over_http_2() {
    if !has_chromium() {
        return;
    }
    let seen = Seen::of("chromium-h2", &[], "h2");
    let connections = seen.printed("connection: ");
    // One, and others that Chromium has opened before it knew what is spoken here. Not one for each WebSocket.
    assert!(connections.len() < OPENED / 2, "{connections:?}");
    assert!(
        connections.iter().all(|agreed| *agreed == "h2"),
        "{connections:?}"
    );
    assert_eq!(seen.printed("CONNECT "), ["/live HTTP/2.0"; OPENED]);
    assert_eq!(seen.printed("GET /live"), [""; 0]);
    let heads = seen.heads.iter().filter(|line| line.starts_with("opened "));
    for head in heads {
        for field in [
            "\"upgrade\":\"websocket\"",
            "\"sec-websocket-key\":\"",
            "\"sec-websocket-extensions\":\"permessage-deflate",
            "\"x-forwarded-proto\":\"https\"",
            "\"via\":\"2.0 switchover\"",
        ] {
            assert!(head.contains(field), "{field}: {head}");
        }
    }
}

/// The same application without HTTP/2: an upgrade on a connection of its own for each WebSocket.
#[test]
fn chromium_over_http_1() {
    if !has_chromium() {
        return;
    }
    let seen = Seen::of("chromium-http1", &["--http1"], "http/1.1");
    assert_eq!(seen.printed("GET /live "), ["HTTP/1.1"; OPENED]);
    assert_eq!(seen.printed("CONNECT "), [""; 0]);
    let connections = seen.printed("connection: ");
    assert!(connections.len() > OPENED);
    assert!(
        connections.iter().all(|agreed| *agreed == "http/1.1"),
        "{connections:?}"
    );
}

/// HTTP/2 on both sides: the upstream is HAProxy, in front of the same echo.
#[cfg(target_os = "linux")]
#[test]
fn chromium_and_an_upstream_over_http_2() {
    let kind = crate::proxies::Kind::HaproxyFromHttp2;
    if !has_chromium() || !kind.is_here() {
        return;
    }
    let echo = Server::start(&mut node("ws_server.mjs"));
    let haproxy = kind.start(echo.address);
    let next = format!("h2:{}", haproxy.address);
    let seen = Seen::behind("chromium-h2-h2", &next, &echo, &[], "h2");
    assert_eq!(seen.printed("CONNECT "), ["/live HTTP/2.0"; OPENED]);
}

/// The example alone, as its first line says to run it, on a port that is free.
#[test]
fn chromium_and_the_echo_of_the_example() {
    if !has_chromium() {
        return;
    }
    let example = Server::start(Command::new(executable("http2_websocket")).arg("127.0.0.1:0"));
    passes(node("browser_live.mjs").args([&page_of(&example), "h2", "--page-only"]));
}
