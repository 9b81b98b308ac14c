//! The steps that do not use netlink: a sysctl, a file, a program, a call over D-Bus, a module.
//!
//! [`Effects`] is the interface: [`Real`] changes the machine, [`Recorder`] records what would be changed, and tests
//! have their own. Each effect has a bound, and none blocks the runtime: signals are handled meanwhile, and dropping
//! the future of an effect gives it up (a program's process group is killed). Decides nothing.

mod file;
mod program;
mod worker;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::net::Ipv6Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::rc::Rc;
use std::time::Duration;

use crate::machine::Machine;
use crate::model::Kind;
use crate::plan::{Action, Manager, Secret};

use super::errno;
use super::modules::{self, KernelLacks};
use super::tools;
use super::trouble::Trouble;
use worker::Worker;

pub use super::tools::BUS_BOUND;
pub use program::PROGRAM_BOUND;

/// How long writing or removing a file, or setting a sysctl, may take, in case a disk or a file system hangs.
pub const FILE_BOUND: Duration = Duration::from_secs(5);

/// How long loading the modules of one kind of link may take, including the driver's initialisation.
pub const MODULE_BOUND: Duration = Duration::from_secs(20);

/// Where resolvconf(8) keeps its records: Debian's in `interface`, openresolv in `interfaces`, since 3.14 in `keys`.
const RECORDS: &[&str] = &["/run/resolvconf/interface", "/run/resolvconf/interfaces", "/run/resolvconf/keys"];

/// An effect, which is bounded, and given up when this is dropped.
pub type EffectFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// Makes the steps that do not use netlink.
pub trait Effects {
    /// Makes a step with a sysctl, a file, a program or D-Bus.
    fn make<'a>(&'a mut self, action: &'a Action) -> EffectFuture<'a, Result<(), Trouble>>;

    /// The step that undoes `action`, determined before it is made; `None` if there is none.
    fn inverse<'a>(&'a mut self, action: &'a Action) -> EffectFuture<'a, Option<Action>>;

    /// Whether a link of a kind may be made. The kernel loads what it needs for one by itself.
    fn permit(&mut self, _: Kind) -> Result<(), KernelLacks> {
        Ok(())
    }

    /// Loads the modules of a kind of link; modules that are already loaded count as loaded.
    fn load(&mut self, kind: Kind) -> EffectFuture<'_, Result<(), KernelLacks>>;
}

/// Changes the machine.
#[derive(Debug)]
pub struct Real {
    machine: Machine,
    worker: Worker,
}

impl Real {
    /// Effects on this machine.
    pub fn on(machine: &Machine) -> Self {
        Self { machine: machine.clone(), worker: Worker::default() }
    }

