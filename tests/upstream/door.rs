//! Both doors in front of a group.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::serve::ListenerExt;
use switchover::UpgradeConfig;
use switchover::connect::Connect;
use switchover::gateway::{Gateway, GatewayConfig};
use switchover::header::Forwarding;
use switchover::service::{RelayConfig, ReverseProxy, ServiceConfig};
use switchover::test_util::ScriptedClient;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Gateway,
    Service,
}

pub(crate) const DOORS: [Door; 2] = [Door::Gateway, Door::Service];

/// A proxy on loopback, which ends when this is dropped.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Door {
    pub(crate) async fn to<C: Connect + 'static>(self, connect: C) -> Proxy {
        self.with(connect, UpgradeConfig::default()).await
    }

    pub(crate) async fn with<C: Connect + 'static>(self, connect: C, config: UpgradeConfig) -> Proxy {
        self.forwarding(connect, config, Forwarding::default()).await
    }

    pub(crate) async fn forwarding<C: Connect + 'static>(
        self,
        connect: C,
        config: UpgradeConfig,
        forwarding: Forwarding,
    ) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut serving = JoinSet::new();
        match self {
            Door::Gateway => {
                let config = GatewayConfig::default().upgrade(config).forwarding(forwarding);
                let gateway = Gateway::builder(connect).config(config).build();
                serving.spawn(async move {
                    let mut serving = JoinSet::new();
                    loop {
                        let (stream, peer) = listener.accept().await.unwrap();
                        let gateway = gateway.clone();
                        serving.spawn(async move { drop(gateway.serve(stream, peer).await) });
                        while serving.try_join_next().is_some() {}
                    }
                });
            }
            Door::Service => {
                let service = ReverseProxy::new(connect)
                    .config(ServiceConfig::default().upgrade(config).forwarding(forwarding))
                    .relay(RelayConfig::default().read_timeout(Duration::from_secs(2)));
                let router = Router::new()
                    .fallback_service(service)
                    .into_make_service_with_connect_info::<SocketAddr>();
                let listener = listener.tap_io(|stream| stream.set_nodelay(true).unwrap());
                serving.spawn(async move { axum::serve(listener, router).await.unwrap() });
            }
        }
        Proxy {
            address,
            _serving: serving,
        }
    }
}

impl Proxy {
    pub(crate) async fn client(&self) -> ScriptedClient {
        ScriptedClient::connect(self.address).await
    }

    pub(crate) async fn client_sending(&self, bytes: impl AsRef<[u8]>) -> ScriptedClient {
        let mut client = self.client().await;
        client.send(bytes).await;
        client
    }
}
