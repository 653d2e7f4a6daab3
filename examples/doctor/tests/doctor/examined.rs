//! The doctor as a program: what it finds, and its origin.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::time::timeout;

use crate::programs::{Server, executable};

/// What it says of each URL, and at the end.
#[derive(Debug)]
pub(crate) struct Examined {
    pub(crate) status: Option<i32>,
    pub(crate) text: String,
    /// The names of the findings, URL by URL.
    pub(crate) found: Vec<Vec<String>>,
}

/// Runs it with these arguments, separated by spaces.
pub(crate) async fn examine(arguments: &str) -> Examined {
    let arguments: Vec<&str> = arguments.split(' ').collect();
    examine_with(&arguments).await
}

pub(crate) async fn examine_with(arguments: &[&str]) -> Examined {
    let output = run(arguments).await;
    let text = String::from_utf8(output.stdout).expect("its output is UTF-8");
    let mut found: Vec<Vec<String>> = Vec::new();
    for line in text.lines() {
        if line.starts_with("ws://") || line.starts_with("wss://") {
            found.push(Vec::new());
        }
        let finding = line.strip_prefix("  ").and_then(|line| line.split_once(' '));
        let Some((severity, rest)) = finding else { continue };
        if let ("error" | "warning" | "notice", Some((name, _))) = (severity, rest.split_once(':')) {
            found
                .last_mut()
                .expect("findings are of a URL")
                .push(name.to_owned());
        }
    }
    Examined {
        status: output.status.code(),
        text,
        found,
    }
}

pub(crate) async fn run(arguments: &[&str]) -> Output {
    let mut command = tokio::process::Command::new(executable("doctor"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(Duration::from_secs(60), command.output()).await;
    output.expect("it ends in time").expect("it starts")
}

impl Examined {
    /// Exactly these were found, URL by URL.
    #[track_caller]
    pub(crate) fn finds(&self, expected: &[&[&str]]) {
        assert_eq!(self.found, expected, "{}", self.text);
        let worse = self
            .text
            .lines()
            .any(|line| line.starts_with("  error ") || line.starts_with("  warning "));
        assert_eq!(self.status, Some(i32::from(worse)), "{}", self.text);
    }

    /// Somewhere in its text.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        assert!(self.text.contains(words), "{words:?} is not said: {}", self.text);
    }
}

/// The doctor's own origin.
pub(crate) fn origin() -> Server {
    Server::start(Command::new(executable("doctor")).args(["--listen", "127.0.0.1:0"]))
}

/// An address on which nobody listens: a port that was free a moment ago may be anybody's by now, so it is one of the loopback
/// network that this process has to itself, and uses for nothing else.
pub(crate) fn closed_port() -> SocketAddr {
    let [_, high, middle, low] = std::process::id().to_be_bytes();
    SocketAddr::from(([127, 128 + high % 64, middle, low], 1))
}
