//! Ratios that the project holds itself to, each from one run on one file with a warm page cache.
//!
//! `bars/run` builds what it needs beside this program (a BLAS loop in C, scikit-learn in a virtual environment) and calls it.
//! A peer that is not there is named as absent; nothing is filled in. Every figure is the best of several interleaved rounds,
//! since idle memory is slow to touch on some machines and other work disturbs others.

#![forbid(unsafe_code)]

use std::{path::PathBuf, process::Command, time::Instant};

use ensemble::{
    Block, KFold, Layer, MatRef, Moments, Order, Result, Statistic, SuperLearner, Table,
    memmap::MappedTable,
    native::{ElasticNet, Lasso, LinearRegression, NonNegativeLeastSquares, Ridge},
};

const ROUNDS: usize = 7;

fn best<T>(rounds: usize, mut run: impl FnMut() -> T) -> f64 {
    (0..rounds)
        .map(|_| {
            let start = Instant::now();
            std::hint::black_box(run());
            start.elapsed().as_secs_f64()
        })
        .fold(f64::INFINITY, f64::min)
}

/// Statistics of all rows on one thread, block by block: what one pass costs.
fn bare_pass(x: MatRef<'_>, y: &[f64]) -> Moments {
    let mut total = Moments::new(x.ncols());
    let mut first_row = 0;
    for block in x.row_blocks(ensemble::BLOCK_ROWS) {
        let y = &y[first_row..first_row + block.nrows()];
        total.absorb(&Block { x: block, y, first_row }).expect("widths agree");
        first_row += block.nrows();
    }
    total
}

/// One addition per value: a bare read.
fn bare_read(x: MatRef<'_>) -> f64 {
    let mut sums = [0.0; 8];
    for values in x.data().chunks_exact(8) {
        sums.iter_mut().zip(values).for_each(|(s, v)| *s += v);
    }
    sums.iter().sum()
}

fn linear(threads: usize, folds: KFold) -> SuperLearner {
    SuperLearner::new(folds)
        .layer(
            Layer::new()
                .learner("lasso", Lasso::new(0.01))
                .learner("net", ElasticNet::new(0.01))
                .learner("ridge", Ridge::new(1.0))
                .learner("ols", LinearRegression::new()),
        )
        .meta(NonNegativeLeastSquares::new())
        .threads(threads)
}

fn three(threads: usize) -> SuperLearner {
    SuperLearner::new(KFold::new(10).exact())
        .layer(
            Layer::new()
                .learner("lasso", Lasso::new(0.01))
                .learner("net", ElasticNet::new(0.01))
                .learner("ols", LinearRegression::new()),
        )
        .meta(NonNegativeLeastSquares::new())
        .threads(threads)
}

/// What a peer printed as its best seconds: the word after `best`.
fn peer(name: &str, command: &mut Command) -> Option<f64> {
    let output = match command.output() {
        Ok(output) if output.status.success() => output,
        Ok(output) => {
            println!(
                "{name}: absent ({})",
                String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or("failed")
            );
            return None;
        }
        Err(error) => {
            println!("{name}: absent ({error})");
            return None;
        }
    };
    let text = String::from_utf8_lossy(&output.stdout);
    let mut words = text.split_whitespace();
    words.find(|w| *w == "best")?;
    words.next()?.parse().ok()
}

