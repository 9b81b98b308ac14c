//! How the cost of a verification grows: `cargo test --release --test verify growth -- --ignored --nocapture`.

use std::fmt::Write;
use std::time::Duration;

use netapply::verify::Review;
use netapply::verify::input::DesiredRoute;

use crate::wires::{in_machine, input, nic, reviewed, sh, wire};
use harness::namespace::ip_batch;

/// Processor time of this thread, in milliseconds.
fn cpu() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec.
    assert_eq!(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) }, 0);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

/// This many gateways, each with ten routes behind it.
fn gateways(count: u32) {
    in_machine(async move || {
        wire("eth0", "router", "port0");
        let address = |number: u32| format!("10.0.{}.{}", 1 + number / 250, 1 + number % 250);
        let mut lines = String::from("address add 10.0.0.2/16 dev eth0\n");
        let mut link = nic("eth0", "10.0.0.2/16", None);
        for number in 0..count {
            for route in 0..10 {
                let to = format!("100.{}.{}.{route}/32", 64 + number / 250, number % 250);
                writeln!(lines, "route add {to} via {} dev eth0 onlink", address(number)).unwrap();
                link.routes.push(DesiredRoute::new(to.parse().unwrap(), address(number).parse().ok()));
            }
        }
        let mut theirs = String::new();
        (0..count)
            .for_each(|number| writeln!(theirs, "address add {}/16 dev port0", address(number)).unwrap());
        std::fs::write("/run/theirs", theirs).unwrap();
        sh("ip -n router -batch /run/theirs");
        ip_batch(&lines.lines().collect::<Vec<_>>()).unwrap();
        let input = input(vec![link], &[], &[]);
        let before = cpu();
        let verification = reviewed(&input, 60, async || Review::default()).await;
        let (spent, seconds) = (cpu() - before, Duration::from_secs_f64(verification.seconds));
        assert!(verification.passed(), "{:#?}", verification.causes);
        eprintln!("{count} gateways, {} routes: {spent} ms of processor time, {seconds:.1?}", count * 10);
    });
}

#[test]
#[ignore = "a measurement"]
fn growth_of_gateways() {
    [10, 100, 1000].into_iter().for_each(gateways);
}

/// So many echoes do not make each other lose replies, and no check waits in vain.
#[test]
fn a_thousand_gateways_work() {
    gateways(1000);
}
