//! The commands that only print something.

use super::{Exit, block_on, complain, json, print};
use crate::cli::Args;
use crate::diagnostic::{Code, nearest};
use crate::inventory::Inventory;
use crate::kernel::{read, session};

pub(super) fn text(text: &str) -> Exit {
    print(text);
    Exit::Success
}

/// Reads the machine, or says why it cannot be read.
pub(super) fn read_inventory() -> Result<Inventory, String> {
    let reading = async {
        let mut session = session::Session::open(session::Family::Route)?;
        read::inventory(&mut session).await
    };
    match block_on(reading) {
        Ok(Ok(inventory)) => Ok(inventory),
        Ok(Err(failure)) => Err(format!("the kernel's network state cannot be read: {failure}")),
        Err(error) => Err(format!("the machine's network state cannot be read: {error}")),
    }
}

pub(super) fn inventory() -> Exit {
    match read_inventory() {
        Ok(inventory) => text(&json(&inventory)),
        Err(why) => {
            complain(&why);
            Exit::Refused
        }
    }
}

pub(super) fn report(_args: &Args) -> Exit {
    Exit::NoDescription
}

/// `netapply explain CODE`.
pub(super) fn explain(wanted: &str) -> Exit {
    match wanted.parse::<Code>() {
        Ok(code) => text(&format!("{code} ({})\n\n{}\n", code.severity(), code.explanation())),
        Err(()) => {
            let near = nearest(wanted, Code::ALL.iter().map(|c| c.text()));
            let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
            complain(&format!("there is no code \"{wanted}\"{hint}"));
            Exit::Usage
        }
    }
}
