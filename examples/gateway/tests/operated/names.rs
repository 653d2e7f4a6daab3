//! Servers that are found by a name, as the system resolves it: the gateway runs where `/etc/hosts` is a file of the test's.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use switchover::test_util::{ScriptedClient, TIMEOUT, UPGRADE_REQUEST};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::probes::free_address;
use crate::program::Program;
use support::{executable, own_address, peers, scratch};

/// The answer to `UPGRADE_REQUEST`, whose key is that of RFC 6455, section 1.3.
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

const CLOSE: &[u8] = b"\x88\x08\x03\xf4moving";

/// Runs what follows the first argument where that is the file of hosts.
const WITH_HOSTS: &str = "mount --bind \"$1\" /etc/hosts && shift && exec \"$@\"";

/// A server that agrees to each upgrade, and greets whenever it is sent anything.
async fn origin(address: SocketAddr) -> JoinSet<()> {
    let listener = TcpListener::bind(address).await.unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            open.spawn(async move {
                let mut read = Vec::new();
                while !read.ends_with(b"\r\n\r\n") {
                    if stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                        continue;
                    }
                    return;
                }
                let mut answer = ANSWER;
                while stream.write_all(answer).await.is_ok() {
                    read.clear();
                    if stream.read_buf(&mut read).await.is_ok_and(|count| count > 0) {
                        answer = b"\x81\x02hi";
                        continue;
                    }
                    return;
                }
            });
        }
    });
    serving
}

/// The file of hosts. A name has the addresses that are not marked as comments, so that one byte is all that ever changes: whoever reads
/// meanwhile finds the names of before or those of after.
struct Hosts {
    file: PathBuf,
    addresses: [SocketAddr; 2],
}

impl Hosts {
    fn new(addresses: [SocketAddr; 2]) -> Hosts {
        let file = scratch("hosts").join(std::process::id().to_string());
        let hosts = Hosts { file, addresses };
        std::fs::write(&hosts.file, "").unwrap();
        hosts.have([true, true]);
        hosts
    }

    fn have(&self, are_there: [bool; 2]) {
        let mut text = "127.0.0.1 localhost\n".to_owned();
        for (address, is_there) in self.addresses.into_iter().zip(are_there) {
            let mark = if is_there { " " } else { "#" };
            text += &format!("{mark}{} chat.test\n", address.ip());
        }
        // Not by a new file: this one is in its place already.
        let mut file = OpenOptions::new().write(true).open(&self.file).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}

/// Whether a program may have a file of hosts of its own.
fn may_have_hosts(file: &Path) -> bool {
    let mut command = std::process::Command::new("unshare");
    let is_so = peers::runs(
        command
            .args(["--map-root-user", "--mount", "sh", "-c", WITH_HOSTS, "sh"])
            .arg(file)
            .arg("true"),
    );
    if !is_so {
        println!("skipped: no file of hosts for one program, by unshare(1)");
    }
    is_so
}

struct Gateway {
    program: Program,
    admin: SocketAddr,
}

impl Gateway {
    async fn start(hosts: &Hosts) -> Gateway {
        let admin = free_address();
        let port = hosts.addresses[0].port();
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "sh", "-c", WITH_HOSTS, "sh"])
            .args([&hosts.file, &executable("gateway")])
            .args([
                "--listen=127.0.0.1:0",
                "--tunnel-mode=websocket",
                "--evacuate=0s",
                "--evacuate-close=1012 moving",
                &format!("--admin={admin}"),
                &format!("--route=/=http://chat.test:{port};resolve=50ms"),
            ]);
        Gateway {
            program: Program::of(command).await,
            admin,
        }
    }

    async fn json(&self, target: &str) -> Value {
        let mut client = ScriptedClient::connect(self.admin).await;
        let host = self.admin;
        client
            .send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"))
            .await;
        let (head, text) = client.response().await;
        assert_eq!(head.status, 200, "{target}");
        serde_json::from_slice(&text).unwrap()
    }

    async fn tunnel(&self) -> ScriptedClient {
        let mut client = self.program.client().await;
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        client
    }

    /// What the servers are called that the name has, and those that it has lost and that still have tunnels.
    async fn servers(&self) -> [BTreeSet<String>; 2] {
        let groups = self.json("/servers").await;
        let servers = groups[0]["servers"].as_array().unwrap();
        [false, true].map(|removed| {
            let these = servers.iter().filter(|server| server["removed"] == removed);
            these
                .map(|server| server["name"].as_str().unwrap().to_owned())
                .collect()
        })
    }

    async fn servers_become(&self, expected: &[BTreeSet<String>; 2]) {
        let since = Instant::now();
        while self.servers().await != *expected {
            assert!(since.elapsed() < TIMEOUT, "{:?}", self.servers().await);
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn is_untouched(client: &mut ScriptedClient) {
    client.send(b"\x81\x82\0\0\0\0hi").await;
    client.receives(b"\x81\x02hi").await;
}

#[tokio::test]
async fn a_server_whose_address_the_name_loses_has_its_tunnels_moved() {
    let first = own_address();
    let [a, b, c, d] = match first.ip() {
        std::net::IpAddr::V4(ip) => ip.octets(),
        std::net::IpAddr::V6(ip) => panic!("{ip}"),
    };
    // A name has one port.
    let second = SocketAddr::from(([a, b + 64, c, d], first.port()));
    let hosts = Hosts::new([first, second]);
    if !may_have_hosts(&hosts.file) {
        return;
    }
    let _origins = (origin(first).await, origin(second).await);
    let gateway = Gateway::start(&hosts).await;
    // By turns.
    let (mut one, mut other) = (gateway.tunnel().await, gateway.tunnel().await);
    let of = |servers: &[SocketAddr]| servers.iter().map(SocketAddr::to_string).collect::<BTreeSet<_>>();
    assert_eq!(gateway.servers().await, [of(&[first, second]), of(&[])]);
    let list = gateway.json("/tunnels").await;
    let at_first = list["tunnels"][0]["server"] == first.to_string();
    assert_eq!(
        list["tunnels"][usize::from(at_first)]["server"],
        second.to_string(),
        "{list}"
    );
    if !at_first {
        std::mem::swap(&mut one, &mut other);
    }
    is_untouched(&mut one).await;

    hosts.have([false, true]);
    one.receives(CLOSE).await;
    drop(one);
    gateway.servers_become(&[of(&[second]), of(&[])]).await;
    is_untouched(&mut other).await;
    let _new = (gateway.tunnel().await, gateway.tunnel().await);
    let list = gateway.json(&format!("/tunnels?server={second}")).await;
    assert_eq!(list["total"], 3, "{list}");

    hosts.have([true, true]);
    gateway.servers_become(&[of(&[first, second]), of(&[])]).await;
    let _new = (gateway.tunnel().await, gateway.tunnel().await);
    let list = gateway.json(&format!("/tunnels?server={first}")).await;
    assert_eq!(list["total"], 1, "it has its turns again: {list}");

    // A name that is gone is a failure to answer, and the servers stay.
    hosts.have([false, false]);
    sleep(Duration::from_millis(200)).await;
    assert_eq!(gateway.servers().await, [of(&[first, second]), of(&[])]);
    is_untouched(&mut other).await;
}
