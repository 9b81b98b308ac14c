//! The complete content of a description.

use super::{Link, Located, Resolver, Rule};

/// Everything that a description asks for, whatever its format.
#[derive(Clone, Debug, Default)]
pub struct Desired {
    /// Links in file order. Ids are unique.
    pub links: Vec<Link>,
    /// Policy rules that belong to no single link.
    pub rules: Vec<Rule>,
    /// Name servers and search domains that belong to no single link.
    pub resolver: Resolver,
    /// The machine's name.
    pub host_name: Option<Located<String>>,
    /// Whether the format defines every link that it refers to (netplan): a name without a link is an error. Else such
    /// a name may be an interface of the machine.
    pub closed: bool,
}
