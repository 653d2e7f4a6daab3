//! The reasons why there is no response head, and what each means.

use std::fmt;
use std::io::ErrorKind;

use super::{Diagnosis, Finding};
use crate::http1::HeadError;

/// Why an attempt came to no response head.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The host's name has no address.
    Unresolved,
    /// The connection was refused.
    Refused,
    /// No connection in time.
    ConnectTimedOut,
    /// No way to the address, or another error of connecting.
    Unreachable,
    /// The connection stands, TLS on it does not.
    Tls {
        /// What kind of failure.
        fault: TlsFault,
        /// What to change, where that is known: `TlsFailure::hint`.
        hint: Option<&'static str>,
    },
    /// The connection stands, and the TLS handshake on it did not complete in time.
    TlsTimedOut,
    /// The request was sent, and nothing came in time.
    AnswerTimedOut,
    /// A response head has begun, and was not complete in time.
    Incomplete {
        /// How many bytes of it came. Zero: nobody has counted them.
        bytes: usize,
    },
    /// Interim responses came until the deadline, or more of them than anyone sends, and no final one.
    InterimWithoutEnd {
        /// How many came.
        count: usize,
    },
    /// The connection was closed before a byte of a response came.
    Closed,
    /// The connection was closed in the middle of the response head.
    CutShort {
        /// How many bytes of it came.
        bytes: usize,
    },
    /// The connection was reset before the response head was whole.
    Reset,
    /// What came does not begin as a response of HTTP/1.1 does.
    NotHttp(HeadError),
    /// What came begins as a response does, and its head breaks a rule.
    Malformed(HeadError),
    /// What came is the beginning of an HTTP/2 connection (RFC 9113, section 3.4).
    Http2,
}

/// Why TLS failed. With the feature `rustls`, `tls::TlsFailure` has more kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TlsFault {
    /// The peer speaks something else.
    NotTls,
    /// The peers have no protocol in common by ALPN.
    NoCommonProtocol,
    /// The peer's certificate is not acceptable.
    Certificate,
    /// The peer demands a certificate, or refuses that of the client.
    ClientCertificate,
    /// Anything else.
    Other,
}

impl Failure {
    /// What an error of connecting means.
    #[must_use]
    pub fn of_connecting(kind: ErrorKind) -> Failure {
        match kind {
            ErrorKind::ConnectionRefused => Failure::Refused,
            ErrorKind::TimedOut => Failure::ConnectTimedOut,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted => Failure::Reset,
            _ => Failure::Unreachable,
        }
    }

    /// What an error of sending the request, or of reading the answer, means.
    #[must_use]
    pub fn of_exchange(kind: ErrorKind) -> Failure {
        match kind {
            ErrorKind::TimedOut => Failure::AnswerTimedOut,
            ErrorKind::ConnectionReset | ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe => {
                Failure::Reset
            }
            _ => Failure::Closed,
        }
    }

    /// What the first bytes of an answer mean that are no response head. A server of HTTP/2 begins with a SETTINGS frame
    /// (RFC 9113, section 3.4); one that has not seen the preface may send GOAWAY at once.
    pub fn of_answer(bytes: &[u8], error: HeadError) -> Failure {
        let is_http2 = |kind: u8| matches!(kind, 4 | 7);
        match bytes {
            [0, _, _, kind, _, 0, 0, 0, 0, ..] if is_http2(*kind) => Failure::Http2,
            [b'H', b'T', b'T', b'P', b'/', ..] => match error {
                HeadError::StartLineTooLong { limit } => Failure::Malformed(HeadError::TooLarge { limit }),
                error => Failure::Malformed(error),
            },
            _ => Failure::NotHttp(error),
        }
    }

    pub(super) fn finding(&self) -> Finding {
        match self {
            Failure::Unresolved => Finding::certain(Diagnosis::NameNotResolved),
            Failure::Refused => Finding::certain(Diagnosis::ConnectionRefused),
            Failure::ConnectTimedOut => Finding::certain(Diagnosis::ConnectionTimedOut),
            Failure::Unreachable => Finding::certain(Diagnosis::HostUnreachable),
            Failure::Tls { fault, hint } => {
                let finding = fault.finding();
                match hint {
                    Some(hint) if *fault != TlsFault::NotTls => finding.changing(hint),
                    _ => finding,
                }
            }
            Failure::TlsTimedOut => Finding::certain(Diagnosis::TlsTimedOut),
            Failure::AnswerTimedOut => Finding::certain(Diagnosis::NoAnswer),
            Failure::Incomplete { bytes } => {
                Finding::certain(Diagnosis::AnswerIncomplete).detail(format_args!("{bytes} bytes of it came"))
            }
            Failure::InterimWithoutEnd { count } => {
                Finding::certain(Diagnosis::InterimWithoutEnd).detail(format_args!("{count} came"))
            }
            Failure::Closed => Finding::certain(Diagnosis::ClosedUnanswered),
            Failure::CutShort { bytes: 0 } => Finding::certain(Diagnosis::AnswerCutShort),
            Failure::CutShort { bytes } => {
                Finding::certain(Diagnosis::AnswerCutShort).detail(format_args!("{bytes} bytes of it came"))
            }
            Failure::Reset => Finding::certain(Diagnosis::ResetUnanswered),
            Failure::NotHttp(HeadError::Tls) => Finding::certain(Diagnosis::PlainToTlsPort),
            Failure::NotHttp(error) => Finding::certain(Diagnosis::NotHttp).detail(error),
            Failure::Malformed(error) => malformed(error),
            Failure::Http2 => Finding::certain(Diagnosis::Http2Only),
        }
    }
}

