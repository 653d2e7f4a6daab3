//! TLS in front, and the ports that are mistaken for each other.

use std::path::Path;

use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::certificates::{Authority, NOW, VERSIONS};
use crate::examined::{examine, origin};
use crate::programs::Server;

#[tokio::test]
async fn a_gateway_that_ends_tls() {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("doctor-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory can be made");
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (ca, other_ca) = (directory.join("ca.pem"), directory.join("other.pem"));
    std::fs::write(&ca, &authority.pem).expect("a file can be written");
    std::fs::write(&other_ca, &stranger.pem).expect("a file can be written");
    let (chain, key) = authority.localhost().write(&directory, "localhost");
    let origin = origin();
    let route = format!("/=http://{}", origin.address);
    let (chain, key) = (chain.display().to_string(), key.display().to_string());
    let gateway = Server::gateway(&["--route", &route, "--tls-cert", &chain, "--tls-key", &key]);
    let (front, ca, other_ca) = (gateway.address, ca.display(), other_ca.display());

    examine(&format!("--ca {ca} wss://{front}/")).await.finds(&[&[]]);
    examine(&format!("--insecure wss://{front}/")).await.finds(&[&[]]);
    let examined = examine(&format!("--ca {other_ca} wss://{front}/")).await;
    examined.finds(&[&["certificate-not-trusted"]]);
    examined.says("Add the root that has issued it");
    examine(&format!("--ca {ca} wss://{}/", origin.address))
        .await
        .finds(&[&["tls-to-plain-port"]]);
    let examined = examine(&format!("ws://{front}/")).await;
    examined.finds(&[&["plain-to-tls-port"]]);
    let _ = std::fs::remove_dir_all(&directory);
}

#[tokio::test]
async fn a_front_of_http_2_alone() {
    let identity = Authority::by_itself(&["localhost", "127.0.0.1"], NOW, false);
    let acceptor = TlsAcceptor::from(std::sync::Arc::new(identity.server(&VERSIONS, None, &["h2"])));
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a free port");
    let address = listener.local_addr().expect("it has an address");
    let front = tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = acceptor.accept(stream).await;
        }
    });
    examine(&format!("--insecure wss://{address}/"))
        .await
        .finds(&[&["alpn-without-http11"]]);
    front.abort();
}

/// In TLS 1.3 the server says so when the client takes the handshake for done.
#[tokio::test]
async fn a_front_that_demands_a_certificate() {
    let identity = Authority::by_itself(&["localhost", "127.0.0.1"], NOW, false);
    for version in VERSIONS {
        let clients = Authority::new();
        let config = identity.server(&[version], Some(&clients), &[]);
        let acceptor = TlsAcceptor::from(std::sync::Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("there is a free port");
        let address = listener.local_addr().expect("it has an address");
        let front = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let _ = acceptor.accept(stream).await;
            }
        });
        examine(&format!("--insecure wss://{address}/"))
            .await
            .finds(&[&["client-certificate-required"]]);
        front.abort();
    }
}
