//! What is known of file systems by their number: which are memory, which keep the room they promised, which are remote.

use std::{fs::File, path::Path};

/// What matters about a file system here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Its files are memory: tmpfs, ramfs.
    Memory,
    /// Every write goes to new blocks, so room allocated beforehand is none for the second write of a page: ZFS, bcachefs,
    /// NILFS, and btrfs unless the file is told otherwise.
    CopyOnWrite,
    /// Locks are questions to another machine, or another program.
    Remote,
    /// Blocks are allocated once and written in place.
    Plain,
}

/// By the number that `statfs` gives; Linux's magic.h and the file systems' own sources.
fn kind(number: u32) -> Kind {
    match number {
        0x0102_1994 | 0x8584_58f6 => Kind::Memory,
        0x9123_683e | 0x2fc1_2fc1 | 0xca45_1a4e | 0x3434 => Kind::CopyOnWrite,
        // NFS, CIFS, SMB2, SMB, 9P, Ceph, Lustre, GPFS, AFS, FUSE.
        0x6969 | 0xff53_4d42 | 0xfe53_4d42 | 0x517b | 0x0102_1997 | 0x00c3_6400 | 0x0bd0_0bd0
        | 0x4750_4653 | 0x5346_414f | 0x6573_5546 => Kind::Remote,
        _ => Kind::Plain,
    }
}

#[cfg(target_os = "linux")]
pub(crate) fn of_file(file: &File) -> Kind {
    rustix::fs::fstatfs(file).map_or(Kind::Plain, |s| kind(s.f_type as u32))
}

#[cfg(target_os = "linux")]
pub(crate) fn of_folder(folder: &Path) -> Kind {
    rustix::fs::statfs(folder).map_or(Kind::Plain, |s| kind(s.f_type as u32))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn of_file(_file: &File) -> Kind {
    Kind::Plain
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn of_folder(_folder: &Path) -> Kind {
    Kind::Plain
}

/// Ask for writes in place, which btrfs grants for files that are still empty. Whether it did.
#[cfg(target_os = "linux")]
pub(crate) fn write_in_place(file: &File) -> bool {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let asked = ioctl_getflags(file).and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW));
    asked.is_ok() && ioctl_getflags(file).is_ok_and(|flags| flags.contains(IFlags::NOCOW))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn write_in_place(_file: &File) -> bool {
    false
}

/// The folder for temporary files: `TMPDIR` if it is set, else `/tmp`, or `/var/tmp` where `/tmp` is memory.
pub(crate) fn temporary_folder() -> std::path::PathBuf {
    let folder = std::env::temp_dir();
    let lasting = Path::new("/var/tmp");
    let is_memory = |folder: &Path| of_folder(folder) == Kind::Memory;
    if std::env::var_os("TMPDIR").is_none() && is_memory(&folder) && lasting.is_dir() && !is_memory(lasting) {
        return lasting.into();
    }
    folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn file_systems_are_told_by_their_numbers() {
        // Not every container has one.
        let mounts = std::fs::read_to_string("/proc/mounts").unwrap_or_default();
        if mounts.lines().any(|line| line.split(' ').skip(1).take(2).eq(["/dev/shm", "tmpfs"])) {
            assert_eq!(of_folder(Path::new("/dev/shm")), Kind::Memory);
        }
        assert_eq!(of_folder(Path::new("/no/such/folder")), Kind::Plain);
        // ext, XFS and F2FS allocate before they write.
        for plain in [0xef53, 0x5846_5342, 0xf2f5_2010] {
            assert_eq!(kind(plain), Kind::Plain);
        }
        for moving in [0x9123_683e, 0x2fc1_2fc1] {
            assert_eq!(kind(moving), Kind::CopyOnWrite);
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn writing_in_place_is_granted_or_denied_and_never_assumed() {
        let file = tempfile::tempfile().unwrap();
        assert!(of_file(&file) == Kind::CopyOnWrite || !write_in_place(&file));
    }
}
