//! Which `Sec-WebSocket-Key` is valid, and which `Sec-WebSocket-Accept` answers it (RFC 6455 1.3).
//!
//! It must not know which header the bytes stood in, how many of those there were, or where randomness comes from.
//! On the path of every handshake, so nothing here allocates.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};

/// RFC 6455 1.3: the server appends this to the key as it was sent, so that an endpoint that does not understand
/// WebSocket is unlikely to produce the answer.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const KEY_LENGTH: usize = 24;
const ACCEPT_LENGTH: usize = 28;

/// The nonce of a client's opening handshake: 16 bytes in base64, kept as the 24 characters that were sent.
///
/// Kept as sent, because the accept value is computed over the characters and not over the bytes that they stand
/// for (RFC 6455 1.3).
///
/// ```
/// use switchover::websocket::SecWebSocketKey;
///
/// let key = SecWebSocketKey::parse(b"dGhlIHNhbXBsZSBub25jZQ==")?;
/// assert_eq!(key.accept().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// assert!(SecWebSocketKey::parse(b"too short").is_err());
/// # Ok::<(), switchover::websocket::KeyError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecWebSocketKey([u8; KEY_LENGTH]);

impl SecWebSocketKey {
    /// Reads a field value that has no white space around it.
    ///
    /// RFC 6455 4.2.1 asks for a value in base64 "that, when decoded, is 16 bytes in length". Sixteen bytes leave four
    /// bits of the last character over. An encoder has to set them to zero, a decoder may accept any (RFC 4648 3.5),
    /// and this one does: even the example that RFC 6455 4.1 prints has them set (erratum 3150).
    ///
    /// # Errors
    ///
    /// [`KeyError`] says what is wrong: the length, a character outside the base64 alphabet, or the padding.
    pub fn parse(value: &[u8]) -> Result<Self, KeyError> {
        let key: [u8; KEY_LENGTH] = value
            .try_into()
            .map_err(|_| KeyError::Length { actual: value.len() })?;
        let (characters, padding) = key.split_at(KEY_LENGTH - 2);
        // Twenty-two characters and two of padding are 16 bytes, and nothing else of this length is.
        if let Some(position) = characters.iter().position(|&byte| !is_base64(byte)) {
            return Err(KeyError::Alphabet {
                position,
                byte: characters[position],
            });
        }
        if padding != b"==" {
            return Err(KeyError::Padding);
        }
        Ok(Self(key))
    }

    /// The key that stands for `nonce`, for a client's own handshake.
    ///
    /// RFC 6455 4.1: the nonce "MUST be selected randomly for each connection"; choosing it is up to the caller.
    ///
    /// ```
    /// use switchover::websocket::SecWebSocketKey;
    ///
    /// let key = SecWebSocketKey::generate(*b"the sample nonce");
    /// assert_eq!(key.as_str(), "dGhlIHNhbXBsZSBub25jZQ==");
    /// ```
    #[must_use]
    pub fn generate(nonce: [u8; 16]) -> Self {
        Self(encode(&nonce))
    }

    /// The 24 characters as they were sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        as_ascii(&self.0)
    }

    /// The only `Sec-WebSocket-Accept` that answers this key (RFC 6455 4.2.2, step 5.4).
    #[must_use]
    pub fn accept(&self) -> SecWebSocketAccept {
        let digest = Sha1::new().chain_update(self.0).chain_update(GUID).finalize();
        SecWebSocketAccept(encode(&digest))
    }
}

impl fmt::Display for SecWebSocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SecWebSocketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecWebSocketKey({self})")
    }
}

/// The proof that a server read the key and speaks WebSocket: SHA-1 over key and a fixed text, in base64.
///
/// Only [`SecWebSocketKey::accept`] makes one, so there is nothing to validate: what a server sent is compared
/// with what it had to send.
///
/// ```
/// use switchover::websocket::SecWebSocketKey;
///
/// let expected = SecWebSocketKey::generate(*b"the sample nonce").accept();
/// assert!(expected.matches(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
/// assert!(!expected.matches(b"S3PPLMBITXAQ9KYGZZHZRBK+XOO="));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SecWebSocketAccept([u8; ACCEPT_LENGTH]);

impl SecWebSocketAccept {
    /// The 28 characters of the field value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        as_ascii(&self.0)
    }

    /// Whether a server's field value, white space around it removed, is exactly this one.
    ///
    /// Byte for byte, with letter case: base64 that differs in case stands for other bytes.
    #[must_use]
    pub fn matches(&self, value: &[u8]) -> bool {
        self.0 == *value
    }
}