/// What a head means that begins as one of HTTP, and breaks a rule or a limit.
fn malformed(error: &HeadError) -> Finding {
    match error {
        HeadError::TooLarge { .. } | HeadError::TooManyFields { .. } => {
            Finding::certain(Diagnosis::AnswerHeadTooLarge).detail(error)
        }
        HeadError::BareLineFeed { .. } => Finding::certain(Diagnosis::BareLineFeed).detail(error),
        error => Finding::certain(Diagnosis::AnswerMalformed)
            .detail(error)
            .changing(error.hint()),
    }
}

/// What it means, in one sentence without a full stop.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.finding().sentence())
    }
}

impl TlsFault {
    fn finding(self) -> Finding {
        Finding::certain(match self {
            TlsFault::NotTls => Diagnosis::TlsToPlainPort,
            TlsFault::NoCommonProtocol => Diagnosis::AlpnWithoutHttp11,
            TlsFault::Certificate => Diagnosis::CertificateNotTrusted,
            TlsFault::ClientCertificate => Diagnosis::ClientCertificateRequired,
            TlsFault::Other => Diagnosis::TlsFailed,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_response_head() {
        let tls = |fault| Failure::Tls { fault, hint: None };
        let cases = [
            (Failure::Unresolved, "name-not-resolved"),
            (
                Failure::of_connecting(ErrorKind::ConnectionRefused),
                "connection-refused",
            ),
            (
                Failure::of_connecting(ErrorKind::TimedOut),
                "connection-timed-out",
            ),
            (
                Failure::of_connecting(ErrorKind::HostUnreachable),
                "host-unreachable",
            ),
            (
                Failure::of_connecting(ErrorKind::ConnectionReset),
                "reset-unanswered",
            ),
            (tls(TlsFault::NotTls), "tls-to-plain-port"),
            (tls(TlsFault::NoCommonProtocol), "alpn-without-http11"),
            (tls(TlsFault::Certificate), "certificate-not-trusted"),
            (tls(TlsFault::ClientCertificate), "client-certificate-required"),
            (tls(TlsFault::Other), "tls-failed"),
            (Failure::of_exchange(ErrorKind::TimedOut), "no-answer"),
            (Failure::TlsTimedOut, "tls-timed-out"),
            (Failure::Incomplete { bytes: 7 }, "answer-incomplete"),
            (Failure::InterimWithoutEnd { count: 100 }, "interim-without-end"),
            (
                Failure::of_exchange(ErrorKind::UnexpectedEof),
                "closed-unanswered",
            ),
            (
                Failure::of_exchange(ErrorKind::ConnectionReset),
                "reset-unanswered",
            ),
            (Failure::of_exchange(ErrorKind::BrokenPipe), "reset-unanswered"),
            (
                Failure::of_answer(b"SSH-2.0-OpenSSH_9.2\r\n", HeadError::StartLine),
                "not-http",
            ),
            (
                Failure::of_answer(b"\x15\x03\x03\0\x02\x02\x46", HeadError::Tls),
                "plain-to-tls-port",
            ),
            (
                Failure::of_answer(b"\0\0\x12\x04\0\0\0\0\0", HeadError::StartLine),
                "http2-only",
            ),
            (
                Failure::of_answer(b"HTTP/1.1 200 OK", HeadError::TooLarge { limit: 65536 }),
                "answer-head-too-large",
            ),
            (
                Failure::of_answer(b"HTTP/1.1 200 OOO", HeadError::StartLineTooLong { limit: 65536 }),
                "answer-head-too-large",
            ),
            (Failure::CutShort { bytes: 7 }, "answer-cut-short"),
            (
                Failure::of_answer(
                    b"HTTP/1.1 101 Switching Protocols\n",
                    HeadError::BareLineFeed { offset: 32 },
                ),
                "bare-line-feed",
            ),
            (
                Failure::of_answer(b"HTTP/1.1 1O1", HeadError::StartLine),
                "answer-malformed",
            ),
            (
                Failure::of_answer(b"HTTP/2 101", HeadError::Version),
                "answer-malformed",
            ),
            (
                Failure::of_answer(b"\n", HeadError::BareLineFeed { offset: 0 }),
                "not-http",
            ),
            (
                Failure::of_answer(b"OOO", HeadError::StartLineTooLong { limit: 65536 }),
                "not-http",
            ),
        ];
        for (failure, name) in cases {
            assert_eq!(failure.finding().name(), name, "{failure:?}");
        }
    }

    #[test]
    fn the_hint_of_a_tls_failure_is_the_remedy() {
        let hint = Some("Renew the certificate.");
        let expired = Failure::Tls {
            fault: TlsFault::Certificate,
            hint,
        };
        assert_eq!(expired.finding().change(), "Renew the certificate.");
    }
}
