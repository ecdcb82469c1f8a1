//! The whole program at its smallest size: every experiment runs, the report is whole, and what must hold does.
#![allow(missing_docs)]

use std::{fs, path::Path, process::Command};

fn run(arguments: &[&str], report: &Path) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ensemble-bench"))
        .args(arguments)
        .arg("--report")
        .arg(report)
        .output()
        .unwrap();
    (
        output.status.code(),
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
    )
}

#[test]
fn all_experiments_run_and_leave_one_page_with_every_figure() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = run(&["all", "--tiny", "--no-peers"], dir.path());
    assert_eq!(code, Some(0), "{said}");
    let html = fs::read_to_string(dir.path().join("index.html")).unwrap();
    let twin = fs::read_to_string(dir.path().join("report.md")).unwrap();
    for heading in [
        "1. Holding",
        "2. Profile",
        "3. Learners",
        "4. Any number",
        "5. Larger",
        "What it must show",
        "Machine",
    ] {
        assert!(
            html.contains(&format!("<h2>{heading}")) && twin.contains(&format!("## {heading}")),
            "{heading}"
        );
    }
    assert!(said.contains("sklearn: absent (left out by --no-peers)") && twin.contains("mlens: absent"));
    assert_eq!(html.matches("<figure ").count(), html.matches("</svg>").count());
    let links: Vec<&str> = twin.split("](figures/").skip(1).filter_map(|t| t.split(')').next()).collect();
    assert!(links.len() >= 6, "{links:?}");
    for name in links {
        let bytes = fs::read(dir.path().join("figures").join(name)).unwrap();
        assert!(bytes.starts_with(b"\x89PNG") && bytes.len() > 10_000, "{name}");
    }
    assert!(dir.path().join("data/hold-mapped-file.csv").exists());
    let Some(shown) = in_a_browser(&dir.path().join("index.html")) else {
        eprintln!("browser: absent (install chromium)");
        return;
    };
    assert_eq!(shown.matches("<figure ").count(), html.matches("<figure ").count());
    // A browser that met something broken would have closed or moved elements.
    for (tag, want) in
        [("</svg>", "</svg>"), ("<polyline", "<polyline"), ("</table>", "</table>"), ("<text", "<text")]
    {
        assert_eq!(shown.matches(tag).count(), html.matches(want).count(), "{tag}");
    }
}

/// The page as a headless browser understands it, where there is one.
fn in_a_browser(page: &Path) -> Option<String> {
    let profile = tempfile::tempdir().ok()?;
    for browser in ["chromium", "chromium-browser", "google-chrome"] {
        let output = Command::new(browser)
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg(format!("file://{}", page.display()))
            .output();
        match output {
            Ok(output) if output.status.success() => {
                return Some(String::from_utf8_lossy(&output.stdout).into_owned());
            }
            _ => {}
        }
    }
    None
}

#[test]
fn absent_peers_are_named_and_never_filled_in() {
    let dir = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ensemble-bench"))
        .args(["peers", "--peers"])
        .arg(dir.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success());
    for peer in ["sklearn", "mlens", "mlxtend", "vecstack"] {
        assert!(
            said.contains(&format!("{peer}: absent (not set up: run `ensemble-bench peers --setup`)")),
            "{said}"
        );
    }
}

#[test]
fn a_bar_that_does_not_hold_is_exit_code_1_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = run(&["profile", "--tiny", "--no-peers", "--ceiling", "0"], dir.path());
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("| < 0.0 MiB | NO"), "{said}");
}

#[test]
fn a_folder_that_is_not_there_is_one_sentence_and_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let (code, said) = run(&["hold", "--tiny", "--no-peers", "--data", "/no/such/folder"], dir.path());
    assert_eq!((code, said.lines().count()), (Some(2), 1), "{said}");
    assert!(said.contains("/no/such/folder"));
}
