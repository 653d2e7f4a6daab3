//! What a connection of either side has in common, for the one code that moves their bytes.

use std::ops::Deref;

use tokio_rustls::rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use tokio_rustls::rustls::kernel::KernelConnection;
use tokio_rustls::rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use tokio_rustls::rustls::unbuffered::{UnbufferedConnectionCommon, UnbufferedStatus};
use tokio_rustls::rustls::{Error, ExtractedSecrets, HandshakeType};

pub(in crate::tls) trait Connection:
    Deref<Target = UnbufferedConnectionCommon<Self::Data>> + Send + Sync + Unpin + Sized + 'static
{
    type Data: Send + Sync + Unpin + 'static;

    /// The messages that may follow the handshake of TLS 1.3 on this side (RFC 8446, section 4.6).
    const FOLLOWING: &'static [HandshakeType];

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;

    /// The keys, and what makes the next ones.
    fn into_keys(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error>;

    /// A ticket that has come (RFC 8446, section 4.6.1).
    fn take_ticket(keys: &mut KernelConnection<Self::Data>, payload: &[u8]) -> Result<(), Error>;
}

impl Connection for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    const FOLLOWING: &'static [HandshakeType] = &[HandshakeType::KeyUpdate];

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        self.dangerous_into_kernel_connection()
    }

    fn take_ticket(_: &mut KernelConnection<Self::Data>, _: &[u8]) -> Result<(), Error> {
        Err(Error::InappropriateHandshakeMessage {
            expect_types: Self::FOLLOWING.to_vec(),
            got_type: HandshakeType::NewSessionTicket,
        })
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    const FOLLOWING: &'static [HandshakeType] = &[HandshakeType::NewSessionTicket, HandshakeType::KeyUpdate];

    fn process<'c, 'i>(&'c mut self, incoming: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn into_keys(self) -> Result<(ExtractedSecrets, KernelConnection<Self::Data>), Error> {
        self.dangerous_into_kernel_connection()
    }

    fn take_ticket(keys: &mut KernelConnection<Self::Data>, payload: &[u8]) -> Result<(), Error> {
        keys.handle_new_session_ticket(payload)
    }
}
