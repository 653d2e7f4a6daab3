//! `hash`, `hash … consistent` and `ip_hash`: a request has the same server as under nginx. `sticky`: it has the same one again.

use std::io::{Read, Write};
use std::net::SocketAddr;

use support::bounded::connect;

use crate::program::{Folder, Kind, has_nginx, own_address};
use crate::read_alike::ask;

/// Groups of these servers, of which the last one does not listen, and a location for each.
fn groups(servers: &[SocketAddr; 4]) -> String {
    let [a, b, c, gone] = servers;
    let rules = [
        ("plain", "hash $arg_k;", "", ""),
        ("ring", "hash $arg_k consistent;", "", ""),
        ("address", "ip_hash;", "", ""),
        ("plain-down", "hash $arg_k;", "down", ""),
        ("ring-down", "hash $arg_k consistent;", "down", ""),
        ("address-down", "ip_hash;", "down", ""),
        ("plain-gone", "hash $arg_k;", "", "gone"),
        ("ring-gone", "hash $arg_k consistent;", "", "gone"),
        ("address-gone", "ip_hash;", "", "gone"),
    ];
    let groups = rules.map(|(name, rule, down, is_gone)| {
        let gone = match is_gone {
            "" => String::new(),
            _ => format!("server {gone} max_fails=0;"),
        };
        format!("upstream {name} {{ {rule} server {a}; server {b} weight=3; server {c} {down}; {gone} }}")
    });
    let locations = rules.map(|(name, ..)| format!("location /{name} {{ proxy_pass http://{name}; }}"));
    format!(
        "{}
         server {{ listen LISTEN; set_real_ip_from 127.0.0.0/8; real_ip_header X-Client; {} }}
         server {{ listen {a}; listen {b}; listen {c}; return 200 $server_port; }}",
        groups.concat(),
        locations.concat()
    )
}

#[test]
fn the_same_server_as_under_nginx() {
    let servers = [(); 4].map(|()| own_address());
    let text = format!(
        "events {{}} http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off; {} }}",
        groups(&servers)
    );
    let rules =
        ["plain", "ring", "address"].map(|rule| ["", "-down", "-gone"].map(|kind| format!("{rule}{kind}")));
    let requests: Vec<(String, String)> = rules
        .as_flattened()
        .iter()
        .flat_map(|rule| {
            (0..24).map(move |number| {
                let client = match number % 2 {
                    0 => format!("10.{number}.7.9"),
                    _ => format!("fd00::{number}:9"),
                };
                (
                    format!("/{rule}?k=key-{number}"),
                    format!("Host: a\r\nX-Client: {client}\r\n"),
                )
            })
        })
        .collect();
    let given = |kind| {
        let folder = Folder::of(own_address(), &text);
        let program = folder.start(kind, "test.conf", &["--strict"]);
        let answers = requests
            .iter()
            .map(|(target, lines)| ask(program.address, target, lines));
        answers.collect::<Vec<_>>()
    };
    let ours = given(Kind::Ours);
    for ((target, _), answer) in requests.iter().zip(&ours) {
        assert!(answer.starts_with("200"), "{target}: {answer}");
    }
    if !has_nginx() {
        return;
    }
    let nginxs = given(Kind::Nginx);
    for (((target, lines), ours), nginxs) in requests.iter().zip(&ours).zip(&nginxs) {
        assert_eq!(ours, nginxs, "{target} {lines:?} of {servers:?}");
    }
}

/// The body of an answer, and the cookie that it sets.
fn visit(address: SocketAddr, target: &str, cookie: &str) -> (String, Option<String>) {
    let mut stream = connect(address);
    let request =
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nCookie: x=y; {cookie}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let set = lines.find(|(name, _)| name.eq_ignore_ascii_case("set-cookie"));
    (body.to_owned(), set.map(|(_, value)| value.to_owned()))
}

