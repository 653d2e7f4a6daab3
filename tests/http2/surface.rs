//! The stream itself, for a caller that writes a head to it: HTTP/1.1 on its surface.

use std::io::ErrorKind;

use http::Response;
use switchover::connect::{Connect, ConnectRequest};
use switchover::header::Hop;
use switchover::http2::Http2Stream;
use switchover::test_util::UPGRADE_REQUEST;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::upstream::{Order, Upstream, within};

async fn connected() -> (Upstream, Http2Stream) {
    let upstream = Upstream::start().await;
    let parsed = switchover::http1::parse_request(UPGRADE_REQUEST.as_bytes(), &Default::default());
    let Ok(switchover::http1::Parsed::Complete { parts, .. }) = parsed else {
        panic!()
    };
    let connect = upstream.connect();
    let stream = connect
        .connect(ConnectRequest::new(&parts, Hop::unknown()))
        .await
        .unwrap();
    // The stream keeps its connection without the connector.
    (upstream, stream)
}

async fn answer_of(stream: &mut Http2Stream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(within("a head", stream.read_u8()).await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

#[tokio::test]
async fn nothing_is_asked_before_the_head_is_whole() {
    let (mut upstream, mut stream) = connected().await;
    let (most, last) = UPGRADE_REQUEST.as_bytes().split_at(UPGRADE_REQUEST.len() - 1);
    for byte in most {
        stream.write_all(std::slice::from_ref(byte)).await.unwrap();
    }
    stream.flush().await.unwrap();
    tokio::select! {
        biased;
        _ = upstream.asked() => panic!("asked before the head was whole"),
        read = stream.read_u8() => panic!("{read:?} before anything was asked"),
        () = tokio::time::sleep(std::time::Duration::from_millis(50)) => {}
    }
    stream.write_all(last).await.unwrap();
    let _tunnel = upstream.tunnel().await;
    assert_eq!(
        answer_of(&mut stream).await,
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
    );
}

#[tokio::test]
async fn who_reads_already_hears_of_the_answer() {
    let (mut upstream, stream) = connected().await;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = tokio::spawn(async move { reader.read_u8().await.unwrap() });
    tokio::task::yield_now().await;
    writer.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let _tunnel = upstream.tunnel().await;
    assert_eq!(within("a byte", reading).await.unwrap(), b'H');
}

#[tokio::test]
async fn what_follows_the_head_is_not_taken_before_the_answer() {
    let (mut upstream, mut stream) = connected().await;
    let with_more = [UPGRADE_REQUEST.as_bytes(), b"more"].concat();
    assert_eq!(stream.write(&with_more).await.unwrap(), UPGRADE_REQUEST.len());
    let error = stream.write(b"more").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    let mut tunnel = upstream.tunnel().await;
    answer_of(&mut stream).await;
    stream.write_all(b"now").await.unwrap();
    tunnel.receives(b"now").await;
}

#[tokio::test]
async fn heads_that_ask_for_something_else() {
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "\x01\x05hello",
    ] {
        let (upstream, mut stream) = connected().await;
        let error = match stream.write_all(head.as_bytes()).await {
            Ok(()) => stream.write_all(b"\r\n\r\n").await.unwrap_err(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::InvalidInput, "{head:?}");
        drop((upstream, stream));
    }
}

#[tokio::test]
async fn a_declined_answer_and_its_body_to_the_end() {
    let (mut upstream, mut stream) = connected().await;
    stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let answer = Response::builder()
        .status(429)
        .header("retry-after", "1")
        .body(())
        .unwrap();
    let mut declined = upstream.asked().await.answer(answer);
    declined.send("too many").await;
    declined.end();
    let mut text = String::new();
    within("the answer", stream.read_to_string(&mut text))
        .await
        .unwrap();
    assert_eq!(
        text,
        "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 1\r\n\r\ntoo many"
    );
    declined.ends().await;
    assert_eq!(
        stream.write(b"x").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
}

#[tokio::test]
async fn a_connection_that_is_gone_before_anything_is_asked() {
    let (mut upstream, mut stream) = connected().await;
    upstream.order(0, Order::Close);
    upstream.ended_connections(1).await;
    let failed = async {
        loop {
            let mut byte = [0];
            tokio::select! {
                biased;
                read = stream.read(&mut byte) => return read.unwrap_err(),
                () = tokio::task::yield_now() => {}
            }
        }
    };
    assert_eq!(
        within("a failure", failed).await.kind(),
        ErrorKind::ConnectionAborted
    );
    let error = stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn what_is_flushed_arrives() {
    let (mut upstream, mut stream) = connected().await;
    stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let mut tunnel = upstream.tunnel().await;
    answer_of(&mut stream).await;
    for round in 0..50u8 {
        stream.write_all(&[round; 1_000]).await.unwrap();
        stream.flush().await.unwrap();
        tunnel.receives(&[round; 1_000]).await;
    }
    // The reset that dropping the stream is comes behind it.
    stream.write_all(&[0xff; 10_000]).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    tunnel.receives(&[0xff; 10_000]).await;
    assert_eq!(tunnel.is_reset().await, h2::Reason::CANCEL);
}

#[tokio::test]
async fn a_write_side_that_has_ended_takes_no_more() {
    let (mut upstream, mut stream) = connected().await;
    stream.write_all(UPGRADE_REQUEST.as_bytes()).await.unwrap();
    let mut tunnel = upstream.tunnel().await;
    answer_of(&mut stream).await;
    stream.write_all(b"last").await.unwrap();
    stream.shutdown().await.unwrap();
    stream.shutdown().await.unwrap();
    assert_eq!(
        stream.write(b"x").await.unwrap_err().kind(),
        ErrorKind::BrokenPipe
    );
    tunnel.receives(b"last").await;
    tunnel.ends().await;
    tunnel.send("and back").await;
    tunnel.end();
    let mut rest = Vec::new();
    within("the rest", stream.read_to_end(&mut rest)).await.unwrap();
    assert_eq!(rest, b"and back");
}
