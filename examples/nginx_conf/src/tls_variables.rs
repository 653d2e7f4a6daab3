//! What variables say of a connection over TLS, and of the certificate that its client has shown.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};
use switchover::tls::ServerStream;
use switchover::tls::rustls::pki_types::UnixTime;
use switchover::tls::rustls::{HandshakeKind, NamedGroup, ProtocolVersion};

use super::certificate::Certificate;
use super::certificates::Certificates;
use super::client_certificates::{Clients, Verdict};

/// What is known of a connection over TLS.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsFacts {
    protocol: String,
    cipher: String,
    curve: String,
    alpn: String,
    pub(crate) server_name: String,
    is_resumed: bool,
    pub(crate) verdict: Verdict,
    /// Whose certificates were believed in the handshake; none where none was asked for.
    pub(crate) clients: Option<Arc<Clients>>,
    /// The client's certificate.
    certificate: Option<Vec<u8>>,
    pub(crate) is_http2: bool,
}

/// A variable about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfTls {
    Alpn,
    Cipher,
    Curve,
    EarlyData,
    Protocol,
    ServerName,
    SessionReused,
    Verdict,
    Certificate(OfCertificate),
}

/// A variable about the client's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OfCertificate {
    Escaped,
    Fingerprint,
    Indented,
    Issuer,
    IssuerInOneLine,
    Raw,
    Serial,
    Subject,
    SubjectInOneLine,
    End,
    RemainingDays,
    Start,
}

/// Their names, behind `ssl_`.
const NAMES: [(&str, OfTls); 20] = [
    ("alpn_protocol", OfTls::Alpn),
    ("cipher", OfTls::Cipher),
    ("curve", OfTls::Curve),
    ("early_data", OfTls::EarlyData),
    ("protocol", OfTls::Protocol),
    ("server_name", OfTls::ServerName),
    ("session_reused", OfTls::SessionReused),
    ("client_verify", OfTls::Verdict),
    ("client_cert", OfTls::Certificate(OfCertificate::Indented)),
    ("client_escaped_cert", OfTls::Certificate(OfCertificate::Escaped)),
    (
        "client_fingerprint",
        OfTls::Certificate(OfCertificate::Fingerprint),
    ),
    ("client_i_dn", OfTls::Certificate(OfCertificate::Issuer)),
    (
        "client_i_dn_legacy",
        OfTls::Certificate(OfCertificate::IssuerInOneLine),
    ),
    ("client_raw_cert", OfTls::Certificate(OfCertificate::Raw)),
    ("client_s_dn", OfTls::Certificate(OfCertificate::Subject)),
    (
        "client_s_dn_legacy",
        OfTls::Certificate(OfCertificate::SubjectInOneLine),
    ),
    ("client_serial", OfTls::Certificate(OfCertificate::Serial)),
    ("client_v_end", OfTls::Certificate(OfCertificate::End)),
    (
        "client_v_remain",
        OfTls::Certificate(OfCertificate::RemainingDays),
    ),
    ("client_v_start", OfTls::Certificate(OfCertificate::Start)),
];

impl OfTls {
    pub(crate) fn named(name: &str) -> Option<OfTls> {
        let name = name.strip_prefix("ssl_")?;
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, of)| *of)
    }

    /// Nothing where there is no TLS.
    pub(crate) fn value(self, facts: Option<&Arc<TlsFacts>>) -> String {
        let Some(facts) = facts else {
            return String::new();
        };
        match self {
            OfTls::Alpn => facts.alpn.clone(),
            OfTls::Cipher => facts.cipher.clone(),
            OfTls::Curve => facts.curve.clone(),
            // None is taken.
            OfTls::EarlyData => String::new(),
            OfTls::Protocol => facts.protocol.clone(),
            OfTls::ServerName => facts.server_name.clone(),
            OfTls::SessionReused => if facts.is_resumed { "r" } else { "." }.to_owned(),
            OfTls::Verdict => facts.verdict.shown(),
            OfTls::Certificate(of) => {
                let certificate = facts.certificate.as_deref();
                certificate.map_or(String::new(), |certificate| of.value(certificate))
            }
        }
    }
}

