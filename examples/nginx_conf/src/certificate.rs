//! What there is to read in a certificate of a client: whose it is, who has issued it, when it holds.

use switchover::tls::rustls::pki_types::UnixTime;
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::prelude::{FromDer, X509Certificate, X509Name};
use x509_parser::time::ASN1Time;

/// A certificate.
pub(crate) struct Certificate<'a>(X509Certificate<'a>);

/// The short names of what a name consists of, as OpenSSL has them.
const SHORT: [(&str, &str); 19] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.4", "SN"),
    ("2.5.4.5", "serialNumber"),
    ("2.5.4.6", "C"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.9", "street"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.12", "title"),
    ("2.5.4.13", "description"),
    ("2.5.4.17", "postalCode"),
    ("2.5.4.41", "name"),
    ("2.5.4.42", "GN"),
    ("2.5.4.43", "initials"),
    ("2.5.4.46", "dnQualifier"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("0.9.2342.19200300.100.1.25", "DC"),
];

/// Signatures by SHA-1, which prove nothing any more.
const WEAK: [&str; 3] = ["1.2.840.113549.1.1.5", "1.2.840.10045.4.1", "1.3.14.3.2.29"];

impl<'a> Certificate<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Option<Certificate<'a>> {
        X509Certificate::from_der(der)
            .ok()
            .map(|(_, read)| Certificate(read))
    }

    /// Whether it has its own name as that of its issuer.
    pub(crate) fn is_of_itself(&self) -> bool {
        self.0.issuer().as_raw() == self.0.subject().as_raw()
    }

    /// Whether another has signed it, or it is that one.
    pub(crate) fn is_issued_by(&self, other: &Certificate<'_>) -> bool {
        let is_named = self.0.issuer().as_raw() == other.0.subject().as_raw();
        let is_weak = WEAK.contains(&&*self.0.signature_algorithm.algorithm.to_id_string());
        is_named && !is_weak && self.0.verify_signature(Some(other.0.public_key())).is_ok()
    }

    /// Why it does not hold for a client at this time, in the words of OpenSSL.
    pub(crate) fn wrong_at(&self, now: UnixTime) -> Option<&'static str> {
        self.out_of_time_at(now)
            .or_else(|| (!self.is_for_clients()).then_some("unsupported certificate purpose"))
    }

    /// Whether its time has not come, or is over.
    pub(crate) fn out_of_time_at(&self, now: UnixTime) -> Option<&'static str> {
        let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let validity = self.0.validity();
        if now < validity.not_before.timestamp() {
            return Some("certificate is not yet valid");
        }
        if now > validity.not_after.timestamp() {
            return Some("certificate has expired");
        }
        None
    }

    /// Whether its key may be used by a client of TLS, as OpenSSL sees it: where it says what for, that has to be among it.
    pub(crate) fn is_for_clients(&self) -> bool {
        let is_for_clients = match self.0.extended_key_usage() {
            Ok(None) => true,
            Ok(Some(usage)) => usage.value.client_auth,
            Err(_) => false,
        };
        is_for_clients
            && match self.0.key_usage() {
                Ok(None) => true,
                Ok(Some(usage)) => usage.value.digital_signature() || usage.value.key_agreement(),
                Err(_) => false,
            }
    }

    /// `$ssl_client_s_dn`.
    pub(crate) fn subject(&self) -> String {
        by_rfc_2253(self.0.subject())
    }

    /// `$ssl_client_i_dn`.
    pub(crate) fn issuer(&self) -> String {
        by_rfc_2253(self.0.issuer())
    }

    /// `$ssl_client_s_dn_legacy`.
    pub(crate) fn subject_in_one_line(&self) -> String {
        in_one_line(self.0.subject())
    }

    /// `$ssl_client_i_dn_legacy`.
    pub(crate) fn issuer_in_one_line(&self) -> String {
        in_one_line(self.0.issuer())
    }

    /// `$ssl_client_serial`.
    pub(crate) fn serial(&self) -> String {
        let raw = self.0.raw_serial();
        let number = match raw {
            [0, rest @ ..] if !rest.is_empty() => rest,
            raw => raw,
        };
        number.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// `$ssl_client_v_start`.
    pub(crate) fn start(&self) -> String {
        shown(self.0.validity().not_before)
    }

    /// `$ssl_client_v_end`.
    pub(crate) fn end(&self) -> String {
        shown(self.0.validity().not_after)
    }

    /// `$ssl_client_v_remain`: how many whole days it holds.
    pub(crate) fn remaining_days(&self) -> String {
        let left = self.0.validity().not_after.timestamp() - ASN1Time::now().timestamp();
        (left.max(0) / 86_400).to_string()
    }
}

