//! Why a step was not done.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use nix::errno::Errno;

use crate::bus::BusError;
use crate::plan::{Action, LinkChange};

use super::modules::KernelLacks;
use super::session::Failure;
use super::value::Unencodable;
use super::wire::Refusal;

/// Why a step was not done. Printed after what the step was to do: `bond0: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The kernel refused.
    Refused {
        /// Its number and text.
        refusal: Refusal,
        /// The link option that it refers to, if known.
        option: Option<&'static str>,
    },
    /// The kernel did not answer, even when asked again.
    Unanswered(Failure),
    /// The kernel cannot make a link of this kind.
    Missing(KernelLacks),
    /// A link that the step names does not exist.
    NoLink(String),
    /// A value that does not fit the kernel's encoding of the option.
    BadValue,
    /// A file could not be written.
    File {
        /// Which.
        path: PathBuf,
        /// The system's error.
        errno: Errno,
    },
    /// A program of the image could not be run, or failed.
    Program {
        /// What was run: its path and arguments, or the equivalent command.
        program: String,
        /// What went wrong.
        failure: ProgramFailure,
    },
    /// An effect did not end within its bound.
    Late {
        /// What was changed.
        what: String,
        /// The bound.
        bound: Duration,
    },
    /// Duplicate address detection has not finished.
    Tentative {
        /// The addresses that are still tentative.
        addresses: Vec<Ipv6Addr>,
        /// How long the wait was.
        waited: Duration,
        /// The link has no carrier, without which detection does not finish.
        no_carrier: bool,
    },
    /// Another host has the address.
    Duplicate(Ipv6Addr),
    /// A WireGuard key is not 32 bytes in base64; the file that it was read from, if any.
    BadKey(Option<PathBuf>),
    /// A WireGuard key file was rejected.
    KeyFile {
        /// Which.
        path: PathBuf,
        /// Why it was rejected.
        why: &'static str,
    },
}

/// What went wrong with a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProgramFailure {
    /// It could not be started.
    Start(Errno),
    /// It exited with a failure.
    Status {
        /// How.
        status: ExitStatus,
        /// The last line that it wrote to standard error.
        words: String,
    },
    /// It did not exit within this time, and was killed.
    Late(Duration),
    /// A call over D-Bus failed.
    Bus(BusError),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { refusal, option: Some(option) } => {
                write!(f, "the kernel refused {option}: {refusal}")
            }
            Self::Refused { refusal, option: None } => write!(f, "the kernel refused: {refusal}"),
            Self::Unanswered(failure) => failure.fmt(f),
            Self::Missing(missing) => missing.fmt(f),
            Self::NoLink(name) => write!(f, "no link named {name}"),
            Self::BadValue => f.write_str("the value is out of the kernel's range for this option"),
            Self::File { path, errno } => write!(f, "{}: {}", path.display(), errno.desc()),
            Self::Program { program, failure } => write!(f, "{program}: {failure}"),
            Self::Late { what, bound } => write!(f, "{what} did not finish within {} s", bound.as_secs()),
            Self::Tentative { addresses, waited, no_carrier } => {
                let list: Vec<String> = addresses.iter().map(Ipv6Addr::to_string).collect();
                let list = list.join(", ");
                write!(f, "duplicate address detection of {list} did not end within {} s", waited.as_secs())?;
                f.write_str(if *no_carrier { ": the link has no carrier" } else { "" })
            }
            Self::Duplicate(address) => write!(f, "another machine on the link has {address}"),
            Self::BadKey(None) => f.write_str("a key is not 44 characters of base64"),
            Self::BadKey(Some(path)) => write!(f, "{}: not a key of 44 characters of base64", path.display()),
            Self::KeyFile { path, why } => write!(f, "{}: {why}", path.display()),
        }
    }
}

impl Trouble {
    /// The link that the step names does not exist, or not under its index.
    pub fn is_of_lost_link(&self) -> bool {
        match self {
            Self::NoLink(_) => true,
            Self::Refused { refusal, .. } => matches!(refusal.errno(), Errno::ENODEV | Errno::ENXIO),
            _ => false,
        }
    }

