//! The links of a fleet as CSV (RFC 4180): for spreadsheets, imports and people. Entries: [`HEAD`], [`rows`].

use super::FleetNode;
use crate::model::Kind;
use crate::page::printable;

/// The names of the columns.
pub const HEAD: &str = "node,link,kind,mac,address,vlan,mtu,bond\n";

/// A row for each address of each link, and for each link without one.
pub fn rows(node: &FleetNode) -> String {
    let mut out = String::new();
    for (index, link) in node.links.iter().enumerate() {
        let controller = link.bond.filter(|bond| *bond != index).or(link.member_of);
        let bond = controller.and_then(|bond| node.links.get(bond)).map_or("", |bond| bond.id.as_str());
        let vlan = match link.domain.vlan {
            Some(vlan) if link.kind != Kind::Vxlan => (vlan & 0xfff).to_string(),
            _ => String::new(),
        };
        let mac = link.mac.map_or(String::new(), |(mac, _)| mac.to_string());
        let mtu = link.mtu.1.map_or(String::new(), |_| link.mtu.0.to_string());
        let kind = if link.kind == Kind::Physical { "nic" } else { link.kind.word() };
        let addresses = link.addresses.iter().map(|(net, _)| net.to_string());
        let none = link.addresses.is_empty().then(String::new);
        for address in addresses.chain(none) {
            let cells = [&node.name, &link.id, kind, &mac, &address, &vlan, &mtu, bond];
            out += &cells.map(cell).join(",");
            out.push('\n');
        }
    }
    out
}

/// A value as one cell that a spreadsheet does not take for a formula.
fn cell(value: &str) -> String {
    let value = printable(value);
    let formula = if value.starts_with(['=', '+', '-', '@']) { "'" } else { "" };
    match value.contains([',', '"', '\n']) {
        true => format!("\"{formula}{}\"", value.replace('"', "\"\"")),
        false => format!("{formula}{value}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_neither_two_nor_a_formula() {
        for (value, expected) in [
            ("eth0", "eth0"),
            ("a,b", "\"a,b\""),
            ("=1+1", "'=1+1"),
            ("x\"y", "\"x\"\"y\""),
            ("a\nb", "a\\nb"),
        ] {
            assert_eq!(cell(value), expected);
        }
    }
}
