//! Where a redirection leads, by its `Location`.

use http::Uri;
use http::header::LOCATION;

use super::{Answer, Attempt, Diagnosis, Finding};

/// Parts of the paths of login pages and of single sign-on.
const LOGIN: &[&str] = &[
    "login", "logon", "signin", "sign-in", "sign_in", "/sso", "oauth", "openid", "saml", "/auth",
];

pub(super) fn judge(attempt: &Attempt, answer: &Answer) -> Finding {
    let status = answer.status().as_u16();
    let Some(location) = answer.headers().get(LOCATION) else {
        return Finding::certain(Diagnosis::Redirect).detail(format_args!("{status} without Location"));
    };
    let location = String::from_utf8_lossy(location.as_bytes());
    let target: Option<Uri> = location.parse().ok();
    let diagnosis = target.map_or(Diagnosis::Redirect, |target| {
        leads(&attempt.request().uri, &target)
    });
    Finding::certain(diagnosis).detail(format_args!("{status} to {location}"))
}

fn leads(from: &Uri, to: &Uri) -> Diagnosis {
    let was_plain = from
        .scheme_str()
        .is_none_or(|scheme| matches!(scheme, "http" | "ws"));
    let (before, after) = (from.path(), to.path());
    let lower = after.to_ascii_lowercase();
    // A path that was a login page already is no redirection to one.
    if before != after && LOGIN.iter().any(|part| lower.contains(part)) {
        return Diagnosis::RedirectToLogin;
    }
    if was_plain && matches!(to.scheme_str(), Some("https" | "wss")) {
        return Diagnosis::RedirectToTls;
    }
    if before != after && before.trim_end_matches('/') == after.trim_end_matches('/') {
        return Diagnosis::RedirectToSlash;
    }
    Diagnosis::Redirect
}
