//! What to write in the configuration of a product. Only what the product's own manual says.

use super::{Diagnosis, Product};

pub(super) fn of(diagnosis: Diagnosis, product: Product) -> Option<&'static str> {
    match diagnosis {
        Diagnosis::UpgradeLost
        | Diagnosis::UpgradeFieldLost
        | Diagnosis::ConnectionFieldLost
        | Diagnosis::Http10Hop => upgrade(product),
        Diagnosis::ResponseHeadTooLarge => response_head(product),
        Diagnosis::RequestHeadTooLarge => request_head(product),
        Diagnosis::IdleTimeout => idle(product),
        Diagnosis::GatewayTimeout | Diagnosis::NoAnswer => wait(product),
        Diagnosis::HostChanged | Diagnosis::HostRefused | Diagnosis::OriginRefused | Diagnosis::Forbidden => {
            host(product)
        }
        Diagnosis::SessionUnknown => affinity(product),
        Diagnosis::OriginUnreachable => (product == Product::Cloudflare)
            .then_some("SSL/TLS, Overview: Full where the origin speaks TLS, Flexible where it does not"),
        Diagnosis::RedirectToTls => redirect_to_tls(product),
        Diagnosis::RedirectToSlash => {
            (product == Product::Nginx).then_some("location /ws { … } in place of location /ws/ { … }")
        }
        Diagnosis::PlainToTlsPort => plain_to_tls(product),
        Diagnosis::AlpnWithoutHttp11 => alpn(product),
        _ => None,
    }
}

fn upgrade(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => {
            "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection \"upgrade\";"
        }
        Product::Apache => "ProxyPass \"/ws\" \"http://127.0.0.1:9000/ws\" upgrade=websocket",
        Product::Haproxy => {
            "mode http carries it by itself: look for `http-request del-header` or `set-header`"
        }
        Product::Envoy => "upgrade_configs: [{ upgrade_type: websocket }]",
        Product::Caddy => {
            "reverse_proxy carries it by itself: look for `header_up -Upgrade` or `header_up Connection`"
        }
        Product::Traefik => {
            "carries it by itself: look for a headers middleware that sets Upgrade or Connection"
        }
        Product::AwsLoadBalancer => "a target group with protocol version HTTP1, not HTTP2 or gRPC",
        Product::Cloudflare => "Network, WebSockets: on",
        _ => return None,
    })
}

fn response_head(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => {
            "proxy_buffer_size 64k; proxy_buffers 8 64k; (the second only because nginx wants it to fit the first)"
        }
        Product::Apache => "ProxyPass … responsefieldsize=65536",
        Product::Haproxy => "tune.bufsize 65536",
        _ => return None,
    })
}

fn request_head(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => "large_client_header_buffers 4 32k;",
        Product::Apache => "LimitRequestFieldSize 32768",
        Product::Haproxy => "tune.bufsize 65536",
        Product::Envoy => "max_request_headers_kb: 96",
        _ => return None,
    })
}

fn idle(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => "proxy_read_timeout 3600s;",
        Product::Apache => "ProxyPass … timeout=3600",
        Product::Haproxy => "timeout tunnel 1h",
        Product::Envoy => "stream_idle_timeout: 3600s",
        Product::AwsLoadBalancer => "idle_timeout.timeout_seconds = 3600",
        Product::Cloudflare => "cannot be changed: send a ping every 30 s",
        _ => return None,
    })
}

fn wait(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => "proxy_connect_timeout and proxy_read_timeout say how long it waits",
        Product::Haproxy => "timeout connect and timeout server say how long it waits",
        _ => return None,
    })
}

fn host(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => "proxy_set_header Host $http_host;",
        Product::Apache => "ProxyPreserveHost On",
        Product::Haproxy => "passes it by itself: look for `http-request set-header Host`",
        Product::Envoy => "no host_rewrite_literal in the route",
        Product::Caddy => "header_up Host {host}",
        Product::Traefik => "passHostHeader: true",
        _ => return None,
    })
}

fn affinity(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => "upstream … { ip_hash; } or { hash $arg_sid consistent; }",
        Product::Apache => "ProxySet stickysession=…, and route=… of each BalancerMember",
        Product::Haproxy => "cookie server insert, and server … cookie …",
        Product::Caddy => "lb_policy cookie",
        Product::Traefik => "sticky: { cookie: {} } in the service",
        Product::AwsLoadBalancer => "stickiness.enabled = true of the target group",
        _ => return None,
    })
}

fn redirect_to_tls(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => {
            "proxy_set_header X-Forwarded-Proto $scheme; where it is the application that redirects"
        }
        Product::Cloudflare => "SSL/TLS, Overview: Full instead of Flexible, where it redirects wss:// too",
        _ => return None,
    })
}

fn plain_to_tls(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Nginx => "proxy_pass https://…;",
        Product::Apache => "SSLProxyEngine On, and ProxyPass to https://…",
        Product::Haproxy => "server … ssl verify required ca-file …",
        Product::Caddy => "reverse_proxy https://…",
        _ => return None,
    })
}

fn alpn(product: Product) -> Option<&'static str> {
    Some(match product {
        Product::Haproxy => "bind :443 ssl crt … alpn h2,http/1.1",
        Product::Envoy => "alpn_protocols: [h2, http/1.1]",
        _ => return None,
    })
}
