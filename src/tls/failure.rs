//! What a failed TLS handshake means. It is read from the type of the error and never from its text.

use std::fmt;
use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

/// Why two peers do not speak TLS with each other.
///
/// ```
/// use switchover::connect::ConnectError;
/// use switchover::tls::TlsFailure;
///
/// fn is_expired(error: &ConnectError) -> bool {
///     let ConnectError::Tls { error: source, .. } = error else { return false };
///     TlsFailure::of_handshake(source) == TlsFailure::Expired
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFailure {
    /// The peer's certificate is no longer valid.
    Expired,
    /// The peer's certificate is not valid yet.
    NotYetValid,
    /// The peer's certificate is for other names.
    WrongName,
    /// Nobody that is believed has issued the peer's certificate.
    UnknownIssuer,
    /// The peer's certificate is not acceptable for another reason.
    BadCertificate,
    /// The peer has presented no certificate, and had to.
    NoCertificate,
    /// The peer wants a certificate, and has been given none.
    CertificateRequired,
    /// The peer does not accept the certificate that it has been given.
    CertificateRefused,
    /// The peers have no application protocol in common (ALPN, RFC 7301).
    NoCommonProtocol,
    /// The peer speaks something else than TLS.
    NotTls,
    /// The peer has closed or reset the connection in the middle of the handshake.
    Closed,
    /// The peer has broken off for another reason: an alert.
    Refused,
    /// The peer breaks the rules of TLS, or speaks none of its versions that are spoken here.
    Broken,
}

impl TlsFailure {
    /// What the error of a stream on which TLS is spoken means, at any time. None if it is no error of TLS but one of the
    /// connection below.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<TlsFailure> {
        match error.get_ref() {
            Some(inner) => match inner.downcast_ref::<Error>() {
                Some(error) => Some(TlsFailure::of_rustls(error)),
                None if inner.is::<NoCommonProtocol>() => Some(TlsFailure::NoCommonProtocol),
                None => None,
            },
            None => None,
        }
    }

    /// What any error in the middle of a handshake means: the source of
    /// [`ConnectError::Tls`](crate::connect::ConnectError::Tls) and of
    /// [`TlsAcceptError::Handshake`](super::TlsAcceptError::Handshake). One of the connection below is a peer that has
    /// [closed](TlsFailure::Closed).
    #[must_use]
    pub fn of_handshake(error: &io::Error) -> TlsFailure {
        TlsFailure::of(error).unwrap_or(TlsFailure::Closed)
    }

    fn of_rustls(error: &Error) -> TlsFailure {
        match error {
            Error::InvalidCertificate(error) => TlsFailure::of_certificate(error),
            Error::NoCertificatesPresented => TlsFailure::NoCertificate,
            Error::NoApplicationProtocol => TlsFailure::NoCommonProtocol,
            // What begins a record is none of the few bytes that can, or what follows is no version of TLS.
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => TlsFailure::NotTls,
            Error::AlertReceived(alert) => TlsFailure::of_alert(*alert),
            _ => TlsFailure::Broken,
        }
    }

    fn of_certificate(error: &CertificateError) -> TlsFailure {
        match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFailure::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFailure::WrongName
            }
            // The latter: somebody has the name of one that is believed, and another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => TlsFailure::UnknownIssuer,
            _ => TlsFailure::BadCertificate,
        }
    }

    /// RFC 8446, section 6.2.
    fn of_alert(alert: AlertDescription) -> TlsFailure {
        match alert {
            AlertDescription::NoApplicationProtocol => TlsFailure::NoCommonProtocol,
            AlertDescription::CertificateRequired => TlsFailure::CertificateRequired,
            AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied => TlsFailure::CertificateRefused,
            _ => TlsFailure::Refused,
        }
    }

    /// One sentence for the operator of either end: what to change.
    #[must_use]
    pub const fn hint(self) -> &'static str {
        match self {
            TlsFailure::Expired => "Renew the peer's certificate; if it is new, set this machine's clock.",
            TlsFailure::NotYetValid => {
                "Set the clock of this machine, or of the one that issued the certificate."
            }
            TlsFailure::WrongName => {
                "Connect by a name that the peer's certificate has, or give the peer one with this name."
            }
            TlsFailure::UnknownIssuer => {
                "Add the root that has issued it to the roots believed here; an intermediate certificate that the peer \
                 does not send is another common cause."
            }
            TlsFailure::BadCertificate => {
                "Give the peer a certificate made for this use. One that is marked as an authority (CA:TRUE), as openssl \
                 marks what it makes, is believed only if it is itself among the roots named here. One of version 1, as \
                 openssl x509 -req makes it without extensions, has no names and is never believed: make it with openssl \
                 req -x509 -addext subjectAltName=DNS:NAME."
            }
            TlsFailure::NoCertificate => "Give the peer a certificate, and the key to it.",
            TlsFailure::CertificateRequired => {
                "The peer asks for a client certificate: name the proxy by a certificate and its key."
            }
            TlsFailure::CertificateRefused => {
                "The peer does not accept the certificate of this side: let it know the root that has issued it, and \
                 look at the names and dates in it."
            }
            TlsFailure::NoCommonProtocol => {
                "Let the peer offer the protocol that is asked for here: http/1.1, or h2 where HTTP/2 is wanted."
            }
            TlsFailure::NotTls => {
                "The peer speaks plain text on this port: use http:// or ws://, or its TLS port."
            }
            TlsFailure::Closed => {
                "The peer may speak no TLS on this port, or not know the name that it was asked for."
            }
            TlsFailure::Refused => {
                "The peer's log says why: a version or cipher that it does not speak, a name that it does not know, a \
                 client certificate that it wants."
            }
            TlsFailure::Broken => "Look at the versions of TLS that the peer speaks: 1.3 or 1.2 is needed.",
        }
    }
}

/// The peer has agreed to another protocol than was asked for, or to none.
#[derive(Debug)]
pub(super) struct NoCommonProtocol {
    pub(super) asked: &'static [u8],
    pub(super) agreed: Option<Vec<u8>>,
}

impl fmt::Display for NoCommonProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let asked = self.asked.escape_ascii();
        match &self.agreed {
            Some(agreed) => write!(f, "asked for {asked} by ALPN, got {}", agreed.escape_ascii()),
            None => write!(f, "asked for {asked} by ALPN, got no protocol"),
        }
    }
}

impl std::error::Error for NoCommonProtocol {}
