//! What nginx keeps out is kept out here too: guards whose effect depends on the order in which nginx reads a location, on files
//! that a server looks for, on paths and methods. Each found by comparing small configurations at random.

use std::io::{Read, Write};

use support::bounded::connect;
use switchover::test_util::{Script, ScriptedClient, ScriptedOrigin, UPGRADE_REQUEST};

use crate::named::{configured, kinds};
use crate::program::Folder;
use crate::read_alike::both_answer;

const HOST: &str = "Host: a\r\n";

fn alike(server: &str, cases: &[(&str, &str, &str)]) {
    both_answer(
        &format!("server {{ listen LISTEN; root FOLDER/files; {server} }}"),
        cases,
    );
}

/// The first line of the answer to a head.
fn first_line(address: std::net::SocketAddr, head: &str) -> String {
    let mut stream = connect(address);
    write!(stream, "{head}\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.lines().next().unwrap_or_default()[9..12].to_owned()
}

/// A server's lines, and what each head is answered by both.
fn heads_alike(server: &str, cases: &[(&str, &str)]) {
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         server {{ listen LISTEN; root FOLDER/files; {server} }} }}\n"
    );
    for kind in kinds() {
        let folder = Folder::of(([127, 0, 0, 1], 9).into(), &text);
        std::fs::create_dir_all(folder.path.join("files/sub")).unwrap();
        std::fs::write(folder.path.join("files/one.txt"), "one").unwrap();
        std::fs::write(folder.path.join("files/sub/index.html"), "index").unwrap();
        let program = folder.start(kind, "test.conf", &["--strict"]);
        for (head, expected) in cases {
            assert_eq!(first_line(program.address, head), *expected, "{kind:?} {head:?}");
        }
    }
}

/// `limit_except` comes before the lines of its location: none of them opens what it closes.
#[test]
fn what_limit_except_closes_is_not_opened_by_the_lines_beside_it() {
    heads_alike(
        "location /if { limit_except GET { deny all; } if ($args) { set $x 1; } return 200 in; }
         location /return { return 200 in; limit_except GET { deny all; } }
         location /add { limit_except GET { deny all; } if ($args) { add_header X y; } try_files /one.txt =404; }
         location /rewrite { limit_except GET { deny all; } rewrite ^ /open last; }
         location /open { return 200 open; }",
        &[
            ("GET /if?a HTTP/1.1", "200"),
            ("DELETE /if?a HTTP/1.1", "403"),
            ("DELETE /if HTTP/1.1", "403"),
            ("DELETE /return HTTP/1.1", "403"),
            ("HEAD /return HTTP/1.1", "200"),
            ("GET /add HTTP/1.1", "200"),
            ("POST /add?a HTTP/1.1", "403"),
            ("GET /rewrite HTTP/1.1", "200"),
            ("PUT /rewrite HTTP/1.1", "403"),
        ],
    );
}

/// `break` keeps the location, and what guards it, also behind a `rewrite` that would leave it.
#[test]
fn a_break_behind_a_rewrite_stays() {
    heads_alike(
        "location /shut/ { limit_except GET { deny all; } rewrite ^/shut(/.*)$ $1; break; return 201; }
         location /deny/ { deny all; rewrite ^/deny(/.*)$ $1; break; try_files /one.txt =404; }
         location /if/ { deny all; rewrite ^/if(/.*)$ $1; if ($args) { break; } try_files /one.txt =404; }
         location / { return 200 open; }",
        &[
            ("GET /shut/x HTTP/1.1", "404"),
            ("DELETE /shut/x HTTP/1.1", "403"),
            ("GET /deny/x HTTP/1.1", "403"),
            ("GET /if/x?a HTTP/1.1", "403"),
            ("GET /if/x HTTP/1.1", "200"),
        ],
    );
}

