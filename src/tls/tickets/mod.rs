//! Tickets by which a client resumes its session (RFC 8446, section 4.6.1; RFC 5077): what the server would have to remember, sealed
//! with keys that only this configuration has, and that change.
//!
//! A ticket is the name of a key, a nonce, and the session under the provider's own cipher. So every provider has tickets, and
//! none computes with another's code. When keys change is `keys.rs`.

mod keys;

use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use tokio_rustls::rustls::crypto::cipher::{
    InboundOpaqueMessage, Iv, NONCE_LEN, OutboundPlainMessage, Tls13AeadAlgorithm,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, SecureRandom};
use tokio_rustls::rustls::server::ProducesTickets;
use tokio_rustls::rustls::{ContentType, ProtocolVersion};

use self::keys::{Keys, NAME, SECRET};

/// The largest session that is sealed: what one record of TLS holds (RFC 8446, section 5.1). Only a client with an uncommonly long
/// chain of certificates has a larger one.
const MOST: usize = 16 * 1024;

/// Every cipher of TLS 1.3 has a tag of 16 bytes (RFC 8446, section 5.2), but for one that no provider of rustls has.
const TAG: usize = 16;

/// Seals and opens tickets. Shared by all connections of a configuration, on whichever thread.
pub(super) struct Tickets {
    cipher: &'static dyn Tls13AeadAlgorithm,
    random: &'static dyn SecureRandom,
    keys: Keys,
}

impl Tickets {
    /// With the first cipher of TLS 1.3 that has keys of 256 bits. None if the provider has none, or no randomness.
    pub(super) fn new(provider: &CryptoProvider, now: Instant) -> Option<Arc<Self>> {
        let ciphers = provider.cipher_suites.iter().filter_map(|suite| suite.tls13());
        let cipher = ciphers
            .map(|suite| suite.aead_alg)
            .find(|cipher| cipher.key_len() == SECRET)?;
        let random = provider.secure_random;
        Some(Arc::new(Tickets {
            cipher,
            random,
            keys: Keys::new(random, now)?,
        }))
    }

    fn seal(&self, session: &[u8], now: Instant) -> Option<Vec<u8>> {
        if session.len() > MOST {
            return None;
        }
        let (name, key) = self.keys.current(now)?;
        // Nonces by chance do for 2^32 tickets of one key (NIST SP 800-38D, section 8.3): for 198,000 a second.
        let mut nonce = [0; NONCE_LEN];
        self.random.fill(&mut nonce).ok()?;
        let mut sealing = self.cipher.encrypter(key, Iv::from(nonce));
        let message = OutboundPlainMessage {
            typ: ContentType::ApplicationData,
            version: ProtocolVersion::TLSv1_3,
            payload: session.into(),
        };
        let sealed = sealing.encrypt(message, 0).ok()?;
        Some([&name, &nonce[..], sealed.payload.as_ref()].concat())
    }

