//! Options of a bond, by the kernel's names, as in ifenslave: `bond-mode`, `bond_mode` or `mode`.

use crate::diagnostic::{Code, Diagnostic, nearest};
use crate::format::keys::Support::Applied;
use crate::format::keys::{Object, key, report};
use crate::format::tree::{Entry, Value};
use crate::format::value::{bond_option, set_option};
use crate::model::Settings;

const OPTION: &str = "the bonding driver's option of this name";

/// Every option; each is a row of `model::attribute`.
pub(in crate::format) static BOND: Object = Object {
    name: "the options of a bond",
    keys: &[
        key("bond-mode", Applied, OPTION),
        key("bond-miimon", Applied, OPTION),
        key("bond-updelay", Applied, OPTION),
        key("bond-downdelay", Applied, OPTION),
        key("bond-peer-notify-delay", Applied, OPTION),
        key("bond-use-carrier", Applied, OPTION),
        key("bond-arp-interval", Applied, OPTION),
        key("bond-arp-ip-target", Applied, OPTION),
        key("bond-arp-validate", Applied, OPTION),
        key("bond-arp-all-targets", Applied, OPTION),
        key("bond-ns-ip6-target", Applied, OPTION),
        key("bond-missed-max", Applied, OPTION),
        key("bond-primary", Applied, OPTION),
        key("bond-primary-reselect", Applied, OPTION),
        key("bond-active-slave", Applied, OPTION),
        key("bond-fail-over-mac", Applied, OPTION),
        key("bond-xmit-hash-policy", Applied, OPTION),
        key("bond-resend-igmp", Applied, OPTION),
        key("bond-num-grat-arp", Applied, OPTION),
        key("bond-all-slaves-active", Applied, OPTION),
        key("bond-min-links", Applied, OPTION),
        key("bond-lp-interval", Applied, OPTION),
        key("bond-packets-per-slave", Applied, OPTION),
        key("bond-tlb-dynamic-lb", Applied, OPTION),
        key("bond-lacp-rate", Applied, OPTION),
        key("bond-lacp-active", Applied, OPTION),
        key("bond-ad-select", Applied, OPTION),
        key("bond-ad-actor-sys-prio", Applied, OPTION),
        key("bond-ad-user-port-key", Applied, OPTION),
        key("bond-ad-actor-system", Applied, OPTION),
        key("bond-coupled-control", Applied, OPTION),
    ],
};

/// An option of a bond, in any spelling. Of several primaries, which ifenslave accepts, the first is preferred.
pub(in crate::format) fn bond_setting(entry: &Entry, settings: &mut Settings, diags: &mut Vec<Diagnostic>) {
    let name = |row: &str| format!("bond-{}", row.replace('_', "-"));
    let Some(row) = bond_option(&entry.key) else {
        let message = format!("unknown bond option \"{}\", ignored", entry.key);
        let unknown = Diagnostic::new(Code::UnknownKey, entry.key_at, message);
        let bare = entry.key.strip_prefix("bond").unwrap_or(&entry.key).trim_start_matches(['-', '_']);
        diags.push(match nearest(&name(bare), BOND.keys.iter().map(|key| key.name)) {
            Some(near) => unknown.hint(format!("did you mean \"{near}\"?")),
            None => unknown,
        });
        return;
    };
    diags.extend(report(&BOND, &name(row.name), entry.key_at));
    let first = match &entry.value.value {
        Value::List(items) if row.name == "primary" => items.first(),
        _ => Some(&entry.value),
    };
    if let Some(node) = first {
        set_option(settings, row, node, &entry.key, diags);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kind, attribute};

    #[test]
    fn every_option_of_the_bonding_driver_is_a_key() {
        let keys: Vec<String> = BOND.keys.iter().map(|key| key.name.to_owned()).collect();
        let rows = attribute::of_kind(Kind::Bond).iter();
        let rows: Vec<String> = rows.map(|row| format!("bond-{}", row.name.replace('_', "-"))).collect();
        assert_eq!(keys, rows);
    }
}