impl fmt::Display for SecWebSocketAccept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for SecWebSocketAccept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecWebSocketAccept({self})")
    }
}

/// Why a value is not a `Sec-WebSocket-Key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Sixteen bytes in base64 are 24 characters, and this is not.
    #[error("Sec-WebSocket-Key has {actual} characters; 16 bytes in base64 have 24")]
    Length {
        /// How many bytes there were.
        actual: usize,
    },
    /// A byte that is not a letter, a digit, `+` or `/` (RFC 4648 section 4).
    #[error(
        "Sec-WebSocket-Key has the byte {byte:#04x} at position {position}, which is not in the base64 alphabet"
    )]
    Alphabet {
        /// Where the byte stands, counted from zero.
        position: usize,
        /// The byte itself.
        byte: u8,
    },
    /// The last two characters are not `==`, so it is not 16 bytes that were encoded.
    #[error("Sec-WebSocket-Key does not end in `==`, so it does not decode to 16 bytes")]
    Padding,
}

/// Only the standard alphabet: RFC 6455 4.1 points to section 4 of RFC 4648, not to the URL-safe one of section 5.
fn is_base64(byte: u8) -> bool {
    const TABLE: [bool; 256] = {
        let mut table = [false; 256];
        let mut byte = 0_u8;
        while byte < 128 {
            table[byte as usize] = byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/';
            byte += 1;
        }
        table
    };
    TABLE[usize::from(byte)]
}

/// Base64 into an array that is exactly as long as the text.
fn encode<const LENGTH: usize>(bytes: &[u8]) -> [u8; LENGTH] {
    let mut text = [0; LENGTH];
    let written = STANDARD.encode_slice(bytes, &mut text);
    // Both callers' lengths are constants: 16 bytes are 24 characters, 20 bytes are 28.
    debug_assert_eq!(written.ok(), Some(LENGTH));
    text
}

