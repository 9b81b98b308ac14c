//! What every target does: text to plan, as a boot would, and every message rendered. Nothing of it may panic, hang or
//! grow without bound.
//!
//! `cargo +nightly fuzz run netplan ../testdata/netplan` in this folder; the targets are named after the formats, and each
//! begins its texts so that its format is recognised.

use netapply::diagnostic::{Renderer, Style};
use netapply::format::parse;
use netapply::inventory::Inventory;
use netapply::plan::{plan, script::script};
use netapply::resolve::{Missing, resolve};

/// Reads `start` and the bytes behind it.
pub fn survive(start: &str, bytes: &[u8]) {
    let text = format!("{start}{}", String::from_utf8_lossy(bytes));
    let parsed = parse(vec![("fuzz".to_owned(), text)]);
    let renderer = Renderer { texts: &parsed.texts, style: Style::Plain };
    for diagnostic in &parsed.diagnostics {
        renderer.render(diagnostic);
    }
    let (resolved, _) = resolve(&parsed.desired, &Inventory::default(), Missing::StandIn);
    script(&plan(&resolved, &Inventory::default()));
}
