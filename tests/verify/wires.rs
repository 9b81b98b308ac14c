//! The machine's wires: veth pairs into namespaces that stand for switches, routers and other hosts.

use std::fs::File;
use std::future::pending;
use std::time::Duration;

use netapply::diagnostic::Code;
use netapply::model::Kind;
use netapply::report::Builder;
use netapply::verify::checks::Outcome;
use netapply::verify::input::{DesiredLink, DesiredRoute, Input};
use netapply::verify::{Review, Verification, verify};
use nix::sched::{CloneFlags, setns};

pub(crate) use harness::wire::{in_machine, sh, wire};

/// Runs `body` in a thread of the named namespace; returns when it ends.
pub(crate) fn inside<T: Send + 'static>(at: &str, body: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_inside(at, body).join().unwrap()
}

/// Runs `body` in a thread of the named namespace.
pub(crate) fn spawn_inside<T: Send + 'static>(
    at: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> std::thread::JoinHandle<T> {
    let file = File::open(format!("/run/netns/{at}")).expect("the namespace is there");
    std::thread::spawn(move || {
        setns(file, CloneFlags::CLONE_NEWNET).expect("root may enter namespaces");
        body()
    })
}

/// A NIC with an address and, if given, a default route.
pub(crate) fn nic(name: &str, address: &str, gateway: Option<&str>) -> DesiredLink {
    let mut link = DesiredLink::new(name, name, Kind::Physical);
    link.addresses = vec![address.parse().unwrap()];
    let everything = if address.contains(':') { "::/0" } else { "0.0.0.0/0" };
    link.routes = gateway
        .map(|via| DesiredRoute::new(everything.parse().unwrap(), via.parse().ok()))
        .into_iter()
        .collect();
    link
}

/// The description of these links, with the targets.
pub(crate) fn input(links: Vec<DesiredLink>, resolvers: &[&str], targets: &[&str]) -> Input {
    let resolvers = resolvers.iter().map(|r| r.parse().unwrap()).collect();
    let targets = targets.iter().map(|t| t.parse().unwrap()).collect();
    Input { links, resolvers, targets, ..Input::default() }
}

/// Verifies with a deadline in seconds. No steps count as remaining. The report matches its schema.
pub(crate) async fn run(input: &Input, seconds: u64) -> Verification {
    reviewed(input, seconds, async || Review::default()).await
}

/// The same, compared with the description as `review` says.
pub(crate) async fn reviewed(
    input: &Input,
    seconds: u64,
    review: impl AsyncFnMut() -> Review,
) -> Verification {
    let progress = &mut |line: &str| eprintln!("{line}");
    let verification = verify(input, Duration::from_secs(seconds), review, progress, pending()).await;
    assert_schema(input, verification.clone());
    verification
}

fn assert_schema(input: &Input, verification: Verification) {
    let exit = u8::from(!verification.passed());
    let builder = Builder { input: Some(input), verification: Some(verification), ..Builder::default() };
    let report = serde_json::to_value(builder.finish(exit)).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/schema/report.v1.json");
    let mut schemas = boon::Schemas::new();
    let index = boon::Compiler::new().compile(path, &mut schemas).unwrap();
    if let Err(wrong) = schemas.validate(&report, index) {
        panic!("{wrong:#}\n{report:#}");
    }
}

/// Fails unless the value matches that schema.
pub(crate) fn assert_fits(schema: &str, value: &serde_json::Value) {
    let path = format!("{}/docs/schema/{schema}.v1.json", env!("CARGO_MANIFEST_DIR"));
    let mut schemas = boon::Schemas::new();
    let index = boon::Compiler::new().compile(&path, &mut schemas).unwrap();
    if let Err(wrong) = schemas.validate(value, index) {
        panic!("{wrong:#}\n{value:#}");
    }
}

/// The causes' codes and messages, for a failing test to show.
pub(crate) fn causes(verification: &Verification) -> Vec<(Code, String)> {
    verification.causes.iter().map(|c| (c.code, c.message.clone())).collect()
}

/// The outcome of the check of this kind for this object.
pub(crate) fn outcome(verification: &Verification, code: Code, object: &str) -> Option<Outcome> {
    verification.checks.iter().find(|c| c.code == code && c.subject.to_string() == object).map(|c| c.outcome)
}

/// Nothing failed, nothing is reported.
pub(crate) fn assert_healthy(verification: &Verification) {
    assert!(verification.passed() && verification.causes.is_empty(), "{:#?}", verification);
}

/// The first cause is this one, with these words in its message.
pub(crate) fn assert_cause(verification: &Verification, code: Code, words: &[&str]) {
    let causes = causes(verification);
    let Some((first, message)) = causes.first() else { panic!("no cause: {:#?}", verification.checks) };
    assert_eq!(*first, code, "{causes:#?}\n{:#?}", verification.checks);
    for word in words {
        assert!(message.contains(word), "{message} lacks {word}");
    }
}
