//! What is not shown unless it is asked for: the values of credentials and cookies, and of the parameters in URLs. A report is
//! made to be passed on.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderName, HeaderValue};

use super::flags::Flags;

/// Fields whose value is for nobody else, and parts of the names of more of them.
const FIELDS: &[&str] = &["authorization", "cookie", "proxy-authorization", "set-cookie"];
const PARTS: &[&str] = &[
    "api-key",
    "apikey",
    "credential",
    "password",
    "secret",
    "session",
    "token",
];

/// A shorter value occurs in other words by chance.
const SHORTEST: usize = 6;

/// A subprotocol that is longer is no name: some clients send a token as one.
const LONGEST_NAME: usize = 40;

const HIDDEN: char = '…';

pub(crate) struct Secrets {
    /// Values that were given, wherever a peer repeats them.
    given: Vec<String>,
    are_shown: bool,
}

impl Secrets {
    pub(crate) fn of(flags: &Flags) -> Secrets {
        let mut given: Vec<String> = Vec::new();
        for (name, value) in &flags.fields {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            if *name == SEC_WEBSOCKET_PROTOCOL {
                given.extend(value.split(',').filter_map(|name| token_in(name.trim())));
            }
            if is_secret(name.as_str()) || is_credential(name.as_str(), &value) {
                // `Bearer TOKEN`, `a=1; b=2`: each value by itself too.
                given.extend(value.split([' ', ';', '=', ',']).map(str::to_owned));
                given.push(value);
            }
        }
        for url in &flags.urls {
            let query = url.target.query().unwrap_or_default();
            given.extend(query.split(['&', '=']).skip(1).step_by(2).map(str::to_owned));
        }
        given.extend(flags.subprotocols.iter().filter_map(|name| token_in(name)));
        given.retain(|value| value.len() >= SHORTEST && !is_scheme(value));
        // The longest first: one may be a part of another.
        given.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Secrets {
            given,
            are_shown: flags.show_secrets,
        }
    }

    /// A text without secrets, and without anything that a terminal would obey.
    pub(crate) fn mask(&self, text: &str) -> String {
        let text = escaped(text);
        if self.are_shown {
            return text;
        }
        let hidden = self.given.iter().fold(text, |text, secret| {
            text.replace(secret.as_str(), &HIDDEN.to_string())
        });
        without_parameters(&hidden)
    }

    /// A line of a head.
    pub(crate) fn mask_field(&self, line: &str) -> String {
        match line.split_once(':') {
            Some((name, value)) if (is_secret(name) || is_credential(name, value)) && !self.are_shown => {
                format!("{}: ({} bytes, not shown)", escaped(name), value.trim().len())
            }
            _ => self.mask(line),
        }
    }

    /// The value of a field, or how long it is.
    pub(crate) fn mask_value(&self, name: &HeaderName, value: &HeaderValue) -> String {
        let text = String::from_utf8_lossy(value.as_bytes());
        let is_hidden = is_secret(name.as_str()) || is_credential(name.as_str(), &text);
        match is_hidden && !self.are_shown {
            true => format!("({} bytes, not shown)", value.len()),
            false => self.mask(&text),
        }
    }
}

/// What is secret of a subprotocol: of `base64url.bearer.authorization.k8s.io.TOKEN` what stands behind the last dot, and of any other
/// long one all.
fn token_in(name: &str) -> Option<String> {
    let words = ["auth", "bearer", "jwt"];
    let named = name
        .rsplit_once('.')
        .filter(|(kind, _)| PARTS.iter().chain(&words).any(|part| kind.contains(part)));
    match named {
        Some((_, token)) => Some(token.to_owned()),
        None => (name.len() > LONGEST_NAME).then(|| name.to_owned()),
    }
}

/// Whether it begins as the credentials of a scheme do (RFC 9110, section 11.4), whatever the field is called. A challenge begins so too.
fn is_credential(name: &str, value: &str) -> bool {
    if name.trim().to_ascii_lowercase().ends_with("authenticate") {
        return false;
    }
    let scheme = value.trim().split_once(' ').map(|(scheme, _)| scheme);
    scheme.is_some_and(is_scheme)
}

fn is_scheme(word: &str) -> bool {
    ["basic", "bearer"]
        .iter()
        .any(|known| word.eq_ignore_ascii_case(known))
}

fn is_secret(name: &str) -> bool {
    let name = name.trim().to_ascii_lowercase();
    let of_handshake = name.starts_with("sec-websocket-");
    let auth = name.contains("auth") && !name.ends_with("authenticate") && !name.contains("authority");
    let key = name.ends_with("-key") || name.contains("signature") || name.contains("jwt");
    FIELDS.contains(&&*name) || !of_handshake && (auth || key || PARTS.iter().any(|part| name.contains(part)))
}

