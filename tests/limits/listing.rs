//! What it costs to list the tunnels of a registry. Instructions are counted by valgrind, so a busy machine changes nothing.

use support::instructions;
use switchover::tunnel::{Listing, TunnelWatch, Tunnels};

use crate::table;

const FEW: usize = 1_000;
const MANY: usize = 10_000;

/// 100,000 tunnels have to be listed within 50 ms. A slow processor has a thousand instructions in a microsecond, so these are what there is
/// for each tunnel, and they suffice for a build without optimization.
const MOST: f64 = 500.0;

/// What a page of tunnels looks at to choose those that it shows.
fn looked_at(tunnel: &TunnelWatch) -> u64 {
    tunnel.from_downstream() + tunnel.from_upstream()
}

/// Valgrind counts from the call of this to its return.
#[inline(never)]
fn counted(tunnels: &Tunnels) -> u64 {
    tunnels.iter().map(|tunnel| looked_at(&tunnel)).sum()
}

/// So many tunnels that are open.
fn open(count: usize) -> (Tunnels, Vec<impl Sized>) {
    let tunnels = Tunnels::new();
    let one = |_| {
        let (client, mut tunnel, origin) = table();
        tunnel.list_in(&tunnels, Listing::default().upstream("10.0.0.1:9000"));
        (client, tunnel, origin)
    };
    let open = (0..count).map(one).collect();
    (tunnels, open)
}

/// Not a test of its own: what the test below counts.
#[test]
fn child() {
    if instructions::is_counted() {
        for count in [FEW, MANY] {
            let (tunnels, _open) = open(count);
            assert_eq!(counted(&tunnels), 0);
        }
    }
}

#[test]
fn each_tunnel_of_a_list_costs_the_same_however_many_there_are() {
    if !instructions::can_be_counted() {
        return;
    }
    let counts = instructions::of_calls("limits::listing::counted", "listing::child", 2);
    let each = [counts[0] as f64 / FEW as f64, counts[1] as f64 / MANY as f64];
    println!("instructions for a tunnel: {each:.1?}");
    assert!(each[1] <= 1.1 * each[0], "{each:?}");
    assert!(each[1] <= MOST, "{each:?}");
}
