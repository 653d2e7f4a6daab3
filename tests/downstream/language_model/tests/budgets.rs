//! What passes is counted, and a budget that is spent ends its own tunnels alone.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use language_model::{Budgets, serve};
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::net::TcpListener;

/// A Close 4008 with its reason.
const SPENT: &[u8] = b"\x88\x0e\x0f\xa8budget spent";

/// A text message of the model's.
fn text(text: &str) -> Vec<u8> {
    [&[0x81, text.len() as u8], text.as_bytes()].concat()
}

async fn running(model: &ScriptedOrigin, budgets: &Budgets) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, model.address().to_string(), budgets.clone()));
    address
}

async fn asking(gateway: SocketAddr, key: &str) -> ScriptedClient {
    let mut client = ScriptedClient::connect(gateway).await;
    let fields = format!("\r\nAuthorization: {key}\r\nSec-WebSocket-Extensions: permessage-deflate\r\n");
    client.send(UPGRADE_REQUEST.replacen("\r\n", &fields, 1)).await;
    assert_eq!(client.head().await.status, 101);
    client
}

#[tokio::test]
async fn tokens_are_counted_over_fragments_and_pieces() {
    // "one two three" in two frames and in single bytes, a ping between them; then binary, which is not counted.
    let answer = [
        &b"\x01\x05one t"[..],
        b"\x89\x00",
        b"\x80\x08wo three",
        b"\x82\x05a b c",
    ]
    .concat();
    let script = Script::new()
        .read_head()
        .switch()
        .send_in_pieces(answer.clone(), 1);
    let model = ScriptedOrigin::start(script).await;
    let budgets = Budgets::new(100);
    let gateway = running(&model, &budgets).await;
    let mut client = asking(gateway, "alice").await;
    client.receives(&answer).await;
    assert_eq!(budgets.of("alice").load(Ordering::Relaxed), 97);
    assert_eq!(budgets.of("bob").load(Ordering::Relaxed), 100);
    let head = model.connection(0).await.head().await;
    assert!(
        !head.contains("permessage-deflate"),
        "the words have to be legible: {head}"
    );
}

#[tokio::test]
async fn a_budget_that_is_spent_ends_with_4008_and_bobs_goes_on() {
    let answer = [text("one two"), text("three four"), text("never said")].concat();
    let model = ScriptedOrigin::start(Script::new().read_head().switch().send(answer)).await;
    let budgets = Budgets::new(4);
    budgets.of("bob").store(1000, Ordering::Relaxed);
    let gateway = running(&model, &budgets).await;
    let mut bob = asking(gateway, "bob").await;
    let said = [text("one two"), text("three four"), text("never said")].concat();
    bob.receives(&said).await;
    let mut alice = asking(gateway, "alice").await;
    // The message that spends the last token is whole.
    alice
        .receives(
            [text("one two"), text("three four"), SPENT.to_vec()]
                .concat()
                .as_slice(),
        )
        .await;
    bob.receives_nothing_for(Duration::from_millis(200)).await;

    // The same key again: a question is not passed on.
    let script = Script::new().read_head().switch();
    let model = ScriptedOrigin::start(script).await;
    let gateway = running(&model, &budgets).await;
    let mut alice = asking(gateway, "alice").await;
    alice.send(b"\x81\x83\0\0\0\0why").await;
    alice.receives(SPENT).await;
    let connection = model.connection(0).await;
    let head = connection.head().await;
    // A client's Close is masked.
    connection.end().await;
    let received = &connection.received()[head.len()..];
    assert_eq!((&received[..2], received.len()), (&b"\x88\x8e"[..], 20));
}
