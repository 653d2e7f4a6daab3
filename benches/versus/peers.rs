//! The proxies: who they are, whether they are installed, and how each is set up well for upgrades.
//!
//! Everyone gets one worker, no log, tunnels that may be idle for five minutes, and room for the idle load.

use std::env;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::baseline::Baseline;
use super::http2::Certificate;
use super::machine::Cores;
use super::options::Options;
use super::process::Process;

/// One proxy, found on this machine.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) version: String,
    kind: Kind,
}

#[derive(Clone, Debug)]
enum Kind {
    Direct,
    /// With these flags beside those of all.
    Gateway(PathBuf, &'static [&'static str]),
    Nginx {
        buffer: &'static str,
    },
    Haproxy {
        splices: bool,
    },
    Baseline(Baseline),
}

/// What stands around a proxy.
#[derive(Clone, Copy, Default)]
pub(crate) struct Around<'a> {
    /// For TLS and HTTP/2 from clients.
    pub(crate) certificate: Option<&'a Certificate>,
    /// It is asked by nothing else, without TLS.
    pub(crate) upstream_speaks_http2: bool,
}

/// The gateway with something that it does not do by itself, by name. Only where it is asked for: it is the same program.
const VARIANTS: [(&str, &[&str]); 3] = [
    (
        "gateway-frames",
        &["--tunnel-mode", "websocket", "--ping-interval", "30s"],
    ),
    ("gateway-admin", &["--admin", "0"]),
    ("gateway-log", &["--log", "info"]),
];

/// The proxies that were asked for and are there. Says which are not.
pub(crate) fn find(options: &Options) -> Vec<Peer> {
    let wanted =
        |name: &str| options.proxies.is_empty() || options.proxies.iter().any(|wanted| wanted == name);
    let mut peers = Vec::new();
    let mut found = |name: &str, version: Result<String, String>, kind: Kind| match version {
        Ok(version) => peers.push(Peer {
            name: name.to_owned(),
            version,
            kind,
        }),
        Err(why) => println!("skipped: {name} ({why})"),
    };
    if wanted("gateway") {
        let (path, version) = match build_gateway() {
            Ok(path) => (path, Ok(format!("switchover {}", env!("CARGO_PKG_VERSION")))),
            Err(why) => (PathBuf::new(), Err(why)),
        };
        found("gateway", version, Kind::Gateway(path, &[]));
    }
    for (name, flags) in VARIANTS {
        if options.proxies.iter().any(|wanted| wanted == name) {
            let (path, version) = match build_gateway() {
                Ok(path) => (path, Ok(flags.join(" "))),
                Err(why) => (PathBuf::new(), Err(why)),
            };
            found(name, version, Kind::Gateway(path, flags));
        }
    }
    for (name, path) in &options.gateways {
        found(
            name,
            Ok(path.display().to_string()),
            Kind::Gateway(path.clone(), &[]),
        );
    }
    for (name, buffer) in [("nginx", "4k"), ("nginx-64k", "64k")] {
        if wanted(name) {
            found(name, version("nginx", "-v"), Kind::Nginx { buffer });
        }
    }
    for (name, splices) in [("haproxy", false), ("haproxy-splice", true)] {
        if wanted(name) {
            found(name, version("haproxy", "-v"), Kind::Haproxy { splices });
        }
    }
    for (baseline, what) in [
        (Baseline::Copy, "tokio's copy_bidirectional, without HTTP"),
        (Baseline::Tunnel, "a tunnel, without HTTP"),
        (
            Baseline::AxumBare,
            "axum 0.8 and copy_bidirectional, without a check",
        ),
    ] {
        if options.proxies.iter().any(|wanted| wanted == baseline.name()) {
            found(baseline.name(), Ok(what.to_owned()), Kind::Baseline(baseline));
        }
    }
    for (baseline, what) in [
        (Baseline::Hyper, "hyper 1 and copy_bidirectional"),
        (Baseline::Axum, "axum 0.8 with ReverseProxy mounted"),
        (Baseline::AxumClient, "axum 0.8 with hyper-util's client"),
    ] {
        if wanted(baseline.name()) {
            found(baseline.name(), Ok(what.to_owned()), Kind::Baseline(baseline));
        }
    }
    if wanted("direct") {
        found("direct", Ok("no proxy".to_owned()), Kind::Direct);
    }
    peers
}

