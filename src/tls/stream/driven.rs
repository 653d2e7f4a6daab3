//! A connection of rustls' that has no buffers, led through its states: rustls opens and seals each record, and says what is to be sent.
//!
//! It must not know the stream: bytes come in, bytes and records go out.

use bytes::BytesMut;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::unbuffered::{ConnectionState, UnbufferedStatus, WriteTraffic};

use super::connection::Connection;
use super::outgoing::{Outgoing, Short, fill};
use super::sink::{Come, Sink, use_up};

/// What one step has come to.
pub(super) enum Step {
    More,
    /// More, if there are more bytes: what has come is payload.
    Payload,
    /// What there was to send is taken, and nothing more can be opened.
    Taken,
    /// Nothing more can be done with these bytes. Payload can be sent, if the handshake is done.
    Rest,
    Closed,
    Failed(Error),
}

/// Opens what the bytes hold, as far as there is room for it. Says how many are used up.
pub(super) fn open<C: Connection>(
    connection: &mut C,
    bytes: &mut [u8],
    sink: &mut Sink<'_, '_>,
) -> (usize, Come) {
    let mut used = 0;
    loop {
        let (count, step) = step(connection, &mut bytes[used..], sink, |_| {});
        used += count;
        match step {
            Step::Payload if used == bytes.len() && !connection.wants_write() => {
                return (used, Come::Incomplete);
            }
            Step::More | Step::Payload if sink.is_full() => return (used, Come::Full),
            Step::More | Step::Payload | Step::Taken => {}
            Step::Rest => return (used, Come::Incomplete),
            Step::Closed => return (used, Come::Closed),
            Step::Failed(error) => {
                alert(connection, &mut bytes[used..], sink.outgoing);
                return (used, Come::Failed(error));
            }
        }
    }
}

/// Seals payload into a buffer that grows as it is needed. Says how many bytes of it are sealed records, which stand behind what is
/// outgoing, and what has come to an end on the way.
///
/// What has been received and not opened yet has to stand by, and may be opened. Nothing is sealed where that fails.
pub(super) fn seal<C: Connection>(
    connection: &mut C,
    held: &mut BytesMut,
    payload: &[u8],
    sealed: &mut Vec<u8>,
    sink: &mut Sink<'_, '_>,
) -> (Option<Result<usize, Error>>, Option<Come>) {
    let mut count = None;
    let come = at_traffic(connection, held, sink, |mut traffic| {
        let encrypt = |out: &mut [u8]| traffic.encrypt(payload, out).map_err(Short::from);
        count = Some(fill(sealed, 0, encrypt));
    });
    if let Some(Err(_)) = count {
        // Keys that are used up: rustls says that nothing more comes.
        alert(connection, held, sink.outgoing);
    }
    (count, come)
}

/// Seals the end of what is sent.
pub(super) fn close<C: Connection>(
    connection: &mut C,
    held: &mut BytesMut,
    sink: &mut Sink<'_, '_>,
) -> Option<Come> {
    let mut last = Outgoing::default();
    let come = at_traffic(connection, held, sink, |mut traffic| {
        // Without it the peer sees a stream that ends too early, which is what it is.
        let _ = last.push_with(|out| traffic.queue_close_notify(out).map_err(Short::from));
    });
    sink.outgoing.push(last.waiting());
    come
}

/// Comes to the state in which there can be sent. It stands behind everything that has been received.
fn at_traffic<C: Connection>(
    connection: &mut C,
    held: &mut BytesMut,
    sink: &mut Sink<'_, '_>,
    send: impl FnOnce(WriteTraffic<'_, C::Data>),
) -> Option<Come> {
    let (mut send, mut closed) = (Some(send), None);
    loop {
        let (used, step) = step(connection, held, sink, |traffic| {
            if let Some(send) = send.take() {
                send(traffic);
            }
        });
        use_up(held, used);
        match step {
            Step::More | Step::Payload | Step::Taken => {}
            Step::Rest => return closed,
            Step::Closed if closed.is_none() => closed = Some(Come::Closed),
            Step::Closed => return closed,
            Step::Failed(error) => {
                alert(connection, held, sink.outgoing);
                return Some(Come::Failed(error));
            }
        }
    }
}

/// One state. The payload that has come is passed on before the next.
pub(super) fn step<C: Connection>(
    connection: &mut C,
    bytes: &mut [u8],
    sink: &mut Sink<'_, '_>,
    send: impl FnOnce(WriteTraffic<'_, C::Data>),
) -> (usize, Step) {
    let UnbufferedStatus { mut discard, state } = connection.process(bytes);
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(Ok(record)) = traffic.next_record() {
                sink.give(record.payload);
                discard += record.discard;
            }
            Step::Payload
        }
        Ok(ConnectionState::EncodeTlsData(mut record)) => {
            let encoded = sink
                .outgoing
                .push_with(|out| record.encode(out).map_err(Short::from));
            encoded.map_or_else(Step::Failed, |()| Step::More)
        }
        // They are in front of everything that is written from now on.
        Ok(ConnectionState::TransmitTlsData(records)) => {
            records.done();
            Step::Taken
        }
        Ok(ConnectionState::WriteTraffic(traffic)) => {
            send(traffic);
            Step::Rest
        }
        Ok(ConnectionState::BlockedHandshake) => Step::Rest,
        Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Step::Closed,
        // Early data, which no configuration of this crate accepts.
        Ok(_) => Step::Failed(Error::General("a state that was not expected".into())),
        Err(error) => Step::Failed(error),
    };
    (discard, step)
}

/// The alert that a failure has made. rustls is asked exactly as often as there is one: it would fail again.
pub(super) fn alert<C: Connection>(connection: &mut C, bytes: &mut [u8], outgoing: &mut Outgoing) {
    while connection.wants_write() {
        let Ok(ConnectionState::EncodeTlsData(mut record)) = connection.process(bytes).state else {
            return;
        };
        let encoded = outgoing.push_with(|out| record.encode(out).map_err(Short::from));
        if encoded.is_err() {
            return;
        }
    }
}
