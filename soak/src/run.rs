//! A run: thousands of clients, servers that leave and come back, drains, and what must be there again at the end.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use support::certificates::{Authority, VERSIONS};
use switchover::tunnel::{EndRequest, Schedule};
use switchover::websocket::CloseCode;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::ClientConfig;

use crate::Settings;
use crate::client::{Client, Story};
use crate::count::{Books, Count, Ending, LANES, Lane};
use crate::doors::{self, Door};
use crate::origin::Origin;
use crate::pattern::Random;
use crate::process;
use crate::stream::Stop;

/// How many clients begin in a second.
const BEGIN: u64 = 100;
/// How long an origin is away.
const AWAY: Duration = Duration::from_secs(2);
/// The library keeps up to eight empty pipes for splicing in each thread, which nobody closes before it is wanted again.
const PIPE_DESCRIPTORS: usize = 16;

pub(crate) struct Run {
    pub(crate) books: Arc<Books>,
    pub(crate) doors: Vec<Door>,
    pub(crate) origins: Vec<Arc<Origin>>,
    pub(crate) client_tls: Arc<ClientConfig>,
    patience: Duration,
    over: watch::Sender<bool>,
    away: Count,
    drains: Count,
}

impl Run {
    pub(crate) fn is_over(&self) -> bool {
        *self.over.borrow()
    }

    pub(crate) async fn over(self: Arc<Self>) {
        let _ = self.over.subscribe().wait_for(|over| *over).await;
    }

    fn open(&self) -> usize {
        self.doors.iter().map(|door| door.tunnels.len()).sum()
    }

    fn open_at_origins(&self) -> u64 {
        self.origins.iter().map(|origin| origin.open.get()).sum()
    }
}

/// What a run has seen beside what its clients have counted.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    most_tunnels: usize,
    most_descriptors: usize,
    left: u64,
    drains: u64,
    resident: Vec<u64>,
}

/// Runs for a time with so many clients. Returns whether everything has arrived and nothing is left.
pub(crate) async fn run(settings: Settings) -> io::Result<bool> {
    let Settings {
        tunnels: clients,
        time,
        seed,
        ..
    } = settings;
    let books = Arc::new(Books::default());
    let authority = Authority::new();
    let origins = vec![
        Origin::start(0, books.clone()).await?,
        Origin::start(1, books.clone()).await?,
    ];
    let mut doors = doors::open(&books, &origins, &authority).await?;
    if let Some(fault) = settings.fault {
        let door = &mut doors[Lane::Gateway as usize];
        door.address = fault.in_front_of(door.address).await?;
    }
    let run = Arc::new(Run {
        doors,
        patience: settings.patience,
        client_tls: Arc::new(authority.client(&VERSIONS, None)),
        books,
        origins,
        over: watch::Sender::new(false),
        away: Count::default(),
        drains: Count::default(),
    });
    let (before, pipes_before) = (process::descriptors()?, process::pipes()?);
    println!(
        "{clients} clients for {} seconds, seed {seed}, {before} descriptors open",
        time.as_secs()
    );

    let (mut slots, begun) = (JoinSet::new(), Instant::now());
    for slot in 0..clients {
        let begin = begun + Duration::from_millis(slot * 1000 / BEGIN);
        slots.spawn(client(run.clone(), slot, begin, seed));
    }
    let leaving = tokio::spawn(leave_and_return(run.clone(), time));
    let draining = tokio::spawn(drain_some(run.clone(), time));
    let mut seen = watch_over(&run, begun + time).await?;

    run.over.send_replace(true);
    for door in doors_with_frames(&run) {
        door.tunnels
            .drain(Schedule::default().spread(Duration::from_secs(2)));
    }
    if timeout(run.patience, async { while slots.join_next().await.is_some() {} })
        .await
        .is_err()
    {
        run.books.fault(format!("{} clients hang", slots.len()));
    }
    seen.left = leaving.await?;
    seen.drains = draining.await?;
    let after = settled(&run, before).await?;
    run.books.check_raw_totals();
    run.books.check_nothing_is_left([
        (run.open() as u64, "tunnels"),
        (run.open_at_origins(), "connections at origins"),
        (after.saturating_sub(before) as u64, "descriptors"),
    ]);
    let pipes = process::pipes()?.saturating_sub(pipes_before);
    let workers = tokio::runtime::Handle::current().metrics().num_workers();
    if pipes > workers * PIPE_DESCRIPTORS {
        run.books.fault(format!("{pipes} descriptors of pipes are left"));
    }
    report(&run, &seen, before, after)
}

