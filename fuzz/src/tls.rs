//! Handshakes of TLS whose records are changed on their way, between the crate's own two sides: whatever becomes of them, there is an end,
//! and nobody reads what the other side has not sent. What is only cut otherwise changes nothing.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Request;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::header::Hop;
use switchover::tls::rustls::crypto::ring;
use switchover::tls::rustls::version::{TLS12, TLS13};
use switchover::tls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::time::timeout;

const UP: &[u8] = b"what the client says";
const DOWN: &[u8] = b"what the server says to it";

/// Longer than the deadline of a handshake.
const PATIENCE: Duration = Duration::from_secs(60);

/// The most that goes on of one direction beside what was said.
const ADDED: usize = 256 * 1024;

type Sides = (TlsServerConfig, TlsClientConfig);

/// Of either version, with sessions that resume and without.
fn sides(choice: u8) -> &'static Sides {
    static SIDES: OnceLock<Vec<Sides>> = OnceLock::new();
    let all = SIDES.get_or_init(|| {
        let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let provider = Arc::new(ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(issued.cert.der().clone()).unwrap();
        let mut sides = Vec::new();
        for version in [&TLS13, &TLS12] {
            for resumes in [false, true] {
                let key = issued.signing_key.serialize_der().try_into().unwrap();
                let server = ServerConfig::builder_with_provider(provider.clone())
                    .with_protocol_versions(&[version])
                    .unwrap()
                    .with_no_client_auth()
                    .with_single_cert(vec![issued.cert.der().clone()], key)
                    .unwrap();
                let client = ClientConfig::builder_with_provider(provider.clone())
                    .with_protocol_versions(&[version])
                    .unwrap()
                    .with_root_certificates(roots.clone())
                    .with_no_client_auth();
                let server = TlsServerConfig::from_rustls(server);
                let server = match resumes {
                    true => server.session_tickets(),
                    false => server.without_resumption(),
                };
                sides.push((server, TlsClientConfig::from_rustls(client)));
            }
        }
        sides
    });
    &all[usize::from(choice) % all.len()]
}

/// What is done to one record after the other, read from the input.
struct Changes<'a> {
    input: &'a [u8],
    is_changed: bool,
}

impl Changes<'_> {
    fn next(&mut self) -> u8 {
        let Some((&first, rest)) = self.input.split_first() else {
            return 0;
        };
        self.input = rest;
        first
    }

    fn number(&mut self) -> usize {
        usize::from(u16::from_be_bytes([self.next(), self.next()]))
    }

    /// What goes on of a record, and in pieces of how many bytes.
    fn apply(&mut self, mut record: Vec<u8>) -> (Vec<u8>, usize) {
        let what = self.next() % 10;
        self.is_changed |= what > 1;
        match what {
            1 => return (record, 1 + usize::from(self.next())),
            2 => {
                let (at, bit) = (self.number() % record.len(), self.next() % 8);
                record[at] ^= 1 << bit;
            }
            3 => record[0] = self.next(),
            4 => record[1..3].copy_from_slice(&[self.next(), self.next()]),
            5 => {
                let (kind, size) = (record[0], 1 + usize::from(self.next()));
                let pieces = record[HEADER..].chunks(size);
                record = pieces.flat_map(|piece| made(kind, piece)).collect();
            }
            6 => {
                let times = usize::from(self.next());
                record = record.repeat(times.min(ADDED / record.len()));
            }
            7 => record.clear(),
            8 => {
                let (kind, length) = (self.next(), self.number() % 18_000);
                record.splice(0..0, made(kind, &vec![0; length]));
            }
            9 => {
                let (raw, rest) = self.input.split_at(self.input.len().min(40));
                record.splice(0..0, raw.iter().copied());
                self.input = rest;
            }
            _ => {}
        }
        (record, usize::MAX)
    }
}

const HEADER: usize = 5;

fn made(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u16).to_be_bytes();
    [&[kind, 3, 3][..], &length, payload].concat()
}

/// Passes records on. Says whether it has changed one.
async fn relay(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, input: &[u8]) -> bool {
    let mut changes = Changes {
        input,
        is_changed: false,
    };
    let mut header = [0; HEADER];
    while from.read_exact(&mut header).await.is_ok() {
        let mut record = header.to_vec();
        record.resize(
            HEADER + usize::from(u16::from_be_bytes([header[3], header[4]])),
            0,
        );
        if from.read_exact(&mut record[HEADER..]).await.is_err() {
            break;
        }
        let (bytes, size) = changes.apply(record);
        for piece in bytes.chunks(size.min(bytes.len().max(1))) {
            if to.write_all(piece).await.is_err() {
                return changes.is_changed;
            }
            tokio::task::yield_now().await;
        }
    }
    let _ = to.shutdown().await;
    changes.is_changed
}

/// Says this, and hears what the other side says, which is so long.
async fn talk(stream: impl AsyncRead + AsyncWrite + Unpin, said: &[u8], length: usize) -> Vec<u8> {
    let (mut reader, mut writer) = split(stream);
    let mut heard = Vec::new();
    let saying = async {
        let _ = writer.write_all(said).await;
        let _ = writer.flush().await;
    };
    let hearing = async {
        let mut piece = [0; 100];
        while heard.len() < length {
            match timeout(PATIENCE, reader.read(&mut piece)).await {
                Ok(Ok(count @ 1..)) => heard.extend_from_slice(&piece[..count]),
                _ => break,
            }
        }
    };
    tokio::join!(saying, hearing);
    heard
}

/// Leads to one stream in memory.
struct Once(std::sync::Mutex<Option<DuplexStream>>);

impl Connect for Once {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        Ok(self.0.lock().unwrap().take().expect("one connection"))
    }
}

pub(crate) fn handshake(data: &[u8]) {
    let Some((&choice, input)) = data.split_first() else {
        return;
    };
    let (up, down) = input.split_at(input.len() / 2);
    let (server_config, client_config) = sides(choice);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(async {
        let (client, near_client) = duplex(64 * 1024);
        let (near_server, server) = duplex(64 * 1024);
        let (from_client, to_client) = split(near_client);
        let (from_server, to_server) = split(near_server);
        let asking = async {
            let once = Once(std::sync::Mutex::new(Some(client)));
            let connect = TlsConnect::new(once, "localhost", client_config.clone()).unwrap();
            let (head, ()) = Request::new(()).into_parts();
            let connecting = connect.connect(ConnectRequest::new(&head, Hop::unknown()));
            match timeout(PATIENCE, connecting).await {
                Ok(Ok(stream)) => Some(talk(stream, UP, DOWN.len()).await),
                _ => None,
            }
        };
        let serving = async {
            match TlsAcceptor::new(server_config.clone()).accept(server).await {
                Ok(stream) => Some(talk(stream, DOWN, UP.len()).await),
                Err(_) => None,
            }
        };
        let both = async {
            tokio::join!(
                asking,
                serving,
                relay(from_client, to_server, up),
                relay(from_server, to_client, down)
            )
        };
        let (client, server, up, down) = timeout(10 * PATIENCE, both).await.expect("an end");
        let heard = (client.unwrap_or_default(), server.unwrap_or_default());
        assert!(
            DOWN.starts_with(&heard.0) && UP.starts_with(&heard.1),
            "{heard:?}"
        );
        assert!(
            up || down || heard == (DOWN.to_vec(), UP.to_vec()),
            "nothing was changed: {heard:?}"
        );
    });
}
