//! Figures of processes as `/proc` tells them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
};

use ensemble::{Error, Result};

use super::Sample;

/// New descendants are looked for this often, in seconds: it takes a millisecond or two on a machine with many processes.
const SCAN_INTERVAL: f64 = 0.1;

/// A process and, when asked, everything it started.
pub(super) struct Processes {
    root: u32,
    descendants: bool,
    /// Pids seen below the root, with their start times: a number that comes back belongs to somebody else.
    seen: BTreeMap<u32, u64>,
    /// When the list of all processes is read next; between, the known ones are asked.
    next_scan: f64,
    start: Option<Totals>,
    ticks_per_second: f64,
}

/// Counters that only grow.
#[derive(Clone, Copy, Default)]
struct Totals {
    cpu_ticks: u64,
    minor_faults: u64,
    major_faults: u64,
}

/// What `/proc/PID/stat` says.
struct Stat {
    parent: u32,
    state: u8,
    threads: u32,
    started: u64,
    own: Totals,
    /// With children that have ended and were waited for.
    with_children: Totals,
}

impl Processes {
    pub(super) fn new(root: u32, descendants: bool) -> Self {
        let ticks_per_second = rustix::param::clock_ticks_per_second() as f64;
        Self { root, descendants, seen: BTreeMap::new(), next_scan: 0.0, start: None, ticks_per_second }
    }

    /// Sum the figures of now. `rollup` asks for proportional bytes too.
    pub(super) fn read(&mut self, seconds: f64, rollup: bool) -> Result<Sample> {
        let root = stat(self.root)?;
        if matches!(root.state, b'Z' | b'X') {
            return Err(Error::unsupported(format!("process {} has ended", self.root)));
        }
        let mut members = vec![(self.root, root)];
        if self.descendants && (rollup || seconds >= self.next_scan) {
            self.next_scan = seconds + SCAN_INTERVAL;
            self.add_descendants(&mut members);
        } else if self.descendants {
            let alive = |(pid, started): (&u32, &u64)| {
                stat(*pid).ok().filter(|s| s.started == *started).map(|s| (*pid, s))
            };
            members.extend(self.seen.iter().filter_map(alive));
        }
        let mut sample = Sample { seconds, processes: members.len() as u32, ..Sample::default() };
        let mut totals = Totals::default();
        let mut proportional = rollup.then_some([0u64; 3]);
        for (pid, stat) in &members {
            let counters = if self.descendants { stat.with_children } else { stat.own };
            totals.cpu_ticks += counters.cpu_ticks;
            totals.minor_faults += counters.minor_faults;
            totals.major_faults += counters.major_faults;
            sample.threads += stat.threads;
            // A process may end between two reads; it then holds no memory.
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            if status.contains("VmRSS:") && !status.contains("RssAnon:") {
                return Err(Error::unsupported("/proc does not tell anonymous memory: Linux before 4.5"));
            }
            let [rss, anonymous, file, shared] =
                kib(&status, ["VmRSS:", "RssAnon:", "RssFile:", "RssShmem:"]);
            sample.rss += rss;
            sample.anonymous += anonymous;
            sample.file += file + shared;
            if rss > 0
                && let Some(sum) = &mut proportional
            {
                match fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) {
                    Ok(text) => {
                        let [pss, anonymous, file, shared] =
                            kib(&text, ["Pss:", "Pss_Anon:", "Pss_File:", "Pss_Shmem:"]);
                        *sum = [sum[0] + pss, sum[1] + anonymous, sum[2] + file + shared];
                    }
                    // Ended meanwhile; anything else, such as another user's process, leaves the sum unknown.
                    Err(error) if is_gone(&error) => {}
                    Err(_) => proportional = None,
                }
            }
        }
        if let Some([pss, anonymous, file]) = proportional {
            (sample.pss, sample.pss_anonymous, sample.pss_file) = (Some(pss), Some(anonymous), Some(file));
        }
        let start = *self.start.get_or_insert(totals);
        sample.cpu_seconds = totals.cpu_ticks.saturating_sub(start.cpu_ticks) as f64 / self.ticks_per_second;
        sample.minor_faults = totals.minor_faults.saturating_sub(start.minor_faults);
        sample.major_faults = totals.major_faults.saturating_sub(start.major_faults);
        Ok(sample)
    }

    /// Everything whose chain of parents leads to the root, or was below it before.
    fn add_descendants(&mut self, members: &mut Vec<(u32, Stat)>) {
        let Ok(entries) = fs::read_dir("/proc") else { return };
        let mut others: BTreeMap<u32, Stat> = entries
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
            .filter(|pid| *pid != self.root)
            .filter_map(|pid| Some((pid, stat(pid).ok()?)))
            .collect();
        self.seen.retain(|pid, started| others.get(pid).is_some_and(|s| s.started == *started));
        let mut family: BTreeSet<u32> = self.seen.keys().copied().chain([self.root]).collect();
        loop {
            let more: Vec<u32> = others
                .iter()
                .filter(|(pid, s)| family.contains(&s.parent) && !family.contains(pid))
                .map(|(p, _)| *p)
                .collect();
            if more.is_empty() {
                break;
            }
            family.extend(more);
        }
        for pid in family {
            if let Some(stat) = others.remove(&pid) {
                self.seen.insert(pid, stat.started);
                members.push((pid, stat));
            }
        }
    }
}

