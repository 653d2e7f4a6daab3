//! What is refused goes nowhere, and others go on.

use std::net::SocketAddr;

use small_talk::{LONGEST, MOST, REFUSALS, router};
use switchover::test_util::{Connection, Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::TcpListener;

const TOO_LONG: &[u8] = b"\x81\x11refused: too long";
const TOO_FAST: &[u8] = b"\x81\x11refused: too fast";

/// A frame of a client's, with a mask of zeros.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let length = payload.len() as u16;
    let header = match length {
        0..=125 => vec![first, 0x80 | length as u8],
        _ => [&[first, 0x80 | 126][..], &length.to_be_bytes()].concat(),
    };
    [&header[..], &[0; 4], payload].concat()
}

fn text(payload: &[u8]) -> Vec<u8> {
    frame(0x81, payload)
}

async fn running() -> (SocketAddr, ScriptedOrigin) {
    let chat = ScriptedOrigin::start(Script::new().read_head().switch()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = router(&chat.address().to_string()).into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (address, chat)
}

async fn talker(app: SocketAddr) -> ScriptedClient {
    let mut client = ScriptedClient::connect(app).await;
    client.send(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client
}

/// The chat has received exactly this on a connection so far.
async fn hears(connection: &Connection, frames: &[Vec<u8>]) {
    let head = connection.head().await;
    connection
        .receives(&[head.as_bytes(), &frames.concat()].concat())
        .await;
}

#[tokio::test]
async fn a_message_over_4_kib_goes_nowhere_and_the_next_one_does() {
    let (app, chat) = running().await;
    let (mut alice, mut bob) = (talker(app).await, talker(app).await);
    let longest = text(&[b'x'; LONGEST]);
    alice.send(&longest).await;
    alice.send(text(&[b'x'; LONGEST + 1])).await;
    alice.receives(TOO_LONG).await;
    alice.send(text(b"sorry")).await;
    hears(&chat.connection(0).await, &[longest, text(b"sorry")]).await;

    // In fragments it is not known before the last: 1009, to its sender alone.
    alice
        .send([frame(0x01, &[b'x'; 4000]), frame(0x00, &[b'x'; 97])].concat())
        .await;
    alice.receives(b"\x88\x18\x03\xf1the message is too big").await;
    bob.send(text(b"I am still here")).await;
    hears(&chat.connection(1).await, &[text(b"I am still here")]).await;
}

#[tokio::test]
async fn more_than_ten_a_second_go_nowhere_and_others_go_on() {
    let (app, chat) = running().await;
    let (mut alice, mut bob) = (talker(app).await, talker(app).await);
    let said: Vec<Vec<u8>> = (0..MOST + 2)
        .map(|number| text(format!("{number}").as_bytes()))
        .collect();
    alice.send(said.concat()).await;
    alice.receives([TOO_FAST, TOO_FAST].concat().as_slice()).await;
    bob.send(text(b"hello")).await;
    hears(&chat.connection(1).await, &[text(b"hello")]).await;
    hears(&chat.connection(0).await, &said[..MOST]).await;
    // A second later there is room again.
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    alice.send(text(b"slowly now")).await;
    hears(
        &chat.connection(0).await,
        &[&said[..MOST], &[text(b"slowly now")]].concat(),
    )
    .await;
}

#[tokio::test]
async fn a_sender_that_does_not_stop_is_sent_away_and_nobody_else_is() {
    let (app, chat) = running().await;
    let (mut alice, mut bob) = (talker(app).await, talker(app).await);
    for _ in 0..REFUSALS {
        alice.send(text(&[b'x'; LONGEST + 1])).await;
        alice.receives(TOO_LONG).await;
    }
    alice.send(text(&[b'x'; LONGEST + 1])).await;
    alice.receives(b"\x88\x1b\x03\xf0too many refused messages").await;
    bob.send(text(b"hello")).await;
    hears(&chat.connection(1).await, &[text(b"hello")]).await;
}
