//! What two peers have agreed on in their handshake, for as long as their connection lasts.

use std::borrow::Cow;
use std::fmt;

use tokio_rustls::rustls::crypto::SupportedKxGroup;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{CommonState, HandshakeKind, ProtocolVersion, SupportedCipherSuite};

use super::{HTTP_1_1, HTTP_2};

/// What the handshake of a connection has come to.
///
/// ```
/// use switchover::tls::ServerStream;
///
/// fn speaks_http2<S>(stream: &ServerStream<S>) -> bool {
///     stream.session().alpn_protocol() == Some(b"h2")
/// }
/// ```
pub struct TlsSession {
    alpn_protocol: Option<Cow<'static, [u8]>>,
    server_name: Option<Box<str>>,
    peer_certificates: Option<Box<[CertificateDer<'static>]>>,
    cipher_suite: Option<SupportedCipherSuite>,
    key_exchange_group: Option<&'static dyn SupportedKxGroup>,
    protocol_version: Option<ProtocolVersion>,
    handshake_kind: Option<HandshakeKind>,
}

impl TlsSession {
    pub(super) fn of(connection: &CommonState, server_name: Option<Box<str>>) -> Self {
        let alpn_protocol = connection.alpn_protocol().map(|agreed| {
            let known = [HTTP_1_1, HTTP_2].into_iter().find(|known| *known == agreed);
            known.map_or_else(|| Cow::Owned(agreed.to_vec()), Cow::Borrowed)
        });
        TlsSession {
            alpn_protocol,
            server_name,
            peer_certificates: connection.peer_certificates().map(Box::from),
            cipher_suite: connection.negotiated_cipher_suite(),
            key_exchange_group: connection.negotiated_key_exchange_group(),
            protocol_version: connection.protocol_version(),
            handshake_kind: connection.handshake_kind(),
        }
    }

    /// The protocol agreed on by ALPN (RFC 7301): `http/1.1` or `h2`. None where the client has offered none.
    #[must_use]
    pub fn alpn_protocol(&self) -> Option<&[u8]> {
        self.alpn_protocol.as_deref()
    }

    /// The name that the client has asked for (SNI; RFC 6066, section 3), in lower case. It is what the client says, and need not be the
    /// `Host` of any of its requests.
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The certificates of the peer, its own first, as they were verified in the full handshake that the session began with. None where
    /// it has shown none.
    #[must_use]
    pub fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.peer_certificates.as_deref()
    }

    /// The cipher suite.
    #[must_use]
    pub fn negotiated_cipher_suite(&self) -> Option<SupportedCipherSuite> {
        self.cipher_suite
    }

    /// The group of the key exchange. None for a session of TLS 1.2 that was resumed.
    #[must_use]
    pub fn negotiated_key_exchange_group(&self) -> Option<&'static dyn SupportedKxGroup> {
        self.key_exchange_group
    }

    /// TLS 1.3 or 1.2.
    #[must_use]
    pub fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.protocol_version
    }

    /// Whether the session was resumed.
    #[must_use]
    pub fn handshake_kind(&self) -> Option<HandshakeKind> {
        self.handshake_kind
    }
}

impl fmt::Debug for TlsSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let alpn = self.alpn_protocol().map(|name| name.escape_ascii().to_string());
        f.debug_struct("TlsSession")
            .field("protocol_version", &self.protocol_version)
            .field("alpn_protocol", &alpn)
            .field("server_name", &self.server_name)
            .field("handshake_kind", &self.handshake_kind)
            .finish_non_exhaustive()
    }
}
