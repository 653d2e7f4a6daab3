//! `auth_basic`: names and passwords in a file, as htpasswd and `openssl passwd` write them.

use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};
use sha1::Sha1;

/// Whether a file lets somebody in. The file is read for each request, as in nginx.
///
/// # Errors
///
/// It cannot be read: nobody is let in.
pub(crate) fn lets_in(file: &Path, name: &str, password: &str) -> std::io::Result<bool> {
    let text = std::fs::read(file)?;
    let text = String::from_utf8_lossy(&text);
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let entry = lines.find_map(|line| line.split_once(':').filter(|(known, _)| *known == name));
    Ok(entry.is_some_and(|(_, rest)| verify(rest.split(':').next().unwrap_or(rest).trim_end(), password)))
}

/// Whether a password is that of a hash. A hash of a kind that is not known is of none.
fn verify(hash: &str, password: &str) -> bool {
    if let Some(plain) = hash.strip_prefix("{PLAIN}") {
        return same(plain.as_bytes(), password.as_bytes());
    }
    if let Some(sha) = hash.strip_prefix("{SHA}") {
        return same(sha.as_bytes(), STANDARD.encode(Sha1::digest(password)).as_bytes());
    }
    if let Some(salted) = hash.strip_prefix("{SSHA}") {
        let Ok(decoded) = STANDARD.decode(salted) else {
            return false;
        };
        let Some((sum, salt)) = decoded.split_at_checked(20) else {
            return false;
        };
        return same(
            sum,
            &Sha1::new().chain_update(password).chain_update(salt).finalize(),
        );
    }
    for magic in ["$apr1$", "$1$"] {
        if let Some(rest) = hash.strip_prefix(magic) {
            let salt = rest.split('$').next().unwrap_or_default();
            return same(hash.as_bytes(), md5_crypt(magic, salt, password).as_bytes());
        }
    }
    match hash.get(..3) {
        Some("$2y" | "$2a" | "$2b") => bcrypt::verify(password, hash).unwrap_or(false),
        Some("$6$") => sha_crypt::sha512_check(password, hash).is_ok(),
        Some("$5$") => sha_crypt::sha256_check(password, hash).is_ok(),
        _ => false,
    }
}

/// How alike two texts are takes the same time to find out, whatever they are.
fn same(one: &[u8], other: &[u8]) -> bool {
    let difference = one.iter().zip(other).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && difference == 0
}

/// crypt(3) by MD5, and Apache's, which has another magic.
fn md5_crypt(magic: &str, salt: &str, password: &str) -> String {
    let salt = salt.get(..8).unwrap_or(salt);
    let (salt_bytes, password) = (salt.as_bytes(), password.as_bytes());
    let twice = Md5::new()
        .chain_update(password)
        .chain_update(salt_bytes)
        .chain_update(password)
        .finalize();
    let mut first = Md5::new();
    first.update(password);
    first.update(magic);
    first.update(salt_bytes);
    for chunk in password.chunks(16) {
        first.update(&twice[..chunk.len()]);
    }
    let mut length = password.len();
    while length > 0 {
        match length & 1 {
            1 => first.update([0]),
            _ => first.update(password.get(..1).unwrap_or_default()),
        }
        length >>= 1;
    }
    let mut sum = first.finalize();
    for round in 0..1000 {
        let mut next = Md5::new();
        match round & 1 {
            1 => next.update(password),
            _ => next.update(sum),
        }
        if round % 3 != 0 {
            next.update(salt_bytes);
        }
        if round % 7 != 0 {
            next.update(password);
        }
        match round & 1 {
            1 => next.update(sum),
            _ => next.update(password),
        }
        sum = next.finalize();
    }
    let mut out = format!("{magic}{salt}$");
    for [a, b, c] in [[0, 6, 12], [1, 7, 13], [2, 8, 14], [3, 9, 15], [4, 10, 5]] {
        push(
            &mut out,
            u32::from(sum[a]) << 16 | u32::from(sum[b]) << 8 | u32::from(sum[c]),
            4,
        );
    }
    push(&mut out, u32::from(sum[11]), 2);
    out
}

fn push(out: &mut String, mut value: u32, signs: usize) {
    const SIGNS: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..signs {
        out.push(char::from(SIGNS[(value & 63) as usize]));
        value >>= 6;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each made by openssl passwd or htpasswd, of "secret".
    const HASHES: &[&str] = &[
        "{PLAIN}secret",
        "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
        "$apr1$saltsalt$LrttParrLPdxvgutaSXWJ0",
        "$1$saltsalt$9xy1btjgzLYfb7hivXtC//",
        "$5$saltsalt$0IyaXrmV7.sGNS6tirgqHLqX/G.FBvgkYA.lpPdS5sA",
        "$6$saltsalt$TVLlQcbpFVof5W3Yz4DTP6gRstiNuHwwTt6GLc1E5n0U0aDehy0S5knV8wiOQSpT0Y77vwPZN.Pq.H91p5hVO1",
    ];

    #[test]
    fn of_any_kind() {
        for hash in HASHES {
            assert!(verify(hash, "secret"), "{hash}");
            assert!(!verify(hash, "Secret"), "{hash}");
        }
        assert!(!verify("unknown", "unknown"));
    }
}
