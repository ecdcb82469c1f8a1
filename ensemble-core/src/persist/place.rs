//! Where an output goes: links, streams, files without a name, and the rights of what was there.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    persist::stamp::{PATIENCE, Stamp},
};

/// The folder that `path` lies in.
pub(crate) fn folder(path: &Path) -> &Path {
    path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Where a file for `path` goes, behind symbolic links, and what is there.
pub(crate) fn resolve(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    match fs::metadata(path) {
        Ok(metadata) => {
            let is_link = fs::symlink_metadata(path)?.is_symlink();
            Ok((
                if is_link && metadata.is_file() { fs::canonicalize(path)? } else { path.into() },
                Some(metadata),
            ))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut target = PathBuf::from(path);
            // A link to what does not exist yet; the system's own bound on links in links is 40.
            for _ in 0..40 {
                if !fs::symlink_metadata(&target).is_ok_and(|m| m.is_symlink()) {
                    return Ok((target, None));
                }
                target = folder(&target).join(fs::read_link(&target)?);
            }
            Err(error)
        }
        Err(error) => Err(error),
    }
}

/// What is at `path` and takes bytes one after the other; `None` for a regular file.
pub(crate) fn open_stream(path: &Path, there: &Metadata) -> Result<Option<File>> {
    let failed = |e| Error::io(path, "open", e);
    if there.is_file() {
        return Ok(None);
    }
    if there.is_dir() {
        return Err(failed(io::Error::from(io::ErrorKind::IsADirectory)));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};

        use rustix::{
            fs::{OFlags, fcntl_getfl, fcntl_setfl},
            io::Errno,
        };
        let kind = there.file_type();
        if kind.is_char_device() {
            return OpenOptions::new().write(true).open(path).map(Some).map_err(failed);
        }
        if kind.is_fifo() {
            let start = std::time::Instant::now();
            let without_waiting = OFlags::NONBLOCK.bits() as i32;
            let file = loop {
                match OpenOptions::new().write(true).custom_flags(without_waiting).open(path) {
                    Err(e) if e.raw_os_error() == Some(Errno::NXIO.raw_os_error()) => {}
                    opened => break opened.map_err(failed)?,
                }
                if start.elapsed() > PATIENCE {
                    return Err(Error::format(
                        path,
                        "is a named pipe that nobody reads from; start what reads from it first, or name a file",
                    ));
                }
                std::thread::sleep(std::time::Duration::from_millis(20));
            };
            let flags = fcntl_getfl(&file).map_err(|e| failed(e.into()))?;
            fcntl_setfl(&file, flags - OFlags::NONBLOCK).map_err(|e| failed(e.into()))?;
            return Ok(Some(file));
        }
    }
    Err(Error::format(path, "is a disk or a socket, and an output is a file, a pipe or a character device"))
}

/// A file without a name in the folder of `target`; `None` where that is not possible, so that it is made beside instead.
#[cfg(target_os = "linux")]
pub(crate) fn open_unnamed(target: &Path, is_private: bool) -> Option<File> {
    use rustix::fs::{Mode, OFlags, open};
    let rights = if is_private { Mode::RUSR | Mode::WUSR } else { Mode::from_raw_mode(0o666) };
    let file = open(folder(target), OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC, rights).ok()?;
    let file = File::from(file);
    // It gets its name through /proc, which may not be there.
    let is = |m: Metadata| Stamp::of(&m);
    let named = fs::metadata(handle_name(&file)).ok().map(is)?;
    named.is_same_file(&file.metadata().ok().map(is)?).then_some(file)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn open_unnamed(_target: &Path, _is_private: bool) -> Option<File> {
    None
}

#[cfg(target_os = "linux")]
pub(crate) fn handle_name(file: &File) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// Name a file that has none.
#[cfg(target_os = "linux")]
pub(crate) fn give_name(file: &File, name: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, linkat};
    Ok(linkat(CWD, handle_name(file), CWD, name, AtFlags::SYMLINK_FOLLOW)?)
}

/// A file under a name that nothing has.
pub(crate) fn open_new(name: &Path, is_private: bool) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, if is_private { 0o600 } else { 0o666 });
    options.open(name)
}

/// Whether a path names an open file of a process by way of a link in `/proc`, as `/dev/stdout` does.
pub(crate) fn is_handle(path: &Path) -> bool {
    let mut at = PathBuf::from(path);
    for _ in 0..40 {
        let Ok(next) = fs::read_link(&at) else { return false };
        if folder(&at).canonicalize().is_ok_and(|f| f.starts_with("/proc") && f.ends_with("fd")) {
            return true;
        }
        at = folder(&at).join(next);
    }
    false
}

/// Why a file that was just made beside `existing`, at `target`, cannot take its name however whole it will be.
#[cfg(unix)]
pub(crate) fn check_replaceable(
    file: &File,
    target: &Path,
    existing: &Metadata,
) -> std::result::Result<(), &'static str> {
    use std::os::unix::fs::MetadataExt;
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
        let is = statx(CWD, target, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BASIC_STATS);
        if is.is_ok_and(|is| is.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)) {
            return Err(
                "is mounted by itself, so that no finished file can be renamed to it; mount its folder, or write elsewhere",
            );
        }
    }
    let (own, around) = (file.metadata(), fs::metadata(folder(target)));
    match (own, around) {
        (Ok(own), Ok(around)) if is_held(own.uid(), (around.mode(), around.uid()), existing.uid()) => Err(
            "belongs to another user, and in this folder nobody replaces the files of others; write elsewhere",
        ),
        _ => Ok(()),
    }
}

/// Whether the sticky bit of a folder, of this mode and owner, keeps `own` from replacing a file of `owner`.
#[cfg(unix)]
pub(crate) fn is_held(own: u32, (mode, folder_owner): (u32, u32), owner: u32) -> bool {
    mode & 0o1000 != 0 && own != 0 && own != owner && own != folder_owner
}

#[cfg(not(unix))]
pub(crate) fn check_replaceable(_: &File, _: &Path, _: &Metadata) -> std::result::Result<(), &'static str> {
    Ok(())
}

/// Rights of a file whose group was another one: what its group may do here is at most what everybody may.
#[cfg(unix)]
pub(crate) fn without_group(mode: u32) -> u32 {
    mode & !(0o070 & !((mode & 0o007) << 3))
}

/// Give `file` the owner, where permitted, and the rights of the one it replaces.
#[cfg(unix)]
pub(crate) fn take_rights(file: &File, of: &Metadata) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
    let own = file.metadata()?;
    let mut rights = of.mode() & 0o777;
    if (own.uid(), own.gid()) != (of.uid(), of.gid())
        && fchown(file, Some(of.uid()), Some(of.gid())).is_err()
        // Not ours to give away; the group may be.
        && own.gid() != of.gid()
        && fchown(file, None, Some(of.gid())).is_err()
    {
        rights = without_group(rights);
    }
    file.set_permissions(fs::Permissions::from_mode(rights))
}

#[cfg(not(unix))]
pub(crate) fn take_rights(_file: &File, _of: &Metadata) -> io::Result<()> {
    Ok(())
}