/// Lines of a server look for files in its root, before there is a location.
#[test]
fn files_that_a_server_looks_for() {
    alike(
        "if (-f $document_root/one.txt) { set $shut 1; }
         if ($arg_shut) { set $shut \"$shut$arg_shut\"; }
         if ($shut = 11) { return 503; }
         if (-f $request_filename) { return 403; }
         location / { return 200 open; }",
        &[
            ("/x?shut=1", HOST, "503  \"\""),
            ("/one.txt", HOST, "403  \"\""),
            ("/sub/../one.txt", HOST, "403  \"\""),
            ("/x", HOST, "200  \"open\""),
        ],
    );
}

/// `merge_slashes` is read of the default server, whichever the request is for: the path is there before the name of a host is.
#[test]
fn slashes_are_merged_as_the_default_server_says() {
    let locations = "location / { return 200 root; } location /shut { return 403; }";
    for (default, other, expected) in [
        ("", "merge_slashes off;", "403"),
        ("merge_slashes off;", "", "200"),
    ] {
        heads_with_nginx_paths(
            &format!(
                "server {{ listen LISTEN; {default} return 404; }}
                 server {{ listen LISTEN; server_name other; {other} {locations} }}"
            ),
            &[("GET //shut HTTP/1.1\r\nHost: other", expected)],
        );
    }
}

/// The same with `--nginx-paths`: a path that can be read in several ways means what nginx reads.
fn heads_with_nginx_paths(http: &str, cases: &[(&str, &str)]) {
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off; {http} }}\n"
    );
    for kind in kinds() {
        let folder = Folder::of(([127, 0, 0, 1], 9).into(), &text);
        let program = folder.start(kind, "test.conf", &["--nginx-paths"]);
        for (head, expected) in cases {
            let mut stream = connect(program.address);
            write!(stream, "{head}\r\nConnection: close\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert_eq!(&answer[9..12], *expected, "{kind:?} {head:?}");
        }
    }
}

/// A `rewrite` leads into an `internal` location, and files are for three methods alone.
#[test]
fn internal_locations_and_the_methods_of_files() {
    heads_alike(
        "error_page 404 = @missing; location @missing { return 200 missing; }
         location /in/ { internal; return 200 in; }
         location /to { rewrite ^ /in/x last; }
         location /break { rewrite ^ /in/x break; return 204; }",
        &[
            ("GET /in/x HTTP/1.1", "200"),
            ("GET /to HTTP/1.1", "200"),
            ("GET /none HTTP/1.1", "200"),
            ("DELETE /none HTTP/1.1", "405"),
            ("OPTIONS /sub/ HTTP/1.1", "405"),
            ("GET /sub/ HTTP/1.1", "200"),
            ("POST /sub/ HTTP/1.1", "405"),
            ("POST /one.txt HTTP/1.1", "405"),
            ("POST /none HTTP/1.1", "200"),
            ("PUT /one.txt HTTP/1.1", "405"),
        ],
    );
    heads_alike(
        "location /in/ { internal; return 200 in; } location /to { rewrite ^ /in/x last; }",
        &[("GET /in/x HTTP/1.1", "404"), ("GET /to HTTP/1.1", "200")],
    );
}

/// A location within one that is `internal` is internal too, whatever kind it is of.
#[test]
fn locations_within_an_internal_one() {
    alike(
        "location / { return 200 open; }
         location /in/ { internal; return 200 in; location /in/prefix { return 200 in; } location = /in/exact { return 200 in; }
             location ~ /regex$ { return 200 in; location ~ /deep/regex$ { return 200 in; } } }
         location /leads { rewrite ^/leads(.*)$ /in$1 last; }",
        &[
            ("/in/", HOST, "404  \"\""),
            ("/in/prefix", HOST, "404  \"\""),
            ("/in/exact", HOST, "404  \"\""),
            ("/in/regex", HOST, "404  \"\""),
            ("/in/deep/regex", HOST, "404  \"\""),
            ("/leads/prefix", HOST, "200  \"in\""),
            ("/leads/deep/regex", HOST, "200  \"in\""),
        ],
    );
}

