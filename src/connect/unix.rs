//! How a path becomes a connection to a Unix socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::UnixStream;

use super::{Connect, ConnectError, ConnectRequest, Pooling};

/// Connects to a Unix socket: `/run/chat.sock`. Bulk on it is spliced as on TCP.
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
        let connected = UnixStream::connect(&self.path).await;
        connected.map_err(|error| ConnectError::Failed {
            name: format!("unix:{}", self.path.display()),
            error,
        })
    }
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
