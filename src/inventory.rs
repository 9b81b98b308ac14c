//! The machine as the kernel describes it now.
