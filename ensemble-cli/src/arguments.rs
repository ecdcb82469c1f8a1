//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Stack models on tables that barely fit the machine, with no copy of the data for any number of folds.
#[derive(Parser)]
#[command(name = "ensemble", version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Write a synthetic table of any size, in flat memory.
    Generate(Generate),
    /// Say what a fit would do: passes, copies, bytes. Fits nothing; CSV is converted as for a fit.
    Plan(Fit),
    /// Fit a super learner.
    Fit(Fit),
    /// Predict the rows of a table.
    Predict(Predict),
    /// Show what is in a model file or a table.
    Inspect(Inspect),
    /// List the learners and transformers there are, with their parameters.
    Learners(Learners),
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Synthetic {
    /// Friedman (1991), equation 56: ten sin(pi x0 x1) + 20 (x2 - 0.5)^2 + 10 x3 + 5 x4 + noise.
    Friedman1,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum OrderName {
    /// Row-major.
    #[value(name = "C")]
    C,
    /// Column-major.
    #[value(name = "F")]
    F,
}

impl From<OrderName> for ensemble::Order {
    fn from(name: OrderName) -> Self {
        match name {
            OrderName::C => Self::C,
            OrderName::F => Self::F,
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Header {
    /// The first line names the columns.
    Yes,
    /// The first line is a row.
    No,
}

#[derive(Args)]
pub(crate) struct Generate {
    /// Which table.
    pub(crate) kind: Synthetic,
    /// Rows.
    #[arg(long)]
    pub(crate) rows: usize,
    /// Columns, at least 5.
    #[arg(long)]
    pub(crate) cols: usize,
    /// Seed of the stream.
    #[arg(long)]
    pub(crate) seed: u64,
    /// Standard deviation of the noise.
    #[arg(long, default_value_t = 1.0)]
    pub(crate) noise: f64,
    /// Order of the columns' file.
    #[arg(long, value_enum, default_value = "C")]
    pub(crate) order: OrderName,
    /// Where the columns go.
    #[arg(long, value_name = "X.npy")]
    pub(crate) x: PathBuf,
    /// Where the target goes.
    #[arg(long, value_name = "y.npy")]
    pub(crate) y: PathBuf,
}

/// Where rows come from, and what becomes of their columns.
#[derive(Args, Clone)]
pub(crate) struct Source {
    /// The table: .npy, .csv (cells separated by commas, numbers with a point), or raw float64 with --raw-shape.
    #[arg(value_name = "TABLE")]
    pub(crate) table: PathBuf,
    /// Rows and columns of a raw table, as in 1000000x50.
    #[arg(long, value_name = "ROWSxCOLS")]
    pub(crate) raw_shape: Option<String>,
    /// Order of a raw table.
    #[arg(long, value_enum, default_value = "C")]
    pub(crate) raw_order: OrderName,
    /// Whether the first line of CSV names the columns. Where nobody says, it does, and a first line of numbers is refused. Columns
    /// without names are called by their number, from 0.
    #[arg(long, value_enum, value_name = "yes|no")]
    pub(crate) header: Option<Header>,
    /// Leave a column out: a header name, or a number from 0 that is no column's name. May be repeated.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) drop: Vec<String>,
    /// Encode a column of ordered categories as 0, 1, 2: "cut=Fair<Good<Ideal". May be repeated. A model remembers them.
    #[arg(long, value_name = "COLUMN=A<B<...")]
    pub(crate) ordinal: Vec<String>,
    /// Folder for temporary files: imported tables, shuffled tables, large prediction columns.
    #[arg(long, value_name = "DIR")]
    pub(crate) spill_dir: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Fit {
    #[command(flatten)]
    pub(crate) source: Source,
    /// The target: an .npy file of one value per row, or a column of the table (header name, or a number from 0 that is no
    /// column's name). For classifiers whole numbers, or words in CSV.
    #[arg(long, value_name = "y.npy|COLUMN")]
    pub(crate) target: Option<String>,
    /// A learner of the first layer: NAME=KIND[:param=value,...], transformers before it joined by ' | '. May be repeated;
    /// with --spec it joins those of the file's first layer.
    #[arg(long, value_name = "NAME=PIPELINE")]
    pub(crate) learner: Vec<String>,
    /// The meta-learner. Default with several learners, none a classifier: native.nnls.
    #[arg(long, value_name = "PIPELINE")]
    pub(crate) meta: Option<String>,
    /// How rows are split: kfold:n_splits=5 | stratified:n_splits=5, which holds classes in their shares |
    /// group:n_splits=5[,stratified=true], which keeps groups whole | given, by --fold-column | blend:test_size=0.3[,refit=false],
    /// which fits on the first rows and predicts the last | none, one fit on all rows without scores. Default: given or group where
    /// --fold-column or --groups is there, else stratified where a learner classifies, else kfold.
    #[arg(long, value_name = "SCHEME")]
    pub(crate) scheme: Option<String>,
    /// Every row's fold, a whole number, for the scheme given: an .npy file, or a column of the table, which is not learned from.
    /// Rows of fold -1 are never held out.
    #[arg(long, value_name = "f.npy|COLUMN")]
    pub(crate) fold_column: Option<String>,
    /// Every row's group, a whole number or in CSV a word, for the scheme group: an .npy file, or a column of the table, which is
    /// not learned from.
    #[arg(long, value_name = "g.npy|COLUMN")]
    pub(crate) groups: Option<String>,
    /// Number of folds of the schemes kfold, stratified and group [default: 5].
    #[arg(long, value_name = "K")]
    pub(crate) folds: Option<usize>,
    /// Folds of consecutive rows, of the sizes that scikit-learn's KFold gives, also for learners that take one matrix or classify.
    #[arg(long, conflicts_with = "page_folds")]
    pub(crate) exact_folds: bool,
    /// Folds of consecutive rows with boundaries at multiples of 512 rows, whole pages of 4 KiB, however far they move.
    #[arg(long)]
    pub(crate) page_folds: bool,
    /// Folds of rows in random order, of kfold and stratified: the table is written once in fold order to a temporary file.
    #[arg(long)]
    pub(crate) shuffle: bool,
    /// Seed of the shuffle and of learners that draw [default: 0].
    #[arg(long)]
    pub(crate) seed: Option<u64>,
    /// Threads [default: all cores].
    #[arg(long)]
    pub(crate) threads: Option<usize>,
    /// Bytes the fit may hold at once, as in 256MiB.
    #[arg(long, value_name = "BYTES")]
    pub(crate) memory_budget: Option<String>,
    /// Scheme, folds, layers, cases and meta-learner from a TOML file; options on the command line win, and learners are added.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) spec: Option<PathBuf>,
    /// Write the fitted ensemble here.
    #[arg(long, value_name = "OUT")]
    pub(crate) model: Option<PathBuf>,
    /// In the model file, name rows that neighbour models keep by file instead of copying them. The table must stay as it is.
    #[arg(long, requires = "model")]
    pub(crate) by_reference: bool,
    /// Write the first layer's out-of-fold predictions here, rows x learners: row i is the table's row i, NaN where it is never held
    /// out.
    #[arg(long, value_name = "OUT.npy")]
    pub(crate) oof: Option<PathBuf>,
    /// Do not cross-validate the meta-learner.
    #[arg(long)]
    pub(crate) no_meta_score: bool,
    /// Before the fit, make sure that no held-out row has a part in its own prediction: fits the first layer's learners twice more in
    /// each cell, one of them on a copy of the table with other held-out rows.
    #[arg(long)]
    pub(crate) verify: bool,
    /// Print one JSON object. `peak_anonymous_bytes` is the greatest RssAnon of the process, sampled every 2 ms.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Predict {
    /// A model file that `fit --model` wrote.
    pub(crate) model: PathBuf,
    #[command(flatten)]
    pub(crate) source: Source,
    /// The target's column, when the table holds it: it is left out. May name what CSV with known columns does not have.
    #[arg(long, value_name = "COLUMN")]
    pub(crate) target: Option<String>,
    /// The TOML file of the fit. Not needed: the model remembers its columns of CSV by name, and their categories; other categories
    /// are refused.
    #[arg(long, value_name = "FILE.toml")]
    pub(crate) spec: Option<PathBuf>,
    /// Write the probability of every class, rows x classes, instead of the most probable class.
    #[arg(long)]
    pub(crate) proba: bool,
    /// Where predictions go: .npy, or .csv with the header `prediction`. Of a classifier they are labels; labels that are words
    /// stand in .npy by their number.
    #[arg(long, value_name = "p.npy|p.csv")]
    pub(crate) out: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Inspect {
    /// A model file, or a table as `fit` takes it.
    #[command(flatten)]
    pub(crate) source: Source,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args)]
pub(crate) struct Learners {
    /// Only kinds with this in their names, as in `lasso` or `smartcore`.
    pub(crate) part: Option<String>,
    /// Print one JSON array.
    #[arg(long)]
    pub(crate) json: bool,
}
