//! `resolver`: names in `proxy_pass` are asked of the servers that it says, by nginx and by this program alike.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::program::{Folder, Kind, has_nginx, own_address};
use crate::read_alike::{ask, both_answer};

const V4: u16 = 1;
const CNAME: u16 = 5;

/// A DNS server for `*.example`, and which names it was asked for.
struct Dns {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What it says of a name: refusals, addresses, other names, each with the seconds that it holds.
#[derive(Clone, Copy, Debug)]
enum Says {
    Nothing,
    Silence,
    Refuses(u8),
    Is(&'static [[u8; 4]], u32),
    IsCalled(&'static str, u32),
    /// Over UDP it does not fit.
    OverTcp,
    /// The first time it is the answer to another question.
    AnotherFirst,
}

fn says(name: &str, here: [u8; 4]) -> (Says, [u8; 4]) {
    const HERE: &[[u8; 4]] = &[[0; 4]];
    let says = match name {
        "a.example" => Says::Is(HERE, 600),
        "short.example" => Says::Is(HERE, 1),
        "never.example" => Says::Is(HERE, 0),
        // Nothing listens at the first; the second one does.
        "two.example" => Says::Is(&[[127, 0, 0, 9], [0; 4]], 600),
        "called.example" => Says::IsCalled("a.example", 600),
        "circle.example" => Says::IsCalled("circle.example", 600),
        "empty.example" => Says::Nothing,
        "failed.example" => Says::Refuses(2),
        "silent.example" => Says::Silence,
        "long.example" => Says::OverTcp,
        "late.example" => Says::AnotherFirst,
        _ => Says::Refuses(3),
    };
    (says, here)
}

/// The answer to a question. None is silence.
fn answer(question: &[u8], here: [u8; 4], is_udp: bool, times: usize) -> Option<Vec<u8>> {
    let name = asked_name(question);
    let kind = u16::from_be_bytes([question[question.len() - 4], question[question.len() - 3]]);
    let mut answer = question.to_vec();
    (answer[2], answer[3]) = (0x81, 0x80);
    let record = |answer: &mut Vec<u8>, kind: u16, ttl: u32, data: &[u8]| {
        answer[7] += 1;
        answer.extend(b"\xc0\x0c");
        answer.extend([&kind.to_be_bytes()[..], &[0, 1], &ttl.to_be_bytes()].concat());
        answer.extend((data.len() as u16).to_be_bytes());
        answer.extend(data);
    };
    let (says, here) = says(&name, here);
    match says {
        Says::Silence => return None,
        Says::Nothing => {}
        Says::Refuses(code) => answer[3] |= code,
        Says::Is(addresses, ttl) if kind == V4 => {
            for address in addresses {
                let address = if *address == [0; 4] { here } else { *address };
                record(&mut answer, V4, ttl, &address);
            }
        }
        Says::IsCalled(other, ttl) => {
            let labels = other
                .split('.')
                .map(|label| [&[label.len() as u8], label.as_bytes()].concat());
            let mut data = labels.collect::<Vec<_>>().concat();
            data.push(0);
            record(&mut answer, CNAME, ttl, &data);
        }
        Says::OverTcp if is_udp => answer[2] |= 0x02,
        Says::AnotherFirst if times <= 2 => answer[0] ^= 1,
        Says::OverTcp | Says::AnotherFirst if kind == V4 => record(&mut answer, V4, 600, &here),
        Says::Is(..) | Says::OverTcp | Says::AnotherFirst => {}
    }
    Some(answer)
}

fn asked_name(question: &[u8]) -> String {
    let (mut at, mut labels) = (12, Vec::new());
    while question[at] > 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(&question[at + 1..end]).into_owned());
        at = end;
    }
    labels.join(".")
}

impl Dns {
    fn start() -> Dns {
        let address = own_address();
        let SocketAddr::V4(here) = address else {
            unreachable!("the addresses of tests are of IPv4")
        };
        let here = Ipv4Addr::octets(here.ip());
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let (udp, tcp) = (
            UdpSocket::bind(address).unwrap(),
            TcpListener::bind(address).unwrap(),
        );
        let log = asked.clone();
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            loop {
                let (length, from) = udp.recv_from(&mut buffer).unwrap();
                let name = asked_name(&buffer[..length]);
                let times = {
                    let mut log = log.lock().unwrap();
                    log.push(name.clone());
                    log.iter().filter(|asked| **asked == name).count()
                };
                if let Some(answer) = answer(&buffer[..length], here, true, times) {
                    udp.send_to(&answer, from).unwrap();
                }
            }
        });
        std::thread::spawn(move || {
            for stream in tcp.incoming() {
                let mut stream = stream.unwrap();
                // nginx asks for both over one connection.
                let mut length = [0; 2];
                while stream.read_exact(&mut length).is_ok() {
                    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
                    stream.read_exact(&mut question).unwrap();
                    let answer = answer(&question, here, false, 0).unwrap();
                    let length = answer.len() as u16;
                    stream
                        .write_all(&[&length.to_be_bytes()[..], &answer].concat())
                        .unwrap();
                }
            }
        });
        Dns { address, asked }
    }

    /// How often it was asked for the addresses of a name.
    fn count(&self, name: &str) -> usize {
        let asked = self.asked.lock().unwrap();
        asked.iter().filter(|asked| *asked == name).count()
    }
}

