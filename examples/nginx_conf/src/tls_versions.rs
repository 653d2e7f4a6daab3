//! `ssl_protocols`: the versions of TLS that a client may speak.

use switchover::tls::rustls::SupportedProtocolVersion;
use switchover::tls::rustls::version::{TLS12, TLS13};

/// Some of the two that rustls speaks.
pub(crate) type Versions = Vec<&'static SupportedProtocolVersion>;

/// Reads the arguments of the directive.
///
/// # Errors
///
/// A version that there is not, or none that is spoken here.
pub(crate) fn read(names: &[String]) -> Result<Versions, String> {
    let mut versions = Versions::new();
    for name in names {
        match name.to_ascii_lowercase().as_str() {
            "sslv2" | "sslv3" | "tlsv1" | "tlsv1.1" => {}
            "tlsv1.2" => versions.push(&TLS12),
            "tlsv1.3" => versions.push(&TLS13),
            _ => return Err(format!("there is no {name}")),
        }
    }
    match versions.is_empty() {
        true => Err("none of them is spoken here: add TLSv1.2 or TLSv1.3".to_owned()),
        false => Ok(versions),
    }
}

/// What is spoken where nothing is said.
pub(crate) fn all() -> Versions {
    vec![&TLS12, &TLS13]
}

/// Whether both allow the same.
pub(crate) fn are_equal(one: &Versions, other: &Versions) -> bool {
    let has = |versions: &Versions, version: &SupportedProtocolVersion| {
        versions.iter().any(|has| has.version == version.version)
    };
    [&TLS12, &TLS13]
        .iter()
        .all(|version| has(one, version) == has(other, version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions() {
        for (text, expected) in [
            ("TLSv1.3", Ok(vec![&TLS13])),
            ("TLSv1 TLSv1.1 TLSv1.2", Ok(vec![&TLS12])),
            ("SSLv3 tlsv1.2 TLSV1.3", Ok(vec![&TLS12, &TLS13])),
            ("TLSv1 TLSv1.1", Err("add TLSv1.2 or TLSv1.3")),
            ("TLSv1.2 TLSv1.4", Err("there is no TLSv1.4")),
        ] {
            let names: Vec<String> = text.split(' ').map(str::to_owned).collect();
            match (read(&names), expected) {
                (Ok(versions), Ok(expected)) => assert!(are_equal(&versions, &expected), "{text}"),
                (Err(why), Err(expected)) => assert!(why.contains(expected), "{text}: {why}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        }
    }
}