/// `?room=1&token=2` and `#token=3` without what stands behind each `=`, and `https://name:password@host` without what stands before
/// the `@`.
fn without_parameters(text: &str) -> String {
    let text = &without_user(text);
    let ends = |char: char| char.is_whitespace() || matches!(char, '"' | '\'' | '<' | '>' | ')' | ',');
    let mut shown = String::with_capacity(text.len());
    let (mut in_query, mut in_value) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(char) = characters.next() {
        if ends(char) {
            (in_query, in_value) = (false, false);
        } else if char == '?' || char == '#' {
            in_query = characters.peek().is_some_and(|next| !ends(*next));
            in_value = false;
        } else if in_query && char == '&' {
            in_value = false;
        } else if in_value {
            continue;
        } else if in_query && char == '=' {
            in_value = true;
            shown.extend([char, HIDDEN]);
            continue;
        }
        shown.push(char);
    }
    shown
}

fn without_user(text: &str) -> String {
    let mut parts = text.split("://");
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|char: char| char.is_whitespace() || matches!(char, '/' | '?' | '#' | '"' | '<' | '>'));
        let (authority, rest) = part.split_at(end.unwrap_or(part.len()));
        shown.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend([&HIDDEN.to_string(), "@", host]),
            None => shown.push_str(authority),
        }
        shown.push_str(rest);
    }
    shown
}

/// A peer's text without control characters.
pub(crate) fn escaped(text: &str) -> String {
    // Characters that reorder a line are no control characters to Rust.
    let reorders = |char: char| matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars()
        .map(|char| {
            if char.is_control() || reorders(char) {
                '\u{fffd}'
            } else {
                char
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(arguments: &[&str]) -> Secrets {
        let flags = Flags::parse(arguments);
        match flags.expect("the flags are good") {
            crate::flags::Wish::Examine(flags) => Secrets::of(&flags),
            crate::flags::Wish::Text(text) => panic!("{text}"),
        }
    }

    #[test]
    fn what_is_hidden() {
        let secrets = secrets(&[
            "--header",
            "Authorization: Bearer 0123456789",
            "ws://a/?token=abcdefgh&x=1",
        ]);
        let cases = [
            (
                "GET /ws?token=abcdefgh&x=1 HTTP/1.1",
                "GET /ws?token=…&x=… HTTP/1.1",
            ),
            (
                "to /login?next=%2Fws%3Ftoken%3Da, or not",
                "to /login?next=…, or not",
            ),
            ("no token 0123456789 here", "no token … here"),
            ("<a href=\"/?a=b\">c=d</a>", "<a href=\"/?a=…\">c=d</a>"),
            ("why? a=b", "why? a=b"),
            (
                "https://app/#access_token=a&x=1 b=c",
                "https://app/#access_token=…&x=… b=c",
            ),
            ("/?a=b#c=d", "/?a=…#c=…"),
            ("# a=b", "# a=b"),
            ("to https://me:pass@word@a/b@c, or", "to https://…@a/b@c, or"),
            ("abcdefgh", "…"),
            ("\u{1b}[31m\u{202e}", "\u{fffd}[31m\u{fffd}"),
        ];
        for (text, expected) in cases {
            assert_eq!(secrets.mask(text), expected);
        }
        let fields = [
            ("Set-Cookie: a=b", "Set-Cookie: (3 bytes, not shown)"),
            ("X-Auth-User: me", "X-Auth-User: (2 bytes, not shown)"),
            ("X-Session-Id: 7", "X-Session-Id: (1 bytes, not shown)"),
            ("WWW-Authenticate: Basic", "WWW-Authenticate: Basic"),
            (
                "WWW-Authenticate: Bearer realm=\"a\"",
                "WWW-Authenticate: Bearer realm=\"a\"",
            ),
            ("Sec-WebSocket-Key: abc", "Sec-WebSocket-Key: abc"),
            ("Location: /login?a=b", "Location: /login?a=…"),
            ("X-Functions-Key: abc", "X-Functions-Key: (3 bytes, not shown)"),
            ("X-Upstream: bearer abc", "X-Upstream: (10 bytes, not shown)"),
        ];
        for (line, expected) in fields {
            assert_eq!(secrets.mask_field(line), expected);
        }
    }

    #[test]
    fn tokens_among_the_subprotocols() {
        const KUBERNETES: &str = "base64url.bearer.authorization.k8s.io.";
        let long = "x".repeat(LONGEST_NAME + 1);
        for (name, hidden) in [
            (format!("{KUBERNETES}0123456789"), format!("{KUBERNETES}…")),
            (long, "…".to_owned()),
            ("v4.channel.k8s.io".to_owned(), "v4.channel.k8s.io".to_owned()),
        ] {
            let field = format!("Sec-WebSocket-Protocol: v1, {name}");
            for flags in [["--header", &field], ["--subprotocol", &name]] {
                let secrets = secrets(&[flags[0], flags[1], "ws://a/"]);
                assert_eq!(
                    secrets.mask_field(&format!("A: {name}, b")),
                    format!("A: {hidden}, b"),
                    "{flags:?}"
                );
            }
        }
    }

    #[test]
    fn nothing_is_hidden_on_demand() {
        let secrets = secrets(&["--show-secrets", "ws://a/?token=abcdefgh"]);
        assert_eq!(secrets.mask("/?token=abcdefgh"), "/?token=abcdefgh");
        assert_eq!(secrets.mask_field("Cookie: a=b"), "Cookie: a=b");
    }
}
