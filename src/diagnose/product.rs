//! The products on the way, by what the answer says of them. A hint and no proof: any hop may write these fields.

use std::fmt;

use http::header::{HeaderMap, HeaderName, SERVER, VIA};

/// A product that stands between clients and origins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Product {
    /// nginx, and what is made of it: OpenResty, Tengine, the ingress controller of Kubernetes.
    Nginx,
    /// Apache's httpd.
    Apache,
    /// HAProxy. It names itself in error pages only.
    Haproxy,
    /// Envoy, also in Istio.
    Envoy,
    /// Caddy.
    Caddy,
    /// Traefik. It never names itself.
    Traefik,
    /// An Application Load Balancer of AWS.
    AwsLoadBalancer,
    /// Cloudflare.
    Cloudflare,
    /// CloudFront of AWS.
    CloudFront,
    /// The load balancers of Google.
    GoogleLoadBalancer,
    /// Heroku's router.
    Heroku,
    /// The gateways and front doors of Azure.
    Azure,
    /// Varnish, also at Fastly.
    Varnish,
    /// A filter of a network: Squid, Zscaler, Fortinet, Blue Coat and others.
    Filter,
}

impl Product {
    /// Those for which some lines of configuration are known.
    pub(super) const CONFIGURED: &'static [Product] = &[
        Product::Nginx,
        Product::Apache,
        Product::Haproxy,
        Product::Envoy,
        Product::Caddy,
        Product::Traefik,
        Product::AwsLoadBalancer,
        Product::Cloudflare,
    ];
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Product::Nginx => "nginx",
            Product::Apache => "Apache",
            Product::Haproxy => "HAProxy",
            Product::Envoy => "Envoy",
            Product::Caddy => "Caddy",
            Product::Traefik => "Traefik",
            Product::AwsLoadBalancer => "AWS ALB",
            Product::Cloudflare => "Cloudflare",
            Product::CloudFront => "CloudFront",
            Product::GoogleLoadBalancer => "Google",
            Product::Heroku => "Heroku",
            Product::Azure => "Azure",
            Product::Varnish => "Varnish",
            Product::Filter => "a filter",
        })
    }
}

/// What stands in `Server` or `Via`, in lower case, and whom it means.
const NAMED: &[(&str, Product)] = &[
    ("nginx", Product::Nginx),
    ("openresty", Product::Nginx),
    ("tengine", Product::Nginx),
    ("apache", Product::Apache),
    ("haproxy", Product::Haproxy),
    ("envoy", Product::Envoy),
    ("caddy", Product::Caddy),
    ("traefik", Product::Traefik),
    ("awselb", Product::AwsLoadBalancer),
    ("cloudflare", Product::Cloudflare),
    ("cloudfront", Product::CloudFront),
    ("google", Product::GoogleLoadBalancer),
    ("heroku", Product::Heroku),
    ("vegur", Product::Heroku),
    ("azure", Product::Azure),
    ("varnish", Product::Varnish),
    ("squid", Product::Filter),
    ("zscaler", Product::Filter),
    ("fortinet", Product::Filter),
    ("fortigate", Product::Filter),
    ("bluecoat", Product::Filter),
    ("blue coat", Product::Filter),
    ("mcafee web gateway", Product::Filter),
];

/// Fields that one product alone adds.
const FIELDS: &[(&str, Product)] = &[
    ("cf-ray", Product::Cloudflare),
    ("x-amz-cf-id", Product::CloudFront),
    ("x-envoy-upstream-service-time", Product::Envoy),
    ("x-azure-ref", Product::Azure),
    ("x-squid-error", Product::Filter),
];

