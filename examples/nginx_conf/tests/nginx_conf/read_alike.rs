//! The same text, read by both: words, variables, maps, conditions, servers and locations. What each answers says how it
//! has read them.

use std::io::{Read, Write};
use std::net::SocketAddr;

use support::bounded::connect;

use crate::program::{Folder, Kind, has_nginx};

fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9))
}

/// Status, `Location` and body of the answer to a request with these lines.
pub(crate) fn ask(address: SocketAddr, target: &str, lines: &str) -> String {
    let mut stream = connect(address);
    let request = format!("GET {target} HTTP/1.1\r\n{lines}Connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = &head[9..12];
    let location = head
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .unwrap_or_default();
    // Pages for statuses without a text are each proxy's own.
    let body = if status == "200" { body } else { "" };
    format!("{status} {location} {body:?}")
}

/// Starts both with these blocks of `http`, and expects of both the same answers, and these.
pub(crate) fn both_answer(http: &str, cases: &[(&str, &str, &str)]) {
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;\n{http}\n}}\n"
    );
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let folder = Folder::of(nobody(), &text);
        let files = [
            ("files/one.txt", "one"),
            ("files/index.html", "index"),
            ("files/sub/two.txt", "two"),
            ("files/sub/other.html", "other"),
            ("nobody", ""),
            ("users", "user:{PLAIN}secret"),
        ];
        std::fs::create_dir_all(folder.path.join("files/sub")).unwrap();
        for (name, text) in files {
            folder.write(name, &format!("{text}\n"), nobody());
        }
        let program = folder.start(kind, "test.conf", &["--strict"]);
        let port = program.address.port().to_string();
        for (target, lines, expected) in cases {
            let given = ask(program.address, target, lines);
            let expected = expected.replace("PORT", &port);
            assert_eq!(given, expected, "{kind:?} {target} {lines:?}");
        }
    }
}

#[test]
fn words() {
    let words = [
        ("plain", "plain"),
        ("\"with space\"", "with space"),
        ("'with \"quotes\"'", "with \"quotes\""),
        ("\"it's\"", "it's"),
        ("a\"b'c", "a\"b'c"),
        ("a#b", "a#b"),
        ("\"a#b;c{d}e\"", "a#b;c{d}e"),
        ("a}b", "a}b"),
        ("a\\;b", "a\\;b"),
        ("a\\ b", "a\\ b"),
        ("\"a\\tb\\nc\\rd\"", "a\tb\nc\rd"),
        ("a\\tb", "a\tb"),
        ("\"\\\\ \\\" \\' \\x \\d\"", "\\ \" ' \\x \\d"),
        ("\\\"a", "\"a"),
        ("${scheme}s", "https"),
        ("\"${scheme}}\"", "http}"),
        ("x${scheme}y{", ""),
        ("$scheme.x", "http.x"),
        ("$scheme-$request_method", "http-GET"),
        ("\"two\nlines\"", "two\nlines"),
        ("# a comment;\n   after", "after"),
        ("\u{e9}t\u{e9}", "\u{e9}t\u{e9}"),
    ];
    let words: Vec<_> = words
        .into_iter()
        .filter(|(word, _)| !word.ends_with('{'))
        .collect();
    let locations: String = words
        .iter()
        .enumerate()
        .map(|(index, (word, _))| format!("location = /{index} {{ return 200 {word}; }}\n"))
        .collect();
    let targets: Vec<String> = (0..words.len()).map(|index| format!("/{index}")).collect();
    let expected: Vec<String> = words.iter().map(|(_, value)| format!("200  {value:?}")).collect();
    let cases: Vec<(&str, &str, &str)> = targets
        .iter()
        .zip(&expected)
        .map(|(target, expected)| (&**target, "Host: a\r\n", &**expected))
        .collect();
    both_answer(&format!("server {{ listen LISTEN; {locations} }}"), &cases);
}

#[test]
fn braces_semicolons_and_lines_wherever_they_stand() {
    both_answer(
        "server{listen LISTEN;location = /a{return 200 a;}location\n=\n/b\n{\nreturn\n200\nb\n;\n}\n\
         location \"= /c\" { } location '/d'{return 200 'd';}}",
        &[
            ("/a", "Host: a\r\n", "200  \"a\""),
            ("/b", "Host: a\r\n", "200  \"b\""),
            ("/d", "Host: a\r\n", "200  \"d\""),
        ]
        .map(|case| case),
    );
}

