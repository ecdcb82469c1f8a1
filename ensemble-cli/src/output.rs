//! Standard output, and paths to be written.

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use ensemble::{Error, Result};

/// Print a text and a line end. A reader that went away is no error of ours.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", "write", error))
        }
        _ => Ok(()),
    }
}

/// Say on standard error what a person should know beside the result. Nobody may be reading there, and that is no error.
pub(crate) fn note(note: &ensemble::Note) {
    let _ = writeln!(std::io::stderr().lock(), "ensemble: note: {note}");
}

/// Print a value as one line of JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&value.to_string())
}

/// Refuse an output path that cannot work, before hours of fitting: no folder, a folder itself, or one of the other files.
pub(crate) fn check(path: &Path, others: &[&Path]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::format(
            path,
            format!("cannot be written: there is no folder {}", folder.display()),
        ));
    }
    if path.is_dir() {
        return Err(Error::format(path, "cannot be written: it is a folder"));
    }
    // The file itself may not exist yet; its folder does.
    let place = |p: &Path| {
        let folder = p.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
        p.canonicalize().ok().or_else(|| Some(folder.canonicalize().ok()?.join(p.file_name()?)))
    };
    let same = |a: &Path, b: &Path| matches!((place(a), place(b)), (Some(a), Some(b)) if a == b);
    match others.iter().find(|other| same(path, other)) {
        Some(_) => Err(Error::format(path, "is an input or another output; write this one elsewhere")),
        None => Ok(()),
    }
}