    fn open(&self, ticket: &[u8], now: Instant) -> Option<Vec<u8>> {
        // The session, and the byte that is its type.
        if !(NAME + NONCE_LEN + TAG + 1..=NAME + NONCE_LEN + MOST + 1 + TAG).contains(&ticket.len()) {
            return None;
        }
        let (name, rest) = ticket.split_first_chunk::<NAME>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        let key = self.keys.named(name, now)?;
        let mut opening = self.cipher.decrypter(key, Iv::from(*nonce));
        let mut sealed = sealed.to_vec();
        let message = InboundOpaqueMessage::new(
            ContentType::ApplicationData,
            ProtocolVersion::TLSv1_2,
            &mut sealed,
        );
        let session = opening.decrypt(message, 0).ok()?;
        Some(session.payload.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    /// In seconds: as long as the last ticket that a key has sealed can be opened at all.
    fn lifetime(&self) -> u32 {
        2 * keys::LIFETIME.as_secs() as u32
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.seal(plain, Instant::now())
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        self.open(cipher, Instant::now())
    }
}

impl fmt::Debug for Tickets {
    /// Without the keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "ring"))]
mod tests {
    use tokio_rustls::rustls::crypto::GetRandomFailed;

    use super::*;

    /// Every provider at hand, and one of the caller's own that prefers another cipher.
    fn providers() -> Vec<CryptoProvider> {
        use tokio_rustls::rustls::crypto::ring::{cipher_suite, default_provider};

        let cipher_suites = vec![
            cipher_suite::TLS13_AES_128_GCM_SHA256,
            cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
        ];
        let own = CryptoProvider {
            cipher_suites,
            ..default_provider()
        };
        vec![
            default_provider(),
            own,
            #[cfg(feature = "aws-lc-rs")]
            tokio_rustls::rustls::crypto::aws_lc_rs::default_provider(),
        ]
    }

    fn each(test: impl Fn(&Tickets, Instant)) {
        for provider in providers() {
            let now = Instant::now();
            test(&Tickets::new(&provider, now).unwrap(), now);
        }
    }

    #[test]
    fn what_is_sealed_is_opened_and_can_not_be_read() {
        each(|tickets, now| {
            for session in [&b""[..], b"\0", b"a session\0\0", &[7; MOST]] {
                let (ticket, another) = (tickets.seal(session, now), tickets.seal(session, now));
                assert_ne!(ticket, another, "each has a nonce of its own");
                let ticket = ticket.unwrap();
                assert!(session.len() < 4 || !ticket.windows(session.len()).any(|part| part == session));
                assert_eq!(tickets.open(&ticket, now).as_deref(), Some(session));
            }
            assert_eq!(tickets.seal(&[7; MOST + 1], now), None);
        });
    }

    #[test]
    fn a_ticket_that_has_been_changed_is_not_opened() {
        each(|tickets, now| {
            let ticket = tickets.seal(b"a session", now).unwrap();
            for at in 0..ticket.len() {
                let mut changed = ticket.clone();
                changed[at] ^= 1;
                assert_eq!(tickets.open(&changed, now), None, "byte {at}");
                assert_eq!(tickets.open(&ticket[..at], now), None, "{at} bytes");
            }
            for more in [1, MOST, 1 << 16] {
                let longer = [&ticket[..], &vec![0; more]].concat();
                assert_eq!(tickets.open(&longer, now), None, "{more} bytes more");
            }
        });
    }

    #[test]
    fn another_configuration_does_not_open_it() {
        let now = Instant::now();
        let [one, other] = [(); 2].map(|()| Tickets::new(&providers()[0], now).unwrap());
        let ticket = one.seal(b"a session", now).unwrap();
        assert_eq!(other.open(&ticket, now), None);
    }

    #[test]
    fn without_randomness_there_are_no_tickets() {
        #[derive(Debug)]
        struct Nothing;
        impl SecureRandom for Nothing {
            fn fill(&self, _bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
                Err(GetRandomFailed)
            }
        }
        for provider in providers() {
            let now = Instant::now();
            let tickets = Arc::into_inner(Tickets::new(&provider, now).unwrap()).unwrap();
            let ticket = tickets.seal(b"a session", now).unwrap();
            let tickets = Tickets {
                random: &Nothing,
                ..tickets
            };
            assert_eq!(tickets.open(&ticket, now).as_deref(), Some(&b"a session"[..]));
            assert_eq!(tickets.seal(b"a session", now), None, "there is no nonce");
            let none = CryptoProvider {
                secure_random: &Nothing,
                ..provider
            };
            assert!(Tickets::new(&none, now).is_none());
        }
    }

    #[test]
    fn a_provider_without_a_cipher_for_them_has_none() {
        use tokio_rustls::rustls::crypto::ring::{cipher_suite, default_provider};

        for suites in [
            vec![],
            vec![cipher_suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384],
            vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        ] {
            let provider = CryptoProvider {
                cipher_suites: suites,
                ..default_provider()
            };
            assert!(Tickets::new(&provider, Instant::now()).is_none());
        }
    }
}
