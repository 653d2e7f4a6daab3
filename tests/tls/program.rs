//! The example gateway as a process, and the files that its flags name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::certificates::Authority;
use crate::peer::patiently;

pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Cargo builds the examples along with the tests, beside them.
pub(crate) fn path() -> PathBuf {
    let tests = std::env::current_exe().expect("the test has a path");
    let target = tests.parent().and_then(Path::parent);
    let program = target.expect("target/PROFILE/deps").join("examples/gateway");
    if !program.exists() {
        let mut build = std::process::Command::new(env!("CARGO"));
        let built = build.args(["build", "--example", "gateway"]).status();
        assert!(built.is_ok_and(|status| status.success()), "the example builds");
    }
    program
}

impl Program {
    pub(crate) async fn start<A: AsRef<str>>(arguments: &[A]) -> Program {
        Self::started(Command::new(path()).args(arguments.iter().map(AsRef::as_ref))).await
    }

    pub(crate) async fn started(command: &mut Command) -> Program {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("a line");
        let address = line.strip_prefix("listening on ").expect("where it listens");
        let address = address.parse().unwrap();
        Program {
            child,
            address,
            lines,
        }
    }

    /// What it prints next; none at its end.
    pub(crate) async fn line(&mut self) -> Option<String> {
        patiently("a line, or the end", self.lines.next_line())
            .await
            .unwrap()
    }
}

/// Files with certificates, for one test.
pub(crate) struct Files {
    pub(crate) directory: PathBuf,
    pub(crate) authority: Authority,
}

impl Files {
    pub(crate) fn new(test: &str) -> Self {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
        std::fs::create_dir_all(&directory).unwrap();
        Files {
            directory,
            authority: Authority::new(),
        }
    }

    pub(crate) fn write(&self, name: &str, content: &str) -> String {
        let file = self.directory.join(name);
        std::fs::write(&file, content).unwrap();
        file.display().to_string()
    }

    /// The flags of a gateway that speaks TLS to its clients.
    pub(crate) fn listener(&self) -> [String; 2] {
        let (chain, key) = self.authority.localhost().write(&self.directory, "listener");
        [
            format!("--tls-cert={}", chain.display()),
            format!("--tls-key={}", key.display()),
        ]
    }

    /// The flag of a gateway that believes only the authority of the test.
    pub(crate) fn upstream_ca(&self) -> String {
        format!("--upstream-ca={}", self.write("ca.pem", &self.authority.pem))
    }
}
