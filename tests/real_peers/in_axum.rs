//! Real clients and servers on both sides of an axum application, over TLS and HTTP/2.

use std::process::Command;

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::Request;
use axum::routing::get;
use switchover::tls::{TlsClientConfig, TlsConnect};

use crate::app::App;
use crate::over_tls::Files;
use crate::programs::{Server, has_curl, has_node, has_python, node, passes, python};

const MEBIBYTE: usize = 1024 * 1024;

/// `wss` into the application, and `wss` out of it.
fn through_the_app(test: &str, server: &mut Command, client: &mut Command) {
    let files = Files::new(test);
    let server = Server::start(server.env("TLS_CERT", &files.chain).env("TLS_KEY", &files.key));
    let roots = std::fs::read(&files.ca).expect("a file");
    let tls = TlsClientConfig::builder()
        .only_roots(roots)
        .build()
        .expect("roots");
    let connect = TlsConnect::to(format!("localhost:{}", server.address.port()), tls).expect("a name");
    let app = App::start(Some(&files), connect);
    let believing = client
        .env("NODE_EXTRA_CA_CERTS", &files.ca)
        .env("SSL_CERT_FILE", &files.ca);
    passes(believing.arg(format!("wss://{}/", app.address)));
}

#[test]
fn node_client_and_python_server() {
    if has_node() && has_python() {
        let (mut server, mut client) = (python("websockets_server.py"), node("ws_client.mjs"));
        through_the_app("app-node-python", &mut server, &mut client);
    }
}

#[test]
fn python_client_and_node_server() {
    if has_node() && has_python() {
        let (mut server, mut client) = (node("ws_server.mjs"), python("websockets_client.py"));
        through_the_app("app-python-node", &mut server, &mut client);
    }
}

/// An origin that says what it was asked.
fn origin() -> App {
    let reported = |request: Request| async {
        let (parts, body) = request.into_parts();
        let body = to_bytes(body, 2 * MEBIBYTE).await.expect("a whole body");
        let fields = ["upgrade", "http2-settings"].map(|name| parts.headers.contains_key(name));
        let via = parts.headers["via"].to_str().expect("a text").to_owned();
        format!("{} of {} bytes, {fields:?}, {via}", parts.method, body.len())
    };
    let large = get(|| async { Bytes::from(vec![b'x'; MEBIBYTE]) });
    App::serving(None, Router::new().route("/large", large).fallback(reported))
}

/// What curl is asked to speak, and what it and the application then speak.
struct Speaking {
    flag: &'static str,
    tls: bool,
    version: &'static str,
}

const SPEAKING: [Speaking; 5] = [
    Speaking {
        flag: "--http1.1",
        tls: false,
        version: "1.1",
    },
    // It asks for an upgrade to `h2c`, which is not for anyone behind the application.
    Speaking {
        flag: "--http2",
        tls: false,
        version: "1.1",
    },
    Speaking {
        flag: "--http2-prior-knowledge",
        tls: false,
        version: "2",
    },
    Speaking {
        flag: "--http1.1",
        tls: true,
        version: "1.1",
    },
    Speaking {
        flag: "--http2",
        tls: true,
        version: "2",
    },
];

/// The answer, and what curl says of it: the status and the version.
fn curl(app: &App, files: &Files, speaking: &Speaking, path: &str, more: &[&str]) -> (Vec<u8>, String) {
    let scheme = if speaking.tls { "https" } else { "http" };
    let written = files.ca.with_file_name("answer");
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "20", "--cacert"])
        .arg(&files.ca)
        .args(["--write-out", "%{http_code} %{http_version}", "--output"])
        .arg(&written)
        .arg(speaking.flag)
        .args(more)
        .arg(format!("{scheme}://{}{path}", app.address))
        .output()
        .expect("curl starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {path}: {errors}", speaking.flag);
    let said = String::from_utf8(output.stdout).expect("a text");
    (std::fs::read(written).unwrap_or_default(), said)
}

#[test]
fn curl_over_each_version() {
    if !has_curl() {
        return;
    }
    let files = Files::new("app-curl");
    let upload = files.ca.with_file_name("upload");
    std::fs::write(&upload, vec![b'y'; MEBIBYTE]).expect("a file");
    let upload = format!("@{}", upload.display());
    let origin = origin();
    for speaking in SPEAKING {
        let connect = switchover::TcpConnect::to(origin.address.to_string());
        let app = App::start(speaking.tls.then_some(&files), connect);
        let asked = |path: &str, more: &[&str]| {
            let (body, said) = curl(&app, &files, &speaking, path, more);
            assert_eq!(
                said,
                format!("200 {}", speaking.version),
                "{} {path}",
                speaking.flag
            );
            body
        };
        let via = match speaking.version {
            "2" => "2.0 switchover",
            _ => "1.1 switchover",
        };
        let get = format!("GET of 0 bytes, [false, false], {via}");
        assert_eq!(String::from_utf8_lossy(&asked("/page", &[])), get);
        let post = format!("POST of {MEBIBYTE} bytes, [false, false], {via}");
        // Without waiting for a word that the body is welcome, and with.
        for expectation in ["Expect:", "Expect: 100-continue"] {
            let body = asked("/form", &["--data-binary", &upload, "--header", expectation]);
            assert_eq!(String::from_utf8_lossy(&body), post);
        }
        assert!(asked("/large", &[]) == vec![b'x'; MEBIBYTE]);
        assert!(asked("/large", &["--head"]).starts_with(b"HTTP/"));
        let version = if speaking.version == "2" {
            "HTTP/2.0"
        } else {
            "HTTP/1.1"
        };
        let asked = app.asked();
        assert!(
            asked.len() == 5 && asked.iter().all(|line| line.ends_with(version)),
            "{asked:?}"
        );
    }
    assert!(origin.asked().iter().all(|line| line.ends_with("HTTP/1.1")));
}
