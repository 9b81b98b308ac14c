//! The complete content of a description.

use super::{Link, Located, Resolver, Rule};

/// The stand-in for the number of the first routing table in [`Desired::tables`]. Nobody numbers tables so high.
pub const NAMED_TABLES: u32 = 0xffff_0000;

/// Everything that a description asks for, whatever its format.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Links in file order. Ids are unique.
    pub links: Vec<Link>,
    /// Policy rules that belong to no single link.
    pub rules: Vec<Rule>,
    /// Name servers and search domains that belong to no single link.
    pub resolver: Resolver,
    /// Routing tables that only have a name: the first is [`NAMED_TABLES`] in routes and rules, the second that plus
    /// one, until `resolve` looks up their numbers.
    pub tables: Vec<Located<String>>,
    /// The machine's name.
    pub host_name: Option<Located<String>>,
    /// Whether the format defines every link that it refers to (netplan): a name without a link is an error. Else such
    /// a name may be an interface of the machine.
    pub closed: bool,
}

impl Desired {
    /// Replaces the numbers of routing tables in routes and rules. Those for which `number` has none are removed.
    pub fn renumber_tables(&mut self, number: &mut dyn FnMut(u32) -> Option<u32>) {
        let mut change = |rule: &mut Rule| {
            number(rule.table).is_some_and(|table| {
                rule.table = table;
                true
            })
        };
        self.rules.retain_mut(&mut change);
        for link in &mut self.links {
            link.rules.retain_mut(&mut change);
        }
        for link in &mut self.links {
            link.routes.retain_mut(|route| {
                let Some(table) = route.table else { return true };
                route.table = number(table);
                route.table.is_some()
            });
        }
    }
}
