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

/// Whether the upstream has said that it did not process the request (RFC 9113, sections 6.8 and 8.7): it closes this connection for no
/// fault, or has no room for another stream. It is as good as it was.
pub(crate) fn is_unprocessed(error: &io::Error) -> bool {
    let inner = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<h2::Error>());
    // h2 gives the reason of a GOAWAY only to streams behind the last that the upstream may have processed.
    inner.is_some_and(|error| {
        let reason = error.reason();
        let refused = error.is_reset() && reason == Some(Reason::REFUSED_STREAM);
        let crossed = error.is_go_away() && reason == Some(Reason::NO_ERROR);
        error.is_remote() && (refused || crossed)
    })
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