    /// Runs a blocking job on a thread of its own, within [`FILE_BOUND`].
    async fn file(
        &mut self,
        path: PathBuf,
        change: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<(), Trouble> {
        let blamed = path.clone();
        match self.worker.run(FILE_BOUND, move || change(&path)).await {
            Some(result) => result.map_err(|error| Trouble::File { path: blamed, errno: errno(&error) }),
            None => Err(Trouble::Late { what: blamed.display().to_string(), bound: FILE_BOUND }),
        }
    }

    /// The content of a resolvconf record.
    async fn record(&mut self, record: &str) -> Option<String> {
        let paths: Vec<PathBuf> = RECORDS.iter().map(|folder| self.machine.at(folder).join(record)).collect();
        let read = move || paths.iter().find_map(|path| file::read(path).ok().flatten());
        String::from_utf8(self.worker.run(FILE_BOUND, read).await??).ok()
    }
}

impl Effects for Real {
    fn make<'a>(&'a mut self, action: &'a Action) -> EffectFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            match action {
                Action::Sysctl { key, value } => {
                    let value = value.clone();
                    self.file(self.machine.proc_sys().join(key), move |path| {
                        file::overwrite(path, value.as_bytes())
                    })
                    .await
                }
                Action::StableSecret { link, secret } => {
                    let (secret, id) = (secret.clone(), self.machine.machine_id());
                    let path = format!("net/ipv6/conf/{link}/stable_secret");
                    self.file(self.machine.proc_sys().join(path), move |path| {
                        let secret = match secret {
                            Secret::MachineId => machine_id(&id)?,
                            Secret::Of(bytes) => Secret::address(&bytes),
                        };
                        file::overwrite(path, secret.to_string().as_bytes())
                    })
                    .await
                }
                Action::WriteFile { path, content } => {
                    let content = content.clone();
                    self.file(self.machine.at(path), move |path| file::write(path, content.as_bytes())).await
                }
                Action::RemoveFile { path } => self.file(self.machine.at(path), file::remove).await,
                Action::PutBack { path, former } => {
                    let former = former.clone();
                    self.file(self.machine.at(path), move |path| file::put_back(path, &former)).await
                }
                Action::Resolvconf { program, record, content } => {
                    let content = content.as_deref();
                    program::resolvconf(&self.machine.at(program), program, record, content).await
                }
                Action::Refresh(service) => tools::refresh(&self.machine, *service).await,
                Action::Manage { link, by, on } => tools::manage(&self.machine, link, *by, *on).await,
                _ => Ok(()),
            }
        })
    }

    fn inverse<'a>(&'a mut self, action: &'a Action) -> EffectFuture<'a, Option<Action>> {
        Box::pin(async move {
            match action {
                // Those of links are in the inventory; only the host name remains.
                Action::Sysctl { key, .. } => {
                    let path = self.machine.proc_sys().join(key);
                    let was = self.worker.run(FILE_BOUND, move || file::read(&path).ok().flatten()).await??;
                    let value = String::from_utf8(was).ok()?.trim().to_owned();
                    Some(Action::Sysctl { key: key.clone(), value })
                }
                Action::WriteFile { path, .. } | Action::RemoveFile { path } => {
                    let at = self.machine.at(path);
                    let former = self.worker.run(FILE_BOUND, move || file::former(&at).ok()).await??;
                    Some(Action::PutBack { path: path.clone(), former })
                }
                Action::Resolvconf { program, record, .. } => {
                    let content = self.record(record).await;
                    Some(Action::Resolvconf { program: program.clone(), record: record.clone(), content })
                }
                Action::Refresh(_) => Some(action.clone()),
                // networkd's files are restored, and networkd follows them; it is waited for only when it releases a link.
                Action::Manage { by: Manager::Networkd, .. } => None,
                Action::Manage { link, by, on } => {
                    Some(Action::Manage { link: link.clone(), by: *by, on: !on })
                }
                _ => None,
            }
        })
    }

    fn load(&mut self, kind: Kind) -> EffectFuture<'_, Result<(), KernelLacks>> {
        Box::pin(async move {
            let machine = self.machine.clone();
            match self.worker.run(MODULE_BOUND, move || modules::load(&machine, kind)).await {
                Some(result) => result,
                None => KernelLacks::late(kind, MODULE_BOUND),
            }
        })
    }
}

/// The machine's id as the kernel reads a secret.
fn machine_id(path: &Path) -> io::Result<Ipv6Addr> {
    let text = file::read(path)?.ok_or(io::ErrorKind::NotFound)?;
    let id = std::str::from_utf8(&text).ok().and_then(|text| u128::from_str_radix(text.trim(), 16).ok());
    Ok(id.ok_or(io::ErrorKind::InvalidData)?.into())
}

/// Records what would be changed outside the kernel, and makes the rest: netlink and sysctls belong to a namespace,
/// files and programs to the machine.
#[derive(Debug)]
pub struct Recorder {
    inner: Real,
    /// No module is loaded on this machine.
    unloaded: Option<Machine>,
    recorded: Recorded,
}

/// The steps that a [`Recorder`] did not make, in order.
pub type Recorded = Rc<RefCell<Vec<Action>>>;

impl Recorder {
    /// Records what `inner` would do to the image; sysctls and modules are passed on to it.
    pub fn before(inner: Real, recorded: Recorded) -> Self {
        Self { inner, unloaded: None, recorded }
    }

    /// Makes no link for which this machine's kernel would load a module.
    #[must_use]
    pub fn without_modules(mut self, machine: &Machine) -> Self {
        self.unloaded = Some(machine.clone());
        self
    }
}

impl Effects for Recorder {
    fn make<'a>(&'a mut self, action: &'a Action) -> EffectFuture<'a, Result<(), Trouble>> {
        Box::pin(async move {
            match action {
                Action::Sysctl { key, .. } if key.starts_with("net/") => self.inner.make(action).await,
                Action::StableSecret { .. } => self.inner.make(action).await,
                _ => {
                    self.recorded.borrow_mut().push(action.clone());
                    Ok(())
                }
            }
        })
    }

    fn inverse<'a>(&'a mut self, _: &'a Action) -> EffectFuture<'a, Option<Action>> {
        Box::pin(std::future::ready(None))
    }

    fn permit(&mut self, kind: Kind) -> Result<(), KernelLacks> {
        self.unloaded.as_ref().map_or(Ok(()), |machine| modules::loaded(machine, kind))
    }

    fn load(&mut self, kind: Kind) -> EffectFuture<'_, Result<(), KernelLacks>> {
        Box::pin(async move {
            match &self.unloaded {
                Some(machine) => modules::loaded(machine, kind),
                None => self.inner.load(kind).await,
            }
        })
    }
}

#[cfg(test)]
mod tests;
