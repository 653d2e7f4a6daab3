//! `proxy_set_header`, `proxy_hide_header` and `add_header`, and whether they carry an upgrade.
//!
//! `Upgrade` and `Connection` are no rules: the library says itself what it does. What the configuration says in them decides
//! one thing, as in nginx: whether an upgrade that a client asks for is asked of the upstream.

use std::borrow::Cow;

use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, header};
use switchover::header::rules::{HeaderRules, HostRule, RuleError, Statuses, Underscores};

use super::charset::Charset;
use super::expires::Expires;
use super::findings::Findings;
use super::redirects::Redirect;
use super::replies::Addressing;
use super::scope::{Field, Scope};
use super::text::{Asked, Text};

/// The fields of a location.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    underscores: Underscores,
    /// `ignore_invalid_headers off`: of the client's fields those pass whose names hold other characters.
    keeps_invalid: bool,
    /// `proxy_set_header Content-Length ""`: a length of 0 does not go up.
    pub(crate) omits_length: bool,
    /// `proxy_set_header`, but for the two that are no rules.
    set: Vec<Field>,
    /// The names of all `proxy_set_header`, of those as well that are no rules.
    named: Vec<String>,
    host: Option<Text>,
    expires: Option<Expires>,
    charset: Charset,
    added: Vec<Field>,
    hidden: Vec<HeaderName>,
    /// `proxy_pass_header`.
    passed: Vec<HeaderName>,
    pub(crate) redirects: Vec<Redirect>,
    /// Of the addresses that the server sends its clients to.
    pub(crate) addressing: Addressing,
    upgrade: Text,
    connection: Text,
}

impl Fields {
    pub(crate) fn new(scope: &Scope, findings: &mut Findings) -> Fields {
        let keeps_invalid = scope.ignores_invalid.as_ref().is_some_and(|on| !on.value);
        // To nginx, a name with an underscore is an invalid one.
        let keeps = scope.underscores.as_ref().is_some_and(|on| on.value) || keeps_invalid;
        let first = |name| {
            scope
                .set
                .iter()
                .find(|field| field.is(name))
                .map(|field| field.value.clone())
        };
        let mut fields = Fields {
            underscores: if keeps {
                Underscores::Keep
            } else {
                Underscores::DropAll
            },
            keeps_invalid,
            omits_length: first("Content-Length").is_some_and(|value| value.constant() == Some("")),
            set: Vec::new(),
            named: scope.set.iter().map(|field| field.name.clone()).collect(),
            host: first("Host"),
            expires: scope.expires.as_ref().map(|said| said.value.clone()),
            charset: Charset {
                name: scope.charset.as_ref().and_then(|said| said.value.clone()),
                types: scope.charset_types.as_ref().map(|said| said.value.clone()),
            },
            added: Vec::new(),
            hidden: names(&scope.hidden, findings),
            passed: names(&scope.passed, findings),
            redirects: Vec::new(),
            addressing: Addressing::new(scope),
            upgrade: first("Upgrade").unwrap_or_default(),
            // Of several, nginx sends the first.
            connection: first("Connection").unwrap_or_default(),
        };
        for field in &scope.set {
            let is_known = ["Upgrade", "Connection", "Host"]
                .iter()
                .any(|name| field.is(name));
            let name = &field.name;
            // The value is looked up for each request: here only the name is tried.
            match HeaderRules::default().set_on_request(name, field.value.constant().map_or("x", |_| "x")) {
                _ if is_known => {}
                Ok(_) => fields.set.push(field.clone()),
                Err(_) if field.value.constant() == Some("") && is_removable(name) => {
                    fields.set.push(field.clone())
                }
                // It says what is done anyway.
                Err(RuleError::Owned(_)) if is_harmless(field) => {}
                Err(why) => {
                    let text = format!("proxy_set_header {name} is not carried out: {why}");
                    findings.warning(&field.place, text);
                }
            }
        }
        for field in &scope.added {
            match HeaderRules::default().add_on_response(&field.name, "x", Statuses::Always) {
                Ok(_) => fields.added.push(field.clone()),
                Err(why) => {
                    let text = format!("add_header {} is not carried out: {why}", field.name);
                    findings.warning(&field.place, text);
                }
            }
        }
        fields
    }

