//! From one proxy to the next by the PROXY protocol, and on as if there were none: the client's address arrives, bulk is
//! spliced.

use std::time::Duration;

use axum::serve::{Listener, ListenerExt};
use switchover::TcpConnect;
use switchover::gateway::{Gateway, Outcome};
use switchover::header::Hop;
use switchover::proxy_protocol::{ProxyProtocolAcceptor, ProxyProtocolConnect, Version};
use switchover::service::{ReverseProxy, ServiceConfig};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, TIMEOUT, UPGRADE_REQUEST};
use switchover::tunnel::{Rewind, Traffic};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::loopback;

const BULK: usize = 32 * 1024 * 1024;

/// Sends bytes through a tunnel to an echo, and reads them again.
async fn bulk(client: &mut ScriptedClient) {
    let (mut reader, mut writer) = client.stream().split();
    let send = async {
        writer.write_all(&vec![7; BULK]).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let mut received = Vec::with_capacity(BULK);
    let (_, read) = tokio::join!(send, reader.read_to_end(&mut received));
    assert_eq!(read.unwrap(), BULK);
}

fn is_spliced(traffic: &Traffic) {
    if cfg!(target_os = "linux") {
        assert!(
            traffic.spliced_from_downstream() > 0 && traffic.spliced_from_upstream() > 0,
            "{traffic}"
        );
    }
}

#[tokio::test]
async fn from_gateway_to_gateway() {
    for version in [Version::V1, Version::V2] {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let behind = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let to_behind = TcpConnect::to(behind.local_addr().unwrap().to_string());
        let front = Gateway::builder(ProxyProtocolConnect::new(to_behind, version)).build();
        let back = Gateway::builder(TcpConnect::to(origin.address().to_string())).build();
        let (client, stream, _) = crate::pair().await;
        let hop = Hop::from("192.0.2.1:5000".parse::<std::net::SocketAddr>().unwrap());
        let fronting = tokio::spawn(async move { front.serve(stream, hop).await });
        let backing = tokio::spawn(async move {
            let (stream, peer) = behind.accept().await.unwrap();
            let proxied = ProxyProtocolAcceptor::new(loopback()).accept(stream, peer).await;
            let proxied = proxied.unwrap();
            back.serve(proxied.stream, proxied.hop).await.unwrap()
        });
        let mut client = ScriptedClient::from(client);
        client.send(UPGRADE_REQUEST).await;
        assert_eq!(client.head().await.status, 101);
        let head = origin.connection(0).await.head().await;
        assert!(head.contains("\r\nX-Real-IP: 192.0.2.1\r\n"), "{head}");
        bulk(&mut client).await;
        drop(client);
        let Outcome::Tunnelled { traffic, .. } = backing.await.unwrap() else {
            panic!()
        };
        is_spliced(&traffic);
        let Ok(Outcome::Tunnelled { traffic, .. }) = fronting.await.unwrap() else {
            panic!()
        };
        is_spliced(&traffic);
    }
}

/// A listener that balancers connect to.
struct Balanced {
    listener: TcpListener,
    acceptor: ProxyProtocolAcceptor,
}

impl Listener for Balanced {
    type Io = Rewind<TcpStream>;
    type Addr = Hop;

    async fn accept(&mut self) -> (Rewind<TcpStream>, Hop) {
        loop {
            let Ok((stream, peer)) = self.listener.accept().await else {
                continue;
            };
            if let Ok(proxied) = self.acceptor.accept(stream, peer).await {
                return (proxied.stream, proxied.hop);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Hop> {
        self.listener.local_addr().map(Hop::from)
    }
}

#[tokio::test]
async fn into_a_service() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let (sender, ends) = std::sync::mpsc::channel();
    let config = ServiceConfig::default().on_end(move |ended| drop(sender.send(ended)));
    let service = ReverseProxy::new(TcpConnect::to(origin.address().to_string())).config(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let listener = Balanced {
        listener,
        acceptor: ProxyProtocolAcceptor::new(loopback()),
    };
    let router = axum::Router::new()
        .fallback_service(service)
        .into_make_service_with_connect_info::<Hop>();
    // axum tells of a listener's own addresses where its connections are tapped.
    let listener = listener.tap_io(|_| {});
    let serving = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    let mut client = ScriptedClient::connect(address).await;
    let header = "PROXY TCP4 192.0.2.1 198.51.100.1 5000 80\r\n";
    client.send([header, UPGRADE_REQUEST, "early"].concat()).await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"early").await;
    bulk(&mut client).await;
    drop(client);
    let ended = tokio::task::spawn_blocking(move || ends.recv_timeout(TIMEOUT)).await;
    let ended = ended.unwrap().unwrap();
    assert!(ended.plain, "hyper has given back the socket");
    is_spliced(&ended.result.unwrap());
    tokio::time::timeout(Duration::from_secs(1), async {
        serving.abort();
        let _ = serving.await;
    })
    .await
    .unwrap();
}
