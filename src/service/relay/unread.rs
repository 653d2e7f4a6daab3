//! Whether something has arrived on a connection to an upstream that nobody has read, also in the socket below TLS.

use std::any::Any;

use crate::tunnel;

/// Bytes or the end, whether or not the runtime has been notified of them. False where that is not known.
///
/// What arrives below TLS need not be payload. It is then left to guess, and a connection that is not used costs less than a wrong
/// answer.
pub(super) fn has_unread<S: Any>(stream: &S) -> bool {
    #[cfg(feature = "rustls")]
    if let Some(socket) = below_tls(stream) {
        return tunnel::has_unread(socket);
    }
    tunnel::has_unread(stream)
}

/// The socket on which TLS is spoken, wherever the connectors of this crate have put that.
#[cfg(feature = "rustls")]
fn below_tls(stream: &dyn Any) -> Option<&tokio::net::TcpStream> {
    use tokio::net::TcpStream;

    use crate::tls::ClientStream;
    use crate::tunnel::{AnyStream, Counted};

    let counted = stream
        .downcast_ref()
        .map(Counted::<ClientStream<TcpStream>>::get_ref);
    let any = stream
        .downcast_ref()
        .or_else(|| stream.downcast_ref().map(Counted::<AnyStream>::get_ref));
    let boxed = || any.and_then(AnyStream::boxed)?.downcast_ref();
    let tls: Option<&ClientStream<TcpStream>> = stream.downcast_ref().or(counted).or_else(boxed);
    tls.map(|tls| tls.get_ref().0)
}
