//! Which server of an `upstream` a request gets, under both: by turns, by tunnels, by keys, and where some are out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use crate::named::{Does, Named, TO_SERVERS, WAYS, Way, configured, folder, grouped, kinds};
use crate::program::{Kind, Program};

fn everywhere() -> String {
    format!("location / {{ {TO_SERVERS} }}")
}

/// The names of the servers of so many requests, one after the other.
async fn names(way: Way, program: &Program, target: &str, count: usize) -> String {
    let mut names = String::new();
    for _ in 0..count {
        names += &way.served_by(program, target).await;
    }
    names
}

#[tokio::test]
async fn turns_are_in_the_very_same_order() {
    for (weights, expected) in [
        ([5, 1, 1], "aabacaaaabacaa"),
        ([1, 1, 1], "abcabcabcabcab"),
        ([3, 2, 1], "abacbaabacbaab"),
        ([1, 7, 2], "bbcbabbbcbbbcb"),
    ] {
        for kind in kinds() {
            for way in WAYS {
                let [a, b, c] = Named::three().await;
                let lines = weights.map(|weight| format!("weight={weight}"));
                let servers = [(&a, &*lines[0]), (&b, &*lines[1]), (&c, &*lines[2])];
                let program = grouped(
                    kind,
                    &servers,
                    "zone z 64k; keepalive 8;",
                    &everywhere(),
                    &["--strict"],
                );
                let given = names(way, &program, "/", expected.len()).await;
                assert_eq!(given, expected, "{kind:?} {way:?} {weights:?}");
            }
        }
    }
}

