//! Routing tables by their names, as ip(8) looks them up in rt_tables. Entry: [`numbered`].

use std::borrow::Cow;

use crate::diagnostic::{Code, Diagnostic};
use crate::inventory::Inventory;
use crate::model::{Desired, NAMED_TABLES};

/// The description with the machine's numbers of the tables that it names. Routes and rules of an unknown one are left
/// out.
pub fn numbered<'a>(
    desired: &'a Desired,
    inventory: &Inventory,
    diags: &mut Vec<Diagnostic>,
) -> Cow<'a, Desired> {
    if desired.tables.is_empty() {
        return Cow::Borrowed(desired);
    }
    let mut own = desired.clone();
    let names = std::mem::take(&mut own.tables);
    let mut is_unknown = vec![false; names.len()];
    own.renumber_tables(&mut |table| {
        let Some(index) = table.checked_sub(NAMED_TABLES).map(|index| index as usize) else {
            return Some(table);
        };
        let Some(name) = names.get(index) else { return Some(table) };
        let number = inventory.routing_tables.get(&name.value).and_then(|number| u32::try_from(*number).ok());
        if let (None, Some(unknown)) = (number, is_unknown.get_mut(index)) {
            *unknown = true;
        }
        number
    });
    for (name, _) in names.iter().zip(is_unknown).filter(|(_, unknown)| *unknown) {
        let message =
            format!("this machine has no routing table called {}: what is in it is left out", name.value);
        let hint = "write its number, or add it to /etc/iproute2/rt_tables of the machine";
        diags.push(Diagnostic::new(Code::UnknownTable, name.at, message).hint(hint));
    }
    Cow::Owned(own)
}
