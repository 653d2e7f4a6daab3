//! The loads of a tunnel with TLS from the client and none to the upstream, as most gateways are run.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind};

use super::bulk::{self, Flow};
use super::load::{Direction, Measured};
use super::process::Process;
use super::upstream::{self, Upstream};
use super::{client, echo, frames, idle};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Echo {
        payload: usize,
        connections: usize,
    },
    Bulk {
        streams: usize,
        direction: Direction,
    },
    /// Connect, TLS, upgrade, read the 101, close.
    Handshake {
        is_resumed: bool,
    },
    Idle,
}

impl Work {
    pub(crate) const ALL: [Work; 10] = [
        Work::Echo {
            payload: 64,
            connections: 64,
        },
        Work::Echo {
            payload: 64,
            connections: 512,
        },
        Work::Echo {
            payload: 4096,
            connections: 64,
        },
        Work::Bulk {
            streams: 1,
            direction: Direction::Down,
        },
        Work::Bulk {
            streams: 1,
            direction: Direction::Up,
        },
        Work::Bulk {
            streams: 16,
            direction: Direction::Down,
        },
        Work::Bulk {
            streams: 16,
            direction: Direction::Up,
        },
        Work::Handshake { is_resumed: false },
        Work::Handshake { is_resumed: true },
        Work::Idle,
    ];

    pub(crate) fn name(self) -> String {
        match self {
            Work::Echo { payload, connections } => format!("tls-echo-{payload}-{connections}"),
            Work::Bulk { streams, direction } => format!("tls-bulk-{streams}-{}", direction.name()),
            Work::Handshake { is_resumed: false } => "tls-handshake".to_owned(),
            Work::Handshake { is_resumed: true } => "tls-resumed".to_owned(),
            Work::Idle => "tls-idle".to_owned(),
        }
    }
}

/// Who is measured, and by whom.
pub(crate) struct Scene<'a> {
    pub(crate) proxy: SocketAddr,
    pub(crate) process: &'a Process,
    pub(crate) upstream: &'a Upstream,
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) tunnels: usize,
}

pub(crate) async fn measure(scene: &Scene<'_>, work: Work, duration: Duration) -> io::Result<Measured> {
    let process = Some(scene.process);
    match work {
        Work::Echo { payload, connections } => {
            let streams = scene.open_many(connections, format!("/echo?{payload}")).await?;
            echo::measure_on(streams, process, payload, duration).await
        }
        Work::Bulk { streams, direction } => {
            let mut flow = Flow::new(scene.upstream);
            for stream in scene.open_many(streams, direction.path().to_owned()).await? {
                let down = flow.down.clone();
                flow.add(run(stream, direction, down));
            }
            bulk::measure_flow(&mut flow, process, duration).await
        }
        Work::Handshake { is_resumed } => {
            idle::measure_handshakes_by(|time| scene.shake_hands(time, is_resumed), process, duration).await
        }
        Work::Idle => {
            let open = |count| scene.carry_one(count);
            idle::measure_opened_by(open, scene.process, scene.tunnels).await
        }
    }
}

impl Scene<'_> {
    async fn open_many(&self, count: usize, path: String) -> io::Result<Vec<TlsStream<TcpStream>>> {
        let (proxy, config) = (self.proxy, self.client.clone());
        client::many(count, || open(proxy, config.clone(), path.clone())).await
    }

    async fn carry_one(&self, count: usize) -> io::Result<Vec<TlsStream<TcpStream>>> {
        let streams = self.open_many(count, "/echo?64".to_owned()).await?;
        let (streams, _) = echo::exchange(streams, 64, Duration::from_secs(30), 1).await?;
        Ok(streams)
    }

    /// Resumes whatever can be resumed, or nothing.
    async fn shake_hands(&self, duration: Duration, is_resumed: bool) -> io::Result<u64> {
        const AT_A_TIME: usize = 8;
        let mut config = (*self.client).clone();
        if !is_resumed {
            config.resumption = Resumption::disabled();
        }
        let (proxy, config) = (self.proxy, Arc::new(config));
        let (full, resumed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let counts = (full.clone(), resumed.clone());
        let open = move || {
            let (config, full, resumed) = (config.clone(), full.clone(), resumed.clone());
            async move {
                let stream = open(proxy, config, "/echo?64".to_owned()).await?;
                match stream.get_ref().1.handshake_kind() {
                    Some(HandshakeKind::Resumed) => resumed.fetch_add(1, Ordering::Relaxed),
                    _ => full.fetch_add(1, Ordering::Relaxed),
                };
                Ok(stream)
            }
        };
        let count = idle::shake_hands_by(duration, AT_A_TIME, u64::MAX, open).await?;
        // Each client begins with a full handshake.
        let [full, resumed] = [counts.0, counts.1].map(|count| count.load(Ordering::Relaxed));
        let (others, bound) = if is_resumed {
            (full, 2 * AT_A_TIME as u64)
        } else {
            (resumed, 0)
        };
        if others > bound + count / 20 {
            return Err(io::Error::other(format!(
                "{full} full handshakes, {resumed} resumed"
            )));
        }
        Ok(count)
    }
}

async fn open(
    proxy: SocketAddr,
    config: Arc<ClientConfig>,
    path: String,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    let stream = TlsConnector::from(config).connect(name, stream).await?;
    client::switch(stream, proxy, &path).await
}

async fn run<S>(stream: S, direction: Direction, down: Arc<AtomicU64>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let frame = frames::from_client(frames::bulk_payload());
    let (mut reader, mut writer) = tokio::io::split(stream);
    let read = async {
        loop {
            match upstream::read_and_forget(&mut reader).await? {
                0 => return Ok(()),
                count => down.fetch_add(count as u64, Ordering::Relaxed),
            };
        }
    };
    match direction {
        Direction::Down => read.await,
        Direction::Up => upstream::source(&mut writer, &frame).await,
        Direction::Both => tokio::try_join!(read, upstream::source(&mut writer, &frame)).map(|_| ()),
    }
}
