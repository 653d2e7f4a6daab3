//! The program gateway as a process, and the files that its flags name.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::certificates::Authority;
use crate::executable;
use crate::tls_peer::patiently;

pub struct Program {
    pub child: Child,
    pub address: SocketAddr,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Program {
    pub async fn start<A: AsRef<str>>(arguments: &[A]) -> Program {
        Self::started(Command::new(executable("gateway")).args(arguments.iter().map(AsRef::as_ref))).await
    }

    pub async fn started(command: &mut Command) -> Program {
        let mut child = command
            .args(["--listen", "127.0.0.1:0"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("the gateway starts");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = patiently("the gateway to listen", lines.next_line()).await;
        let line = line.unwrap().expect("a line");
        let address = line.strip_prefix("listening on ").expect("where it listens");
        let address = address.parse().unwrap();
        Program {
            child,
            address,
            lines,
        }
    }

    /// What it prints next; none at its end.
    pub async fn line(&mut self) -> Option<String> {
        patiently("a line, or the end", self.lines.next_line())
            .await
            .unwrap()
    }
}

/// Files with certificates, for one test.
pub struct Files {
    pub directory: PathBuf,
    pub authority: Authority,
}

impl Files {
    pub fn new(test: &str) -> Self {
        let directory = crate::scratch(test);
        Files {
            directory,
            authority: Authority::new(),
        }
    }

    pub fn write(&self, name: &str, content: &str) -> String {
        let file = self.directory.join(name);
        std::fs::write(&file, content).unwrap();
        file.display().to_string()
    }

    /// The flags of a gateway that speaks TLS to its clients.
    pub fn listener(&self) -> [String; 2] {
        let (chain, key) = self.authority.localhost().write(&self.directory, "listener");
        [
            format!("--tls-cert={}", chain.display()),
            format!("--tls-key={}", key.display()),
        ]
    }

    /// The flag of a gateway that believes only the authority of the test.
    pub fn upstream_ca(&self) -> String {
        format!("--upstream-ca={}", self.write("ca.pem", &self.authority.pem))
    }
}
