//! What is said of requests beside where they go: who may come in, how often, which page takes the place of an answer, where
//! files are, and what of a request and an answer is changed on the way. Inherited as in `scope`.

use std::sync::Arc;
use std::time::Duration;

use http::Method;

use super::access::Rule;
use super::cookies::CookieRule;
use super::error_page::ErrorPage;
use super::files::Root;
use super::gzip::Gzip;
use super::limiting::{LimitConn, LimitReq};
use super::measures;
use super::preconditions::Since;
use super::referer::Referers;
use super::resolver::Resolver;
use super::rewrite::Target;
use super::scope::{At, Reading, set};
use super::text::Text;
use super::tree::Directive;

/// All that is said on one level, and inherited by it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handling {
    /// `internal`, of this location or of one around it.
    pub(crate) is_internal: bool,
    /// `allow` and `deny`.
    pub(crate) rules: Vec<Rule>,
    /// Of this level, and not of an outer one.
    pub(crate) rules_are_own: bool,
    /// `satisfy any`.
    pub(crate) satisfies_any: Option<At<bool>>,
    /// `auth_basic`: the realm; `off` is none.
    pub(crate) realm: Option<At<Option<Text>>>,
    pub(crate) user_file: Option<At<Text>>,
    /// `auth_request`: where it is asked; `off` is none.
    pub(crate) auth_request: Option<At<Option<Text>>>,
    /// `auth_request_set`.
    pub(crate) auth_set: Vec<(Target, Text)>,
    pub(crate) referers: Option<Referers>,
    pub(crate) limit_reqs: Vec<LimitReq>,
    pub(crate) limit_conns: Vec<LimitConn>,
    pub(crate) limit_req_status: Option<At<u16>>,
    pub(crate) limit_conn_status: Option<At<u16>>,
    pub(crate) limit_req_dry_run: Option<At<bool>>,
    pub(crate) limit_conn_dry_run: Option<At<bool>>,
    pub(crate) error_pages: Vec<ErrorPage>,
    pub(crate) recursive_error_pages: Option<At<bool>>,
    /// `proxy_intercept_errors`.
    pub(crate) intercepts: Option<At<bool>>,
    /// `root` and `alias`.
    pub(crate) root: Option<Root>,
    pub(crate) index: Vec<Text>,
    /// `etag`, of files.
    pub(crate) etag: Option<At<bool>>,
    /// `if_modified_since`.
    pub(crate) since: Option<At<Since>>,
    pub(crate) method: Option<At<Text>>,
    pub(crate) body: Option<At<Text>>,
    pub(crate) passes_fields: Option<At<bool>>,
    pub(crate) passes_body: Option<At<bool>>,
    pub(crate) cookie_rules: Vec<CookieRule>,
    /// `proxy_bind`; `off` is none.
    pub(crate) bind: Option<At<Option<Text>>>,
    /// `proxy_ignore_headers`.
    pub(crate) ignored: Vec<String>,
    pub(crate) resolver: Option<At<Arc<Resolver>>>,
    pub(crate) resolver_timeout: Option<At<Duration>>,
    pub(crate) merge_slashes: Option<At<bool>>,
    pub(crate) gzip: Gzip,
}

impl Handling {
    /// `proxy_pass_request_headers`.
    pub(crate) fn passes_fields(&self) -> bool {
        self.passes_fields.as_ref().is_none_or(|on| on.value)
    }

    /// A line of a list. None if it is of none.
    pub(crate) fn list(
        &mut self,
        line: &Directive,
        is_first: bool,
        reading: &mut Reading<'_>,
    ) -> Option<Result<(), String>> {
        let place = &line.place;
        /// The first line of a level puts an end to those of the outer one.
        fn add<T>(list: &mut Vec<T>, is_first: bool, value: Result<T, String>) -> Result<(), String> {
            if is_first {
                list.clear();
            }
            value.map(|value| list.push(value))
        }
        Some(match &*line.name {
            // They are one list.
            "allow" | "deny" => {
                let has_injected = self.rules_are_own;
                self.rules_are_own = true;
                add(&mut self.rules, !has_injected, Rule::read(line))
            }
            "auth_request_set" => {
                let target = Target::read(line.first(), reading.names);
                let value = Text::parse(line.argument(1), reading.names, place, reading.findings);
                add(&mut self.auth_set, is_first, target.map(|target| (target, value)))
            }
            "limit_req" => add(
                &mut self.limit_reqs,
                is_first,
                LimitReq::read(line, reading.zones),
            ),
            "limit_conn" => add(
                &mut self.limit_conns,
                is_first,
                LimitConn::read(line, reading.zones),
            ),
            "error_page" => {
                let page = ErrorPage::read(line, reading.names, reading.findings);
                add(&mut self.error_pages, is_first, page)
            }
            "index" => {
                if is_first {
                    self.index.clear();
                }
                let names = reading.names;
                let files = line.arguments.iter();
                let texts = files.map(|file| Text::parse(file, names, place, reading.findings));
                self.index.extend(texts);
                Ok(())
            }
            "proxy_cookie_path" | "proxy_cookie_domain" | "proxy_cookie_flags" => {
                if is_first {
                    self.cookie_rules.retain(|rule| !rule.is_of(&line.name));
                }
                CookieRule::read(line, reading.names, reading.findings)
                    .map(|rule| self.cookie_rules.extend(rule))
            }
            "proxy_ignore_headers" => {
                if is_first {
                    self.ignored.clear();
                }
                self.ignored.extend(line.arguments.iter().cloned());
                Ok(())
            }
            _ => return self.gzip.list(line, is_first),
        })
    }

