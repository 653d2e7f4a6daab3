//! Both are there, and neither disturbs the other.

use std::ptr;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use switchover::TcpConnect;
use switchover::tls::{TlsAcceptor, TlsConnect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use two_providers::{client_of_the_program, proxy};

#[tokio::test]
async fn each_computes_with_its_own() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (cert.pem(), signing_key.serialize_pem());
    // In the order in which programs do this, and in the other.
    for _ in 0..2 {
        let (client, server) = proxy(pem.as_bytes(), pem.as_bytes(), key.as_bytes()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(cert.der().clone()).unwrap();
        let own = client_of_the_program(roots).unwrap();
        assert!(ptr::eq(
            own.crypto_provider().secure_random,
            aws_lc_rs::default_provider().secure_random,
        ));
        assert!(
            CryptoProvider::get_default().is_none(),
            "nobody has installed a default of the process"
        );

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = TlsAcceptor::new(server);
        let serving = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = acceptor.accept(stream).await.unwrap();
            stream.write_all(b"hello").await.unwrap();
            stream.shutdown().await.unwrap();
        });
        let tcp = TcpConnect::to(format!("localhost:{}", address.port()));
        let mut stream = TlsConnect::to(tcp.name(), client)
            .unwrap()
            .stream()
            .await
            .unwrap();
        let mut received = Vec::new();
        stream.read_to_end(&mut received).await.unwrap();
        assert_eq!(received, b"hello");
        serving.await.unwrap();
    }
}
