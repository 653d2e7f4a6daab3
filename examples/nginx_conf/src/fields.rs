//! `proxy_set_header`, `proxy_hide_header` and `add_header` as rules of the library, and whether they carry an upgrade.
//!
//! `Upgrade` and `Connection` are no rules: the library says itself what it does. What the configuration says in them decides
//! one thing, as in nginx: whether an upgrade that a client asks for is asked of the upstream.

use switchover::header::rules::{HeaderRules, HostRule, RuleError, Statuses, Underscores};

use super::findings::Findings;
use super::redirects::Prefix;
use super::replies::Addressing;
use super::scope::{Field, Scope};
use super::text::{Asked, Text};

/// The fields of a location.
#[derive(Clone, Debug)]
pub(crate) struct Fields {
    /// What is the same for all requests, and what the library puts together for each.
    rules: HeaderRules,
    /// What only this program can put together.
    by_request: Vec<(On, Field)>,
    redirects_by_request: Vec<Prefix>,
    /// Of the addresses that the server sends its clients to.
    pub(crate) addressing: Addressing,
    http_1_1: bool,
    upgrade: Text,
    connection: Text,
}

/// What a field stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum On {
    Request,
    /// Beside one that was set before, by the same name.
    RequestToo,
    Host,
    Response,
}

impl Fields {
    pub(crate) fn new(scope: &Scope, server_name: &str, proxy_host: &str, findings: &mut Findings) -> Fields {
        let keeps = scope.underscores.as_ref().is_some_and(|on| on.value);
        let underscores = if keeps {
            Underscores::Keep
        } else {
            Underscores::DropAll
        };
        let mut fields = Fields {
            rules: HeaderRules::default()
                .underscores(underscores)
                .server_name(server_name)
                .upstream(proxy_host)
                .host(HostRule::Upstream),
            by_request: Vec::new(),
            redirects_by_request: Vec::new(),
            addressing: Addressing::new(scope),
            http_1_1: scope.http_1_1.as_ref().is_some_and(|version| version.value),
            upgrade: Text::default(),
            connection: Text::default(),
        };
        for hidden in &scope.hidden {
            match fields.rules.clone().remove_on_response(&hidden.value) {
                Ok(rules) => fields.rules = rules,
                Err(why) => findings.warning(
                    &hidden.place,
                    format!("proxy_hide_header is not carried out: {why}"),
                ),
            }
        }
        for (index, field) in scope.set.iter().enumerate() {
            let on = match scope.set[..index].iter().any(|before| before.is(&field.name)) {
                _ if field.is("Host") => On::Host,
                true => On::RequestToo,
                false => On::Request,
            };
            match () {
                () if field.is("Upgrade") => fields.upgrade = field.value.clone(),
                () if field.is("Connection") => fields.connection = field.value.clone(),
                () => fields.add(on, field, findings),
            }
        }
        for field in &scope.added {
            fields.add(On::Response, field, findings);
        }
        fields
    }

    /// With these starts of addresses replaced in what the upstream says.
    pub(crate) fn redirecting(mut self, prefixes: Vec<Prefix>, findings: &mut Findings) -> Fields {
        for prefix in prefixes {
            let behind = !self.redirects_by_request.is_empty();
            if behind || !prefix.is_librarys() {
                self.redirects_by_request.push(prefix);
                continue;
            }
            match prefix.added_to(self.rules.clone(), None) {
                Ok(rules) => self.rules = rules,
                Err(why) => findings.warning(
                    prefix.place(),
                    format!("proxy_redirect is not carried out: {why}"),
                ),
            }
        }
        self
    }

    fn add(&mut self, on: On, field: &Field, findings: &mut Findings) {
        // Another one's value is tried out at once, and looked up for each request.
        let value = match field.value.is_librarys() {
            true => field.value.template(),
            false => "x",
        };
        // What comes behind such a line of the same name has to stay behind it.
        let behind = self.by_request.iter().any(|(_, before)| before.is(&field.name));
        match on.apply(self.rules.clone(), field, value) {
            Ok(rules) if field.value.is_librarys() && !behind => self.rules = rules,
            Ok(_) => self.by_request.push((on, field.clone())),
            // It says what is done anyway.
            Err(RuleError::Owned(_)) if on == On::Request && is_harmless(field) => {}
            Err(why) => {
                let text = format!("{} {} is not carried out: {why}", on.directive(), field.name);
                findings.warning(&field.place, text);
            }
        }
    }

    /// The rules for a request.
    pub(crate) fn rules(&self, asked: &Asked<'_>) -> HeaderRules {
        let mut rules = self.rules.clone();
        for (on, field) in &self.by_request {
            // A dollar sign that a client has sent is none of a variable.
            let value = field.value.value(asked).replace('$', "$$");
            // With bytes that no field may hold it is empty: what the client has sent does not take its place.
            let applied = on.apply(rules.clone(), field, &value);
            if let Ok(with) = applied.or_else(|_| on.apply(rules.clone(), field, "")) {
                rules = with;
            }
        }
        for prefix in &self.redirects_by_request {
            // With bytes that no field may hold it is the start of no address.
            if let Ok(with) = prefix.added_to(rules.clone(), Some(asked)) {
                rules = with;
            }
        }
        rules
    }

    /// Whether nginx would ask the upstream for the upgrade that this request asks for.
    pub(crate) fn carry_upgrade(&self, asked: &Asked<'_>) -> bool {
        self.http_1_1
            && !self.upgrade.value(asked).trim().is_empty()
            && has_token(&self.connection.value(asked), "upgrade")
    }
}

impl On {
    fn apply(self, rules: HeaderRules, field: &Field, value: &str) -> Result<HeaderRules, RuleError> {
        let statuses = if field.always {
            Statuses::Always
        } else {
            Statuses::Usual
        };
        match self {
            On::Request => rules.set_on_request(&field.name, value),
            On::RequestToo => rules.add_on_request(&field.name, value),
            On::Host => value.parse().map(|host| rules.host(host)),
            On::Response => rules.add_on_response(&field.name, value, statuses),
        }
    }

    fn directive(self) -> &'static str {
        match self {
            On::Response => "add_header",
            _ => "proxy_set_header",
        }
    }
}

/// A field of the proxy's own that goes from hop to hop, set to nothing: so it is anyway.
fn is_harmless(field: &Field) -> bool {
    let of_a_hop = ["Keep-Alive", "Transfer-Encoding", "Proxy-Connection", "Expect"];
    field.value.constant() == Some("") && of_a_hop.iter().any(|name| field.is(name))
}

/// Whether a list holds a token, in any case.
pub(crate) fn has_token(list: &str, token: &str) -> bool {
    list.split(',')
        .any(|element| element.trim().eq_ignore_ascii_case(token))
}