fn doors_with_frames(run: &Run) -> impl Iterator<Item = &Door> {
    let lanes = LANES.iter().zip(&run.doors);
    lanes
        .filter(|((lane, _), _)| lane.has_frames())
        .map(|(_, door)| door)
}

/// One client after the other, until the time is over. Fifteen of sixteen hold their tunnels.
async fn client(run: Arc<Run>, slot: u64, begin: Instant, seed: u64) {
    let mut random = Random::new(seed ^ (slot << 20));
    tokio::select! {
        () = tokio::time::sleep_until(begin) => {}
        () = run.clone().over() => return,
    }
    let mut turn = 0;
    while !run.is_over() {
        let lane = LANES[random.between(0, LANES.len() as u64 - 1) as usize].0;
        let story = match (slot % 16, random.between(0, 4), lane.has_frames()) {
            (1.., _, _) => Story::Hold,
            (_, 0, _) => Story::Talk,
            (_, 1, _) => Story::Stall,
            (_, 2, _) => Story::ResetByClient,
            (_, 3, false) => Story::ResetByOrigin,
            (_, _, false) => Story::Swap,
            (_, _, true) => Story::Talk,
        };
        tell(&run, lane, story, (slot << 24) + (turn << 1), &mut random).await;
        turn += 1;
        if story != Story::Hold {
            sleep(Duration::from_millis(random.between(500, 2000))).await;
        }
    }
}

async fn tell(run: &Arc<Run>, lane: Lane, story: Story, id: u64, random: &mut Random) {
    let times_left = || run.origins.iter().map(|origin| origin.times_left());
    let before: Vec<u64> = times_left().collect();
    let was_away = run.away.get() > 0;
    let mut client = Client {
        run,
        lane,
        story,
        id,
        random,
        missing: 0,
    };
    let mut origin = None;
    let limit = match story {
        Story::Hold => run.patience + Duration::from_secs(120),
        _ => run.patience,
    };
    let ended = timeout(limit, client.tell(&mut origin)).await;
    let missing = client.missing;
    let has_left = match &origin {
        Some(origin) => run
            .origins
            .iter()
            .zip(&before)
            .any(|(one, before)| Arc::ptr_eq(one, origin) && one.times_left() != *before),
        None => was_away || run.away.get() > 0 || times_left().ne(before.iter().copied()),
    };
    let counts = run.books.lane(lane);
    let ending = match ended {
        Ok(Ok(ending)) => Ok(ending),
        Ok(Err(Stop::Fault(text))) => Err(text),
        // A door that drains refuses what begins just then.
        Ok(Err(Stop::Declined(status)))
            if origin.is_none() && (has_left || status == 503 && lane.has_frames() && run.is_over()) =>
        {
            let when = if run.is_over() {
                "at the end"
            } else {
                "while a server was away"
            };
            run.books.refused(format!("{status} {when}"));
            Ok(Ending::Refused)
        }
        Ok(Err(Stop::Broken(error))) if origin.is_none() && has_left => {
            run.books.refused(error.to_string());
            Ok(Ending::Refused)
        }
        Ok(Err(Stop::Broken(_) | Stop::Close(_))) if has_left => Ok(Ending::OriginLeft),
        Ok(Err(Stop::Close(Some(1001)))) if run.drains.get() > 0 || run.is_over() => Ok(Ending::Drained),
        Ok(Err(Stop::Declined(status))) => Err(format!("declined with {status}")),
        Ok(Err(Stop::Close(code))) => Err(format!("closed with {code:?}")),
        Ok(Err(Stop::Broken(error))) => Err(format!("broken: {error}")),
        Err(_) => Err(format!("no end within {limit:?}")),
    };
    match ending {
        Ok(ending) => {
            counts.endings[ending as usize].add(1);
            match ending {
                Ending::Closed | Ending::HalfClosed if missing > 0 => {
                    counts.lost.add(missing);
                    run.books
                        .fault(format!("{lane:?} {story:?} {id}: {missing} bytes are missing"));
                }
                _ => counts.cut.add(missing),
            }
        }
        Err(text) => {
            counts.lost.add(missing);
            let from = origin.map_or("no origin".to_owned(), |origin| {
                format!("origin {}", origin.address)
            });
            run.books.fault(format!(
                "{lane:?} {story:?} {id}, {from}: {text}; {missing} bytes are missing"
            ));
        }
    }
}

