//! Matrices in unlinked temporary files: room for what the engine fills and reads again.

use std::{
    fs::File,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use ensemble_core::{
    ContiguousView, Error, MatMut, MatRef, Order, Result, Rows, Scratch, ScratchMatrix, Shape, Table,
};

use crate::{
    allocate::{Room, allocate, write_zeros},
    filesystem::{self, Kind},
    mapped::MappedTable,
    region::Region,
};

/// A directory whose disk holds matrices that need not stay in memory.
///
/// Each matrix is a temporary file without a name, which nobody else can read and which the system removes when its last user is
/// gone, even after a crash. All of its bytes are allocated before it is mapped, so that a full disk is an error of
/// [`Scratch::matrix`] and not a signal later. That holds on file systems that write in place what they have allocated: ext4,
/// XFS, tmpfs, and btrfs, which is asked to write these files in place. It does not hold on ZFS, bcachefs and NILFS, where every
/// write takes new blocks whatever was allocated, nor where a network or a program is the file system: there the room
/// is only asked for, and a disk that fills up meanwhile raises SIGBUS (see [`answer_signals`](crate::answer_signals)).
///
/// The pages are file pages, which the kernel writes out under pressure; in a directory on tmpfs they are memory, and
/// [`Scratch::is_anonymous`] says so. Once finished, a matrix is a table like a [`MappedTable`], rewired views included.
///
/// ```
/// use ensemble_core::{Order, Scratch, Shape, Table};
/// use ensemble_memmap::SpillDir;
///
/// let spill = SpillDir::temp();
/// let mut matrix = spill.matrix(Shape { nrows: 1000, ncols: 3 }, Order::C)?;
/// matrix.as_mat_mut().set(999, 2, 0.5);
/// let table = matrix.into_table();
/// assert_eq!(table.as_mat().get(999, 2), 0.5);
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpillDir {
    dir: PathBuf,
}

impl SpillDir {
    /// Spill to `dir`, which is looked at when the first matrix is made.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Spill to the system's directory for temporary files: `TMPDIR` if it is set, else `/tmp`, or `/var/tmp` where `/tmp` is
    /// memory and that is not.
    pub fn temp() -> Self {
        Self::new(filesystem::temporary_folder())
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A temporary file of `bytes` zeros, each of which has its place on disk.
    fn file(&self, bytes: u64) -> Result<File> {
        let file = nameless(&self.dir)?;
        // Asked while the file is empty.
        let moves = filesystem::of_file(&file) == Kind::CopyOnWrite && !filesystem::write_in_place(&file);
        match allocate(&file, bytes) {
            Ok(Room::Allocated) => Ok(()),
            Ok(Room::Unsupported) => write_zeros(&file, bytes),
            Err(source) => Err(source),
        }
        .map_err(|source| {
            Error::io(&self.dir, format!("allocate {bytes} bytes for a spill file in"), source)
        })?;
        if moves {
            // What was allocated is not kept, so there must be as much beside it now.
            check_room(&file, bytes).map_err(|source| {
                Error::io(&self.dir, format!("find room for {bytes} bytes of a spill file in"), source)
            })?;
        }
        Ok(file)
    }
}

/// A file in `folder` that has no name and that nobody else can open.
pub(crate) fn nameless(folder: &Path) -> Result<File> {
    tempfile::tempfile_in(folder).map_err(|source| Error::io(folder, "create a temporary file in", source))
}

/// An error unless the file system has `bytes` to spare.
fn check_room(file: &File, bytes: u64) -> std::io::Result<()> {
    let has = rustix::fs::fstatvfs(file)?;
    match has.f_bavail.saturating_mul(has.f_frsize) < bytes {
        true => Err(std::io::ErrorKind::StorageFull.into()),
        false => Ok(()),
    }
}

impl Scratch for SpillDir {
    /// A matrix of zeros in a temporary file of its size.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](ensemble_core::ErrorKind::Io) with the directory and the bytes wanted, when the disk is full or
    /// the directory cannot be used; [`ErrorKind::Unsupported`](ensemble_core::ErrorKind::Unsupported) for a shape that
    /// the machine cannot address.
    fn matrix(&self, shape: Shape, order: Order) -> Result<Box<dyn ScratchMatrix>> {
        let name = format!("spill file in {}", self.dir.display());
        let bytes = (shape.nrows as u64)
            .checked_mul(shape.ncols as u64)
            .and_then(|values| values.checked_mul(8))
            .filter(|&bytes| bytes <= isize::MAX as u64)
            .ok_or_else(|| {
                Error::unsupported(format!(
                    "a spill file of {} x {} values is more than this machine can address; use fewer rows or columns",
                    shape.nrows, shape.ncols
                ))
            })?;
        let region = match bytes {
            0 => Region::empty(shape, order, name),
            _ => Region::write(self.file(bytes)?, shape, order, name).map_err(|source| {
                Error::io(&self.dir, format!("map {bytes} bytes of a spill file in"), source)
            })?,
        };
        Ok(Box::new(SpillMatrix { region }))
    }

    /// Exact: what a rewired view of the finished matrix will copy.
    fn contiguous_cost(&self, shape: Shape, order: Order, rows: &Rows) -> Option<u64> {
        Region::contiguous_cost_at(0, shape, order, rows)
    }

    fn contiguous_mappings(&self, shape: Shape, order: Order, rows: &Rows) -> u64 {
        Region::contiguous_mappings_at(0, shape, order, rows)
    }

    fn mappings_left(&self) -> u64 {
        crate::rewire::mappings_left()
    }

    /// Whether the directory's files are memory: tmpfs.
    fn is_anonymous(&self) -> bool {
        filesystem::of_folder(&self.dir) == Kind::Memory
    }
}

/// A matrix in a temporary file that still has one writer.
struct SpillMatrix {
    region: Region,
}

impl Table for SpillMatrix {
    fn as_mat(&self) -> MatRef<'_> {
        self.region.as_mat()
    }

    fn describe(&self) -> String {
        self.region.name().into()
    }

    fn page_bytes(&self) -> usize {
        rustix::param::page_size()
    }

    fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        self.region.contiguous_cost(rows)
    }

    fn contiguous_mappings(&self, rows: &Rows) -> u64 {
        self.region.contiguous_mappings(rows)
    }

    fn mappings_left(&self) -> u64 {
        crate::rewire::mappings_left()
    }

    fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        self.region.contiguous(rows)
    }

    fn release(&self, rows: Range<usize>) {
        self.region.release(rows);
    }
}

impl ScratchMatrix for SpillMatrix {
    fn as_mat_mut(&mut self) -> MatMut<'_> {
        self.region.as_mat_mut()
    }

    fn into_table(self: Box<Self>) -> Arc<dyn Table> {
        // The kernel may refuse a change of protection only if it had to split a mapping, and this one changes whole.
        let region = self.region.seal().expect("making a whole mapping read-only");
        Arc::new(MappedTable::private(region))
    }
}
