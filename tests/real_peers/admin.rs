//! Chromium on the page of the gateway's administration.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use support::bounded::{self, PROGRAM_TIMEOUT};
use support::descriptors::may_hold;
use switchover::test_util::UPGRADE_REQUEST;

use crate::programs::{Server, has_chromium, node, passes};

/// The answer to `UPGRADE_REQUEST`, whose key is that of RFC 6455, section 1.3.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// How many tunnels the page is measured with, and the descriptors that each program needs for them.
const MANY: usize = 5000;
const DESCRIPTORS: u64 = 2 * MANY as u64 + 500;

/// The gateway with an administration, and the address of its page.
fn gateway(arguments: &[&str]) -> (Server, String) {
    let own = ["--admin", "0", "--tunnel-mode", "websocket"];
    let gateway = Server::gateway(&[&own, arguments].concat());
    let printed = gateway.prints("administration on ", 1);
    let page = printed[0].strip_prefix("administration on ").unwrap();
    let page = page.to_owned();
    (gateway, page)
}

fn head(stream: &mut TcpStream) -> Vec<u8> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a whole head");
        head.push(byte[0]);
    }
    head
}

fn tunnel(gateway: SocketAddr, path: &str) -> TcpStream {
    let mut stream = bounded::connect(gateway);
    let request = UPGRADE_REQUEST.replacen("/chat", path, 1);
    stream.write_all(request.as_bytes()).unwrap();
    assert!(head(&mut stream).starts_with(b"HTTP/1.1 101 "));
    stream
}

/// Reads frames until the Close with this code, and closes.
fn closed_with(mut stream: TcpStream, code: u16) -> thread::JoinHandle<()> {
    stream.set_read_timeout(Some(PROGRAM_TIMEOUT)).unwrap();
    thread::spawn(move || {
        let mut start = [0; 4];
        stream.read_exact(&mut start).expect("a Close");
        assert_eq!((start[0], u16::from_be_bytes([start[2], start[3]])), (0x88, code));
    })
}

#[test]
fn an_operator_sees_and_steers_the_gateway() {
    if !has_chromium() {
        return;
    }
    let echo = Server::start(&mut node("ws_server.mjs"));
    let scratch = support::scratch("admin-page");
    let file = scratch.join(format!("token-{}", std::process::id()));
    std::fs::write(&file, "0123456789abcdef\n").unwrap();
    let token_file = format!("--admin-token-file={}", file.display());
    for (screenshot, flag, token) in [
        ("open", None, None),
        ("token", Some(token_file.as_str()), Some("0123456789abcdef")),
    ] {
        let (route, gone) = (
            format!("--route=/=http://{}", echo.address),
            "--route=/gone=http://127.0.0.1:1",
        );
        let twins = format!("--route=/twins=http://{0},http://{0}", echo.address);
        let flags: Vec<&str> = [route.as_str(), gone, &twins].into_iter().chain(flag).collect();
        let (gateway, page) = gateway(&flags);
        let mut refused = bounded::connect(gateway.address);
        refused
            .write_all(
                UPGRADE_REQUEST
                    .replacen("/chat", "/gone?token=secret", 1)
                    .as_bytes(),
            )
            .unwrap();
        assert!(head(&mut refused).starts_with(b"HTTP/1.1 502 "));
        let ended = tunnel(gateway.address, "/room?token=secret");
        let others = ["/", "/"].map(|path| tunnel(gateway.address, path));
        let port = ended.local_addr().unwrap().port().to_string();
        let ended = closed_with(ended, 4001);
        // By the drain at the end.
        let others = others.map(|other| closed_with(other, 1001));
        let screenshots = scratch.join(screenshot);
        let mut chromium = node("browser_admin.mjs");
        passes(
            chromium
                .args([&page, "steer", &port])
                .arg(&screenshots)
                .args(token),
        );
        ended.join().expect("the tunnel that was ended has its code");
        for other in others {
            other.join().expect("the other tunnels went on until the drain");
        }
        println!("screenshots: {}-*.png", screenshots.display());
    }
    std::fs::remove_file(file).unwrap();
}

/// An origin that agrees to each upgrade and keeps it open.
fn silent_origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            head(&mut stream);
            stream.write_all(ANSWER).unwrap();
            open.push(stream);
        }
    });
    address
}

/// Asserts what is shown. How long frames took is printed: that depends on the machine and on what else it does.
#[test]
fn five_thousand_tunnels_are_one_page_of_a_hundred() {
    if !has_chromium() {
        return;
    }
    if !may_hold(DESCRIPTORS) {
        return;
    }
    let route = format!("--route=/=http://{}", silent_origin());
    let (gateway, page) = gateway(&[&route]);
    let open: Vec<_> = (0..MANY).map(|_| tunnel(gateway.address, "/")).collect();
    let mut chromium = node("browser_admin.mjs");
    let output = bounded::output(chromium.args([&page, "many", &open.len().to_string()]));
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{text}");
    assert!(output.status.success(), "{text}");
}
