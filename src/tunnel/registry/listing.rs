//! What a registry says of a tunnel beside its numbers: whose it is, where it leads, and what the caller calls it.
//!
//! Values only.

use std::any::Any;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Tunnels;

/// What the caller calls a tunnel: a value of any type, such as the name of a user. Cheap to clone.
///
/// A service finds it among the extensions of the request; [`Incoming`](crate::gateway::Incoming) is given it.
///
/// ```
/// use switchover::tunnel::Label;
///
/// struct User(u64);
/// let label = Label::new(User(7));
/// assert!(label.get::<User>().is_some_and(|user| user.0 == 7));
/// assert!(label.get::<u64>().is_none());
/// ```
#[derive(Clone)]
pub struct Label(Arc<dyn Any + Send + Sync>);

impl Label {
    /// A label with this value.
    #[must_use]
    pub fn new<T: Any + Send + Sync>(value: T) -> Self {
        Label(Arc::new(value))
    }

    /// The value, if it is of this type.
    #[must_use]
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }

    pub(super) fn value(&self) -> &(dyn Any + Send + Sync) {
        &*self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Label").finish_non_exhaustive()
    }
}

/// What a [registry](Tunnels) says of a tunnel beside its numbers. By default nothing.
///
/// ```
/// use switchover::tunnel::{Label, Listing};
///
/// let listing = Listing::default()
///     .client(([127, 0, 0, 1], 50_000))
///     .upstream("10.0.0.1:9000")
///     .protocol("websocket")
///     .label(Label::new("alice"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Listing {
    pub(super) client: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) group: Option<Arc<str>>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) place: Option<usize>,
    pub(super) protocol: Option<Arc<str>>,
    pub(super) label: Option<Label>,
    pub(super) is_signalled: bool,
}

impl Listing {
    /// Where the client is. Default: not known.
    #[must_use]
    pub fn client(mut self, address: impl Into<SocketAddr>) -> Self {
        let address = address.into();
        (self.client, self.port) = (Some(address.ip()), Some(address.port()));
        self
    }

    /// The same, where the port may not be known.
    #[must_use]
    #[cfg(feature = "gateway")]
    pub(crate) fn client_at(mut self, address: Option<IpAddr>, port: Option<u16>) -> Self {
        (self.client, self.port) = (address, port);
        self
    }

    /// What the server is called that it leads to. Default: not known.
    ///
    /// Tunnels that are given clones of one `Arc` share it.
    #[must_use]
    pub fn upstream(mut self, name: impl Into<Arc<str>>) -> Self {
        self.upstream = Some(name.into());
        self
    }

    /// What the group is called that the server is one of. Default: none, or it has no name.
    ///
    /// Servers of one name in different groups are told apart by it.
    #[must_use]
    pub fn group(mut self, name: impl Into<Arc<str>>) -> Self {
        self.group = Some(name.into());
        self
    }

    /// The place of the server in its group. Default: not known.
    ///
    /// Servers of one name in one group are told apart by it.
    #[must_use]
    pub fn place(mut self, place: usize) -> Self {
        self.place = Some(place);
        self
    }

    /// What both sides speak. Default: not known.
    #[must_use]
    pub fn protocol(mut self, protocol: impl Into<Arc<str>>) -> Self {
        self.protocol = Some(protocol.into());
        self
    }

    /// What the caller calls it. Default: nothing.
    #[must_use]
    pub fn label(mut self, label: Label) -> Self {
        self.label = Some(label);
        self
    }

    /// The tunnel waits for the drain of its registry by itself.
    #[must_use]
    #[cfg(feature = "gateway")]
    pub(crate) fn signalled(mut self) -> Self {
        self.is_signalled = true;
        self
    }
}

/// What many tunnels have in common.
pub(super) struct Kind {
    pub(super) tunnels: Tunnels,
    pub(super) group: Option<Arc<str>>,
    pub(super) upstream: Option<Arc<str>>,
    pub(super) place: Option<usize>,
    pub(super) protocol: Option<Arc<str>>,
}
