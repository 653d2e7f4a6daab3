//! A connector whose type is not known: for several of different types in one place.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use super::{Connect, ConnectError, ConnectRequest, PoolKey, Pooling};
use crate::tunnel::AnyStream;

/// Any connector, behind one type. Cheap to clone.
///
/// Its streams are [`AnyStream`]s: those of plain sockets are still spliced.
///
/// ```
/// use switchover::connect::{AnyConnect, TcpConnect, UnixConnect};
/// use switchover::upstream::{Group, Server};
///
/// # #[cfg(unix)] {
/// let group = Group::of([
///     Server::new("first", AnyConnect::new(TcpConnect::to("10.0.0.1:9000"))),
///     Server::new("second", AnyConnect::new(UnixConnect::to("/run/chat.sock"))),
/// ]);
/// # }
/// ```
#[derive(Clone)]
pub struct AnyConnect(Arc<dyn Erased>);

/// [`Connect`], as an object.
trait Erased: Send + Sync {
    fn connect<'a>(&'a self, request: ConnectRequest<'a>) -> Boxed<'a, Result<AnyStream, ConnectError>>;
    fn pooling(&self) -> Pooling;
    fn authority(&self) -> Option<&str>;
    fn pool_key<'a>(&'a self, request: ConnectRequest<'a>) -> Boxed<'a, Option<PoolKey>>;
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

impl<C: Connect> Erased for C {
    fn connect<'a>(&'a self, request: ConnectRequest<'a>) -> Boxed<'a, Result<AnyStream, ConnectError>> {
        Box::pin(async move { Ok(AnyStream::new(Connect::connect(self, request).await?)) })
    }

    fn pooling(&self) -> Pooling {
        Connect::pooling(self)
    }

    fn authority(&self) -> Option<&str> {
        Connect::authority(self)
    }

    fn pool_key<'a>(&'a self, request: ConnectRequest<'a>) -> Boxed<'a, Option<PoolKey>> {
        Box::pin(Connect::pool_key(self, request))
    }
}

impl AnyConnect {
    /// Takes a connector.
    pub fn new(connect: impl Connect + 'static) -> Self {
        AnyConnect(Arc::new(connect))
    }
}

impl Connect for AnyConnect {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        Erased::connect(&*self.0, request).await
    }

    fn pooling(&self) -> Pooling {
        Erased::pooling(&*self.0)
    }

    fn authority(&self) -> Option<&str> {
        Erased::authority(&*self.0)
    }

    async fn pool_key(&self, request: ConnectRequest<'_>) -> Option<PoolKey> {
        Erased::pool_key(&*self.0, request).await
    }
}

impl fmt::Debug for AnyConnect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyConnect").finish_non_exhaustive()
    }
}