fn sticky(lines: &str) -> crate::program::Program {
    let [a, b] = [(); 2].map(|()| own_address());
    let lines = lines
        .replace("SERVER-A", &a.to_string())
        .replace("SERVER-B", &b.to_string());
    let text = format!(
        "events {{}} http {{ access_log off; upstream group {{ {lines} }}
         server {{ listen LISTEN; location / {{ proxy_pass http://group; }} }}
         server {{ listen {a}; listen {b}; return 200 $server_port; }} }}"
    );
    Folder::of(own_address(), &text).start(Kind::Ours, "test.conf", &["--strict"])
}

#[test]
fn a_client_stays_with_the_server_that_its_cookie_names() {
    let program = sticky("server SERVER-A; server SERVER-B; sticky cookie at;");
    let first = visit(program.address, "/", "");
    let second = visit(program.address, "/", "at=garbage");
    assert_ne!(first.0, second.0, "both are new, and take turns");
    for (server, cookie) in [first, second] {
        let cookie = cookie.expect("a cookie is set");
        assert!(
            cookie.starts_with("at=") && cookie.len() == "at=".len() + 32,
            "{cookie}"
        );
        for _ in 0..3 {
            let again = visit(program.address, "/", &cookie);
            assert_eq!(again, (server.clone(), Some(cookie.clone())));
        }
    }
}

#[test]
fn what_the_cookie_is_like() {
    let cases = [
        ("path=/p domain=d.example", "; domain=d.example; path=/p"),
        ("secure httponly samesite=Lax", "; samesite=lax; secure; httponly"),
        ("samesite=$arg_s domain=$arg_d", "; samesite=strict"),
        (
            "expires=max",
            "; expires=Thu, 31-Dec-37 23:55:55 GMT; max-age=315360000",
        ),
    ];
    for (parameters, expected) in cases {
        let program = sticky(&format!(
            "server SERVER-A route=one; sticky cookie at {parameters};"
        ));
        let (_, cookie) = visit(program.address, "/?s=wrong&d=a;b", "");
        assert_eq!(cookie.unwrap(), format!("at=one{expected}"), "{parameters}");
    }
    let program = sticky("server SERVER-A route=one; sticky cookie at expires=1h;");
    let (_, cookie) = visit(program.address, "/", "");
    let cookie = cookie.unwrap();
    assert!(
        cookie.starts_with("at=one; expires=") && cookie.ends_with(" GMT; max-age=3600"),
        "{cookie}"
    );
}

#[test]
fn a_client_goes_where_its_route_is() {
    let program = sticky(
        "least_conn; server SERVER-A route=one; server SERVER-B route=two; sticky route $cookie_at $arg_at;",
    );
    let [one, two] = ["one", "two"].map(|route| visit(program.address, &format!("/?at={route}"), ""));
    assert_ne!(one.0, two.0);
    assert_eq!(one.1, None, "no cookie is set");
    for _ in 0..3 {
        assert_eq!(
            visit(program.address, "/?at=one", "at=two"),
            two,
            "the first variable counts"
        );
        assert_eq!(visit(program.address, "/?at=one", ""), one);
    }
}

#[test]
fn sticky_lines_that_are_wrong() {
    let cases = [
        ("sticky cookie;", "no name of a cookie"),
        ("sticky cookie 'a b';", "no name of a cookie"),
        ("sticky cookie at colour=red;", "there is no parameter"),
        ("sticky cookie at expires=soon;", "is no time"),
        ("sticky route;", "takes variables"),
        (
            "sticky learn create=$a lookup=$b zone=c:1m;",
            "only cookie and route are carried out",
        ),
    ];
    for (line, words) in cases {
        let text = format!(
            "events {{}} http {{ upstream u {{ server 127.0.0.1:9; {line} }}
             server {{ listen LISTEN; location / {{ proxy_pass http://u; }} }} }}"
        );
        let tested = Folder::of(own_address(), &text).tested("test.conf", &["--strict"]);
        let said = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
        assert!(!tested.status.success() && said.contains(words), "{line}: {said}");
    }
}