    /// A single value. None if it is of no interest here.
    pub(crate) fn single(
        &mut self,
        line: &Directive,
        reading: &mut Reading<'_>,
    ) -> Option<Result<(), String>> {
        let (first, place) = (line.first(), &line.place);
        let mut text = |source: &str| Text::parse(source, reading.names, place, reading.findings);
        let or_off = |text: Text| Some(text).filter(|text| text.constant() != Some("off"));
        let status = || match first.parse() {
            Ok(status @ 400..=599) => Ok(status),
            _ => Err(format!("{first:?} is no status from 400 to 599")),
        };
        Some(match &*line.name {
            "satisfy" => match first {
                "any" | "all" => set(&mut self.satisfies_any, Ok(first == "any"), place),
                other => Err(format!("{other:?} is neither all nor any")),
            },
            "auth_basic" => set(&mut self.realm, Ok(or_off(text(first))), place),
            "auth_basic_user_file" => set(&mut self.user_file, Ok(text(first)), place),
            // A URI as it stands: nginx reads neither variables nor a query in it.
            "auth_request" => set(&mut self.auth_request, Ok(or_off(Text::literal(first))), place),
            "limit_req_status" => set(&mut self.limit_req_status, status(), place),
            "limit_conn_status" => set(&mut self.limit_conn_status, status(), place),
            "limit_req_dry_run" => set(&mut self.limit_req_dry_run, measures::switch(first), place),
            "limit_conn_dry_run" => set(&mut self.limit_conn_dry_run, measures::switch(first), place),
            "recursive_error_pages" => set(&mut self.recursive_error_pages, measures::switch(first), place),
            "proxy_intercept_errors" => set(&mut self.intercepts, measures::switch(first), place),
            "root" | "alias" => {
                let is_alias = line.name == "alias";
                let folder = text(first);
                self.root = Some(Root {
                    folder,
                    is_alias,
                    matched: None,
                });
                Ok(())
            }
            "etag" => set(&mut self.etag, measures::switch(first), place),
            "if_modified_since" => set(&mut self.since, Since::read(first), place),
            "internal" => {
                self.is_internal = true;
                Ok(())
            }
            "proxy_method" => set(&mut self.method, Ok(text(first)), place),
            "proxy_set_body" => set(&mut self.body, Ok(text(first)), place),
            "proxy_pass_request_headers" => set(&mut self.passes_fields, measures::switch(first), place),
            "proxy_pass_request_body" => set(&mut self.passes_body, measures::switch(first), place),
            "proxy_bind" => {
                if line.argument(1) == "transparent" {
                    return Some(Err("transparent is not carried out".to_owned()));
                }
                set(&mut self.bind, Ok(or_off(text(first))), place)
            }
            "resolver" => {
                let resolver = Resolver::read(line).map(Arc::new);
                set(
                    &mut self.resolver,
                    resolver.map_err(|why| format!("{}: {why}", line.shown())),
                    place,
                )
            }
            "resolver_timeout" => set(&mut self.resolver_timeout, measures::time(first), place),
            "merge_slashes" => set(&mut self.merge_slashes, measures::switch(first), place),
            _ => return self.gzip.single(line),
        })
    }

    /// The method that goes up in place of the client's.
    pub(crate) fn method_for(&self, asked: &super::text::Asked<'_>) -> Option<Method> {
        let text = self.method.as_ref()?.value.value(asked);
        Method::from_bytes(text.as_bytes()).ok()
    }
}