/// What the error page of a product holds, in lower case.
const PAGES: &[(&str, Product)] = &[
    ("<center>nginx", Product::Nginx),
    ("<center>openresty", Product::Nginx),
    ("<center>tengine", Product::Nginx),
    ("<address>apache", Product::Apache),
    (
        "\nno server is available to handle this request.\n",
        Product::Haproxy,
    ),
    ("\nthe server didn't respond in time.\n", Product::Haproxy),
    ("\nyour browser sent an invalid request.\n", Product::Haproxy),
    (
        "\nyou need a valid user and password to access this content.\n",
        Product::Haproxy,
    ),
    ("\nrequest forbidden by administrative rules.\n", Product::Haproxy),
    (
        "\nthe server returned an invalid or incomplete response.\n",
        Product::Haproxy,
    ),
    (
        "upstream connect error or disconnect/reset before headers",
        Product::Envoy,
    ),
    ("no healthy upstream", Product::Envoy),
    ("cloudflare ray id", Product::Cloudflare),
    ("heroku-error", Product::Heroku),
    ("fortiguard", Product::Filter),
    ("zscaler", Product::Filter),
];

/// Frameworks name themselves here: then the request has come as far as the application.
const X_POWERED_BY: HeaderName = HeaderName::from_static("x-powered-by");

/// Who was seen, in words and as products, the nearest first.
pub(super) fn seen(headers: &HeaderMap, body: &str) -> (Option<String>, Vec<Product>) {
    let (mut words, mut products) = (Vec::new(), Vec::new());
    let mut add = |product: Option<Product>, word: String| {
        if let Some(product) = product.filter(|product| !products.contains(product)) {
            products.push(product);
        }
        if !words.contains(&word) {
            words.push(word);
        }
    };
    for (name, title) in [(SERVER, "Server"), (VIA, "Via"), (X_POWERED_BY, "X-Powered-By")] {
        for value in headers.get_all(&name) {
            let value = String::from_utf8_lossy(value.as_bytes());
            let lower = value.to_ascii_lowercase();
            let known = NAMED.iter().find(|(needle, _)| lower.contains(needle));
            add(known.map(|(_, product)| *product), format!("{value} ({title})"));
        }
    }
    for (name, product) in FIELDS {
        if headers.contains_key(*name) {
            add(Some(*product), format!("{product} ({name})"));
        }
    }
    if let Some(product) = page(body) {
        add(Some(product), format!("{product} (the page)"));
    }
    (words_of(words), products)
}

/// Whose error page it is.
pub(super) fn page(body: &str) -> Option<Product> {
    let lower = body.to_ascii_lowercase();
    let found = PAGES.iter().find(|(needle, _)| lower.contains(needle));
    found.map(|(_, product)| *product)
}

fn words_of(words: Vec<String>) -> Option<String> {
    (!words.is_empty()).then(|| words.join(", "))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn fields_and_who_has_written_them() {
        type Fields = &'static [(&'static str, &'static str)];
        let cases: &[(Fields, &str, &str, &[Product])] = &[
            (&[], "", "", &[]),
            (
                &[("server", "nginx/1.22.1")],
                "",
                "nginx/1.22.1 (Server)",
                &[Product::Nginx],
            ),
            (
                &[("server", "cloudflare"), ("cf-ray", "8-FRA")],
                "",
                "cloudflare (Server), Cloudflare (cf-ray)",
                &[Product::Cloudflare],
            ),
            (
                &[("server", "istio-envoy"), ("via", "1.1 varnish")],
                "",
                "istio-envoy (Server), 1.1 varnish (Via)",
                &[Product::Envoy, Product::Varnish],
            ),
            (&[("x-powered-by", "Express")], "", "Express (X-Powered-By)", &[]),
            (
                &[],
                "<html><center>nginx/1.22.1</center>",
                "nginx (the page)",
                &[Product::Nginx],
            ),
        ];
        for (fields, body, words, products) in cases {
            let fields = fields
                .iter()
                .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
            let (seen, found) = seen(&fields.collect(), body);
            assert_eq!(seen.unwrap_or_default(), *words);
            assert_eq!(found, *products, "{words}");
        }
    }
}
