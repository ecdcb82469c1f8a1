//! Standard output, and paths to be written.

use std::{
    io::{ErrorKind, Write},
    path::Path,
};

use ensemble::{Error, Result, file::NewFile, quoted};

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
pub(crate) fn note(note: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "ensemble: note: {note}");
}

/// Print a value as one line of JSON.
pub(crate) fn print_json(value: &serde_json::Value) -> Result<()> {
    print(&value.to_string())
}

/// What is written to a file, by its ending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Npy,
    Csv,
}

/// Whether a path has this ending, in any case of letters.
pub(crate) fn ends_in(path: &Path, ending: &str) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case(ending))
}

/// The format that the ending of an output names, one of those `offered`. What is there and no file, such as a device, needs none.
pub(crate) fn format(path: &Path, offered: &[(&str, Format)]) -> Result<Format> {
    if let Some((_, format)) = offered.iter().find(|(ending, _)| ends_in(path, ending)) {
        return Ok(*format);
    }
    if path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        return Ok(Format::Npy);
    }
    let endings: Vec<String> = offered.iter().map(|(ending, _)| format!(".{ending}")).collect();
    let what = format!("is no name for this output, which is written as {}", endings.join(" or "));
    Err(Error::format(path, what))
}

/// A figure for people: seven digits or the whole number, and a power of ten where those would need many zeros. Only 0 is shown as 0.
pub(crate) fn figure(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return value.to_string();
    }
    match value.abs().log10().floor() as i32 {
        exponent @ -5..9 => format!("{value:.*}", (6 - exponent).max(0) as usize),
        _ => format!("{value:.6e}"),
    }
}

/// Rows of cells, the first row their names, in columns as wide as their widest cell; those of numbers are set to the right.
pub(crate) fn table(rows: &[Vec<String>], numbers: &[bool]) -> String {
    let wide = |j: usize| rows.iter().filter_map(|r| r.get(j)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..numbers.len()).map(wide).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).zip(numbers).map(|((cell, width), number)| match number {
            true => format!("{cell:>width$}"),
            false => format!("{cell:<width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// Start the file of an output, before hours of fitting: everything that tells beforehand that it cannot be written is refused
/// now, and so is a path that names one of `others`, the inputs and the outputs before.
pub(crate) fn create(path: &Path, others: &[&Path]) -> Result<NewFile> {
    check(path, others)?;
    NewFile::create(path)
}

/// Refuse an output path that cannot work: no folder, a folder itself, or one of the other files.
pub(crate) fn check(path: &Path, others: &[&Path]) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(Error::format(
            path,
            format!("cannot be written: there is no folder {}", quoted(folder.display().to_string())),
        ));
    }
    if path.is_dir() {
        return Err(Error::format(path, "cannot be written: it is a folder"));
    }
    // The file itself may not exist yet, also behind links; its folder does.
    let place = |p: &Path| {
        p.canonicalize().ok().or_else(|| {
            let mut p = p.to_owned();
            for _ in 0..40 {
                let folder = p.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
                match p.read_link() {
                    Ok(to) => p = folder.join(to),
                    Err(_) => return Some(folder.canonicalize().ok()?.join(p.file_name()?)),
                }
            }
            None
        })
    };
    // Devices take any number of outputs.
    let is_device = path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir());
    let same = |a: &Path, b: &Path| matches!((place(a), place(b)), (Some(a), Some(b)) if a == b);
    match others.iter().find(|other| !is_device && same(path, other)) {
        Some(_) => Err(Error::format(path, "is an input or another output; write this one elsewhere")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_never_show_zero_for_what_is_not_and_stay_narrow() {
        for (value, text) in [
            (0.0, "0"),
            (1e-9, "1.000000e-9"),
            (-2.5e-5, "-0.00002500000"),
            (0.000123456789, "0.0001234568"),
            (684.7786254, "684.7786"),
            (1217.8662123, "1217.866"),
            (123_456_789.5, "123456790"),
            (1.5e12, "1.500000e12"),
            (f64::MAX, "1.797693e308"),
            (f64::NAN, "NaN"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn endings_are_read_without_case_and_unknown_ones_refused() {
        let offered = [("npy", Format::Npy), ("csv", Format::Csv)];
        assert_eq!(format(Path::new("p.CSV"), &offered).unwrap(), Format::Csv);
        assert_eq!(format(Path::new("p.Npy"), &offered).unwrap(), Format::Npy);
        for name in ["p.txt", "p.parquet", "p", "npy"] {
            let text = format(Path::new(name), &offered).unwrap_err().to_string();
            assert!(text.contains(name) && text.contains(".npy or .csv"), "{text}");
        }
    }
}
