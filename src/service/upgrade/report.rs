//! What a service reports of a tunnel, when it starts and when it has ended.

use std::sync::Arc;

use http::Extensions;

use crate::connect::Trace;
use crate::error::Error;
use crate::header::{Hop, Protocol};
use crate::tunnel::{Traffic, TunnelWatch};

/// A tunnel that a service has opened: the client has its answer, and its stream has been taken over.
#[derive(Debug)]
#[non_exhaustive]
pub struct Started<'a> {
    /// What both sides speak.
    pub protocol: &'a Protocol,
    /// As in [`Ended`].
    pub upstream: Option<&'a str>,
    /// As in [`Ended`].
    pub trace: &'a Trace,
    /// The hop that the request came over.
    pub hop: Hop,
    /// As in [`Ended`].
    pub taken_back: bool,
    /// As in [`Ended`].
    pub plain: bool,
    /// The extensions of the request: what a layer around the service has put there to know it by.
    pub extensions: &'a Extensions,
    /// A look at the tunnel, if it is in a [registry](super::ServiceConfig::tunnels).
    pub watch: Option<TunnelWatch>,
}

/// How a tunnel that a service opened has ended.
#[derive(Debug)]
#[non_exhaustive]
pub struct Ended {
    /// What both sides spoke.
    pub protocol: Protocol,
    /// The name of the upstream that has agreed, where the connector has names: a [`Group`](crate::upstream::Group) has.
    pub upstream: Option<Arc<str>>,
    /// Each attempt on an upstream, with its times: the [`Trace`] among the extensions of the request, or one of the service's own.
    pub trace: Trace,
    /// The hop that the request came over.
    pub hop: Hop,
    /// Whether the client's stream was taken back from the HTTP server, and all that was the server's freed. If not, bytes
    /// went through the server's own stream and its buffers: over HTTP/2 always, and where the stream's type is not
    /// known to this crate.
    pub taken_back: bool,
    /// Whether it was a plain socket, whose bulk may be spliced. TLS is not, taken back or not.
    pub plain: bool,
    /// The extensions of the request, as [`Started`] had them.
    pub extensions: Extensions,
    /// How much it carried, for how long, and why it ended; or which side failed. [`Phase::Response`](crate::Phase::Response)
    /// where it has not begun, because the client was gone before it had its answer.
    pub result: Result<Traffic, Error>,
}
