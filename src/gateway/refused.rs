//! How a request is answered that goes no further: one that is refused, as the caller has changed that answer, and one that the caller
//! answers itself. Its connection closes.
//!
//! Must not know why a request is refused.

use std::sync::Arc;

use http::{Method, Response, request};
use tokio::io::{AsyncRead, AsyncWrite};

use super::accept::{Accepted, Acceptor};
use super::answer::{Client, Refusal};
use crate::error::Error;
use crate::exchange::Admission;
use crate::handshake::Rejection;
use crate::http1::RequestHead;
use crate::tunnel::Rewind;

/// Changes the answer to a request that is refused. The head is there if it was whole and sound.
pub(super) type OnRejection =
    dyn Fn(&Rejection, Option<&request::Parts>, &mut Response<String>) + Send + Sync;

/// A client whose request is refused, and the head of that if it was whole and sound.
pub(super) struct Refused<S>(Client<S>, Rejection, Option<Box<RequestHead>>);

impl<S> Refused<S> {
    /// Boxed, as all that is rare.
    pub(super) fn new(client: Client<S>, rejection: Rejection, head: Option<Box<RequestHead>>) -> Box<Self> {
        Box::new(Refused(client, rejection, head))
    }
}

impl Acceptor {
    /// Changes the answers to requests that are refused here: those that [`accept`](Acceptor::accept) and its like have
    /// [answered](Accepted::Rejected), and those of [`reject`](Acceptor::reject). For fields that all answers of a server have, such as
    /// `Strict-Transport-Security`, or for a page. Default: they are as [`Rejection`] makes them. A later function takes the place
    /// of an earlier one.
    ///
    /// `change` is given the reason, the request's head if it was whole and sound, and the answer. It runs for each of them and must not
    /// block. `Connection: close`, `Content-Length` and `Date` are set behind it.
    ///
    /// ```
    /// use http::HeaderValue;
    /// use switchover::gateway::{Acceptor, GatewayConfig};
    ///
    /// let acceptor = Acceptor::new(GatewayConfig::default()).on_rejection(|_, _, response| {
    ///     let value = HeaderValue::from_static("max-age=31536000");
    ///     response.headers_mut().insert("strict-transport-security", value);
    /// });
    /// ```
    #[must_use]
    pub fn on_rejection(
        mut self,
        change: impl Fn(&Rejection, Option<&request::Parts>, &mut Response<String>) + Send + Sync + 'static,
    ) -> Self {
        self.on_rejection = Some(Arc::new(change));
        self
    }

    /// The answer to a request that is refused.
    fn refusal<'a>(
        &self,
        rejection: &Rejection,
        head: impl FnOnce() -> Option<&'a request::Parts>,
    ) -> Refusal {
        let refusal = Refusal::from(rejection);
        match &self.on_rejection {
            Some(change) => refusal.changed(|response| change(rejection, head(), response)),
            None => refusal,
        }
    }

    /// Refuses an ordinary request that came from [`accept`](Acceptor::accept): answers and closes.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub async fn reject<S>(
        &self,
        stream: Rewind<S>,
        head: &request::Parts,
        rejection: Rejection,
    ) -> Result<Rejection, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let refusal = self.refusal(&rejection, || Some(head));
        self.answer(stream, head, refusal).await.map(|()| rejection)
    }

    /// Answers an ordinary request that came from [`accept`](Acceptor::accept) with a final response of the caller's own,
    /// and closes: a health check, a redirect, a page that says that only WebSocket is spoken here.
    ///
    /// `Connection: close` and `Content-Length` are set here, and a HEAD gets no body. The request's own body is not
    /// waited for.
    ///
    /// # Errors
    ///
    /// The answer cannot be written.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    ///
    /// ```
    /// use http::Response;
    /// use switchover::gateway::{Accepted, Acceptor};
    ///
    /// # async fn serve(acceptor: Acceptor, client: tokio::net::TcpStream) -> Result<(), Box<dyn std::error::Error>> {
    /// let peer = client.peer_addr()?;
    /// if let Accepted::Ordinary(head, stream) = acceptor.accept(client, peer).await? {
    ///     let mut response = Response::new("only WebSocket is spoken here\n".to_owned());
    ///     *response.status_mut() = http::StatusCode::NOT_FOUND;
    ///     acceptor.respond(stream, &head, response).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn respond<S>(
        &self,
        stream: Rewind<S>,
        head: &request::Parts,
        response: Response<String>,
    ) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.answer(stream, head, Refusal::custom(response)).await
    }

    async fn answer<S>(&self, stream: Rewind<S>, head: &request::Parts, refusal: Refusal) -> Result<(), Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut client = Client::new(stream.into_parts().0, self.config.send_timeout);
        client.head_only = head.method == Method::HEAD;
        let refused = client.refuse(refusal, Admission::default()).await;
        refused.inspect_err(|error| {
            error.observed();
        })
    }

    /// Answers and closes.
    pub(super) async fn refuse<S>(&self, refused: Box<Refused<S>>) -> Result<Accepted<S>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Refused(client, rejection, head) = *refused;
        let refusal = self.refusal(&rejection, || head.as_deref().map(|head| &**head));
        let refused = client.refuse(refusal, Admission::default()).await;
        refused.inspect_err(|error| {
            error.observed();
        })?;
        Ok(Accepted::Rejected(rejection, head))
    }
}
