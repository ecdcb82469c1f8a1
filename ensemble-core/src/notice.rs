//! Short texts that a signal handler may read: fixed places made of atomics, without a lock and without the heap.
//!
//! A handler interrupts a thread anywhere, so it may wait for nothing and allocate nothing. What it has to say or to remove is
//! therefore posted beforehand.

use std::{
    ops::Range,
    sync::atomic::{
        AtomicBool, AtomicU8, AtomicUsize,
        Ordering::{Acquire, Relaxed, Release},
        fence,
    },
};

/// `PLACES` texts of at most `LONGEST` bytes, each with a range of addresses.
///
/// ```
/// use ensemble_core::notice::Board;
/// static BOARD: Board<4, 16> = Board::new();
/// let notice = BOARD.post(10..20, b"ten").expect("there is room");
/// let mut seen = Vec::new();
/// BOARD.each(|range, text| seen.push((range, text.len())));
/// assert_eq!(seen, [(10..20, 3)]);
/// drop(notice);
/// BOARD.each(|_, _| panic!("it was taken down"));
/// ```
#[derive(Debug)]
pub struct Board<const PLACES: usize, const LONGEST: usize> {
    places: [Place<LONGEST>; PLACES],
}

#[derive(Debug)]
struct Place<const LONGEST: usize> {
    /// Somebody posts here.
    taken: AtomicBool,
    /// Odd while a text stands here; every change counts one on.
    version: AtomicUsize,
    start: AtomicUsize,
    end: AtomicUsize,
    len: AtomicUsize,
    text: [AtomicU8; LONGEST],
}

/// A text on a [`Board`]; dropping it takes the text down.
#[derive(Debug)]
pub struct Notice<const LONGEST: usize>(&'static Place<LONGEST>);

impl<const LONGEST: usize> Place<LONGEST> {
    const fn empty() -> Self {
        Self {
            taken: AtomicBool::new(false),
            version: AtomicUsize::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            len: AtomicUsize::new(0),
            text: [const { AtomicU8::new(0) }; LONGEST],
        }
    }
}

impl<const PLACES: usize, const LONGEST: usize> Board<PLACES, LONGEST> {
    /// An empty board.
    #[must_use]
    pub const fn new() -> Self {
        Self { places: [const { Place::empty() }; PLACES] }
    }

    /// Post `text` for `range`. `None` when the board is full or the text longer than its places.
    pub fn post(&'static self, range: Range<usize>, text: &[u8]) -> Option<Notice<LONGEST>> {
        if text.len() > LONGEST {
            return None;
        }
        let free = |p: &&Place<LONGEST>| p.taken.compare_exchange(false, true, Acquire, Relaxed).is_ok();
        let place = self.places.iter().find(free)?;
        // Readers that see any of what follows see the even version too, which the fence puts before it.
        fence(Release);
        place.start.store(range.start, Relaxed);
        place.end.store(range.end, Relaxed);
        place.len.store(text.len(), Relaxed);
        for (slot, byte) in place.text.iter().zip(text) {
            slot.store(*byte, Relaxed);
        }
        place.version.fetch_add(1, Release);
        Some(Notice(place))
    }

    /// Hand on every text with its range, each as a whole as it was posted. Waits for nobody and allocates nothing; a text that
    /// changes meanwhile is left out.
    pub fn each(&self, mut act: impl FnMut(Range<usize>, &[u8])) {
        let mut text = [0; LONGEST];
        for place in &self.places {
            let version = place.version.load(Acquire);
            if version % 2 == 0 {
                continue;
            }
            let range = place.start.load(Relaxed)..place.end.load(Relaxed);
            let len = place.len.load(Relaxed).min(LONGEST);
            for (byte, slot) in text.iter_mut().zip(&place.text).take(len) {
                *byte = slot.load(Relaxed);
            }
            fence(Acquire);
            if place.version.load(Relaxed) == version {
                act(range, &text[..len]);
            }
        }
    }
}

impl<const PLACES: usize, const LONGEST: usize> Default for Board<PLACES, LONGEST> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const LONGEST: usize> Drop for Notice<LONGEST> {
    fn drop(&mut self) {
        self.0.version.fetch_add(1, Release);
        self.0.taken.store(false, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_holds_what_fits_and_forgets_what_was_taken_down() {
        static BOARD: Board<2, 4> = Board::new();
        let seen = || {
            let mut seen = Vec::new();
            BOARD.each(|range, text| seen.push((range, String::from_utf8_lossy(text).into_owned())));
            seen
        };
        assert!(BOARD.post(0..1, b"too long").is_none());
        let first = BOARD.post(0..1, b"a").unwrap();
        let second = BOARD.post(5..9, b"bcde").unwrap();
        assert!(BOARD.post(0..1, b"c").is_none(), "the board is full");
        assert_eq!(seen(), [(0..1, "a".into()), (5..9, "bcde".into())]);
        drop(first);
        assert_eq!(seen(), [(5..9, "bcde".into())]);
        let third = BOARD.post(2..3, b"").unwrap();
        assert_eq!(seen(), [(2..3, String::new()), (5..9, "bcde".into())]);
        drop((second, third));
        assert_eq!(seen(), []);
    }

    #[test]
    fn a_reader_never_sees_half_of_a_text() {
        static BOARD: Board<1, 64> = Board::new();
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for turn in 0..20_000_usize {
                    let byte = (turn % 251) as u8;
                    drop(BOARD.post(turn..2 * turn, &[byte; 64]));
                }
                stop.store(true, Relaxed);
            });
            while !stop.load(Relaxed) {
                BOARD.each(|range, text| {
                    assert_eq!(range.end, 2 * range.start);
                    assert_eq!(text, [(range.start % 251) as u8; 64]);
                });
            }
        });
    }
}