    /// The rules for what goes up.
    pub(crate) fn request_rules(&self, asked: &Asked<'_>) -> HeaderRules {
        let host = match &self.host {
            None => HostRule::Upstream,
            Some(text) => match text.source() {
                // The library's own words for the two.
                source @ ("$http_host" | "${http_host}" | "$proxy_host" | "${proxy_host}") => source.parse(),
                // A dollar sign that a client has sent is none of a variable.
                _ => text.value(asked).replace('$', "$$").parse(),
            }
            .unwrap_or(HostRule::Upstream),
        };
        let mut rules = HeaderRules::default()
            .underscores(self.underscores)
            .only_plain_names(!self.keeps_invalid)
            .upstream(asked.target.map_or("", |target| &target.host))
            .host(host);
        for (index, field) in self.set.iter().enumerate() {
            let value = unfolded(&field.value.value(asked)).replace('$', "$$");
            let is_again = self.set[..index].iter().any(|before| before.is(&field.name));
            let apply = |rules: HeaderRules, value: &str| match is_again {
                false => rules.set_on_request(&field.name, value),
                true if value.is_empty() => Ok(rules),
                true => rules.add_on_request(&field.name, value),
            };
            // With bytes that no field may hold it is empty: what the client has sent does not take its place.
            rules = match apply(HeaderRules::default(), &value) {
                Ok(_) => with(rules, |rules| apply(rules, &value)),
                Err(_) => with(rules, |rules| apply(rules, "")),
            };
        }
        rules
    }

    /// The rules with which none of the client's fields go up that no `proxy_set_header` names, but for those without which there is no
    /// upgrade: `proxy_pass_request_headers off`.
    pub(crate) fn without_others(&self, rules: HeaderRules, of_client: &HeaderMap) -> HeaderRules {
        let is_named = |name: &HeaderName| {
            self.named
                .iter()
                .any(|set| set.eq_ignore_ascii_case(name.as_str()))
        };
        let others = of_client.keys().filter(|name| !is_named(name));
        others.fold(rules, |rules, name| {
            with(rules, |rules| rules.remove_on_request(name.as_str()))
        })
    }

    /// Whether something is added to all answers, be they refusals.
    pub(crate) fn adds_always(&self) -> bool {
        self.added.iter().any(|field| field.always)
    }

    /// Whether a name with an underscore is one, and what variables have of it.
    pub(crate) fn keeps_underscores(&self) -> bool {
        self.underscores == Underscores::Keep
    }

    /// Takes from an upstream's answer what its client does not get.
    pub(crate) fn hide(&self, headers: &mut HeaderMap) {
        let is_passed = |name: &HeaderName| self.passed.contains(name);
        let own = |name: &HeaderName| name.as_str().starts_with("x-accel-") || name == "x-pad";
        let hidden: Vec<HeaderName> = headers
            .keys()
            .filter(|name| (own(name) || self.hidden.contains(name)) && !is_passed(name))
            .cloned()
            .collect();
        for name in hidden {
            headers.remove(name);
        }
    }

    /// `expires`, `add_header` and `charset`.
    pub(crate) fn add(&self, headers: &mut HeaderMap, status: StatusCode, asked: &Asked<'_>) {
        let is_usual = matches!(status.as_u16(), 200 | 201 | 204 | 206 | 301..=304 | 307 | 308);
        self.charset.apply(headers, status, asked);
        if let Some(expires) = self.expires.as_ref().filter(|_| is_usual) {
            expires.apply(headers, asked);
        }
        for field in self.added.iter().filter(|field| is_usual || field.always) {
            if field.value.source().contains("sent_http_") {
                // As far as the lines before this one have come.
                asked.state.lock().sent = Some((status, headers.clone()));
            }
            let value = unfolded(&field.value.value(asked)).into_owned();
            let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(field.name.as_bytes()),
                HeaderValue::from_bytes(value.as_bytes()),
            ) else {
                continue;
            };
            if replaces(&field.name) {
                headers.remove(&name);
            }
            if !value.is_empty() {
                headers.append(name, value);
            }
        }
    }

    /// Whether nginx would ask the upstream for the upgrade that this request asks for. In which version it asks is not looked
    /// at: an upstream that switches although it was asked in HTTP/1.0 does so in 1.1 too. Nor is `Connection`, where the protocol is one
    /// that a flag names: servers of such protocols look at `Upgrade` alone, and configurations for them say `keep-alive`.
    pub(crate) fn carry_upgrade(&self, asked: &Asked<'_>, is_named: bool) -> bool {
        let names_it = !self.upgrade.value(asked).trim().is_empty();
        names_it && (is_named || has_token(&self.connection.value(asked), "upgrade"))
    }
}

/// The rules that make these fields of an answer those. What the library says itself it goes on to say.
pub(crate) fn difference(before: &HeaderMap, after: &HeaderMap) -> HeaderRules {
    let mut rules = HeaderRules::default();
    let added = after.keys().filter(|name| !before.contains_key(*name));
    for name in before.keys().chain(added) {
        let now = after.get_all(name);
        if before.get_all(name) == now {
            continue;
        }
        if HeaderRules::default().remove_on_response(name.as_str()).is_err() {
            continue;
        }
        // What was not there costs nothing to remove, but to look for.
        if before.contains_key(name) {
            rules = with(rules, |rules| rules.remove_on_response(name.as_str()));
        }
        for value in now.iter().filter_map(|value| value.to_str().ok()) {
            // A dollar sign is none of a variable.
            let value = value.replace('$', "$$");
            rules = with(rules, |rules| {
                rules.add_on_response(name.as_str(), &value, Statuses::Always)
            });
        }
    }
    rules
}

