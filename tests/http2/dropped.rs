//! Streams that are dropped: what was written before goes out before the reset, on either side, as long as the peer wants it. Time is
//! simulated.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::{Request, Response};
use switchover::http2::{ConnectStream, Http2Server, Http2ServerConfig, Http2ServerStream, RequestBody};
use switchover::tunnel::{End, Tunnel, TunnelConfig};
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::service_fn;

use crate::slow_peers::{FAST, FOR_EVER, Link, SIDES, Story};

/// Links that are held up for minutes, for a moment, and not at all.
const LINKS: [Link; 3] = [
    Link {
        buffer: 1024,
        to_peer: 2048,
        from_peer: FAST,
    },
    Link {
        buffer: 256,
        to_peer: FAST,
        from_peer: FAST,
    },
    Link {
        buffer: 1 << 20,
        to_peer: FAST,
        from_peer: FAST,
    },
];

/// How much arrives, and the reset at its end.
async fn rest_of(story: &mut Story) -> (usize, Option<Reason>) {
    let mut received = 0;
    loop {
        let read = timeout(FOR_EVER, story.peers.read()).await.expect("an end");
        match read {
            Ok(bytes) => received += bytes.expect("no end in order").len(),
            Err(error) => return (received, error.reason()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_written_goes_out_before_the_reset() {
    for side in SIDES {
        for link in LINKS {
            for (written, is_flushed) in [(1, false), (1000, true), (50_000, false), (150_000, false)] {
                let mut story = Story::of(side, link).await;
                let bytes = vec![b'x'; written];
                let written_all = story.ours.write_all(&bytes);
                timeout(FOR_EVER, written_all).await.expect("room").unwrap();
                if is_flushed {
                    timeout(FOR_EVER, story.ours.flush())
                        .await
                        .expect("a flush")
                        .unwrap();
                }
                story.ours = Box::new(tokio::io::empty());
                let ended = rest_of(&mut story).await;
                assert_eq!(ended, (written, Some(Reason::CANCEL)), "{side}, {}", link.buffer);
            }
        }
    }
}

/// A direction that has ended, and whose end may wait behind bytes.
#[tokio::test(start_paused = true)]
async fn what_was_written_before_an_end_arrives_whenever_the_stream_is_dropped() {
    for side in SIDES {
        for link in LINKS {
            let mut story = Story::of(side, link).await;
            let written_all = story.ours.write_all(&[b'x'; 150_000]);
            timeout(FOR_EVER, written_all).await.expect("room").unwrap();
            // On a link that is held up it does not come to its end.
            let _ = timeout(Duration::from_millis(1), story.ours.shutdown()).await;
            story.ours = Box::new(tokio::io::empty());
            let mut received = 0;
            loop {
                match timeout(FOR_EVER, story.peers.read()).await.expect("an end") {
                    Ok(Some(bytes)) => received += bytes.len(),
                    Ok(None) => break,
                    Err(error) => panic!("{side}, {}: {error} behind {received}", link.buffer),
                }
            }
            assert_eq!(received, 150_000, "{side}, {}", link.buffer);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_the_turn_of_a_deadline_is_delivered_as_it_is_counted() {
    for side in SIDES {
        let mut story = Story::of(side, LINKS[2]).await;
        let ours = std::mem::replace(&mut story.ours, Box::new(tokio::io::empty()));
        let (mut other, near) = tokio::io::duplex(1024);
        let config = TunnelConfig::default().lifetime(Duration::from_secs(1));
        let tunnel = tokio::spawn(Tunnel::new(near, ours).config(config).run());
        tokio::task::yield_now().await;
        other.write_all(b"hello").await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        let traffic = timeout(FOR_EVER, tunnel).await.expect("an end").unwrap().unwrap();
        let mut received = 0;
        while let Ok(Some(bytes)) = timeout(FOR_EVER, story.peers.read()).await.expect("an end") {
            received += bytes.len() as u64;
        }
        assert_eq!(
            (traffic.from_downstream(), traffic.end()),
            (received, End::Lifetime),
            "{side}"
        );
        assert_eq!(received, 5, "{side}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_a_connection_that_is_held_up_and_for_no_other() {
    for side in SIDES {
        for (link, is_held_up) in [(LINKS[0], true), (LINKS[2], false)] {
            let mut story = Story::of(side, link).await;
            // More than may wait between the stream and the connection.
            let written_all = story.ours.write_all(&[b'x'; 150_000]);
            timeout(FOR_EVER, written_all).await.expect("room").unwrap();
            let flushed = timeout(Duration::from_millis(1), story.ours.flush()).await;
            assert_eq!(flushed.is_err(), is_held_up, "{side}");
            timeout(FOR_EVER, story.ours.flush())
                .await
                .expect("a flush")
                .unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_does_not_want_any_more_does_not_keep_the_stream() {
    let (near, far, _cut) = LINKS[0].lay();
    let (hand_over, mut opened) = mpsc::unbounded_channel();
    let service = service_fn(move |mut request: Request<RequestBody>| {
        let stream = request.extensions_mut().remove::<ConnectStream>().unwrap();
        hand_over.send(stream).unwrap();
        async { Ok::<_, Infallible>(Response::new(String::new())) }
    });
    tokio::spawn(async move {
        let server = Http2Server::new(Http2ServerConfig::default());
        server.serve(near, service, pending()).await
    });
    let (mut send, mut connection) = h2::client::Builder::new()
        .handshake::<_, Bytes>(far)
        .await
        .unwrap();
    let (shrink, mut shrinks) = mpsc::unbounded_channel::<u32>();
    tokio::spawn(poll_fn(move |cx| {
        if let std::task::Poll::Ready(Some(window)) = shrinks.poll_recv(cx) {
            connection.set_initial_window_size(window).unwrap();
        }
        std::pin::Pin::new(&mut connection).poll(cx)
    }));
    // Behind the settings.
    sleep(Duration::from_secs(10)).await;
    let request = Request::connect("http://a/live")
        .extension(Protocol::from_static("websocket"))
        .body(())
        .unwrap();
    let (response, _sending) = send.send_request(request, false).unwrap();
    let mut receiving = response.await.unwrap().into_body();
    let mut ours: Http2ServerStream = opened.recv().await.unwrap().await.unwrap();
    ours.write_all(&[b'x'; 60_000]).await.unwrap();
    // While most of it waits.
    sleep(Duration::from_secs(2)).await;
    shrink.send(0).unwrap();
    sleep(Duration::from_secs(2)).await;
    drop(ours);
    let ended = async {
        loop {
            if let Err(error) = receiving.data().await.expect("no end in order") {
                return error.reason();
            }
        }
    };
    let ended = timeout(FOR_EVER, ended).await.expect("an end");
    assert_eq!(ended, Some(Reason::CANCEL));
}
