//! Files of text: read as often as needed, also from a pipe, and only while they stay as they are.

use std::{
    fs::File,
    io::{ErrorKind, Read, Seek, Write},
    path::{Path, PathBuf},
};

use ensemble::{
    Error, Result,
    file::{self, Stamp},
};

/// Text that can be read more than once, and that must stay as it is meanwhile. A pipe is written to a temporary file without a
/// name first.
pub(crate) struct TextFile {
    path: PathBuf,
    file: File,
    stamp: Stamp,
}

impl TextFile {
    /// Open `path`; a pipe is read to its end into the folder `spill`.
    pub(crate) fn open(path: &Path, spill: &Path) -> Result<Self> {
        let mut file = file::open_to_read(path)?;
        if !file.metadata().is_ok_and(|m| m.is_file()) {
            let mut spooled = tempfile::tempfile_in(spill)
                .map_err(|e| Error::io(spill, "create a temporary file in", e))?;
            let mut buffer = vec![0; 1 << 16];
            loop {
                let len = match file.read(&mut buffer) {
                    Ok(0) => break,
                    Ok(len) => len,
                    Err(e) if e.kind() == ErrorKind::Interrupted => continue,
                    Err(e) => return Err(Error::io(path, "read", e)),
                };
                let failed = |e| Error::io(spill, "write to a temporary file in", e);
                spooled.write_all(&buffer[..len]).map_err(failed)?;
            }
            file = spooled;
        }
        let stamp = Stamp::of_file(&file, path)?;
        Ok(Self { path: path.into(), file, stamp })
    }

    /// What errors call it.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, to be read from its start. One at a time.
    pub(crate) fn rewound(&self) -> Result<&File> {
        (&self.file).rewind().map_err(|e| Error::io(&self.path, "read", e))?;
        Ok(&self.file)
    }

    /// Do something that reads it. That it changed meanwhile explains whatever comes of it, so it is told first.
    pub(crate) fn unchanged<R>(&self, read: impl FnOnce() -> Result<R>) -> Result<R> {
        let read = read();
        self.check_unchanged()?;
        read
    }

    /// An error if it is not what it was.
    pub(crate) fn check_unchanged(&self) -> Result<()> {
        self.stamp.check(&self.file, &self.path)
    }
}
