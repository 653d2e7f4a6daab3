//! A gateway on a loopback socket, and how each connection that it served has ended.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use switchover::Error;
use switchover::connect::{Connect, TcpConnect};
use switchover::gateway::{Gateway, GatewayConfig, Outcome};
use switchover::test_util::{ScriptedClient, ScriptedOrigin, TIMEOUT};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub type Served = Result<Outcome<TcpStream>, Error>;

pub struct RunningGateway {
    address: SocketAddr,
    served: mpsc::UnboundedReceiver<Served>,
    _accepting: JoinSet<()>,
}

impl RunningGateway {
    /// A gateway with the defaults, in front of an origin.
    pub async fn to(origin: &ScriptedOrigin) -> Self {
        Self::with(GatewayConfig::default(), origin).await
    }

    /// A gateway with a configuration of one's own, in front of an origin.
    pub async fn with(config: GatewayConfig, origin: &ScriptedOrigin) -> Self {
        Self::connecting(config, TcpConnect::to(origin.address().to_string())).await
    }

    /// A gateway with a configuration and a connector of one's own.
    pub async fn connecting(config: GatewayConfig, connect: impl Connect + 'static) -> Self {
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
                let (gateway, sender) = (gateway.clone(), sender.clone());
                serving.spawn(async move {
                    // The test may have ended already.
                    let _ = sender.send(gateway.serve(stream, peer).await);
                });
                while let Some(joined) = serving.try_join_next() {
                    joined.expect("serving does not panic");
                }
            }
        });
        RunningGateway {
            address,
            served,
            _accepting: accepting,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub async fn client(&self) -> ScriptedClient {
        ScriptedClient::connect(self.address).await
    }

    /// A client that has sent these bytes.
    pub async fn client_sending(&self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = self.client().await;
        client.send(bytes).await;
        client
    }

    /// How the next connection to end has ended.
    pub async fn served(&mut self) -> Served {
        self.served_within(TIMEOUT).await
    }

    pub async fn served_within(&mut self, limit: Duration) -> Served {
        let served = tokio::time::timeout(limit, self.served.recv()).await;
        let served = served.unwrap_or_else(|_| panic!("no connection has ended within {limit:?}"));
        served.expect("a gateway that accepts")
    }

    /// The phase, the side and the text of the error that the next connection to end has ended with.
    pub async fn failed(&mut self) -> (String, String) {
        match self.served().await {
            Ok(outcome) => panic!("no error but {outcome:?}"),
            Err(error) => (format!("{} {}", error.phase(), error.side()), error.to_string()),
        }
    }
}

/// Expects a final answer of the proxy's own with this status, and the end after it. Returns its text.
pub async fn refused(client: &mut ScriptedClient, status: u16) -> String {
    let (head, body) = client.response().await;
    let body = String::from_utf8(body).unwrap();
    assert_eq!(head.status, status, "{body:?}");
    assert!(head.headers["connection"].to_str().unwrap().starts_with("close"));
    // RFC 9110, section 6.6.1.
    assert!(head.headers.contains_key("date"), "{head:?}");
    client.ends().await;
    body
}
