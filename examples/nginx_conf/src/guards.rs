//! Limits and guards of a location: `limit_req`, `limit_conn`, `allow`, `deny`, `auth_basic`, `auth_request`, `satisfy`.

use std::future::Future;
use std::sync::Arc;

use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

use super::access;
use super::connection::report;
use super::limiting::{LimitReq, Verdict};
use super::location::Location;
use super::password;
use super::phases::Stop;
use super::request::Request;
use super::variables::credentials;

/// What a guard says: nothing, that it lets in, or what it answers.
pub(crate) type Judged = Result<Option<()>, Stop>;

impl Request {
    /// `limit_req` and `limit_conn`, once for a request.
    pub(crate) async fn limits(&self, location: &Location) -> Result<(), Stop> {
        let handling = &location.handling;
        let is_on = |said: &Option<super::scope::At<bool>>| said.as_ref().is_some_and(|on| on.value);
        let status = |said: &Option<super::scope::At<u16>>| {
            let status = said
                .as_ref()
                .and_then(|said| StatusCode::from_u16(said.value).ok());
            status.unwrap_or(StatusCode::SERVICE_UNAVAILABLE)
        };
        if self.state.lock().limit_req.is_none() && !handling.limit_reqs.is_empty() {
            let is_dry = is_on(&handling.limit_req_dry_run);
            let mut wait = std::time::Duration::ZERO;
            let (mut outcome, mut zone) = ("PASSED", "");
            let keyed = |limit: &LimitReq| self.with(|asked| limit.key().value(asked));
            let limits = handling.limit_reqs.iter().map(|limit| (limit, keyed(limit)));
            let limits: Vec<_> = limits.collect();
            match limits.iter().find(|(limit, key)| limit.rejects(key)) {
                Some((limit, _)) => (outcome, zone) = ("REJECTED", limit.zone()),
                None => {
                    for (limit, key) in &limits {
                        match limit.judge(key) {
                            Verdict::Passes => {}
                            Verdict::Waits(time) => (wait, zone) = (wait.max(time), limit.zone()),
                            // By one that came in between.
                            Verdict::Rejected => (outcome, zone) = ("REJECTED", limit.zone()),
                        }
                    }
                }
            }
            if outcome == "PASSED" && !wait.is_zero() {
                outcome = "DELAYED";
            }
            let shown = match (outcome, is_dry) {
                ("REJECTED", true) => "REJECTED_DRY_RUN",
                ("DELAYED", true) => "DELAYED_DRY_RUN",
                (outcome, _) => outcome,
            };
            self.state.lock().limit_req = Some(shown);
            // In nginx's words, which others look for. Delays are of interest where nobody is delayed yet.
            match (outcome, is_dry) {
                ("REJECTED", false) => report(self.hop(), format!("limiting requests by zone {zone:?}")),
                ("REJECTED", true) => report(
                    self.hop(),
                    format!("limiting requests, dry run, by zone {zone:?}"),
                ),
                ("DELAYED", true) => {
                    report(self.hop(), format!("delaying request, dry run, by zone {zone:?}"))
                }
                _ => {}
            }
            match outcome {
                "REJECTED" if !is_dry => return Err(status(&handling.limit_req_status).into()),
                "DELAYED" if !is_dry => self.waits_for(tokio::time::sleep(wait)).await,
                _ => {}
            }
        }
        if self.state.lock().limit_conn.is_some() || handling.limit_conns.is_empty() {
            return Ok(());
        }
        let is_dry = is_on(&handling.limit_conn_dry_run);
        self.state.lock().limit_conn = Some("PASSED");
        for limit in &handling.limit_conns {
            let key = self.with(|asked| limit.key().value(asked));
            match limit.take(&key) {
                Ok(Some(place)) => self.takes(place),
                Ok(None) => {}
                Err(()) => {
                    let shown = if is_dry { "REJECTED_DRY_RUN" } else { "REJECTED" };
                    self.state.lock().limit_conn = Some(shown);
                    let dry = if is_dry { ", dry run," } else { "" };
                    let zone = limit.zone();
                    report(self.hop(), format!("limiting connections{dry} by zone {zone:?}"));
                    if is_dry {
                        break;
                    }
                    drop(self.places());
                    return Err(status(&handling.limit_conn_status).into());
                }
            }
        }
        Ok(())
    }

