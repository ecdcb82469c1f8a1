//! Outputs that take their names only when they are whole, and what is read beside them.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata},
    io::{self, Write},
    path::{Path, PathBuf},
};

#[cfg(target_os = "linux")]
use crate::persist::place::give_name;
use crate::{
    error::{Error, Result},
    notice::{Board, Notice},
    persist::place::{
        check_replaceable, folder, is_handle, open_new, open_stream, open_unnamed, resolve, take_rights,
    },
};

pub use crate::persist::stamp::{Stamp, open_to_read, read_whole};

/// Names of temporary files, with a zero at the end.
static TEMPORARY: Board<32, 1024> = Board::new();

/// Hand on the name of every temporary file that exists now, with a zero at its end, for a signal handler that removes them.
///
/// There are none where the file system has files without a name, but for the moment of a replacement. Waits for nobody and
/// allocates nothing; a name longer than 1,023 bytes is not told.
pub fn temporary_names(mut act: impl FnMut(&[u8])) {
    TEMPORARY.each(|_, name| act(name));
}

/// A file being written; it takes its name, in place of any file that has it, only when it is whole.
///
/// Where the system can, it has no name until then, so that nothing is left whatever ends the process. Elsewhere it lies beside
/// its place under a name of its own, which is removed when this value is dropped, and by signal handlers that ask
/// [`temporary_names`]. A new file has the rights that the process gives new files (0666 less the umask); one that replaces
/// another has the other's rights, and its owner where permitted. A symbolic link is followed: the file it names is replaced and
/// the link stays. A character device or a named pipe is written into, one byte after the other.
///
/// ```
/// use std::io::Write;
/// use ensemble_core::file::NewFile;
/// let dir = tempfile::tempdir().unwrap();
/// let path = dir.path().join("out");
/// let mut file = NewFile::create(&path)?;
/// file.write_all(b"whole").unwrap();
/// assert!(!path.exists());
/// file.complete()?.publish()?;
/// assert_eq!(std::fs::read(&path).unwrap(), b"whole");
/// # Ok::<(), ensemble_core::Error>(())
/// ```
#[derive(Debug)]
pub struct NewFile {
    /// As the caller names it.
    path: PathBuf,
    file: File,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// The file is what was there: a device or a pipe.
    Stream,
    /// It will be at `target` and has no name so far.
    #[cfg(target_os = "linux")]
    Unnamed { target: PathBuf },
    /// It will be at `target` and lies beside it.
    Named { target: PathBuf, beside: Beside },
}

/// A temporary file's name, posted before the file is made.
#[derive(Debug)]
struct Beside {
    path: tempfile::TempPath,
    _notice: Option<Notice<1024>>,
}

impl Beside {
    /// Make a file beside `target` by `make`, which is tried with other names while one exists.
    fn make<R>(target: &Path, mut make: impl FnMut(&Path) -> io::Result<R>) -> io::Result<(R, Self)> {
        let mut notice = None;
        // Short, so that every name a folder can hold has room for a temporary one.
        let made = tempfile::Builder::new().prefix(".ensemble-").suffix(".partial").rand_bytes(10).make_in(
            folder(target),
            |name| {
                drop(notice.take());
                let mut bytes = OsString::from(name).into_encoded_bytes();
                bytes.push(0);
                notice = TEMPORARY.post(0..0, &bytes);
                make(name)
            },
        )?;
        let (made, path) = made.into_parts();
        Ok((made, Self { path, _notice: notice }))
    }

    /// Give the whole file its name. Where the system refuses, it stays under its temporary name, which the error tells.
    fn rename(self, target: &Path, path: &Path) -> Result<()> {
        self.path.persist(target).map_err(|e| {
            let kept = keep(e.path);
            Error::io(path, format!("rename a finished file, which {kept}, to"), e.error)
        })
    }
}

/// Leave a temporary file where it is, and say so.
fn keep(path: tempfile::TempPath) -> String {
    let name = path.display().to_string();
    match path.keep() {
        Ok(_) => format!("is kept whole as {}", quoted_path(&name)),
        Err(error) => format!("could not be kept ({})", error.error),
    }
}

/// A path in full, since somebody has to find it.
fn quoted_path(name: &str) -> String {
    name.chars().map(|c| crate::quoted(c.encode_utf8(&mut [0; 4]))).collect()
}

