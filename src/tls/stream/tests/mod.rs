//! Connections of both sides without a network between them, and peers that send what rustls would not.

mod early_data;
mod forged;
mod handshakes;
mod mutated;
mod payload;
mod streams;

use std::sync::Arc;
use std::task::{Context, Waker};

use bytes::BytesMut;
use tokio::io::ReadBuf;
use tokio_rustls::rustls::client::UnbufferedClientConnection;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::server::UnbufferedServerConnection;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore, ServerConfig, SupportedProtocolVersion};

use super::connection::Connection;
use super::driven;
use super::handshake::Established;
use super::outgoing::Outgoing;
use super::progress::Handshake;
use super::sink::{Come, Sink};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// What computes, on either side.
fn providers() -> Vec<CryptoProvider> {
    vec![
        ring::default_provider(),
        #[cfg(feature = "aws-lc-rs")]
        tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
    ]
}

struct Configs {
    server: ServerConfig,
    client: ClientConfig,
}

impl Configs {
    fn new(version: &'static SupportedProtocolVersion, provider: CryptoProvider) -> Self {
        let provider = Arc::new(provider);
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).unwrap();
        let key = issued.signing_key.serialize_der().try_into().unwrap();
        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[version])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Configs { server, client }
    }

    fn server(&self) -> UnbufferedServerConnection {
        UnbufferedServerConnection::new(Arc::new(self.server.clone())).unwrap()
    }

    fn client(&self) -> UnbufferedClientConnection {
        UnbufferedClientConnection::new(Arc::new(self.client.clone()), name()).unwrap()
    }

    /// Both sides behind their handshake, and what has passed between them.
    fn ends(&self) -> (End<UnbufferedServerConnection>, End<UnbufferedClientConnection>) {
        shaken(self.server(), self.client(), usize::MAX)
    }
}

fn name() -> ServerName<'static> {
    ServerName::try_from("localhost").unwrap()
}

/// One side behind its handshake.
struct End<C> {
    connection: C,
    received: BytesMut,
    outgoing: Outgoing,
    /// What has been opened.
    opened: Vec<u8>,
    steps: usize,
}

impl<C: Connection> End<C> {
    fn of(handshake: Handshake<C>) -> Self {
        let steps = handshake.steps;
        let Established {
            connection,
            received,
            opened,
            is_closed,
        } = handshake.into_established();
        assert!(!is_closed);
        End {
            connection,
            received,
            outgoing: Outgoing::default(),
            opened: opened.to_vec(),
            steps,
        }
    }

    fn into_established(self) -> Established<C> {
        Established {
            connection: self.connection,
            received: self.received,
            opened: BytesMut::from(&self.opened[..]),
            is_closed: false,
        }
    }

    /// Opens into a buffer that has this much room each time.
    fn open(&mut self, bytes: &mut Vec<u8>, room: usize) -> Come {
        self.received.extend_from_slice(bytes);
        bytes.clear();
        loop {
            let (mut space, mut rest) = (vec![0; room], BytesMut::new());
            let mut into = ReadBuf::new(&mut space);
            let mut sink = Sink {
                into: Some(&mut into),
                opened: &mut rest,
                outgoing: &mut self.outgoing,
            };
            let (used, come) = driven::open(&mut self.connection, &mut self.received, &mut sink);
            super::use_up(&mut self.received, used);
            self.opened.extend_from_slice(into.filled());
            self.opened.extend_from_slice(&rest);
            if !matches!(come, Come::Full) {
                return come;
            }
        }
    }

    /// Seals into what is outgoing.
    fn seal(&mut self, payload: &[u8]) -> Result<(), Error> {
        let (mut rest, mut sealed) = (BytesMut::new(), Vec::new());
        let mut sink = Sink {
            into: None,
            opened: &mut rest,
            outgoing: &mut self.outgoing,
        };
        let received = &mut self.received;
        let (count, come) = driven::seal(&mut self.connection, received, payload, &mut sealed, &mut sink);
        assert!(come.is_none(), "{come:?}");
        self.opened.extend_from_slice(&rest);
        self.outgoing.push(&sealed[..count.expect("it seals")?]);
        Ok(())
    }

    fn close(&mut self) {
        let mut rest = BytesMut::new();
        let mut sink = Sink {
            into: None,
            opened: &mut rest,
            outgoing: &mut self.outgoing,
        };
        let come = driven::close(&mut self.connection, &mut self.received, &mut sink);
        assert!(matches!(come, None | Some(Come::Closed)), "{come:?}");
    }

    fn wire(&mut self) -> Vec<u8> {
        wire(&mut self.outgoing)
    }
}

fn wire(outgoing: &mut Outgoing) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    assert!(outgoing.poll_write(&mut cx, &mut bytes).is_ready());
    bytes
}

/// A handshake whose bytes come so many at a time.
fn shaken<S: Connection, C: Connection>(server: S, client: C, step: usize) -> (End<S>, End<C>) {
    let mut server = Handshake::new(server, BytesMut::new());
    let mut client = Handshake::new(client, BytesMut::new());
    let (mut up, mut down) = (Outgoing::default(), Outgoing::default());
    let mut done = (false, client.advance(&mut up).unwrap());
    for _ in 0..10 {
        for piece in wire(&mut up).chunks(step) {
            server.received.extend_from_slice(piece);
            done.0 = server.advance(&mut down).unwrap();
        }
        for piece in wire(&mut down).chunks(step) {
            client.received.extend_from_slice(piece);
            done.1 = client.advance(&mut up).unwrap();
        }
        if done == (true, true) && up.is_empty() {
            return (End::of(server), End::of(client));
        }
    }
    panic!("no end of the handshake: {done:?}");
}