/// `Nov  9 05:13:23 2026 GMT`.
fn shown(time: ASN1Time) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let time = time.to_datetime();
    let month = MONTHS[usize::from(u8::from(time.month()) - 1)];
    let (day, year) = (time.day(), time.year());
    let (hour, minute, second) = time.to_hms();
    format!("{month} {day:2} {hour:02}:{minute:02}:{second:02} {year} GMT")
}

fn short(id: &str) -> Option<&'static str> {
    SHORT
        .iter()
        .find(|(known, _)| *known == id)
        .map(|(_, short)| *short)
}

/// The text of a value, in UTF-8.
fn text(value: &Any<'_>) -> Vec<u8> {
    let wide = |width: usize| {
        let units = value.data.chunks(width);
        let units = units.map(|unit| unit.iter().fold(0_u32, |sum, byte| sum << 8 | u32::from(*byte)));
        let signs = units.map(|unit| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
        signs.collect::<String>().into_bytes()
    };
    match value.tag() {
        Tag::BmpString => wide(2),
        Tag::UniversalString => wide(4),
        // Latin 1, as OpenSSL reads it.
        Tag::T61String => wide(1),
        _ => value.data.to_vec(),
    }
}

/// The last part first (RFC 2253, section 2).
fn by_rfc_2253(name: &X509Name<'_>) -> String {
    let parts: Vec<String> = name
        .iter_rdn()
        .map(|part| {
            let mut values: Vec<String> = part
                .iter()
                .map(|value| {
                    let id = value.attr_type().to_id_string();
                    let any = value.attr_value();
                    match short(&id) {
                        Some(short) => format!("{short}={}", escaped(&text(any))),
                        None => {
                            let hex: String = any.data.iter().map(|byte| format!("{byte:02X}")).collect();
                            format!("{id}=#{:02X}{:02X}{hex}", any.tag().0, any.data.len())
                        }
                    }
                })
                .collect();
            values.reverse();
            values.join("+")
        })
        .collect();
    parts
        .iter()
        .rev()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

/// RFC 2253, section 2.4. Bytes beyond ASCII are escaped too.
fn escaped(text: &[u8]) -> String {
    let mut out = String::new();
    for (at, byte) in text.iter().enumerate() {
        let is_edge = at == 0 || at + 1 == text.len();
        match byte {
            b',' | b'+' | b'"' | b'\\' | b'<' | b'>' | b';' => out.extend(['\\', char::from(*byte)]),
            b'#' if at == 0 => out.push_str("\\#"),
            b' ' if is_edge => out.push_str("\\ "),
            0..=0x1f | 0x7f.. => out.push_str(&format!("\\{byte:02X}")),
            plain => out.push(char::from(*plain)),
        }
    }
    out
}

/// `/C=DE/CN=name`.
fn in_one_line(name: &X509Name<'_>) -> String {
    let mut out = String::new();
    for value in name.iter_attributes() {
        let id = value.attr_type().to_id_string();
        out.push('/');
        out.push_str(short(&id).unwrap_or(&id));
        out.push('=');
        for byte in value.attr_value().data {
            match byte {
                b'/' | b'+' => out.extend(['\\', char::from(*byte)]),
                b' '..=b'~' => out.push(char::from(*byte)),
                other => out.push_str(&format!("\\x{other:02X}")),
            }
        }
    }
    out
}