fn verdict(what: &str, ratio: f64, bar: f64, at_least: bool) {
    let met = if at_least { ratio >= bar } else { ratio <= bar };
    let sign = if at_least { ">=" } else { "<=" };
    println!("{what}: {ratio:.2} (bar {sign} {bar}) {}", if met { "met" } else { "NOT MET" });
}

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let tools = PathBuf::from(arguments.next().unwrap_or_else(|| "ensemble-bench/bars".into()));
    let folder = tempfile::tempdir().map_err(|e| ensemble::Error::io(".", "make a folder in", e))?;
    let python = tools.join(".venv/bin/python");
    let dsyrk = tools.join(".build/dsyrk");

    for (nrows, ncols) in [(1_000_000, 50), (6_000_000, 10)] {
        let (xp, yp) = ensemble_bench::friedman(folder.path(), nrows, ncols, Order::C)?;
        let (x, y) = (MappedTable::open_npy(&xp)?, MappedTable::open_npy(&yp)?);
        let (xm, ym) = (x.as_mat(), y.as_mat());
        let target = ym.column(0).unwrap_or_default();
        let (mut pass, mut read, mut blas) = (f64::INFINITY, f64::INFINITY, None::<f64>);
        for _ in 0..3 {
            pass = pass.min(best(ROUNDS, || bare_pass(xm, target)));
            read = read.min(best(ROUNDS, || bare_read(xm)));
            let mut command = Command::new(&dsyrk);
            command.arg(nrows.to_string()).arg(ncols.to_string()).env("OPENBLAS_NUM_THREADS", "1");
            command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
            blas = peer("OpenBLAS dsyrk", &mut command).map(|b| blas.unwrap_or(b).min(b)).or(blas);
        }
        println!(
            "{nrows} x {ncols}: statistics {:.1} ms, bare read {:.1} ms, 1 thread",
            pass * 1e3,
            read * 1e3
        );
        if let Some(blas) = blas {
            println!("{nrows} x {ncols}: OpenBLAS dsyrk over the same blocks {:.1} ms", blas * 1e3);
            verdict("dsyrk / statistics", blas / pass, 1.0, true);
        }
        if ncols != 50 {
            continue;
        }

        let time = |threads, folds| best(ROUNDS, || linear(threads, folds).fit(&x, &y).expect("fits"));
        for threads in [1, 2] {
            let (two, twenty) = (time(threads, KFold::new(2)), time(threads, KFold::new(20)));
            println!(
                "4 linear learners, {threads} threads: K=2 {:.1} ms, K=20 {:.1} ms",
                two * 1e3,
                twenty * 1e3
            );
            verdict("K=20 / K=2", twenty / two, 1.25, false);
        }
        let (one, two) = (time(1, KFold::new(10)), time(2, KFold::new(10)));
        println!("4 linear learners, K=10: 1 thread {:.1} ms, 2 threads {:.1} ms", one * 1e3, two * 1e3);
        verdict("1 thread / 2 threads", one / two, 1.6, true);

        let stack = best(ROUNDS, || three(1).fit(&x, &y).expect("fits"));
        println!("lasso + elastic net + OLS under NNLS, K=10, 1 thread: {:.1} ms", stack * 1e3);
        verdict("stack / one pass of statistics", stack / pass, 3.0, false);

        let ols = || {
            SuperLearner::new(KFold::new(10).exact())
                .layer(Layer::new().learner("ols", LinearRegression::new()))
                .keep_out_of_fold()
                .threads(2)
                .fit(&x, &y)
                .expect("fits")
        };
        let mut ours = f64::INFINITY;
        let mut theirs: Option<f64> = None;
        for _ in 0..3 {
            ours = ours.min(best(ROUNDS, ols));
            let mut command = Command::new(&python);
            command.arg(tools.join("gramcv.py")).args([&xp, &yp]).args(["10", "numpy2"]);
            command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
            theirs = peer("numpy per-fold Gram", &mut command).map(|t| theirs.unwrap_or(t).min(t)).or(theirs);
        }
        println!("out-of-fold OLS predictions, K=10, 2 threads: {:.1} ms", ours * 1e3);
        if let Some(theirs) = theirs {
            println!("the same by per-fold Gram matrices in numpy: {:.1} ms", theirs * 1e3);
            verdict("numpy / ours", theirs / ours, 1.3, true);
        }

        let program = std::env::current_exe().ok().and_then(|p| p.parent().map(|p| p.join("ensemble")));
        if let Some(program) = program.filter(|p| p.exists()) {
            let whole = best(ROUNDS, || {
                Command::new(&program)
                    .args(["fit".as_ref(), xp.as_os_str(), "--target".as_ref(), yp.as_os_str()])
                    .args(["--folds", "10", "--exact-folds", "--meta", "native.nnls"])
                    .args(["--learner", "lasso=native.lasso:alpha=0.01"])
                    .args(["--learner", "net=native.elastic_net:alpha=0.01"])
                    .args(["--learner", "ols=native.linear_regression", "--json"])
                    .output()
                    .is_ok_and(|o| o.status.success())
                    .then_some(())
                    .expect("the program fits")
            });
            println!("the same stack, whole process: {:.1} ms", whole * 1e3);
            let mut command = Command::new(&python);
            command.arg(tools.join("stacking.py")).args([&xp, &yp]).arg("10");
            command.env_remove("OPENBLAS_CORETYPE").env_remove("OPENBLAS_L2_SIZE");
            if let Some(theirs) = peer("scikit-learn StackingRegressor", &mut command) {
                println!("scikit-learn StackingRegressor, best of one and two workers: {theirs:.2} s");
                verdict("scikit-learn / ours", theirs / whole, 100.0, true);
            }
        } else {
            println!("whole process: build the program first (cargo build --release -p ensemble-cli)");
        }
    }
    Ok(())
}
