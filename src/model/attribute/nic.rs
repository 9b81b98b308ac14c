//! The parameters of a NIC that ethtool(8) sets: speed, rings, interrupt coalescing, flow control. Numbers from
//! linux/ethtool_netlink.h; the names are NetworkManager's.

use super::row::row;
use super::{Attribute, Form};

/// Parameters that one command of ethtool(8) sets, and one message of its netlink family.
#[derive(Debug)]
pub struct NicGroup {
    /// ethtool(8)'s option.
    pub flag: &'static str,
    /// What the rows' names have before ethtool(8)'s words.
    pub prefix: &'static str,
    /// `ETHTOOL_MSG_…_GET`; the next number is that of `…_SET`.
    pub get: u8,
    /// The parameters, in the order in which they are sent.
    pub rows: &'static [Attribute],
}

const DUPLEX: &[(&str, u32)] = &[("half", 0), ("full", 1)];

/// All groups.
pub static NIC: &[NicGroup] = &[
    NicGroup {
        flag: "-s",
        prefix: "",
        get: 4,
        rows: &[
            row("autoneg", 2, Form::Bool),
            row("speed", 5, Form::U32).within(1, i32::MAX as i64),
            row("duplex", 6, Form::Word8(DUPLEX)),
        ],
    },
    NicGroup {
        flag: "-G",
        prefix: "ring-",
        get: 15,
        rows: &[
            row("ring-rx", 6, Form::U32),
            row("ring-rx-mini", 7, Form::U32),
            row("ring-rx-jumbo", 8, Form::U32),
            row("ring-tx", 9, Form::U32),
        ],
    },
    NicGroup {
        flag: "-C",
        prefix: "coalesce-",
        get: 19,
        rows: &[
            row("coalesce-rx-usecs", 2, Form::U32),
            row("coalesce-rx-frames", 3, Form::U32),
            row("coalesce-rx-usecs-irq", 4, Form::U32),
            row("coalesce-rx-frames-irq", 5, Form::U32),
            row("coalesce-tx-usecs", 6, Form::U32),
            row("coalesce-tx-frames", 7, Form::U32),
            row("coalesce-tx-usecs-irq", 8, Form::U32),
            row("coalesce-tx-frames-irq", 9, Form::U32),
            row("coalesce-stats-block-usecs", 10, Form::U32),
            row("coalesce-adaptive-rx", 11, Form::Bool),
            row("coalesce-adaptive-tx", 12, Form::Bool),
            row("coalesce-pkt-rate-low", 13, Form::U32),
            row("coalesce-rx-usecs-low", 14, Form::U32),
            row("coalesce-rx-frames-low", 15, Form::U32),
            row("coalesce-tx-usecs-low", 16, Form::U32),
            row("coalesce-tx-frames-low", 17, Form::U32),
            row("coalesce-pkt-rate-high", 18, Form::U32),
            row("coalesce-rx-usecs-high", 19, Form::U32),
            row("coalesce-rx-frames-high", 20, Form::U32),
            row("coalesce-tx-usecs-high", 21, Form::U32),
            row("coalesce-tx-frames-high", 22, Form::U32),
            row("coalesce-sample-interval", 23, Form::U32),
        ],
    },
    NicGroup {
        flag: "-A",
        prefix: "pause-",
        get: 21,
        rows: &[
            row("pause-autoneg", 2, Form::Bool),
            row("pause-rx", 3, Form::Bool),
            row("pause-tx", 4, Form::Bool),
        ],
    },
];

/// A parameter by name.
pub fn parameter(name: &str) -> Option<&'static Attribute> {
    NIC.iter().flat_map(|group| group.rows).find(|row| row.name == name)
}
