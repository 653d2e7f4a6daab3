//! A client or an origin on a stream that may be encrypted: sends what it is given, and says what came.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use switchover::http1::{HeadLimits, Parsed, parse_request};
use switchover::test_util::{UPGRADE_REQUEST, switching_protocols};
use switchover::tunnel::AnyStream;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, HandshakeKind, ServerConfig, SupportedProtocolVersion};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::certificates::Authority;

pub struct Peer {
    pub stream: AnyStream,
    unread: Vec<u8>,
}

pub use crate::bounded::within as patiently;

/// A connection, with TLS for `localhost` if there is a configuration for it.
pub async fn connect(address: SocketAddr, tls: Option<ClientConfig>) -> io::Result<Peer> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    match tls {
        None => Ok(Peer::new(AnyStream::from(stream))),
        Some(config) => encrypted(stream, config).await,
    }
}

/// TLS for `localhost` on a connection.
pub async fn encrypted<S>(stream: S, config: ClientConfig) -> io::Result<Peer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let name = ServerName::try_from("localhost").unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, stream);
    let stream = patiently("a TLS handshake", connecting).await?;
    Ok(Peer::new(AnyStream::new(stream)))
}

/// A client that comes more than once: it keeps the sessions of its own visits, and nobody else's.
pub struct Visitor(TlsConnector);

impl Visitor {
    pub fn new(authority: &Authority, version: &'static SupportedProtocolVersion) -> Self {
        Visitor(TlsConnector::from(Arc::new(authority.client(&[version], None))))
    }

    /// Connects, has an upgrade answered by 101, and leaves. Says which kind of handshake TLS has done.
    pub async fn visit(&self, address: SocketAddr) -> HandshakeKind {
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = patiently("a TLS handshake", self.0.connect(name, stream))
            .await
            .unwrap();
        stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        // With TLS 1.3 the tickets come behind the handshake, and before the answer.
        let mut answer = [0; 12];
        patiently("an answer", stream.read_exact(&mut answer))
            .await
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 101");
        stream.get_ref().1.handshake_kind().unwrap()
    }
}

impl Peer {
    pub fn new(stream: AnyStream) -> Self {
        Peer {
            stream,
            unread: Vec::new(),
        }
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sending = async {
            self.stream.write_all(bytes.as_ref()).await?;
            self.stream.flush().await
        };
        patiently("bytes to be taken", sending).await.unwrap();
    }

    /// Reads once. False at the end.
    async fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; 16 * 1024];
        let count = patiently("bytes, or the end", self.stream.read(&mut bytes)).await?;
        self.unread.extend_from_slice(&bytes[..count]);
        Ok(count > 0)
    }

    /// A head, with its empty line.
    pub async fn head(&mut self) -> String {
        loop {
            let end = self.unread.windows(4).position(|window| window == b"\r\n\r\n");
            if let Some(end) = end {
                let head: Vec<u8> = self.unread.drain(..end + 4).collect();
                return String::from_utf8(head).unwrap();
            }
            let more = self.read().await;
            assert!(
                matches!(more, Ok(true)),
                "{more:?} before a head, after {:?}",
                self.unread.escape_ascii().to_string()
            );
        }
    }

    /// Reads a request head and answers it with a good 101.
    pub async fn switch(&mut self) -> String {
        let head = self.head().await;
        let parsed = parse_request(head.as_bytes(), &HeadLimits::default()).unwrap();
        let Parsed::Complete { parts, .. } = parsed else {
            panic!("a whole head")
        };
        self.send(switching_protocols(&parts)).await;
        head
    }

    pub async fn receives(&mut self, bytes: impl AsRef<[u8]>) {
        let bytes = bytes.as_ref();
        while self.unread.len() < bytes.len() {
            let more = self.read().await;
            assert!(matches!(more, Ok(true)), "{more:?} after {:?}", self.unread);
        }
        let received: Vec<u8> = self.unread.drain(..bytes.len()).collect();
        assert_eq!(
            received.escape_ascii().to_string(),
            bytes.escape_ascii().to_string()
        );
    }

    /// Everything up to the end, and whether that was in order: with closing words, where TLS is spoken.
    pub async fn rest(&mut self) -> (Vec<u8>, io::Result<()>) {
        loop {
            match self.read().await {
                Ok(true) => {}
                Ok(false) => return (std::mem::take(&mut self.unread), Ok(())),
                Err(error) => return (std::mem::take(&mut self.unread), Err(error)),
            }
        }
    }

    pub async fn ends(&mut self) {
        let (rest, end) = self.rest().await;
        assert!(rest.is_empty() && end.is_ok(), "{end:?} after {rest:?}");
    }

    pub async fn end_writes(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}

/// A server that hands over each connection when its handshake is done, or has failed.
pub struct Origin {
    pub address: SocketAddr,
    accepted: mpsc::UnboundedReceiver<io::Result<Peer>>,
    _accepting: JoinSet<()>,
}

impl Origin {
    pub async fn start(tls: Option<ServerConfig>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let tls = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let (sender, accepted) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut handshakes = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (tls, sender) = (tls.clone(), sender.clone());
                handshakes.spawn(async move {
                    let stream = match tls {
                        None => Ok(AnyStream::from(stream)),
                        Some(tls) => tls.accept(stream).await.map(AnyStream::new),
                    };
                    // The test may have ended already.
                    let _ = sender.send(stream.map(Peer::new));
                });
            }
        });
        Origin {
            address,
            accepted,
            _accepting: accepting,
        }
    }

    /// The next connection.
    pub async fn accepts(&mut self) -> io::Result<Peer> {
        let accepted = patiently("a connection to the origin", self.accepted.recv()).await;
        accepted.expect("an origin that accepts")
    }
}
