//! How a path becomes a connection to a Unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::sleep;

use super::{Connect, ConnectError, ConnectRequest, Pooling};

/// How long it waits at first, and at most, for room in the backlog of a socket.
const FIRST_WAIT: Duration = Duration::from_millis(1);
const LONGEST_WAIT: Duration = Duration::from_millis(64);

/// Connects to a Unix socket: `/run/chat.sock`. Bulk on it is spliced as on TCP.
///
/// A server whose backlog is full is waited for, as over TCP: for as long as the caller has.
///
/// ```
/// use switchover::Gateway;
/// use switchover::connect::UnixConnect;
///
/// let gateway = Gateway::builder(UnixConnect::to("/run/chat.sock")).build();
/// ```
#[derive(Clone, Debug)]
pub struct UnixConnect {
    path: Arc<Path>,
}

impl UnixConnect {
    /// To the socket at this path, which need not exist yet.
    pub fn to(path: impl Into<PathBuf>) -> Self {
        UnixConnect {
            path: Arc::from(path.into()),
        }
    }

    /// The path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Connects, whatever the request.
    ///
    /// # Errors
    ///
    /// There is no such socket, or nobody accepts on it.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future gives up the attempt.
    pub async fn stream(&self) -> Result<UnixStream, ConnectError> {
        let connected = match UnixStream::connect(&self.path).await {
            // Boxed, because it is rare: it would set the size of every attempt.
            Err(error) if is_full(&error) => Box::pin(self.when_there_is_room()).await,
            connected => connected,
        };
        connected.map_err(|error| ConnectError::Failed {
            name: format!("unix:{}", self.path.display()),
            error,
        })
    }

    /// Nothing notifies of the room that there is later.
    async fn when_there_is_room(&self) -> io::Result<UnixStream> {
        let mut wait = FIRST_WAIT;
        loop {
            sleep(wait).await;
            wait = (wait * 2).min(LONGEST_WAIT);
            match UnixStream::connect(&self.path).await {
                Err(error) if is_full(&error) => {}
                connected => return connected,
            }
        }
    }
}

/// connect(2), EAGAIN: "For nonblocking UNIX domain sockets, the socket is nonblocking, and the connection cannot be completed
/// immediately."
fn is_full(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

impl Connect for UnixConnect {
    type Stream = UnixStream;

    async fn connect(&self, _request: ConnectRequest<'_>) -> Result<UnixStream, ConnectError> {
        self.stream().await
    }

    fn pooling(&self) -> Pooling {
        Pooling::Shared
    }
}
