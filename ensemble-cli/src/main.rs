//! The program `ensemble`: plan, fit, predict, inspect, generate.
//!
//! Exit code 0 on success; 2, with one sentence on standard error, for bad input; 3, with one too, when a mapped file was cut short
//! while it was read. Figures go to standard output, as a table for people or as one JSON object for programs.

#![forbid(unsafe_code)]

mod arguments;
mod fit;
mod generate;
mod import;
mod input;
mod inspect;
mod memory;
mod output;
mod predict;
mod progress;
mod scheme;
mod spec;
mod text;
mod text_file;

use std::{io::Write, process::ExitCode};

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    ensemble::memmap::answer_signals();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are errors to clap, but not to a person: they exit with 0.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::from(2) } else { ExitCode::SUCCESS };
        }
    };
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_env("ENSEMBLE_LOG"))
        .with_span_events(tracing_subscriber::fmt::format::FmtSpan::CLOSE)
        .with_writer(std::io::stderr)
        .init();
    let done = match arguments.command {
        Command::Generate(a) => generate::run(&a),
        Command::Plan(a) => fit::plan(&a),
        Command::Fit(a) => fit::fit(&a),
        Command::Predict(a) => predict::run(&a),
        Command::Inspect(a) => inspect::run(&a),
        Command::Learners(a) => inspect::learners(&a),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The exit code still tells when nobody reads standard error.
            let _ = writeln!(std::io::stderr(), "ensemble: {error}");
            ExitCode::from(2)
        }
    }
}
