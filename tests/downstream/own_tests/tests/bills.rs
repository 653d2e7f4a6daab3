//! Bills under good and bad networks: scripted peers on both sides, and faults on either connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use own_tests::{Bill, Metered, Verdict};
use switchover::connect::{ConnectError, ConnectRequest};
use switchover::test_util::fault::{Faults, FaultyStream};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use switchover::{Connect, TcpConnect, TunnelConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

/// Connections to the origin, all of them with the same faults.
struct FaultyConnect {
    connect: TcpConnect,
    faults: Faults,
}

impl Connect for FaultyConnect {
    type Stream = FaultyStream<TcpStream>;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<Self::Stream, ConnectError> {
        let stream = self.connect.stream().await?;
        Ok(FaultyStream::new(stream).faults(self.faults.clone()))
    }
}

/// One gateway for one connection, and what it will come to.
struct Table {
    address: SocketAddr,
    metered: Metered<FaultyConnect>,
    bill: JoinHandle<Bill>,
}

impl Table {
    async fn set(origin: &ScriptedOrigin, downstream: Faults, upstream: Faults) -> Self {
        let connect = FaultyConnect {
            connect: TcpConnect::to(origin.address().to_string()),
            faults: upstream,
        };
        let limits = TunnelConfig::default().write_timeout(Duration::from_millis(100));
        let metered = Metered::new(connect, limits);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let bill = tokio::spawn({
            let metered = metered.clone();
            async move {
                let (stream, _) = listener.accept().await.unwrap();
                let stream = FaultyStream::new(stream).faults(downstream);
                metered.serve(stream, CLIENT).await
            }
        });
        Table {
            address,
            metered,
            bill,
        }
    }

    /// A client whose upgrade has been agreed to.
    async fn tunnel(&self) -> ScriptedClient {
        let mut client = self.asking().await;
        assert_eq!(client.head().await.status, 101);
        client
    }

    async fn asking(&self) -> ScriptedClient {
        let mut client = ScriptedClient::connect(self.address).await;
        client.send(UPGRADE_REQUEST).await;
        client
    }

    /// The bill, which must also be what the account says.
    async fn bill(self) -> Bill {
        let bill = self.bill.await.unwrap();
        assert_eq!(self.metered.account(CLIENT), bill.up + bill.down);
        bill
    }
}

fn whole(up: u64, down: u64) -> Bill {
    Bill {
        up,
        down,
        verdict: Verdict::Whole,
    }
}

fn not_served(why: &str) -> Bill {
    Bill {
        up: 0,
        down: 0,
        verdict: Verdict::NotServed(why.to_owned()),
    }
}

#[tokio::test]
async fn a_conversation_costs_what_was_said() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let table = Table::set(&origin, Faults::none(), Faults::none()).await;
    let mut client = table.tunnel().await;
    client.send("hello").await;
    client.receives(b"hello").await;
    client.end_writes().await;
    client.ends().await;
    assert_eq!(table.bill().await, whole(5, 5));
}

#[tokio::test]
async fn the_pieces_in_which_it_was_said_cost_nothing() {
    let text = "every byte, in order, ".repeat(50);
    for seed in 0..8 {
        let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
        let table = Table::set(&origin, Faults::seeded(seed), Faults::seeded(!seed)).await;
        let mut client = table.tunnel().await;
        client.send(&text).await;
        client.end_writes().await;
        assert_eq!(
            String::from_utf8(client.rest().await).unwrap(),
            text,
            "seed {seed}"
        );
        let length = text.len() as u64;
        assert_eq!(table.bill().await, whole(length, length), "seed {seed}");
    }
}

#[tokio::test]
async fn what_the_origin_did_not_take_is_not_charged() {
    // Faults count from the first byte of a connection, which is the first of a head.
    let head = head_length().await;
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let faults = Faults::none().stall_after_writing(head + 3);
    let table = Table::set(&origin, Faults::none(), faults).await;
    let mut client = table.tunnel().await;
    client.send("hello").await;
    client.receives(b"hel").await;
    let expected = Bill {
        up: 3,
        down: 3,
        verdict: Verdict::CutShort("upstream accepted no bytes for too long".to_owned()),
    };
    assert_eq!(table.bill().await, expected);
}

/// The length of the head that goes upstream.
async fn head_length() -> u64 {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let table = Table::set(&origin, Faults::none(), Faults::none()).await;
    drop(table.tunnel().await);
    origin.connection(0).await.head().await.len() as u64
}

#[tokio::test]
async fn a_client_that_is_gone_pays_for_what_had_arrived() {
    let origin = ScriptedOrigin::start(Script::new().read_head().switch()).await;
    let faults = Faults::none().reset_after_reading(UPGRADE_REQUEST.len() as u64 + 5);
    let table = Table::set(&origin, faults, Faults::none()).await;
    let mut client = table.tunnel().await;
    client.send("hello, world").await;
    let expected = Bill {
        up: 5,
        down: 0,
        verdict: Verdict::CutShort("downstream failed".to_owned()),
    };
    assert_eq!(table.bill().await, expected);
    origin.connection(0).await.receives(b"\r\n\r\nhello").await;
}

#[tokio::test]
async fn an_origin_that_is_gone_had_said_something() {
    let script = Script::new()
        .read_head()
        .switch()
        .send("half of it")
        .read(2)
        .reset();
    let origin = ScriptedOrigin::start(script).await;
    let table = Table::set(&origin, Faults::none(), Faults::none()).await;
    let mut client = table.tunnel().await;
    client.receives(b"half of it").await;
    client.send("go").await;
    let bill = table.bill().await;
    assert_eq!((bill.up, bill.down), (2, 10));
    assert_eq!(bill.verdict, Verdict::CutShort("upstream failed".to_owned()));
}

#[tokio::test]
async fn answers_of_the_origin_that_are_no_tunnel_cost_nothing() {
    let cases = [
        (
            Script::answering("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
            403,
            "the origin said 403 Forbidden",
        ),
        (
            Script::answering("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"),
            502,
            "upstream failed, response head: the 101 has no Connection field with the option upgrade",
        ),
        (
            Script::new().read_head().close(),
            502,
            "upstream failed, response head: the connection was closed before it was complete",
        ),
    ];
    for (script, status, why) in cases {
        let origin = ScriptedOrigin::start(script).await;
        let table = Table::set(&origin, Faults::none(), Faults::none()).await;
        let mut client = table.asking().await;
        assert_eq!(client.response().await.0.status, status, "{why}");
        client.ends().await;
        drop(client);
        assert_eq!(table.bill().await, not_served(why));
    }
}

#[tokio::test]
async fn requests_that_are_no_upgrade_cost_nothing() {
    let origin = ScriptedOrigin::start(Script::websocket_echo()).await;
    let cases = [
        (
            UPGRADE_REQUEST.replace("GET", "POST"),
            "a WebSocket handshake is a GET",
        ),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(), "no upgrade"),
    ];
    for (request, why) in cases {
        let table = Table::set(&origin, Faults::none(), Faults::none()).await;
        let mut client = ScriptedClient::connect(table.address).await;
        client.send(request).await;
        client.end_writes().await;
        assert_eq!(table.bill().await, not_served(why));
    }
    assert_eq!(origin.connections(), 0);
}
