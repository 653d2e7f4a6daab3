//! nginx and the example, each with a configuration of its own from the same file, on an address of its own.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::bounded;
pub(crate) use support::own_address;

/// Longer than either takes to start.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Nginx,
    Ours,
}

/// The configurations that are kept beside this file, or others, with what is put in for the words in capitals.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    address: SocketAddr,
}

/// A program that serves a configuration, and ends with this value.
pub(crate) struct Program {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: Folder,
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Folder {
    fn empty() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("nginx-conf-{}-{number}", std::process::id());
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        fs::create_dir_all(path.join("logs")).expect("a folder can be made");
        Folder {
            path,
            address: own_address(),
        }
    }

    /// All of the kept configurations, each line changed by `change`.
    pub(crate) fn kept(upstream: SocketAddr, change: impl Fn(&str) -> String) -> Folder {
        let folder = Folder::empty();
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nginx_conf/configurations");
        folder.copy(&kept, Path::new(""), upstream, &change);
        folder
    }

    /// One configuration, which is `test.conf`, and what it includes to run anywhere.
    pub(crate) fn of(upstream: SocketAddr, text: &str) -> Folder {
        let folder = Folder::kept(upstream, str::to_owned);
        folder.write("test.conf", text, upstream);
        folder
    }

    fn copy(&self, from: &Path, name: &Path, upstream: SocketAddr, change: &impl Fn(&str) -> String) {
        for entry in fs::read_dir(from).expect("the configurations are there") {
            let entry = entry.expect("an entry can be read");
            let name = name.join(entry.file_name());
            if entry.path().is_dir() {
                fs::create_dir_all(self.path.join(&name)).expect("a folder can be made");
                self.copy(&entry.path(), &name, upstream, change);
                continue;
            }
            let text = fs::read_to_string(entry.path()).expect("a configuration can be read");
            let text: String = text.lines().map(|line| change(line) + "\n").collect();
            self.write(&name.to_string_lossy(), &text, upstream);
        }
    }

    /// Where what it configures listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn write(&self, name: &str, text: &str, upstream: SocketAddr) {
        let text = text
            .replace("FOLDER", &self.path.display().to_string())
            .replace("LISTEN", &self.address.to_string())
            .replace("UPSTREAM", &upstream.to_string());
        fs::write(self.path.join(name), text).expect("a configuration can be written");
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path.join(name)).unwrap_or_default()
    }

    /// What the example says of a configuration without serving it.
    pub(crate) fn tested(&self, name: &str, flags: &[&str]) -> Output {
        let mut command = Command::new(support::executable("nginx_conf"));
        command.arg("-t").args(flags).arg(self.path.join(name));
        bounded::output(&mut command)
    }

    /// What nginx says of it.
    pub(crate) fn tested_by_nginx(&self, name: &str) -> Output {
        let mut command = Command::new("nginx");
        command.args(["-t", "-e", "stderr", "-p"]).arg(&self.path);
        command.arg("-c").arg(self.path.join(name));
        bounded::output(&mut command)
    }

    pub(crate) fn start(self, kind: Kind, name: &str, flags: &[&str]) -> Program {
        let address = self.address;
        self.start_at(kind, name, flags, address)
    }

    /// As `start`, of a configuration with an address of its own.
    pub(crate) fn start_at(self, kind: Kind, name: &str, flags: &[&str], address: SocketAddr) -> Program {
        let file = self.path.join(name);
        let mut command = match kind {
            Kind::Nginx => {
                let mut command = Command::new("nginx");
                command.args(["-g", "daemon off; master_process off;", "-e", "stderr", "-p"]);
                command.arg(&self.path).arg("-c").arg(&file);
                command
            }
            Kind::Ours => {
                let mut command = Command::new(support::executable("nginx_conf"));
                command.args(flags).arg(&file);
                command
            }
        };
        let errors = fs::File::create(self.path.join("errors")).expect("a file can be made");
        let child = command.stdout(Stdio::piped()).stderr(errors).spawn();
        let mut program = Program {
            child: child.expect("the program starts"),
            address,
            folder: self,
        };
        program.wait(kind);
        program
    }
}

impl Program {
    fn wait(&mut self, kind: Kind) {
        if kind == Kind::Ours {
            let output = BufReader::new(self.child.stdout.take().expect("its output is piped"));
            // All that it prints is read, so that it never waits for that.
            let (sender, lines) = std::sync::mpsc::channel();
            std::thread::spawn(move || output.lines().for_each(|line| drop(sender.send(line))));
            let line = lines.recv_timeout(TIMEOUT).ok().and_then(Result::ok);
            let listens = line
                .as_ref()
                .is_some_and(|line| line.starts_with("listening on "));
            assert!(listens, "{line:?} {}", self.errors());
            return;
        }
        let deadline = Instant::now() + TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            let runs = self.child.try_wait().is_ok_and(|ended| ended.is_none());
            assert!(
                runs && Instant::now() < deadline,
                "it does not listen: {}",
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What it has written to its error output so far.
    pub(crate) fn errors(&self) -> String {
        self.folder.read("errors")
    }

    /// Waits until it has written these words there.
    pub(crate) fn reports(&self, words: &str) {
        let deadline = Instant::now() + TIMEOUT;
        while !self.errors().contains(words) {
            assert!(
                Instant::now() < deadline,
                "{words:?} is not said: {}",
                self.errors()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Whether it ends in order, and in time.
    pub(crate) async fn ends(&mut self) -> bool {
        let deadline = Instant::now() + TIMEOUT;
        loop {
            match self.child.try_wait().expect("a child can be asked") {
                Some(status) => return status.success(),
                None if Instant::now() > deadline => return false,
                // Peers of the program run on this thread.
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    }
}

/// Whether nginx is here. If not, the test is skipped, or fails where peers are required.
pub(crate) fn has_nginx() -> bool {
    let mut command = Command::new("nginx");
    let status = command
        .arg("-v")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: nginx is not installed");
        let required = std::env::var_os("SWITCHOVER_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "nginx is required here");
    }
    found
}
