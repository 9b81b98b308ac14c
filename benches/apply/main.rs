//! netapply compared with `ip -batch` with the same commands, and with the kernel alone: the same netlink messages,
//! prepared beforehand and written to one socket. All in one run, interleaved, as medians.
//!
//! `cargo bench --bench apply` runs case c, in a network namespace of the running kernel (needs root). `cargo bench
//! --bench apply -- --guest` runs cases a and b, in a guest with Debian's kernel, which is emulated in software and
//! whose clock counts instructions, a nanosecond each: a wall clock would measure how much code QEMU retranslates for
//! each process, and ip(8) is small. `NETAPPLY_ROUNDS` is how often each is measured.
//!
//! "To the state" is from exec to the kernel's answer to the last message, by the log's time stamp; the whole process
//! also reads the state again, checks it, and writes log and report. Nothing is judged here.

mod cases;
mod round;

use std::collections::BTreeMap;

use cases::{CASES, Case, NICS};
use harness::guest::Guest;
use round::{WAYS, Way};

/// The samples of a case, by what was measured.
type Samples = BTreeMap<String, Vec<f64>>;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).filter(|word| word != "--bench").collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        [] => print(&on_this_kernel(rounds(9))),
        ["--guest"] => print(&in_a_guest(&["a", "b"], rounds(3))),
        ["--guest", case] => print(&in_a_guest(&[case], rounds(3))),
        ["--inside", case, way] => inside(case, way),
        _ => eprintln!("cargo bench --bench apply [-- --guest [a | b]]"),
    }
}

fn rounds(usual: usize) -> usize {
    std::env::var("NETAPPLY_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

fn on_this_kernel(rounds: usize) -> Vec<(&'static Case, Samples)> {
    round::seclude(true);
    measure(&["c", "c-1000"], rounds, |case, (_, way), samples| {
        round::once(case, way, &mut |what, value| add(samples, what, value));
    })
}

/// Each measurement is a script of its own, because a script has a bound.
fn in_a_guest(cases: &[&str], rounds: usize) -> Vec<(&'static Case, Samples)> {
    let [first, second] = NICS;
    let builder = Guest::builder().memory(1024).counted().nic(first, 1).nic(second, 2);
    let mut guest = builder.netapply().inside().boot();
    measure(cases, rounds, |case, (way, _), samples| {
        for line in guest.ok(&format!("exec inside --inside {} {way}", case.name)).lines() {
            let (what, value) = line.split_once(' ').expect("a name and a number");
            add(samples, what, value.parse().expect("a number"));
        }
    })
}

/// The guest's side: prints what it measures.
fn inside(case: &str, way: &str) {
    let case = CASES.iter().find(|c| c.name == case).expect("a case");
    let (_, way) = WAYS.iter().find(|(name, _)| *name == way).expect("a way");
    // The guest's own NICs are in its first namespace.
    round::seclude(false);
    round::once(case, *way, &mut |what, value| println!("{what} {value}"));
}

fn measure(
    names: &[&str],
    rounds: usize,
    mut once: impl FnMut(&Case, (&str, Way), &mut Samples),
) -> Vec<(&'static Case, Samples)> {
    let cases = CASES.iter().filter(|case| names.contains(&case.name));
    let mut all: Vec<(&Case, Samples)> = cases.map(|case| (case, Samples::new())).collect();
    for number in 0..rounds {
        for (case, samples) in &mut all {
            for way in WAYS.iter().cycle().skip(number % WAYS.len()).take(WAYS.len()) {
                once(case, *way, samples);
            }
        }
    }
    all
}

fn add(samples: &mut Samples, what: &str, value: f64) {
    samples.entry(what.to_owned()).or_default().push(value);
}

/// The rows of the README's table, and how the largest case grows.
fn print(all: &[(&Case, Samples)]) {
    let median = |samples: &Samples, what: &str| {
        let mut values = samples.get(what).cloned().unwrap_or_default();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
    };
    println!(
        "| case | `ip -batch` | to the state | whole process | floor | applying alone | second run | memory |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for (case, samples) in all {
        let of = |what| median(samples, what);
        let beside = |what, base: f64| format!("{:.1} ms ({:.2})", of(what), of(what) / base);
        let ip = of("ip");
        println!(
            "| {}: {} | {ip:.1} ms | {} | {} | {:.1} ms | {} | {} | {:.1} MiB |",
            case.name,
            case.title,
            beside("state", ip),
            beside("netapply", ip),
            of("floor"),
            beside("alone", of("floor")),
            beside("second", of("parse") + of("dump")),
            of("memory"),
        );
        let (start, parse, dump) = (of("start"), of("parse"), of("dump"));
        println!("  starting the program {start:.1} ms, parsing {parse:.1} ms, one dump {dump:.1} ms");
    }
    println!(
        "In brackets: beside ip -batch; applying alone beside the floor; the second run beside parsing and a dump."
    );
    let of = |name, what| all.iter().find(|(case, _)| case.name == name).map(|(_, s)| median(s, what));
    if let (Some(large), Some(small)) = (of("c", "state"), of("c-1000", "state")) {
        println!("From 1,000 to 10,000 routes: {small:.1} ms to {large:.1} ms, {:.1} times.", large / small);
    }
}
