//! The modes of a bond.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A bond's mode, numbered as in the kernel (linux/if_bonding.h). In JSON it is ip(8)'s name.
#[derive(Copy, Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BondMode {
    /// Round-robin; the kernel's default.
    #[default]
    #[serde(rename = "balance-rr")]
    BalanceRr = 0,
    /// One active member, the others as backup.
    #[serde(rename = "active-backup")]
    ActiveBackup = 1,
    /// By a hash of the addresses.
    #[serde(rename = "balance-xor")]
    BalanceXor = 2,
    /// Every packet on all members.
    #[serde(rename = "broadcast")]
    Broadcast = 3,
    /// LACP.
    #[serde(rename = "802.3ad")]
    Lacp = 4,
    /// Sending is balanced.
    #[serde(rename = "balance-tlb")]
    BalanceTlb = 5,
    /// Sending and receiving are balanced.
    #[serde(rename = "balance-alb")]
    BalanceAlb = 6,
}

impl BondMode {
    /// Every mode, in the kernel's order.
    pub const ALL: &'static [BondMode] = &[
        BondMode::BalanceRr,
        BondMode::ActiveBackup,
        BondMode::BalanceXor,
        BondMode::Broadcast,
        BondMode::Lacp,
        BondMode::BalanceTlb,
        BondMode::BalanceAlb,
    ];

    /// Every mode as an option's words.
    pub const WORDS: &'static [(&'static str, u32)] = &[
        (BondMode::BalanceRr.word(), BondMode::BalanceRr as u32),
        (BondMode::ActiveBackup.word(), BondMode::ActiveBackup as u32),
        (BondMode::BalanceXor.word(), BondMode::BalanceXor as u32),
        (BondMode::Broadcast.word(), BondMode::Broadcast as u32),
        (BondMode::Lacp.word(), BondMode::Lacp as u32),
        (BondMode::BalanceTlb.word(), BondMode::BalanceTlb as u32),
        (BondMode::BalanceAlb.word(), BondMode::BalanceAlb as u32),
    ];

    /// ip(8)'s name.
    pub const fn word(self) -> &'static str {
        match self {
            BondMode::BalanceRr => "balance-rr",
            BondMode::ActiveBackup => "active-backup",
            BondMode::BalanceXor => "balance-xor",
            BondMode::Broadcast => "broadcast",
            BondMode::Lacp => "802.3ad",
            BondMode::BalanceTlb => "balance-tlb",
            BondMode::BalanceAlb => "balance-alb",
        }
    }

    /// The mode with ip(8)'s name.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.iter().find(|mode| mode.word() == word).copied()
    }

    /// The mode with the kernel's number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The kernel's number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for BondMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_have_the_kernels_numbers_and_one_word_everywhere() {
        for (number, mode) in (0..).zip(BondMode::ALL) {
            assert_eq!((mode.number(), BondMode::from_number(number)), (number, Some(*mode)));
            assert_eq!(BondMode::from_word(mode.word()), Some(*mode));
            assert_eq!(serde_json::to_string(mode).unwrap(), format!("\"{mode}\""));
            assert_eq!(BondMode::WORDS[usize::from(number)], (mode.word(), u32::from(number)));
        }
        assert_eq!(BondMode::from_number(7), None);
    }
}
