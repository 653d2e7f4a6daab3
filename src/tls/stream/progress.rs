//! What rustls is shown of what is received in a handshake: whole records, and only when there is one more.
//!
//! Headers are judged here. rustls takes records of SSL 2 and DTLS, and the type 24, for others: it would join them, skip them, and keep a place
//! behind them, without a limit that holds for them.
//!
//! rustls keeps no place behind records that it skips, which are those of early data that was not accepted (RFC 8446, section 4.2.10): it tries to
//! open each of them again whenever it is asked, as long as nothing has come behind them. Each try of a record that is not empty has a part of rustls'
//! limit of 16 KiB. Empty ones would cost nothing of it, and are refused here, so there are never more than 16,384 tries.

use bytes::BytesMut;
use tokio_rustls::rustls::{Error, InvalidMessage};

use super::JOINED;
use super::connection::Connection;
use super::driven::{Step, alert, step};
use super::handshake::Established;
use super::outgoing::Outgoing;
use super::scratch::{HEADER, RECORD};
use super::sink::{Sink, use_up};

/// The header of what is no record of any version: rustls answers it with an alert, sealed if there are keys for it.
const NO_RECORD: [u8; HEADER] = [0; HEADER];

/// The types of records (RFC 8446, section 5.1).
const TYPES: std::ops::RangeInclusive<u8> = 20..=23;
const APPLICATION_DATA: u8 = 23;

pub(super) struct Handshake<C> {
    connection: C,
    pub(super) received: BytesMut,
    opened: BytesMut,
    /// The end of the last whole record. rustls is shown nothing behind it.
    seen: usize,
    is_begun: bool,
    is_closed: bool,
    /// How often rustls was asked.
    #[cfg(test)]
    pub(super) steps: usize,
}

impl<C: Connection> Handshake<C> {
    pub(super) fn new(connection: C, received: BytesMut) -> Self {
        Handshake {
            connection,
            received,
            opened: BytesMut::new(),
            seen: 0,
            is_begun: false,
            is_closed: false,
            #[cfg(test)]
            steps: 0,
        }
    }

    /// Goes on with what has been received. True when the handshake is done.
    pub(super) fn advance(&mut self, outgoing: &mut Outgoing) -> Result<bool, Error> {
        match self.look() {
            Ok(has_more) if has_more || !self.is_begun => {}
            Ok(_) => return Ok(!self.connection.is_handshaking()),
            Err(error) => return self.end_before(error, outgoing),
        }
        self.is_begun = true;
        loop {
            match self.step(outgoing) {
                Step::More | Step::Payload => {}
                Step::Rest | Step::Taken if !self.connection.is_handshaking() => return Ok(true),
                // rustls limits the length of a message, and not what its pieces take.
                Step::Rest | Step::Taken if self.seen > JOINED => {
                    let error = InvalidMessage::HandshakePayloadTooLarge.into();
                    return Err(self.refuse(error, outgoing));
                }
                // Not asked again: it would try to open once more what it skips.
                Step::Rest | Step::Taken => return Ok(false),
                Step::Closed if self.connection.is_handshaking() => {
                    return Err(Error::General("closed in the middle of the handshake".into()));
                }
                // rustls says it once. It may come with the last of the handshake, behind all that the peer has to say.
                Step::Closed => {
                    self.is_closed = true;
                    return Ok(true);
                }
                Step::Failed(error) => {
                    self.alert(outgoing);
                    return Err(error);
                }
            }
        }
    }

    fn step(&mut self, outgoing: &mut Outgoing) -> Step {
        #[cfg(test)]
        (self.steps += 1);
        let mut sink = Sink {
            into: None,
            opened: &mut self.opened,
            outgoing,
        };
        let records = &mut self.received[..self.seen];
        let (used, step) = step(&mut self.connection, records, &mut sink, |_| {});
        use_up(&mut self.received, used);
        self.seen = self.seen.saturating_sub(used);
        step
    }

    /// Whether there is a whole record more. Where a header stands that no record of these versions has, that is the end.
    fn look(&mut self) -> Result<bool, Error> {
        let before = self.seen;
        while let Some(&[kind, major, _, high, low]) = self.received[self.seen..].first_chunk() {
            let length = usize::from(u16::from_be_bytes([high, low]));
            if !TYPES.contains(&kind) {
                return Err(InvalidMessage::InvalidContentType.into());
            }
            if major != 3 {
                return Err(InvalidMessage::UnknownProtocolVersion.into());
            }
            if HEADER + length > RECORD {
                return Err(InvalidMessage::MessageTooLarge.into());
            }
            let end = self.seen + HEADER + length;
            if end > self.received.len() {
                break;
            }
            if kind == APPLICATION_DATA && length == 0 {
                return Err(InvalidMessage::InvalidEmptyPayload.into());
            }
            self.seen = end;
        }
        Ok(self.seen > before)
    }

    /// What is received has an end in what is no record. What is in front of it counts: it may complete the handshake, and bring payload and
    /// the peer's end, behind which nothing matters. It may have an error of its own, too.
    fn end_before(&mut self, error: Error, outgoing: &mut Outgoing) -> Result<bool, Error> {
        match self.rest(outgoing) {
            Step::Failed(error) => {
                self.alert(outgoing);
                Err(error)
            }
            last if !self.connection.is_handshaking() => {
                self.is_closed |= matches!(last, Step::Closed);
                Ok(true)
            }
            Step::Closed => Err(error),
            _ => Err(self.refuse(error, outgoing)),
        }
    }

    /// Breaks off. The alert is rustls' own, for something else that it cannot read.
    fn refuse(&mut self, error: Error, outgoing: &mut Outgoing) -> Error {
        self.received.truncate(self.seen);
        self.received.extend_from_slice(&NO_RECORD);
        self.seen += NO_RECORD.len();
        self.rest(outgoing);
        self.alert(outgoing);
        error
    }

    /// Takes all steps that are left.
    fn rest(&mut self, outgoing: &mut Outgoing) -> Step {
        loop {
            match self.step(outgoing) {
                Step::More | Step::Payload => {}
                last => return last,
            }
        }
    }

    fn alert(&mut self, outgoing: &mut Outgoing) {
        alert(&mut self.connection, &mut self.received[..self.seen], outgoing);
    }

    pub(super) fn into_established(self) -> Established<C> {
        Established {
            connection: self.connection,
            // Copied: a few bytes must not hold on to a buffer of kilobytes.
            received: BytesMut::from(&self.received[..]),
            opened: self.opened,
            is_closed: self.is_closed,
        }
    }
}
