//! A gateway that may speak TLS to its clients, and how each connection to it has ended.

use std::net::{Ipv4Addr, SocketAddr};

use switchover::connect::{Connect, ConnectError, ConnectRequest, TcpConnect};
use switchover::gateway::GatewayConfig;
use switchover::header::Hop;
use switchover::tls::{TlsAcceptError, TlsAcceptor, TlsConnect};
use switchover::tunnel::AnyStream;
use switchover::{Error, Gateway, Outcome};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::peer::patiently;

pub(crate) type Served = Result<Result<Outcome<AnyStream>, Error>, TlsAcceptError>;

pub(crate) struct Front {
    pub(crate) address: SocketAddr,
    served: mpsc::UnboundedReceiver<Served>,
    _accepting: JoinSet<()>,
}

impl Front {
    pub(crate) async fn start(tls: Option<TlsAcceptor>, connect: impl Connect + 'static) -> Self {
        Self::with(GatewayConfig::default(), tls, connect).await
    }

    pub(crate) async fn with(
        config: GatewayConfig,
        tls: Option<TlsAcceptor>,
        connect: impl Connect + 'static,
    ) -> Self {
        let gateway = Gateway::builder(connect).config(config).build();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, served) = mpsc::unbounded_channel();
        let mut accepting = JoinSet::new();
        accepting.spawn(async move {
            let mut serving = JoinSet::new();
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (tls, gateway, sender) = (tls.clone(), gateway.clone(), sender.clone());
                serving.spawn(async move {
                    let accepted = match &tls {
                        None => Ok((AnyStream::from(stream), Hop::from(peer))),
                        Some(tls) => tls
                            .accept(stream)
                            .await
                            .map(|stream| (AnyStream::new(stream), Hop::from(peer).tls(true))),
                    };
                    let served = match accepted {
                        Ok((stream, hop)) => Ok(gateway.serve(stream, hop).await),
                        Err(error) => Err(error),
                    };
                    // The test may have ended already.
                    let _ = sender.send(served);
                });
            }
        });
        Front {
            address,
            served,
            _accepting: accepting,
        }
    }

    /// How the next connection to end has ended.
    pub(crate) async fn ended(&mut self) -> Served {
        let served = patiently("a connection to end", self.served.recv()).await;
        served.expect("a gateway that accepts")
    }

    /// How serving the next connection has ended, whose handshake has not failed.
    pub(crate) async fn served(&mut self) -> Result<Outcome<AnyStream>, Error> {
        self.ended().await.expect("a handshake that is done")
    }
}

/// An upstream that may speak TLS.
pub(crate) enum Upstream {
    Plain(TcpConnect),
    Tls(TlsConnect),
}

impl Connect for Upstream {
    type Stream = AnyStream;

    async fn connect(&self, request: ConnectRequest<'_>) -> Result<AnyStream, ConnectError> {
        match self {
            Upstream::Plain(connect) => connect.connect(request).await.map(AnyStream::new),
            Upstream::Tls(connect) => connect.connect(request).await.map(AnyStream::new),
        }
    }
}
