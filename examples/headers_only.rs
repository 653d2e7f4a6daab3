//! Only the rules, in a proxy that one already has: no IO, no tokio. What would go upstream, and what the answer means.
//!
//! ```text
//! cargo run --example headers_only
//! ```

use std::net::IpAddr;

use switchover::handshake::{HandshakePolicy, UpgradeRequest, Verdict};
use switchover::header::{Forwarding, Hop};
use switchover::http1::{HeadLimits, Parsed, encode_request, encode_response, parse_request, parse_response};

const REQUEST: &[u8] = b"GET /chat HTTP/1.1\r\n\
    Host: example.com\r\n\
    Connection: keep-alive, Upgrade, X-Forwarded-For\r\n\
    Upgrade: websocket, h2c\r\n\
    X-Forwarded-For: 6.6.6.6\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\n\
    Connection: Upgrade\r\n\
    Upgrade: websocket\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let limits = HeadLimits::default();
    let Parsed::Complete { parts: request, .. } = parse_request(REQUEST, &limits)? else {
        return Err("the request is not whole".into());
    };
    let Some(upgrade) = UpgradeRequest::parse(&request, &HandshakePolicy::default())? else {
        return Err("the request is no upgrade".into());
    };

    let peer: IpAddr = "192.0.2.7".parse()?;
    let (outgoing, pending) = upgrade.forward(request, Hop::from(peer), &Forwarding::default());
    let mut bytes = Vec::new();
    encode_request(&outgoing, &mut bytes);
    println!("to the upstream:\n{}", String::from_utf8_lossy(&bytes));

    let Parsed::Complete { parts: answer, .. } = parse_response(ANSWER, &limits)? else {
        return Err("the answer is not whole".into());
    };
    match pending.judge(answer)? {
        Verdict::Switched(switched) => {
            let mut bytes = Vec::new();
            encode_response(switched.response(), &mut bytes);
            println!(
                "both agree on {}; to the client:\n{}",
                switched.protocol(),
                String::from_utf8_lossy(&bytes)
            );
        }
        Verdict::Declined(declined) => println!("declined: {}", declined.response().status),
        Verdict::Interim { .. } => println!("not the answer yet"),
    }
    Ok(())
}
