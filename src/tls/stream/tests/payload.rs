//! Payload behind the handshake, in records of every length and cut anywhere.

use super::*;
use crate::tls::stream::scratch;
use crate::tls::stream::scratch::PAYLOAD;

#[test]
fn payload_there_and_back_in_pieces() {
    let payload: Vec<u8> = (0..100_000_u32).map(|number| (number % 251) as u8).collect();
    for version in VERSIONS {
        for provider in providers() {
            let configs = Configs::new(version, provider);
            for (step, room) in [
                (1, 16_384),
                (7, 100),
                (16_405, 1),
                (16_406, 16_384),
                (1 << 20, 65_536),
            ] {
                let (mut server, mut client) = configs.ends();
                for piece in payload.chunks(30_000) {
                    client.seal(piece).unwrap();
                    server.seal(piece).unwrap();
                }
                for piece in client.wire().chunks(step) {
                    assert!(matches!(server.open(&mut piece.to_vec(), room), Come::Incomplete));
                }
                for piece in server.wire().chunks(step) {
                    assert!(matches!(client.open(&mut piece.to_vec(), room), Come::Incomplete));
                }
                assert!(
                    server.opened == payload && client.opened == payload,
                    "{version:?} {step} {room}"
                );
                assert_eq!((server.received.capacity(), client.received.capacity()), (0, 0));
            }
        }
    }
}

/// Far more than the few after which a cipher with a memory of its own would notice a number that is used again or left out.
#[test]
fn many_records_each_way_and_both_ends() {
    for version in VERSIONS {
        for provider in providers() {
            let (mut server, mut client) = Configs::new(version, provider).ends();
            for turn in 0..200_u8 {
                client.seal(&[turn; 3]).unwrap();
                assert!(matches!(server.open(&mut client.wire(), 100), Come::Incomplete));
                server.seal(&[turn; 5]).unwrap();
                assert!(matches!(client.open(&mut server.wire(), 100), Come::Incomplete));
            }
            assert_eq!((server.opened.len(), client.opened.len()), (600, 1000));
            // What stands behind the end in the same read is not payload.
            server.close();
            let mut last = server.wire();
            last.extend_from_slice(&[23, 3, 3, 0, 20]);
            assert!(matches!(client.open(&mut last, 100), Come::Closed));
            client.received.clear();
            client.seal(b"and yet").unwrap();
            client.close();
            assert!(matches!(server.open(&mut client.wire(), 100), Come::Closed));
            assert_eq!(server.opened.len(), 607);
        }
    }
}

#[test]
fn as_many_records_as_rustls_makes_of_it() {
    for (version, added) in [(&TLS12, 29), (&TLS13, 22)] {
        let (mut server, mut client) = Configs::new(version, ring::default_provider()).ends();
        let much = vec![7; scratch::RECORDS * PAYLOAD];
        server.seal(&much).unwrap();
        let mut wire = server.wire();
        assert_eq!(wire.len(), scratch::RECORDS * (PAYLOAD + added));
        assert!(matches!(client.open(&mut wire, 1 << 20), Come::Incomplete));
        assert!(client.opened == much);
    }
}

/// rustls takes the payload and gives no records where a key is used up. Nothing is lost quietly.
#[test]
fn keys_that_are_used_up() {
    use tokio_rustls::rustls::{CipherSuiteCommon, SupportedCipherSuite, Tls12CipherSuite, Tls13CipherSuite};
    let few = |common: &CipherSuiteCommon| CipherSuiteCommon {
        suite: common.suite,
        hash_provider: common.hash_provider,
        confidentiality_limit: 5,
    };
    let provider = ring::default_provider();
    let suites = provider.cipher_suites.iter().map(|suite| match suite {
        SupportedCipherSuite::Tls12(suite) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: few(&suite.common),
                kx: suite.kx,
                sign: suite.sign,
                aead_alg: suite.aead_alg,
                prf_provider: suite.prf_provider,
            })))
        }
        SupportedCipherSuite::Tls13(suite) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: few(&suite.common),
                hkdf_provider: suite.hkdf_provider,
                aead_alg: suite.aead_alg,
                quic: None,
            })))
        }
    });
    let provider = CryptoProvider {
        cipher_suites: suites.collect(),
        ..provider
    };
    for version in VERSIONS {
        let (mut server, mut client) = Configs::new(version, provider.clone()).ends();
        let mut accepted = 0;
        for turn in 0..100_u8 {
            if client.seal(&[turn]).is_err() {
                break;
            }
            accepted += 1;
            assert!(matches!(server.open(&mut client.wire(), 100), Come::Incomplete));
            // Its answer has the key that was asked for.
            if server.seal(&[turn]).is_ok() {
                assert!(matches!(client.open(&mut server.wire(), 9), Come::Incomplete));
            }
        }
        assert_eq!(server.opened.len(), accepted, "{version:?}");
        match version.version == TLS13.version {
            true => assert_eq!(accepted, 100),
            false => {
                // The peer learns that there comes no more.
                assert!(matches!(server.open(&mut client.wire(), 100), Come::Closed));
                assert!(accepted < 10);
            }
        }
    }
}
