//! What has become of a stream or its connection, as an error that a byte stream may have.
//!
//! Never `UnexpectedEof`: to a tunnel that is the end of a stream, and a stream that HTTP/2 has cut short has not ended.

use std::io;

use h2::Reason;

/// A stream that the upstream has reset, or that went down with its connection.
pub(super) fn stream_failed(error: h2::Error) -> io::Error {
    let kind = match error.is_reset() {
        true => io::ErrorKind::ConnectionReset,
        false => io::ErrorKind::ConnectionAborted,
    };
    io::Error::new(kind, error)
}

/// RFC 8441, section 5: RST_STREAM stands for a TCP reset, with whichever reason.
pub(super) fn stream_reset(reason: Reason) -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionReset, h2::Error::from(reason))
}

/// A connection that has failed before the upstream had said how it speaks HTTP/2.
pub(super) fn connection_failed(error: h2::Error) -> io::Error {
    let (kind, said) = match (error.is_io(), error.is_remote()) {
        (true, _) => return error.into_io().unwrap_or_else(closed),
        (_, true) => (io::ErrorKind::ConnectionRefused, "it says"),
        (_, false) => (io::ErrorKind::InvalidData, "what it says is not HTTP/2"),
    };
    io::Error::new(kind, format!("{said}: {error}"))
}

/// A connection that was closed before that.
pub(super) fn closed() -> io::Error {
    let closed = "it closed the connection before its settings";
    io::Error::new(io::ErrorKind::ConnectionReset, closed)
}
