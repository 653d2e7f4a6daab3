//! What the guidelines for public items ask for and no lint holds.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use switchover::connect::ConnectError;
use switchover::handshake::{BadSwitch, OriginPattern, Rejection};
use switchover::header::{ForwardedRules, HeaderRules, Network, Protocol};
use switchover::http1::{HeadLimits, parse_request};
use switchover::proxy_protocol::ProxyAcceptError;
use switchover::route::RoutePattern;
use switchover::tls::{TlsClientConfig, TlsConnect, TlsServerConfig};
use switchover::{Cause, TcpConnect};

fn io_error() -> io::Error {
    io::Error::other("the tap is dry")
}

fn head_error(head: &str) -> switchover::http1::HeadError {
    parse_request(head.as_bytes(), &HeadLimits::default()).expect_err("a head that is refused")
}

/// A reader of a chain of errors sees each sentence once.
#[test]
fn no_message_repeats_its_source() {
    let connect = |error| ConnectError::Failed {
        name: "origin:80".to_owned(),
        error,
    };
    let malformed = || head_error("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n");
    let protocol = "a b".parse::<Protocol>().unwrap_err();
    let errors: Vec<Box<dyn Error>> = vec![
        Box::new(connect(io_error())),
        Box::new(ConnectError::Http2(io_error())),
        Box::new(ConnectError::Unsuited(Box::new(io_error()))),
        Box::new(Cause::Io(io_error())),
        Box::new(Cause::Connect(connect(io_error()))),
        Box::new(Cause::Head(malformed())),
        Box::new(Cause::Switch(BadSwitch::UpgradeInvalid(protocol))),
        Box::new(Cause::TimedOut(Duration::from_secs(1))),
        Box::new(Rejection::from(malformed())),
        Box::new(Rejection::from(head_error("GET  / HTTP/1.1\r\n\r\n"))),
        Box::new(Rejection::from(head_error("GET /a b HTTP/1.1\r\n\r\n"))),
        Box::new(Rejection::from(head_error("GET / HTTP/1.1\r\n\r\n"))),
        Box::new(Rejection::Upgrade(protocol)),
        Box::new("http//a".parse::<OriginPattern>().unwrap_err()),
        Box::new("a b/".parse::<RoutePattern>().unwrap_err()),
        Box::new("nowhere".parse::<Network>().unwrap_err()),
        Box::new(ProxyAcceptError::from(io_error())),
        Box::new(
            HeaderRules::default()
                .set_on_request("X", "$nothing")
                .unwrap_err(),
        ),
        Box::new(ForwardedRules::default().via("a b").unwrap_err()),
        Box::new(TlsServerConfig::from_pem("", "").unwrap_err()),
        Box::new(
            TlsClientConfig::builder()
                .only_roots("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n")
                .build()
                .unwrap_err(),
        ),
        Box::new(
            TlsClientConfig::system()
                .and_then(|config| TlsConnect::new(TcpConnect::to("a:1"), "a b", config))
                .unwrap_err(),
        ),
    ];
    for error in errors {
        let mut above = error.to_string();
        let mut next = error.source();
        while let Some(below) = next {
            let message = below.to_string();
            assert!(!above.contains(&message), "{above:?} repeats {message:?}");
            above = message;
            next = below.source();
        }
    }
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => sources(&path, found),
            false if path.extension().is_some_and(|extension| extension == "rs") => found.push(path),
            false => {}
        }
    }
}

/// The same of every variant, by how it is written: a message that shows the value within and hands it out as its source too.
#[test]
fn no_error_shows_what_it_hands_out_as_its_source() {
    let mut files = Vec::new();
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
    let (mut messages, mut wrong) = (0, Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for variant in text.split("#[error(").skip(1) {
            let Some((message, rest)) = variant.split_once(")]") else {
                continue;
            };
            messages += 1;
            // Up to the next variant or the end of the type.
            let item = rest.split("\n    /// ").next().unwrap_or(rest);
            let item = item.split("\n}").next().unwrap_or(item);
            let shows_first =
                message.contains("{0}") && (item.contains("#[from]") || item.contains("#[source]"));
            let shows_named = message.contains("{source}");
            if shows_first || shows_named {
                wrong.push(format!("{}: {message}", file.display()));
            }
        }
    }
    assert!(messages > 100, "only {messages} messages");
    assert!(wrong.is_empty(), "{wrong:#?}");
}