/// Rules with one more, if it is one. It is tried apart: one that is none would take the others along, and a copy of them for each would
/// cost as much as all of them.
fn with(rules: HeaderRules, rule: impl Fn(HeaderRules) -> Result<HeaderRules, RuleError>) -> HeaderRules {
    match rule(HeaderRules::default()) {
        Ok(_) => rule(rules).unwrap_or_default(),
        Err(_) => rules,
    }
}

fn names(said: &[super::scope::At<String>], findings: &mut Findings) -> Vec<HeaderName> {
    let mut names = Vec::new();
    for said in said {
        match HeaderName::from_bytes(said.value.as_bytes()) {
            Ok(name) => names.push(name),
            Err(_) => findings.error(
                &said.place,
                format!("{:?} is not the name of a field", said.value),
            ),
        }
    }
    names
}

/// nginx: of these there is one line, and it is the added one.
fn replaces(name: &str) -> bool {
    let once = [header::ETAG, header::LAST_MODIFIED, header::SERVER];
    once.iter().any(|known| name.eq_ignore_ascii_case(known.as_str()))
}

/// A value that is folded over several lines, as `$ssl_client_cert` is, in one: as whoever receives it reads it (RFC 9112, section 5.2).
fn unfolded(value: &str) -> Cow<'_, str> {
    match value.contains('\n') {
        false => value.into(),
        true => value
            .replace("\r\n", "\n")
            .replace("\n\t", " ")
            .replace("\n ", " ")
            .into(),
    }
}

fn is_removable(name: &str) -> bool {
    HeaderRules::default().set_on_request(name, "").is_ok()
}

/// A field that says what the library does anyway: one of the framing or from hop to hop that is set to nothing, one of the handshake with what the
/// client has sent.
fn is_harmless(field: &Field) -> bool {
    let of_a_hop = [
        "Content-Length",
        "Keep-Alive",
        "Transfer-Encoding",
        "Proxy-Connection",
        "Expect",
    ];
    let own = format!("$http_{}", field.name.replace('-', "_").to_ascii_lowercase());
    let source = field.value.source().to_ascii_lowercase();
    let is_own = source == own || source == format!("${{{}}}", &own[1..]);
    is_own || field.value.constant() == Some("") && of_a_hop.iter().any(|name| field.is(name))
}

/// Whether a list holds a token, in any case.
pub(crate) fn has_token(list: &str, token: &str) -> bool {
    list.split(',')
        .any(|element| element.trim().eq_ignore_ascii_case(token))
}

#[cfg(test)]
mod tests {
    use switchover::header::Hop;
    use switchover::header::rules::Variables;

    use super::*;

    fn fields(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        lines.collect()
    }

    /// One made of the other by the rules.
    fn made(before: &HeaderMap, after: &HeaderMap) -> HeaderMap {
        let (parts, ()) = http::Request::new(()).into_parts();
        let hop = Hop::unknown();
        let mut made = before.clone();
        let rules = difference(before, after).prepare(&Variables::new(&parts, &hop));
        rules.apply_to_response(&mut made, StatusCode::SWITCHING_PROTOCOLS);
        made
    }

    #[test]
    fn what_makes_these_fields_those() {
        let before = fields(&[("a", "1"), ("b", "2"), ("b", "3"), ("gone", "x")]);
        let after = fields(&[("a", "1"), ("b", "3"), ("b", "$host"), ("new", "$"), ("new", "n")]);
        assert_eq!(made(&before, &after), after);
        assert_eq!(made(&after, &before), before);
        assert_eq!(difference(&after, &after), HeaderRules::default());
        // Those are the library's own.
        let own = fields(&[("connection", "close"), ("sec-websocket-accept", "x"), ("a", "2")]);
        assert_eq!(made(&before, &own), fields(&[("a", "2")]));
    }

    /// As many as a head may have.
    #[test]
    fn every_field_of_a_large_head() {
        let named = |prefix: &str| -> HeaderMap {
            let names = (0..1_024).map(|number| format!("{prefix}-{number}"));
            let names = names.map(|name| HeaderName::from_bytes(name.as_bytes()).unwrap());
            names.map(|name| (name, HeaderValue::from_static("1"))).collect()
        };
        let (before, after) = (named("a"), named("b"));
        assert_eq!(made(&before, &after), after);
    }
}
