//! A SOURCE that the user named: file, standard input, directory, block device, ISO image. Its type is determined by
//! its contents, not its name. Entry: [`find`].

use super::bytes::ReadAt;
use super::choose::{described, layout_of};
use super::hosts;
use super::layout::{self, Contents, Layout};
use super::mount::{cannot_open, read_volume};
use super::tree::{self, DirTree, Links, ReadError};
use super::volume::{self, FileSystem, Volume};
use super::watch::Watch;
use super::{
    Document, Found, LOOK_BOUND, Metadata, NotFound, NotFoundKind, Origin, OriginKind, READ_BOUND,
    SearchOptions, child, hash,
};
use crate::machine::Machine;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::Instant;

/// A day: a person may type the description.
const STDIN_BOUND: Duration = Duration::from_secs(86400);
/// What to do if nothing arrives.
const LATE: &str = "Check the medium, or the program at the other end.";

/// Reads `source`. A device that does not exist yet is waited for, up to `wait`.
pub(super) async fn find(
    source: &str,
    why: &str,
    wait: Duration,
    request: &SearchOptions,
    progress: &mut dyn FnMut(&str),
) -> Result<Found, NotFound> {
    if source == "-" {
        let read = || {
            let bytes = tree::read_limited(io::stdin().lock(), 0, request.text_limit());
            plain_text("<stdin>", bytes.map_err(|e| layout::unreadable("Standard input", &e))?)
        };
        let contents =
            child::run(STDIN_BOUND, read).await.map_err(|lost| lost.problem("standard input", LATE))??;
        let origin = Origin::of(OriginKind::Stdin, "standard input".to_owned(), None, why);
        return Ok(Found::new(contents, origin));
    }
    let path = PathBuf::from(source);
    if path.starts_with(request.machine.dev()) && wait > Duration::ZERO {
        appear(&path, wait, progress).await;
    }
    let (kind, volume, contents) = {
        let links = links_of(&path, request);
        let read = child::run(READ_BOUND, || read(&path, links, request)).await;
        read.map_err(|lost| lost.problem(source, LATE))??
    };
    Ok(Found::new(contents, Origin::of(kind, source.to_owned(), volume.as_ref(), why)))
}

/// Reads the first of `paths` in one child process; a description that does not answer is read alone. Returns the
/// remaining paths.
pub(super) async fn batch<'p>(
    paths: &'p [String],
    request: &SearchOptions,
    found: &mut dyn FnMut(&str, Result<Found, NotFound>),
) -> &'p [String] {
    /// Enough that a process for them costs little, and few enough that their time is one read's.
    const MOST: usize = 256;
    /// After this many bytes no more is read, far below the limit of a child's answer.
    const ENOUGH: usize = 4 << 20;
    const WHY: &str = "named on the command line";
    let first = paths.get(..MOST).unwrap_or(paths);
    let together = || {
        let mut bytes = 0;
        let mut results = Vec::new();
        for path in first {
            let path = Path::new(path);
            let result = read(path, links_of(path, request), request);
            if let Ok((_, _, contents)) = &result {
                bytes += contents.documents.iter().map(|document| document.text.len()).sum::<usize>();
            }
            results.push(result);
            if bytes > ENOUGH {
                break;
            }
        }
        results
    };
    let results = match first {
        [] | [_] => Vec::new(),
        // A device may have to be waited for.
        _ if first.iter().any(|path| path == "-" || Path::new(path).starts_with(request.machine.dev())) => {
            Vec::new()
        }
        _ => child::run(READ_BOUND, together).await.unwrap_or_default(),
    };
    if results.is_empty() {
        // One by one, so that only the one that hangs is lost.
        for path in first {
            let request = SearchOptions { source: Some(path.clone()), ..request.clone() };
            found(path, super::find(&request, &mut |line| log::info!("{line}")).await);
        }
        return paths.get(first.len()..).unwrap_or_default();
    }
    let count = results.len();
    for (path, result) in paths.iter().zip(results) {
        let origin = |kind, volume: Option<Volume>| Origin::of(kind, path.clone(), volume.as_ref(), WHY);
        found(path, result.map(|(kind, volume, contents)| Found::new(contents, origin(kind, volume))));
    }
    paths.get(count..).unwrap_or_default()
}

