//! How a child process passes what it has read to its parent: as bytes, field after field. Both are the same program,
//! so fields have no names and there is no version. Entry: [`Wire`].

use super::layout::{Contents, Layout};
use super::look::Inspected;
use super::volume::{FileSystem, Volume};
use super::{Directory, Document, Metadata, NotFound, NotFoundKind, OriginKind};
use nix::errno::Errno;

/// A value that can be passed.
pub(super) trait Wire: Sized {
    /// Appends the value.
    fn put(&self, to: &mut Vec<u8>);
    /// Removes the value from the front; `None` if the bytes are truncated.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

impl Wire for u32 {
    fn put(&self, to: &mut Vec<u8>) {
        to.extend_from_slice(&self.to_le_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<u32> {
        let (bytes, rest) = from.split_first_chunk()?;
        *from = rest;
        Some(u32::from_le_bytes(*bytes))
    }
}

impl Wire for bool {
    fn put(&self, to: &mut Vec<u8>) {
        u32::from(*self).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<bool> {
        Some(u32::take(from)? != 0)
    }
}

impl Wire for String {
    fn put(&self, to: &mut Vec<u8>) {
        // A budget far below 4 GiB limits what is read.
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(to);
        to.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<String> {
        let length = u32::take(from)? as usize;
        let (bytes, rest) = from.split_at_checked(length)?;
        *from = rest;
        String::from_utf8(bytes.to_vec()).ok()
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, to: &mut Vec<u8>) {
        for item in self {
            true.put(to);
            item.put(to);
        }
        false.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Vec<T>> {
        let mut items = Vec::new();
        while bool::take(from)? {
            items.push(T::take(from)?);
        }
        Some(items)
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_some().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn take(from: &mut &[u8]) -> Option<Option<T>> {
        if bool::take(from)? { T::take(from).map(Some) } else { Some(None) }
    }
}

impl<T: Wire, E: Wire> Wire for Result<T, E> {
    fn put(&self, to: &mut Vec<u8>) {
        self.is_ok().put(to);
        match self {
            Ok(value) => value.put(to),
            Err(error) => error.put(to),
        }
    }

    fn take(from: &mut &[u8]) -> Option<Result<T, E>> {
        if bool::take(from)? { T::take(from).map(Ok) } else { E::take(from).map(Err) }
    }
}

impl<A: Wire, B: Wire, C: Wire> Wire for (A, B, C) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
        self.2.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<(A, B, C)> {
        Some((A::take(from)?, B::take(from)?, C::take(from)?))
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
        self.1.put(to);
    }

    fn take(from: &mut &[u8]) -> Option<(A, B)> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl Wire for Errno {
    fn put(&self, to: &mut Vec<u8>) {
        (*self as i32 as u32).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Errno> {
        Some(Errno::from_raw(u32::take(from)? as i32))
    }
}

/// Structures: each field in turn.
macro_rules! structures {
    ($($name:ident { $($field:ident),* })*) => { $(
        impl Wire for $name {
            fn put(&self, to: &mut Vec<u8>) {
                $(self.$field.put(to);)*
            }

            fn take(from: &mut &[u8]) -> Option<$name> {
                Some($name { $($field: Wire::take(from)?),* })
            }
        }
    )* };
}

/// Enumerations without data: the number in this list. One that is missing here does not compile.
macro_rules! enumerations {
    ($($name:ident { $($variant:ident),* })*) => { $(
        impl Wire for $name {
            fn put(&self, to: &mut Vec<u8>) {
                match self {
                    $($name::$variant)|* => (*self as u32).put(to),
                }
            }

            fn take(from: &mut &[u8]) -> Option<$name> {
                let number = u32::take(from)?;
                [$($name::$variant),*].into_iter().find(|variant| *variant as u32 == number)
            }
        }
    )* };
}

structures! {
    Document { name, text }
    Metadata { hostname, instance_id, hostname_at }
    Contents { layout, documents, metadata, notes }
    Volume { filesystem, labels, publisher, created }
    NotFound { kind, message, hint, cause, names_drive }
    Directory { is_one, paths, links }
}

enumerations! {
    Layout { ConfigDrive, NoCloud, OpenNebula, Netplan, Plain }
    FileSystem { Iso9660, Vfat, Ext4, Udf }
    OriginKind { File, Stdin, Directory, IsoImage, FatImage, BlockDevice, SeedDirectory, HostShare, KernelCommandLine, Ibft, Nbft }
    NotFoundKind { Unreadable, NotText, NeedsRoot, Forbidden, NoFileSystem, NoDescription, NodeWithoutNetwork, NoDrive, PxeBoot }
}

impl Wire for Inspected {
    fn put(&self, to: &mut Vec<u8>) {
        let (number, volume, why) = match self {
            Inspected::Volume(volume) => (0, Some(volume.clone()), None),
            Inspected::Other => (1, None, None),
            Inspected::NoMedium => (2, None, None),
            Inspected::NeedsRoot => (3, None, None),
            Inspected::Forbidden => (4, None, None),
            Inspected::Failed(why) => (5, None, Some(why.clone())),
        };
        (number, volume, why).put(to);
    }

    fn take(from: &mut &[u8]) -> Option<Inspected> {
        Some(match <(u32, Option<Volume>, Option<String>)>::take(from)? {
            (0, Some(volume), _) => Inspected::Volume(volume),
            (1, ..) => Inspected::Other,
            (2, ..) => Inspected::NoMedium,
            (3, ..) => Inspected::NeedsRoot,
            (4, ..) => Inspected::Forbidden,
            (_, _, why) => Inspected::Failed(why?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back<T: Wire>(value: &T) -> Option<T> {
        let mut bytes = Vec::new();
        value.put(&mut bytes);
        let mut rest = &bytes[..];
        T::take(&mut rest).filter(|_| rest.is_empty())
    }

    #[test]
    fn values_round_trip() {
        let volume = Volume {
            filesystem: FileSystem::Vfat,
            labels: vec!["a".into(), "ü".into()],
            publisher: None,
            created: Some(String::new()),
        };
        for look in [Inspected::Volume(volume), Inspected::Forbidden, Inspected::Failed("I/O error".into())] {
            assert_eq!(back(&look).as_ref(), Some(&look));
        }
        let problem = NotFound::new(NotFoundKind::NotText, "m", "h");
        let problem: Result<u32, _> = Err(NotFound { cause: Some(Errno::EIO), ..problem });
        assert_eq!(back(&problem).as_ref(), Some(&problem));
    }

    proptest! {
        #[test]
        fn any_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Inspected::take(&mut &bytes[..]);
            let _ = Result::<Option<Contents>, NotFound>::take(&mut &bytes[..]);
        }
    }
}
