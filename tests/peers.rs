//! Real peers through the example gateway: Node's `ws` and Python's `websockets` as client and as server, curl, and
//! Chromium on the demo page.
//!
//! What a machine lacks is skipped with a printed line. With `SWITCHOVER_PEERS=required` a skip is a failure. The
//! programs' packages are looked for in `tests/peers/`: `node_modules` and `venv`, which `.ci/run` installs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A program that prints `listening ADDRESS`, and ends with this value.
struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(command: &mut Command) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let mut output = BufReader::new(child.stdout.take().expect("its output is piped"));
        let mut line = String::new();
        output.read_line(&mut line).expect("its output can be read");
        let address = line.trim().rsplit(' ').next().unwrap_or_default().to_owned();
        assert!(
            line.starts_with("listening"),
            "it prints that it listens, not {line:?}"
        );
        // What else it prints is read, so that it never waits for that.
        std::thread::spawn(move || output.lines().for_each(drop));
        Server { child, address }
    }

    fn gateway(arguments: &[&str]) -> Server {
        Server::start(
            Command::new(gateway_program())
                .args(["--listen", "127.0.0.1:0"])
                .args(arguments),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Cargo builds the examples along with the tests, beside them.
fn gateway_program() -> PathBuf {
    let tests = std::env::current_exe().expect("the test has a path");
    let target = tests
        .parent()
        .and_then(Path::parent)
        .expect("it lies in target/PROFILE/deps");
    let program = target.join("examples").join("gateway");
    if !program.exists() {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--example", "gateway"])
            .status();
        assert!(
            built.is_ok_and(|status| status.success()),
            "the example gateway builds"
        );
    }
    program
}

fn peers() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers")
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(peers().join(script)).current_dir(peers());
    command
}

fn python(script: &str) -> Command {
    let mut command = Command::new(peers().join("venv/bin/python"));
    command.arg(peers().join(script)).current_dir(peers());
    command
}

/// Whether a program can be had here. If not, the test is skipped, or fails where peers are required.
fn has(what: &str, found: bool) -> bool {
    if !found {
        println!("skipped: {what} is not installed");
        let required = std::env::var_os("SWITCHOVER_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "{what} is required here");
    }
    found
}

fn has_node() -> bool {
    has(
        "Node's ws",
        runs(Command::new("node").arg("--version")) && peers().join("node_modules/ws").exists(),
    )
}

fn has_python() -> bool {
    has(
        "Python's websockets",
        runs(Command::new(peers().join("venv/bin/python")).args(["-c", "import websockets"])),
    )
}

fn runs(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn passes(client: &mut Command) {
    let output = client.output().expect("the client starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("ok "),
        "{text}\n{errors}"
    );
}

fn through_the_gateway(server: &mut Command, client: Command) {
    let server = Server::start(server);
    let address = &server.address;
    let port = address.rsplit(':').next().unwrap_or_default();
    let gateway = Server::gateway(&["--route", &format!("/=ws://127.0.0.1:{port}")]);
    let mut client = client;
    passes(client.arg(format!("ws://{}/", gateway.address)));
}

#[test]
fn node_client_and_node_server() {
    if has_node() {
        through_the_gateway(&mut node("ws_server.mjs"), node("ws_client.mjs"));
    }
}

#[test]
fn python_client_and_node_server() {
    if has_node() && has_python() {
        through_the_gateway(&mut node("ws_server.mjs"), python("websockets_client.py"));
    }
}

#[test]
fn node_client_and_python_server() {
    if has_node() && has_python() {
        through_the_gateway(&mut python("websockets_server.py"), node("ws_client.mjs"));
    }
}

#[test]
fn python_client_and_python_server() {
    if has_python() {
        through_the_gateway(
            &mut python("websockets_server.py"),
            python("websockets_client.py"),
        );
    }
}

#[test]
fn both_clients_and_the_demo() {
    if has_node() && has_python() {
        let gateway = Server::gateway(&[]);
        let url = format!("ws://{}/echo", gateway.address);
        passes(node("ws_client.mjs").args([&url, "--without-deflate"]));
        passes(python("websockets_client.py").args([&url, "--without-deflate"]));
    }
}

#[test]
fn curl_shows_the_101() {
    if !has("curl", runs(Command::new("curl").arg("--version"))) {
        return;
    }
    let gateway = Server::gateway(&[]);
    let output = Command::new("curl")
        .args(["--silent", "--include", "--max-time", "2", "--http1.1"])
        .args([
            "--header",
            "Connection: Upgrade",
            "--header",
            "Upgrade: websocket",
        ])
        .args([
            "--header",
            "Sec-WebSocket-Version: 13",
            "--header",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ])
        .arg(format!("http://{}/echo", gateway.address))
        .output()
        .expect("curl starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{text}");
    assert!(
        text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"),
        "{text}"
    );
}

#[test]
fn chromium_on_the_demo_page() {
    let chromium = std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".to_owned());
    let found = Path::new(&chromium).exists() && peers().join("node_modules/playwright-core").exists();
    if !has("Chromium with playwright-core", found && has_node()) {
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
