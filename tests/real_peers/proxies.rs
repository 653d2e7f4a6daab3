//! nginx and HAProxy, set up as their users do: each with a file of a few lines, a port and a directory of its own.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

pub(crate) use support::own_address;

use crate::programs::{has, runs};

/// Where the proxies connect from, to be distinguished from everyone else.
pub(crate) const PROXY: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// What every page on nginx and WebSocket says.
pub(crate) const NGINX_AS_IT_SHOULD_BE: &str = "
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection $connection_upgrade;
    proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr;
    proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;";

/// A proxy that runs until this value is dropped.
#[derive(Debug)]
pub(crate) struct Proxy {
    child: Child,
    directory: PathBuf,
    pub(crate) address: SocketAddr,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Kind {
    /// With these lines beside `proxy_pass`.
    Nginx(&'static str),
    Haproxy,
    /// The same, which speaks HTTP/2 to its upstream.
    HaproxyToHttp2,
    /// The same, whose clients speak HTTP/2.
    HaproxyFromHttp2,
}

impl Kind {
    /// Whether it is installed. If not, the test is skipped, or fails where peers are required.
    pub(crate) fn is_here(self) -> bool {
        match self {
            Kind::Nginx(_) => has("nginx", runs(Command::new("nginx").arg("-v"))),
            _ => has("HAProxy", runs(Command::new("haproxy").arg("-v"))),
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Nginx(_) => "nginx",
            Kind::Haproxy => "HAProxy",
            Kind::HaproxyToHttp2 => "HAProxy, HTTP/2 behind it",
            Kind::HaproxyFromHttp2 => "HAProxy, HTTP/2 in front of it",
        }
    }

    pub(crate) fn start(self, upstream: SocketAddr) -> Proxy {
        let address = own_address();
        let directory = own_directory(address);
        let mut command = self.command(address, upstream, &directory);
        Proxy::spawn(&mut command, directory, address)
    }

    fn command(self, address: SocketAddr, upstream: SocketAddr, directory: &Path) -> Command {
        let (file, text) = match self {
            Kind::Nginx(lines) => ("nginx.conf", nginx(address, upstream, lines, directory)),
            Kind::Haproxy => ("haproxy.cfg", haproxy(address, "", upstream, "")),
            Kind::HaproxyToHttp2 => ("haproxy.cfg", haproxy(address, "", upstream, "proto h2")),
            Kind::HaproxyFromHttp2 => ("haproxy.cfg", haproxy(address, "proto h2", upstream, "")),
        };
        let path = directory.join(file);
        fs::write(&path, text).expect("a configuration to be written");
        match self {
            Kind::Nginx(_) => {
                let mut command = Command::new("nginx");
                command
                    .args(["-e", "stderr", "-p"])
                    .arg(directory)
                    .arg("-c")
                    .arg(path);
                command
            }
            _ => {
                let mut command = Command::new("haproxy");
                command.args(["-q", "-db", "-f"]).arg(path);
                command
            }
        }
    }
}

fn own_directory(address: SocketAddr) -> PathBuf {
    let name = format!("proxy-{}", address.to_string().replace(':', "-"));
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(&directory).expect("a directory for a proxy");
    directory
}

impl Proxy {
    /// HAProxy as a balancer on layer 4: connections go to the gateways that say that they are ready, each with a PROXY
    /// protocol header. A gateway is where it listens and where it is probed.
    pub(crate) fn balancer(gateways: &[(SocketAddr, SocketAddr)]) -> Proxy {
        let address = own_address();
        let directory = own_directory(address);
        let path = directory.join("haproxy.cfg");
        fs::write(&path, balancer(address, gateways)).expect("a configuration to be written");
        let mut command = Command::new("haproxy");
        command.args(["-q", "-db", "-f"]).arg(path);
        Proxy::spawn(&mut command, directory, address)
    }

    fn spawn(command: &mut Command, directory: PathBuf, address: SocketAddr) -> Proxy {
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn();
        let mut proxy = Proxy {
            child: child.expect("the proxy starts"),
            directory,
            address,
        };
        proxy.wait_until_it_listens();
        proxy
    }

    fn wait_until_it_listens(&mut self) {
        let since = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            let ended = self.child.try_wait().expect("a child to be asked");
            assert!(ended.is_none(), "the proxy has ended at once: {ended:?}");
            assert!(
                since.elapsed() < Duration::from_secs(10),
                "the proxy does not listen"
            );
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn nginx(address: SocketAddr, upstream: SocketAddr, lines: &str, directory: &Path) -> String {
    let directory = directory.display();
    format!(
        "daemon off; master_process off;
pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 64; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' close; }}
    map $http_upgrade $connection_upgrade_or_keep {{ default upgrade; '' ''; }}
    upstream backend {{ server {upstream}; keepalive 4; }}
    server {{
        listen {address};
        location / {{
            proxy_bind {PROXY};
            proxy_pass http://backend;
            {lines}
        }}
    }}
}}
"
    )
}

fn haproxy(address: SocketAddr, clients: &str, upstream: SocketAddr, servers: &str) -> String {
    format!(
        "defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout tunnel 1h
    timeout client-fin 30s
frontend clients
    bind {address} {clients}
    option forwardfor
    default_backend backend
backend backend
    server backend {upstream} source {PROXY} {servers}
"
    )
}

fn balancer(address: SocketAddr, gateways: &[(SocketAddr, SocketAddr)]) -> String {
    let server = |(number, (address, health)): (usize, &(SocketAddr, SocketAddr))| {
        format!(
            "    server gateway-{number} {address} send-proxy-v2 check addr {} port {}\n",
            health.ip(),
            health.port()
        )
    };
    let servers: String = gateways.iter().enumerate().map(server).collect();
    format!(
        "defaults
    mode tcp
    retries 0
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend clients
    bind {address}
    default_backend gateways
backend gateways
    balance roundrobin
    option httpchk GET /ready
    default-server inter 50ms fall 2 rise 1
{servers}"
    )
}
