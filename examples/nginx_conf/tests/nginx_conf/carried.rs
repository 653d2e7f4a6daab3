//! What is carried out, by nginx and by this program alike: the same configuration, the same requests, the same answers.
//!
//! An upstream is a server of the same configuration, on a Unix socket.

use crate::read_alike::both_answer;

const HOST: &str = "Host: x.example\r\n";

/// Two servers: that of the case, and an upstream that says what it was asked for.
fn http(around: &str, server: &str) -> String {
    format!(
        "{around}
         server {{ listen LISTEN; server_name x.example; set $origin http://unix:FOLDER/origin.sock; {server} }}
         server {{ listen unix:FOLDER/origin.sock; server_name origin;
             location / {{ return 200 '$request_method $request_uri $http_x_seen'; }}
             location /denied {{ return 403; }} location /asks {{ return 401; }} location /gone {{ return 410; }}
             location /fails {{ return 500; }} location /let-in {{ add_header X-User one; return 204; }}
             location /hop {{ add_header X-Accel-Redirect /inner/file; return 200; }}
             location /away {{ add_header Set-Cookie 'a=b; Path=/one/; Domain=origin.example'; return 302 http://origin/two/x; }} }}"
    )
}

fn alike(around: &str, server: &str, cases: &[(&str, &str)]) {
    let cases: Vec<(&str, &str, &str)> = cases
        .iter()
        .map(|(target, expected)| (*target, HOST, *expected))
        .collect();
    both_answer(&http(around, server), &cases);
}

#[test]
fn regular_expressions_in_locations() {
    alike(
        "",
        "location / { return 200 root; }
         location /app { return 200 app; }
         location ^~ /static { return 200 static; }
         location = /app/exact.php { return 200 exact; }
         location ~ \\.php$ { return 200 php; }
         location ~* ^/App/(?<rest>.*)$ { return 200 'app-$rest-$1'; }
         location ~ ^/not/(?!this)(.*) { return 200 not-$1; }
         location /nested { return 200 nested; location ~ /x(.)$ { return 200 'nested-$1'; } location /nested/deep { return 200 deep; } }",
        &[
            ("/", "200  \"root\""),
            ("/app", "200  \"app\""),
            ("/x.php", "200  \"php\""),
            ("/app/exact.php", "200  \"exact\""),
            ("/static/x.php", "200  \"static\""),
            ("/app/one", "200  \"app-one-one\""),
            ("/APP/one", "200  \"app-one-one\""),
            ("/app/one.php", "200  \"php\""),
            ("/not/that", "200  \"not-that\""),
            ("/not/this", "200  \"root\""),
            ("/nested/x1", "200  \"nested-1\""),
            ("/nested/deep/y", "200  \"deep\""),
            ("/nested/deep/x2", "200  \"nested-2\""),
            ("/x.php%0a", "200  \"php\""),
        ],
    );
}

#[test]
fn regular_expressions_in_server_names() {
    let servers = "server { listen LISTEN default_server; return 200 default; }
         server { listen LISTEN; server_name ~^(?<one>.+)\\.(?<two>[a-z]+)\\.example$; return 200 '$one/$two/$server_name'; }
         server { listen LISTEN; server_name exact.b.example *.c.example; return 200 named; }
         server { listen LISTEN; server_name .dot.example; return 200 $server_name; }";
    both_answer(
        servers,
        &[
            (
                "/",
                "Host: a.b.example\r\n",
                "200  \"a/b/~^(?<one>.+)\\\\.(?<two>[a-z]+)\\\\.example$\"",
            ),
            ("/", "Host: exact.b.example\r\n", "200  \"named\""),
            ("/", "Host: a.c.example\r\n", "200  \"named\""),
            ("/", "Host: example\r\n", "200  \"default\""),
            ("/", "Host: x.dot.example\r\n", "200  \"dot.example\""),
        ],
    );
}

#[test]
fn rewrites() {
    alike(
        "",
        "rewrite ^/server/(.*)$ /app/$1;
         location /app/ { return 200 'app $uri?$args'; }
         location /last { rewrite ^/last/(.*)$ /app/$1?a=1 last; return 500; }
         location /plain { rewrite ^/plain/(.*)$ /plain2/$1; rewrite ^/plain2/(.*)$ /app/$1; }
         location /break { rewrite ^/break/(.*)$ /kept/$1 break; return 200 'no $uri'; }
         location /up { rewrite ^/up/(.*)$ /as/$1 break; proxy_pass http://unix:FOLDER/origin.sock:/base/; }
         location /red { rewrite ^/red/(.*)$ http://other.example/$1 last; }
         location /perm { rewrite ^/perm/(.*)$ /new/$1 permanent; }
         location /query/ { rewrite ^/query/(.*)$ /app/?q=$1 last; }
         location /quoted/ { rewrite ^/quoted/(.*)$ /denied?q=$1 break; proxy_pass http://unix:FOLDER/origin.sock; }
         location /drop { rewrite ^/drop/(.*)$ /app/$1? last; }
         location /loop { rewrite ^ /loop; }
         location /empty { rewrite ^(.*)$ $arg_none last; }
         location /set { set $one 1; if ($arg_a = 2) { set $one 2; } if ($arg_a ~ ^x(.)) { set $one '$one-$1'; } return 200 $one; }
         location /args { set $args changed=1; rewrite ^ /app/args last; }
         location /own { set $http_x_own set; return 200 '$http_x_own $http_host'; }
         location /neg { if ($arg_a != b) { return 404; } if ($arg_b !~* ^Y) { return 405; } return 200 ok; }",
        &[
            ("/server/x", "200  \"app /app/x?\""),
            ("/last/x?b=2", "200  \"app /app/x?a=1&b=2\""),
            ("/plain/x", "200  \"app /app/x?\""),
            ("/break/x", "404  \"\""),
            ("/up/x%20y?q", "200  \"GET /as/x%20y?q \""),
            ("/up/x", "200  \"GET /as/x \""),
            ("/red/x?a=b", "302 http://other.example/x?a=b \"\""),
            ("/perm/x", "301 http://x.example:PORT/new/x \"\""),
            ("/query/a;b=c", "200  \"app /app/?q=a;b=c\""),
            ("/query/a;b+c", "200  \"app /app/?q=a%3Bb%2Bc\""),
            ("/query/a;b%20c", "200  \"app /app/?q=a%3Bb%20c\""),
            ("/query/a\"b", "200  \"app /app/?q=a\\\"b\""),
            ("/quoted/a\"b", "403  \"\""),
            ("/drop/x?a=b", "200  \"app /app/x?\""),
            ("/loop", "500  \"\""),
            ("/empty", "500  \"\""),
            ("/set", "200  \"1\""),
            ("/set?a=2", "200  \"2\""),
            ("/set?a=xy", "200  \"1-y\""),
            ("/args?a=b", "200  \"app /app/args?changed=1\""),
            ("/own", "200  \"set x.example\""),
            ("/neg?a=b&b=yes", "200  \"ok\""),
            ("/neg?a=b&b=no", "405  \"\""),
            ("/neg?b=yes", "404  \"\""),
        ],
    );
}

#[test]
fn variables_in_proxy_pass() {
    alike(
        "upstream named { server unix:FOLDER/origin.sock; }",
        "location /var/ { set $up unix:FOLDER/origin.sock:; proxy_pass http://$up; }
         location /group/ { set $up named; proxy_pass http://$up; }
         location /uri/ { set $up named; proxy_pass http://$up/fixed?x=1; }
         location ~ ^/re/(?<what>.*)$ { set $up named; proxy_pass http://$up/got/$what$is_args$args; }
         location /raw/ { set $up named; proxy_pass http://$up$request_uri; }
         location /no-resolver/ { set $up nowhere.example; proxy_pass http://$up; }
         location /bad/ { set $up 'a b'; proxy_pass http://$up; }",
        &[
            ("/var/a%2Fb?x", "200  \"GET /var/a%2Fb?x \""),
            ("/group/x", "200  \"GET /group/x \""),
            ("/uri/x", "200  \"GET /fixed?x=1 \""),
            ("/re/one?two", "200  \"GET /got/one?two \""),
            ("/raw/%7Ex", "200  \"GET /raw/%7Ex \""),
            ("/no-resolver/", "502  \"\""),
        ],
    );
}

#[test]
fn guards() {
    alike(
        "geo $inside { default 0; 127.0.0.0/8 1; } geo $arg_ip $net { default none; 10.0.0.0/8 ten; 10.1.0.0/16 ten-one; }
         map $http_x_key $is_key { default 0; ~^k(?<number>[0-9]+)$ 1; }",
        "location /allow { allow 127.0.0.0/8; deny all; return 204; }
         location /a { allow all; proxy_pass $origin; }
         location /deny { deny all; proxy_pass $origin; }
         location /net { deny 127.0.0.0/8; allow all; proxy_pass $origin; }
         location /except { limit_except GET { deny all; } proxy_pass $origin; }
         location /only-post { limit_except POST { deny all; } proxy_pass $origin; }
         location /inner { internal; return 200 'inner $uri'; }
         location /geo { if ($inside) { return 200 inside; } return 403; }
         location /nets { return 200 $net; }
         location /key { if ($is_key = 0) { return 403; } return 200 $number; }
         location /basic { auth_basic realm; auth_basic_user_file FOLDER/nobody; proxy_pass $origin; }
         location /any { satisfy any; auth_basic realm; auth_basic_user_file FOLDER/nobody; allow 127.0.0.0/8; deny all; proxy_pass $origin; }
         location /all { satisfy all; auth_basic realm; auth_basic_user_file FOLDER/nobody; allow 127.0.0.0/8; deny all; proxy_pass $origin; }
         location /sub { auth_request /auth; auth_request_set $user $upstream_http_x_user; proxy_set_header X-Seen $user; proxy_pass $origin; }
         location = /auth { internal; proxy_pass http://unix:FOLDER/origin.sock:/let-in; }
         location /kept-out { auth_request /auth-denied; proxy_pass $origin; }
         location = /auth-denied { internal; proxy_pass http://unix:FOLDER/origin.sock:/denied; }
         location /asked { auth_request /auth-asks; proxy_pass $origin; }
         location = /auth-asks { proxy_pass http://unix:FOLDER/origin.sock:/asks; }
         location /broken { auth_request /auth-broken; proxy_pass $origin; }
         location = /auth-broken { proxy_pass http://unix:FOLDER/origin.sock:/fails; }
         location /unreachable { auth_request /auth-unreachable; proxy_pass $origin; }
         location = /auth-unreachable { proxy_pass http://unix:FOLDER/none.sock; }
         location /pages { valid_referers none server_names ~\\.friend\\.; if ($invalid_referer) { return 403; } return 200 ok; }
         location /pages-only { valid_referers blocked *.x.example; if ($invalid_referer) { return 403; } return 200 ok; }
         location /login { error_page 401 /page; auth_basic realm; auth_basic_user_file FOLDER/nobody; proxy_pass $origin; }
         location = /page { return 200 page; }
         location ~ /\\.git { deny all; }",
        &[
            ("/pages", "200  \"ok\""),
            ("/pages-only", "403  \"\""),
            ("/login", "401  \"\""),
            ("/allow", "204  \"\""),
            ("/a", "200  \"GET /a \""),
            ("/deny", "403  \"\""),
            ("/net", "403  \"\""),
            ("/except", "200  \"GET /except \""),
            ("/only-post", "403  \"\""),
            ("/inner", "404  \"\""),
            ("/geo", "200  \"inside\""),
            ("/nets?ip=10.1.2.3", "200  \"ten-one\""),
            ("/nets?ip=10.2.2.3", "200  \"ten\""),
            ("/nets?ip=x", "200  \"none\""),
            ("/key", "403  \"\""),
            ("/basic", "401  \"\""),
            ("/any", "200  \"GET /any \""),
            ("/all", "401  \"\""),
            ("/sub", "200  \"GET /sub one\""),
            ("/auth", "404  \"\""),
            ("/kept-out", "403  \"\""),
            ("/asked", "401  \"\""),
            ("/broken", "500  \"\""),
            ("/unreachable", "500  \"\""),
            ("/x/.git/config", "403  \"\""),
            ("/x/%2egit/config", "403  \"\""),
        ],
    );
}

#[test]
fn error_pages() {
    alike(
        "",
        "error_page 404 /page; error_page 410 = @named; error_page 500 502 =503 /page; error_page 405 http://other.example/;
         location / { return 404; }
         location = /page { return 200 'page $request_method'; }
         location @named { return 200 'named $uri'; }
         location /up/ { proxy_pass http://unix:FOLDER/origin.sock:/; }
         location /taken/ { proxy_intercept_errors on; proxy_pass http://unix:FOLDER/origin.sock:/; }
         location /refused { proxy_pass http://unix:FOLDER/none.sock; }
         location /away { return 405; }
         location /text { return 404 own; }
         location /fallback { error_page 404 = @up; return 404; }
         location @up { proxy_pass $origin; }",
        &[
            ("/", "404  \"\""),
            ("/up/gone", "410  \"\""),
            ("/taken/gone", "200  \"named /taken/gone\""),
            ("/taken/fails", "503  \"\""),
            ("/refused", "503  \"\""),
            ("/away", "302 http://other.example/ \"\""),
            ("/text", "404  \"\""),
            ("/fallback/x?y", "200  \"GET /fallback/x?y \""),
            ("/page", "200  \"page GET\""),
        ],
    );
}

#[test]
fn files() {
    alike(
        "",
        "root FOLDER/files; index index.html other.html;
         location / { try_files $uri $uri/ @up; }
         location @up { proxy_pass $origin; }
         location /status { try_files $uri =404; }
         location /spa { try_files $uri /index.html; }
         location /static/ { alias FOLDER/files/sub/; }
         location /bare { root FOLDER/files/sub; }
         location = /made { if (-f FOLDER/files/one.txt) { return 200 there; } return 200 none; }
         location = /status { return 200 $status; }",
        &[
            ("/one.txt", "200  \"one\\n\""),
            ("/none.txt", "200  \"GET /none.txt \""),
            ("/", "200  \"index\\n\""),
            ("/sub/", "200  \"other\\n\""),
            ("/sub", "301 http://x.example:PORT/sub/ \"\""),
            ("/status/x", "404  \"\""),
            ("/spa/anything", "200  \"index\\n\""),
            ("/static/two.txt", "200  \"two\\n\""),
            ("/static/three.txt", "404  \"\""),
            ("/made", "200  \"there\""),
            // A text knows the status that it comes with.
            ("/status", "200  \"200\""),
        ],
    );
}

/// The name of a file is what a prefix is replaced in, however long it is. Where nothing is replaced the target goes up as it came.
#[test]
fn files_that_an_upstream_is_asked_for() {
    alike(
        "",
        "root FOLDER/files;
         location /sub/ { try_files $uri =404; proxy_pass http://unix:FOLDER/origin.sock:/base/; }
         location /su { try_files /sub/two.txt =404; proxy_pass http://unix:FOLDER/origin.sock:/base; }
         location /served/ { try_files /one.txt =404; proxy_pass http://unix:FOLDER/origin.sock:/base/; }
         location /none/ { try_files /three.txt $uri =404; proxy_pass http://unix:FOLDER/origin.sock:/base/; }
         location /bare/ { try_files /one.txt =404; proxy_pass http://unix:FOLDER/origin.sock; }
         location /variable/ { try_files /one.txt =404; proxy_pass $origin; }",
        &[
            ("/sub/two.txt?a=b", "200  \"GET /base/two.txt?a=b \""),
            ("/sub/tw%6f.txt", "200  \"GET /base/two.txt \""),
            ("/sub/three.txt", "404  \"\""),
            ("/su/x", "200  \"GET /baseb/two.txt \""),
            ("/served/x", "200  \"GET /base/ \""),
            ("/none/x", "404  \"\""),
            ("/bare/x?y", "200  \"GET /bare/x?y \""),
            ("/variable/x", "200  \"GET /variable/x \""),
        ],
    );
}

/// How many requests go over one connection to a server, as the server counts them.
#[test]
fn connections_that_are_kept() {
    let group = |name: &str, lines: &str| {
        format!("upstream {name} {{ server unix:FOLDER/counts.sock; keepalive 1; {lines} }}")
    };
    both_answer(
        &format!(
            "{} {} {}
             server {{ listen LISTEN; proxy_http_version 1.1; proxy_set_header Connection '';
                 location /all {{ proxy_pass http://all; }} location /two {{ proxy_pass http://two; }}
                 location /old {{ proxy_pass http://old; }} }}
             server {{ listen unix:FOLDER/counts.sock; return 200 $connection_requests; }}",
            group("all", "keepalive_requests 100; keepalive_time 1h;"),
            group("two", "keepalive_requests 2;"),
            group("old", "keepalive_requests 1;"),
        ),
        &[
            ("/all", HOST, "200  \"1\""),
            ("/all", HOST, "200  \"2\""),
            ("/all", HOST, "200  \"3\""),
            ("/two", HOST, "200  \"1\""),
            ("/two", HOST, "200  \"2\""),
            ("/two", HOST, "200  \"1\""),
            ("/old", HOST, "200  \"1\""),
            ("/old", HOST, "200  \"1\""),
        ],
    );
}

#[test]
fn what_goes_up_and_what_comes_back() {
    alike(
        "map $uri $seen { default none; ~^/map/(?<part>[a-z]+) 'map-$part-$1'; } split_clients $arg_k $half { 50% one; * two; }",
        "location / { proxy_set_header X-Seen $seen; proxy_pass $origin; }
         location /method { proxy_method POST; proxy_pass $origin; }
         location /without { proxy_pass_request_headers off; proxy_set_header X-Seen own; proxy_pass $origin; }
         location /twice { proxy_set_header X-Seen a; proxy_set_header X-Seen b; proxy_pass $origin; }
         location /hop { proxy_pass $origin; }
         location /inner/ { internal; return 200 'inner $uri'; }
         location /away { proxy_redirect http://origin/two/ http://here.example/three/; proxy_pass $origin; }
         location /split { return 200 $half; }
         location /regex/ { proxy_redirect ~^http://([^/]+)/two/(.*)$ http://$1.example/$2; proxy_pass http://unix:FOLDER/origin.sock:/away; }",
        &[
            ("/map/x1", "200  \"GET /map/x1 map-x-x\""),
            ("/other", "200  \"GET /other none\""),
            ("/method", "200  \"POST /method \""),
            ("/without", "200  \"GET /without own\""),
            ("/hop", "200  \"inner /inner/file\""),
            ("/away", "302 http://here.example/three/x \"\""),
            ("/regex/", "302 http://origin.example/x \"\""),
            ("/split?k=1", "200  \"one\""),
            ("/split?k=2", "200  \"one\""),
            ("/split?k=3", "200  \"two\""),
        ],
    );
}

/// Each location has one `valid_referers`; each field is the whole line, or none.
#[test]
fn pages_that_requests_may_come_from() {
    let said = [
        (
            "/all",
            "none blocked server_names *.end.example begin.* ~\\.friend\\. path.example/in",
        ),
        ("/none", "none www.example.org"),
        ("/blocked", "blocked www.example.org"),
        ("/page", "www.example.com/in *.example.com/any ~example *.com"),
        ("/dot", ".example.com"),
        ("/tail", "www.example.*/in example.*"),
        ("/names", "server_names"),
    ];
    let locations: String = said
        .iter()
        .map(|(path, words)| {
            format!("location = {path} {{ valid_referers {words}; if ($invalid_referer) {{ return 403; }} return 200 ok; }}\n")
        })
        .collect();
    let servers = format!(
        "server {{ listen LISTEN; server_name x.example ~^re.*\\.example$ *.wild.example; {locations} }}"
    );
    let long = |length: usize| format!("http://example.{}", "a".repeat(length));
    let (longest, too_long) = (long(256 - 8), long(257 - 8));
    let (come, kept_out) = ("200  \"ok\"", "403  \"\"");
    let cases = [
        ("/all", Some("http://x.example/a"), come),
        ("/all", Some("https://X.example:8080/a"), come),
        ("/all", Some("http://other.example/"), kept_out),
        ("/all", Some("http://a.end.example"), come),
        ("/all", Some("http://begin.anything/x"), come),
        ("/all", Some("http://my.friend.example/"), come),
        ("/all", Some("http://path.example/inside"), come),
        ("/all", Some("http://path.example/out"), kept_out),
        ("/all", Some("nonsense"), come),
        ("/all", Some("http://other.example/x.example"), kept_out),
        // An empty field is a field; one of other bytes than letters is one too.
        ("/none", None, come),
        ("/none", Some(""), kept_out),
        ("/none", Some("\u{e9}"), kept_out),
        ("/none", Some("http://www.example.org/"), come),
        ("/none", Some("http://www.example.org?x"), kept_out),
        ("/none", Some("http://u@www.example.org/"), kept_out),
        ("/blocked", None, kept_out),
        ("/blocked", Some(""), come),
        ("/blocked", Some("\u{e9}"), come),
        ("/blocked", Some("http://su"), come),
        ("/blocked", Some("https://other.example/"), kept_out),
        // The longest name decides, whatever the shorter ones and the expressions say.
        ("/page", Some("http://www.example.com/inside"), come),
        ("/page", Some("http://www.example.com/any"), kept_out),
        ("/page", Some("http://a.example.com/any"), come),
        ("/page", Some("http://a.example.com/IN"), kept_out),
        ("/page", Some("http://other.com/x"), come),
        ("/page", Some("http://other.org/example"), come),
        ("/page", Some(&longest), come),
        ("/page", Some(&too_long), kept_out),
        ("/dot", Some("http://example.com"), come),
        ("/dot", Some("http://a.b.example.com:80/x"), come),
        ("/dot", Some("http://anexample.com/"), kept_out),
        ("/tail", Some("http://www.example.net/in"), come),
        ("/tail", Some("http://www.example.net/out"), kept_out),
        ("/tail", Some("http://example.net/out"), come),
        ("/tail", Some(&longest), come),
        ("/tail", Some(&too_long), kept_out),
        ("/names", Some("http://x.example/"), come),
        ("/names", Some("http://re-x.example/x"), come),
        ("/names", Some("http://other.org/re.example"), kept_out),
        ("/names", Some("http://a.wild.example"), come),
        ("/names", None, kept_out),
    ];
    let cases: Vec<(&str, String, &str)> = cases
        .iter()
        .map(|(path, referer, expected)| {
            let line = referer.map(|referer| format!("Referer: {referer}\r\n"));
            let lines = format!("Host: x.example\r\n{}", line.unwrap_or_default());
            (*path, lines, *expected)
        })
        .collect();
    let cases: Vec<(&str, &str, &str)> = cases
        .iter()
        .map(|(path, lines, expected)| (*path, &**lines, *expected))
        .collect();
    both_answer(&servers, &cases);
}

/// What the upstream names is a URI of the same server, and does not climb.
#[test]
fn where_an_upstream_sends_a_request_within() {
    let servers = "server { listen LISTEN; root FOLDER/files;
         location = /up { add_header X-Accel-Redirect $arg_to; add_header Content-Type text/told; add_header Accept-Ranges told; return 204; }
         location = /empty { add_header X-Accel-Redirect $arg_to; return 200 answered; }
         location /go { proxy_pass http://LISTEN/up; }
         location /nowhere { proxy_pass http://LISTEN/empty; }
         location /in/ { internal; return 200 \"$request_method $uri $is_args$args\"; }
         location @named { return 200 \"named $request_method $uri\"; }
         location /paged { error_page 404 = /in/page; proxy_pass http://LISTEN/up; } }";
    let head = "Host: x.example\r\n";
    both_answer(
        servers,
        &[
            ("/go?to=/in/a", head, "200  \"GET /in/a \""),
            ("/go?to=/in/a?b=%2e%2e", head, "200  \"GET /in/a ?b=%2e%2e\""),
            ("/go?to=/in/a%20b", head, "200  \"GET /in/a b \""),
            ("/go?to=/in/%2520", head, "200  \"GET /in/%20 \""),
            ("/go?to=/in/..x/a..", head, "200  \"GET /in/..x/a.. \""),
            ("/go?to=@named", head, "200  \"named GET /go\""),
            ("/go?to=@nobody", head, "500  \"\""),
            ("/go?to=/one.txt", head, "200  \"one\\n\""),
            ("/go?to=..", head, "404  \"\""),
            ("/go?to=../in/a", head, "404  \"\""),
            ("/go?to=/in/../one.txt", head, "404  \"\""),
            ("/go?to=/in/..", head, "404  \"\""),
            ("/go?to=/in/.%2e/a", head, "404  \"\""),
            ("/go?to=/in/%2e%2e", head, "404  \"\""),
            ("/go?to=/in%2f..%2fone.txt", head, "404  \"\""),
            ("/go?to=/in/%00", head, "404  \"\""),
            ("/go?to=?x", head, "404  \"\""),
            ("/paged?to=/in/../x", head, "200  \"GET /in/page \""),
            ("/nowhere", head, "200  \"answered\""),
        ],
    );
}

#[test]
fn files_of_an_alias_around_regular_expressions() {
    alike(
        "",
        "location ~ ^/re/ { alias FOLDER/files; try_files /one.txt =404; }
         location ~ ^/none/ { alias FOLDER/files; try_files /three.txt =404; }
         location /nested/ { alias FOLDER/files/; location ~ txt$ { try_files $uri =404; } }
         location /inherits/ { alias FOLDER/files/; location ~ txt$ { } }",
        &[
            ("/re/whatever", "200  \"one\\n\""),
            ("/none/one.txt", "404  \"\""),
            ("/nested/one.txt", "200  \"one\\n\""),
            ("/nested/sub/two.txt", "200  \"two\\n\""),
            ("/nested/three.txt", "404  \"\""),
            ("/inherits/one.txt", "200  \"one\\n\""),
        ],
    );
}

#[test]
fn fields_of_answers_that_others_are_made_of() {
    alike(
        "upstream nobody { server 127.0.0.1:9 down; }",
        "location /sent { add_header Link a; add_header Link b; add_header Location $sent_http_link; return 204; }
         location /refresh { proxy_pass http://unix:FOLDER/fields.sock; proxy_redirect ~*/SOME/(.*) /other/$1;
             add_header Location $sent_http_refresh; }
         location /flags { proxy_pass http://unix:FOLDER/fields.sock; proxy_cookie_flags a $arg_one $arg_two;
             add_header Location $sent_http_set_cookie; }
         location /nobody { proxy_pass http://nobody; add_header Location $upstream_addr always; }
         } server { listen unix:FOLDER/fields.sock;
             location /refresh { add_header Refresh '7; URL=http://x/some/where'; return 204; }
             location /flags { add_header Set-Cookie 'a=b; Secure'; return 204; }",
        &[
            ("/sent", "204 a, b \"\""),
            ("/refresh", "204 7; URL=/other/where \"\""),
            ("/flags", "204 a=b; Secure \"\""),
            ("/flags?one=nosecure", "204 a=b \"\""),
            ("/flags?one=httponly&two=samesite=lax", "204 a=b; Secure; HttpOnly; SameSite=Lax \"\""),
            ("/nobody", "502 nobody \"\""),
        ],
    );
}

/// An origin that answers with what it has been sent in the fields `X_Seen`, `X.Seen` and `X-Seen`.
fn origin_of_invalid_names() -> std::net::SocketAddr {
    use std::io::{BufRead, BufReader, Write};

    let address = crate::program::own_address();
    let listener = std::net::TcpListener::bind(address).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let lines = BufReader::new(stream.try_clone().unwrap()).lines();
            let head = lines.map_while(Result::ok).take_while(|line| !line.is_empty());
            let seen = head.filter_map(|line| {
                let (name, value) = line.split_once(": ")?;
                let is_it = ["x_seen", "x.seen", "x-seen"]
                    .iter()
                    .any(|known| name.eq_ignore_ascii_case(known));
                is_it.then(|| value.to_owned())
            });
            let seen = seen.collect::<String>();
            let length = seen.len();
            let answer =
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{seen}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
    });
    address
}

#[test]
fn fields_whose_names_nginx_takes_for_invalid() {
    let origin = origin_of_invalid_names();
    for (line, underscore, dot) in [
        ("", "", ""),
        ("underscores_in_headers on;", "yes", ""),
        ("ignore_invalid_headers off;", "yes", "yes"),
        ("ignore_invalid_headers on;", "", ""),
    ] {
        let text = format!(
            "{line} server {{ listen LISTEN; location / {{ proxy_pass http://{origin}; }}
             location /own {{ proxy_set_header X.Seen own; proxy_pass http://{origin}; }}
             location /variable {{ return 200 $http_x_seen; }} }}"
        );
        let expected = [underscore, dot].map(|seen| format!("200  {seen:?}"));
        let many: String = (0..1000).map(|number| format!("X.{number}: no\r\n")).collect();
        let many = format!("Host: x.example\r\nX.Seen: yes\r\n{many}X-Seen: valid\r\n");
        let mut cases = vec![
            ("/", "Host: x.example\r\nX_Seen: yes\r\n", &*expected[0]),
            ("/", "Host: x.example\r\nX.Seen: yes\r\n", &*expected[1]),
            ("/variable", "Host: x.example\r\nX_Seen: yes\r\n", &*expected[0]),
            ("/variable", "Host: x.example\r\nX-Seen: yes\r\n", "200  \"yes\""),
        ];
        // Where they pass, nginx sends the client's as well, and refuses so many.
        if dot.is_empty() {
            cases.push(("/", &many, "200  \"valid\""));
            cases.push(("/own", "Host: x.example\r\nX.Seen: yes\r\n", "200  \"own\""));
        }
        both_answer(&text, &cases);
    }
}

#[test]
fn a_length_of_nothing_goes_up() {
    let text = "server { listen LISTEN; location / { proxy_pass http://unix:FOLDER/origin.sock; }
            location /without { proxy_set_header Content-Length ''; proxy_pass http://unix:FOLDER/origin.sock; } }
        server { listen unix:FOLDER/origin.sock; return 200 '$http_content_length'; }";
    both_answer(
        text,
        &[
            ("/", HOST, "200  \"\""),
            ("/", "Host: x.example\r\nContent-Length: 0\r\n", "200  \"0\""),
            (
                "/without",
                "Host: x.example\r\nContent-Length: 0\r\n",
                "200  \"\"",
            ),
        ],
    );
}

#[test]
fn arguments_that_are_set_go_up() {
    alike(
        "",
        "location /fixed { set $args a=1; proxy_pass http://unix:FOLDER/origin.sock; }
         location /variable { set $args a=1; proxy_pass $origin; }
         location /path/ { set $args a=1; proxy_pass http://unix:FOLDER/origin.sock:/other/; }
         location /asked { auth_request /let-in; auth_request_set $args $upstream_status; proxy_pass $origin; }
         location = /let-in { internal; proxy_pass $origin; }",
        &[
            ("/fixed%20x?b=2", "200  \"GET /fixed%20x?a=1 \""),
            ("/variable?b=2", "200  \"GET /variable?a=1 \""),
            ("/path/x?b=2", "200  \"GET /other/x?a=1 \""),
            ("/asked?b=2", "200  \"GET /asked?204 \""),
        ],
    );
}
