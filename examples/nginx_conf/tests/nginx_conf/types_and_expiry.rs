//! Of which type an answer is, in which charset, and how long it may be kept: under both alike.

use std::io::{Read, Write};
use std::net::SocketAddr;

use support::bounded::connect;

use crate::program::{Folder, Kind, has_nginx};

/// Status, and the lines of these fields, `;` between the fields and `,` between lines.
fn ask(address: SocketAddr, target: &str, names: &[&str]) -> String {
    let mut stream = connect(address);
    let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, _) = answer.split_once("\r\n\r\n").unwrap();
    let of = |name: &&str| {
        let lines = head.lines().filter_map(|line| {
            let (known, value) = line.split_once(": ")?;
            known.eq_ignore_ascii_case(name).then_some(value)
        });
        lines.collect::<Vec<_>>().join(" , ")
    };
    let fields: Vec<String> = names.iter().map(of).collect();
    format!("{} {}", &head[9..12], fields.join(" ; "))
}

fn alike(http: &str, names: &[&str], cases: &[(&str, &str)]) {
    let text = format!(
        "events {{}}\nhttp {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;\n{http}\n}}\n"
    );
    let mut wrong = Vec::new();
    for kind in [Kind::Ours, Kind::Nginx] {
        if kind == Kind::Nginx && !has_nginx() {
            continue;
        }
        let nobody = SocketAddr::from(([127, 0, 0, 1], 9));
        let folder = Folder::of(nobody, &text);
        std::fs::create_dir_all(folder.path.join("files")).unwrap();
        for name in ["a.html", "b.JS", "c.own", "d", "e.x.svg", ".html"] {
            folder.write(&format!("files/{name}"), "text\n", nobody);
        }
        let program = folder.start(kind, "test.conf", &["--strict", "--no-hints"]);
        for (target, expected) in cases {
            let given = ask(program.address, target, names);
            if given != *expected {
                wrong.push(format!("{kind:?} {target}: {given:?}, not {expected:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn types_by_endings() {
    alike(
        "types { text/css css; text/css own; application/x-js js; image/svg+xml svg SVGZ; } default_type application/none;
         server { listen LISTEN; root FOLDER/files;
             location /own { types { text/own own; } default_type text/none; alias FOLDER/files; }
             location /none { types { } alias FOLDER/files; }
             location /says { return 200 x; } location = /says.css { return 200 x; } location /says.svgz/ { return 200 x; }
             location /empty { return 204; } location /gone { return 404 x; }
             location = /typed { default_type 'text/x; q=1'; return 200 x; } }
         server { listen unix:FOLDER/other.sock; }",
        &["Content-Type"],
        &[
            ("/a.html", "200 application/none"),
            ("/b.JS", "200 application/x-js"),
            ("/c.own", "200 text/css"),
            ("/d", "200 application/none"),
            ("/e.x.svg", "200 image/svg+xml"),
            ("/.html", "200 application/none"),
            ("/own/c.own", "200 text/own"),
            ("/own/b.JS", "200 text/none"),
            ("/none/b.JS", "200 application/none"),
            ("/says", "200 application/none"),
            ("/says.css", "200 text/css"),
            ("/says.svgz/x", "200 application/none"),
            ("/says/x.CSS", "200 text/css"),
            ("/empty", "204 "),
            ("/gone", "404 application/none"),
            ("/typed", "200 text/x; q=1"),
        ],
    );
}

#[test]
fn types_that_are_built_in() {
    alike(
        "server { listen LISTEN; root FOLDER/files; location /says { return 200 x; } }",
        &["Content-Type"],
        &[
            ("/a.html", "200 text/html"),
            ("/b.JS", "200 text/plain"),
            ("/says", "200 text/plain"),
            ("/says.gif", "200 image/gif"),
        ],
    );
}

#[test]
fn charsets() {
    alike(
        "charset utf-8;
         map $arg_c $by_argument { x koi8-r; }
         server { listen LISTEN;
             location / { proxy_pass http://unix:FOLDER/origin.sock; }
             location /over/ { proxy_pass http://unix:FOLDER/origin.sock:/; override_charset on; }
             location /off/ { proxy_pass http://unix:FOLDER/origin.sock:/; charset off; }
             location /more/ { proxy_pass http://unix:FOLDER/origin.sock:/; charset_types application/json; }
             location /any/ { proxy_pass http://unix:FOLDER/origin.sock:/; charset_types *; }
             location /var/ { proxy_pass http://unix:FOLDER/origin.sock:/; charset $by_argument; }
             location /says { return 200 x; } location /gone { return 404; } location /empty { return 204; } }
         server { listen unix:FOLDER/origin.sock; charset off;
             location /html { default_type text/html; return 200 x; }
             location /latin { default_type 'text/html; charset=iso-8859-1'; return 200 x; }
             location /json { default_type application/json; return 200 x; }
             location /q { default_type 'text/plain; q=1'; return 200 x; } }",
        &["Content-Type"],
        &[
            ("/html", "200 text/html; charset=utf-8"),
            ("/latin", "200 text/html; charset=iso-8859-1"),
            ("/json", "200 application/json"),
            ("/over/latin", "200 text/html; charset=iso-8859-1"),
            ("/off/html", "200 text/html"),
            ("/more/json", "200 application/json; charset=utf-8"),
            ("/more/html", "200 text/html; charset=utf-8"),
            ("/more/q", "200 text/plain; q=1"),
            ("/any/json", "200 application/json; charset=utf-8"),
            ("/var/html?c=x", "200 text/html; charset=koi8-r"),
            ("/says", "200 text/plain; charset=utf-8"),
            ("/gone", "404 text/html; charset=utf-8"),
            ("/empty", "204 "),
        ],
    );
}

#[test]
fn how_long_answers_may_be_kept() {
    alike(
        "map $arg_e $by_argument { default off; x max; wrong 'x y'; }
         server { listen LISTEN; add_header X 1;
             location /off { expires off; return 200 x; }
             location /epoch { expires epoch; return 200 x; }
             location /max { expires max; add_header Cache-Control public; return 200 x; }
             location /var { expires $by_argument; return 200 x; }
             location /gone { expires max; return 404; }
             location /else { expires max; return 200 x; }
             location /if { if ($arg_a) { expires epoch; return 200 x; } return 200 x; }
             location /up/ { expires epoch; proxy_pass http://unix:FOLDER/origin.sock; } }
         server { listen unix:FOLDER/origin.sock;
             location / { expires max; add_header Cache-Control private; return 200 x; } location /up/gone { expires max; return 410; } }",
        &["Expires", "Cache-Control", "X"],
        &[
            ("/off", "200  ;  ; 1"),
            ("/epoch", "200 Thu, 01 Jan 1970 00:00:01 GMT ; no-cache ; 1"),
            ("/max", "200 Thu, 31 Dec 2037 23:55:55 GMT ; max-age=315360000 , public ; "),
            ("/var", "200  ;  ; 1"),
            ("/var?e=x", "200 Thu, 31 Dec 2037 23:55:55 GMT ; max-age=315360000 ; 1"),
            ("/var?e=wrong", "200  ;  ; 1"),
            ("/gone", "404  ;  ; "),
            ("/if", "200  ;  ; 1"),
            ("/if?a=1", "200 Thu, 01 Jan 1970 00:00:01 GMT ; no-cache ; 1"),
            ("/up/x", "200 Thu, 01 Jan 1970 00:00:01 GMT ; no-cache ; 1"),
            ("/up/gone", "410  ;  ; "),
        ],
    );
    alike(
        "server { listen LISTEN;
             location /an-hour { expires 1h; return 200 x; } location /plus { expires +1m30s; return 200 x; }
             location /before { expires -1; return 200 x; } location /now { expires 0; return 200 x; } }",
        &["Cache-Control"],
        &[
            ("/an-hour", "200 max-age=3600"),
            ("/plus", "200 max-age=90"),
            ("/before", "200 no-cache"),
            ("/now", "200 max-age=0"),
        ],
    );
}
