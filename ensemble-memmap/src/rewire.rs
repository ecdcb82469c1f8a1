//! Rows from several places of a file as one matrix: its pages mapped side by side.
//!
//! A mapping places whole pages. Two stretches of a file can adjoin in memory if, going from one to the other, the
//! distance in the file and the distance in memory differ by a whole number of pages; that is, if the bytes left out
//! between them are a whole number of pages. Then every page of the view is either one page of the file, or a junction:
//! a page that holds the end of one stretch and the start of the next, and so exists nowhere in the file. Junctions are
//! private pages filled by copying.
//!
//! In Fortran order the end of a column adjoins the start of the next one in the file as in the view, so a fold of a
//! table of p columns is p + 1 stretches.
//!
//! Source: Schuhknecht, Dittrich, Linden, "RUMA has it: rewired user-space memory access is possible!", PVLDB 9 (2016).

use std::ops::Range;

use ensemble_core::{Order, Rows, Shape};

/// Consecutive bytes of the file that stay consecutive in the view.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    /// First byte, from the start of the file.
    file: u64,
    /// First byte, from the start of the view's first page.
    view: usize,
    len: usize,
}

impl Stretch {
    fn end(&self) -> usize {
        self.view + self.len
    }
}

/// Consecutive pages of a view with one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    pages: Range<usize>,
    origin: Origin,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Origin {
    /// Pages of the file from this byte on, a multiple of the page size.
    File(u64),
    /// Private pages, filled from more than one place.
    Copy,
}

/// How a view is put together: what the plan counts and what [`map`] does are both read from here.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    stretches: Vec<Stretch>,
    parts: Vec<Part>,
    page: usize,
    /// Byte of the file where the table's values start.
    start: u64,
}

impl Layout {
    /// Bytes of private pages.
    pub(crate) fn bytes_copied(&self) -> u64 {
        let pages: usize =
            self.parts.iter().filter(|p| p.origin == Origin::Copy).map(|p| p.pages.len()).sum();
        pages as u64 * self.page as u64
    }

    /// Mappings that the view takes, and two while it is made.
    pub(crate) fn mappings(&self) -> u64 {
        self.parts.len() as u64 + 2
    }

    /// Bytes of address space, all of it whole pages.
    fn len(&self) -> usize {
        self.parts.last().map_or(0, |part| part.pages.end * self.page)
    }

    /// Where the first value lies in the first page.
    fn lead(&self) -> usize {
        self.stretches.first().map_or(0, |s| s.view)
    }

    /// Write what pages `pages` of the view hold into `out`, from the table's bytes.
    fn fill(&self, pages: &Range<usize>, table: &[u8], out: &mut [u8]) {
        let (from, to) = (pages.start * self.page, pages.end * self.page);
        let first = self.stretches.partition_point(|s| s.end() <= from);
        for s in self.stretches[first..].iter().take_while(|s| s.view < to) {
            let (a, b) = (s.view.max(from), s.end().min(to));
            let source = (s.file - self.start) as usize + (a - s.view);
            out[a - from..b - from].copy_from_slice(&table[source..source + (b - a)]);
        }
    }
}

/// The layout of `rows` of a table whose values start at byte `start` of a file, or `None` if its pages do not fit.
pub(crate) fn layout(start: u64, shape: Shape, order: Order, rows: &Rows) -> Option<Layout> {
    if !cfg!(target_os = "linux") {
        return None;
    }
    plan(start, shape, order, rows, rustix::param::page_size(), most_parts())
}

/// A quarter of the mappings the kernel grants one process, so that a few views can live at once.
fn most_parts() -> usize {
    granted() / 4
}

/// The mappings the kernel grants one process.
fn granted() -> usize {
    static GRANTED: std::sync::OnceLock<usize> = std::sync::OnceLock::new();
    *GRANTED.get_or_init(|| {
        let granted = std::fs::read_to_string("/proc/sys/vm/max_map_count");
        // The kernel's own default, when it does not say.
        granted.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(65_530)
    })
}

