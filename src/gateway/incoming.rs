//! An upgrade that may be proxied, between step (3) and the caller's decision.

use std::sync::Arc;

use http::Response;
use http::uri::PathAndQuery;
use tokio::io::{AsyncRead, AsyncWrite};

use super::answer::{Client, Refusal};
use super::config::GatewayConfig;
use crate::connect::Trace;
use crate::error::Error;
use crate::exchange::Admission;
use crate::handshake::{Rejection, UpgradeRequest};
use crate::header::{HeaderRules, Hop};
use crate::http1::RequestHead;
use crate::tunnel::Label;

/// An upgrade request, and the client that waits for its answer.
#[derive(Debug)]
pub struct Incoming<S> {
    pub(super) client: Client<S>,
    pub(super) request: UpgradeRequest,
    pub(super) head: Box<RequestHead>,
    /// What the upstream is asked for, if not for what the client has asked.
    pub(super) target: Option<PathAndQuery>,
    /// Rules for fields that take the place of the gateway's.
    pub(super) rules: Option<HeaderRules>,
    pub(super) hop: Hop,
    /// What the caller calls its tunnel.
    pub(super) label: Option<Label>,
    pub(super) config: Arc<GatewayConfig>,
    // Last: its place is free when its connection is closed.
    pub(super) admission: Admission,
}

impl<S> Incoming<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// The client's request head, as it came.
    pub fn head(&self) -> &RequestHead {
        &self.head
    }

    /// The upgrade that it asks for.
    pub fn request(&self) -> &UpgradeRequest {
        &self.request
    }

    /// The hop that it came over.
    pub fn hop(&self) -> Hop {
        self.hop
    }

    /// Replaces the target that goes upstream: a route that replaces a prefix.
    pub fn set_target(&mut self, target: PathAndQuery) {
        self.target = Some(target);
    }

    /// Replaces the gateway's [rules for fields](crate::header::Forwarding::header_rules), which may depend on the route.
    pub fn set_header_rules(&mut self, rules: HeaderRules) {
        self.rules = Some(rules);
    }

    /// Has what becomes of it written down: the upstreams that it is tried on, and what the client is sent. Default: it
    /// is not.
    pub fn set_trace(&mut self, trace: Trace) {
        self.client.trace = Some(trace);
    }

    /// What its tunnel is called in the [registry](crate::tunnel::Tunnels), if the gateway has one. Default: nothing.
    pub fn set_label(&mut self, label: Label) {
        self.label = Some(label);
    }

    /// Refuses the upgrade: answers and closes.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn reject(self, rejection: Rejection) -> Result<Rejection, Error> {
        let refusal = Refusal::from(&rejection);
        self.answer(refusal).await.map(|()| rejection)
    }

    /// Refuses the upgrade with a final response of the caller's own, and closes: for reasons that are no
    /// [`Rejection`], such as credentials that are missing (401) or a service that is down (503).
    ///
    /// `Connection: close` and `Content-Length` are set here.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn respond(self, response: Response<String>) -> Result<(), Error> {
        self.answer(Refusal::custom(response)).await
    }

    async fn answer(self, refusal: Refusal) -> Result<(), Error> {
        let Incoming {
            admission, client, ..
        } = self;
        client.refuse(refusal, admission).await.inspect_err(|error| {
            error.observed();
        })
    }
}
