//! WebSockets over HTTP/2 (RFC 8441): messages that are sent back one by one, many tunnels on a connection, over TLS as browsers
//! speak it.

use std::fs;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::Request;
use support::certificates::{Authority, NOW, VERSIONS};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::echo::quiet;
use super::frames;
use super::load::{Measured, Metric};
use super::process::Process;

/// A certificate for the proxies, and who believes it.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Both in one file, as HAProxy wants it.
    pub(crate) both: PathBuf,
    client: Arc<ClientConfig>,
    /// For a client that speaks HTTP/1.1.
    pub(crate) http1: Arc<ClientConfig>,
}

impl Certificate {
    pub(crate) fn create(directory: &Path) -> io::Result<Certificate> {
        let authority = Authority::new();
        let identity = authority.issue(&["localhost"], NOW);
        let mut client = authority.client(&VERSIONS, None);
        client.alpn_protocols = vec![b"h2".to_vec()];
        let mut http1 = authority.client(&VERSIONS, None);
        http1.alpn_protocols = vec![b"http/1.1".to_vec()];
        let certificate = Certificate {
            chain: directory.join("chain.pem"),
            key: directory.join("key.pem"),
            both: directory.join("both.pem"),
            client: Arc::new(client),
            http1: Arc::new(http1),
        };
        fs::write(&certificate.chain, &identity.chain)?;
        fs::write(&certificate.key, &identity.key)?;
        fs::write(&certificate.both, [identity.chain, identity.key].concat())?;
        Ok(certificate)
    }
}

/// A tunnel on a connection.
pub(crate) struct Tunnel {
    pub(crate) send: SendStream<Bytes>,
    pub(crate) receive: RecvStream,
}

impl Tunnel {
    fn send(&mut self, message: &Bytes) -> io::Result<()> {
        let sent = self.send.send_data(message.clone(), false);
        sent.map_err(io::Error::other)
    }

    async fn receive(&mut self, mut awaited: usize) -> io::Result<()> {
        while awaited > 0 {
            let data = self.receive.data().await;
            let data = data.ok_or_else(|| io::Error::other("closed in the middle of an echo"))?;
            let count = data.map_err(io::Error::other)?.len();
            let released = self.receive.flow_control().release_capacity(count);
            released.map_err(io::Error::other)?;
            awaited = awaited.saturating_sub(count);
        }
        Ok(())
    }
}

/// Runs for `duration`, after a fifth of that to warm up.
pub(crate) async fn measure(
    proxy: SocketAddr,
    process: Option<&Process>,
    certificate: &Certificate,
    (payload, connections, streams): (usize, usize, usize),
    duration: Duration,
) -> io::Result<Measured> {
    let mut driving = JoinSet::new();
    let mut tunnels = Vec::new();
    for _ in 0..connections {
        let mut sender = connect(proxy, certificate, &Builder::new(), &mut driving).await?;
        for _ in 0..streams {
            tunnels.push(open(&mut sender, proxy, &echo_of(payload)).await?);
        }
    }
    let (tunnels, _) = exchange(tunnels, payload, duration / 5).await?;
    let before = quiet(process).await;
    let since = Instant::now();
    let (_tunnels, round_trips) = exchange(tunnels, payload, duration).await?;
    let took = since.elapsed();
    let mut measured = vec![(Metric::RoundTrips, round_trips as f64 / took.as_secs_f64())];
    if let (Some(before), Some(after)) = (before, quiet(process).await) {
        let each = (after - before).as_secs_f64() * 1e6 / round_trips as f64;
        measured.push((Metric::RoundTripCpu, each));
    }
    Ok(measured)
}

/// Tunnels on one connection, for messages that are counted.
pub(crate) struct Tunnels {
    tunnels: Vec<Tunnel>,
    message: Bytes,
    answer: usize,
    _driving: JoinSet<()>,
}

