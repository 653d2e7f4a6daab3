//! An upgrade that has its final answer has no place any more, however long its client makes the connection last. Time is simulated,
//! and both connections are in memory.

use std::sync::Mutex;
use std::time::Duration;

use http::Response;
use switchover::connect::{Connect, ConnectError, ConnectRequest};
use switchover::gateway::{Accepted, Acceptor, Gateway, GatewayConfig, Outcome};
use switchover::handshake::Rejection;
use switchover::header::Hop;
use switchover::test_util::UPGRADE_REQUEST;
use switchover::tunnel::{Cap, PeerCap};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::sleep;

/// An upstream that answers with this, whatever it is asked; with nothing, it cannot be connected to.
struct Answers(Mutex<Option<&'static str>>, Cap);

impl Connect for Answers {
    type Stream = DuplexStream;

    async fn connect(&self, _: ConnectRequest<'_>) -> Result<DuplexStream, ConnectError> {
        assert_eq!(self.1.open(), 1);
        let Some(answer) = self.0.lock().unwrap().take() else {
            let (name, error) = ("nobody".to_owned(), std::io::ErrorKind::ConnectionRefused.into());
            return Err(ConnectError::Failed { name, error });
        };
        let (near, mut far) = duplex(4096);
        tokio::spawn(async move {
            let mut head = [0; 4096];
            let _ = far.read(&mut head).await;
            far.write_all(answer.as_bytes()).await.unwrap();
            let _ = far.shutdown().await;
            let _ = far.read_to_end(&mut Vec::new()).await;
        });
        Ok(near)
    }
}

/// What becomes of an upgrade.
#[derive(Clone, Copy, Debug)]
enum Story {
    Declined(&'static str),
    Unreachable,
    Rejected,
    Answered,
}

async fn serve(story: Story, stream: DuplexStream, hop: Hop, config: GatewayConfig, cap: Cap) {
    let upstream = |answer| Gateway::builder(Answers(Mutex::new(answer), cap.clone())).config(config.clone());
    match story {
        Story::Declined(answer) => {
            let outcome = upstream(Some(answer)).build().serve(stream, hop).await;
            assert!(matches!(outcome, Ok(Outcome::Declined(_))), "{outcome:?}");
        }
        Story::Unreachable => {
            let outcome = upstream(None).build().serve(stream, hop).await;
            assert!(outcome.is_err(), "{outcome:?}");
        }
        Story::Rejected | Story::Answered => {
            let accepted = Acceptor::new(config).accept(stream, hop).await.unwrap();
            let Accepted::Upgrade(incoming) = accepted else {
                panic!("{accepted:?}")
            };
            assert_eq!(cap.open(), 1);
            match story {
                Story::Rejected => drop(incoming.reject(Rejection::Draining).await.unwrap()),
                _ => incoming.respond(Response::new("no".to_owned())).await.unwrap(),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_makes_the_close_last_has_no_place() {
    for story in [
        Story::Declined("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"),
        Story::Declined("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
        Story::Declined("HTTP/1.0 403 Forbidden\r\n\r\nno"),
        Story::Unreachable,
        Story::Rejected,
        Story::Answered,
    ] {
        let peer = std::net::SocketAddr::from(([192, 0, 2, 1], 1000));
        let (cap, peers) = (Cap::new(1), PeerCap::new(1));
        let config = GatewayConfig::default().cap(cap.clone()).peer_cap(peers.clone());
        let (mut client, stream) = duplex(4096);
        let serving = tokio::spawn(serve(story, stream, peer.into(), config, cap.clone()));
        client.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
        client.read_to_end(&mut Vec::new()).await.unwrap();
        assert_eq!((cap.open(), peers.open(peer.ip())), (0, 0), "{story:?}");
        // Its bytes are still read, so that it gets to read its answer.
        for _ in 0..5 {
            sleep(Duration::from_secs(1)).await;
            client.write_all(b"drip").await.unwrap();
            assert!(!serving.is_finished(), "{story:?}");
        }
        drop(client);
        serving.await.unwrap();
    }
}
