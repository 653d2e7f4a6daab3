//! The records of TLS 1.3 behind the handshake, opened where they lie and sealed into what is written.
//!
//! The handshake is rustls', and so are the ciphers and the keys: `rustls::kernel` hands out the keys of each direction and makes the
//! next ones. What is left is here: which records may come (RFC 8446, sections 5 and 6), and what a message behind the handshake
//! asks for (sections 4.6.1 and 4.6.3). rustls' own records cost one copy more in each direction, and 2 KB more for each connection.
//!
//! It must not know the stream: bytes come in, bytes and records go out.

use tokio_rustls::rustls::crypto::cipher::{InboundOpaqueMessage, OutboundChunks};
use tokio_rustls::rustls::kernel::KernelConnection;
use tokio_rustls::rustls::{
    AlertDescription, ContentType, Error, HandshakeType, InvalidMessage, PeerMisbehaved, ProtocolVersion,
    SupportedCipherSuite, Tls13CipherSuite,
};

use super::connection::Connection;
use super::keys::{Opener, Sealer};
use super::outgoing::Outgoing;
use super::scratch::RECORDS;
use super::sink::{Come, Sink};

/// How many records without payload may come in a row, how many changes of keys without payload between them, and how many alerts
/// that mean nothing.
const EMPTY_RECORDS: u8 = 32;
const KEY_UPDATES: u8 = 32;
const WARNINGS: u8 = 4;

/// A message behind the handshake at most: a ticket.
const MESSAGE: usize = 0xffff;

const WARNING: u8 = 1;
const FATAL: u8 = 2;

pub(super) struct Records<C: Connection> {
    keys: KernelConnection<C::Data>,
    suite: &'static Tls13CipherSuite,
    opener: Opener,
    sealer: Sealer,
    /// The payload of a record at most.
    payload: usize,
    /// What has come of a message behind the handshake.
    message: Vec<u8>,
    /// The peer has asked for new keys on this side too.
    is_update_asked: bool,
    /// No alert is sent behind the last one.
    has_said_last: bool,
    empty_records: u8,
    key_updates: u8,
    warnings: u8,
}

/// What is wrong with the peer, and the alert that says so.
type Fault = (Error, Option<AlertDescription>);

impl<C: Connection> Records<C> {
    /// Takes over from a handshake that is done. `payload` is what a record is to hold at most.
    ///
    /// The connection is given back where the keys stay with rustls.
    pub(super) fn new(connection: C, payload: usize) -> Result<Result<Self, C>, Error> {
        let suite = match connection.negotiated_cipher_suite() {
            Some(SupportedCipherSuite::Tls13(suite)) if Sealer::is_possible(suite) => suite,
            _ => return Ok(Err(connection)),
        };
        let (secrets, keys) = connection.into_keys()?;
        Ok(Ok(Records {
            keys,
            suite,
            opener: Opener::new(suite, secrets.rx)?,
            sealer: Sealer::new(suite, secrets.tx)?,
            payload,
            message: Vec::new(),
            is_update_asked: false,
            has_said_last: false,
            empty_records: EMPTY_RECORDS,
            key_updates: KEY_UPDATES,
            warnings: WARNINGS,
        }))
    }

    /// Opens the records that the bytes hold, as far as there is room for what is in them. Says how many bytes are used up.
    pub(super) fn open(&mut self, bytes: &mut [u8], sink: &mut Sink<'_, '_>) -> (usize, Come) {
        let mut used = 0;
        loop {
            if sink.is_full() {
                return (used, Come::Full);
            }
            let (kind, length) = match header(&bytes[used..]) {
                Ok(Some(header)) => header,
                Ok(None) => return (used, Come::Incomplete),
                Err(error) => return (used, self.fail(fault(error), sink.outgoing)),
            };
            let Some(record) = bytes.get_mut(used + 5..used + 5 + length) else {
                return (used, Come::Incomplete);
            };
            used += 5 + length;
            match self.open_one(kind, record, sink) {
                Ok(true) => return (used, Come::Closed),
                Ok(false) => {}
                Err(fault) => return (used, self.fail(fault, sink.outgoing)),
            }
        }
    }

