//! Whether a private key belongs to the certificate that is shown with it, also where rustls cannot read the certificate.
//!
//! rustls reads the certificate of its own side only to compare keys, and reads no certificate of version 1 (RFC 5280, section
//! 4.1.2.1), which is what `openssl req -new` and `openssl x509 -req` make without extensions. A peer that verifies does so by
//! its own means. This file must not judge the certificates of peers.

use tokio_rustls::rustls::crypto::CryptoProvider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::{CertificateError, Error, InconsistentKeys};

use super::pem::Identity;
use super::{TlsConfigError, provider};

/// A certificate chain, its own certificate first, with the private key, from PEM: for a
/// [resolver](super::rustls::server::ResolvesServerCert) that chooses among several by the name that a client asks for.
///
/// The first certificate may be one of version 1, which [`CertifiedKey::from_der`] refuses. Most clients accept such a
/// certificate only where they verify nothing, or where they were given this very certificate.
///
/// ```
/// use std::sync::Arc;
/// use switchover::tls::rustls::sign::{CertifiedKey, SingleCertAndKey};
/// use switchover::tls::{TlsConfigError, certified_key};
///
/// fn resolver(chain: &[u8], key: &[u8]) -> Result<SingleCertAndKey, TlsConfigError> {
///     Ok(SingleCertAndKey::from(certified_key(chain, key)?))
/// }
/// ```
///
/// # Errors
///
/// The chain or the key is not what it should be, they do not belong together, or there is
/// [no provider](TlsConfigError::NoProvider): it is the one that the [module](super) names for configurations that name none.
pub fn certified_key(
    chain: impl Into<Vec<u8>>,
    key: impl Into<Vec<u8>>,
) -> Result<CertifiedKey, TlsConfigError> {
    let identity = Identity {
        chain: chain.into(),
        key: key.into(),
    };
    let provider = provider::chosen(None)?;
    of_identity(&identity, &provider)
}

pub(super) fn of_identity(
    identity: &Identity,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, TlsConfigError> {
    let (chain, key) = identity.parse()?;
    let signer = provider.key_provider.load_private_key(key);
    let certified = CertifiedKey::new(chain, signer.map_err(TlsConfigError::of_identity)?);
    let consistent = match certified.keys_match() {
        Err(error) if is_version_1(&error) => keys_match_in_version_1(&certified),
        consistent => consistent,
    };
    match consistent {
        // A key that does not say its public half, as one in hardware, is not compared.
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
        Err(error) => Err(TlsConfigError::of_identity(error)),
    }
}

fn is_version_1(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(other)) = error else {
        return false;
    };
    matches!(
        other.0.downcast_ref(),
        Some(webpki::Error::UnsupportedCertVersion)
    )
}

fn keys_match_in_version_1(certified: &CertifiedKey) -> Result<(), Error> {
    let certificate = CertificateDer::from(certified.end_entity_cert()?.as_ref());
    // What reads the roots reads version 1 too.
    let read = webpki::anchor_from_trusted_cert(&certificate);
    let read = read.map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let key = certified.key.public_key();
    let key = key.ok_or(Error::InconsistentKeys(InconsistentKeys::Unknown))?;
    match contents_of_sequence(key.as_ref()) == Some(read.subject_public_key_info.as_ref()) {
        true => Ok(()),
        false => Err(Error::InconsistentKeys(InconsistentKeys::KeyMismatch)),
    }
}

/// What a DER SEQUENCE that is all of these bytes holds (X.690, sections 8.1.3 and 8.9).
fn contents_of_sequence(der: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    let (&first, rest) = der.strip_prefix(&[SEQUENCE])?.split_first()?;
    let (length, contents) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, contents) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = digits
                .iter()
                .fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, contents)
        }
        _ => return None,
    };
    (contents.len() == length).then_some(contents)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsConnector;
    use tokio_rustls::rustls::client::danger::{
        HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
    };
    use tokio_rustls::rustls::pki_types::{ServerName, UnixTime};
    use tokio_rustls::rustls::version::{TLS12, TLS13};
    use tokio_rustls::rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

    use super::*;
    use crate::tls::{TlsAcceptor, TlsClientConfig, TlsServerConfig};

    // openssl req -new -key key.pem -subj /CN=localhost -out request.pem
    // openssl x509 -req -in request.pem -signkey key.pem -days 36500 -out certificate.pem
    const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\n\
