//! What every target does: text to plan, as a boot would, on a bare machine or on one with NICs, and every message
//! rendered. Nothing of it may panic, hang or grow without bound.
//!
//! In the folder above: `tests/fuzz 10`, or `cargo +nightly fuzz run whole fuzz/corpus/whole testdata`. The first folder is
//! the one that grows, the second is only read. The targets are named after the formats; `whole` leaves the format to recognition.

use std::sync::LazyLock;

use netapply::diagnostic::Renderer;
use netapply::page::Style;
use netapply::format::{for_ironic, parse};
use netapply::inventory::Inventory;
use netapply::plan::{plan, script::script};
use netapply::resolve::{Missing, resolve};

/// Machines, with one of which a text is joined, by its length: with both, half as many texts would be tried.
static MACHINES: LazyLock<[Inventory; 2]> = LazyLock::new(|| {
    let nics = include_str!("../../testdata/network_data/link-types-outside-the-schema/inventory.json");
    [Inventory::default(), serde_json::from_str(nics).expect("an inventory")]
});

/// Reads the bytes as they are where they have the word that `head` begins with, and behind `head` elsewhere: it is what the
/// format is recognised by.
pub fn survive(head: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let word = head.split([':', ' ', '=']).next().unwrap_or_default();
    let text = if text.contains(word) { text.into_owned() } else { format!("{head}{text}") };
    let number = text.len() % MACHINES.len();
    let mut parsed = parse(vec![("fuzz".to_owned(), text)]);
    for_ironic(&mut parsed);
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    for diagnostic in &parsed.diagnostics {
        renderer.render(diagnostic);
    }
    let machine = &MACHINES[number];
    let missing = [Missing::StandIn, Missing::Report][number];
    let (resolved, _) = resolve(&parsed.desired, machine, missing);
    script(&plan(&resolved, machine), &["fuzz"]);
}
