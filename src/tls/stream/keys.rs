//! The cipher of one direction, with the number of its next record: no number is used twice with a key.

use tokio_rustls::rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, MessageDecrypter, MessageEncrypter,
    OutboundChunks, OutboundPlainMessage,
};
use tokio_rustls::rustls::{ConnectionTrafficSecrets, ContentType, Error, ProtocolVersion, Tls13CipherSuite};

/// The keys of one direction, and the number of their next record.
type Secrets = (u64, ConnectionTrafficSecrets);

pub(super) struct Opener {
    cipher: Box<dyn MessageDecrypter>,
    next: u64,
}

impl Opener {
    pub(super) fn new(suite: &Tls13CipherSuite, (next, secrets): Secrets) -> Result<Self, Error> {
        let (key, iv) = of(secrets)?;
        let cipher = suite.aead_alg.decrypter(key, iv);
        Ok(Opener { cipher, next })
    }

    /// Opens the next record, where it lies. Its padding is left out.
    pub(super) fn open<'a>(
        &mut self,
        record: InboundOpaqueMessage<'a>,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let opened = self.cipher.decrypt(record, self.next)?;
        // A peer that comes here has used its key for too long, and the number must not wrap (RFC 8446, section 5.3).
        self.next = self.next.checked_add(1).ok_or(Error::DecryptError)?;
        Ok(opened)
    }
}

pub(super) struct Sealer {
    cipher: Box<dyn MessageEncrypter>,
    next: u64,
    /// As many records as the cipher is good for with one key (RFC 8446, section 5.5).
    limit: u64,
}

impl Sealer {
    /// Whether the provider hands out the keys of this cipher.
    pub(super) fn is_possible(suite: &Tls13CipherSuite) -> bool {
        let (key, iv) = (AeadKey::from([0; 32]), Iv::from([0; 12]));
        suite.aead_alg.extract_keys(key, iv).is_ok()
    }

    pub(super) fn new(suite: &Tls13CipherSuite, (next, secrets): Secrets) -> Result<Self, Error> {
        let (key, iv) = of(secrets)?;
        Ok(Sealer {
            cipher: suite.aead_alg.encrypter(key, iv),
            next,
            limit: suite.common.confidentiality_limit.min(1 << 63),
        })
    }

    /// Whether the key is good for only one more record, which has to say that another follows.
    pub(super) fn is_nearly_used_up(&self) -> bool {
        self.next > 0 && self.next + 1 >= self.limit
    }

    #[cfg(test)]
    pub(super) fn number(&self) -> u64 {
        self.next
    }

    /// A whole record. Its number is used up, whatever becomes of it.
    pub(super) fn seal(&mut self, kind: ContentType, payload: OutboundChunks<'_>) -> Result<Vec<u8>, Error> {
        let number = self.next;
        self.next = number.checked_add(1).ok_or(Error::EncryptError)?;
        let record = OutboundPlainMessage {
            typ: kind,
            version: ProtocolVersion::TLSv1_2,
            payload,
        };
        Ok(self.cipher.encrypt(record, number)?.encode())
    }
}

fn of(secrets: ConnectionTrafficSecrets) -> Result<(AeadKey, Iv), Error> {
    match secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv }
        | ConnectionTrafficSecrets::Aes256Gcm { key, iv }
        | ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => Ok((key, iv)),
        _ => Err(Error::General("the keys of a cipher that is not known".into())),
    }
}