const ORIGIN: &str = "server { listen LISTEN; server_name origin; location / { return 200 $uri; } }";

#[test]
fn what_the_servers_say_of_names() {
    let dns = Dns::start().address;
    let http = format!(
        "resolver {dns}; resolver_timeout 2s; proxy_set_header Host origin; proxy_connect_timeout 2s;
         server {{ listen LISTEN default_server;
             location / {{ proxy_pass http://$arg_name:$server_port/got; }}
             location /four {{ resolver {dns} ipv6=off valid=10s; proxy_pass http://$arg_name:$server_port/got; }} }}
         {ORIGIN}"
    );
    let cases = [
        ("/?name=a.example", "200  \"/got\""),
        ("/?name=A.Example.", "200  \"/got\""),
        ("/?name=two.example", "200  \"/got\""),
        ("/?name=called.example", "200  \"/got\""),
        ("/?name=long.example", "200  \"/got\""),
        ("/four?name=a.example", "200  \"/got\""),
        ("/four?name=called.example", "200  \"/got\""),
        ("/?name=circle.example", "502  \"\""),
        ("/?name=empty.example", "502  \"\""),
        ("/?name=failed.example", "502  \"\""),
        ("/?name=silent.example", "502  \"\""),
        ("/?name=none.example", "502  \"\""),
        ("/?name=a..example", "502  \"\""),
    ];
    let cases = cases.map(|(target, expected)| (target, "Host: x\r\n", expected));
    both_answer(&http, &cases);
}

fn kinds() -> impl Iterator<Item = Kind> {
    [Kind::Ours, Kind::Nginx]
        .into_iter()
        .filter(|kind| *kind == Kind::Ours || has_nginx())
}

/// A program whose locations ask this server.
fn with_dns(kind: Kind, resolver: &str, rest: &str) -> crate::program::Program {
    let text = format!(
        "events {{}} http {{ include FOLDER/folders.conf; proxy_temp_path FOLDER/proxy; access_log off;
         resolver {resolver}; {rest} proxy_set_header Host origin;
         server {{ listen LISTEN default_server; location / {{ proxy_pass http://$arg_name:$server_port/got; }} }}
         {ORIGIN} }}"
    );
    let folder = Folder::of(own_address(), &text);
    folder.start(kind, "test.conf", &["--strict"])
}

#[test]
fn what_is_known_is_not_asked_for() {
    for kind in kinds() {
        let dns = Dns::start();
        let program = with_dns(kind, &format!("{} ipv6=off", dns.address), "");
        let times = |name: &str, times: usize| {
            for _ in 0..times {
                let answer = ask(program.address, &format!("/?name={name}"), "Host: x\r\n");
                assert_eq!(answer, "200  \"/got\"", "{kind:?} {name}");
            }
        };
        times("a.example", 3);
        times("A.EXAMPLE", 1);
        assert_eq!(dns.count("a.example"), 1, "{kind:?}");
        times("short.example", 1);
        std::thread::sleep(Duration::from_millis(2100));
        times("short.example", 1);
        assert_eq!(dns.count("short.example"), 2, "{kind:?}: it held for one second");
        // Failures are not remembered.
        for count in 1..3 {
            let answer = ask(program.address, "/?name=none.example", "Host: x\r\n");
            assert!(answer.starts_with("502"), "{kind:?} {answer}");
            assert_eq!(dns.count("none.example"), count, "{kind:?}");
        }
    }
}

#[test]
fn valid_takes_the_place_of_what_the_server_says() {
    for kind in kinds() {
        let dns = Dns::start();
        let program = with_dns(kind, &format!("{} ipv6=off valid=1h", dns.address), "");
        for _ in 0..2 {
            let answer = ask(program.address, "/?name=never.example", "Host: x\r\n");
            assert_eq!(answer, "200  \"/got\"", "{kind:?}");
        }
        assert_eq!(dns.count("never.example"), 1, "{kind:?}");
    }
}

#[test]
fn requests_for_one_name_share_a_question() {
    for kind in kinds() {
        let dns = Dns::start();
        let program = with_dns(kind, &format!("{} ipv6=off", dns.address), "resolver_timeout 1s;");
        let address = program.address;
        let asking = || std::thread::spawn(move || ask(address, "/?name=silent.example", "Host: x\r\n"));
        let threads: Vec<_> = (0..4).map(|_| asking()).collect();
        for thread in threads {
            assert_eq!(thread.join().unwrap(), "502  \"\"", "{kind:?}");
        }
        assert!(
            dns.count("silent.example") <= 4,
            "{kind:?}: {}",
            dns.count("silent.example")
        );
    }
}

#[test]
fn an_answer_to_another_question_is_none() {
    let dns = Dns::start();
    let program = with_dns(Kind::Ours, &dns.address.to_string(), "");
    let since = Instant::now();
    let answer = ask(program.address, "/?name=late.example", "Host: x\r\n");
    assert_eq!(answer, "200  \"/got\"");
    assert!(
        since.elapsed() > Duration::from_secs(4),
        "it was asked again, after 5 s"
    );
}

#[test]
fn a_server_that_is_not_there_is_passed_by() {
    let dns = Dns::start();
    let (gone, here) = (own_address(), dns.address);
    let program = with_dns(Kind::Ours, &format!("{gone} {here}"), "resolver_timeout 4s;");
    for name in ["a.example", "called.example", "long.example"] {
        let answer = ask(program.address, &format!("/?name={name}"), "Host: x\r\n");
        assert_eq!(answer, "200  \"/got\"", "{name}");
    }
}

/// nginx before 1.27.3 knows no `resolver` in a group, nor `resolve`.
#[test]
fn a_group_with_a_resolver() {
    let (dns, other) = (Dns::start(), own_address());
    let own = format!("resolver {} ipv6=off; resolver_timeout 2s;", dns.address);
    let of_http = format!("resolver {other} ipv6=off; resolver_timeout 1h;");
    for (of_http, own, name, expected) in [
        ("", &*own, "a.example", "200  \"got\""),
        ("", &own, "called.example", "200  \"got\""),
        ("", &own, "none.example", "502  \"\""),
        (&of_http, &own, "short.example", "200  \"got\""),
        // Where the group has none, it has that of http.
        (&own, "", "two.example", "200  \"got\""),
        (&own, "", "failed.example", "502  \"\""),
        (&own, "resolver_timeout 1s;", "long.example", "200  \"got\""),
    ] {
        let target = own_address();
        let text = format!(
            "events {{}} http {{ include FOLDER/folders.conf; access_log off; {of_http}
             upstream group {{ zone group 64k; {own} server {name}:{} resolve; }}
             server {{ listen {target}; return 200 got; }}
             server {{ listen LISTEN; location / {{ proxy_pass http://group; }} }} }}",
            target.port()
        );
        let folder = Folder::of(own_address(), &text);
        let program = folder.start(Kind::Ours, "test.conf", &["--strict"]);
        for _ in 0..2 {
            assert_eq!(ask(program.address, "/", "Host: x\r\n"), expected, "{name}");
        }
        assert!(dns.count(name) > 0, "{name}");
    }
}

#[test]
fn lines_that_are_wrong() {
    let cases = [
        ("resolver;", "takes 1 or more arguments"),
        ("resolver valid=10s;", "names no server"),
        ("resolver 127.0.0.1 valid=x;", "is no time"),
        ("resolver 127.0.0.1 ipv6=maybe;", "on nor off"),
        ("resolver 127.0.0.1 ipv4=off ipv6=off;", "cannot both be off"),
        ("resolver 127.0.0.1 colour=red;", "there is no parameter"),
        ("resolver name.invalid;", "is not found"),
        ("resolver_timeout x;", "is no time"),
    ];
    for (line, words) in cases {
        let text = format!("events {{}} http {{ {line} server {{ listen LISTEN; return 204; }} }}");
        let folder = Folder::of(own_address(), &text);
        let tested = folder.tested("test.conf", &[]);
        let said = String::from_utf8_lossy(&[tested.stdout, tested.stderr].concat()).into_owned();
        assert!(!tested.status.success() && said.contains(words), "{line}: {said}");
    }
}
