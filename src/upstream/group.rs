//! Law: a request is connected to one server of the group after another, until one accepts.

use std::fmt;
use std::sync::Arc;

use super::builder::Builder;
use super::members::Purpose;
use super::server::{Server, ServerStatus};
use super::shared::Shared;
use super::source::SourceStatus;
use crate::connect::{Attempts, Connect, ConnectError, ConnectRequest, Outcome, Place, TcpConnect};
use crate::tunnel::Counted;

/// Several servers that can each serve the same requests, as one more connector. Cheap to clone; clones are one group.
///
/// The [module](super) tells how it chooses. A stream counts as a tunnel of its server until it is dropped.
///
/// # Errors
///
/// That of the last server tried; [`ConnectError::Full`] where all have as many tunnels as they may,
/// [`ConnectError::NoUpstream`] of a group without servers, and [`ConnectError::Resolve`] of one whose names have never
/// resolved.
///
/// # Cancel safety
///
/// Dropping the future of `connect` gives up the attempt under way, which counts neither as a tunnel nor as a failure then.
pub struct Group<C = TcpConnect> {
    shared: Arc<Shared<C>>,
}

impl<C> Clone for Group<C> {
    fn clone(&self) -> Self {
        Group {
            shared: self.shared.clone(),
        }
    }
}

impl<C> Group<C> {
    /// These servers by turns, with the defaults of the [`Builder`].
    pub fn of(servers: impl IntoIterator<Item = Server<C>>) -> Self {
        let builder = servers.into_iter().fold(Group::builder(), Builder::server);
        builder.build()
    }

    /// Starts to build a group.
    pub fn builder() -> Builder<C> {
        Builder::new()
    }

    pub(super) fn new(shared: Shared<C>) -> Self {
        Group {
            shared: Arc::new(shared),
        }
    }

    /// What is known of each server, for a status page. Those that are found by a name are there once it has resolved.
    pub fn servers(&self) -> Vec<ServerStatus> {
        let members = self.shared.members();
        members.iter().map(|member| member.record.status()).collect()
    }

    /// What is known of the names that servers are found by.
    pub fn sources(&self) -> Vec<SourceStatus> {
        self.shared.sources()
    }
}

impl<C: Connect> Group<C> {
    async fn connect_any(&self, request: ConnectRequest<'_>) -> Result<Counted<C::Stream>, ConnectError> {
        let own = Attempts::default();
        let attempts = request.attempts().unwrap_or(&own);
        self.shared.refresh().await?;
        let mut failure = None;
        loop {
            let chosen = self.shared.choose(&request, attempts, Purpose::Tunnel);
            let (member, permit) = match (chosen, failure) {
                (Ok(chosen), _) => chosen,
                (Err(_), Some(failure)) => return Err(failure),
                (Err(none), None) => return Err(none),
            };
            match self.shared.attempt(&member, &request, Some(attempts)).await {
                Ok(stream) => {
                    own.tell(Outcome::Connected);
                    return Ok(Counted::new(stream, permit));
                }
                Err(error) if attempts.tell_unconnected(&error) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
    }
}

impl<C: Connect> Connect for Group<C> {
    type Stream = Counted<C::Stream>;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<Counted<C::Stream>, ConnectError> {
        let Some(place) = request.place() else {
            return self.connect_any(request).await;
        };
        // Whoever has chosen it says what becomes of it.
        let member = self.shared.at(place).ok_or(ConnectError::NoUpstream)?;
        let stream = self.shared.attempt(&member, &request, None).await?;
        Ok(Counted::new(stream, None))
    }

    /// The server that has the next turn, if all servers are such that [their connections are alike](Connect::is_uniform).
    async fn choose(&self, request: ConnectRequest<'_>) -> Option<Place> {
        self.shared.refresh().await.ok()?;
        if !self.shared.are_uniform() {
            return None;
        }
        let own = Attempts::default();
        let attempts = request.attempts().unwrap_or(&own);
        let (member, _) = self.shared.choose(&request, attempts, Purpose::Request).ok()?;
        Some(member.place)
    }
}

impl<C> fmt::Debug for Group<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}
