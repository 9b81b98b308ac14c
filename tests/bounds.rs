//! Ten megabytes of the worst input lead to a description or a diagnostic within 128 MiB and a bounded amount of work,
//! in every format. Memory is the allocator's peak; work is how often and how much it is asked for, because a clock
//! would measure the machine. The input takes the whole path: recognise, read, render every message, join with a
//! machine, plan, print.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fmt::Write as _;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use netapply::diagnostic::Renderer;
use netapply::inventory::Inventory;
use netapply::page::Style;
use netapply::resolve::Missing;
use netapply::{format, plan, resolve};

/// Counts what each thread requests of the system's allocator.
struct Counting;

thread_local! {
    // Cells have no destructor, and can be used for as long as the thread allocates. Signed: a thread may free what
    // another one has allocated.
    static NOW: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static CALLS: Cell<usize> = const { Cell::new(0) };
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn grown(by: usize) {
    NOW.set(NOW.get() + by as isize);
    PEAK.set(PEAK.get().max(NOW.get()));
    CALLS.set(CALLS.get() + 1);
    BYTES.set(BYTES.get() + by);
}

fn shrunk(by: usize) {
    NOW.set(NOW.get() - by as isize);
}

// SAFETY: every call is passed to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        grown(layout.size());
        // SAFETY: the caller upholds the system allocator's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        shrunk(layout.size());
        // SAFETY: as above; the memory came from the system's allocator.
        unsafe { System.dealloc(at, layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Old and new coexist for a while, unless memory can grow in place.
        grown(size);
        shrunk(layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(at, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const MEGABYTE: usize = 1_000_000;
const MOST_MEMORY: isize = 128 << 20;
/// Ten megabytes that are read to the end make half a million values at most; the rest is copies and messages.
const MOST_CALLS: usize = 6_000_000;
const MOST_BYTES: usize = 1 << 30;

/// `head`, `unit` as often as ten megabytes hold it, `tail`.
fn filled(head: &str, unit: &str, tail: &str) -> String {
    let times = (10 * MEGABYTE - head.len() - tail.len()) / unit.len();
    format!("{head}{}{tail}", unit.repeat(times))
}

/// As [`filled`], each unit with its number; `most` units.
fn numbered(head: &str, most: usize, unit: impl Fn(usize) -> String, tail: &str) -> String {
    let mut text = head.to_owned();
    for number in 0..most {
        if text.len() > 10 * MEGABYTE - 200 {
            break;
        }
        text.push_str(&unit(number));
    }
    text + tail
}

const ALL: usize = usize::MAX;
const V2: &str = "network:\n  version: 2\n";
const ETHERNETS: &str = "network:\n  version: 2\n  ethernets:\n";
const LO: &str = "auto lo\niface lo inet loopback\n";

fn bomb() -> String {
    let mut bomb = format!("{V2}  x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n");
    for level in 1..20 {
        let ten = vec![format!("*x{}", level - 1); 10].join(", ");
        let _ = writeln!(bomb, "  x{level}: &x{level} [{ten}]");
    }
    bomb
}

fn null_links_of_every_kind() -> String {
    let section =
        |name: &str| numbered(&format!("  {name}:\n"), 19_000, |n| format!("    {}{n}:\n", &name[..2]), "");
    let sections = ["ethernets", "bonds", "bridges", "dummy-devices", "vrfs"];
    format!("{V2}{}", sections.map(section).concat())
}

fn links_with_networks() -> String {
    let links = numbered("{\"links\":[", 9_900, |n| format!("{{\"id\":\"l{n}\"}},"), "{\"id\":\"l\"}],");
    numbered(&format!("{links}\"networks\":["), 9_900, |n| format!("{{\"link\":\"l{n}\"}},"), "{}]}")
}

fn bonds_of_what_is_not_there() -> String {
    let bond =
        |n| format!("{{\"id\":\"a{n}\",\"type\":\"bond\",\"bond_links\":[\"x{n}\"],\"bond_mode\":\"9\"}},");
    numbered("{\"links\":[", 9_900, bond, "{}]}")
}

fn routes() -> String {
    let route = |n| format!("      - {{to: 10.{}.{}.0/24, via: 192.0.2.{}}}\n", n / 250, n % 250, n % 250);
    numbered(&format!("{ETHERNETS}    e0:\n      routes:\n"), 19_000, route, "")
}

fn routes_through_what_is_not_there() -> String {
    let links = numbered("interfaces:\n", 9_900, |n| format!("- name: eth{n}x\n"), "routes:\n  config:\n");
    let route =
        |n| format!("  - {{destination: 10.{}.{}.0/24, next-hop-interface: zzq{n}}}\n", n / 250, n % 250);
    numbered(&links, 14_000, route, "")
}

fn patterns() -> String {
    let auto = numbered("auto", 19_000, |n| format!(" /*a*a*a*a*b{n}"), "\n");
    numbered(&auto, 3_000, |n| format!("iface aaaaaaaaaaaaaaaaaaaaaaaa{n} inet dhcp\n"), "")
}

fn merges() -> String {
    let merge = |n| format!("a{}: &a{} {{<<: *a{n}, k{n}: 1}}\n", n + 1, n + 1);
    numbered("a0: &a0 {a: 1}\n", 5_000, merge, "")
}

/// Built one by one: together they would be half a gigabyte.
type Text = (&'static str, fn() -> String);

const TEXTS: &[Text] = &[
    ("aliases of aliases", bomb),
    ("merges of merges", merges),
    ("a JSON list in a list", || filled("{\"links\":", "[", "")),
    ("closed lists in lists", || "[".repeat(5 * MEGABYTE) + &"]".repeat(5 * MEGABYTE)),
    ("a YAML list in a list", || filled("network: ", "[", "")),
    ("a YAML mapping in a mapping", || filled("network: ", "{a: ", "")),
    ("dashes", || filled("", "- ", "")),
    ("a flow list without an end", || filled("network: [", "a,", "")),
    ("a flow mapping of many keys", || numbered("{version: 2, ", ALL, |n| format!("k{n}: 0,"), "}")),
    ("JSON that is cut off", || numbered("{", ALL, |n| format!("\"k{n}\":0,"), "")),
    ("JSON of many keys", || numbered("{", ALL, |n| format!("\"k{n}\":0,"), "\"k\":0}")),
    ("YAML of many keys", || numbered(V2, ALL, |n| format!("  k{n}: 0\n"), "")),
    ("keys of one link", || numbered("{\"links\":[{", 19_000, |n| format!("\"k{n}\":0,"), "\"id\":\"a\"}]}")),
    ("one key again and again", || filled("{", "\"links\":[],", "\"links\":[]}")),
    ("empty links", || filled("{\"links\":[", "{},", "{}]}")),
    ("empty lists in lists", || filled("{\"links\":[", "[[],{}],", "[]]}")),
    ("links with networks", links_with_networks),
    ("bonds of what is not there", bonds_of_what_is_not_there),
    ("a JSON text of ten megabytes", || filled("{\"links\":[{\"id\":\"", "a", "\"}]}")),
    ("a YAML text of ten megabytes", || filled(ETHERNETS, "a", "")),
    ("quoted escapes", || filled("network: \"", "\\n", "\"")),
    ("a comment", || filled(V2, "#", "")),
    ("empty lines", || filled(V2, "\n", "")),
    ("null links", || numbered(ETHERNETS, ALL, |n| format!("    e{n}:\n"), "")),
    ("as many null links as there may be", || numbered(ETHERNETS, 9_900, |n| format!("    e{n}:\n"), "")),
    ("null links of every kind", null_links_of_every_kind),
    ("bonds of nothing", || {
        numbered(&format!("{V2}  bonds:\n"), 4_900, |n| format!("    b{n}: {{interfaces: [x{n}]}}\n"), "")
    }),
    ("VLANs on VLANs", || {
        numbered(
            &format!("{V2}  vlans:\n"),
            9_900,
            |n| format!("    v{n}: {{id: 5, link: v{}}}\n", n + 1),
            "",
        )
    }),
    ("routes", routes),
    ("routes through what is not there", routes_through_what_is_not_there),
    ("null items", || filled("version: 1\nconfig:\n", "-\n", "")),
    ("empty items", || numbered("version: 1\nconfig: [", 19_000, |_| "{},".to_owned(), "{}]\n")),
    ("items of one type", || {
        numbered("version: 1\nconfig:\n", 9_900, |n| format!("- {{type: physical, name: e{n}}}\n"), "")
    }),
    ("name servers", || {
        filled("{version: 1, config: [{type: nameserver, address: \"", "1.1.1.1 ", "\"}]}\n")
    }),
    ("name servers in JSON", || filled("{\"links\":[],\"dns_nameservers\":\"", "1.1.1.1 ", "\"}")),
    ("auto of many", || filled("auto", " eth0", "\n")),
    ("stanzas of one", || filled(LO, "iface eth0 inet dhcp\n", "")),
    ("stanzas of many", || numbered(LO, ALL, |n| format!("iface e{n} inet dhcp\n"), "")),
    ("options", || filled("iface eth0 inet static\n", " address 192.0.2.1/24\n", "")),
    ("commands", || filled("iface eth0 inet static\n", " up ip route add 10.0.0.0/8 via 192.0.2.1\n", "")),
    ("continued lines", || filled("iface eth0 inet static\n address ", "\\\n", "")),
    ("patterns", patterns),
    ("variables", || numbered("", ALL, |n| format!("ETH{n}_IP=192.0.2.1\n"), "")),
    ("routes in a variable", || {
        filled("ETH0_IP=192.0.2.1\nETH0_ROUTES=\"", "10.0.0.0/8 via 192.0.2.2,", "\"\n")
    }),
    ("what sets no variable", || filled("ETH0_IP=192.0.2.1\n", "x\n", "")),
    ("no text at all", || filled("", "\u{0}", "")),
    ("more than ten megabytes", || "x".repeat(11 << 20)),
];

/// The whole path of an input; returns the size of the output about it, in bytes.
fn whole(text: String) -> usize {
    let mut parsed = format::parse(vec![("text".to_owned(), text)]);
    format::for_ironic(&mut parsed);
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    let printed: usize = parsed.diagnostics.iter().map(|said| renderer.render(said).as_str().len()).sum();
    assert!(
        !parsed.diagnostics.is_empty() || !parsed.desired.links.is_empty(),
        "no description and no word about it"
    );
    let machine = Inventory::default();
    let (resolved, _) = resolve::resolve(&parsed.desired, &machine, Missing::StandIn);
    printed + plan::script::script(&plan::plan(&resolved, &machine), &[]).len()
}

/// What an input takes, and whether that is over the bounds.
fn measured(name: &str, text: String) -> (String, bool) {
    let before = NOW.get() - text.len() as isize;
    PEAK.set(NOW.get());
    let (calls, bytes) = (CALLS.get(), BYTES.get());
    let printed = whole(text);
    let peak = PEAK.get() - before;
    let (calls, bytes) = (CALLS.get() - calls, BYTES.get() - bytes);
    let (peak_mib, mib) = (peak >> 20, bytes >> 20);
    let line = format!(
        "{name}: {peak_mib} MiB at most, {calls} allocations, {mib} MiB in all, {printed} bytes printed"
    );
    (line, peak > MOST_MEMORY || calls > MOST_CALLS || bytes > MOST_BYTES)
}

#[test]
fn the_worst_inputs_take_bounded_memory_and_work() {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some((name, text)) = TEXTS.get(next.fetch_add(1, Relaxed)) {
            done.push(measured(name, text()));
        }
        done
    };
    let done: Vec<(String, bool)> = thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let workers: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        workers.into_iter().flat_map(|worker| worker.join().expect("every input is read")).collect()
    });
    assert_eq!(done.len(), TEXTS.len());
    done.iter().for_each(|(line, _)| println!("{line}"));
    let wrong: Vec<&str> =
        done.iter().filter(|(_, is_over)| *is_over).map(|(line, _)| line.as_str()).collect();
    assert!(wrong.is_empty(), "over the bounds:\n{}", wrong.join("\n"));
}