fn is_gone(error: &io::Error) -> bool {
    // ESRCH is what a file of /proc answers when its process ends after the file was opened.
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Values of lines such as `Pss:   345 kB`, in bytes; 0 for those that are not there.
fn kib<const N: usize>(text: &str, names: [&str; N]) -> [u64; N] {
    names.map(|name| {
        let value =
            text.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u64>().ok());
        value.unwrap_or(0) * 1024
    })
}

fn stat(pid: u32) -> Result<Stat> {
    let path = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, "read", e))?;
    parse_stat(&text).ok_or_else(|| Error::format(&path, "does not look like proc(5) says"))
}

/// Fields by their numbers in proc(5); the name in brackets may hold anything, spaces and brackets too.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.get(text.rfind(')')? + 1..)?.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3).copied();
    let count = |number: usize| field(number)?.parse::<u64>().ok();
    // Times of children that were waited for may be written as signed numbers.
    let signed = |number: usize| Some(field(number)?.parse::<i64>().ok()?.max(0) as u64);
    let own =
        Totals { cpu_ticks: count(14)? + count(15)?, minor_faults: count(10)?, major_faults: count(12)? };
    Some(Stat {
        parent: field(4)?.parse().ok()?,
        state: *field(3)?.as_bytes().first()?,
        threads: field(20)?.parse().ok()?,
        started: count(22)?,
        with_children: Totals {
            cpu_ticks: own.cpu_ticks + signed(16)? + signed(17)?,
            minor_faults: own.minor_faults + count(11)?,
            major_faults: own.major_faults + count(13)?,
        },
        own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_whatever_the_process_calls_itself() {
        let line = "42 (a) b (c) S 7 42 42 0 -1 4194304 100 30 5 2 11 13 17 19 20 0 3 0 9999 1 2 3";
        let stat = parse_stat(line).unwrap();
        assert_eq!((stat.parent, stat.state, stat.threads, stat.started), (7, b'S', 3, 9999));
        assert_eq!((stat.own.cpu_ticks, stat.own.minor_faults, stat.own.major_faults), (24, 100, 5));
        let all = stat.with_children;
        assert_eq!((all.cpu_ticks, all.minor_faults, all.major_faults), (60, 130, 7));
        assert!(parse_stat("42 (a) S 7").is_none());
    }

    #[test]
    fn lines_in_kib_become_bytes_and_missing_ones_nothing() {
        assert_eq!(kib("Rss:  10 kB\nPss:   2 kB\n", ["Pss:", "Pss_Anon:"]), [2048, 0]);
    }
}
