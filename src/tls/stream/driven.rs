//! A connection whose records rustls opens and seals: each handshake, and what follows the handshake where the keys stay with
//! rustls, which is TLS 1.2 and a provider that hands out none.
//!
//! It must not know the stream: bytes come in, bytes and records go out.

use bytes::BytesMut;
use tokio_rustls::rustls::Error;
use tokio_rustls::rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};

use super::connection::Connection;
use super::outgoing::Outgoing;
use super::sink::{Come, Sink, use_up};

/// What one step has come to.
enum Step {
    More,
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
            Step::More if sink.is_full() => return (used, Come::Full),
            Step::More => {}
            Step::Rest => return (used, Come::Incomplete),
            Step::Closed => return (used, Come::Closed),
            Step::Failed(error) => {
                alert(connection, &mut bytes[used..], sink.outgoing);
                return (used, Come::Failed(error));
            }
        }
    }
}

/// Seals payload. What has been received and not opened yet has to stand by, and may be opened. Nothing is sealed if it fails.
pub(super) fn seal<C: Connection>(
    connection: &mut C,
    held: &mut BytesMut,
    payload: &[u8],
    sink: &mut Sink<'_, '_>,
) -> Result<Option<Come>, Error> {
    let mut sealed = None;
    let come = write(connection, held, sink, |mut traffic| {
        sealed = Some(sized(|out| traffic.encrypt(payload, out)));
    });
    match (sealed, &come) {
        (Some(Ok(records)), _) => sink.outgoing.push(records),
        (Some(Err(error)), _) => return Err(error),
        (None, Some(Come::Failed(_))) => {}
        (None, _) => return Err(Error::General("the connection takes no payload".into())),
    }
    Ok(come)
}

/// Seals the end of what is sent.
pub(super) fn close<C: Connection>(
    connection: &mut C,
    held: &mut BytesMut,
    sink: &mut Sink<'_, '_>,
) -> Option<Come> {
    let mut sealed = None;
    let come = write(connection, held, sink, |mut traffic| {
        sealed = Some(sized(|out| traffic.queue_close_notify(out)));
    });
    if let Some(Ok(record)) = sealed {
        sink.outgoing.push(record);
    }
    come
}

/// Comes to the state in which there can be sent. It stands behind everything that has been received.
fn write<C: Connection>(
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
            Step::More => {}
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

/// A handshake, which goes on whenever something has been received.
///
/// rustls is shown one record more at a time: what follows the last one of the handshake is not rustls' to open.
pub(super) struct Handshake<C> {
    pub(super) connection: C,
    /// How much of what has been received are records that rustls has seen and not used up: parts of a message.
    seen: usize,
}

impl<C: Connection> Handshake<C> {
    pub(super) fn new(connection: C) -> Self {
        Handshake { connection, seen: 0 }
    }

    /// True when it is done: then the rest of what has been received is behind it.
    pub(super) fn advance(
        &mut self,
        received: &mut BytesMut,
        outgoing: &mut Outgoing,
    ) -> Result<bool, Error> {
        let (mut opened, mut is_all) = (BytesMut::new(), false);
        loop {
            let mut sink = Sink {
                into: None,
                opened: &mut opened,
                outgoing,
            };
            let shown = if is_all { received.len() } else { self.seen };
            let (used, step) = step(&mut self.connection, &mut received[..shown], &mut sink, |_| {});
            use_up(received, used);
            self.seen = self.seen.saturating_sub(used);
            match step {
                Step::More => {}
                Step::Rest if !self.connection.is_handshaking() => return Ok(true),
                Step::Rest => match record_end(received, self.seen) {
                    Some(end) => (self.seen, is_all) = (end, false),
                    // What can be no record is refused before it is whole.
                    None if !is_all => is_all = true,
                    None => return Ok(false),
                },
                Step::Closed => {
                    return Err(Error::General("closed in the middle of the handshake".into()));
                }
                Step::Failed(error) => {
                    let shown = received.len().min(shown - used);
                    alert(&mut self.connection, &mut received[..shown], outgoing);
                    return Err(error);
                }
            }
        }
    }
}

/// The end of the record that begins there, if it is whole.
fn record_end(bytes: &[u8], start: usize) -> Option<usize> {
    let header = bytes.get(start..)?.first_chunk::<5>()?;
    let end = start + 5 + usize::from(u16::from_be_bytes([header[3], header[4]]));
    (end <= bytes.len()).then_some(end)
}

fn step<C: Connection>(
    connection: &mut C,
    bytes: &mut [u8],
    sink: &mut Sink<'_, '_>,
    at_traffic: impl FnOnce(WriteTraffic<'_, C::Data>),
) -> (usize, Step) {
    let UnbufferedStatus { mut discard, state } = connection.process(bytes);
    let step = match state {
        Ok(ConnectionState::ReadTraffic(mut traffic)) => {
            while let Some(Ok(record)) = traffic.next_record() {
                sink.give(record.payload);
                discard += record.discard;
            }
            Step::More
        }
        Ok(ConnectionState::EncodeTlsData(record)) => match encode(record) {
            Ok(record) => {
                sink.outgoing.push(record);
                Step::More
            }
            Err(error) => Step::Failed(error),
        },
        // They are in front of everything that is written from now on.
        Ok(ConnectionState::TransmitTlsData(records)) => {
            records.done();
            Step::More
        }
        Ok(ConnectionState::WriteTraffic(traffic)) => {
            at_traffic(traffic);
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
fn alert<C: Connection>(connection: &mut C, bytes: &mut [u8], outgoing: &mut Outgoing) {
    while connection.wants_write() {
        let Ok(ConnectionState::EncodeTlsData(record)) = connection.process(bytes).state else {
            return;
        };
        match encode(record) {
            Ok(record) => outgoing.push(record),
            Err(_) => return,
        }
    }
}

fn encode<D>(mut record: EncodeTlsData<'_, D>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    loop {
        match record.encode(&mut out) {
            Ok(count) => {
                out.truncate(count);
                return Ok(out);
            }
            Err(EncodeError::InsufficientSize(size)) => out.resize(size.required_size, 0),
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}

/// Asks for the size first.
fn sized(mut seal: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>) -> Result<Vec<u8>, Error> {
    let mut out = Vec::new();
    loop {
        match seal(&mut out) {
            Ok(count) => {
                out.truncate(count);
                return Ok(out);
            }
            Err(EncryptError::InsufficientSize(size)) => out.resize(size.required_size, 0),
            Err(error) => return Err(Error::General(error.to_string())),
        }
    }
}