#[test]
fn maps() {
    both_answer(
        "map $http_x $chosen { default other; '' nothing; One first; ~^two second; ~*THREE third; ~^four$ fourth;
             ~^(five|six)$ 'fifth or sixth'; \\~seven seventh; ~^ei\\.ght eighth; volatile; }
         map $chosen $again { default \"[$chosen]\"; first \"<$http_x>\"; }
         map $http_x$http_y $without_default { ab both; }
         map $http_upgrade $connection_upgrade { default upgrade; '' close; }
         map $arg_x $by_argument { 1 one; 2 two; }
         server { listen LISTEN;
             location / { return 200 \"$chosen $again $without_default $connection_upgrade $by_argument\"; } }",
        &[
            ("/", "Host: a\r\n", "200  \"nothing [nothing]  close \""),
            ("/", "Host: a\r\nX: one\r\n", "200  \"first <one>  close \""),
            ("/", "Host: a\r\nX: ONE\r\n", "200  \"first <ONE>  close \""),
            ("/", "Host: a\r\nX: twofold\r\n", "200  \"second [second]  close \""),
            ("/", "Host: a\r\nX: Twofold\r\n", "200  \"other [other]  close \""),
            ("/", "Host: a\r\nX: a three b\r\n", "200  \"third [third]  close \""),
            ("/", "Host: a\r\nX: four\r\n", "200  \"fourth [fourth]  close \""),
            ("/", "Host: a\r\nX: fours\r\n", "200  \"other [other]  close \""),
            ("/", "Host: a\r\nX: six\r\n", "200  \"fifth or sixth [fifth or sixth]  close \""),
            ("/", "Host: a\r\nX: ~seven\r\n", "200  \"seventh [seventh]  close \""),
            ("/", "Host: a\r\nX: ei.ght\r\n", "200  \"eighth [eighth]  close \""),
            ("/", "Host: a\r\nX: eighth\r\n", "200  \"other [other]  close \""),
            ("/", "Host: a\r\nX: a\r\nY: b\r\n", "200  \"other [other] both close \""),
            ("/?x=2", "Host: a\r\nUpgrade: websocket\r\n", "200  \"nothing [nothing]  upgrade two\""),
            ("/?x=3", "Host: a\r\nUpgrade: h2c\r\n", "200  \"nothing [nothing]  upgrade \""),
        ],
    );
}

#[test]
fn conditions_and_answers() {
    both_answer(
        "map $http_origin $foreign { default 1; '' 0; https://a.example 0; }
         server { listen LISTEN;
             if ($http_blocked) { return 403; }
             if ($http_host = 'moved.example') { return 301 https://$server_port.example$request_uri; }
             if ($request_method != GET) { return 405; }
             if ($http_x ~* ^(one|two)$) { return 409; }
             if ($http_x !~ three) { return 200 \"not three\"; }
             if ( $arg_y = \"\" ) { return 204; }
             location /a { if ($foreign) { return 403; } return 200 $scheme; }
             location /b { return https://b.example/; }
             location /c { return 307 /other?$args; }
             location /d { internal; return 200 d; }
             location /e { return 410; }
             location /f { return 404 gone; } }",
        &[
            ("/a?y=1", "Host: a\r\n", "200  \"not three\""),
            ("/a?y=1", "Host: a\r\nX: three\r\n", "200  \"http\""),
            ("/a", "Host: a\r\nX: three\r\n", "204  \"\""),
            (
                "/a?y=1",
                "Host: a\r\nX: three\r\nOrigin: https://b.example\r\n",
                "403  \"\"",
            ),
            (
                "/a?y=1",
                "Host: a\r\nX: three\r\nOrigin: https://a.example\r\n",
                "200  \"http\"",
            ),
            ("/a", "Host: a\r\nX: two\r\n", "409  \"\""),
            ("/a", "Host: a\r\nX: TWO\r\n", "409  \"\""),
            ("/a", "Host: a\r\nBlocked: 0\r\n", "200  \"not three\""),
            ("/a", "Host: a\r\nBlocked: yes\r\n", "403  \"\""),
            ("/b?y=1", "Host: a\r\nX: three\r\n", "302 https://b.example/ \"\""),
            (
                "/c?y=1",
                "Host: a\r\nX: three\r\n",
                "307 http://a:PORT/other?y=1 \"\"",
            ),
            ("/d?y=1", "Host: a\r\nX: three\r\n", "404  \"\""),
            ("/e?y=1", "Host: a\r\nX: three\r\n", "410  \"\""),
            ("/f?y=1", "Host: a\r\nX: three\r\n", "404  \"\""),
        ]
        .map(|(target, lines, expected)| (target, lines, expected)),
    );
}

#[test]
fn servers_and_locations() {
    both_answer(
        "server { listen LISTEN; server_name first.example; return 200 first; }
         server { listen LISTEN default_server; server_name _; location / { return 200 default; } }
         server { listen LISTEN; server_name *.second.example second.example;
             location / { return 200 \"root $server_name\"; location /inner { return 200 inner; } }
             location = /exact { return 200 exact; }
             location ^~ /sub/ { return 200 sub; }
             location /proxied/ { proxy_pass http://127.0.0.1:9; }
             location @named { return 200 named; } }",
        &[
            ("/", "Host: first.example\r\n", "200  \"first\""),
            ("/", "Host: FIRST.example:80\r\n", "200  \"first\""),
            ("/", "Host: other\r\n", "200  \"default\""),
            ("/", "Host: second.example\r\n", "200  \"root *.second.example\""),
            (
                "/x",
                "Host: a.second.example\r\n",
                "200  \"root *.second.example\"",
            ),
            ("/inner/x", "Host: second.example\r\n", "200  \"inner\""),
            ("/exact", "Host: second.example\r\n", "200  \"exact\""),
            (
                "/exactly",
                "Host: second.example\r\n",
                "200  \"root *.second.example\"",
            ),
            ("/sub/x", "Host: second.example\r\n", "200  \"sub\""),
            (
                "/proxied?x",
                "Host: second.example\r\n",
                "301 http://second.example:PORT/proxied/?x \"\"",
            ),
            ("/proxied/", "Host: second.example\r\n", "502  \"\""),
        ]
        .map(|(target, lines, expected)| (target, lines, expected)),
    );
}

/// What is kept out by its path is kept out however the path is written.
#[test]
fn the_path_in_conditions_and_maps() {
    both_answer(
        "map $uri $secret { default 0; /secret 1; ~^/hidden 1; }
         server { listen LISTEN;
             if ($uri ~ ^/admin) { return 403; }
             if ($secret) { return 403; }
             location / { return 200 \"$uri $document_uri $request_uri\"; } }",
        &[
            (
                "/a%20b//c/../d?e=%66",
                "Host: a\r\n",
                "200  \"/a b/d /a b/d /a%20b//c/../d?e=%66\"",
            ),
            (
                "/caf%C3%A9",
                "Host: a\r\n",
                "200  \"/caf\u{e9} /caf\u{e9} /caf%C3%A9\"",
            ),
            ("/admin", "Host: a\r\n", "403  \"\""),
            ("/%61dmin", "Host: a\r\n", "403  \"\""),
            ("//admin", "Host: a\r\n", "403  \"\""),
            ("/x/../admin", "Host: a\r\n", "403  \"\""),
            ("/x/..%2fadmin", "Host: a\r\n", "403  \"\""),
            ("/%73ecret?x", "Host: a\r\n", "403  \"\""),
            ("/hidden%20x", "Host: a\r\n", "403  \"\""),
            ("/%zz", "Host: a\r\n", "400  \"\""),
            ("/%", "Host: a\r\n", "400  \"\""),
            ("/a%00", "Host: a\r\n", "400  \"\""),
            ("/../a", "Host: a\r\n", "400  \"\""),
        ],
    );
}

#[test]
fn where_the_servers_own_redirections_lead() {
    let slash = "location /a/ { proxy_pass http://127.0.0.1:9; }";
    both_answer(
        &format!(
            "server {{ listen LISTEN; server_name name.example; {slash}
                 location /b {{ return 302 /c; }}
                 location /path/ {{ absolute_redirect off; proxy_pass http://127.0.0.1:9; }}
                 location /named/ {{ server_name_in_redirect on; proxy_pass http://127.0.0.1:9; }}
                 location /portless {{ port_in_redirect off; return 301 /c; }} }}
             server {{ listen LISTEN; server_name paths.example; absolute_redirect off; {slash}
                 location /b {{ return 302 /c; }} }}"
        ),
        &[
            (
                "/a?b",
                "Host: x.example\r\n",
                "301 http://x.example:PORT/a/?b \"\"",
            ),
            ("/b", "Host: x.example\r\n", "302 http://x.example:PORT/c \"\""),
            ("/path", "Host: x.example\r\n", "301 /path/ \"\""),
            (
                "/named",
                "Host: x.example\r\n",
                "301 http://name.example:PORT/named/ \"\"",
            ),
            ("/portless", "Host: x.example\r\n", "301 http://x.example/c \"\""),
            ("/a", "Host: paths.example\r\n", "301 /a/ \"\""),
            ("/b", "Host: paths.example\r\n", "302 /c \"\""),
        ],
    );
}

#[test]
fn names_have_no_case_and_may_stand_twice() {
    both_answer(
        "upstream Backend { server unix:FOLDER/backend; }
         server { listen unix:FOLDER/backend; return 200 $http_host; }
         server { listen LISTEN; server_name two.example two.example. TWO.example;
             location / { proxy_pass http://backend; }
             location /scheme { proxy_pass HTTP://BACKEND; } }",
        &[
            ("/", "Host: two.example\r\n", "200  \"backend\""),
            ("/scheme", "Host: two.example\r\n", "200  \"BACKEND\""),
        ],
    );
}

/// `$hostname` is a name that no configuration has to write.
#[test]
fn a_server_by_the_name_of_the_machine() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = format!("Host: {}\r\n", name.trim());
    let small = name.trim().to_ascii_lowercase();
    both_answer(
        "server { listen LISTEN; return 404; }
         server { listen LISTEN; server_name $hostname; location / { return 200 \"$server_name $hostname\"; } }",
        &[
            ("/", &host, &format!("200  {:?}", format!("{small} {small}"))),
            ("/", "Host: another.example\r\n", "404  \"\""),
        ],
    );
}

/// The groups of the last expression hold: of one without groups none, and none of one in `rewrite` or `if` that does not match.
#[test]
fn which_groups_there_are() {
    both_answer(
        "map $arg_m $m { ~^b yes; ~^(c) $1; default no; }
         server { listen LISTEN; server_name ~^r\\.(.+)$;
             location ~ ^/(a) { if ($arg_x ~ y) { return 200 \"[$1]\"; } return 200 \"<$1>\"; }
             location ~ /c { return 200 <$1>; }
             location ~ ^/(d) { set $k $m; return 200 <$1>$k; }
             location ~ ^/(e) { rewrite e /f; return 200 <$1>; }
             location ~ ^/(g) { if ($arg_x ~ (y)) { return 200 [$1]; } if ($arg_x !~ z) { return 200 ![$1]; } return 200 <$1>; }
             location ~ ^/(i) { rewrite none /x; return 200 <$1>; }
             location /h { return 200 <$1>; } }",
        &[
            ("/a?x=y", "Host: r.zz\r\n", "200  \"[]\""),
            ("/a?x=n", "Host: r.zz\r\n", "200  \"<>\""),
            ("/c", "Host: r.zz\r\n", "200  \"<>\""),
            ("/d?m=b", "Host: r.zz\r\n", "200  \"<>yes\""),
            ("/d?m=c", "Host: r.zz\r\n", "200  \"<c>c\""),
            ("/d?m=x", "Host: r.zz\r\n", "200  \"<d>no\""),
            ("/e", "Host: r.zz\r\n", "200  \"<>\""),
            ("/g?x=y", "Host: r.zz\r\n", "200  \"[y]\""),
            ("/g?x=n", "Host: r.zz\r\n", "200  \"![]\""),
            ("/g?x=z", "Host: r.zz\r\n", "200  \"<>\""),
            ("/i", "Host: r.zz\r\n", "200  \"<>\""),
            ("/h", "Host: r.zz\r\n", "200  \"<zz>\""),
        ],
    );
}
