//! Kernel modules, in the guest's initial namespace: that is where `bonding` creates its bond0.

use std::collections::BTreeMap;

use netapply::model::Kind;
use netapply::model::attribute::OptionValue;
use netapply::plan::{Action, NewLink};

use crate::plans::{all_done, apply, new_link, plan};
use harness::namespace::{here, ip, ip_json};

fn vlan(parent: &str) -> Action {
    let settings = BTreeMap::from([("id", OptionValue::Number(7))]);
    let parent = Some(parent.to_owned());
    Action::AddLink(NewLink { settings, parent, ..new_link("vlan7", Kind::Vlan) })
}

#[test]
#[ignore = "runs inside a guest"]
fn loaded_by_us() {
    here(async || {
        let bond = || Action::AddLink(new_link("bond0", Kind::Bond));
        all_done(&apply(&plan(vec![(bond(), &[]), (vlan("bond0"), &[0])])).await);
        assert_eq!(ip_json("link show type bond").as_array().unwrap().len(), 1);
        assert_eq!(ip_json("link show vlan7")[0]["link"], "bond0");
        ip("link delete bond0");
    });
}

#[test]
#[ignore = "runs inside a guest"]
fn loaded_by_the_kernel() {
    here(async || all_done(&apply(&plan(vec![(Action::AddLink(new_link("bond7", Kind::Bond)), &[])])).await));
}

/// This kernel supports no compressed modules: detecting them by the file name alone loses nothing.
#[test]
#[ignore = "runs inside a guest"]
fn compressed() {
    here(async || {
        let outcome = apply(&plan(vec![(Action::AddLink(new_link("bond0", Kind::Bond)), &[])])).await;
        let (_, trouble) = outcome.failures().next().unwrap();
        let said = trouble.to_string();
        let (begin, end) = (
            "the kernel has no bonding: module \"bonding\" does not load: /lib/modules/",
            "/bonding.ko.xz: this kernel does not load compressed modules by itself; put it into the image uncompressed",
        );
        assert!(said.starts_with(begin) && said.ends_with(end), "{said}");
    });
}

#[test]
#[ignore = "runs inside a guest"]
fn missing() {
    here(async || {
        let outcome =
            apply(&plan(vec![(Action::AddLink(new_link("bond0", Kind::Bond)), &[]), (vlan("bond0"), &[0])]))
                .await;
        let (_, trouble) = outcome.failures().next().unwrap();
        assert_eq!(
            trouble.to_string(),
            "the kernel has no bonding: load module \"bonding\" or add it to the initramfs"
        );
        assert_eq!(outcome.failures().count(), 1);
    });
}