impl NewFile {
    /// Start a file for `path`. Everything that tells beforehand that it cannot be written there is an error now.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) if the folder is missing or cannot be written to, or the name is too long;
    /// [`ErrorKind::Format`](crate::ErrorKind::Format) if `path` is a folder, a disk, a socket, or a named pipe that nobody reads from.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::start(path.as_ref(), true)
    }

    /// As [`NewFile::create`], beside its place under a temporary name also where files without a name are possible.
    ///
    /// # Errors
    /// As there.
    pub fn create_beside(path: impl AsRef<Path>) -> Result<Self> {
        Self::start(path.as_ref(), false)
    }

    fn start(path: &Path, unnamed: bool) -> Result<Self> {
        let failed = |e| Error::io(path, "create", e);
        if path.file_name().is_none() {
            return Err(failed(io::Error::from(io::ErrorKind::InvalidInput)));
        }
        let (target, existing) = resolve(path).map_err(failed)?;
        if existing.as_ref().is_some_and(Metadata::is_file) && is_handle(path) {
            return Err(Error::format(
                path,
                "is a file that this process has open; it would be replaced and not written into, so name the file itself, or write to a pipe",
            ));
        }
        if let Some(file) = existing.as_ref().map(|m| open_stream(path, m)).transpose()?.flatten() {
            return Ok(Self { path: path.into(), file, place: Place::Stream });
        }
        let nameless = unnamed.then(|| open_unnamed(&target, existing.is_some())).flatten();
        let (file, place) = match nameless {
            #[cfg(target_os = "linux")]
            Some(file) => (file, Place::Unnamed { target: target.clone() }),
            _ => {
                let (file, beside) =
                    Beside::make(&target, |name| open_new(name, existing.is_some())).map_err(failed)?;
                (file, Place::Named { target: target.clone(), beside })
            }
        };
        if let Some(existing) = &existing {
            check_replaceable(&file, &target, existing).map_err(|what| Error::format(path, what))?;
            take_rights(&file, existing).map_err(failed)?;
        }
        Ok(Self { path: path.into(), file, place })
    }

    /// The path it was made for.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file, for writes at places other than the end; see [`NewFile::is_stream`].
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Whether bytes can only follow each other, since `path` is a device or a pipe.
    pub fn is_stream(&self) -> bool {
        matches!(self.place, Place::Stream)
    }

    /// Bring every byte to the disk.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io); nothing is left then, and a file that has the name is as it was.
    pub fn complete(self) -> Result<WholeFile> {
        if !self.is_stream() {
            self.file.sync_all().map_err(|e| Error::io(&self.path, "write", e))?;
        }
        Ok(WholeFile { file: self })
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// A whole file that has not taken its name. Dropped, it leaves nothing.
#[derive(Debug)]
pub struct WholeFile {
    file: NewFile,
}

impl WholeFile {
    /// Give the file its name, in place of any file that has it: one step, without a moment at which the name is missing.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io), and [`ErrorKind::Format`](crate::ErrorKind::Format) if the name was taken meanwhile
    /// by what is no file; what has the name is then as it was, and the whole file stays beside it under a temporary name, which
    /// the error tells, wherever the folder still takes one.
    pub fn publish(self) -> Result<()> {
        let NewFile { path, file, place } = self.file;
        let failed = |e| Error::io(&path, "rename a finished file to", e);
        let target = match &place {
            Place::Stream => return Ok(()),
            #[cfg(target_os = "linux")]
            Place::Unnamed { target } => target.clone(),
            Place::Named { target, .. } => target.clone(),
        };
        let is_taken = fs::symlink_metadata(&target).is_ok_and(|now| !now.is_file());
        let beside = match place {
            Place::Stream => None,
            #[cfg(target_os = "linux")]
            Place::Unnamed { .. } => match is_taken {
                false if give_name(&file, &target).is_ok() => None,
                _ => Some(name_beside(&file, &target).map_err(failed)?),
            },
            Place::Named { beside, .. } => Some(beside),
        };
        match beside {
            Some(beside) if is_taken => {
                let kept = keep(beside.path);
                let what = format!("is no regular file any more; the output {kept}");
                return Err(Error::format(&path, what));
            }
            Some(beside) => beside.rename(&target, &path)?,
            None => {}
        }
        // The file is complete under its name whatever comes now; not every file system can flush a folder.
        let _ = File::open(folder(&target)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

/// Name a file that has none beside `target`; where the system gives it no name, copy it there.
#[cfg(target_os = "linux")]
fn name_beside(file: &File, target: &Path) -> io::Result<Beside> {
    let ((), beside) = Beside::make(target, |name| give_name(file, name)).or_else(|_| {
        let (mut copy, beside) = Beside::make(target, |name| open_new(name, true))?;
        let mut whole: &File = file;
        io::Seek::rewind(&mut whole)?;
        io::copy(&mut whole, &mut copy)?;
        copy.set_permissions(file.metadata()?.permissions())?;
        copy.sync_all()?;
        Ok::<_, io::Error>(((), beside))
    })?;
    Ok(beside)
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::persist::{
        place::{handle_name, is_held, without_group},
        stamp::PATIENCE,
    };

    /// Both ways to write a file.
    const WAYS: [fn(&Path) -> Result<NewFile>; 2] =
        [|path| NewFile::create(path), |path| NewFile::create_beside(path)];

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o7777
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn write(mut file: NewFile, bytes: &[u8]) -> Result<()> {
        file.write_all(bytes).unwrap();
        file.complete()?.publish()
    }

    #[test]
    fn a_file_has_its_name_only_when_it_is_whole_and_nothing_is_left_of_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        for create in WAYS {
            drop(create(&path).unwrap());
            drop(create(&path).unwrap().complete().unwrap());
            assert_eq!(names(dir.path()), [""; 0]);
            write(create(&path).unwrap(), b"one").unwrap();
            drop(create(&path).unwrap());
            let mut half = create(&path).unwrap();
            half.write_all(b"half").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"one");
            drop(half);
            write(create(&path).unwrap(), b"two").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"two");
            assert_eq!(names(dir.path()), ["out"]);
            fs::remove_file(&path).unwrap();
        }
        #[cfg(target_os = "linux")]
        {
            let unnamed = NewFile::create(&path).unwrap();
            let has_none = matches!(unnamed.place, Place::Unnamed { .. });
            assert_eq!(names(dir.path()).len(), usize::from(!has_none));
        }
    }

    #[test]
    fn names_of_temporary_files_are_told_while_they_exist() {
        let dir = tempfile::tempdir().unwrap();
        let told = || {
            let mut told = Vec::new();
            temporary_names(|name| told.push(String::from_utf8_lossy(name).into_owned()));
            told.retain(|name| name.starts_with(dir.path().to_str().unwrap()));
            told
        };
        let file = NewFile::create_beside(dir.path().join("out")).unwrap();
        let [name] = &told()[..] else { panic!("{:?}", told()) };
        let name = name.strip_suffix('\0').expect("a zero at the end");
        assert_eq!([Path::new(name)], [dir.path().join(&names(dir.path())[0])]);
        write(file, b"whole").unwrap();
        assert_eq!(told(), [""; 0]);
    }

    #[test]
    fn new_files_have_the_rights_of_new_files_and_replaced_ones_keep_theirs() {
        let dir = tempfile::tempdir().unwrap();
        let usual = dir.path().join("usual");
        fs::write(&usual, b"").unwrap();
        for (at, create) in WAYS.into_iter().enumerate() {
            let path = dir.path().join(at.to_string());
            write(create(&path).unwrap(), b"one").unwrap();
            assert_eq!(mode(&path), mode(&usual));
            for rights in [0o600, 0o640, 0o666, 0o755] {
                fs::set_permissions(&path, fs::Permissions::from_mode(rights)).unwrap();
                let file = create(&path).unwrap();
                assert_eq!(file.file().metadata().unwrap().mode() & 0o7777, rights, "before it has a name");
                write(file, b"two").unwrap();
                assert_eq!(mode(&path), rights);
            }
            // Only root may give files away.
            if std::os::unix::fs::chown(&path, Some(12_345), Some(54_321)).is_ok() {
                write(create(&path).unwrap(), b"three").unwrap();
                let is = fs::metadata(&path).unwrap();
                assert_eq!((is.uid(), is.gid(), is.len()), (12_345, 54_321, 5));
            }
        }
    }

    #[test]
    fn rights_of_a_group_that_is_lost_are_not_given_to_another() {
        for (had, has) in [(0o660, 0o600), (0o664, 0o644), (0o666, 0o666), (0o750, 0o700), (0o775, 0o755)] {
            assert_eq!(without_group(had), has, "{had:o}");
        }
    }

    #[test]
    fn files_that_can_never_be_replaced_are_refused_at_once() {
        let (sticky, usual) = (0o041_777, 0o040_777);
        assert!(is_held(1000, (sticky, 0), 1001));
        for (own, folder, owner) in [
            (1000, (usual, 0), 1001),
            (0, (sticky, 1), 1001),
            (1000, (sticky, 0), 1000),
            (1000, (sticky, 1000), 1001),
        ] {
            assert!(!is_held(own, folder, owner));
        }
        // A container's own files are often mounted one by one.
        #[cfg(target_os = "linux")]
        for path in ["/etc/hosts", "/etc/resolv.conf", "/etc/hostname"] {
            let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            if mounts.lines().any(|line| line.split(' ').nth(4) == Some(path)) {
                assert!(NewFile::create(path).is_err(), "{path}");
            }
        }
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn files_that_are_open_are_not_replaced_by_way_of_their_handles() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("all");
        fs::write(&path, b"before").unwrap();
        let file = File::options().append(true).open(&path).unwrap();
        let link = dir.path().join("link");
        symlink(handle_name(&file), &link).unwrap();
        for path in [handle_name(&file).as_ref(), link.as_path()] {
            let said = NewFile::create(path).unwrap_err().to_string();
            assert!(said.contains("this process has open"), "{said}");
        }
        assert_eq!(names(dir.path()), ["all", "link"]);
    }

    #[test]
    fn a_whole_file_that_cannot_take_its_name_is_kept_under_one_that_is_told() {
        for create in WAYS {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("out");
            let mut file = create(&path).unwrap();
            file.write_all(b"hours of work").unwrap();
            let whole = file.complete().unwrap();
            fs::create_dir(&path).unwrap();
            let said = whole.publish().unwrap_err().to_string();
            let [kept, _] = &names(dir.path())[..] else { panic!("{:?}", names(dir.path())) };
            assert!(said.contains("is kept whole as ") && said.contains(kept), "{said}");
            assert_eq!(fs::read(dir.path().join(kept)).unwrap(), b"hours of work");
        }
        // A file renamed to what is a folder, which no earlier look prevents.
        let dir = tempfile::tempdir().unwrap();
        let (path, target) = (dir.path().join("out"), dir.path().join("folder"));
        fs::create_dir(&target).unwrap();
        let ((), beside) = Beside::make(&path, |name| fs::write(name, b"whole")).unwrap();
        let said = beside.rename(&target, &path).unwrap_err().to_string();
        assert!(said.contains("is kept whole as "), "{said}");
        #[cfg(target_os = "linux")]
        {
            // The system gives no name to a file that has lost its last one, so that a copy gets it.
            fs::write(&path, b"copied").unwrap();
            let lost = File::open(&path).unwrap();
            fs::remove_file(&path).unwrap();
            let beside = name_beside(&lost, &path).unwrap();
            assert_eq!(fs::read(&beside.path).unwrap(), b"copied");
        }
    }

    #[test]
    fn symbolic_links_stay_and_what_they_name_is_written() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("there")).unwrap();
        for create in WAYS {
            let (link, chain) = (dir.path().join("link"), dir.path().join("chain"));
            symlink("there/target", &link).unwrap();
            symlink("link", &chain).unwrap();
            // The target is first made, then replaced.
            for bytes in [b"one", b"two"] {
                write(create(&chain).unwrap(), bytes).unwrap();
                assert_eq!(fs::read_link(&link).unwrap(), Path::new("there/target"));
                assert_eq!(fs::read_link(&chain).unwrap(), Path::new("link"));
                assert_eq!(fs::read(dir.path().join("there/target")).unwrap(), bytes);
            }
            assert_eq!(names(&dir.path().join("there")), ["target"]);
            fs::remove_file(dir.path().join("there/target")).unwrap();
            fs::remove_file(&link).unwrap();
            fs::remove_file(&chain).unwrap();
        }
        symlink("round", dir.path().join("round")).unwrap();
        assert!(NewFile::create(dir.path().join("round")).is_err(), "a link to itself");
    }

    #[test]
    fn places_that_cannot_hold_a_file_are_told_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for create in WAYS {
            for (path, word) in [
                (dir.path().join("missing/out"), "No such file"),
                (dir.path().to_owned(), "directory"),
                (dir.path().join("n".repeat(300)), "name too long"),
                (socket.clone(), "socket"),
                // A folder in which not even root makes files.
                ("/proc/out".into(), "No such file"),
            ] {
                let said = create(&path).unwrap_err().to_string();
                assert!(said.contains(word), "{said}");
            }
            // The longest name there is leaves no room for an ending.
            let longest = dir.path().join("n".repeat(255));
            for bytes in [b"one", b"two"] {
                write(create(&longest).unwrap(), bytes).unwrap();
                assert_eq!(fs::read(&longest).unwrap(), bytes);
            }
            fs::remove_file(&longest).unwrap();
        }
        assert_eq!(names(dir.path()), ["socket"]);
    }

    #[test]
    fn devices_and_pipes_are_written_into() {
        let dir = tempfile::tempdir().unwrap();
        let null = fs::metadata("/dev/null").unwrap();
        let mut file = NewFile::create("/dev/null").unwrap();
        assert!(file.is_stream());
        file.write_all(b"gone").unwrap();
        file.complete().unwrap().publish().unwrap();
        assert_eq!(fs::metadata("/dev/null").unwrap().rdev(), null.rdev());

        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::read(pipe).unwrap()
        });
        write(NewFile::create(&pipe).unwrap(), b"through").unwrap();
        assert_eq!(reader.join().unwrap(), b"through");
        assert!(fs::symlink_metadata(&pipe).unwrap().file_type().is_fifo_here());
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || fs::write(pipe, b"back").unwrap()
        });
        assert_eq!(read_whole(&pipe, 4).unwrap(), b"back");
        writer.join().unwrap();
        // A writer who opens the pipe at once, and writes when he has something.
        let writer = std::thread::spawn({
            let pipe = pipe.clone();
            move || {
                let mut file = File::options().write(true).open(pipe).unwrap();
                std::thread::sleep(PATIENCE + std::time::Duration::from_millis(300));
                file.write_all(b"late").unwrap();
            }
        });
        assert_eq!(read_whole(&pipe, 4).unwrap(), b"late");
        writer.join().unwrap();
    }

    trait IsFifo {
        fn is_fifo_here(&self) -> bool;
    }

    impl IsFifo for fs::FileType {
        fn is_fifo_here(&self) -> bool {
            std::os::unix::fs::FileTypeExt::is_fifo(self)
        }
    }

    #[test]
    fn a_pipe_without_anybody_at_its_other_end_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let (reads, writes) = std::thread::scope(|scope| {
            let reads = scope.spawn(|| read_whole(&pipe, 4).unwrap_err().to_string());
            let other = dir.path().join("other");
            rustix::fs::mknodat(rustix::fs::CWD, &other, rustix::fs::FileType::Fifo, 0o600.into(), 0)
                .unwrap();
            let writes = NewFile::create(&other).unwrap_err().to_string();
            (reads.join().unwrap(), writes)
        });
        assert!(reads.contains("nobody writes to"), "{reads}");
        assert!(writes.contains("nobody reads from"), "{writes}");
    }

    #[test]
    fn rewritten_files_are_told_from_renamed_and_removed_ones() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let opened = || {
            fs::write(&path, b"before").unwrap();
            let file = File::open(&path).unwrap();
            let stamp = Stamp::of_file(&file, &path).unwrap();
            // Longer than one tick of the file system's clock.
            std::thread::sleep(std::time::Duration::from_millis(20));
            (file, stamp)
        };
        let (file, stamp) = opened();
        stamp.check(&file, &path).unwrap();
        stamp.check_path(&path).unwrap();

        let put_back = fs::metadata(&path).unwrap().modified().unwrap();
        fs::write(&path, b"after!").unwrap();
        assert!(stamp.check(&file, &path).unwrap_err().to_string().contains("written at"));
        File::options().write(true).open(&path).unwrap().set_modified(put_back).unwrap();
        let said = stamp.check(&file, &path).unwrap_err().to_string();
        assert!(said.contains("time put back"), "{said}");

        let (file, stamp) = opened();
        File::options().write(true).open(&path).unwrap().set_len(3).unwrap();
        assert!(stamp.check(&file, &path).unwrap_err().to_string().contains("6 bytes"));

        let (file, stamp) = opened();
        fs::hard_link(&path, dir.path().join("second name")).unwrap();
        stamp.check(&file, &path).unwrap();

        let (file, stamp) = opened();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let said = stamp.check(&file, &path).unwrap_err().to_string();
        assert!(said.contains("its name, rights or owner were changed"), "{said}");

        // Not every file system calls it a change when a file is renamed.
        let (file, stamp) = opened();
        fs::rename(&path, dir.path().join("third name")).unwrap();
        if let Err(error) = stamp.check(&file, &path) {
            assert!(error.to_string().contains("its name, rights or owner were changed"), "{error}");
        }

        // A file renamed onto it takes its name only.
        let (file, stamp) = opened();
        fs::rename(dir.path().join("third name"), &path).unwrap();
        stamp.check(&file, &path).unwrap();

        let (file, stamp) = opened();
        fs::remove_file(&path).unwrap();
        stamp.check(&file, &path).unwrap();
        stamp.check_path(&path).unwrap();
        fs::write(&path, b"another").unwrap();
        stamp.check(&file, &path).unwrap();
        assert!(stamp.check_path(&path).unwrap_err().to_string().contains("another file"));
    }
}