    /// What to do, as a sentence without a full stop, if the machine's state is in the way and not the description;
    /// `None` if the step asks for what the kernel cannot do.
    pub fn remedy(&self, action: &Action) -> Option<String> {
        let refusal = match self {
            Self::Refused { refusal, .. } => refusal,
            Self::NoLink(name) => return Some(gone(name)),
            Self::Unanswered(_) => return Some("run netapply again; see the kernel's log".to_owned()),
            _ => return None,
        };
        let link = action.link().unwrap_or("the link");
        let route = action.added_route();
        Some(match (refusal.errno(), action) {
            (Errno::ENODEV | Errno::ENXIO, _) => gone(link),
            // A VXLAN with the same number, a tunnel with the same ends, a bond with the same name: listing the kind
            // shows it.
            (Errno::EEXIST, Action::AddLink(new)) => {
                format!(
                    "see `ip -d link show type {}` for what has it already, and delete that",
                    new.kind.word()
                )
            }
            (Errno::EEXIST, Action::SetLink { change: LinkChange::Rename(name), .. }) => {
                format!(
                    "see `ip link show {name}`: another link has that name, or has it as an alternative one"
                )
            }
            (Errno::EEXIST, _) => "see `ip address` and `ip route` for what exists already".to_owned(),
            (Errno::EBUSY, _) => format!("see `ip -d link show {link}` for what holds it"),
            (Errno::ENETUNREACH | Errno::EHOSTUNREACH, _) if route.is_some() => {
                let gateway = route.and_then(|route| route.via);
                let to = gateway.map_or_else(|| "the gateway".to_owned(), |ip| ip.to_string());
                format!(
                    "see `ip route get {to}`, `ip rule` and `ip address`: the kernel finds {to} on no subnet of {link}"
                )
            }
            (Errno::EINVAL, _) if route.is_some_and(|route| route.via.is_some()) => {
                let to = route.and_then(|route| route.via).map_or_else(String::new, |ip| ip.to_string());
                format!(
                    "compare {to} with the description; if it is right, `ip route get {to}` shows what the kernel takes it for"
                )
            }
            (Errno::EPERM | Errno::EACCES, _) => {
                "see the kernel's log for what forbids it: a container, a security module, kernel lockdown"
                    .to_owned()
            }
            (Errno::ENOMEM | Errno::ENOBUFS, _) => {
                "give the machine more memory, or lift its limit".to_owned()
            }
            (Errno::EAFNOSUPPORT | Errno::EPROTONOSUPPORT, _) => {
                "use a kernel with that address family".to_owned()
            }
            (Errno::EOPNOTSUPP, Action::SetLink { change: LinkChange::AddVlan { .. }, .. }) => {
                "use a kernel whose bridges filter VLANs (CONFIG_BRIDGE_VLAN_FILTERING)".to_owned()
            }
            (Errno::EOPNOTSUPP, _) => {
                "use a kernel or driver that supports it, or leave it out of the description".to_owned()
            }
            _ => return None,
        })
    }
}

fn gone(link: &str) -> String {
    format!("see the kernel's log for why {link} went away, and run netapply again")
}

impl fmt::Display for ProgramFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(errno) => f.write_str(errno.desc()),
            Self::Status { status, words } if words.is_empty() => write!(f, "exited with {status}"),
            Self::Status { status, words } => write!(f, "exited with {status}: {words}"),
            Self::Late(bound) => write!(f, "did not exit within {} s", bound.as_secs()),
            Self::Bus(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for Trouble {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unanswered(failure) => Some(failure),
            Self::Missing(missing) => Some(missing),
            Self::File { errno, .. } => Some(errno),
            Self::Program { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

impl std::error::Error for ProgramFailure {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Start(errno) => Some(errno),
            Self::Bus(error) => Some(error),
            Self::Status { .. } | Self::Late(_) => None,
        }
    }
}

impl From<KernelLacks> for Trouble {
    fn from(missing: KernelLacks) -> Self {
        Self::Missing(missing)
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Refused(refusal) => Self::Refused { refusal, option: None },
            failure => Self::Unanswered(failure),
        }
    }
}

impl From<Unencodable> for Trouble {
    fn from(unencodable: Unencodable) -> Self {
        match unencodable {
            Unencodable::NoLink(name) => Self::NoLink(name),
            Unencodable::WrongForm => Self::BadValue,
        }
    }
}
