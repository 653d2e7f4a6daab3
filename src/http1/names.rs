//! How names of fields are usually spelled: a name that arrives so need not be lowered and looked up, and every name goes out so,
//! because some WebSocket peers compare names by case.

use http::header::{self, HeaderName};

use super::marks::bit_of_spelling;

/// Makes both directions of one table. Both choose by the length first, so the rows are ordered by it.
macro_rules! names {
    ($($length:literal: $($spelling:literal => $name:expr),+;)+) => {
        /// The name that is usually spelled like this, and its bit among the marks.
        #[allow(clippy::collapsible_match, reason = "a length may have several spellings")]
        pub(super) fn named(spelling: &[u8]) -> Option<(HeaderName, u8)> {
            match spelling.len() {
                $($length => {
                    $(if spelling == $spelling.as_bytes() {
                        const NAMED: (HeaderName, u8) = ($name, bit_of_spelling($spelling.as_bytes()));
                        return Some(NAMED);
                    })+
                })+
                _ => {}
            }
            None
        }

        /// How a line of the field begins, up to its value, if the name is common, or if it is not just a capital after each hyphen.
        pub(super) fn line_start(name: &HeaderName) -> Option<&'static str> {
            match name.as_str().len() {
                $($length => {
                    $({
                        const NAME: HeaderName = $name;
                        if *name == NAME {
                            return Some(concat!($spelling, ": "));
                        }
                    })+
                })+
                _ => {}
            }
            None
        }

        #[cfg(test)]
        fn all() -> Vec<(usize, &'static str, HeaderName)> {
            vec![$($(($length, $spelling, $name),)+)+]
        }
    };
}

names! {
    2: "TE" => header::TE;
    3: "DNT" => header::DNT, "Via" => header::VIA;
    4: "Date" => header::DATE, "ETag" => header::ETAG, "Host" => header::HOST;
    6: "Accept" => header::ACCEPT, "Cookie" => header::COOKIE, "Origin" => header::ORIGIN, "Server" => header::SERVER;
    7: "Referer" => header::REFERER, "Upgrade" => header::UPGRADE;
    9: "Forwarded" => header::FORWARDED, "X-Real-IP" => HeaderName::from_static("x-real-ip");
    10: "Connection" => header::CONNECTION, "User-Agent" => header::USER_AGENT;
    12: "Content-Type" => header::CONTENT_TYPE, "X-Request-ID" => HeaderName::from_static("x-request-id");
    13: "Authorization" => header::AUTHORIZATION, "Cache-Control" => header::CACHE_CONTROL;
    14: "Content-Length" => header::CONTENT_LENGTH;
    15: "Accept-Encoding" => header::ACCEPT_ENCODING, "Accept-Language" => header::ACCEPT_LANGUAGE,
        "X-Forwarded-For" => HeaderName::from_static("x-forwarded-for");
    16: "WWW-Authenticate" => header::WWW_AUTHENTICATE, "X-Forwarded-Host" => HeaderName::from_static("x-forwarded-host"),
        "X-XSS-Protection" => header::X_XSS_PROTECTION;
    17: "Sec-WebSocket-Key" => header::SEC_WEBSOCKET_KEY, "Transfer-Encoding" => header::TRANSFER_ENCODING,
        "X-Forwarded-Proto" => HeaderName::from_static("x-forwarded-proto");
    20: "Sec-WebSocket-Accept" => header::SEC_WEBSOCKET_ACCEPT;
    21: "Sec-WebSocket-Version" => header::SEC_WEBSOCKET_VERSION;
    22: "Sec-WebSocket-Protocol" => header::SEC_WEBSOCKET_PROTOCOL;
    24: "Sec-WebSocket-Extensions" => header::SEC_WEBSOCKET_EXTENSIONS;
}

#[cfg(test)]
mod tests {
    use super::super::marks::bit;
    use super::*;

    #[test]
    fn every_row_is_true_in_both_directions() {
        for (length, usual, name) in all() {
            assert_eq!(length, usual.len(), "{usual}");
            assert_eq!(HeaderName::from_bytes(usual.as_bytes()).unwrap(), name);
            assert_eq!(named(usual.as_bytes()), Some((name.clone(), bit(&name))));
            assert_eq!(line_start(&name), Some(&*format!("{usual}: ")));
            // Spelled in another way it is looked up by others.
            assert_eq!(named(name.as_str().as_bytes()), None);
        }
    }
}
