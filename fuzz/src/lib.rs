//! What every target does: text to plan, as a boot would, on a bare machine and on one with NICs, and every message
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

/// Machines that the text is joined with.
static MACHINES: LazyLock<[Inventory; 2]> = LazyLock::new(|| {
    let nics = include_str!("../../testdata/network_data/link-types-outside-the-schema/inventory.json");
    [Inventory::default(), serde_json::from_str(nics).expect("an inventory")]
});

/// Reads the bytes as they are, and behind `head` where that makes another text: the head is what the format is
/// recognised by.
pub fn survive(head: &str, bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    whole(text.clone().into_owned());
    if !head.is_empty() && !text.starts_with(head) {
        whole(format!("{head}{text}"));
    }
}

fn whole(text: String) {
    let mut parsed = parse(vec![("fuzz".to_owned(), text)]);
    for_ironic(&mut parsed);
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    for diagnostic in &parsed.diagnostics {
        renderer.render(diagnostic);
    }
    for (machine, missing) in MACHINES.iter().zip([Missing::StandIn, Missing::Report]) {
        let (resolved, _) = resolve(&parsed.desired, machine, missing);
        script(&plan(&resolved, machine), &["fuzz"]);
    }
}
