//! The memory experiments, run and reported.
//!
//! Every measured subject runs in a process of its own, which is this program again with the hidden subcommand `subject`, or a
//! python program of `peers/`. Exit code 1 when a bar that must hold does not, 2 and one sentence when something fails.

#![forbid(unsafe_code)]

mod experiments;
mod peers;
mod report;
mod run;
mod subject;

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser, Subcommand};
use ensemble::{Error, Result};

use crate::{
    experiments::{Bench, Sizes},
    peers::Peers,
    report::Report,
};

/// Memory experiments: how much a stacked ensemble takes, beside the systems people use today.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Run everything and write the report
    All(Options),
    /// Experiment 1: an array held by four workers
    Hold(Options),
    /// Experiment 2: three linear regressions from a file path
    Profile(Options),
    /// Experiment 3: learners and an ensemble in turn
    Compare(Options),
    /// Experiment 4: extra memory for any number of folds and threads
    Folds(Options),
    /// Experiment 5: a table larger than the memory allowed
    Limit(Options),
    /// The python programs that are compared with: which are there, and setting them up
    Peers {
        /// Make their virtual environment and install the pinned requirements with pip
        #[arg(long)]
        setup: bool,
        /// Where their programs are
        #[arg(long, default_value = PEERS)]
        peers: PathBuf,
    },
    /// What a measured child does
    #[command(hide = true)]
    Subject { text: String },
}

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

#[derive(Args)]
struct Options {
    /// Small tables: minutes instead of half an hour
    #[arg(long)]
    small: bool,
    /// Tiny tables: seconds, to see that everything runs
    #[arg(long, conflicts_with = "small")]
    tiny: bool,
    /// Where the report goes
    #[arg(long, default_value = "report")]
    report: PathBuf,
    /// Where the tables are written, on a disk with some gigabytes of room; removed at the end [default: a temporary folder]
    ///
    /// Interrupted, the program leaves them, and the cgroup of `limit`, behind.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Where the peers' programs are
    #[arg(long, default_value = PEERS)]
    peers: PathBuf,
    /// MiB of anonymous memory that a fit may take beyond prediction columns
    #[arg(long, default_value_t = experiments::CEILING >> 20)]
    ceiling: u64,
    /// Leave the peers out
    #[arg(long)]
    no_peers: bool,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        What::All(o) => {
            let all: [Experiment; 5] = [
                ("hold", hold),
                ("profile", profile),
                ("compare", compare),
                ("folds", folds),
                ("limit", limit),
            ];
            bench(&o, &all)
        }
        What::Hold(o) => bench(&o, &[("hold", hold)]),
        What::Profile(o) => bench(&o, &[("profile", profile)]),
        What::Compare(o) => bench(&o, &[("compare", compare)]),
        What::Folds(o) => bench(&o, &[("folds", folds)]),
        What::Limit(o) => bench(&o, &[("limit", limit)]),
        What::Peers { setup, peers } => list_peers(&peers, setup),
        What::Subject { text } => subject::run(&text).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            // The exit code still tells when nobody reads standard error.
            let _ = writeln!(std::io::stderr(), "ensemble-bench: {error}");
            ExitCode::from(2)
        }
    }
}

use experiments::{compare, folds, hold, limit, profile};

type Experiment = (&'static str, fn(&mut Bench) -> Result<()>);

/// Run experiments, write and print the report; whether everything holds that must.
fn bench(options: &Options, experiments: &[Experiment]) -> Result<bool> {
    let sizes = match (options.tiny, options.small) {
        (true, _) => Sizes::TINY,
        (_, true) => Sizes::SMALL,
        _ => Sizes::FULL,
    };
    Report::prepare(&options.report)?;
    let within = options.data.clone().unwrap_or_else(std::env::temp_dir);
    let folder = tempfile::Builder::new()
        .prefix("ensemble-bench-")
        .tempdir_in(&within)
        .map_err(|e| Error::io(&within, "make a folder in", e))?;
    let peers =
        if options.no_peers { Peers::none("left out by --no-peers") } else { Peers::find(&options.peers) };
    let title = format!("Memory experiments, {} size", sizes.name);
    let mut bench = Bench::new(sizes, folder.path(), peers, &title);
    bench.ceiling = options.ceiling.saturating_mul(1 << 20);
    bench.report.text(format!(
        "Made by `ensemble-bench {}`. Every figure was measured in this run, on the machine named below, each subject in a process \
         of its own that was watched from outside.",
        std::env::args().skip(1).collect::<Vec<_>>().join(" ")
    ));
    for (name, experiment) in experiments {
        bench.run(name, *experiment);
    }
    bench.close();
    let written = bench.report.write(&options.report);
    bench.report.print()?;
    written?;
    let _ = writeln!(std::io::stderr(), "report: {}", options.report.join("index.html").display());
    Ok(bench.holds())
}

fn list_peers(folder: &Path, setup: bool) -> Result<bool> {
    if setup {
        peers::set_up(folder)?;
    }
    let peers = Peers::find(folder);
    let mut text = String::new();
    for name in peers.present() {
        text += &format!("{name}: present\n");
    }
    for (name, why) in peers.absent() {
        text += &format!("{name}: absent ({why})\n");
    }
    let printed = std::io::stdout().write_all(text.as_bytes());
    printed.map_err(|e| Error::io("standard output", "write to", e))?;
    Ok(true)
}
