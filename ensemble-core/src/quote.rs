//! Text that came from outside, made fit for a sentence: short, on one line, and without a way to steer a terminal.
//!
//! Cells, column names, paths and learners' names are other people's. A cell may be a whole file, when a quote has no end, and a
//! name may hold escape sequences that paint over what stands above, so all of them go through here before a person sees them.

use std::fmt;

/// Characters of one piece of foreign text that a sentence shows.
const SHOWN: usize = 60;
/// Characters of a whole sentence.
const SENTENCE: usize = 900;

/// At most 60 characters of a text, with `..` after them when there are more; control characters, and those that turn the
/// direction of writing, as `\n` or `\u{1b}`.
///
/// ```
/// use ensemble_core::quoted;
/// assert_eq!(quoted("Fair"), "Fair");
/// assert_eq!(quoted("\u{1b}[2Jred\n"), "\\u{1b}[2Jred\\n");
/// assert_eq!(quoted(&"9".repeat(100_000)).len(), 62);
/// ```
pub fn quoted(text: impl AsRef<[u8]>) -> String {
    // A character takes at most four bytes: the text may be a file, and only its beginning is looked at.
    let bytes = text.as_ref();
    let head = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * (SHOWN + 2))]);
    let mut out = String::new();
    for (at, c) in head.chars().enumerate() {
        if at == SHOWN {
            out.push_str("..");
            break;
        }
        push(&mut out, c);
    }
    out
}

/// Names joined by commas, each as [`quoted`] shows it, with the number of those left out when they are many.
///
/// ```
/// use ensemble_core::quoted_list;
/// assert_eq!(quoted_list(["a", "b"]), "a, b");
/// let many: Vec<String> = (0..60_000).map(|i| format!("c{i}")).collect();
/// assert!(quoted_list(&many).ends_with("c11 and 59988 more"));
/// ```
pub fn quoted_list<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> String {
    const NAMES: usize = 12;
    let mut names = names.into_iter();
    let shown: Vec<String> = names.by_ref().take(NAMES).map(|n| quoted(n.as_ref())).collect();
    let rest = names.count();
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    shown.join(", ") + &more
}

/// A whole message: one line, escaped, and its middle left out where it would be longer than anybody reads.
pub(crate) struct Sentence<'a>(pub(crate) &'a str);

impl fmt::Display for Sentence<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.0.len().min(4 * SENTENCE));
        let length = self.0.chars().count();
        if length <= SENTENCE {
            self.0.chars().for_each(|c| push(&mut out, c));
            if out.len() <= SENTENCE {
                return f.write_str(&out);
            }
        }
        // The end says what to do, the beginning where.
        let cut = |from: &mut dyn Iterator<Item = char>, room: usize| {
            let (mut parts, mut bytes) = (Vec::new(), 0);
            for c in from {
                let mut part = String::new();
                push(&mut part, c);
                bytes += part.len();
                if bytes > room {
                    break;
                }
                parts.push(part);
            }
            parts
        };
        let head = cut(&mut self.0.chars(), SENTENCE * 3 / 5);
        let tail = cut(&mut self.0.chars().rev(), SENTENCE * 2 / 5);
        head.iter().try_for_each(|part| f.write_str(part))?;
        f.write_str(" .. ")?;
        tail.iter().rev().try_for_each(|part| f.write_str(part))
    }
}

/// Characters that a terminal acts on: controls, and the marks that turn the direction of writing.
fn push(out: &mut String, c: char) {
    match c {
        '\n' | '\r' | '\t' => out.extend(c.escape_default()),
        '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' => {
            out.extend(c.escape_unicode());
        }
        c if c.is_control() => out.extend(c.escape_unicode()),
        c => out.push(c),
    }
}

/// Changes of one letter, insertions and omissions between two words: the distance of Levenshtein (1966).
pub fn edit_distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut before = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let changed = before + usize::from(x != *y);
            before = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(before + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_bounded_and_steers_no_terminal() {
        for (text, shown) in [
            ("1,049.34", "1,049.34"),
            ("größe", "größe"),
            ("a\tb\r\n", "a\\tb\\r\\n"),
            ("\u{9b}31m\u{202e}x\u{7f}", "\\u{9b}31m\\u{202e}x\\u{7f}"),
        ] {
            assert_eq!(quoted(text), shown);
        }
        assert_eq!(quoted(b"gr\xfcn"), "gr\u{fffd}n");
        assert_eq!(quoted("ü".repeat(1000)).chars().count(), 62);
        assert_eq!(quoted(format!("{}b", "a".repeat(59))), format!("{}b", "a".repeat(59)));
    }

    #[test]
    fn sentences_are_one_line_below_a_thousand_bytes_and_keep_both_ends() {
        assert_eq!(Sentence("short").to_string(), "short");
        for middle in ["x".repeat(100_000), "\u{1b}\n".repeat(300), "ü".repeat(880), "\u{10ffff}".repeat(400)]
        {
            let text = Sentence(&format!("begin {middle} end")).to_string();
            assert!(text.len() < 1000 && text.starts_with("begin ") && text.ends_with(" end"), "{text}");
            assert!(!text.contains(char::is_control));
        }
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (a, b, d) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("laso", "lasso", 1),
            ("kfold", "kfold", 0),
            ("kfolds", "kfold", 1),
            ("gruop", "group", 2),
        ] {
            assert_eq!((edit_distance(a, b), edit_distance(b, a)), (d, d));
        }
    }
}
