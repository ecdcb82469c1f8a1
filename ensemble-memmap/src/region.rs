//! The values of one table in one mapped file: the memory, the file behind it and what both make possible.

use std::{fs::File, io, ops::Range};

use ensemble_core::{ContiguousView, Error, ErrorKind, MatMut, MatRef, Order, Result, Rows, Shape};
use memmap2::{Advice, Mmap, MmapMut, MmapOptions};

use crate::{
    rewire::{self, Layout},
    signals::{Mapped, Told, addresses},
};

/// A dense table in a shared mapping of a file, or of no values and without a file.
///
/// Invariant: `pages` holds `shape.bytes()` bytes and is 8-byte aligned; `Pages::Read` and `Pages::Write` are shared
/// mappings of `file` from byte `start` on.
pub(crate) struct Region {
    /// Told before the pages are unmapped, so before `pages`.
    _told: Option<Told>,
    pages: Pages,
    shape: Shape,
    order: Order,
    /// What errors call it.
    name: String,
    what: Mapped,
}

enum Pages {
    /// No values, since no mapping is empty.
    Empty,
    /// Mapped for reading.
    Read { map: Mmap, file: File, start: u64 },
    /// Mapped for writing, until [`Region::seal`].
    Write { map: MmapMut, file: File },
}

/// Linux drops such pages at once; `POSIX_MADV_DONTNEED` there does nothing.
#[cfg(target_os = "linux")]
const NOT_NEEDED: rustix::mm::Advice = rustix::mm::Advice::LinuxDontNeed;
#[cfg(not(target_os = "linux"))]
const NOT_NEEDED: rustix::mm::Advice = rustix::mm::Advice::DontNeed;

/// What becomes of a page that is only partly inside a range to release.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Edge {
    /// It goes, and comes back when the values outside are read.
    Drop,
    /// It stays.
    Keep,
}

impl Region {
    /// Map the values of `file` from byte `start` on for reading.
    ///
    /// The caller has checked that the file holds them and that `start` is a multiple of 8.
    pub(crate) fn read(
        file: File,
        start: u64,
        shape: Shape,
        order: Order,
        name: String,
        what: Mapped,
    ) -> io::Result<Self> {
        debug_assert!(start.is_multiple_of(8));
        // SAFETY: the mapping is read-only and lives in this value together with the file, so it is never used after
        // it is unmapped, and every bit pattern is a valid float64. What remains is that the bytes stay as they are while
        // `&[f64]` to them live. For a file without a name, which is what spilled and imported tables are, nobody else can
        // write. For any other this is the condition that the documentation of `MappedTable` states and that no Unix
        // enforces: a writer who breaks it makes reads see either value, and one who cuts the file short makes them end
        // in SIGBUS; neither reaches memory of anybody else. Stamps tell afterwards, and locks tell writers who ask.
        let map = unsafe { MmapOptions::new().offset(start).len(shape.bytes() as usize).map(&file) }?;
        // Advice only: a kernel that declines it reads the same values.
        let _ = map.advise(Advice::Sequential);
        let _told = Told::of(addresses(&map), what, &name);
        Ok(Self { _told, pages: Pages::Read { map, file, start }, shape, order, name, what })
    }

    /// Say that rows will be read here and there instead of one after the other.
    pub(crate) fn expect_lookups(&self) {
        if let Pages::Read { map, .. } = &self.pages {
            let _ = map.advise(Advice::Normal);
        }
    }

    /// Map `file`, which nobody else can open and which is at least as long as `shape`, for writing.
    pub(crate) fn write(file: File, shape: Shape, order: Order, name: String) -> io::Result<Self> {
        // SAFETY: the file has no name, so this process alone can change it, and it does so only through `&mut self`.
        // It is as long as the mapping, so every page has bytes behind it. Where the file system keeps the room that was
        // allocated, no write can fail; where it does not (see `SpillDir`), a full disk ends a write in SIGBUS, which
        // ends the process and touches no memory.
        let map = unsafe { MmapOptions::new().len(shape.bytes() as usize).map_mut(&file) }?;
        let what = Mapped::Spilled;
        let _told = Told::of(addresses(&map), what, &name);
        Ok(Self { _told, pages: Pages::Write { map, file }, shape, order, name, what })
    }

