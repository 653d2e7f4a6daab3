//! What is said of a configuration before it is served: hints, warnings and errors, each with its line.

use std::net::SocketAddr;
use std::process::Output;

use crate::program::{Folder, Kind, has_nginx};

fn upstream() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

/// A configuration around these lines of a location, the first of which is line 10.
fn location(lines: &str) -> String {
    format!(
        "events {{}}\nhttp {{\n    include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;\n    \
         map $http_upgrade $connection_upgrade {{\n        default upgrade;\n        '' close;\n    }}\n    \
         server {{ listen LISTEN;\n    location /chat {{\n{lines}\n    }}\n    }}\n}}\n"
    )
}

/// The lines without which no upgrade passes, in line 10, and others behind them.
fn carrying(lines: &str) -> String {
    location(&format!(
        "proxy_pass http://UPSTREAM; proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; \
         proxy_set_header Connection $connection_upgrade; proxy_set_header Host $http_host; proxy_read_timeout 1h;\n{lines}"
    ))
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether a finding of this weight, in this line of the configuration, has these words in it.
fn finds(text: &str, weight: &str, line: usize, words: &str) -> bool {
    let place = format!("test.conf:{line}: ");
    text.lines()
        .any(|finding| finding.starts_with(weight) && finding.contains(&place) && finding.contains(words))
}

fn tested(text: &str, flags: &[&str]) -> (Folder, Output) {
    let folder = Folder::of(upstream(), text);
    let output = folder.tested("test.conf", flags);
    (folder, output)
}

/// Each is served, nginx takes it too, and the hint is in the line with the words.
#[test]
fn lines_that_are_not_what_was_meant() {
    let pass = "proxy_pass http://UPSTREAM;";
    let cases: &[(String, usize, &str)] = &[
        (location(pass), 10, "no WebSocket passes here, as in nginx. It would with: proxy_http_version 1.1; \
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade; and in http: map"),
        (
            location(&format!("{pass}\nproxy_set_header Upgrade $http_upgrade;\nproxy_set_header Connection 'upgrade';")),
            11,
            "nginx sends this upgrade in HTTP/1.0, unless it is 1.29.7 or later",
        ),
        (
            location(&format!("{pass}\nproxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;")),
            12,
            "It would with: proxy_set_header Connection $connection_upgrade; and in http: map",
        ),
        (
            location(&format!("{pass}\nproxy_http_version 1.1;\nproxy_set_header Connection \"upgrade\";")),
            12,
            "It would with: proxy_set_header Upgrade $http_upgrade;",
        ),
        (
            location(&format!("{pass} proxy_http_version 1.1;\nproxy_set_header Upgrade $http_upgrade;\n\
                proxy_set_header Connection \"close\";")),
            11,
            "It would with: proxy_set_header Connection $connection_upgrade;",
        ),
        (
            location(&format!("{pass} proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade;\n\
                proxy_set_header Connection \"upgrade\";")),
            11,
            "nginx says Connection: upgrade of every request, also of those without Upgrade. Write \
             proxy_set_header Connection $connection_upgrade;",
        ),
        (carrying(""), 10, "h2c too. Here websocket passes, and what --allow-upgrade names"),
        (
            carrying("add_header 'Access-Control-Allow-Origin' '*' always;"),
            11,
            "CORS does not govern WebSockets",
        ),
        (carrying("add_header X-Served-By us;"), 11, "without always is not for a 101"),
        (carrying("proxy_set_header X-NginX-Proxy true;"), 11, "read by no server"),
        (
            carrying("\nproxy_buffers 8 32k;"),
            12,
            "the head of the response has to fit proxy_buffer_size alone",
        ),
        (
            carrying("").replace("proxy_read_timeout 1h;", ""),
            10,
            "proxy_read_timeout 60s, which is what holds without the line: a WebSocket ends",
        ),
        (
            carrying("").replace("proxy_read_timeout 1h;", "\nproxy_read_timeout 30;"),
            11,
            "proxy_read_timeout 30s: a WebSocket ends",
        ),
        (
            carrying("").replace("proxy_set_header Host $http_host;", ""),
            10,
            "the upstream receives Host: 127.0.0.1:9, its own name here",
        ),
        (
            carrying("").replace("proxy_set_header Host $http_host;", "\nproxy_set_header Host $proxy_host;"),
            11,
            "the upstream receives Host: 127.0.0.1:9",
        ),
        (
            carrying("").replace("proxy_set_header Host $http_host;", "\nproxy_set_header Host $host:$proxy_port;"),
            11,
            "the client's host with the upstream's port",
        ),
        (carrying("proxy_set_header Origin http://UPSTREAM;"), 11, "takes the pages of all the web for its own"),
        (
            carrying("").replace("location /chat", "location /chat/"),
            10,
            "a WebSocket to /chat, without the slash at the end, gets a redirection",
        ),
        (
            location("proxy_pass http://UPSTREAM/base/;"),
            10,
            "nginx makes /base//x of /chat/x, with two slashes, and lets /chat../x climb out",
        ),
        (
            location("proxy_pass http://UPSTREAM/base;").replace("location /chat", "location /chat/"),
            10,
            "nginx makes /basex of /chat/x, without a slash between",
        ),
        (
            location("if ($http_upgrade) {\nproxy_pass http://UPSTREAM;\n}\nreturn 404;"),
            11,
            "this proxy_pass is never reached: return 404 (",
        ),
        (
            carrying("").replace(
                "server { listen LISTEN;",
                "server { listen LISTEN; proxy_set_header Upgrade $http_upgrade;",
            ).replace("proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;", ""),
            10,
            "because of this line the proxy_set_header Upgrade of",
        ),
    ];
    for (text, line, words) in cases {
        let (folder, output) = tested(text, &["--strict"]);
        let all = said(&output);
        assert!(output.status.success(), "{words}: {all}\n{text}");
        assert!(finds(&all, "hint", *line, words), "{words}: {all}\n{text}");
        let quiet = folder.tested("test.conf", &["--no-hints"]);
        assert!(!said(&quiet).contains("hint: "), "{}", said(&quiet));
        if has_nginx() {
            let theirs = folder.tested_by_nginx("test.conf");
            assert!(theirs.status.success(), "{}", said(&theirs));
        }
    }
}

/// A configuration as this crate's manual would have it.
#[test]
fn what_is_as_it_should_be_has_no_hints() {
    let text = carrying("add_header X-Served-By us always;").replace(
        "map $http_upgrade $connection_upgrade",
        "map $http_upgrade $websocket { ~*^websocket$ websocket; default ''; } map $http_upgrade $connection_upgrade",
    );
    let text = text.replace("Upgrade $http_upgrade", "Upgrade $websocket");
    let (_folder, output) = tested(&text, &["--strict"]);
    assert!(output.status.success());
    assert_eq!(said(&output), "");
}

/// Served without what is not carried out, unless that is forbidden. nginx takes all of it.
#[test]
fn what_is_not_carried_out() {
    let cases = [
        (
            "proxy_cache off; gzip on; tcp_nodelay on; expires off;\nproxy_next_upstream error non_idempotent;",
            12,
            "non_idempotent is not carried out: what may have been done once",
        ),
        (
            "proxy_set_header X-Length $upstream_cache_status;",
            11,
            "$upstream_cache_status is not carried out: it stands for nothing",
        ),
        ("sub_filter a b;", 11, "bodies are not changed"),
        (
            "location /chat/one { fastcgi_pass 127.0.0.1:9; }",
            11,
            "only HTTP is spoken with upstreams: 501",
        ),
        (
            "proxy_set_header Sec-WebSocket-Key x;",
            11,
            "Sec-WebSocket-Key is set by the proxy",
        ),
        ("add_header Connection x;", 11, "Connection is set by the proxy"),
        ("limit_rate 10k;", 11, "nothing is slowed down"),
        ("proxy_set_header TE \"\";", 11, "TE is set by the proxy"),
        (
            "proxy_pass_request_headers off;",
            11,
            "Sec-WebSocket-Key and Sec-WebSocket-Version of an upgrade go up all the same",
        ),
    ];
    for (lines, line, words) in cases {
        let text = carrying(lines);
        let (folder, output) = tested(&text, &[]);
        let all = said(&output);
        assert!(output.status.success(), "{all}");
        assert!(finds(&all, "warning", line, words), "{words}: {all}\n{text}");
        let strict = folder.tested("test.conf", &["--strict"]);
        assert!(
            !strict.status.success() && said(&strict).contains("is not served"),
            "{}",
            said(&strict)
        );
        if has_nginx() {
            let theirs = folder.tested_by_nginx("test.conf");
            assert!(theirs.status.success(), "{}", said(&theirs));
        }
    }
}

/// nginx's workers are another user than root. Whoever starts this program as root is told that it is not.
#[test]
fn who_the_process_is() {
    use std::os::unix::fs::MetadataExt;

    let is_root = std::fs::metadata("/proc/self").unwrap().uid() == 0;
    let rest = format!("worker_processes 1; {}", carrying(""));
    let told = |user: &str| {
        let (_folder, output) = tested(&format!("{user}{rest}"), &["--no-hints"]);
        assert!(output.status.success());
        said(&output)
    };
    assert_eq!(
        told("user nobody nogroup;").contains("user nobody nogroup is not carried out"),
        is_root
    );
    assert_eq!(told("user root;"), "");
    assert_eq!(told(""), "");
    for (user, is_told) in [("", is_root), ("user root;", false)] {
        let program = Folder::of(upstream(), &format!("{user}{rest}")).start(Kind::Ours, "test.conf", &[]);
        let errors = program.errors();
        assert_eq!(errors.contains("runs as root"), is_told, "{errors}");
    }
    for user in ["user;", "user a b c;", "user a; user b;"] {
        let (_folder, output) = tested(&format!("{user}{rest}"), &[]);
        assert!(!output.status.success(), "{user}");
    }
}

/// What nginx would not start with either.
#[test]
fn what_is_wrong() {
    let cases = [
        ("proxy_read_timeout 1x;", 11, "is no time"),
        ("proxy_buffer_size 8q;", 11, "is no size"),
        ("proxy_http_version 2;", 11, "neither 1.0 nor 1.1"),
        ("proxy_read_timeout 5s;", 11, "is there already"),
        ("proxy_pass http://UPSTREAM;", 11, "is there already"),
        (
            "location /chat/one { proxy_pass UPSTREAM; }",
            11,
            "begins with http:// or https://",
        ),
        ("location /chat/one { } location /chat/one { }", 11, "/chat/one"),
        ("listen 80;", 11, "listen may not stand here"),
        (
            "upstream x { server 127.0.0.1; }",
            11,
            "upstream may not stand here",
        ),
        (
            "access_log FOLDER/x nowhere;",
            11,
            "there is no log_format nowhere",
        ),
        ("return;", 11, "takes 1 to 2 arguments"),
        ("proxy_set_header X-One;", 11, "takes 2 arguments"),
        (
            "proxy_set_header X-One \"a\"b;",
            11,
            "unexpected \"b\" behind a quotation mark",
        ),
        (
            "proxy_set_header X-One \"a;",
            11,
            "a quotation mark is never closed",
        ),
        (
            "proxy_set_header X-One $;",
            11,
            "a dollar sign stands before the name",
        ),
        ("include nothing.conf;", 11, "nothing.conf"),
        ("{ }", 11, "unexpected \"{\""),
        (";", 11, "unexpected \";\""),
        ("}}}}", 11, "unexpected \"}\""),
        ("location /chat/one {", 11, "the block is never closed"),
        ("proxy_http_version 1.1", 11, "is not ended by"),
        ("location /chat/one;", 11, "location is a block"),
        ("keepalive_timeout 5 { }", 11, "ends with \";\", not with a block"),
        ("no_such_directive on;", 11, "is not known here"),
        ("proxy_next_upstream http_418;", 11, "\"http_418\" is no occasion"),
        ("proxy_next_upstream;", 11, "takes 1 or more arguments"),
        ("proxy_next_upstream_tries -1;", 11, "is no number"),
        ("proxy_next_upstream_timeout soon;", 11, "is no time"),
        ("proxy_redirect on;", 11, "takes off, default, or two texts"),
        ("set_real_ip_from 10.0.0.0/33;", 11, "is no network"),
        ("real_ip_recursive yes;", 11, "neither on nor off"),
    ];
    for (lines, line, words) in cases {
        let text = carrying(lines);
        let (folder, output) = tested(&text, &["--strict"]);
        let all = said(&output);
        assert!(!output.status.success(), "{words}: {all}");
        let found =
            finds(&all, "error", line, words) || finds(&all, "warning", line, words) || all.contains(words);
        assert!(found, "{words}: {all}\n{text}");
        if has_nginx() {
            let theirs = folder.tested_by_nginx("test.conf");
            assert!(!theirs.status.success(), "nginx takes {lines}");
        }
    }
}

/// A configuration whose upstream says this from line 9 on.
fn upstream_of(lines: &str) -> String {
    let text = location("proxy_pass http://servers;");
    text.replacen(
        "    server { listen",
        &format!("    upstream servers {{\n{lines}\n}}\n    server {{ listen"),
        1,
    )
}

/// Taken by nginx too, and carried out for a part, or otherwise.
#[test]
fn what_is_said_of_an_upstream() {
    let (folder, output) = tested(
        &upstream_of("ip_hash; server 127.0.0.1;\nhash $host;"),
        &["--strict"],
    );
    let all = said(&output);
    assert!(output.status.success(), "{all}");
    assert!(
        finds(&all, "hint", 10, "it takes the place of the rule above"),
        "{all}"
    );
    if has_nginx() {
        let theirs = folder.tested_by_nginx("test.conf");
        assert!(theirs.status.success(), "{}", said(&theirs));
    }
    // Of newer versions, and of the commercial one.
    for (lines, words) in [
        (
            "server localhost service=http resolve;",
            "SRV records are not looked up",
        ),
        (
            "server 127.0.0.1 slow_start=30s;",
            "slow_start=30s is not carried out",
        ),
        (
            "random two least_time=header; server 127.0.0.1;",
            "by the number of tunnels here",
        ),
    ] {
        let (_folder, output) = tested(&upstream_of(lines), &[]);
        let all = said(&output);
        assert!(
            output.status.success() && finds(&all, "warning", 9, words),
            "{words}: {all}"
        );
    }
}

#[test]
fn what_is_wrong_with_an_upstream() {
    for (lines, words) in [
        ("", "there are no servers in upstream servers"),
        ("server;", "takes 1 or more arguments"),
        ("server unix:;", "is not the address of a server"),
        ("server 127.0.0.1 weight=0;", "a weight is at least 1"),
        ("server 127.0.0.1 weight=x;", "is no number"),
        ("server 127.0.0.1 fail_timeout=soon;", "is no time"),
        ("server 127.0.0.1 nonsense;", "there is no parameter nonsense"),
        (
            "ip_hash; server 127.0.0.1; server 127.0.0.2 backup;",
            "the rule above has no backups",
        ),
        ("hash; server 127.0.0.1;", "takes 1 to 2 arguments"),
        ("random three; server 127.0.0.1;", "there is no such rule"),
        ("ip_hash $host; server 127.0.0.1;", "takes 0 arguments"),
    ] {
        let (folder, output) = tested(&upstream_of(lines), &[]);
        let all = said(&output);
        assert!(!output.status.success(), "{lines}: {all}");
        assert!(all.contains(words), "{words}: {all}");
        if has_nginx() {
            let theirs = folder.tested_by_nginx("test.conf");
            assert!(!theirs.status.success(), "nginx takes {lines}");
        }
    }
}

#[test]
fn an_upstream_has_no_port() {
    let text = upstream_of("server 127.0.0.1;").replace("http://servers;", "http://servers:8080;");
    let (folder, output) = tested(&text, &[]);
    let all = said(&output);
    assert!(
        !output.status.success() && all.contains("has the ports that its servers have"),
        "{all}"
    );
    if has_nginx() {
        assert!(!folder.tested_by_nginx("test.conf").status.success());
    }
}

#[test]
fn networks_in_which_everyone_is_are_a_hint() {
    for network in ["0.0.0.0/0", "::/0"] {
        let (_folder, output) = tested(&carrying(&format!("set_real_ip_from {network};")), &["--strict"]);
        let all = said(&output);
        assert!(output.status.success(), "{all}");
        assert!(
            finds(&all, "hint", 11, "every client may say here who it is"),
            "{all}"
        );
    }
}

/// nginx itself does not start on what it does not know, and a module of somebody else's may be what keeps people out.
#[test]
fn what_is_not_known_is_an_error() {
    for lines in [
        "auth_pam \"Secret area\";",
        "auth_jwt realm;",
        "access_by_lua_file gate.lua;",
        "js_access main.gate;",
        "modsecurity on;",
        "secure_link $arg_md5;",
        "prxy_read_timeout 1h;",
        "if ($http_x) { modsecurity off; }",
        "if ($ssl_client_sigalg = 5) { return 403; }",
        "set $one $ssl_client_sigalg;",
        "rewrite ^ /$geoip_country_code;",
        "proxy_pass_header $nothing_of_the_kind; return 200 $nothing_of_the_kind;",
        "location ~ ^/( { return 404; }",
        "limit_except GET { modsecurity on; }",
        "location /chat/one { location ~ x { auth_ldap on; } }",
    ] {
        let (_folder, output) = tested(&carrying(lines), &[]);
        let all = said(&output);
        assert!(!output.status.success(), "{lines}: {all}");
        assert!(finds(&all, "error", 11, ""), "{lines}: {all}");
    }
    let (_folder, output) = tested(&carrying("auth_basic off;"), &["--strict"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn what_has_no_end_ends() {
    let deep = "location /a {".repeat(2_000) + &"}".repeat(2_000);
    for (text, words) in [
        (
            format!("events {{}} http {{ server {{ {deep} }} }}"),
            "blocks stand in each other",
        ),
        ("include *;".to_owned(), "files include each other without end"),
        (
            "include test.conf;".to_owned(),
            "files include each other without end",
        ),
        (
            "events {} http { include FOLDER/./test.conf; }".to_owned(),
            "files include each other without end",
        ),
    ] {
        let (_folder, output) = tested(&text, &[]);
        let all = said(&output);
        assert_eq!(output.status.code(), Some(1), "{all}");
        assert!(all.contains(words), "{words}: {all}");
    }
}

#[test]
fn an_included_file_is_named_with_its_own_lines() {
    let folder = Folder::of(upstream(), &carrying("include FOLDER/more/*.conf;"));
    std::fs::create_dir(folder.path.join("more")).unwrap();
    folder.write("more/a.conf", "\n\nproxy_buffers 8 32k;\n", upstream());
    folder.write("more/b.conf", "proxy_read_timeout x;\n", upstream());
    folder.write("more/.hidden.conf", "nonsense", upstream());
    folder.write("more/c.txt", "nonsense", upstream());
    let output = folder.tested("test.conf", &[]);
    let all = said(&output);
    assert!(!output.status.success());
    assert!(all.contains("more/a.conf:3: "), "{all}");
    assert!(all.contains("more/b.conf:1: "), "{all}");
    assert!(!all.contains("nonsense") && !all.contains("hidden"), "{all}");
}

#[test]
fn a_file_that_includes_itself_is_an_error() {
    let (_folder, output) = tested(&carrying("include FOLDER/test.conf;"), &[]);
    assert!(!output.status.success());
    assert!(
        said(&output).contains("include each other without end"),
        "{}",
        said(&output)
    );
}

/// Comments are in whatever encoding their writer had.
#[test]
fn a_configuration_that_is_not_utf_8() {
    let folder = Folder::of(upstream(), &carrying("# COMMENT\n"));
    let write = |comment: &[u8], name: &str| {
        let text = folder.read("test.conf");
        let (before, after) = text.split_once("# COMMENT").unwrap();
        let bytes = [before.as_bytes(), comment, after.as_bytes()].concat();
        std::fs::write(folder.path.join(name), bytes).unwrap();
    };
    write(b"# \xd6\xd0\xce\xc4;", "comment.conf");
    write(b"proxy_set_header X-Name \xd6\xd0\xce\xc4;", "value.conf");
    let comment = folder.tested("comment.conf", &["--strict"]);
    assert!(comment.status.success(), "{}", said(&comment));
    let value = folder.tested("value.conf", &[]);
    let all = said(&value);
    assert!(
        value.status.success() && all.contains("value.conf:11: ") && all.contains("is not UTF-8"),
        "{all}"
    );
}

/// A site that was taken away, and its link left behind.
#[test]
fn a_link_that_leads_nowhere_is_an_error() {
    let folder = Folder::of(upstream(), &carrying("include FOLDER/sites/*;"));
    std::fs::create_dir(folder.path.join("sites")).unwrap();
    std::os::unix::fs::symlink("gone", folder.path.join("sites/site")).unwrap();
    let output = folder.tested("test.conf", &[]);
    assert!(
        !output.status.success() && said(&output).contains("sites/site: No such file"),
        "{}",
        said(&output)
    );
    if has_nginx() {
        assert!(!folder.tested_by_nginx("test.conf").status.success());
    }
}

/// Not the whole of a configuration, but a file that one includes; or none at all.
#[test]
fn a_file_that_is_no_configuration() {
    for (name, text, words) in [
        (
            "test.conf",
            "server { listen LISTEN; }",
            "test.conf:1: server may not stand here, but in http. A file that others include is run with one that does: \
             events { } http { include ",
        ),
        ("test.conf", "events { }", "test.conf:1: there is no http in it"),
        ("nothing.conf", "", "nothing.conf: No such file"),
    ] {
        let folder = Folder::of(upstream(), text);
        let output = folder.tested(name, &[]);
        let all = said(&output);
        assert!(!output.status.success() && all.contains(words), "{words}: {all}");
        let errors = all.lines().filter(|line| line.starts_with("error: "));
        assert_eq!(errors.count(), 1, "{all}");
    }
}
