//! What is said in `http`, in `server` and in `location`, and what an inner level has of an outer one: a single value unless
//! it has its own, a list only if it has no line of the same kind.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::access_log::Log;
use super::client_certificates::Verify;
use super::expires::Expires;
use super::findings::{Findings, Place};
use super::handling::Handling;
use super::limiting::Zones;
use super::measures;
use super::media_types;
use super::names::Names;
use super::next_upstream::Occasions;
use super::real_ip::{Source, Trusted};
use super::redirects::Redirection;
use super::server::named;
use super::text::Text;
use super::tls_versions::{self, Versions};
use super::tree::Directive;

/// A value, and where it is said.
#[derive(Clone, Debug)]
pub(crate) struct At<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
}

/// A field with its value.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) value: Text,
    /// `add_header … always`.
    pub(crate) always: bool,
    pub(crate) place: Place,
}

impl Field {
    pub(crate) fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// All that is said on one level, and inherited by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// `server_name` of the server.
    pub(crate) server_names: Vec<String>,
    pub(crate) handling: Handling,
    /// `proxy_set_header`.
    pub(crate) set: Vec<Field>,
    /// Those of the outer level that are not inherited, because this level has some of its own.
    pub(crate) not_inherited: Vec<Field>,
    /// `add_header`.
    pub(crate) added: Vec<Field>,
    /// `proxy_hide_header`.
    pub(crate) hidden: Vec<At<String>>,
    /// `proxy_pass_header`.
    pub(crate) passed: Vec<At<String>>,
    /// `proxy_redirect`.
    pub(crate) redirections: Vec<Redirection>,
    /// `set_real_ip_from`.
    pub(crate) trusted: Vec<Trusted>,
    pub(crate) real_ip_source: Option<At<Source>>,
    pub(crate) real_ip_recursive: Option<At<bool>>,
    pub(crate) logs: Vec<Log>,
    pub(crate) http_1_1: Option<At<bool>>,
    pub(crate) connect_timeout: Option<At<Duration>>,
    pub(crate) upstream_send_timeout: Option<At<Duration>>,
    pub(crate) upstream_read_timeout: Option<At<Duration>>,
    pub(crate) next_upstream: Option<At<Occasions>>,
    pub(crate) next_upstream_tries: Option<At<usize>>,
    pub(crate) next_upstream_timeout: Option<At<Duration>>,
    /// `proxy_ignore_client_abort`.
    pub(crate) ignores_abort: Option<At<bool>>,
    pub(crate) response_head: Option<At<u64>>,
    pub(crate) response_buffers: Option<Place>,
    pub(crate) underscores: Option<At<bool>>,
    /// `ignore_invalid_headers`.
    pub(crate) ignores_invalid: Option<At<bool>>,
    /// How many buffers, and how large each of them.
    pub(crate) request_heads: Option<At<(u64, u64)>>,
    pub(crate) first_request_head: Option<At<u64>>,
    pub(crate) header_timeout: Option<At<Duration>>,
    pub(crate) body_timeout: Option<At<Duration>>,
    pub(crate) largest_body: Option<At<u64>>,
    pub(crate) keep_alive: Option<At<Duration>>,
    pub(crate) send_timeout: Option<At<Duration>>,
    pub(crate) default_type: Option<At<String>>,
    /// `types`, by endings.
    pub(crate) types: Option<Arc<HashMap<String, String>>>,
    pub(crate) expires: Option<At<Expires>>,
    /// None is `off`.
    pub(crate) charset: Option<At<Option<Text>>>,
    pub(crate) charset_types: Option<At<Vec<String>>>,
    pub(crate) absolute_redirect: Option<At<bool>>,
    pub(crate) port_in_redirect: Option<At<bool>>,
    pub(crate) name_in_redirect: Option<At<bool>>,
    /// `ssl on`.
    pub(crate) is_tls: Option<At<bool>>,
    pub(crate) rejects_handshakes: Option<At<bool>>,
    /// `ssl_protocols`.
    pub(crate) protocols: Option<At<Versions>>,
    /// `ssl_certificate` and `ssl_certificate_key`, which may be there for each kind of key.
    pub(crate) certificates: Vec<At<String>>,
    pub(crate) certificate_keys: Vec<At<String>>,
    pub(crate) verify_client: Option<At<Verify>>,
    /// `ssl_client_certificate`.
    pub(crate) client_roots: Option<At<String>>,
    /// `ssl_trusted_certificate`.
    pub(crate) trusted_roots: Option<At<String>>,
    /// `ssl_crl`.
    pub(crate) revoked: Option<At<String>>,
    pub(crate) verify_depth: Option<At<usize>>,
    pub(crate) is_http2: Option<At<bool>>,
    pub(crate) upstream_verified: Option<At<bool>>,
    /// `proxy_ssl_verify_depth`.
    pub(crate) upstream_depth: Option<At<usize>>,
    pub(crate) upstream_name: Option<At<String>>,
    pub(crate) upstream_roots: Option<At<String>>,
    pub(crate) upstream_certificate: Option<At<String>>,
    pub(crate) upstream_certificate_key: Option<At<String>>,
}