impl Tunnels {
    pub(crate) async fn open(
        proxy: SocketAddr,
        certificate: &Certificate,
        (payload, streams): (usize, usize),
    ) -> io::Result<Tunnels> {
        let mut driving = JoinSet::new();
        let mut sender = connect(proxy, certificate, &Builder::new(), &mut driving).await?;
        let mut tunnels = Vec::new();
        for _ in 0..streams {
            tunnels.push(open(&mut sender, proxy, &echo_of(payload)).await?);
        }
        Ok(Tunnels {
            tunnels,
            message: Bytes::from(frames::from_client(payload)),
            answer: frames::from_server(payload).len(),
            _driving: driving,
        })
    }

    /// So many messages at least, one on each tunnel at the same time. Returns how many.
    pub(crate) async fn exchange(&mut self, messages: u64) -> io::Result<u64> {
        let mut done = 0;
        while done < messages {
            for tunnel in &mut self.tunnels {
                tunnel.send(&self.message)?;
            }
            for tunnel in &mut self.tunnels {
                tunnel.receive(self.answer).await?;
                done += 1;
            }
        }
        Ok(done)
    }
}

pub(crate) async fn connect(
    proxy: SocketAddr,
    certificate: &Certificate,
    builder: &Builder,
    driving: &mut JoinSet<()>,
) -> io::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let connector = TlsConnector::from(certificate.client.clone());
    let stream = connector.connect(name, stream).await?;
    let (sender, mut connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
    let pings = connection.ping_pong();
    driving.spawn(async move {
        let _ = connection.await;
    });
    if let Some(mut pings) = pings {
        // The settings are before the first pong.
        pings.ping(h2::Ping::opaque()).await.map_err(io::Error::other)?;
    }
    if sender.is_extended_connect_protocol_enabled() {
        return Ok(sender);
    }
    Err(io::Error::other("it has no extended CONNECT"))
}

fn echo_of(payload: usize) -> String {
    format!("/echo?{payload}")
}

pub(crate) async fn open(
    sender: &mut SendRequest<Bytes>,
    proxy: SocketAddr,
    path: &str,
) -> io::Result<Tunnel> {
    let request = Request::connect(format!("https://localhost:{}{path}", proxy.port()))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .body(())
        .map_err(io::Error::other)?;
    poll_fn(|cx| sender.poll_ready(cx))
        .await
        .map_err(io::Error::other)?;
    let (response, send) = sender.send_request(request, false).map_err(io::Error::other)?;
    let response = response.await.map_err(io::Error::other)?;
    match response.status().as_u16() {
        200 => Ok(Tunnel {
            send,
            receive: response.into_body(),
        }),
        status => Err(io::Error::other(format!("no tunnel: {status}"))),
    }
}

/// Exchanges messages on all tunnels until the time is up. Returns the tunnels, silent, and the number of round trips.
async fn exchange(
    tunnels: Vec<Tunnel>,
    payload: usize,
    duration: Duration,
) -> io::Result<(Vec<Tunnel>, u64)> {
    let stop = Arc::new(AtomicBool::new(false));
    let message = Bytes::from(frames::from_client(payload));
    let answer = frames::from_server(payload).len();
    let mut clients = JoinSet::new();
    for tunnel in tunnels {
        clients.spawn(converse(tunnel, message.clone(), answer, stop.clone()));
    }
    let alarm = tokio::spawn(async move {
        tokio::time::sleep(duration).await;
        stop.store(true, Ordering::Relaxed);
    });
    let (mut tunnels, mut round_trips) = (Vec::with_capacity(clients.len()), 0);
    while let Some(client) = clients.join_next().await {
        let (tunnel, count) = client.map_err(io::Error::other)??;
        tunnels.push(tunnel);
        round_trips += count;
    }
    alarm.abort();
    Ok((tunnels, round_trips))
}

async fn converse(
    mut tunnel: Tunnel,
    message: Bytes,
    answer: usize,
    stop: Arc<AtomicBool>,
) -> io::Result<(Tunnel, u64)> {
    let mut round_trips = 0;
    while !stop.load(Ordering::Relaxed) {
        tunnel.send(&message)?;
        tunnel.receive(answer).await?;
        round_trips += 1;
    }
    Ok((tunnel, round_trips))
}