    /// A table without values.
    pub(crate) fn empty(shape: Shape, order: Order, name: String) -> Self {
        debug_assert_eq!(shape.bytes(), 0);
        Self { _told: None, pages: Pages::Empty, shape, order, name, what: Mapped::Input }
    }

    /// What errors call it.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whose file it is.
    pub(crate) fn what(&self) -> Mapped {
        self.what
    }

    /// The file behind, unless there are no values.
    pub(crate) fn file(&self) -> Option<&File> {
        match &self.pages {
            Pages::Empty => None,
            Pages::Read { file, .. } | Pages::Write { file, .. } => Some(file),
        }
    }

    /// Where the values start in the file.
    pub(crate) fn start(&self) -> u64 {
        match &self.pages {
            Pages::Read { start, .. } => *start,
            Pages::Empty | Pages::Write { .. } => 0,
        }
    }

    /// The values, in file order.
    fn values(&self) -> &[f64] {
        match &self.pages {
            Pages::Empty => &[],
            Pages::Read { map, .. } => bytemuck::cast_slice(map),
            Pages::Write { map, .. } => bytemuck::cast_slice(map),
        }
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.values())
    }

    pub(crate) fn as_mat(&self) -> MatRef<'_> {
        MatRef::new(self.values(), self.shape.nrows, self.shape.ncols, self.order)
            .expect("a region holds the values of its shape")
    }

    /// The values, to write.
    ///
    /// # Panics
    /// Unless it was made by [`Region::write`] or [`Region::empty`] and is not sealed.
    pub(crate) fn as_mat_mut(&mut self) -> MatMut<'_> {
        let data: &mut [f64] = match &mut self.pages {
            Pages::Empty => &mut [],
            Pages::Read { .. } => panic!("{} is read-only", self.name),
            Pages::Write { map, .. } => bytemuck::cast_slice_mut(map),
        };
        MatMut::new(data, self.shape.nrows, self.shape.ncols, self.order)
            .expect("a region holds the values of its shape")
    }

    /// Make the pages read-only for good.
    pub(crate) fn seal(self) -> io::Result<Self> {
        let pages = match self.pages {
            Pages::Write { map, file } => Pages::Read { map: map.make_read_only()?, file, start: 0 },
            pages => pages,
        };
        Ok(Self { pages, ..self })
    }

    /// Unmap the pages of `rows`, so that a scan from the first row to the last leaves no page behind and maps none twice.
    ///
    /// A page shared with the rows before goes, and one shared with the rows after stays. Where two Fortran columns meet
    /// in a page, the end of the first is read last, so the page goes with the last rows.
    pub(crate) fn release(&self, rows: Range<usize>) {
        let rows = rows.start..rows.end.min(self.shape.nrows);
        if rows.start >= rows.end {
            return;
        }
        let Shape { nrows, ncols } = self.shape;
        let at_end = if rows.end == nrows { Edge::Drop } else { Edge::Keep };
        match self.order {
            Order::C => {
                self.drop_pages(rows.start * ncols * 8..rows.end * ncols * 8, Edge::Drop, at_end);
            }
            Order::F if rows == (0..nrows) => {
                self.drop_pages(0..self.bytes().len(), Edge::Drop, Edge::Drop);
            }
            Order::F => {
                for column in 0..ncols {
                    let first = column * nrows;
                    let at_start = if rows.start == 0 && column > 0 { Edge::Keep } else { Edge::Drop };
                    let bytes = (first + rows.start) * 8..(first + rows.end) * 8;
                    self.drop_pages(bytes, at_start, at_end);
                }
            }
        }
    }

    /// Tell the kernel that bytes `range` of the values are not needed for now; `at_start` and `at_end` say what becomes
    /// of pages that are only partly inside.
    fn drop_pages(&self, range: Range<usize>, at_start: Edge, at_end: Edge) {
        let bytes = self.bytes();
        if range.start >= range.end || range.end > bytes.len() {
            return;
        }
        let page = rustix::param::page_size();
        let (first, end) = (bytes.as_ptr().addr() + range.start, bytes.as_ptr().addr() + range.end);
        let first = if at_start == Edge::Drop { first / page * page } else { first.next_multiple_of(page) };
        let end = if at_end == Edge::Drop { end.next_multiple_of(page) } else { end / page * page };
        if first >= end {
            return;
        }
        let pointer = bytes.as_ptr().with_addr(first).cast_mut().cast();
        // SAFETY: `first..end` is whole pages of this mapping: `range` lies inside the values, and the mapping holds every
        // page that a value touches. It is shared and backed by a file, so dropping its pages takes them from this
        // process's page table only, and a later read finds the same bytes in the page cache or on disk, written ones
        // included. No reference is invalidated: the addresses stay mapped.
        let advised = unsafe { rustix::mm::madvise(pointer, end - first, NOT_NEEDED) };
        // Advice only: pages that stay are no error.
        let _ = advised;
    }

    /// See [`ensemble_core::Table::contiguous_cost`].
    pub(crate) fn contiguous_cost(&self, rows: &Rows) -> Option<u64> {
        Self::contiguous_cost_at(self.start(), self.shape, self.order, rows)
    }

    /// The same for values that start `start` bytes into a file, before there is one.
    pub(crate) fn contiguous_cost_at(start: u64, shape: Shape, order: Order, rows: &Rows) -> Option<u64> {
        if rows.end() > shape.nrows {
            return None;
        }
        if rows.runs().len() < 2 || shape.ncols == 0 {
            return Some(0);
        }
        Some(rewire::layout(start, shape, order, rows)?.bytes_copied())
    }

    /// See [`ensemble_core::Table::contiguous_mappings`].
    pub(crate) fn contiguous_mappings(&self, rows: &Rows) -> u64 {
        Self::contiguous_mappings_at(self.start(), self.shape, self.order, rows)
    }

    /// The same for values that start `start` bytes into a file, before there is one.
    pub(crate) fn contiguous_mappings_at(start: u64, shape: Shape, order: Order, rows: &Rows) -> u64 {
        if rows.end() > shape.nrows || rows.runs().len() < 2 || shape.ncols == 0 {
            return 0;
        }
        rewire::layout(start, shape, order, rows).map_or(0, |layout| layout.mappings())
    }

    /// See [`ensemble_core::Table::contiguous`].
    pub(crate) fn contiguous(&self, rows: &Rows) -> Result<Box<dyn ContiguousView + '_>> {
        if rows.end() > self.shape.nrows {
            let last = rows.runs().last().map_or(0..0, |run| run.start..run.end);
            let nrows = self.shape.nrows;
            return Err(ErrorKind::RowRange { start: last.start, end: last.end, nrows }.into());
        }
        if self.shape.ncols == 0 {
            let mat = MatRef::new(&[], rows.len(), 0, self.order)?;
            return Ok(Box::new(InPlace { mat }));
        }
        match rows.runs() {
            [] => Ok(Box::new(InPlace { mat: self.as_mat().rows(0..0)? })),
            [run] => Ok(Box::new(InPlace { mat: self.as_mat().rows(run.start..run.end)? })),
            _ => {
                let layout = self.layout(rows).ok_or_else(|| {
                    Error::unsupported(format!(
                        "{} cannot be rewired for these rows: the rows left out are not a whole number of {}-byte pages, or there are too many columns; gather them, or use page-aligned folds",
                        self.name,
                        rustix::param::page_size()
                    ))
                })?;
                rewire::map(self, layout, rows.len(), self.shape.ncols, self.order)
            }
        }
    }

    fn layout(&self, rows: &Rows) -> Option<Layout> {
        rewire::layout(self.start(), self.shape, self.order, rows)
    }
}

/// Rows that are one matrix where they are.
struct InPlace<'a> {
    mat: MatRef<'a>,
}

impl ContiguousView for InPlace<'_> {
    fn as_mat(&self) -> MatRef<'_> {
        self.mat
    }

    fn bytes_copied(&self) -> u64 {
        0
    }
}
