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
    // A line of other bytes than UTF-8 is for nobody: names and passwords are compared as texts.
    let lines = text.split(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| std::str::from_utf8(line).ok());
    let mut lines = lines.filter(|line| !line.starts_with('#'));
    let entry = lines.find_map(|line| line.split_once(':').filter(|(known, _)| *known == name));
    let Some(hash) = entry.map(|(_, rest)| hash_of(rest)) else {
        return Ok(false);
    };
    match is_unknown(hash) {
        true => Err(std::io::Error::other(unknown(name))),
        false => Ok(verify(hash, password)),
    }
}

/// The entries that let nobody in although nginx, by the C library's `crypt`, would: the number of the line, and what is wrong with it.
/// None of a file that cannot be read.
pub(crate) fn unknown_entries(file: &Path) -> Vec<(usize, String)> {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with('#'));
    let entries = lines.filter_map(|(number, line)| Some((number, line.split_once(':')?)));
    let unknown_ones = entries.filter(|(_, (_, rest))| is_unknown(hash_of(rest)));
    unknown_ones
        .map(|(number, (name, _))| (number, unknown(name)))
        .collect()
}

/// A comment may follow it.
fn hash_of(rest: &str) -> &str {
    rest.split(':').next().unwrap_or(rest).trim_end()
}

fn unknown(name: &str) -> String {
    format!(
        "the password of {name} is of a kind that is not known here, as of the old crypt or yescrypt, and lets nobody in. Write it again with \
         htpasswd -B, or with openssl passwd -6"
    )
}

/// Whether it is of a kind that the C library knows and `verify` does not: DES, its longer form, yescrypt, scrypt and their like.
fn is_unknown(hash: &str) -> bool {
    let of_des = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'/'))
    };
    let is_des = match hash.strip_prefix('_') {
        Some(longer) => longer.len() == 19 && of_des(longer),
        None => hash.len() == 13 && of_des(hash),
    };
    let known = ["$apr1$", "$1$", "$2a$", "$2b$", "$2y$", "$5$", "$6$"];
    is_des || hash.starts_with('$') && !known.iter().any(|known| hash.starts_with(known))
}

/// What crypt(3) takes at most. Its work grows with the length, in part with its square, and a worker does it between other requests.
const LONGEST: usize = 512;

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
    if password.len() > LONGEST {
        return false;
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

    /// Of "secret" too, by the C library.
    #[test]
    fn of_kinds_that_are_not_known() {
        for hash in [
            "saH9wpW8H0vG6",
            "_J9..saltabcdefghijk",
            "$y$j9T$saltsalt$abc",
            "$7$CU..../....salt$abc",
            "$2x$05$abc",
        ] {
            assert!(is_unknown(hash), "{hash}");
            assert!(!verify(hash, "secret"), "{hash}");
        }
        for hash in [
            "",
            "zz",
            "plain text",
            "{PLAIN}saH9wpW8H0vG6",
            "{SHA}",
            "toolongforthatkind",
        ] {
            assert!(!is_unknown(hash), "{hash}");
        }
    }

    /// What is longer costs no work, where the work grows with it.
    #[test]
    fn lengths_of_passwords() {
        for magic in ["$1$", "$apr1$"] {
            for (length, lets_in) in [(LONGEST, true), (LONGEST + 1, false)] {
                let password = "a".repeat(length);
                let hash = md5_crypt(magic, "salt", &password);
                assert_eq!(verify(&hash, &password), lets_in, "{magic} of {length}");
            }
        }
        let longest = "a".repeat(LONGEST + 1);
        for hash in HASHES.iter().filter(|hash| hash.starts_with('$')) {
            assert!(!verify(hash, &longest), "{hash}");
        }
        let plain = format!("{{PLAIN}}{longest}");
        assert!(verify(&plain, &longest));
    }

    #[test]
    fn of_any_kind() {
        for hash in HASHES {
            assert!(verify(hash, "secret"), "{hash}");
            assert!(!verify(hash, "Secret"), "{hash}");
        }
        assert!(!verify("unknown", "unknown"));
        assert!(HASHES.iter().all(|hash| !is_unknown(hash)));
    }
}
