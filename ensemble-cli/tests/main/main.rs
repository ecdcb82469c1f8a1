//! The program as scripts use it: what it prints, what it writes, and how it refuses.
#![allow(missing_docs)]

mod cases;
mod classes;
#[cfg(target_os = "linux")]
mod files;
mod refuses;
mod schemes;
mod works;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

/// A folder with a table of 3,000 friedman1 rows.
struct Bench {
    folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        let bench = Self { folder: tempfile::tempdir().unwrap() };
        bench.succeeds("generate friedman1 --rows 3000 --cols 6 --seed 5 --x X.npy --y y.npy");
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(name), bytes).unwrap();
    }

    fn run_with(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_ensemble"))
            .args(arguments)
            .current_dir(self.folder.path())
            .output()
            .unwrap()
    }

    /// Run words, `'...'` keeping blanks.
    fn run(&self, line: &str) -> Output {
        let words: Vec<&str> = line
            .split('\'')
            .enumerate()
            .flat_map(|(i, part)| if i % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
            .collect();
        self.run_with(&words)
    }

    fn succeeds(&self, line: &str) -> String {
        let output = self.run(line);
        assert!(output.status.success(), "{line}\n{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn json(&self, line: &str) -> serde_json::Value {
        serde_json::from_str(&self.succeeds(line)).unwrap()
    }

    /// Exit code 2 and one sentence with all of these words in it.
    fn refuses(&self, line: &str, words: &[&str]) {
        let output = self.run(line);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{line}\n{text}");
        assert!(text.starts_with("ensemble: ") && text.trim_end().lines().count() == 1, "{line}\n{text}");
        for word in words {
            assert!(text.contains(word), "{line}: no '{word}' in: {text}");
        }
    }
}

/// The values of a version 1 `.npy` file of float64.
fn npy(path: &Path) -> Vec<f64> {
    let bytes = fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[start..].chunks_exact(8).map(|b| f64::from_le_bytes(b.try_into().unwrap())).collect()
}

/// A `.npy` file with this header and these bytes.
fn npy_bytes(descr: &str, shape: &str, data: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = Vec::from(*b"\x93NUMPY\x01\x00");
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn floats(values: &[f64]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}
