//! Programs that were not written for this crate: whether they are here, how they are started, and that they end.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use switchover::test_util::TIMEOUT;

use crate::bounded::output;
pub use crate::executable;

/// Longer than any of these programs takes to start, an interpreter on a busy machine among them.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A program that prints `listening ADDRESS` or `listening PORT`, and ends with this value.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
    output: mpsc::Receiver<String>,
}

impl Server {
    pub fn start(command: &mut Command) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        let output = BufReader::new(child.stdout.take().expect("its output is piped"));
        // All that it prints is read, so that it never waits for that, whether anyone asks or not.
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut server = Server {
            child,
            address: SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            output: lines,
        };
        let line = server.output.recv_timeout(START_TIMEOUT).unwrap_or_default();
        assert!(
            line.starts_with("listening"),
            "it prints that it listens, not {line:?}"
        );
        let place = line.trim().rsplit(' ').next().unwrap_or_default();
        server.address = match place.parse() {
            Ok(port) => SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            Err(_) => place.parse().expect("an address or a port"),
        };
        server
    }

    /// What it prints from here on, until so many lines begin like this.
    pub fn prints(&self, start: &str, count: usize) -> Vec<String> {
        let (mut printed, mut found) = (Vec::new(), 0);
        while found < count {
            let Ok(line) = self.output.recv_timeout(TIMEOUT) else {
                panic!("{found} lines and not {count} begin with {start:?}: {printed:#?}");
            };
            found += usize::from(line.starts_with(start));
            printed.push(line);
        }
        printed
    }

    /// Asks it to end, as its operator would.
    pub fn terminate(&self) {
        let id = self.child.id().to_string();
        assert!(
            runs(Command::new("kill").args(["-TERM", &id])),
            "it can be signalled"
        );
    }

    /// Whether it has ended, and well.
    #[cfg(target_os = "linux")]
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.try_wait().expect("a child can be asked");
        assert!(ended.is_none_or(|status| status.success()), "{ended:?}");
        ended.is_some()
    }

    /// The program gateway in front of one server, on a port of its own.
    pub fn gateway_to(upstream: SocketAddr) -> Server {
        Server::gateway(&["--route", &format!("/=http://{upstream}")])
    }

    /// The program gateway, on a port of its own.
    pub fn gateway(arguments: &[&str]) -> Server {
        Server::start(
            Command::new(executable("gateway"))
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

pub fn peers() -> PathBuf {
    crate::root().join("tests/peers")
}

pub fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(peers().join(script)).current_dir(peers());
    command
}

pub fn python(script: &str) -> Command {
    let mut command = Command::new(peers().join("venv/bin/python"));
    command.arg(peers().join(script)).current_dir(peers());
    command
}

/// Whether a program can be had here. If not, the test is skipped, or fails where peers are required.
pub fn has(what: &str, found: bool) -> bool {
    if !found {
        println!("skipped: {what} is not installed");
        let required = std::env::var_os("SWITCHOVER_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "{what} is required here");
    }
    found
}

pub fn has_node() -> bool {
    has(
        "Node's ws",
        runs(Command::new("node").arg("--version")) && peers().join("node_modules/ws").exists(),
    )
}

pub fn has_python() -> bool {
    has(
        "Python's websockets",
        runs(Command::new(peers().join("venv/bin/python")).args(["-c", "import websockets"])),
    )
}

pub fn has_curl() -> bool {
    has("curl", runs(Command::new("curl").arg("--version")))
}

pub fn has_chromium() -> bool {
    let chromium = std::env::var("CHROMIUM").unwrap_or("/usr/bin/chromium".to_owned());
    let found = Path::new(&chromium).exists() && peers().join("node_modules/playwright-core").exists();
    has("Chromium with playwright-core", found && has_node())
}

pub fn runs(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

pub fn passes(client: &mut Command) {
    let output = output(client);
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("ok "),
        "{text}\n{errors}"
    );
}