fn version(program: &str, flag: &str) -> Result<String, String> {
    let output = Command::new(program).arg(flag).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().next().unwrap_or(program);
    Ok(line
        .trim_start_matches("nginx version: ")
        .split(" 20")
        .next()
        .unwrap_or(line)
        .to_owned())
}

/// The program gateway as it is in this source tree: cargo is asked each time, because an old executable would be
/// measured in silence.
fn build_gateway() -> Result<PathBuf, String> {
    let this = env::current_exe().map_err(|error| error.to_string())?;
    let release = this
        .parent()
        .and_then(Path::parent)
        .ok_or("the bench is in no target directory")?;
    let target = release.parent().ok_or("the bench is in no target directory")?;
    let path = target.join("dist/gateway");
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo has told this program of its package: build scripts that look at it would run again, and all that needs them be compiled.
    for (name, _) in env::vars_os() {
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if name
            .to_str()
            .is_some_and(|name| told.iter().any(|told| name.starts_with(told)))
        {
            cargo.env_remove(name);
        }
    }
    let built = cargo
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--profile",
            "dist",
            "--package",
            "gateway",
            "--target-dir",
        ])
        .arg(target)
        .status();
    match built {
        Ok(status) if status.success() => Ok(path),
        Ok(status) => Err(format!("cargo build: {status}")),
        Err(_) if path.exists() => {
            println!("no cargo here: the gateway is the one built last");
            Ok(path)
        }
        Err(error) => Err(format!("cargo build: {error}")),
    }
}

impl Peer {
    pub(crate) fn is_gateway(&self) -> bool {
        matches!(self.kind, Kind::Gateway(..)) && !self.knows_frames()
    }

    /// Whether it is the gateway, and its tunnels know their frames.
    pub(crate) fn knows_frames(&self) -> bool {
        matches!(self.kind, Kind::Gateway(_, flags) if flags.contains(&"websocket"))
    }

