//! Certificates made for one test, and the TLS of its peers: rustls itself, without the crate.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion, version};

/// The years in which what is issued is valid, unless a test says otherwise.
pub const NOW: Range<i32> = 2020..2100;

/// Both versions of TLS that are spoken.
pub const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS12, &version::TLS13];

/// Who issues certificates.
pub struct Authority {
    pub pem: String,
    name: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    pub chain: String,
    pub key: String,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        static MADE: AtomicUsize = AtomicUsize::new(0);
        Self::named(&format!("authority {}", MADE.fetch_add(1, Ordering::Relaxed)))
    }

    pub fn named(name: &str) -> Self {
        Self::of(name, NOW)
    }

    /// One whose own certificate holds from the first to the last of these years.
    pub fn of(name: &str, years: Range<i32>) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[], years);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).unwrap().pem();
        Authority {
            pem,
            name: name.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    /// One that this authority has issued the certificate of.
    pub fn below(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(&[], NOW);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority {
            pem,
            name: name.to_owned(),
            issuer: Issuer::new(params, key),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// For `localhost` and `127.0.0.1`, valid today.
    pub fn localhost(&self) -> Identity {
        self.issue(&["localhost", "127.0.0.1"], NOW)
    }

    pub fn issue(&self, names: &[&str], years: Range<i32>) -> Identity {
        let key = KeyPair::generate().unwrap();
        let certificate = params(names, years).signed_by(&key, &self.issuer).unwrap();
        Identity {
            chain: certificate.pem(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate whose key may encrypt keys, and sign nothing.
    pub fn issue_for_encryption(&self, names: &[&str]) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names, NOW);
        params.key_usages = vec![KeyUsagePurpose::KeyEncipherment];
        Identity {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    /// A certificate that is revoked, and the list that revokes it.
    pub fn issue_revoked(&self, names: &[&str]) -> (Identity, String) {
        let (key, serial) = (KeyPair::generate().unwrap(), SerialNumber::from(4711));
        let mut params = params(names, NOW);
        params.serial_number = Some(serial.clone());
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(NOW.start, 1, 1),
            next_update: rcgen::date_time_ymd(NOW.end, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: serial,
                revocation_time: rcgen::date_time_ymd(NOW.start, 2, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let identity = Identity {
            chain: params.signed_by(&key, &self.issuer).unwrap().pem(),
            key: key.serialize_pem(),
        };
        (identity, list.signed_by(&self.issuer).unwrap().pem().unwrap())
    }

    /// A certificate that has signed itself, and is marked as an authority or not.
    pub fn by_itself(names: &[&str], years: Range<i32>, marked: bool) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names, years);
        params.distinguished_name.push(DnType::CommonName, "by itself");
        if marked {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        Identity {
            chain: params.self_signed(&key).unwrap().pem(),
            key: key.serialize_pem(),
        }
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap())
            .unwrap();
        roots
    }

    /// How a client speaks TLS that believes this authority.
    pub fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        identity: Option<&Identity>,
    ) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots());
        match identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.certificates(), identity.key())
                .unwrap(),
            None => builder.with_no_client_auth(),
        }
    }
}

fn params(names: &[&str], years: Range<i32>) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = rcgen::date_time_ymd(years.start, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.end, 1, 1);
    params
}

impl Identity {
    fn certificates(&self) -> Vec<CertificateDer<'static>> {
        let found: Result<_, _> = CertificateDer::pem_slice_iter(self.chain.as_bytes()).collect();
        found.unwrap()
    }

    fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).unwrap()
    }

    /// How a server speaks TLS that has this identity. It demands a certificate of its clients if it is given an authority.
    pub fn server(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        client_roots: Option<&Authority>,
        alpn: &[&str],
    ) -> ServerConfig {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)
            .unwrap();
        let builder = match client_roots {
            Some(authority) => {
                let roots = Arc::new(authority.roots());
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
                builder.with_client_cert_verifier(verifier.unwrap())
            }
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(self.certificates(), self.key()).unwrap();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// Writes the chain and the key to files whose names begin so.
    pub fn write(&self, directory: &Path, name: &str) -> (PathBuf, PathBuf) {
        let files = (
            directory.join(format!("{name}.chain.pem")),
            directory.join(format!("{name}.key.pem")),
        );
        std::fs::write(&files.0, &self.chain).unwrap();
        std::fs::write(&files.1, &self.key).unwrap();
        files
    }
}
