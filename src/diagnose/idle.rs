//! The products that end an idle connection after so many seconds, by default.

use std::time::Duration;

/// Seconds, and the products that have them as a default or in the configuration that everyone copies.
const DEFAULTS: &[(u64, &str)] = &[
    (30, "Google's load balancers (backend service timeout 30 s)"),
    (
        50,
        "HAProxy without `timeout tunnel` (timeout client and server 50 s in the configuration that is shipped)",
    ),
    (55, "Heroku's router (55 s)"),
    (60, "nginx (proxy_read_timeout 60s)"),
    (60, "an AWS Application Load Balancer (idle_timeout 60 s)"),
    (60, "Apache (ProxyTimeout, as Timeout 60)"),
    (100, "Cloudflare (100 s)"),
    (240, "Azure's load balancer (4 min)"),
    (300, "Envoy (stream_idle_timeout 5 min)"),
    (350, "an AWS Network Load Balancer (350 s)"),
    (600, "an AWS API Gateway (10 min)"),
    (600, "Google's firewall (10 min)"),
    (3600, "HAProxy (timeout tunnel 1h, as its documentation proposes)"),
];

/// Who ends a connection after this silence. A timer that is swept now and then is late, and a silence that was measured
/// from the last byte on this side may be a little short.
pub(super) fn candidates(silence: Duration) -> Vec<&'static str> {
    let silence = silence.as_secs_f64();
    let near = |seconds: u64| {
        let seconds = seconds as f64;
        (seconds - 1.5..=seconds + 2.0 + seconds / 50.0).contains(&silence)
    };
    let found = DEFAULTS.iter().filter(|(seconds, _)| near(*seconds));
    found.map(|(_, who)| *who).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_of_silence_and_whose_default_they_are() {
        let cases: &[(f64, &[&str])] = &[
            (1.0, &[]),
            (30.1, &["Google"]),
            (50.0, &["HAProxy"]),
            (55.2, &["Heroku"]),
            (60.0, &["nginx", "AWS Application", "Apache"]),
            (62.5, &["nginx", "AWS Application", "Apache"]),
            (75.0, &[]),
            (100.4, &["Cloudflare"]),
            (300.0, &["Envoy"]),
            (350.0, &["AWS Network"]),
            (3601.0, &["HAProxy"]),
        ];
        for (seconds, expected) in cases {
            let found = candidates(Duration::from_secs_f64(*seconds));
            assert_eq!(found.len(), expected.len(), "{seconds}: {found:?}");
            for name in *expected {
                assert!(found.iter().any(|who| who.contains(name)), "{seconds}: {found:?}");
            }
        }
    }
}