    /// True for the last one.
    fn open_one(
        &mut self,
        kind: ContentType,
        record: &mut [u8],
        sink: &mut Sink<'_, '_>,
    ) -> Result<bool, Fault> {
        // Of a record that is sealed, the type is inside (RFC 8446, section 5.2).
        if kind != ContentType::ApplicationData {
            return Err(fault(unexpected(kind)));
        }
        let record = InboundOpaqueMessage::new(kind, ProtocolVersion::TLSv1_2, record);
        let opened = self.opener.open(record).map_err(fault)?;
        match opened.payload.is_empty() {
            true if self.empty_records == 0 => {
                return Err(fault(PeerMisbehaved::TooManyEmptyFragments.into()));
            }
            true => self.empty_records -= 1,
            false => self.empty_records = EMPTY_RECORDS,
        }
        // "Handshake messages MUST NOT be interleaved with other record types." (RFC 8446, section 5.1)
        if !self.message.is_empty() && opened.typ != ContentType::Handshake {
            return Err(fault(
                PeerMisbehaved::MessageInterleavedWithHandshakeMessage.into(),
            ));
        }
        match opened.typ {
            ContentType::ApplicationData => {
                self.key_updates = KEY_UPDATES;
                sink.give(opened.payload);
                Ok(false)
            }
            ContentType::Alert => self.take_alert(opened.payload),
            ContentType::Handshake => self.take_handshake(opened.payload).map(|()| false),
            kind => Err(fault(unexpected(kind))),
        }
    }

    /// True where the peer sends no more (RFC 8446, section 6).
    fn take_alert(&mut self, payload: &[u8]) -> Result<bool, Fault> {
        let &[level, description] = payload else {
            return Err(fault(InvalidMessage::MissingData("AlertMessagePayload").into()));
        };
        let description = AlertDescription::from(description);
        let received = Error::AlertReceived(description);
        match (level, description) {
            (WARNING | FATAL, AlertDescription::CloseNotify) => Ok(true),
            (WARNING, AlertDescription::UserCanceled) if self.warnings > 0 => {
                self.warnings -= 1;
                Ok(false)
            }
            (WARNING, AlertDescription::UserCanceled) => {
                Err(fault(PeerMisbehaved::TooManyWarningAlertsReceived.into()))
            }
            (WARNING, _) => Err((received, Some(AlertDescription::DecodeError))),
            (FATAL, _) => Err((received, None)),
            _ => Err((received, Some(AlertDescription::IllegalParameter))),
        }
    }

    /// Of one record, which may hold parts of a message, or several.
    fn take_handshake(&mut self, payload: &[u8]) -> Result<(), Fault> {
        self.message.extend_from_slice(payload);
        while let Some(&[kind, high, middle, low]) = self.message.first_chunk() {
            let kind = HandshakeType::from(kind);
            if !C::FOLLOWING.contains(&kind) {
                return Err(fault(Error::InappropriateHandshakeMessage {
                    expect_types: C::FOLLOWING.to_vec(),
                    got_type: kind,
                }));
            }
            let length = u32::from_be_bytes([0, high, middle, low]) as usize;
            if length > MESSAGE {
                return Err(fault(InvalidMessage::HandshakePayloadTooLarge.into()));
            }
            if self.message.len() < 4 + length {
                break;
            }
            let rest = self.message.split_off(4 + length);
            let message = std::mem::replace(&mut self.message, rest);
            match kind {
                HandshakeType::KeyUpdate => self.take_key_update(&message[4..])?,
                _ => C::take_ticket(&mut self.keys, &message[4..]).map_err(fault)?,
            }
        }
        Ok(())
    }

    /// "Handshake messages MUST NOT span key changes." (RFC 8446, section 5.1)
    fn take_key_update(&mut self, payload: &[u8]) -> Result<(), Fault> {
        if !self.message.is_empty() {
            return Err(fault(PeerMisbehaved::KeyEpochWithPendingFragment.into()));
        }
        if self.key_updates == 0 {
            return Err(fault(PeerMisbehaved::TooManyKeyUpdateRequests.into()));
        }
        self.key_updates -= 1;
        match payload {
            [0] => {}
            [1] => self.is_update_asked = true,
            _ => return Err(fault(InvalidMessage::InvalidKeyUpdate.into())),
        }
        let secrets = self.keys.update_rx_secret().map_err(fault)?;
        self.opener = Opener::new(self.suite, secrets).map_err(fault)?;
        Ok(())
    }

