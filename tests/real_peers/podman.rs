//! Docker's command line, and a server of Docker's protocol that runs containers: podman, with a container of a shell and `cat`.
//!
//! It needs the rights of root, and mounts that are the test's own. Where containers do not run, it prints a line.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::containers::command_line;
use crate::programs::{Server, runs};

/// All that podman is asked for, in a folder of its own. Cgroups of a mixed version are hidden from it.
const SERVE: &str = r#"
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup
export CONTAINERS_CONF="$PWD/containers.conf"
podman="podman --root $PWD/root --runroot $PWD/run --storage-driver vfs"
tar -C files -c . | $podman import - local/cat >/dev/null || exit 1
exec $podman system service --time 0 "tcp://127.0.0.1:$1"
"#;

const CONFIGURATION: &str = r#"
[containers]
cgroups = "disabled"
netns = "none"
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"#;

/// Without a network, whatever the configuration says: Docker's command line asks for a bridge, and Chromium, which other tests run
/// meanwhile, gives up its connections when an interface comes or goes.
const RUN: [&str; 4] = ["run", "-i", "--network", "none"];

/// The server, and its folder. Both are gone when it is dropped.
struct Podman {
    folder: PathBuf,
    port: u16,
    serving: Child,
}

impl Podman {
    fn start() -> Result<Self, String> {
        for (program, arguments) in [
            ("docker", &["--version"][..]),
            ("podman", &["--version"]),
            ("unshare", &["--mount", "true"]),
        ] {
            if !runs(Command::new(program).args(arguments)) {
                return Err(format!("{program} is not installed, or may not be used"));
            }
        }
        let folder = support::scratch("podman");
        std::fs::write(folder.join("containers.conf"), CONFIGURATION).map_err(|error| error.to_string())?;
        for program in ["/bin/sh", "/bin/cat"] {
            install(program, &folder.join("files")).map_err(|error| error.to_string())?;
        }
        let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let port = port.map_err(|error| error.to_string())?.port();
        let serving = Command::new("unshare")
            .args(["--mount", "sh", "-c", SERVE, "sh", &port.to_string()])
            .current_dir(&folder)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let podman = Podman {
            folder,
            port,
            serving,
        };
        let host = format!("tcp://127.0.0.1:{port}");
        let end = Instant::now() + Duration::from_secs(30);
        while !runs(Command::new("docker").args(["-H", &host, "version"])) {
            if Instant::now() > end {
                return Err("podman does not serve".to_owned());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let output = docker(
            &host,
            &[&RUN[..], &["--rm", "local/cat", "/bin/cat"]].concat(),
            b"x",
        );
        match output.stdout == b"x" {
            true => Ok(podman),
            false => Err(format!("no container runs: {}", error_of(&output))),
        }
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        let _ = self.serving.kill();
        let _ = self.serving.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A program with the libraries that it needs, below a folder.
fn install(program: &str, below: &Path) -> std::io::Result<()> {
    let output = Command::new("ldd").arg(program).output()?;
    let listed = String::from_utf8_lossy(&output.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for file in libraries.chain([program]) {
        let target = below.join(file.trim_start_matches('/'));
        std::fs::create_dir_all(target.parent().expect("a folder"))?;
        std::fs::copy(file, target)?;
    }
    Ok(())
}

fn docker(host: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = command_line("docker")
        .args(["-H", host])
        .args(arguments)
        .env("HOME", support::scratch("docker_command_line"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("docker starts");
    let mut standard_input = child.stdin.take().expect("an input");
    let input = input.to_vec();
    // Beside the output, which would otherwise fill its pipe.
    let writing = std::thread::spawn(move || drop(standard_input.write_all(&input)));
    let output = support::bounded::output_of(child, "docker");
    writing.join().expect("it is written");
    output
}

fn error_of(output: &Output) -> String {
    let mut text = output.status.to_string();
    let _ = write!(text, ": {}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn docker_with_containers() {
    let podman = match Podman::start() {
        Ok(podman) => podman,
        Err(why) => return println!("skipped: {why}"),
    };
    let route = format!("/=http://127.0.0.1:{}", podman.port);
    let gateway = Server::gateway(&["--route", &route, "--allow-upgrade", "tcp"]);
    let host = format!("tcp://{}", gateway.address);
    let through = |arguments: &[&str], input: &[u8]| docker(&host, arguments, input);

    let ran = through(
        &[&RUN[..], &["--rm", "local/cat", "/bin/cat"]].concat(),
        b"attached\n",
    );
    assert_eq!(ran.stdout, b"attached\n", "{}", error_of(&ran));

    let name = "switchover-test";
    let started = through(
        &[&RUN[..], &["-d", "--name", name, "local/cat", "/bin/cat"]].concat(),
        b"",
    );
    assert!(started.status.success(), "{}", error_of(&started));
    // The end of the input is a half-close, and all of the output comes after it.
    let large: Vec<u8> = (0..3_000_000_u32).map(|at| (at ^ (at >> 7)) as u8).collect();
    let copied = through(&["exec", "-i", name, "/bin/cat"], &large);
    assert!(
        copied.stdout == large,
        "{} bytes: {}",
        copied.stdout.len(),
        error_of(&copied)
    );
    let failed = through(
        &["exec", name, "/bin/sh", "-c", "echo out; echo err >&2; exit 7"],
        b"",
    );
    assert_eq!(
        (failed.status.code(), &failed.stdout[..], &failed.stderr[..]),
        (Some(7), &b"out\n"[..], &b"err\n"[..])
    );
    let attached = through(&["attach", name], b"to the first\n");
    assert_eq!(attached.stdout, b"to the first\n", "{}", error_of(&attached));
    let removed = through(&["rm", "-f", name], b"");
    assert!(removed.status.success(), "{}", error_of(&removed));
}