/// Ends when the time is over: the most that was open meanwhile.
async fn watch_over(run: &Run, end: Instant) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let mut next_line = Instant::now() + Duration::from_secs(60);
    while Instant::now() < end {
        seen.most_tunnels = seen.most_tunnels.max(run.open());
        seen.most_descriptors = seen.most_descriptors.max(process::descriptors()?);
        if Instant::now() >= next_line {
            let resident = process::resident_kb()?;
            seen.resident.push(resident);
            println!(
                "{} tunnels, {} opened, {} faults, {} descriptors, {resident} KB resident",
                run.open(),
                run.doors.iter().map(|door| door.tunnels.opened()).sum::<u64>(),
                run.books.faults(),
                process::descriptors()?,
            );
            next_line += Duration::from_secs(60);
        }
        sleep(Duration::from_secs(1).min(end - Instant::now())).await;
    }
    Ok(seen)
}

/// One origin after the other is away for a while. Returns how often.
async fn leave_and_return(run: Arc<Run>, time: Duration) -> u64 {
    let pause = (time / 5).clamp(Duration::from_secs(2), Duration::from_secs(30));
    let mut times = 0;
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = run.clone().over() => return times,
        }
        run.away.add(1);
        let origin = &run.origins[times as usize % run.origins.len()];
        if let Err(error) = origin.leave(AWAY).await {
            run.books.fault(format!("an origin cannot come back: {error}"));
        }
        // Those that found it away may still be on their way.
        sleep(Duration::from_secs(1)).await;
        run.away.sub(1);
        times += 1;
    }
}

/// A part of the tunnels is closed now and then. Returns how many were.
async fn drain_some(run: Arc<Run>, time: Duration) -> u64 {
    let pause = (time / 7).clamp(Duration::from_secs(2), Duration::from_secs(20));
    let request = EndRequest::close(CloseCode::GOING_AWAY, "").expect("a code that may be sent");
    let (mut selected, mut turn) = (0, 0);
    loop {
        tokio::select! {
            () = sleep(pause) => {}
            () = run.clone().over() => return selected,
        }
        run.drains.add(1);
        for door in doors_with_frames(&run) {
            let select = |_: &_| {
                turn += 1;
                turn % 20 == 0
            };
            selected += door.tunnels.end_where(select, &request, Duration::from_secs(1)) as u64;
        }
    }
}

/// Waits until everything is closed. Returns how many descriptors are open then.
async fn settled(run: &Run, before: usize) -> io::Result<usize> {
    let end = Instant::now() + run.patience / 3;
    loop {
        let after = process::descriptors()?;
        let is_settled = after <= before && run.open() == 0 && run.open_at_origins() == 0;
        if is_settled || Instant::now() >= end {
            return Ok(after);
        }
        sleep(Duration::from_millis(100)).await;
    }
}

fn report(run: &Run, seen: &Seen, before: usize, after: usize) -> io::Result<bool> {
    println!();
    run.books.print();
    println!(
        "\nup and down are payloads; where there are frames the proxy carries their headers, pings and Closes too"
    );
    println!(
        "at most {} tunnels and {} descriptors at once; origins left {} times, {} tunnels were drained before the end",
        seen.most_tunnels, seen.most_descriptors, seen.left, seen.drains
    );
    println!(
        "at the end: {} tunnels, {} connections at origins, {after} descriptors ({before} before), {} faults",
        run.open(),
        run.open_at_origins(),
        run.books.faults()
    );
    println!("refusals: {:?}", run.books.refusals());
    println!(
        "{:.0} seconds of processor time; resident memory each minute, in MB: {:?}",
        process::processor_seconds()?,
        seen.resident.iter().map(|kb| kb / 1000).collect::<Vec<_>>()
    );
    Ok(run.books.faults() == 0)
}