    /// Whether it carries WebSockets over HTTP/2. nginx does not, and the baselines speak no TLS.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.kind, Kind::Gateway(..) | Kind::Haproxy { .. })
    }

    /// Whether it asks an upstream that speaks HTTP/2 for WebSockets.
    pub(crate) fn asks_http2(&self) -> bool {
        match self.kind {
            Kind::Gateway(_, flags) => flags.is_empty(),
            Kind::Haproxy { splices } => !splices,
            _ => false,
        }
    }

    /// Whether it answers requests that ask for no upgrade.
    pub(crate) fn serves_requests(&self) -> bool {
        !matches!(self.kind, Kind::Baseline(Baseline::AxumBare))
    }

    /// Whether it takes TLS from clients.
    pub(crate) fn speaks_tls(&self) -> bool {
        !matches!(self.kind, Kind::Direct | Kind::Baseline(_))
    }

    /// Starts the proxy in front of `upstream`. Returns where to connect, and the process where there is one.
    pub(crate) fn start(
        &self,
        upstream: SocketAddr,
        directory: &Path,
        cores: Cores,
        around: Around<'_>,
    ) -> io::Result<(SocketAddr, Option<Process>)> {
        match self.command(upstream, directory, around)? {
            (_, None) => Ok((upstream, None)),
            (address, Some(command)) => {
                Process::start(command, address, cores).map(|process| (address, Some(process)))
            }
        }
    }

    /// What starts the proxy, and where it will listen.
    pub(crate) fn command(
        &self,
        upstream: SocketAddr,
        directory: &Path,
        around: Around<'_>,
    ) -> io::Result<(SocketAddr, Option<Command>)> {
        let certificate = around.certificate;
        // The port is free once this socket is closed; all of them are, until the kernel has gone round.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let listen = address.to_string();
        let command = match &self.kind {
            Kind::Direct => return Ok((upstream, None)),
            Kind::Gateway(..) if around.upstream_speaks_http2 => {
                Baseline::Http2Upstream.command(&listen, upstream)?
            }
            Kind::Gateway(path, flags) => {
                let mut command = Command::new(path);
                command.args(["--listen", &listen, "--workers", "1"]).args(*flags);
                if flags.contains(&"--log") {
                    command.stderr(Stdio::null());
                }
                if let Some(certificate) = certificate {
                    command.arg("--tls-cert").arg(&certificate.chain);
                    command.arg("--tls-key").arg(&certificate.key);
                }
                command.arg("--route").arg(format!("/=http://{upstream}"));
                command
            }
            Kind::Nginx { buffer } => {
                let file = directory.join("nginx.conf");
                fs::write(&file, nginx(address, upstream, buffer, directory, certificate))?;
                let mut command = Command::new("nginx");
                command
                    .arg("-e")
                    .arg("stderr")
                    .arg("-p")
                    .arg(directory)
                    .arg("-c")
                    .arg(file);
                command
            }
            Kind::Haproxy { splices } => {
                let file = directory.join("haproxy.cfg");
                let tls = certificate.map_or_else(String::new, |certificate| {
                    format!("ssl crt {} alpn h2,http/1.1", certificate.both.display())
                });
                let server = match around.upstream_speaks_http2 {
                    true => format!("{upstream} proto h2\n    http-reuse always"),
                    false => upstream.to_string(),
                };
                fs::write(&file, haproxy(address, &server, *splices, &tls))?;
                let mut command = Command::new("haproxy");
                command.arg("-q").arg("-db").arg("-f").arg(file);
                command
            }
            Kind::Baseline(baseline) => baseline.command(&listen, upstream)?,
        };
        Ok((address, Some(command)))
    }
}

fn nginx(
    address: SocketAddr,
    upstream: SocketAddr,
    buffer: &str,
    directory: &Path,
    certificate: Option<&Certificate>,
) -> String {
    let (ssl, tls) = certificate.map_or_else(Default::default, |certificate| {
        let (chain, key) = (certificate.chain.display(), certificate.key.display());
        let tls =
            format!("ssl_certificate {chain}; ssl_certificate_key {key}; ssl_session_cache shared:tls:10m; ssl_protocols TLSv1.3;");
        ("ssl", tls)
    });
    let directory = directory.display();
    format!(
        "daemon off; master_process off; worker_processes 1;
pid {directory}/nginx.pid; error_log stderr crit;
events {{ worker_connections 12000; multi_accept on; }}
http {{
    access_log off;
    client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
    upstream origin {{ server {upstream}; keepalive 64; }}
    server {{
        listen {address} {ssl} backlog=4096;
        {tls}
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Host $host;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection $connection_upgrade;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_read_timeout 5m; proxy_send_timeout 60s;
            proxy_buffer_size {buffer}; proxy_buffers 8 {buffer};
        }}
    }}
}}
"
    )
}

fn haproxy(address: SocketAddr, server: &str, splices: bool, tls: &str) -> String {
    // Not `splice-auto`: its guess at what is worth it never comes out in favour of a tunnel.
    let splice = if splices {
        "option splice-request\n    option splice-response"
    } else {
        ""
    };
    format!(
        "global
    nbthread 1
    maxconn 6000
    maxpipes 512
defaults
    mode http
    {splice}
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    timeout http-request 30s
    timeout tunnel 5m
    timeout client-fin 30s
frontend clients
    bind {address} backlog 4096 {tls}
    option forwardfor
    http-request set-header X-Forwarded-Proto http
    default_backend origin
backend origin
    server origin {server}
"
    )
}
