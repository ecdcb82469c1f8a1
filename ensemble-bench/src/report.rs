//! The report: one self-contained HTML page and its Markdown twin, with figures beside them as SVG and PNG.

use std::{fmt::Write as _, fs, path::Path};

use ensemble::{Error, Result};
use ensemble_bench::{Figure, Recording};

/// Parts in order, and what was recorded for them.
pub(crate) struct Report {
    title: String,
    parts: Vec<Part>,
    recordings: Vec<(String, Recording)>,
}

enum Part {
    Heading(String),
    Text(String),
    Table { head: Vec<String>, rows: Vec<Vec<String>> },
    Figure { name: String, figure: Box<Figure> },
    Commands(Vec<String>),
}

impl Report {
    pub(crate) fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), parts: Vec::new(), recordings: Vec::new() }
    }

    pub(crate) fn heading(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Heading(text.into()));
    }

    /// A paragraph; words between backticks are set as code.
    pub(crate) fn text(&mut self, text: impl Into<String>) {
        self.parts.push(Part::Text(text.into()));
    }

    pub(crate) fn table(&mut self, head: &[&str], rows: Vec<Vec<String>>) {
        self.parts.push(Part::Table { head: head.iter().map(|h| (*h).into()).collect(), rows });
    }

    pub(crate) fn figure(&mut self, name: &str, figure: Figure) {
        self.parts.push(Part::Figure { name: name.into(), figure: Box::new(figure) });
    }

    /// The figure of a recording, which is written as CSV and JSON too.
    pub(crate) fn recording(&mut self, name: &str, title: &str, recording: &Recording) {
        self.figure(name, recording.figure(title));
        self.keep(name, recording);
    }

    /// Write a recording as CSV and JSON.
    pub(crate) fn keep(&mut self, name: &str, recording: &Recording) {
        self.recordings.push((name.into(), recording.clone()));
    }

    /// Parts so far.
    pub(crate) fn len(&self) -> usize {
        self.parts.len()
    }

    /// Move the parts from `first` on before part `to`.
    pub(crate) fn bring_forward(&mut self, first: usize, to: usize) {
        let moved = self.parts.len() - first;
        self.parts[to..].rotate_right(moved);
    }

    pub(crate) fn commands(&mut self, commands: Vec<String>) {
        self.parts.push(Part::Commands(commands));
    }

    /// Print headings, texts and tables, without figures and commands.
    pub(crate) fn print(&self) -> Result<()> {
        use std::io::Write;
        let mut out = std::io::stdout().lock();
        let text = self.markdown(false);
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            // Whoever read had enough.
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|e| Error::io("standard output", "write to", e)),
        }
    }

    /// See that a report can be written into a folder, before hours go into what it tells. A new folder is ignored by git.
    pub(crate) fn prepare(folder: &Path) -> Result<()> {
        let new = !folder.exists();
        fs::create_dir_all(folder).map_err(|e| Error::io(folder, "make the folder", e))?;
        let probe = folder.join(if new { ".gitignore" } else { "report.md" });
        let mut file = fs::OpenOptions::new();
        let mut file =
            file.append(true).create(true).open(&probe).map_err(|e| Error::io(&probe, "write", e))?;
        if new {
            std::io::Write::write_all(&mut file, b"*\n").map_err(|e| Error::io(&probe, "write", e))
        } else {
            Ok(())
        }
    }

    /// Write `index.html`, `report.md`, `figures/` and `data/` into a folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<()> {
        let (figures, data) = (folder.join("figures"), folder.join("data"));
        for f in [&figures, &data] {
            fs::create_dir_all(f).map_err(|e| Error::io(f, "make the folder", e))?;
        }
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| Error::io(path, "write", e))
        };
        for part in &self.parts {
            if let Part::Figure { name, figure } = part {
                figure.save_svg(figures.join(format!("{name}.svg")))?;
                figure.save_png(figures.join(format!("{name}.png")))?;
            }
        }
        for (name, recording) in &self.recordings {
            recording.save_csv(data.join(format!("{name}.csv")))?;
            recording.save_json(data.join(format!("{name}.json")))?;
        }
        write("index.html", &self.html()?)?;
        write("report.md", &self.markdown(true))
    }

    fn markdown(&self, whole: bool) -> String {
        let mut text = format!("# {}\n", self.title);
        for part in &self.parts {
            // Writing to a string does not fail.
            let _ = match part {
                Part::Heading(h) => writeln!(text, "\n## {h}"),
                Part::Text(t) => writeln!(text, "\n{t}"),
                Part::Table { head, rows } => write!(text, "\n{}", markdown_table(head, rows)),
                Part::Figure { name, figure } if whole => {
                    writeln!(text, "\n![{}](figures/{name}.png)", figure.title())
                }
                Part::Figure { .. } => Ok(()),
                Part::Commands(_) if !whole => writeln!(text, "\nThe report lists them."),
                Part::Commands(commands) => writeln!(text, "\n```sh\n{}\n```", commands.join("\n")),
            };
        }
        text
    }

    fn html(&self) -> Result<String> {
        let mut text = format!("{HEAD}<title>{0}</title></head>\n<body><h1>{0}</h1>\n", escape(&self.title));
        for part in &self.parts {
            let _ = match part {
                Part::Heading(h) => writeln!(text, "<h2>{}</h2>", escape(h)),
                Part::Text(t) => writeln!(text, "<p>{}</p>", with_code(t)),
                Part::Table { head, rows } => {
                    let numbers: Vec<bool> = (0..head.len()).map(|j| holds_numbers(rows, j)).collect();
                    let cells = |row: &[String], tag: &str| -> String {
                        let cell = |(c, numbers): (&String, &bool)| {
                            let class = if *numbers { " class=\"n\"" } else { "" };
                            format!("<{tag}{class}>{}</{tag}>", with_code(c))
                        };
                        row.iter().zip(&numbers).map(cell).collect()
                    };
                    let body: String =
                        rows.iter().map(|r| format!("<tr>{}</tr>\n", cells(r, "td"))).collect();
                    writeln!(
                        text,
                        "<div class=\"wide\"><table><thead><tr>{}</tr></thead><tbody>\n{body}</tbody></table></div>",
                        cells(head, "th")
                    )
                }
                Part::Figure { name, figure } => {
                    let svg = figure.to_svg()?;
                    // The size becomes a view box, so that the figure shrinks with the window.
                    let svg = svg.replacen(
                        "<svg ",
                        &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(figure.title())),
                        1,
                    );
                    writeln!(
                        text,
                        "<figure id=\"{name}\">{svg}<figcaption>{} (<code>figures/{name}.png</code>)</figcaption></figure>",
                        escape(figure.title())
                    )
                }
                Part::Commands(commands) => {
                    let commands = escape(&commands.join("\n"));
                    writeln!(text, "<details><summary>Show them</summary><pre>{commands}</pre></details>")
                }
            };
        }
        text.push_str("</body></html>\n");
        Ok(text)
    }
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n\
body{font:15px/1.5 sans-serif;color:#222;max-width:1040px;margin:2em auto;padding:0 1em}\n\
h2{margin-top:2em;border-bottom:1px solid #ddd}\n\
table{border-collapse:collapse;font-size:13px}\nth,td{padding:3px 10px;border-bottom:1px solid #e4e4e4;text-align:left}\n\
.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}\n.wide{overflow-x:auto}\n\
figure{margin:1.5em 0}\nfigure svg{max-width:100%;height:auto}\nfigcaption{color:#666;font-size:13px}\n\
pre,code{background:#f5f5f5;font-size:12px}\npre{padding:1em;overflow-x:auto}\n</style>\n";

/// Whether the cells of a column are numbers with their units, or have none.
fn holds_numbers(rows: &[Vec<String>], column: usize) -> bool {
    let number = |text: &str| {
        let figure = text.split(' ').next().unwrap_or_default();
        text.split(' ').count() <= 2 && figure.trim_start_matches(['-', '+']).parse::<f64>().is_ok()
    };
    let mut cells = rows.iter().filter_map(|r| r.get(column)).filter(|c| !c.is_empty()).peekable();
    cells.peek().is_some() && cells.all(|c| number(c) || c == "absent")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Escaped, and words between backticks as code.
fn with_code(text: &str) -> String {
    let mut out = String::new();
    for (i, part) in text.split('`').enumerate() {
        let part = escape(part);
        let _ = if i % 2 == 1 { write!(out, "<code>{part}</code>") } else { write!(out, "{part}") };
    }
    out
}

fn markdown_table(head: &[String], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|r| r.get(column)).chain(head.get(column));
        cells.map(|c| c.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &[String]| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(c, w)| format!("{c:w$}")).collect();
        format!("| {} |\n", padded.join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    let mut text = line(head) + &format!("|-{}-|\n", rule.join("-|-"));
    rows.iter().for_each(|r| text += &line(r));
    text
}

#[cfg(test)]
mod tests {
    use ensemble_bench::{Panel, Series};

    use super::*;

    #[test]
    fn a_report_is_one_page_and_a_twin_with_every_figure_inside() {
        let mut report = Report::new("a < b");
        report.heading("one");
        report.text("run `x < y`");
        report.table(&["what", "figure"], vec![vec!["wall".into(), "1.5 s".into()]]);
        let figure = Figure::new("memory", "time (s)")
            .panel(Panel::new("MB").with(Series::line("rss", vec![(0.0, 1.0), (1.0, 2.0)])));
        report.figure("m", figure);
        report.commands(vec!["ensemble-bench all".into()]);
        let dir = tempfile::tempdir().unwrap();
        report.write(dir.path()).unwrap();
        let html = fs::read_to_string(dir.path().join("index.html")).unwrap();
        assert!(html.contains("<code>x &lt; y</code>") && html.contains("aria-label=\"memory\""));
        assert!(!html.contains("src=") && !html.contains("href="), "nothing is loaded from elsewhere");
        assert!(html.contains("<td class=\"n\">1.5 s</td>"));
        let twin = fs::read_to_string(dir.path().join("report.md")).unwrap();
        assert!(twin.contains("![memory](figures/m.png)") && twin.contains("| wall | 1.5 s  |"));
        assert!(dir.path().join("figures/m.png").exists() && dir.path().join("figures/m.svg").exists());
    }
}