/// Waits until the device is there and has a medium.
async fn appear(path: &Path, wait: Duration, progress: &mut dyn FnMut(&str)) {
    let deadline = Instant::now() + wait;
    let Ok(mut watch) = Watch::kernel_and_udev() else { return };
    let mut announced = false;
    loop {
        let absent = child::run(LOOK_BOUND, || is_absent(path)).await;
        // One that hangs is read nonetheless, so that the error is about the read.
        if !matches!(absent, Ok(true)) {
            return;
        }
        if !announced {
            progress(&format!("Waiting up to {} s for {}.", wait.as_secs(), path.display()));
            announced = true;
        }
        if tokio::time::timeout_at(deadline, watch.next()).await.is_err() {
            return;
        }
    }
}

fn is_absent(path: &Path) -> bool {
    File::open(path).is_err_and(|e| {
        e.kind() == io::ErrorKind::NotFound || matches!(e.raw_os_error(), Some(libc::ENOMEDIUM | libc::ENXIO))
    })
}

type Read = (OriginKind, Option<Volume>, Contents);

/// Whether links may lead out of a directory that the user named: on request, and in this machine's own ones.
pub(super) fn links_of(path: &Path, request: &SearchOptions) -> Links {
    let own = ["/etc", "/run", "/usr/lib"].iter().any(|own| path.starts_with(request.machine.at(own)));
    if request.follow_links || own || path == request.machine.root() {
        Links::Followed
    } else {
        Links::Confined
    }
}

fn read(path: &Path, links: Links, request: &SearchOptions) -> Result<Read, NotFound> {
    let (machine, limit) = (&request.machine, request.text_limit());
    let name = path.display().to_string();
    let kind = fs::metadata(path).map_err(|e| match e.kind() {
        io::ErrorKind::NotFound => NotFound::new(
            NotFoundKind::Unreadable,
            format!("There is no {name}."),
            "Name a file, a directory, a block device or an ISO image, or - for standard input.",
        ),
        _ => layout::unreadable(&name, &ReadError::Io(e)),
    })?;
    if kind.is_dir() {
        return Ok((OriginKind::Directory, None, read_directory(path, &name, links, machine)?));
    }
    if kind.file_type().is_block_device() {
        return read_device(path, &name, machine);
    }
    if !kind.is_file() {
        // A pipe: the shell's <(command), or /dev/stdin.
        let file = File::open(path).map_err(|e| cannot_open(path, &e))?;
        let bytes = tree::read_limited(file, 0, limit).map_err(|e| layout::unreadable(&name, &e))?;
        return Ok((OriginKind::File, None, plain_text(&name, bytes)?));
    }
    read_regular(path, &name, machine, limit)
}

fn read_regular(path: &Path, name: &str, machine: &Machine, limit: usize) -> Result<Read, NotFound> {
    let file = File::open(path).map_err(|e| cannot_open(path, &e))?;
    let volume = volume::probe(&file).map_err(|e| layout::unreadable(name, &e.into()))?;
    match volume {
        Some(volume) => {
            let kind = match volume.filesystem {
                FileSystem::Iso9660 => OriginKind::IsoImage,
                FileSystem::Vfat => OriginKind::FatImage,
                FileSystem::Ext4 | FileSystem::Udf => return Err(only_from_a_device(name, &volume)),
            };
            let contents = read_volume(path, &volume, layout_of(&volume), machine)?;
            let contents = contents.ok_or_else(|| nothing_on(&described(name, &volume)))?;
            Ok((kind, Some(volume), contents))
        }
        None => {
            let bytes = tree::read_file(path, limit).map_err(|e| layout::unreadable(name, &e));
            match file.read_at(0, 520).as_deref() {
                Ok(head) if has_partition_table(head) => Err(NotFound::new(
                    NotFoundKind::Unreadable,
                    format!("{name} is the image of a disk with partitions."),
                    "Name the partition: netapply reads a file system, not a partition table. As root: losetup \
                     --read-only --partscan --find --show IMAGE.",
                )),
                _ => Ok((OriginKind::File, None, plain_text(name, bytes?)?)),
            }
        }
    }
}