    /// Seals payload, a part of it where it is much. Says how much.
    pub(super) fn seal(
        &mut self,
        payload: OutboundChunks<'_>,
        outgoing: &mut Outgoing,
    ) -> Result<usize, Error> {
        let (mut rest, mut sealed) = (payload, 0);
        for _ in 0..RECORDS {
            let (now, later) = rest.split_at(self.payload);
            if now.is_empty() {
                break;
            }
            // "MUST send a KeyUpdate of its own [...] prior to sending its next Application Data record" (section 4.6.3)
            if self.is_update_asked || self.sealer.is_nearly_used_up() {
                self.update_keys(outgoing)?;
            }
            sealed += now.len();
            outgoing.push(self.sealer.seal(ContentType::ApplicationData, now)?);
            rest = later;
        }
        Ok(sealed)
    }

    /// Where the peer has not asked for it, it is asked to do the same.
    fn update_keys(&mut self, outgoing: &mut Outgoing) -> Result<(), Error> {
        let asks = u8::from(!self.is_update_asked);
        let message = [u8::from(HandshakeType::KeyUpdate), 0, 0, 1, asks];
        outgoing.push(self.sealer.seal(ContentType::Handshake, message[..].into())?);
        self.sealer = Sealer::new(self.suite, self.keys.update_tx_secret()?)?;
        self.is_update_asked = false;
        Ok(())
    }

    /// Seals the end of what is sent: `close_notify`.
    pub(super) fn close(&mut self, outgoing: &mut Outgoing) {
        self.alert(WARNING, AlertDescription::CloseNotify, outgoing);
    }

    fn fail(&mut self, (error, alert): Fault, outgoing: &mut Outgoing) -> Come {
        if let Some(alert) = alert {
            self.alert(FATAL, alert, outgoing);
        }
        Come::Failed(error)
    }

    fn alert(&mut self, level: u8, description: AlertDescription, outgoing: &mut Outgoing) {
        if !std::mem::replace(&mut self.has_said_last, true) {
            let alert = [level, u8::from(description)];
            // Without it the peer sees a stream that ends too early, which is what it is.
            if let Ok(record) = self.sealer.seal(ContentType::Alert, alert[..].into()) {
                outgoing.push(record);
            }
        }
    }
}

#[cfg(test)]
impl<C: Connection> Records<C> {
    /// For records that this side would not seal.
    pub(super) fn sealer(&mut self) -> &mut Sealer {
        &mut self.sealer
    }

    pub(super) fn change_sealer(&mut self) {
        self.sealer = Sealer::new(self.suite, self.keys.update_tx_secret().unwrap()).unwrap();
    }
}

/// What a record is, and how many bytes follow its header, if the header is whole (RFC 8446, section 5.1).
fn header(bytes: &[u8]) -> Result<Option<(ContentType, usize)>, Error> {
    let Some(&[kind, major, _, high, low]) = bytes.first_chunk() else {
        return Ok(None);
    };
    let (kind, length) = (
        ContentType::from(kind),
        usize::from(u16::from_be_bytes([high, low])),
    );
    let refused = match kind {
        ContentType::Unknown(_) => InvalidMessage::InvalidContentType,
        _ if major != 3 => InvalidMessage::UnknownProtocolVersion,
        // "The length MUST NOT exceed 2^14 + 256 bytes." (section 5.2)
        _ if length > (1 << 14) + 256 => InvalidMessage::MessageTooLarge,
        _ => return Ok(Some((kind, length))),
    };
    Err(refused.into())
}

fn unexpected(kind: ContentType) -> Error {
    Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData, ContentType::Handshake],
        got_type: kind,
    }
}

/// With the alert that section 6.2 of RFC 8446 has for it.
fn fault(error: Error) -> Fault {
    let alert = match &error {
        Error::InvalidMessage(InvalidMessage::InvalidKeyUpdate) => AlertDescription::IllegalParameter,
        Error::InvalidMessage(InvalidMessage::MessageTooLarge) | Error::PeerSentOversizedRecord => {
            AlertDescription::RecordOverflow
        }
        Error::InvalidMessage(_) => AlertDescription::DecodeError,
        Error::DecryptError => AlertDescription::BadRecordMac,
        Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_) => AlertDescription::UnexpectedMessage,
        _ => AlertDescription::InternalError,
    };
    (error, Some(alert))
}