/// A guard that compares `$request_method` does not know `post`.
#[test]
fn methods_are_in_capitals() {
    heads_alike(
        "if ($request_method = POST) { return 403; } location / { return 200 in; }",
        &[
            ("GET / HTTP/1.1", "200"),
            ("M-SEARCH / HTTP/1.1", "200"),
            ("POST / HTTP/1.1", "403"),
            ("post / HTTP/1.1", "400"),
            ("Post / HTTP/1.1", "400"),
            ("GET2 / HTTP/1.1", "400"),
        ],
    );
}

/// What `auth_request` names is a path, and nothing in it a variable or a query.
#[test]
fn the_path_of_auth_request_is_as_it_stands() {
    alike(
        "location = /variable { auth_request $uri; try_files /one.txt =404; } location = /yes { return 204; }
         location /query { auth_request /yes?a=b; try_files /one.txt =404; }
         location /plain { auth_request /yes; try_files /one.txt =404; }",
        &[
            ("/variable", HOST, "500  \"\""),
            ("/query", HOST, "500  \"\""),
            ("/plain", HOST, "200  \"one\\n\""),
        ],
    );
}

/// What a variable makes of `proxy_pass` may be no URL, or have no port.
#[test]
fn what_is_no_url() {
    alike(
        "location / { proxy_pass $arg_to; } location /port/ { proxy_pass http://127.0.0.1:$arg_port; }",
        &[
            ("/?to=nothing", HOST, "500  \"\""),
            ("/", HOST, "500  \"\""),
            ("/port/", HOST, "500  \"\""),
            ("/port/?port=x", HOST, "500  \"\""),
            ("/port/?port=9", HOST, "502  \"\""),
        ],
    );
}

/// An `error_page` that keeps its status in front of an upstream that would switch: the answer has the status, and nothing is
/// switched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_keeps_its_status_is_no_tunnel() {
    const UP: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    for kind in kinds() {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch().echo()).await;
        let http = format!(
            "location / {{ deny all; error_page 403 PAGE /open; }} location /open {{ proxy_pass http://{}; {UP} }}",
            origin.address()
        );
        for (page, status) in [("", 403), ("=404", 404), ("=", 101)] {
            let program = configured(kind, "", &http.replace("PAGE", page), &[]);
            let mut client = ScriptedClient::connect(program.address).await;
            client.send(UPGRADE_REQUEST).await;
            let head = client.head().await;
            assert_eq!(head.status.as_u16(), status, "{kind:?} {page}");
        }
    }
}

/// The guard that is asked gets the upgrade where the configuration says so, and decides by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guard_that_wants_no_upgrades() {
    const UP: &str = "proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;";
    for kind in kinds() {
        let origin = ScriptedOrigin::start(Script::new().read_head().switch().echo()).await;
        let guard = Script::new().read_head().answer(|head| {
            let upgrade = head
                .headers
                .get("upgrade")
                .map_or("none", |value| value.to_str().unwrap());
            assert_eq!(head.headers.get_all("host").iter().count(), 1);
            let status = match (head.uri.path(), upgrade) {
                ("/no-upgrades", "none") | ("/upgrades", "websocket") => "204 Yes",
                ("/switches", "websocket") => return switchover::test_util::switching_protocols(head),
                _ => "403 No",
            };
            format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").into_bytes()
        });
        let guard = ScriptedOrigin::start(guard.close()).await;
        for (path, own, status) in [
            ("no-upgrades", UP, 403),
            ("no-upgrades", "", 101),
            ("upgrades", UP, 101),
            ("upgrades", "", 403),
        ] {
            let http = format!(
                "location / {{ auth_request /guard; proxy_pass http://{}; {UP} }}
                 location = /guard {{ internal; proxy_pass http://{}/{path}; {own} }}",
                origin.address(),
                guard.address()
            );
            let program = configured(kind, "", &http, &[]);
            let mut client = ScriptedClient::connect(program.address).await;
            client.send(UPGRADE_REQUEST).await;
            let head = client.head().await;
            assert_eq!(head.status.as_u16(), status, "{kind:?} {path} {own}");
        }
    }
}
