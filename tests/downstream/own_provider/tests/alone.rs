//! The provider is the program's, by a value or by a feature. In one test each: what the process has as its default changes on the way.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::crypto::CryptoProvider;
use switchover::tls::{TlsAcceptor, TlsClientConfig, TlsConnect, TlsServerConfig};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

#[cfg(feature = "by-feature")]
#[tokio::test]
async fn the_provider_of_the_feature_computes() {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (cert.pem(), signing_key.serialize_pem());
    let client = TlsClientConfig::builder()
        .only_roots(pem.as_bytes())
        .build()
        .unwrap();
    let server = TlsServerConfig::from_pem(pem.as_bytes(), key.as_bytes()).unwrap();
    speak(client, server).await;
    assert!(CryptoProvider::get_default().is_none(), "the proxy installs none");
}

#[cfg(not(feature = "by-feature"))]
#[tokio::test]
async fn the_programs_provider_computes() {
    use own_provider::{client_of_the_program, proxy};
    use rustls::RootCertStore;
    use switchover::tls::TlsConfigError;

    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (pem, key) = (cert.pem(), signing_key.serialize_pem());
    let (pem, key) = (pem.as_bytes(), key.as_bytes());

    // Nobody has named one yet.
    let none = TlsClientConfig::builder().only_roots(pem).build().unwrap_err();
    assert!(matches!(none, TlsConfigError::NoProvider), "{none}");
    let none = TlsServerConfig::from_pem(pem, key).unwrap_err();
    assert!(matches!(none, TlsConfigError::NoProvider), "{none}");
    assert!(none.to_string().contains("`ring` or `aws-lc-rs`"), "{none}");

    let (client, server) = proxy(pem, pem, key).unwrap();
    speak(client, server).await;
    assert!(CryptoProvider::get_default().is_none(), "the proxy installs none");

    // In a program with one provider: its builders need no argument, and make it the default of the process.
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).unwrap();
    drop(client_of_the_program(roots));
    assert!(CryptoProvider::get_default().is_some());
    let client = TlsClientConfig::builder().only_roots(pem).build().unwrap();
    speak(client, TlsServerConfig::from_pem(pem, key).unwrap()).await;
}

async fn speak(client: TlsClientConfig, server: TlsServerConfig) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = TlsAcceptor::new(server);
    let serving = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(stream).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.shutdown().await.unwrap();
    });
    let connect = TlsConnect::to(format!("localhost:{port}"), client).unwrap();
    let mut stream = connect.stream().await.unwrap();
    let mut received = Vec::new();
    stream.read_to_end(&mut received).await.unwrap();
    assert_eq!(received, b"hello");
    serving.await.unwrap();
}
