//! `ensemble predict`.

use std::time::Instant;

use ensemble::{
    Classes, Error, FittedEnsemble, Result, Table,
    file::{NewFile, WholeFile},
    memmap::{MappedTable, NpyWriter},
    registry, start_threads,
};
use serde_json::json;

use crate::{
    arguments::Predict,
    input,
    output::{self, Format},
    spec::Spec,
};

/// Rows predicted and written at a time.
const ROWS: usize = 64 * 1024;

/// Predict a table of any size in flat memory; the output appears whole or not at all.
pub(crate) fn run(a: &Predict) -> Result<()> {
    let start = Instant::now();
    start_threads(None)?;
    let mut others = vec![a.source.table.as_path(), a.model.as_path()];
    others.extend(a.spec.as_deref());
    output::check(&a.out, &others)?;
    let format = output::format(&a.out, &[("npy", Format::Npy), ("csv", Format::Csv)])?;
    let out = output::create(&a.out, &others)?;
    let model = FittedEnsemble::load(&a.model, &registry())?;
    let spec = Spec::read(a.spec.as_deref())?;
    let input = input::open_to_predict(&a.source, a.target.as_deref(), &model, &spec)?;
    let x = input.x.as_mat();
    if x.ncols() == 1 && x.nrows() == model.ncols() && x.nrows() > 1 {
        let n = x.nrows();
        return Err(Error::format(
            &a.source.table,
            format!(
                "has {n} rows of 1 column, and the model takes rows of {n} columns; reshape one row to (1, {n}) with numpy.save(path, x.reshape(1, -1))"
            ),
        ));
    }
    if x.ncols() != model.ncols() {
        return Err(Error::shape(
            format!("columns of {}, to predict with {}", a.source.table.display(), a.model.display()),
            model.ncols(),
            x.ncols(),
        ));
    }
    let output = Output::new(&model, a)?;
    let whole = if format == Format::Csv {
        write_csv(&output, &input.x, out)?
    } else {
        let mut out = output.npy(out, x.nrows())?;
        output.each_block(&input.x, |values| out.write_rows(values))?;
        out.complete()?
    };
    input.check_unchanged()?;
    input.note_replaced();
    whole.publish()?;
    let seconds = start.elapsed().as_secs_f64();
    if a.json {
        return output::print_json(&json!({
            "rows": x.nrows(), "seconds": seconds, "wall_seconds": seconds, "out": a.out,
        }));
    }
    output::print(&format!("{}: {} predictions in {seconds:.3} s", a.out.display(), x.nrows()))
}

/// What is written for a row: a number or a label, or one probability per class.
struct Output<'a> {
    model: &'a FittedEnsemble,
    /// Classes, when probabilities are asked for.
    probabilities: Option<&'a Classes>,
}

impl<'a> Output<'a> {
    fn new(model: &'a FittedEnsemble, a: &Predict) -> Result<Self> {
        let classes = model.classes().filter(|_| model.classifies());
        if a.proba && classes.is_none() {
            return Err(Error::format(
                &a.model,
                "predicts numbers, so there are no probabilities; leave --proba out",
            ));
        }
        Ok(Self { model, probabilities: classes.filter(|_| a.proba) })
    }

    fn ncols(&self) -> usize {
        self.probabilities.map_or(1, Classes::len)
    }

    fn npy(&self, file: NewFile, nrows: usize) -> Result<NpyWriter> {
        match self.probabilities {
            Some(classes) => NpyWriter::create_in(file, nrows, classes.len()),
            None => NpyWriter::create_vector_in(file, nrows),
        }
    }

    /// The header of CSV.
    fn names(&self) -> Vec<String> {
        match self.probabilities {
            Some(classes) => classes.labels().iter().map(ToString::to_string).collect(),
            None => vec!["prediction".into()],
        }
    }

    /// A value as CSV shows it.
    fn text(&self, value: f64) -> String {
        match self.model.classes() {
            Some(classes) if self.model.classifies() && self.probabilities.is_none() => {
                let label = classes.labels().iter().enumerate().find(|(c, _)| classes.number(*c) == value);
                label.map_or_else(|| value.to_string(), |(_, label)| label.to_string())
            }
            _ => value.to_string(),
        }
    }

    /// Predict block by block, in row order, from a table that stays as it is.
    fn each_block(&self, table: &MappedTable, mut write: impl FnMut(&[f64]) -> Result<()>) -> Result<()> {
        let (x, ncols) = (table.as_mat(), self.ncols());
        let mut buffer = vec![0.0; ROWS.min(x.nrows()) * ncols];
        for (number, block) in x.row_blocks(ROWS).enumerate() {
            let out = &mut buffer[..block.nrows() * ncols];
            let predicted = match self.probabilities {
                Some(_) => self.model.predict_proba_into(block, out),
                None => self.model.predict_into(block, out),
            };
            predicted.map_err(|e| e.after_rows(number * ROWS).of_table(&table.describe()))?;
            table.check_unchanged()?;
            write(out)?;
        }
        Ok(())
    }
}

fn write_csv(output: &Output<'_>, x: &MappedTable, mut file: NewFile) -> Result<WholeFile> {
    let path = file.path().to_owned();
    let fail = |e: std::io::Error| Error::io(&path, "write", e);
    {
        let mut out = csv::Writer::from_writer(&mut file);
        let bad = |e: csv::Error| fail(e.into());
        out.write_record(output.names()).map_err(bad)?;
        output.each_block(x, |values| {
            let mut rows = values.chunks_exact(output.ncols());
            rows.try_for_each(|row| out.write_record(row.iter().map(|v| output.text(*v)))).map_err(bad)
        })?;
        out.flush().map_err(fail)?;
    }
    file.complete()
}