/// What only this file fills, and only with base64.
fn as_ascii(text: &[u8]) -> &str {
    std::str::from_utf8(text).expect("base64 is ASCII")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLE: &[u8; 24] = b"dGhlIHNhbXBsZSBub25jZQ==";

    #[test]
    fn rfc6455_1_3_sample_handshake() {
        let key = SecWebSocketKey::parse(SAMPLE).unwrap();
        assert_eq!(key.as_str().as_bytes(), SAMPLE);
        assert_eq!(key, SecWebSocketKey::generate(*b"the sample nonce"));
        assert_eq!(key.accept().as_str(), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn rfc6455_4_1_the_other_sample_key() {
        // The bytes 0x01 to 0x10, as erratum 3150 corrects the example.
        let nonce = std::array::from_fn(|index| index as u8 + 1);
        assert_eq!(
            SecWebSocketKey::generate(nonce).as_str(),
            "AQIDBAUGBwgJCgsMDQ4PEA=="
        );
        // And as the RFC prints it, with left-over bits set.
        assert!(SecWebSocketKey::parse(b"AQIDBAUGBwgJCgsMDQ4PEC==").is_ok());
    }

    #[test]
    fn rfc6455_4_2_1_refuses_what_is_not_sixteen_bytes() {
        let cases: &[(&str, &[u8], KeyError)] = &[
            ("nothing", b"", KeyError::Length { actual: 0 }),
            (
                "a character short",
                b"dGhlIHNhbXBsZSBub25jZQ=",
                KeyError::Length { actual: 23 },
            ),
            (
                "padding left out",
                b"dGhlIHNhbXBsZSBub25jZQ",
                KeyError::Length { actual: 22 },
            ),
            (
                "a character more",
                b"dGhlIHNhbXBsZSBub25jZQ===",
                KeyError::Length { actual: 25 },
            ),
            (
                "fifteen bytes",
                b"dGhlIHNhbXBsZSBub25j",
                KeyError::Length { actual: 20 },
            ),
            (
                "space before",
                b" dGhlIHNhbXBsZSBub25jZQ==",
                KeyError::Length { actual: 25 },
            ),
            (
                "space after",
                b"dGhlIHNhbXBsZSBub25jZQ== ",
                KeyError::Length { actual: 25 },
            ),
            ("seventeen bytes", b"dGhlIHNhbXBsZSBub25jZSE=", KeyError::Padding),
            ("eighteen bytes", b"dGhlIHNhbXBsZSBub25jZSEh", KeyError::Padding),
            (
                "one padding, elsewhere",
                b"dGhlIHNhbXBsZSBub25jZQ=A",
                KeyError::Padding,
            ),
            (
                "padding too early",
                b"dGhlIHNhbXBsZSBub25jZ===",
                KeyError::Alphabet {
                    position: 21,
                    byte: b'=',
                },
            ),
            (
                "URL-safe minus",
                b"-GhlIHNhbXBsZSBub25jZQ==",
                KeyError::Alphabet {
                    position: 0,
                    byte: b'-',
                },
            ),
            (
                "URL-safe underscore",
                b"d_hlIHNhbXBsZSBub25jZQ==",
                KeyError::Alphabet {
                    position: 1,
                    byte: b'_',
                },
            ),
            (
                "space inside",
                b"dGhlIHNhbXBs SBub25jZQ==",
                KeyError::Alphabet {
                    position: 12,
                    byte: b' ',
                },
            ),
            (
                "a NUL",
                b"dGhlIHNhbXBs\0SBub25jZQ==",
                KeyError::Alphabet {
                    position: 12,
                    byte: 0,
                },
            ),
            (
                "not ASCII",
                b"dGhlIHNhbXBs\xc3SBub25jZQ==",
                KeyError::Alphabet {
                    position: 12,
                    byte: 0xc3,
                },
            ),
        ];
        for (name, value, expected) in cases {
            assert_eq!(SecWebSocketKey::parse(value), Err(*expected), "{name}");
        }
    }

    #[test]
    fn rfc4648_3_5_left_over_bits_may_be_set() {
        // "R" instead of "Q" as the last character: other left-over bits, the same sixteen bytes.
        let key = SecWebSocketKey::parse(b"dGhlIHNhbXBsZSBub25jZR==").unwrap();
        assert_eq!(key.as_str(), "dGhlIHNhbXBsZSBub25jZR==");
        // The accept value goes by the characters.
        assert_ne!(key.accept(), SecWebSocketKey::parse(SAMPLE).unwrap().accept());
    }

    #[test]
    fn rfc6455_4_1_the_accept_value_is_compared_exactly() {
        let accept = SecWebSocketKey::parse(SAMPLE).unwrap().accept();
        let cases: &[(&str, &[u8], bool)] = &[
            ("the value", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", true),
            ("nothing", b"", false),
            ("other case", b"S3pPLMBiTxaQ9kYGzzhZRbK+xOo=", false),
            ("space after", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo= ", false),
            ("padding left out", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo", false),
            ("left-over bits set", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOp=", false),
            ("the key itself", SAMPLE, false),
        ];
        for (name, value, expected) in cases {
            assert_eq!(accept.matches(value), *expected, "{name}");
        }
    }

    #[test]
    fn errors_say_what_to_look_at() {
        let message = |value: &[u8]| SecWebSocketKey::parse(value).unwrap_err().to_string();
        assert!(message(b"abc").contains("3 characters"));
        assert!(message(b"d_hlIHNhbXBsZSBub25jZQ==").contains("0x5f at position 1"));
        assert!(message(b"dGhlIHNhbXBsZSBub25jZSEh").contains("16 bytes"));
    }

    /// A decoder that was not written here, set to accept left-over bits, decides the same.
    fn decodes_to_sixteen_bytes(value: &[u8]) -> bool {
        use base64::alphabet;
        use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
        let config = GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true);
        let decoded = GeneralPurpose::new(&alphabet::STANDARD, config).decode(value);
        decoded.is_ok_and(|bytes| bytes.len() == 16)
    }

    proptest! {
        #[test]
        fn generated_keys_parse(nonce: [u8; 16]) {
            let key = SecWebSocketKey::generate(nonce);
            prop_assert_eq!(SecWebSocketKey::parse(key.as_str().as_bytes()), Ok(key));
            prop_assert!(key.accept().matches(key.accept().as_str().as_bytes()));
        }

        #[test]
        fn decides_like_a_base64_decoder(nonce: [u8; 16], position in 0_usize..24, byte: u8, cut in 0_usize..=24) {
            let mut value = SecWebSocketKey::generate(nonce).0;
            value[position] = byte;
            for value in [&value[..], &value[..cut]] {
                prop_assert_eq!(SecWebSocketKey::parse(value).is_ok(), decodes_to_sixteen_bytes(value));
            }
        }
    }
}