/// Mappings that views of this process may take now: those granted less those there are. An eighth stays for all else that maps:
/// memory, stacks of threads, files. One read of a text as long as there are mappings.
pub(crate) fn mappings_left() -> u64 {
    let Ok(maps) = std::fs::read("/proc/self/maps") else { return u64::MAX };
    let taken = maps.iter().filter(|byte| **byte == b'\n').count();
    (granted() - granted() / 8).saturating_sub(taken) as u64
}

/// [`layout`] as arithmetic alone. `rows` lie inside the shape, which has columns, and its bytes fit `isize`.
fn plan(
    start: u64,
    shape: Shape,
    order: Order,
    rows: &Rows,
    page: usize,
    most_parts: usize,
) -> Option<Layout> {
    let stretches = stretches(start, shape, order, rows, page)?;
    let mut parts: Vec<Part> = Vec::new();
    let last = stretches.len().checked_sub(1)?;
    for (i, s) in stretches.iter().enumerate() {
        // A page that this stretch shares with a neighbour is a junction; the outermost pages have no neighbour.
        let first_page = if i == 0 { 0 } else { s.view.div_ceil(page) };
        let end_page = if i == last { s.end().div_ceil(page) } else { s.end() / page };
        if first_page < end_page {
            let file = s.file + (first_page * page) as u64 - s.view as u64;
            debug_assert!(file.is_multiple_of(page as u64));
            parts.push(Part { pages: first_page..end_page, origin: Origin::File(file) });
        }
        if i < last && !s.end().is_multiple_of(page) {
            let junction = s.end() / page;
            match parts.last_mut() {
                // Short stretches may meet more than once in one page.
                Some(part) if part.origin == Origin::Copy && part.pages.end >= junction => {
                    part.pages.end = junction + 1;
                }
                _ => parts.push(Part { pages: junction..junction + 1, origin: Origin::Copy }),
            }
        }
        if parts.len() > most_parts {
            return None;
        }
    }
    Some(Layout { stretches, parts, page, start })
}

/// The stretches of the file behind `rows`, in view order, or `None` if the bytes between two of them are not whole
/// pages.
fn stretches(start: u64, shape: Shape, order: Order, rows: &Rows, page: usize) -> Option<Vec<Stretch>> {
    let (n_lines, row_bytes, line_bytes) = match order {
        Order::C => (1, 8 * shape.ncols, 0),
        Order::F => (shape.ncols, 8, 8 * shape.nrows),
    };
    let lead = ((start + (rows.runs().first()?.start * row_bytes) as u64) % page as u64) as usize;
    let mut all: Vec<Stretch> = Vec::with_capacity(n_lines * rows.runs().len());
    for line in 0..n_lines {
        for run in rows.runs() {
            let file = start + (line * line_bytes + run.start * row_bytes) as u64;
            let len = (run.end - run.start) * row_bytes;
            match all.last_mut() {
                Some(before) if before.file + before.len as u64 == file => before.len += len,
                Some(before) => {
                    let gap = file - (before.file + before.len as u64);
                    if !gap.is_multiple_of(page as u64) {
                        return None;
                    }
                    let view = before.end();
                    all.push(Stretch { file, view, len });
                }
                None => all.push(Stretch { file, view: lead, len }),
            }
        }
    }
    Some(all)
}

#[cfg(target_os = "linux")]
pub(crate) use linux::map;

