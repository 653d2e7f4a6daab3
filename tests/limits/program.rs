//! An example as a process, and the ways to talk to it.
#![cfg(unix)]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};

use switchover::test_util::{PATIENCE, ScriptedClient};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// A program that prints where it listens, and ends with this value.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// Cargo builds the examples along with the tests, beside them.
fn path(example: &str) -> PathBuf {
    let tests = std::env::current_exe().expect("the test has a path");
    let target = tests.parent().and_then(Path::parent);
    let program = target
        .expect("target/PROFILE/deps")
        .join("examples")
        .join(example);
    if !program.exists() {
        let mut build = std::process::Command::new(env!("CARGO"));
        let built = build.args(["build", "--example", example]).status();
        assert!(built.is_ok_and(|status| status.success()), "the example builds");
    }
    program
}

/// How an example ends that does not start with these arguments.
pub(crate) async fn refusal(example: &str, arguments: &[&str]) -> Output {
    let output = Command::new(path(example))
        .args(arguments)
        .kill_on_drop(true)
        .output();
    timeout(PATIENCE, output).await.expect("it ends").unwrap()
}

impl Program {
    pub(crate) async fn start(example: &str, arguments: &[&str]) -> Program {
        let mut child = Command::new(path(example))
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the example starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("a line");
        let address = line.strip_prefix("listening on ").expect("where it listens");
        let address = address.parse().unwrap();
        // What else it prints is read: a pipe that nobody reads would be closed, and end it at its next line.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Program { child, address }
    }

    pub(crate) async fn client(&self) -> ScriptedClient {
        ScriptedClient::connect(self.address).await
    }

    pub(crate) async fn terminate(&self) {
        let id = self.child.id().expect("it runs").to_string();
        let told = Command::new("kill").args(["-TERM", &id]).status().await;
        assert!(told.unwrap().success());
    }

    pub(crate) async fn ends(&mut self) -> ExitStatus {
        let ended = timeout(PATIENCE, self.child.wait()).await;
        ended.expect("it ends").unwrap()
    }
}
