//! nginx and HAProxy as processes of their own, an origin that tells what it was sent, and a client.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::{bounded, own_address};

/// Longer than any of these programs takes to start, or to answer.
const TIMEOUT: Duration = Duration::from_secs(20);

/// A proxy that listens.
pub struct Peer {
    child: Child,
    directory: PathBuf,
    pub address: SocketAddr,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// nginx with these blocks of `http`, in which `LISTEN` is its address. None if it is not installed.
pub fn nginx(http: &str) -> Option<Peer> {
    if !has("nginx", "-v") {
        return None;
    }
    let directory = directory();
    let shown = directory.display();
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|name| format!("{name}_temp_path {shown}/{name};"))
        .collect();
    let config = format!(
        "daemon off; master_process off; pid {shown}/pid; error_log stderr crit;
         events {{ worker_connections 256; }}
         http {{ access_log off; {temporary} {http} }}"
    );
    Some(start(directory.clone(), "nginx.conf", &config, |file| {
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&directory).arg("-c").arg(file);
        command
    }))
}

/// HAProxy with this configuration, in which `LISTEN` is its address. None if it is not installed.
pub fn haproxy(config: &str) -> Option<Peer> {
    if !has("haproxy", "-v") {
        return None;
    }
    Some(start(directory(), "haproxy.cfg", config, |file| {
        let mut command = Command::new("haproxy");
        command.args(["-q", "-db", "-f"]).arg(file);
        command
    }))
}

fn has(program: &str, flag: &str) -> bool {
    let mut command = Command::new(program);
    let status = command
        .arg(flag)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    let found = status.is_ok_and(|status| status.success());
    if !found {
        println!("skipped: {program} is not installed");
        let required = std::env::var_os("SWITCHOVER_PEERS").is_some_and(|value| value == "required");
        assert!(!required, "{program} is required here");
    }
    found
}

/// A directory for one process.
fn directory() -> PathBuf {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("peer-{}-{number}", std::process::id());
    crate::scratch(&name)
}

/// Starts a program that reads its address from a file.
fn start(directory: PathBuf, name: &str, config: &str, command: impl Fn(&Path) -> Command) -> Peer {
    let address = own_address();
    fs::create_dir_all(&directory).expect("a directory can be made");
    let file = directory.join(name);
    fs::write(&file, config.replace("LISTEN", &address.to_string())).expect("the file can be written");
    let log = directory.join("errors");
    let errors = fs::File::create(&log).expect("a file can be made");
    let child = command(&file).stdout(Stdio::null()).stderr(errors).spawn();
    let mut peer = Peer {
        child: child.expect("the program starts"),
        directory,
        address,
    };
    let deadline = Instant::now() + TIMEOUT;
    while TcpStream::connect(address).is_err() {
        let runs = peer.child.try_wait().is_ok_and(|ended| ended.is_none());
        let errors = || fs::read_to_string(&log).unwrap_or_default();
        assert!(
            runs && Instant::now() < deadline,
            "it does not listen: {}\n{config}",
            errors()
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    peer
}

/// What a server answers, as text, to its end.
pub fn answer(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = bounded::connect(address);
    stream.write_all(request).expect("it reads");
    let mut answer = Vec::new();
    // A server that refuses a request may reset the connection behind its answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The body of the answer to a GET, or its status where that is not 200.
pub fn get(address: SocketAddr, host: &str, target: &str, lines: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n{lines}Connection: close\r\n\r\n");
    let answer = answer(address, request.as_bytes());
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200 ") => body.to_owned(),
        _ => answer.get(9..12).unwrap_or("nothing").to_owned(),
    }
}

/// An origin whose answer is the request head that it was sent. It lives as long as the process.
pub fn mirror() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") {
                    match stream.read(&mut byte) {
                        Ok(1) => head.push(byte[0]),
                        _ => return,
                    }
                }
                let length = head.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n");
                let _ = stream.write_all(&[answer.as_bytes(), &head].concat());
            });
        }
    });
    address
}