/// What lines are read with.
pub(crate) struct Reading<'a> {
    /// The names of the variables that maps define.
    pub(crate) names: &'a Names,
    pub(crate) zones: &'a Zones,
    pub(crate) formats: &'a super::access_log::Formats,
    pub(crate) findings: &'a mut Findings,
}

impl Scope {
    /// The level of these directives, within this one.
    pub(crate) fn within(&self, directives: &[&Directive], reading: &mut Reading<'_>) -> Scope {
        let mut scope = Scope {
            not_inherited: Vec::new(),
            ..self.clone()
        };
        scope.handling.rules_are_own = false;
        let names = directives.iter().filter(|line| line.name == "server_name");
        scope
            .server_names
            .extend(names.flat_map(|line| line.arguments.iter().map(|name| named(name).to_owned())));
        let mut said = HashSet::new();
        for directive in directives {
            let is_first = said.insert(directive.name.as_str());
            let handled = scope.handling.list(directive, is_first, reading);
            match handled.or_else(|| scope.list(directive, is_first, reading)) {
                Some(Ok(())) => continue,
                Some(Err(why)) => {
                    reading.findings.error(&directive.place, why);
                    continue;
                }
                None => {}
            }
            let handled = scope.handling.single(directive, reading);
            match handled.or_else(|| scope.single(directive, reading)) {
                Some(Ok(())) if !is_first => {
                    let text = format!("{} is there already", directive.name);
                    reading.findings.error(&directive.place, text);
                }
                Some(Err(why)) => reading
                    .findings
                    .error(&directive.place, format!("{}: {why}", directive.name)),
                Some(Ok(())) | None => {}
            }
        }
        scope
    }

    /// A line of a list. None if it is of none.
    fn list(
        &mut self,
        directive: &Directive,
        is_first: bool,
        reading: &mut Reading<'_>,
    ) -> Option<Result<(), String>> {
        let place = &directive.place;
        let mut field = |always| {
            let [name, value, ..] = &directive.arguments[..] else {
                return Err(format!("{} takes a name and a value", directive.name));
            };
            Ok(Field {
                name: name.clone(),
                value: Text::parse_shown(
                    value.trim_end_matches(['\n', '\r']),
                    reading.names,
                    place,
                    reading.findings,
                ),
                always,
                place: place.clone(),
            })
        };
        Some(match &*directive.name {
            "proxy_set_header" => {
                if is_first {
                    self.not_inherited = std::mem::take(&mut self.set);
                }
                field(false).map(|field| self.set.push(field))
            }
            "add_header" => {
                if is_first {
                    self.added.clear();
                }
                field(directive.argument(2) == "always").map(|field| self.added.push(field))
            }
            "proxy_hide_header" | "proxy_pass_header" => {
                let list = match &*directive.name {
                    "proxy_hide_header" => &mut self.hidden,
                    _ => &mut self.passed,
                };
                if is_first {
                    list.clear();
                }
                list.push(At {
                    value: directive.first().to_owned(),
                    place: place.clone(),
                });
                Ok(())
            }
            "proxy_redirect" => {
                if is_first {
                    self.redirections.clear();
                }
                let read = Redirection::read(directive, reading.names, reading.findings);
                read.map(|redirection| self.redirections.push(redirection))
            }
            "ssl_certificate" | "ssl_certificate_key" => {
                let list = match &*directive.name {
                    "ssl_certificate" => &mut self.certificates,
                    _ => &mut self.certificate_keys,
                };
                if is_first {
                    list.clear();
                }
                list.push(At {
                    value: directive.first().to_owned(),
                    place: place.clone(),
                });
                Ok(())
            }
            // Sets of words, which several lines fill, as in nginx: certbot adds a line of its own to one that is there.
            "ssl_protocols" => {
                let known = self.protocols.take().filter(|_| !is_first);
                let read = tls_versions::read(&directive.arguments).map(|mut versions| {
                    versions.extend(known.into_iter().flat_map(|known| known.value));
                    versions
                });
                set(&mut self.protocols, read, place)
            }
            "proxy_next_upstream" => {
                let known = self.next_upstream.take().filter(|_| !is_first);
                let read = Occasions::read(directive, reading.findings);
                let read = read.map(|occasions| match known {
                    Some(known) => occasions.or(&known.value),
                    None => occasions,
                });
                set(&mut self.next_upstream, read, place)
            }
            "types" => {
                media_types::read(directive, &mut self.types, is_first);
                Ok(())
            }
            "set_real_ip_from" => {
                if is_first {
                    self.trusted.clear();
                }
                Trusted::read(directive, reading.findings).map(|trusted| self.trusted.push(trusted))
            }
            "access_log" => {
                if is_first {
                    self.logs.clear();
                }
                Log::read(directive, reading).map(|log| self.logs.extend(log))
            }
            _ => return None,
        })
    }

