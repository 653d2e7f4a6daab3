//! An example as a process, and the ways to talk to it.
#![cfg(unix)]

use std::net::SocketAddr;
use std::process::{ExitStatus, Output, Stdio};

use switchover::test_util::ScriptedClient;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::bounded::within;
use crate::executable;

/// A program that prints where it listens, and ends with this value.
pub struct Program {
    child: Child,
    pub address: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
}

/// How an example ends that does not start with these arguments.
pub async fn refusal(example: &str, arguments: &[&str]) -> Output {
    let output = Command::new(executable(example))
        .args(arguments)
        .kill_on_drop(true)
        .output();
    within("the example to end", output).await.unwrap()
}

impl Program {
    pub async fn start(example: &str, arguments: &[&str]) -> Program {
        Program::start_complaining(example, arguments, Stdio::null()).await
    }

    /// One whose standard error goes there.
    pub async fn start_complaining(example: &str, arguments: &[&str], errors: Stdio) -> Program {
        let mut command = Command::new(executable(example));
        command.args(arguments).stderr(errors);
        Program::of(command).await
    }

    /// One that is started by this command.
    pub async fn of(mut command: Command) -> Program {
        let mut child = command
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("the example starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = within("the example to listen", lines.next_line()).await;
        let line = line.unwrap().expect("a line");
        let address = line.strip_prefix("listening on ").expect("where it listens");
        let address = address.parse().unwrap();
        Program {
            child,
            address,
            lines,
        }
    }

    /// The number of its process, as long as it runs.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// What it prints next; none at its end.
    pub async fn line(&mut self) -> Option<String> {
        within("a line, or the end", self.lines.next_line())
            .await
            .unwrap()
    }

    pub async fn client(&self) -> ScriptedClient {
        ScriptedClient::connect(self.address).await
    }

    pub async fn terminate(&self) {
        self.signal("-TERM").await;
    }

    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let mut kill = Command::new("kill");
        let reported = within("a signal to be sent", kill.args([signal, &id]).status()).await;
        assert!(reported.unwrap().success());
    }

    pub async fn ends(&mut self) -> ExitStatus {
        within("the example to end", self.child.wait()).await.unwrap()
    }
}
