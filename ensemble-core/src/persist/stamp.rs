//! Stamps that tell whether a file changed, and reading what may be a pipe.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read},
    path::Path,
};

use crate::error::{Error, Result};

/// What a file was when it was asked: which one, how long, when it was written and when anything about it changed.
///
/// The time of change is the system's own and cannot be put back, as the time of writing can. What no stamp tells: bytes
/// written within one tick of the file system's clock (1 to 10 ms) of the stamp before, and bytes that another process writes
/// through a mapping of its own, whose time the system may record only when it writes the pages out; and bytes whose time was put
/// back, if the file got or lost a name as well.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    device: u64,
    inode: u64,
    links: u64,
    len: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// The stamp in a file's metadata.
    #[cfg(unix)]
    pub fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            links: metadata.nlink(),
            len: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// The stamp in a file's metadata, as far as it can be told here.
    #[cfg(not(unix))]
    pub fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
        let modified = since.map_or((0, 0), |t| (t.as_secs() as i64, i64::from(t.subsec_nanos())));
        Self { device: 0, inode: 0, links: 1, len: metadata.len(), modified, changed: modified }
    }

    /// The stamp of an open file, which errors call `path`.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the system does not say.
    pub fn of_file(file: &File, path: &Path) -> Result<Self> {
        let failed = |error| Error::io(path, "ask for the length and time of change of", error);
        file.metadata().map(|m| Self::of(&m)).map_err(failed)
    }

    /// Bytes of the file.
    #[expect(clippy::len_without_is_empty, reason = "the length of a file, not of a collection")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether both are of one file.
    pub fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether the file may have other bytes, as far as stamps tell: another length or time of writing; or nothing but another time
    /// of change, which is what a time put back leaves, unless the number of its names explains it. Most file systems also change
    /// that time when the file is renamed, and all when its rights or owner change, and nothing tells these from a time put back.
    pub fn is_rewritten(&self, is: &Self) -> bool {
        !self.is_same_file(is)
            || (self.len, self.modified) != (is.len, is.modified)
            || (self.changed != is.changed && self.links == is.links)
    }

    /// Compare an open file with what it was.
    ///
    /// One system call. A file that lost a name, or got one more, has not changed, so another file may be renamed onto it; one that
    /// is renamed itself is taken for one whose time of writing was put back.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) with both stamps if it has; [`ErrorKind::Io`](crate::ErrorKind::Io) if the
    /// system does not say.
    pub fn check(&self, file: &File, path: &Path) -> Result<()> {
        let is = Self::of_file(file, path)?;
        if !self.is_rewritten(&is) {
            return Ok(());
        }
        let what = if (self.len, self.modified) == (is.len, is.modified) {
            format!(
                "the file changed while it was read: it has its length and time of writing, but was touched at {}.{:09} s: its name, rights or owner were changed, or it was written and its time put back, which nothing tells apart; what was computed from it may be void, open it again",
                is.changed.0, is.changed.1
            )
        } else {
            format!(
                "the file changed while it was read: it had {} bytes, written at {}.{:09} s, and has {} bytes, written at {}.{:09} s; what was computed from it is void, open it again",
                self.len, self.modified.0, self.modified.1, is.len, is.modified.0, is.modified.1
            )
        };
        Err(Error::format(path, what))
    }

    /// Compare what `path` names now with the file it named. A path that names nothing any more is no error.
    ///
    /// # Errors
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) if it names another file, [`ErrorKind::Io`](crate::ErrorKind::Io) if the
    /// system does not say.
    pub fn check_path(&self, path: &Path) -> Result<()> {
        match fs::metadata(path) {
            Ok(metadata) if !Self::of(&metadata).is_same_file(self) => Err(Error::format(
                path,
                "another file took this path since the table was opened, which still reads the old one; open it again",
            )),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::io(path, "ask for the length and time of change of", error)),
        }
    }
}

/// How long a named pipe may be without anybody at its other end.
pub(crate) const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// Open a file, or a pipe that somebody writes to, for reading.
///
/// Opening a named pipe waits for its writer, who may never come; here it waits for two seconds. Once a writer is there, he may
/// take his time.
///
/// # Errors
/// [`ErrorKind::Io`](crate::ErrorKind::Io) if it cannot be opened, [`ErrorKind::Format`](crate::ErrorKind::Format) for a named
/// pipe without a writer.
pub fn open_to_read(path: &Path) -> Result<File> {
    let failed = |e| Error::io(path, "open", e);
    let metadata = fs::metadata(path).map_err(failed)?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
        if metadata.file_type().is_fifo() {
            // To open a pipe is to wait for a writer, whether or not he has anything to say yet; no other call tells that he is
            // there and leaves the bytes in the pipe. So a thread waits, and this one for the thread.
            let (opened, wait) = std::sync::mpsc::channel();
            let pipe = path.to_owned();
            std::thread::Builder::new()
                .spawn(move || opened.send(File::open(pipe)))
                .map_err(|e| Error::io(path, "wait for the writer of", e))?;
            return wait.recv_timeout(PATIENCE).map_or_else(
                |_| {
                    // A writer for a moment lets the thread go.
                    let without_waiting = rustix::fs::OFlags::NONBLOCK.bits() as i32;
                    let _ = OpenOptions::new().write(true).custom_flags(without_waiting).open(path);
                    Err(Error::format(
                        path,
                        "is a named pipe that nobody writes to; start what writes to it first, or give a file",
                    ))
                },
                |file| file.map_err(failed),
            );
        }
    }
    if metadata.is_dir() {
        return Err(Error::format(path, "is a folder, and a file is wanted"));
    }
    File::open(path).map_err(failed)
}

/// Read all of a file or pipe that should be small, at most `most` bytes, and make sure that it did not change meanwhile.
///
/// # Errors
/// As [`open_to_read`] and [`Stamp::check`]; [`ErrorKind::Format`](crate::ErrorKind::Format) if there are more bytes.
pub fn read_whole(path: &Path, most: u64) -> Result<Vec<u8>> {
    let file = open_to_read(path)?;
    let before = Stamp::of_file(&file, path)?;
    let mut bytes = Vec::new();
    (&file).take(most.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| Error::io(path, "read", e))?;
    if bytes.len() as u64 > most {
        return Err(Error::format(path, format!("has more than {most} bytes, so it is not what is wanted")));
    }
    // A pipe changes by being read.
    if file.metadata().is_ok_and(|m| m.is_file()) {
        before.check(&file, path)?;
    }
    Ok(bytes)
}