#[tokio::test]
async fn locations_share_the_turns_and_what_is_known_of_servers() {
    let locations = format!(
        "location /one {{ {TO_SERVERS} proxy_next_upstream error; }} location /two {{ {TO_SERVERS} proxy_read_timeout 9; }}"
    );
    for kind in kinds() {
        let [a, b, c] = Named::three().await;
        let servers = [(&a, ""), (&b, "fail_timeout=60s"), (&c, "")];
        let program = grouped(kind, &servers, "", &locations, &["--strict"]);
        let mut given = String::new();
        for target in ["/one", "/two", "/two", "/one", "/two", "/one"] {
            given += &Way::Get.served_by(&program, target).await;
        }
        assert_eq!(given, "abcabc", "{kind:?}");
        // One location finds out that it is gone; the other does not ask it.
        b.now(Does::Closes);
        b.asked();
        assert_eq!(names(Way::Get, &program, "/one", 2).await, "ac", "{kind:?}");
        assert_eq!(b.asked(), 1, "{kind:?}");
        let given = names(Way::Upgrade, &program, "/two", 6).await;
        assert!(!given.contains(char::is_numeric), "{kind:?} {given}");
        assert_eq!(b.asked(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn the_fewest_tunnels() {
    for kind in kinds() {
        let [a, b, c] = Named::three().await;
        let servers = [(&a, "weight=2"), (&b, ""), (&c, "")];
        let program = grouped(kind, &servers, "least_conn;", &everywhere(), &["--strict"]);
        let mut tunnels = BTreeMap::<String, Vec<_>>::new();
        for _ in 0..8 {
            let (status, name, client) = Way::Upgrade.asks(&program, "/", "").await;
            assert_eq!(status, 101);
            tunnels.entry(name).or_default().push(client);
        }
        let counts: Vec<usize> = tunnels.values().map(Vec::len).collect();
        assert_eq!(counts, [4, 2, 2], "{kind:?}");
        // Those that end make room where they were.
        tunnels.remove("b");
        b.has_open(0).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let (_, first, _first) = Way::Upgrade.asks(&program, "/", "").await;
        let (_, second, _second) = Way::Upgrade.asks(&program, "/", "").await;
        assert_eq!(first + &second, "bb", "{kind:?}");
        // Ordinary requests go there as well.
        tunnels.remove("c");
        c.has_open(0).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(Way::Get.served_by(&program, "/").await, "c", "{kind:?}");
    }
}

/// Until their answers have ended.
#[tokio::test]
async fn ordinary_requests_count_as_well() {
    for kind in kinds() {
        let [a, b, _] = Named::three().await;
        let servers = [(&a, ""), (&b, "")];
        let program = grouped(kind, &servers, "least_conn;", &everywhere(), &["--strict"]);
        let held = a.holds_a_request(&program).await;
        assert_eq!(names(Way::Get, &program, "/", 3).await, "bbb", "{kind:?}");
        assert_eq!(names(Way::Upgrade, &program, "/", 1).await, "b", "{kind:?}");
        drop(held);
        // One whose answer has begun.
        let [a, b, _] = Named::three().await;
        let locations = format!("proxy_buffering off; {}", everywhere());
        let program = grouped(
            kind,
            &[(&a, "max_conns=1"), (&b, "")],
            "",
            &locations,
            &["--strict"],
        );
        a.now(Does::Begins);
        let mut client = switchover::test_util::ScriptedClient::connect(program.address).await;
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(client.head().await.headers["x-name"], "a", "{kind:?}");
        client.receives(b"x").await;
        a.now(Does::Answers);
        assert_eq!(names(Way::Get, &program, "/", 3).await, "bbb", "{kind:?}");
        assert_eq!(Way::Upgrade.served_by(&program, "/").await, "b", "{kind:?}");
        a.finishes();
        client.receives(b"y").await;
        let since = Instant::now();
        while Way::Get.served_by(&program, "/").await != "a" {
            assert!(since.elapsed() < Duration::from_secs(5), "{kind:?}");
        }
    }
}

#[tokio::test]
async fn by_the_network_of_the_client() {
    for kind in kinds() {
        let [a, b, c] = Named::three().await;
        let program = grouped(
            kind,
            &[(&a, ""), (&b, ""), (&c, "")],
            "ip_hash;",
            &everywhere(),
            &["--strict"],
        );
        let mut owners = BTreeSet::new();
        for network in 1..25 {
            let mut of_network = BTreeSet::new();
            for (way, last) in [
                (Way::Get, 1),
                (Way::Upgrade, 1),
                (Way::Get, 200),
                (Way::Upgrade, 77),
            ] {
                let (_, name) = way
                    .asks_from(&program, &format!("127.{network}.9.{last}"), "/")
                    .await;
                of_network.insert(name);
            }
            assert_eq!(of_network.len(), 1, "{kind:?} {network} {of_network:?}");
            owners.extend(of_network);
        }
        assert_eq!(owners.len(), 3, "{kind:?}");
    }
}

/// Who owns each of sixty keys.
async fn owners(program: &Program) -> Vec<String> {
    let mut owners = Vec::new();
    for key in 0..60 {
        let target = format!("/?x=key-{key}");
        let name = Way::Get.served_by(program, &target).await;
        if key % 10 == 0 {
            assert_eq!(Way::Upgrade.served_by(program, &target).await, name);
            assert_eq!(
                Way::Get
                    .served_by(program, &format!("/other?y=1&x=key-{key}"))
                    .await,
                name
            );
        }
        owners.push(name);
    }
    owners
}

#[tokio::test]
async fn by_a_key_of_which_a_server_that_goes_moves_its_own() {
    for kind in kinds() {
        let [a, b, c] = Named::three().await;
        let lines = "hash $arg_x consistent;";
        let all = [(&a, ""), (&b, ""), (&c, "weight=2")];
        let program = grouped(kind, &all, lines, &everywhere(), &["--strict"]);
        let before = owners(&program).await;
        for name in ["a", "b", "c"] {
            let count = before.iter().filter(|owner| *owner == name).count();
            assert!(count > 3, "{kind:?} {name} {before:?}");
        }
        for servers in [vec![all[0], all[2]], vec![all[0], (&b, "down"), all[2]]] {
            let program = grouped(kind, &servers, lines, &everywhere(), &["--strict"]);
            let after = owners(&program).await;
            for (was, is) in before.iter().zip(&after) {
                assert!(was == is || was == "b", "{kind:?} {was} {is}");
            }
        }
    }
}

/// Of what the client has said, before anything of it is changed on its way.
#[tokio::test]
async fn keys_of_several_variables() {
    let locations = format!(
        "location /deep/ {{ {} }}",
        TO_SERVERS.replace("servers;", "servers/;")
    );
    for (key, target, fields) in [
        (
            "$http_x-room-$cookie_c",
            "/deep/",
            "X-room: KEY\r\nCookie: c=1\r\n",
        ),
        (
            "'$http_x_room:$cookie_c'",
            "/deep/",
            "X-Room: 1\r\nCookie: a=b; c=KEY\r\n",
        ),
        ("$request_uri", "/deep/KEY", ""),
        ("$uri$arg_none", "/deep/KEY?q", ""),
    ] {
        for kind in kinds() {
            let [a, b, c] = Named::three().await;
            let servers = [(&a, ""), (&b, ""), (&c, "")];
            let program = grouped(kind, &servers, &format!("hash {key};"), &locations, &["--strict"]);
            let mut owners = BTreeSet::new();
            for number in 0..24 {
                let with = |text: &str| text.replace("KEY", &format!("k{number}"));
                let mut of_key = BTreeSet::new();
                for way in WAYS {
                    of_key.insert(way.asks(&program, &with(target), &with(fields)).await.1);
                }
                assert_eq!(of_key.len(), 1, "{kind:?} {key}");
                owners.extend(of_key);
            }
            // nginx reads a variable up to the hyphen.
            let expected = if key.starts_with("$http_x-") { 1 } else { 3 };
            assert_eq!(owners.len(), expected, "{kind:?} {key}");
        }
    }
}

#[tokio::test]
async fn requests_without_the_key_take_turns() {
    for kind in kinds() {
        for lines in ["hash $arg_none;", "hash $arg_none consistent;"] {
            let [a, b, c] = Named::three().await;
            let servers = [(&a, ""), (&b, ""), (&c, "weight=2")];
            let program = grouped(kind, &servers, lines, &everywhere(), &["--strict"]);
            assert_eq!(
                names(Way::Get, &program, "/", 8).await,
                "cabccabc",
                "{kind:?} {lines}"
            );
        }
    }
}

#[tokio::test]
async fn by_chance() {
    for kind in kinds() {
        for rule in ["random;", "random two;", "random two least_conn;"] {
            let [a, b, c] = Named::three().await;
            let servers = [(&a, ""), (&b, ""), (&c, "down")];
            let program = grouped(kind, &servers, rule, &everywhere(), &["--strict"]);
            let given = names(Way::Get, &program, "/", 40).await;
            let count = given.matches('a').count();
            assert!((4..37).contains(&count), "{kind:?} {rule} {given}");
            assert_eq!(given.matches('b').count(), 40 - count, "{kind:?} {rule} {given}");
        }
    }
}

#[tokio::test]
async fn a_backup_gets_what_no_other_can() {
    for kind in kinds() {
        let [a, b, c] = Named::three().await;
        let servers = [(&a, ""), (&b, "down"), (&c, "backup")];
        let program = grouped(kind, &servers, "", &everywhere(), &["--strict"]);
        assert_eq!(names(Way::Get, &program, "/", 3).await, "aaa", "{kind:?}");
        a.now(Does::Closes);
        assert_eq!(names(Way::Upgrade, &program, "/", 3).await, "ccc", "{kind:?}");
        assert_eq!((b.asked(), a.asked()), (0, 4), "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_that_fails_too_often_is_out_and_comes_back() {
    for kind in kinds() {
        for way in WAYS {
            let [a, b, _] = Named::three().await;
            let servers = [(&a, ""), (&b, "max_fails=2 fail_timeout=1s")];
            let program = grouped(kind, &servers, "", &everywhere(), &["--strict"]);
            b.now(Does::Closes);
            // Less than the second after which it would be tried again.
            let since = Instant::now();
            assert_eq!(names(way, &program, "/", 8).await, "aaaaaaaa", "{kind:?}");
            assert!(
                b.asked() == 2 || since.elapsed() > Duration::from_millis(700),
                "{kind:?}"
            );
            b.now(Does::Answers);
            while way.served_by(&program, "/").await != "b" {
                assert!(since.elapsed() < Duration::from_secs(10), "{kind:?}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            let given = names(way, &program, "/", 4).await;
            assert_eq!(given.matches('b').count(), 2, "{kind:?} {given}");
        }
    }
}

#[tokio::test]
async fn a_server_whose_failures_do_not_count_is_asked_each_time() {
    for kind in kinds() {
        let [a, b, _] = Named::three().await;
        let servers = [(&a, ""), (&b, "max_fails=0")];
        let program = grouped(kind, &servers, "", &everywhere(), &["--strict"]);
        b.now(Does::Closes);
        assert_eq!(names(Way::Get, &program, "/", 8).await, "aaaaaaaa", "{kind:?}");
        assert!(b.asked() >= 3, "{kind:?}");
    }
}

#[tokio::test]
async fn a_server_alone_is_never_out() {
    for kind in kinds() {
        let alone = Named::start("a").await;
        let locations = format!(
            "location / {{ {TO_SERVERS} }} location /one {{ {} }}",
            TO_SERVERS.replace("//servers", &format!("//{}", alone.address))
        );
        let program = grouped(kind, &[(&alone, "")], "", &locations, &["--strict"]);
        for target in ["/", "/one"] {
            alone.now(Does::Closes);
            assert_eq!(names(Way::Get, &program, target, 2).await, "502502", "{kind:?}");
            alone.now(Does::Answers);
            assert_eq!(names(Way::Upgrade, &program, target, 2).await, "aa", "{kind:?}");
        }
    }
}

#[tokio::test]
async fn a_server_on_a_unix_socket() {
    for kind in kinds() {
        let folder = std::env::temp_dir().join(format!("groups-{}-{kind:?}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("u");
        crate::named::on_unix_socket("u", &path);
        let path = path.display();
        let locations = format!(
            "location / {{ {TO_SERVERS} }} location /direct {{ {} }} location /deep {{ {} }}",
            TO_SERVERS.replace("//servers", &format!("//unix:{path}")),
            TO_SERVERS.replace("//servers", &format!("//unix:{path}:/x")),
        );
        let upstreams = format!("upstream servers {{ server unix:{path}; }}");
        let program = configured(kind, &upstreams, &locations, &["--strict"]);
        for target in ["/", "/direct", "/deep"] {
            for way in WAYS {
                assert_eq!(way.served_by(&program, target).await, "u", "{kind:?} {target}");
            }
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// In nginx each worker has turns of its own, unless there is a zone.
#[tokio::test]
async fn all_workers_have_one_group() {
    let [a, b, c] = Named::three().await;
    let upstreams = format!(
        "upstream servers {{ server {}; server {}; server {}; }}",
        a.address, b.address, c.address
    );
    let folder = folder(&upstreams, &everywhere());
    let text = folder
        .read("test.conf")
        .replace("events {}", "worker_processes 4; events {}");
    folder.write("test.conf", &text, a.address);
    let program = folder.start(Kind::Ours, "test.conf", &["--strict"]);
    for way in WAYS {
        assert_eq!(names(way, &program, "/", 12).await, "abcabcabcabc", "{way:?}");
    }
}

/// Each address of a name is a server; nginx looks when it starts, the example again from time to time.
#[tokio::test]
async fn a_server_by_its_name() {
    for kind in kinds() {
        let one = Named::start("a").await;
        let port = one.address.port();
        let locations = format!(
            "location / {{ {TO_SERVERS} }} location /direct {{ {} }}",
            TO_SERVERS.replace("//servers", &format!("//localhost:{port}"))
        );
        let upstreams = format!("upstream servers {{ server localhost:{port}; }}");
        let program = configured(kind, &upstreams, &locations, &["--strict"]);
        for way in WAYS {
            assert_eq!(names(way, &program, "/", 3).await, "aaa", "{kind:?}");
            assert_eq!(names(way, &program, "/direct", 3).await, "aaa", "{kind:?}");
        }
    }
}
