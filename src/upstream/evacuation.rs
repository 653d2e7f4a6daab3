//! What becomes of the tunnels of a server that leaves its group: by default nothing, and otherwise they are ended, one after the other.
//!
//! Knows the registry that they are in. It must not know why a server leaves.

use std::sync::Arc;
use std::time::Duration;

use crate::tunnel::{EndRequest, Tunnels};

/// How the tunnels of a server end that leaves its [`Group`](super::Group): because discovery does not find it any more, because it is
/// [set down](super::Group::set_down), or because it is ejected for longer than a [limit](Evacuation::ejected_longer_than).
///
/// Clients then come back, and get another server. Only tunnels in the registry are ended, so both have to be told of the same one:
/// the group, and the door ([`UpgradeConfig::tunnels`](crate::UpgradeConfig::tunnels)).
///
/// ```
/// use std::time::Duration;
/// use switchover::tunnel::{EndRequest, Tunnels};
/// use switchover::upstream::{Evacuation, Group, Server};
/// use switchover::websocket::CloseCode;
///
/// let tunnels = Tunnels::new();
/// let evacuation = Evacuation::of(tunnels.clone())
///     .window(Duration::from_secs(60))
///     .close(EndRequest::close(CloseCode::SERVICE_RESTART, "moving")?);
/// let group = Group::builder()
///     .server(Server::to("10.0.0.1:9000"))
///     .server(Server::to("10.0.0.2:9000"))
///     .evacuation(evacuation)
///     .build();
/// assert!(group.set_down("10.0.0.1:9000", true));
/// # Ok::<(), switchover::websocket::ClosePayloadError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Evacuation {
    tunnels: Tunnels,
    window: Duration,
    request: EndRequest,
    ejection: Option<Duration>,
}

impl Evacuation {
    /// Ends those of the tunnels in this registry that lead to the server.
    #[must_use]
    pub fn of(tunnels: Tunnels) -> Self {
        Evacuation {
            tunnels,
            window: Duration::from_secs(60),
            request: EndRequest::default(),
            ejection: None,
        }
    }

    /// Over how long they end, at even distances. Default 60 seconds; zero is all at once.
    ///
    /// Too short, and the servers that stay get all of its clients at the same moment.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// With which Close they end. Default: 1001, as any tunnel that is ended.
    #[must_use]
    pub fn close(mut self, request: EndRequest) -> Self {
        self.request = request;
        self
    }

    /// A server that has been ejected for longer than this, without a success in between, leaves too. Default: none does.
    ///
    /// It is looked at when a request comes; the tunnels of a group that nobody asks for anything go on.
    #[must_use]
    pub fn ejected_longer_than(mut self, limit: impl Into<Option<Duration>>) -> Self {
        self.ejection = limit.into();
        self
    }

    pub(super) fn ejection_limit(&self) -> Option<Duration> {
        self.ejection
    }

    /// Ends the tunnels to the server with this very name: another group may call one of its own the same.
    pub(super) fn begin(&self, server: &Arc<str>) {
        let leads_there = |upstream: &Arc<str>| Arc::ptr_eq(upstream, server);
        self.tunnels.end_where(
            |tunnel| tunnel.shared_upstream().is_some_and(leads_there),
            &self.request,
            self.window,
        );
    }
}
