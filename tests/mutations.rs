//! Good messages with random damage, through a whole gateway: no panic, no hang, and the next good client is served.

use support::running_gateway;

use std::time::Duration;

use switchover::gateway::GatewayConfig;
use switchover::handshake::HandshakePolicy;
use switchover::test_util::{SAMPLE_KEY, Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};
use tokio::io::AsyncReadExt;

use running_gateway::RunningGateway;

const MUTATIONS: u64 = 2_000;
/// Far beyond every deadline of the gateway under test.
const HANG: Duration = Duration::from_secs(5);

/// xorshift64*: enough to be different each time and the same on each run.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    fn one_of<'a>(&mut self, choices: &[&'a [u8]]) -> &'a [u8] {
        choices[self.below(choices.len())]
    }
}

/// What has been used to confuse parsers before.
const SPLINTERS: [&[u8]; 26] = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\"",
    b"\r\n\r\n",
    b"\r\n ",
    b"\xff",
    b"\x7f",
    b"Transfer-Encoding: chunked\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 18446744073709551615\r\n",
    b"Connection: close\r\n",
    b"Upgrade: h2c\r\n",
    b"Host: b\r\n",
    b"HTTP/1.1 ",
    b"101 ",
    b"100 ",
    b"999",
    b"%00",
    b"Sec-WebSocket-Accept: x\r\n",
];

/// The message with one to three things changed.
fn mutated(message: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = message.to_vec();
    for _ in 0..=random.below(3) {
        let at = random.below(bytes.len());
        let end = (at + 1 + random.below(20)).min(bytes.len());
        match random.below(7) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.next() as u8,
            2 => drop(bytes.drain(at..end)),
            3 => drop(bytes.splice(at..at, random.one_of(&SPLINTERS).to_vec())),
            4 => drop(bytes.splice(at..end, random.one_of(&SPLINTERS).to_vec())),
            5 => {
                let repeated = bytes[at..end].repeat(1 + random.below(50));
                drop(bytes.splice(at..at, repeated));
            }
            _ => bytes.truncate(at),
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}

fn config() -> GatewayConfig {
    let short = Duration::from_millis(100);
    GatewayConfig::default()
        .policy(
            HandshakePolicy::default()
                .allow_request_body(true)
                .allow("echo".parse().unwrap()),
        )
        .header_timeout(short)
        .handshake_timeout(short)
        .read_timeout(short)
}

/// Sends the bytes in two segments, ends, and reads whatever comes until the end.
async fn provoke(mut client: ScriptedClient, bytes: Vec<u8>, split: usize, seed: u64) {
    let (first, second) = bytes.split_at(split.min(bytes.len()));
    let _ = client.try_send(first).await;
    let _ = client.try_send(second).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let mut answer = Vec::new();
    // Half of the clients wait for the end, the others bring it about.
    if seed % 2 == 0 {
        let _ = tokio::io::AsyncWriteExt::shutdown(client.stream()).await;
    }
    let end = client.stream().read_to_end(&mut answer);
    let end = tokio::time::timeout(HANG, end).await;
    assert!(
        end.is_ok(),
        "seed {seed}: no end after {}, sent {}",
        answer.escape_ascii(),
        bytes.escape_ascii()
    );
}

async fn the_next_good_client_is_served(gateway: &RunningGateway) {
    let mut client = gateway
        .client_sending([UPGRADE_REQUEST.as_bytes(), b"frame"].concat())
        .await;
    assert_eq!(client.head().await.status, 101);
    client.receives(b"frame").await;
    client.end_writes().await;
    client.ends().await;
}

#[tokio::test]
async fn requests_with_random_damage() {
    let with_body = UPGRADE_REQUEST.replacen(
        "Host",
        "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\nHost",
        1,
    );
    let messages = [
        format!("{UPGRADE_REQUEST}frame"),
        format!("{with_body}5\r\nhello\r\n0\r\nA: b\r\n\r\nframe"),
        UPGRADE_REQUEST.replacen("/chat", "http://user.example:80/chat?q", 1),
        UPGRADE_REQUEST.replacen("websocket", "h2c, echo, websocket", 1),
    ];
    // The tunnel that an unharmed handshake opens ends soon.
    let origin = ScriptedOrigin::start(
        Script::new()
            .read_head()
            .switch()
            .pause(Duration::from_millis(1))
            .close(),
    )
    .await;
    let mut gateway = RunningGateway::with(config(), &origin).await;
    let good = ScriptedOrigin::start(Script::websocket_echo()).await;
    let good = RunningGateway::to(&good).await;
    let mut seed = 0;
    while seed < MUTATIONS {
        let mut clients = tokio::task::JoinSet::new();
        let batch = 200;
        for _ in 0..batch {
            let mut random = Random::new(seed + 1);
            let message = messages[random.below(messages.len())].as_bytes();
            let bytes = mutated(message, &mut random);
            let split = random.below(bytes.len());
            clients.spawn(provoke(gateway.client().await, bytes, split, seed));
            seed += 1;
        }
        for _ in 0..batch {
            // Ordinary ones come back, and are dropped.
            drop(gateway.served_within(HANG).await);
        }
        while let Some(joined) = clients.join_next().await {
            joined.unwrap();
        }
    }
    the_next_good_client_is_served(&good).await;
    let mut client = gateway.client_sending(UPGRADE_REQUEST).await;
    assert_eq!(client.head().await.status, 101);
    client.ends().await;
}

#[tokio::test]
async fn answers_with_random_damage() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
    assert_eq!(SAMPLE_KEY, "dGhlIHNhbXBsZSBub25jZQ==");
    let messages = [
        format!("{switch}frame"),
        format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: <a>\r\n\r\n{switch}frame"),
        "HTTP/1.1 403 Forbidden\r\nContent-Length: 5\r\nSet-Cookie: a\r\n\r\nhello".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n".to_owned(),
        "HTTP/1.0 500 x\r\nConnection: close\r\n\r\nuntil the end".to_owned(),
    ];
    let last = MUTATIONS as usize;
    let origin = ScriptedOrigin::start_with(move |index| {
        let mut random = Random::new(1_000_000 + index as u64);
        let message = messages[random.below(messages.len())].as_bytes();
        let bytes = mutated(message, &mut random);
        let split = random.below(bytes.len());
        if index >= last {
            return Script::websocket_echo();
        }
        Script::new()
            .read_head()
            .send_split_at(bytes, split)
            .pause(Duration::from_millis(1))
            .close()
    })
    .await;
    let mut gateway = RunningGateway::with(config(), &origin).await;
    let mut seed = 0;
    while seed < MUTATIONS {
        let mut clients = tokio::task::JoinSet::new();
        let batch = 200;
        for _ in 0..batch {
            // Odd: the client waits for the end.
            clients.spawn(provoke(gateway.client().await, UPGRADE_REQUEST.into(), 7, 1));
            seed += 1;
        }
        for _ in 0..batch {
            drop(gateway.served_within(HANG).await);
        }
        while let Some(joined) = clients.join_next().await {
            joined.unwrap();
        }
    }
    assert_eq!(origin.connections(), last);
    the_next_good_client_is_served(&gateway).await;
}
