//! Dynamic networks: what DHCP servers lease to a link.
//!
//! [`dhcp4`] is DHCPv4: a codec that believes nothing, and a machine of the protocol's states; [`dhcp6`] is DHCPv6, and
//! [`ra`] are router advertisements, in the same form; `exchange` is when to send again. All are pure: packets and the
//! time come in, packets and deadlines go out. [`ask`] runs such machines on real links. What they learn is kept in
//! files ([`entry`]), and becomes a part of what is described ([`facts`], pure) before anything is planned. [`identity`]
//! (pure) is who a link is to a server. Changes no link, and does not decide which ones are asked on.

/// Each requirement with its place in the RFCs is a test.
#[cfg(test)]
macro_rules! requirements {
    ($($place:literal $words:literal $name:ident $body:block)*) => {
        $(
            #[doc = concat!($place, ": ", $words)]
            #[test]
            fn $name() $body
        )*
    };
}

/// The next of a sequence of numbers that look random and are the same in each run. The lower bits look least so.
#[cfg(test)]
fn pseudorandom(state: &mut u32) -> u32 {
    *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
    *state
}

pub mod ask;
pub mod dhcp4;
pub mod dhcp6;
pub mod entry;
mod exchange;
pub mod facts;
pub mod identity;
pub mod ra;