#[cfg(not(target_os = "linux"))]
pub(crate) fn map<'a>(
    region: &'a crate::region::Region,
    _layout: Layout,
    _nrows: usize,
    _ncols: usize,
    _order: Order,
) -> ensemble_core::Result<Box<dyn ensemble_core::ContiguousView + 'a>> {
    Err(ensemble_core::Error::unsupported(format!("{} cannot be rewired on this system", region.name())))
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{ffi::c_void, fs::File, marker::PhantomData, ops::Range, ptr::NonNull};

    use ensemble_core::{ContiguousView, Error, MatRef, Order, Result};
    use rustix::{
        io::Errno,
        mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap},
    };

    use super::{Layout, Origin};
    use crate::{region::Region, signals::Told};

    /// Put the pages of `region` side by side as `layout` says.
    pub(crate) fn map<'a>(
        region: &'a Region,
        layout: Layout,
        nrows: usize,
        ncols: usize,
        order: Order,
    ) -> Result<Box<dyn ContiguousView + 'a>> {
        let refused = |errno: Errno| {
            let action = format!(
                "put {} pages side by side (in {} mappings; the system grants vm.max_map_count per process) of",
                layout.len() / layout.page,
                layout.parts.len()
            );
            Error::io(region.name(), action, errno.into())
        };
        let Some(file) = region.file() else {
            return Err(Error::unsupported(format!("{} has no values to rewire", region.name())));
        };
        let mut space = Space::reserve(layout.len()).map_err(refused)?;
        for part in &layout.parts {
            let bytes = part.pages.start * layout.page..part.pages.end * layout.page;
            match part.origin {
                Origin::File(from) => space.place(bytes, file, from),
                Origin::Copy => space.fill(bytes, |out| layout.fill(&part.pages, region.bytes(), out)),
            }
            .map_err(refused)?;
        }
        Ok(Box::new(Rewired {
            _told: Told::of(space.bytes(), region.what(), region.name()),
            space,
            lead: layout.lead(),
            nrows,
            ncols,
            order,
            bytes_copied: layout.bytes_copied(),
            region: PhantomData,
        }))
    }

    /// A view over pages put side by side; dropping it unmaps them.
    ///
    /// Invariant: `nrows * ncols` values lie in `space` from byte `lead` on, `lead` is a multiple of 8, and every page
    /// of `space` is readable.
    struct Rewired<'a> {
        /// Told before the pages are unmapped, so before `space`.
        _told: Option<Told>,
        space: Space,
        lead: usize,
        nrows: usize,
        ncols: usize,
        order: Order,
        bytes_copied: u64,
        /// The junctions are copies: as long as they live, nobody may write to the table.
        region: PhantomData<&'a Region>,
    }

    impl ContiguousView for Rewired<'_> {
        fn as_mat(&self) -> MatRef<'_> {
            let len = self.nrows * self.ncols;
            assert!(self.lead + len * 8 <= self.space.len, "{len} values in {} bytes", self.space.len);
            // SAFETY: the assertion keeps the values inside the reservation, all of whose pages `map` has made readable
            // (the layout's parts cover it without gaps). The reservation starts on a page and `lead` is a multiple of
            // 8, since values start at a multiple of 8 in the file, so the pointer is aligned. The pages are read-only
            // and live as long as `self`; every bit pattern is a valid float64.
            let data = unsafe {
                std::slice::from_raw_parts(self.space.base.as_ptr().add(self.lead).cast::<f64>(), len)
            };
            MatRef::new(data, self.nrows, self.ncols, self.order).expect("a view holds its rows")
        }

        fn bytes_copied(&self) -> u64 {
            self.bytes_copied
        }
    }

    /// Address space of its own, into which pages are placed.
    ///
    /// Invariant: every page of `base..base + len` outside `hole` is mapped, and by this value alone.
    struct Space {
        base: NonNull<u8>,
        len: usize,
        /// Bytes of the one placement that failed. The system may then have unmapped what it should have replaced, and
        /// anybody's mapping may lie there by now.
        hole: Option<Range<usize>>,
    }

    // SAFETY: a `Space` owns its address range alone. Through a shared reference it is only read, and through a mutable
    // one only written by `place` and `fill`; mapping and unmapping may happen on any thread.
    unsafe impl Send for Space {}
    // SAFETY: as above: `&Space` gives reads of pages that nobody writes.
    unsafe impl Sync for Space {}

    impl Space {
        /// Reserve `len` bytes, whole pages, none of them readable yet. Takes no memory.
        fn reserve(len: usize) -> rustix::io::Result<Self> {
            // SAFETY: with a null address and without FIXED the kernel picks unused addresses, so nothing that exists
            // is touched.
            let base = unsafe {
                mmap_anonymous(
                    std::ptr::null_mut(),
                    len,
                    ProtFlags::empty(),
                    MapFlags::PRIVATE | MapFlags::NORESERVE,
                )
            }?;
            let base = NonNull::new(base.cast()).ok_or(Errno::NOMEM)?;
            Ok(Self { base, len, hole: None })
        }

        /// The addresses, to be told.
        fn bytes(&self) -> Range<usize> {
            let start = self.base.as_ptr().addr();
            start..start + self.len
        }

        /// The address of `bytes`, checked to be inside and still this value's own.
        fn address(&mut self, bytes: &Range<usize>) -> *mut c_void {
            assert!(
                bytes.start < bytes.end && bytes.end <= self.len,
                "{bytes:?} of {} reserved bytes",
                self.len
            );
            assert!(self.hole.is_none(), "nothing is placed after a placement failed");
            // SAFETY: the assertion keeps the offset inside the reservation, which is one mapped range.
            unsafe { self.base.as_ptr().add(bytes.start) }.cast()
        }

        /// Map the file's pages from byte `from` on at `bytes`, shared and read-only.
        fn place(&mut self, bytes: Range<usize>, file: &File, from: u64) -> rustix::io::Result<()> {
            let address = self.address(&bytes);
            // SAFETY: FIXED replaces pages of this reservation only: `address` has checked that they are inside and that no
            // placement failed before, so all of them are mapped by this value, and `&mut self` shows that nobody holds
            // a reference into them. The pages hold values that the table itself has mapped, so they lie within the file.
            let placed = unsafe {
                mmap(address, bytes.len(), ProtFlags::READ, MapFlags::SHARED | MapFlags::FIXED, file, from)
            };
            self.hole = placed.is_err().then_some(bytes);
            placed.map(|_| ())
        }

        /// Make `bytes` private pages of zeros, let `write` fill them, then make them read-only.
        fn fill(&mut self, bytes: Range<usize>, write: impl FnOnce(&mut [u8])) -> rustix::io::Result<()> {
            let address = self.address(&bytes);
            // SAFETY: as in `place`, with fresh private pages instead of the file's.
            let placed = unsafe {
                mmap_anonymous(
                    address,
                    bytes.len(),
                    ProtFlags::READ | ProtFlags::WRITE,
                    MapFlags::PRIVATE | MapFlags::FIXED,
                )
            };
            self.hole = placed.is_err().then(|| bytes.clone());
            placed?;
            // SAFETY: these pages were just made, zeroed, readable and writable; `&mut self` makes this the only
            // reference, and it ends with the call.
            write(unsafe { std::slice::from_raw_parts_mut(address.cast::<u8>(), bytes.len()) });
            // SAFETY: the range is whole pages of this reservation, and the only reference into it has ended.
            unsafe { mprotect(address, bytes.len(), MprotectFlags::READ) }
        }
    }

    impl Drop for Space {
        fn drop(&mut self) {
            // POSIX lets a mapping that fails unmap what it should have replaced, and Linux did so until 6.12. To unmap that range
            // could unmap somebody else's memory, so its addresses are never used again, which harms nobody. What was placed
            // before it counts against the mappings of the process and holds the file, and is given back.
            let hole = self.hole.clone().unwrap_or(self.len..self.len);
            for owned in [0..hole.start, hole.end..self.len].into_iter().filter(|owned| !owned.is_empty()) {
                // SAFETY: outside the hole, which is whole pages inside the range, all pages are mapped by this value, and
                // references into them borrow from it, so none outlives it. A failed placement touches no page outside its own.
                let unmapped = unsafe { munmap(self.base.as_ptr().add(owned.start).cast(), owned.len()) };
                debug_assert!(unmapped.is_ok(), "munmap of an owned range: {unmapped:?}");
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// Whether some mapping covers `address`.
        fn is_mapped(address: usize) -> bool {
            let text = std::fs::read_to_string("/proc/self/maps").unwrap();
            text.lines().any(|line| {
                let (range, _) = line.split_once(' ').unwrap();
                let (from, to) = range.split_once('-').unwrap();
                let hex = |digits| usize::from_str_radix(digits, 16).unwrap();
                (hex(from)..hex(to)).contains(&address)
            })
        }

        #[test]
        fn only_the_addresses_of_a_placement_that_failed_are_never_given_back() {
            let page = rustix::param::page_size();
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x");
            std::fs::write(&path, vec![0; page]).unwrap();
            let readable = File::open(&path).unwrap();
            let write_only = File::options().write(true).open(&path).unwrap();
            // Other tests map what they like at addresses that were given back, but not this file.
            let placed = || {
                let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
                maps.lines().filter(|line| line.ends_with(path.to_str().unwrap())).count()
            };

            let mut space = Space::reserve(3 * page).unwrap();
            let whole = space.bytes();
            space.place(0..page, &readable, 0).unwrap();
            assert!(is_mapped(whole.start));
            assert_eq!(placed(), 1);
            drop(space);
            assert_eq!(placed(), 0);

            for at in 0..3 {
                let mut space = Space::reserve(3 * page).unwrap();
                let start = space.bytes().start;
                for other in (0..3).filter(|other| *other != at) {
                    space.place(other * page..(other + 1) * page, &readable, 0).unwrap();
                }
                let failed = at * page..(at + 1) * page;
                assert_eq!(space.place(failed.clone(), &write_only, 0).unwrap_err(), Errno::ACCESS);
                let used =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| space.fill(0..page, |_| {})));
                assert!(used.is_err(), "a space with a hole is used no more");
                assert_eq!(placed(), 2);
                drop(space);
                assert_eq!(placed(), 0, "what was placed before page {at} failed is given back");
                assert!(is_mapped(start + failed.start), "page {at} is not");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAGE: usize = 64;

    /// Where byte `i` of the packed values lies in the file, row by row or column by column.
    fn packed(start: u64, shape: Shape, order: Order, rows: &Rows) -> Vec<u64> {
        let picked: Vec<usize> = (0..shape.nrows).filter(|&row| rows.contains(row)).collect();
        let mut places = Vec::new();
        let mut push = |index: usize| places.extend((0..8).map(|b| start + (index * 8 + b) as u64));
        match order {
            Order::C => {
                picked.iter().for_each(|row| (0..shape.ncols).for_each(|c| push(row * shape.ncols + c)))
            }
            Order::F => {
                (0..shape.ncols).for_each(|c| picked.iter().for_each(|row| push(c * shape.nrows + row)))
            }
        }
        places
    }

    /// Page by page: the file page behind it, or `None` for a copy. `Err` if the bytes left out are not whole pages.
    fn naive(places: &[u64]) -> Result<Vec<Option<u64>>, ()> {
        let page = PAGE as u64;
        if places.windows(2).any(|w| !(w[1] - w[0] - 1).is_multiple_of(page)) {
            return Err(());
        }
        let lead = (places[0] % page) as usize;
        let n_pages = (lead + places.len()).div_ceil(PAGE);
        Ok((0..n_pages)
            .map(|p| {
                let inside = (p * PAGE).max(lead)..((p + 1) * PAGE).min(lead + places.len());
                let mut origins: Vec<u64> =
                    inside.map(|v| places[v - lead] - (v - p * PAGE) as u64).collect();
                origins.dedup();
                (origins.len() == 1).then(|| origins[0])
            })
            .collect())
    }

    fn check(start: u64, shape: Shape, order: Order, rows: &Rows) -> Result<bool, TestCaseError> {
        let places = packed(start, shape, order, rows);
        let got = plan(start, shape, order, rows, PAGE, usize::MAX);
        let Ok(want) = naive(&places) else {
            prop_assert!(got.is_none());
            return Ok(false);
        };
        let got = got.expect("every gap is whole pages");
        let mut pages = Vec::new();
        for part in &got.parts {
            prop_assert_eq!(part.pages.start, pages.len());
            pages.extend((0..part.pages.len()).map(|i| match part.origin {
                Origin::File(from) => Some(from + (i * PAGE) as u64),
                Origin::Copy => None,
            }));
        }
        prop_assert_eq!(&pages, &want);
        prop_assert_eq!(got.bytes_copied(), (want.iter().filter(|p| p.is_none()).count() * PAGE) as u64);
        prop_assert!(
            got.parts.windows(2).all(|w| w[0].origin != Origin::Copy || w[1].origin != Origin::Copy)
        );

        // Filling any page of the view gives the packed bytes there.
        let table: Vec<u8> = (0..shape.bytes()).map(|i| (i % 251) as u8).collect();
        let mut out = vec![0; PAGE];
        for p in 0..want.len() {
            got.fill(&(p..p + 1), &table, &mut out);
            for (i, byte) in out.iter().enumerate() {
                let v = p * PAGE + i;
                if v >= got.lead() && v < got.lead() + places.len() {
                    prop_assert_eq!(*byte, table[(places[v - got.lead()] - start) as usize]);
                }
            }
        }
        Ok(true)
    }

    proptest! {
        #[test]
        fn every_page_is_the_naive_one(
            words in 0u64..40, nrows in 1usize..90, ncols in 1usize..9, fortran: bool,
            ranges in prop::collection::vec((0usize..90, 1usize..20), 1..5),
        ) {
            let order = if fortran { Order::F } else { Order::C };
            let rows = Rows::from_runs(ranges.iter().map(|&(s, l)| s.min(nrows)..(s + l).min(nrows)));
            prop_assume!(!rows.is_empty());
            check(words * 8, Shape { nrows, ncols }, order, &rows)?;
        }

        #[test]
        fn folds_of_whole_pages_always_fit(
            words in 0u64..40, before in 1usize..30, pages in 1usize..4, after in 1usize..30,
            ncols in 1usize..9, fortran: bool,
        ) {
            let order = if fortran { Order::F } else { Order::C };
            let held_out = before..before + pages * PAGE / 8;
            let nrows = held_out.end + after;
            let rows = Rows::all_but(nrows, held_out).unwrap();
            let fits = check(words * 8, Shape { nrows, ncols }, order, &rows)?;
            prop_assert!(fits);
        }
    }

    #[test]
    fn columns_shorter_than_a_page_share_one_copied_page() {
        // 2 rows before and 1 after 8 left out: 24 bytes a column in 64-byte pages.
        let rows = Rows::all_but(11, 2..10).unwrap();
        let got = plan(0, Shape { nrows: 11, ncols: 5 }, Order::F, &rows, PAGE, usize::MAX).unwrap();
        assert_eq!(got.stretches.len(), 6);
        assert_eq!(got.parts, [Part { pages: 0..2, origin: Origin::Copy }]);
    }

    #[test]
    fn too_many_mappings_are_declined() {
        let rows = Rows::all_but(80, 16..24).unwrap();
        let shape = Shape { nrows: 80, ncols: 6 };
        let parts = plan(8, shape, Order::F, &rows, PAGE, usize::MAX).unwrap().parts.len();
        assert!(plan(8, shape, Order::F, &rows, PAGE, parts).is_some());
        assert!(plan(8, shape, Order::F, &rows, PAGE, parts - 1).is_none());
    }
}
