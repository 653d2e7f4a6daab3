//! Peers that never come to an end: the doctor does, in time and in bounded memory, and says what it met.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use support::bounded::within;
use support::executable;
use switchover::test_util::switching_protocols;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::examined::{Examined, examine, origin, run};

/// What a peer does behind a request head, for as long as anyone reads.
#[derive(Clone, Copy)]
enum Behaviour {
    /// Writes these bytes once, and then those again and again, in writes of so many repetitions.
    Repeats(&'static [u8], &'static [u8], usize),
    /// Writes these bytes once, and then one of those every now and then.
    Drips(&'static [u8], &'static [u8]),
    /// Answers the handshake, and then as above.
    Switched(&'static [u8], &'static [u8], usize),
    /// Answers the handshake and the first ping, and nothing more.
    AnswersOnePing,
    /// Reads nothing at all.
    Deaf,
}

async fn peer(behaviour: Behaviour) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("there is a free port");
    let port = listener.local_addr().expect("it has an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(behave(stream, behaviour));
        }
    });
    port
}

async fn behave(mut stream: TcpStream, behaviour: Behaviour) -> std::io::Result<()> {
    if matches!(behaviour, Behaviour::Deaf) {
        tokio::time::sleep(Duration::from_secs(60)).await;
        return Ok(());
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let request = match switchover::http1::parse_request(&head, &switchover::http1::HeadLimits::default()) {
        Ok(switchover::http1::Parsed::Complete { parts, .. }) => parts,
        other => panic!("{other:?}"),
    };
    let switch = switching_protocols(&request);
    match behaviour {
        Behaviour::Repeats(first, again, times) => {
            stream.write_all(first).await?;
            loop {
                stream.write_all(&again.repeat(times)).await?;
            }
        }
        Behaviour::Switched(first, again, times) => {
            stream.write_all(&switch).await?;
            stream.write_all(first).await?;
            loop {
                stream.write_all(&again.repeat(times)).await?;
            }
        }
        Behaviour::Drips(first, again) => {
            stream.write_all(first).await?;
            loop {
                stream.write_all(again).await?;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        Behaviour::AnswersOnePing => {
            stream.write_all(&switch).await?;
            let mut ping = [0; 11];
            stream.read_exact(&mut ping).await?;
            stream.write_all(b"\x8a\x05first").await?;
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        Behaviour::Deaf => {}
    }
    Ok(())
}

async fn ends(flags: &str, scheme: &str, behaviour: Behaviour) -> (Examined, Duration) {
    let port = peer(behaviour).await;
    let start = Instant::now();
    let examined = examine(&format!(
        "--timeout 1s --insecure {flags}{scheme}://127.0.0.1:{port}/"
    ))
    .await;
    (examined, start.elapsed())
}

#[tokio::test]
async fn each_is_found_by_its_name_and_in_time() {
    use Behaviour::{AnswersOnePing, Deaf, Drips, Repeats, Switched};
    const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";
    const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let cases: Vec<(&str, &str, &str, Behaviour, &str)> = vec![
        (
            "interim responses",
            "",
            "ws",
            Repeats(b"", INTERIM, 1000),
            "interim-without-end",
        ),
        (
            "interim responses, now and then",
            "",
            "ws",
            Drips(b"", INTERIM),
            "interim-without-end",
        ),
        (
            "one interim response, and silence",
            "",
            "ws",
            Drips(INTERIM, b""),
            "interim-without-end",
        ),
        (
            "a head",
            "",
            "ws",
            Repeats(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n", 1000),
            "answer-head-too-large",
        ),
        (
            "a head, byte by byte",
            "",
            "ws",
            Drips(b"HTTP/1.1 200 OK\r\nA: ", b"x"),
            "answer-incomplete",
        ),
        (
            "a status line",
            "",
            "ws",
            Repeats(b"HTTP/1.1 200 ", b"O", 1000),
            "answer-head-too-large",
        ),
        (
            "a body",
            "",
            "ws",
            Repeats(PAGE, b"data: 1\n\n", 1000),
            "upgrade-lost",
        ),
        (
            "a body, line by line",
            "",
            "ws",
            Drips(PAGE, b"data: 1\n\n"),
            "upgrade-lost",
        ),
        (
            "redirections",
            "",
            "ws",
            Drips(
                b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /a\r\n\r\n",
                b"",
            ),
            "redirect",
        ),
        (
            "pongs",
            "",
            "ws",
            Switched(b"", b"\x8a\x00", 5000),
            "frames-without-end",
        ),
        (
            "pings",
            "",
            "ws",
            Switched(b"", b"\x89\x00", 5000),
            "frames-without-end",
        ),
        (
            "empty frames",
            "",
            "ws",
            Switched(b"", b"\x82\x00", 5000),
            "frames-without-end",
        ),
        (
            "fragments",
            "",
            "ws",
            Switched(b"\x01\x00", b"\x00\x00", 5000),
            "frames-without-end",
        ),
        (
            "large frames",
            "",
            "ws",
            Switched(b"", b"\x82\x7f\0\0\xff\0\0\0\0\0", 1),
            "no-frames",
        ),
        (
            "a Close without an answer",
            "",
            "ws",
            AnswersOnePing,
            "close-unanswered",
        ),
        (
            "pings in silence",
            "--idle 1s ",
            "ws",
            Switched(b"\x8a\x05first", b"\x89\x00", 100),
            "frames-without-end",
        ),
        ("TLS", "", "wss", Deaf, "tls-timed-out"),
        ("a peer that reads nothing", "", "ws", Deaf, "no-answer"),
    ];
    let mut running = JoinSet::new();
    for (stimulus, flags, scheme, behaviour, expected) in cases {
        running.spawn(async move {
            let (examined, took) = ends(flags, scheme, behaviour).await;
            let found = examined.found.first().and_then(|found| found.first());
            assert_eq!(
                found.map(String::as_str),
                Some(expected),
                "{stimulus}: {}",
                examined.text
            );
            assert!(took < Duration::from_secs(30), "{stimulus}: {took:?}");
            assert!(
                examined.text.len() < 16 * 1024,
                "{stimulus}: {} bytes",
                examined.text.len()
            );
        });
    }
    while let Some(done) = running.join_next().await {
        done.expect("each holds");
    }
}

/// All steps together end by the deadline, however many there are.
#[tokio::test]
async fn one_deadline_for_everything() {
    let port = peer(Behaviour::Drips(b"HTTP/1.1 200 OK\r\nA: ", b"x")).await;
    let start = Instant::now();
    let examined = examine(&format!("--timeout 20s --deadline 1s ws://127.0.0.1:{port}/")).await;
    examined.finds(&[&["answer-incomplete"]]);
    examined.says("the deadline of the examination has passed");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

/// `doctor … | head -1`, and a log that is not read any more.
#[cfg(unix)]
#[tokio::test]
async fn no_reader_of_its_output() {
    let shell = |script: String| async move {
        let mut command = tokio::process::Command::new("sh");
        command
            .args(["-c", &script])
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = tokio::time::timeout(Duration::from_secs(20), command.output()).await;
        output.expect("it ends in time").expect("it starts")
    };
    let program = executable("doctor");
    let program = program.display();
    let origin = origin();
    for arguments in [
        format!("ws://{}/", origin.address),
        "--help".to_owned(),
        "--no-such-flag".to_owned(),
    ] {
        // The pipe has no reader when the program begins to write.
        let script = format!("(sleep 0.3; {program} {arguments} 2>&1 3>&-; echo $? >&3) 3>&2 | true");
        let output = shell(script).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let status = if arguments.starts_with("--no") {
            "2\n"
        } else {
            "0\n"
        };
        assert_eq!(said, status, "{arguments}: nothing but its exit status");
    }
    // An origin whose log has no reader ends at the next line of it.
    let mut listening = Command::new(executable("doctor"))
        .args(["--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let output = listening.stdout.take().expect("it is piped");
    let (sender, line) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(output), &mut line);
        let _ = sender.send(read.map(|_| line));
    });
    let line = within("the line that says where it listens", line).await;
    let line = line.expect("it is read").expect("it can be read");
    let address = line
        .trim()
        .rsplit(' ')
        .next()
        .expect("it names its address")
        .to_owned();
    run(&[&format!("ws://{address}/")]).await;
    let deadline = Instant::now() + Duration::from_secs(10);
    let status = loop {
        if let Some(status) = listening.try_wait().expect("it can be asked") {
            break status;
        }
        assert!(Instant::now() < deadline, "it goes on without a reader");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert!(status.success(), "{status}");
}

/// Ctrl-C, while it waits.
#[cfg(unix)]
#[tokio::test]
async fn an_interrupt_ends_it() {
    use std::os::unix::process::ExitStatusExt;
    let port = peer(Behaviour::Deaf).await;
    // A job in the background of a shell without job control ignores interrupts, and its children inherit that.
    let mut waiting = Command::new("env")
        .arg("--default-signal=INT")
        .arg(executable("doctor"))
        .args(["--timeout", "50s", &format!("ws://127.0.0.1:{port}/")])
        .stdout(Stdio::null())
        .spawn()
        .expect("it starts");
    let id = waiting.id().to_string();
    // Again and again: one that comes before `env` has done its work may be ignored.
    let deadline = Instant::now() + Duration::from_secs(20);
    let status = loop {
        tokio::time::sleep(Duration::from_millis(300)).await;
        if let Some(status) = waiting.try_wait().expect("it can be asked") {
            break status;
        }
        if Instant::now() > deadline {
            let _ = waiting.kill();
        }
        let interrupt = Command::new("kill").args(["-INT", &id]).status();
        assert!(interrupt.expect("kill runs").success());
    };
    assert_eq!(status.signal(), Some(2), "{status}");
}
