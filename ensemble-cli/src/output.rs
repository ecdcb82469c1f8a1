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

/// Print a value as one line of JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&value.to_string())
}

/// Refuse an output path that cannot work, before hours of fitting: no folder, a folder itself, or one of the inputs.
pub(crate) fn check(path: &Path, inputs: &[&Path]) -> Result<()> {
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
    let same = |a: &Path, b: &Path| matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b);
    match inputs.iter().find(|input| same(path, input)) {
        Some(_) => Err(Error::format(path, "is an input; write the output elsewhere")),
        None => Ok(()),
    }
}
