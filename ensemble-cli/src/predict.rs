//! `ensemble predict`.

use std::{io::Write, path::Path, time::Instant};

use ensemble::{
    Error, FittedEnsemble, Result, Table,
    memmap::{MappedTable, NpyWriter},
    registry,
};
use serde_json::json;

use crate::{arguments::Predict, input, output, spec::Spec};

/// Rows predicted and written at a time.
const ROWS: usize = 64 * 1024;

/// Predict a table of any size in flat memory; the output appears whole or not at all.
pub(crate) fn run(a: &Predict) -> Result<()> {
    let start = Instant::now();
    let model = FittedEnsemble::load(&a.model, &registry())?;
    let mut others = vec![a.source.table.as_path(), a.model.as_path()];
    others.extend(a.spec.as_deref());
    output::check(&a.out, &others)?;
    let mut source = a.source.clone();
    source.drop.extend(a.target.clone());
    let input = input::open_to_predict(&source, &model, &Spec::read(a.spec.as_deref())?)?;
    let x = input.x.as_mat();
    if x.ncols() != model.ncols() {
        return Err(Error::shape(
            format!("columns of {}, to predict with {}", a.source.table.display(), a.model.display()),
            model.ncols(),
            x.ncols(),
        ));
    }
    if a.out.extension().is_some_and(|e| e == "csv") {
        write_csv(&model, &input.x, &a.out)?;
    } else {
        let mut out = NpyWriter::create_vector(&a.out, x.nrows())?;
        each_block(&model, &input.x, |values| out.write_rows(values))?;
        out.finish()?;
    }
    let seconds = start.elapsed().as_secs_f64();
    if a.json {
        return output::print_json(&json!({
            "rows": x.nrows(), "seconds": seconds, "wall_seconds": seconds, "out": a.out,
        }));
    }
    output::print(&format!("{}: {} predictions in {seconds:.3} s", a.out.display(), x.nrows()))
}

fn each_block(
    model: &FittedEnsemble,
    table: &MappedTable,
    mut write: impl FnMut(&[f64]) -> Result<()>,
) -> Result<()> {
    let x = table.as_mat();
    let mut buffer = vec![0.0; ROWS.min(x.nrows())];
    for (number, block) in x.row_blocks(ROWS).enumerate() {
        let out = &mut buffer[..block.nrows()];
        if let Some((row, column, value)) = block.first_not_finite() {
            return Err(ensemble::ErrorKind::NotFinite {
                table: table.describe(),
                row: number * ROWS + row,
                column,
                value,
            }
            .into());
        }
        model.predict_into(block, out)?;
        write(out)?;
    }
    Ok(())
}

fn write_csv(model: &FittedEnsemble, x: &MappedTable, path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let fail = |e: std::io::Error| Error::io(path, "write", e);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(fail)?;
    {
        let mut out = std::io::BufWriter::new(file.as_file_mut());
        writeln!(out, "prediction").map_err(fail)?;
        each_block(model, x, |values| values.iter().try_for_each(|v| writeln!(out, "{v}")).map_err(fail))?;
        out.flush().map_err(fail)?;
    }
    file.as_file().sync_all().map_err(fail)?;
    file.persist(path).map_err(|e| fail(e.error))?;
    Ok(())
}