/// A master boot record or a GUID partition table. Text contains no NUL byte.
fn has_partition_table(head: &[u8]) -> bool {
    head.get(510..512) == Some(&[0x55, 0xaa]) || head.get(512..520) == Some(b"EFI PART")
}

/// An image that would have to be mounted.
fn only_from_a_device(name: &str, volume: &Volume) -> NotFound {
    NotFound::new(
        NotFoundKind::Unreadable,
        format!(
            "{name} is the image of a drive with {}, which netapply reads only from a device.",
            volume.filesystem.name()
        ),
        "As root: netapply --dry-run \"$(losetup --read-only --find --show IMAGE)\". Or make the image ISO 9660 or VFAT, \
         which are read without mounting them.",
    )
}

fn read_device(path: &Path, name: &str, machine: &Machine) -> Result<Read, NotFound> {
    let file = File::open(path).map_err(|e| cannot_open(path, &e))?;
    let volume = volume::probe(&file).map_err(|e| layout::unreadable(name, &e.into()))?.ok_or_else(|| {
        NotFound::new(
            NotFoundKind::NoDescription,
            format!("{name} holds no file system that netapply reads: ISO 9660, VFAT, UDF or ext4."),
            "If it is a disk with partitions, name the partition.",
        )
    })?;
    drop(file);
    let contents = read_volume(path, &volume, layout_of(&volume), machine)?;
    let contents = contents.ok_or_else(|| nothing_on(&described(name, &volume)))?;
    Ok((OriginKind::BlockDevice, Some(volume), contents))
}

fn read_directory(path: &Path, name: &str, links: Links, machine: &Machine) -> Result<Contents, NotFound> {
    let tree = || DirTree::new(path, links);
    let found = match hosts::read(&tree(), None, machine)? {
        Some(contents) => Some(contents),
        None => match hosts::states(&tree(), machine)? {
            Some(contents) => Some(contents),
            None => layout::netplan(&tree())?,
        },
    };
    let mut contents = found.ok_or_else(|| nothing_on(name))?;
    for document in &mut contents.documents {
        document.name = path.join(&document.name).display().to_string();
    }
    Ok(contents)
}

fn plain_text(name: &str, bytes: Vec<u8>) -> Result<Contents, NotFound> {
    Ok(Contents {
        layout: Layout::Plain,
        documents: vec![Document::decode(name, bytes)?],
        metadata: Metadata::default(),
        notes: Vec::new(),
    })
}

/// A drive or directory without a description.
pub(super) fn nothing_on(what: &str) -> NotFound {
    NotFound::new(
        NotFoundKind::NoDescription,
        format!("{what} holds no network description."),
        "netapply looks for openstack/latest/network_data.json, network-config, context.sh, and in a directory for \
         *.yaml or etc/netplan/*.yaml.",
    )
}

impl Origin {
    /// The origin, apart from what only the files tell.
    pub(super) fn of(kind: OriginKind, path: String, volume: Option<&Volume>, why: &str) -> Origin {
        Origin {
            kind,
            path,
            label: volume.and_then(|v| v.labels.first().cloned()),
            filesystem: volume.map(|v| v.filesystem.name().into()),
            created: volume.and_then(|v| v.created.clone()),
            instance_id: None,
            hash: String::new(),
            why: why.to_owned(),
            others: Vec::new(),
        }
    }
}

impl Found {
    /// Combines contents and origin.
    pub(super) fn new(contents: Contents, mut origin: Origin) -> Found {
        let Contents { layout, documents, metadata, notes } = contents;
        origin.hash = hash(&documents);
        origin.instance_id = metadata.instance_id.clone();
        Found { documents, layout, origin, metadata, notes }
    }
}
