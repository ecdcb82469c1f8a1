//! Room on disk before it is needed, so that a full disk is an error and not a signal, where the file system keeps what it
//! allocated; see [`SpillDir`](crate::SpillDir).

use std::{fs::File, io};

/// Whether the file system could promise the room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// Every byte has its block.
    Allocated,
    /// The file system cannot allocate ahead; only writing makes room.
    Unsupported,
}

/// Give bytes `0..len` of `file` blocks on disk, and the file that length.
#[cfg(target_os = "linux")]
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<Room> {
    use rustix::{
        fs::{FallocateFlags, fallocate},
        io::Errno,
    };
    loop {
        match fallocate(file, FallocateFlags::empty(), 0, len) {
            Ok(()) => return Ok(Room::Allocated),
            // A signal may interrupt a long allocation on tmpfs, which is then undone.
            Err(Errno::INTR) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(Room::Unsupported),
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Elsewhere room is made by writing.
#[cfg(not(target_os = "linux"))]
pub(crate) fn allocate(_file: &File, _len: u64) -> io::Result<Room> {
    Ok(Room::Unsupported)
}

/// Write zeros over bytes `0..len` of `file`, which gives each of them a block wherever [`allocate`] cannot.
pub(crate) fn write_zeros(file: &File, len: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
    let mut at = 0;
    while at < len {
        let step = (len - at).min(ZEROS.len() as u64);
        file.write_all_at(&ZEROS[..step as usize], at)?;
        at += step;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn zeros_and_allocation_both_give_every_byte_a_block() {
        let len = 200_000;
        let written = tempfile::tempfile().unwrap();
        write_zeros(&written, len).unwrap();
        written.sync_all().unwrap();
        let allocated = tempfile::tempfile().unwrap();
        let room = allocate(&allocated, len).unwrap();
        assert_eq!(written.metadata().unwrap().len(), len);
        assert!(written.metadata().unwrap().blocks() * 512 >= len);
        if room == Room::Allocated {
            assert_eq!(allocated.metadata().unwrap().len(), len);
            assert!(allocated.metadata().unwrap().blocks() * 512 >= len);
        }
    }
}