    /// What a request waits for, which is of no interest if its client leaves.
    pub(crate) async fn waits_for<T>(&self, waited: impl Future<Output = T>) -> T {
        self.state.lock().waits = true;
        let came = waited.await;
        self.state.lock().waits = false;
        came
    }

    /// All guards, or with `satisfy any` one of them.
    pub(crate) async fn access(&self, location: &Arc<Location>) -> Result<(), Stop> {
        let handling = &location.handling;
        let is_any = handling.satisfies_any.as_ref().is_some_and(|any| any.value);
        let mut refusal: Option<Stop> = None;
        for guard in [Guard::Address, Guard::Password, Guard::Request] {
            let judged = match guard {
                Guard::Address => self.by_address(location),
                Guard::Password => self.by_password(location),
                Guard::Request => self.by_request(location).await,
            };
            self.explain_guard(guard, &judged);
            match judged {
                Ok(Some(())) if is_any => return Ok(()),
                Ok(_) => {}
                Err(stop) if is_any && is_refusal(&stop) => {
                    let is_401 = |stop: &Stop| matches!(stop, Stop::Status(StatusCode::UNAUTHORIZED, _));
                    // A client that may still show credentials is asked for them.
                    if refusal.as_ref().is_none_or(|before| !is_401(before)) {
                        refusal = Some(stop);
                    }
                }
                Err(Stop::Status(status, mut fields)) => {
                    // How a guard before it asks for a password stands in this answer too.
                    if let Some(Stop::Status(_, asking)) = refusal {
                        fields.extend(asking);
                    }
                    return Err(Stop::Status(status, fields));
                }
                Err(stop) => return Err(stop),
            }
        }
        refusal.map_or(Ok(()), Err)
    }

    fn explain_guard(&self, guard: Guard, judged: &Judged) {
        if matches!((guard, judged), (_, Ok(None)) | (Guard::Request, Ok(_))) {
            return;
        }
        let client = self.hop().client().map(|client| client.to_string());
        let client = client.unwrap_or_else(|| "the client".to_owned());
        self.explain(|| {
            let whom = match guard {
                Guard::Address => "allow and deny",
                Guard::Password => "auth_basic",
                Guard::Request => "auth_request",
            };
            match judged {
                Ok(_) => format!("{whom}: {client} is let in"),
                Err(Stop::Status(status, _)) => format!("{whom}: {client} is kept out ({status})"),
                Err(_) => format!("{whom}: {client} is kept out"),
            }
        });
    }

    fn by_address(&self, location: &Location) -> Judged {
        match access::judge(&location.handling.rules, &self.hop()) {
            None => Ok(None),
            Some(true) => Ok(Some(())),
            Some(false) => Err(StatusCode::FORBIDDEN.into()),
        }
    }

    fn by_password(&self, location: &Location) -> Judged {
        let realm = location
            .handling
            .realm
            .as_ref()
            .and_then(|realm| realm.value.as_ref());
        let Some(realm) = realm.map(|realm| self.with(|asked| realm.value(asked))) else {
            return Ok(None);
        };
        // By a variable it may be off for some requests.
        if realm == "off" {
            return Ok(None);
        }
        let Some(file) = &location.handling.user_file else {
            return Err(StatusCode::FORBIDDEN.into());
        };
        let folder = &self.worker.configuration.folder;
        let path = folder.join(self.with(|asked| file.value.value(asked)));
        let refused = || {
            let mut fields = HeaderMap::new();
            if let Ok(value) = HeaderValue::try_from(format!("Basic realm=\"{realm}\"")) {
                fields.insert(WWW_AUTHENTICATE, value);
            }
            Stop::Status(StatusCode::UNAUTHORIZED, fields)
        };
        let Some((name, password)) = credentials(&self.head.headers) else {
            return Err(refused());
        };
        match password::lets_in(&path, &name, &password) {
            Ok(true) => Ok(Some(())),
            Ok(false) => Err(refused()),
            Err(why) => {
                report(
                    self.hop(),
                    format!("auth_basic_user_file {}: {why}", path.display()),
                );
                let status = match why.kind() {
                    std::io::ErrorKind::NotFound => StatusCode::FORBIDDEN,
                    _ => StatusCode::INTERNAL_SERVER_ERROR,
                };
                Err(status.into())
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Guard {
    Address,
    Password,
    Request,
}

fn is_refusal(stop: &Stop) -> bool {
    matches!(
        stop,
        Stop::Status(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, _)
    )
}