impl OfCertificate {
    fn value(self, der: &[u8]) -> String {
        let certificate = Certificate::read(der);
        let read = |look: fn(&Certificate<'_>) -> String| certificate.as_ref().map_or(String::new(), look);
        match self {
            OfCertificate::Raw => pem(der),
            OfCertificate::Indented => pem(der).trim_end().replace('\n', "\n\t"),
            OfCertificate::Escaped => escaped(&pem(der)),
            OfCertificate::Fingerprint => Sha1::digest(der)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect(),
            OfCertificate::Issuer => read(|read| read.issuer()),
            OfCertificate::IssuerInOneLine => read(|read| read.issuer_in_one_line()),
            OfCertificate::Subject => read(|read| read.subject()),
            OfCertificate::SubjectInOneLine => read(|read| read.subject_in_one_line()),
            OfCertificate::Serial => read(|read| read.serial()),
            OfCertificate::End => read(|read| read.end()),
            OfCertificate::RemainingDays => read(|read| read.remaining_days()),
            OfCertificate::Start => read(|read| read.start()),
        }
    }
}

impl TlsFacts {
    /// Those of a client that nothing is wrong with.
    pub(crate) fn believed() -> TlsFacts {
        TlsFacts {
            verdict: Verdict::Success,
            ..TlsFacts::default()
        }
    }

    pub(crate) fn of<S>(stream: &ServerStream<S>, certificates: &Certificates) -> TlsFacts {
        let (_, connection) = stream.get_ref();
        let protocol = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            _ => "",
        };
        let suite = connection.negotiated_cipher_suite().map(|suite| suite.suite());
        let cipher = suite.and_then(|suite| suite.as_str()).unwrap_or_default();
        let curve = connection
            .negotiated_key_exchange_group()
            .map(|group| group.name());
        let shown = connection.peer_certificates();
        let clients = certificates.clients(stream.server_name()).cloned();
        // A session may be older than its certificate is valid: each connection is judged by itself.
        let verdict = clients
            .as_ref()
            .map(|clients| clients.judge(shown, UnixTime::now()));
        TlsFacts {
            protocol: protocol.to_owned(),
            cipher: openssl_name(cipher),
            curve: curve.map_or(String::new(), curve_name),
            alpn: String::from_utf8_lossy(connection.alpn_protocol().unwrap_or_default()).into_owned(),
            server_name: stream.server_name().unwrap_or_default().to_owned(),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            verdict: verdict.unwrap_or_default(),
            clients,
            certificate: shown
                .and_then(<[_]>::first)
                .map(|certificate| certificate.to_vec()),
            is_http2: connection.alpn_protocol() == Some(b"h2"),
        }
    }
}

fn pem(der: &[u8]) -> String {
    let encoded = STANDARD.encode(der);
    let lines = encoded.as_bytes().chunks(64);
    let lines: String = lines.map(|line| String::from_utf8_lossy(line) + "\n").collect();
    format!("-----BEGIN CERTIFICATE-----\n{lines}-----END CERTIFICATE-----\n")
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

fn curve_name(group: NamedGroup) -> String {
    match group {
        NamedGroup::secp256r1 => "prime256v1".to_owned(),
        known => known
            .as_str()
            .map_or_else(|| format!("0x{:04x}", u16::from(known)), str::to_owned),
    }
}

/// What OpenSSL, and nginx with it, calls a cipher suite.
fn openssl_name(name: &str) -> String {
    if let Some(rest) = name.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = name.strip_prefix("TLS_").unwrap_or(name).replace("_WITH_", "-");
    name.replace("AES_128", "AES128")
        .replace("AES_256", "AES256")
        .replace("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305")
        .replace('_', "-")
}