MIIBJDCBywIUTF6ngBzFDEiO/7Y9YsEpoEY/8g4wCgYIKoZIzj0EAwIwFDESMBAG\n\
A1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyOTAwMzg0OFoYDzIxMjYxMTA1MDAzODQ4\n\
WjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNC\n\
AAS/ilarKACNOlcEzNaO2CtCLwOpuNqNgzubb20eZns6lvcaVBk5WwF+Anel4Gzx\n\
KKNThyNwkLj3c4TvAQwuWvyBMAoGCCqGSM49BAMCA0gAMEUCIDpM34ZbXkQNOzk1\n\
Z7rkLMiHi0NB1rNgxpdHkhrONRBvAiEAiTc3Y/SZhsH1NGDmeKMKbtgubXQ5BPaC\n\
aG9y4UQtJMQ=\n\
-----END CERTIFICATE-----";
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgG2kFa7Re2aTjCIAU\n\
d2Y0i0OZEVxqTWqe+2ngcxry7juhRANCAAS/ilarKACNOlcEzNaO2CtCLwOpuNqN\n\
gzubb20eZns6lvcaVBk5WwF+Anel4GzxKKNThyNwkLj3c4TvAQwuWvyB\n\
-----END PRIVATE KEY-----";

    /// A client that believes every certificate, as one configured to skip the verification.
    #[derive(Debug)]
    struct Believer;

    impl ServerCertVerifier for Believer {
        fn verify_server_cert(
            &self,
            _: &CertificateDer<'_>,
            _: &[CertificateDer<'_>],
            _: &ServerName<'_>,
            _: &[u8],
            _: UnixTime,
        ) -> Result<ServerCertVerified, Error> {
            Ok(ServerCertVerified::assertion())
        }

        fn verify_tls12_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn verify_tls13_signature(
            &self,
            _: &[u8],
            _: &CertificateDer<'_>,
            _: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Ok(HandshakeSignatureValid::assertion())
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            vec![SignatureScheme::ECDSA_NISTP256_SHA256]
        }
    }

    #[tokio::test]
    async fn a_certificate_of_version_1_is_served() {
        for version in [&TLS12, &TLS13] {
            let acceptor = TlsAcceptor::new(TlsServerConfig::from_pem(CERTIFICATE, KEY).unwrap());
            let client = ClientConfig::builder_with_provider(provider::chosen(None).unwrap())
                .with_protocol_versions(&[version])
                .unwrap()
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Believer))
                .with_no_client_auth();
            let (ours, theirs) = duplex(16 * 1024);
            let name = ServerName::try_from("localhost").unwrap();
            let connector = TlsConnector::from(Arc::new(client));
            let (accepted, connected) = tokio::join!(acceptor.accept(ours), connector.connect(name, theirs));
            let (mut server, mut client) = (accepted.unwrap(), connected.unwrap());
            let shown = client.get_ref().1.peer_certificates().unwrap().len();
            assert_eq!(shown, 1);
            client.write_all(b"hello").await.unwrap();
            client.flush().await.unwrap();
            let mut read = [0; 5];
            server.read_exact(&mut read).await.unwrap();
            assert_eq!(&read, b"hello", "{version:?}");
        }
    }

    #[test]
    fn a_certificate_of_version_1_to_upstreams_and_by_name() {
        assert!(certified_key(CERTIFICATE, KEY).is_ok());
        let roots = TlsClientConfig::builder().only_roots(CERTIFICATE);
        assert!(roots.client_certificate(CERTIFICATE, KEY).build().is_ok());
    }

    #[test]
    fn the_key_of_another_certificate_of_version_1() {
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for refused in [
            certified_key(CERTIFICATE, other.as_str()).map(drop),
            TlsServerConfig::from_pem(CERTIFICATE, other).map(drop),
        ] {
            assert!(matches!(refused, Err(TlsConfigError::KeyMismatch)), "{refused:?}");
        }
    }

    #[test]
    fn what_is_no_certificate_at_all() {
        let broken = CERTIFICATE.replacen("MIIB", "MIIA", 1);
        let refused = certified_key(broken, KEY);
        assert!(
            matches!(refused, Err(TlsConfigError::Unusable { .. })),
            "{refused:?}"
        );
    }

    #[test]
    fn sequences() {
        let long = [&[0x30, 0x81, 0x80][..], &[7; 128]].concat();
        let cases: [(&[u8], Option<&[u8]>); 7] = [
            (&[0x30, 0], Some(&[])),
            (&[0x30, 2, 1, 2], Some(&[1, 2])),
            (&long, Some(&[7; 128])),
            (&[0x30, 2, 1], None),
            (&[0x30, 1, 1, 2], None),
            (&[0x31, 0], None),
            (&[0x30, 0x84, 0, 0, 0, 0], None),
        ];
        for (der, contents) in cases {
            assert_eq!(contents_of_sequence(der), contents, "{der:?}");
        }
        assert_eq!(contents_of_sequence(&[]), None);
    }
}