    /// A single value. None if it is of no interest here.
    fn single(&mut self, directive: &Directive, reading: &mut Reading<'_>) -> Option<Result<(), String>> {
        let (first, place) = (directive.first(), &directive.place);
        Some(match &*directive.name {
            "expires" => {
                let expires = Expires::read(directive, reading.names, reading.findings);
                set(&mut self.expires, expires, place)
            }
            "charset" => {
                let name = Text::parse(first, reading.names, place, reading.findings);
                let name = Some(name).filter(|name| name.constant() != Some("off"));
                set(&mut self.charset, Ok(name), place)
            }
            "proxy_http_version" => match first {
                "1.0" | "1.1" => set(&mut self.http_1_1, Ok(first == "1.1"), place),
                other => Err(format!("{other:?} is neither 1.0 nor 1.1")),
            },
            "proxy_connect_timeout" => set(&mut self.connect_timeout, measures::time(first), place),
            "proxy_send_timeout" => set(&mut self.upstream_send_timeout, measures::time(first), place),
            "proxy_read_timeout" => set(&mut self.upstream_read_timeout, measures::time(first), place),
            "real_ip_header" => set(&mut self.real_ip_source, Source::read(first), place),
            "real_ip_recursive" => set(&mut self.real_ip_recursive, measures::switch(first), place),
            "proxy_next_upstream_tries" => set(&mut self.next_upstream_tries, measures::number(first), place),
            "proxy_next_upstream_timeout" => {
                set(&mut self.next_upstream_timeout, measures::time(first), place)
            }
            "proxy_ignore_client_abort" => set(&mut self.ignores_abort, measures::switch(first), place),
            "proxy_buffer_size" => set(&mut self.response_head, measures::size(first), place),
            "proxy_buffers" => {
                self.response_buffers = Some(place.clone());
                buffers(directive).map(drop)
            }
            "ignore_invalid_headers" => set(&mut self.ignores_invalid, measures::switch(first), place),
            "underscores_in_headers" => set(&mut self.underscores, measures::switch(first), place),
            "large_client_header_buffers" => set(&mut self.request_heads, buffers(directive), place),
            "client_header_buffer_size" => set(&mut self.first_request_head, measures::size(first), place),
            "client_header_timeout" => set(&mut self.header_timeout, measures::time(first), place),
            "client_body_timeout" => set(&mut self.body_timeout, measures::time(first), place),
            "client_max_body_size" => set(&mut self.largest_body, measures::size(first), place),
            "keepalive_timeout" => set(&mut self.keep_alive, measures::time(first), place),
            "send_timeout" => set(&mut self.send_timeout, measures::time(first), place),
            "default_type" => set(&mut self.default_type, Ok(first.to_owned()), place),
            "charset_types" => set(&mut self.charset_types, Ok(directive.arguments.clone()), place),
            "absolute_redirect" => set(&mut self.absolute_redirect, measures::switch(first), place),
            "port_in_redirect" => set(&mut self.port_in_redirect, measures::switch(first), place),
            "server_name_in_redirect" => set(&mut self.name_in_redirect, measures::switch(first), place),
            "ssl" => set(&mut self.is_tls, measures::switch(first), place),
            "ssl_reject_handshake" => set(&mut self.rejects_handshakes, measures::switch(first), place),
            "ssl_verify_client" => set(&mut self.verify_client, Verify::read(first), place),
            "ssl_client_certificate" => set(&mut self.client_roots, Ok(first.to_owned()), place),
            "ssl_trusted_certificate" => set(&mut self.trusted_roots, Ok(first.to_owned()), place),
            "ssl_crl" => set(&mut self.revoked, Ok(first.to_owned()), place),
            "ssl_verify_depth" => set(&mut self.verify_depth, measures::number(first), place),
            "http2" => set(&mut self.is_http2, measures::switch(first), place),
            "proxy_ssl_name" => set(&mut self.upstream_name, Ok(first.to_owned()), place),
            "proxy_ssl_trusted_certificate" => set(&mut self.upstream_roots, Ok(first.to_owned()), place),
            "proxy_ssl_certificate" => set(&mut self.upstream_certificate, Ok(first.to_owned()), place),
            "proxy_ssl_certificate_key" => {
                set(&mut self.upstream_certificate_key, Ok(first.to_owned()), place)
            }
            "proxy_ssl_verify_depth" => set(&mut self.upstream_depth, measures::number(first), place),
            "proxy_ssl_verify" => set(&mut self.upstream_verified, measures::switch(first), place),
            _ => return None,
        })
    }
}

pub(crate) fn set<T>(
    slot: &mut Option<At<T>>,
    value: Result<T, String>,
    place: &Place,
) -> Result<(), String> {
    *slot = Some(At {
        value: value?,
        place: place.clone(),
    });
    Ok(())
}

/// A number of buffers, and their size.
fn buffers(directive: &Directive) -> Result<(u64, u64), String> {
    let number = measures::number(directive.first())?;
    Ok((number as u64, measures::size(directive.argument(1))?))
}
