//! The same rows, handed over in every way: the same bits.

use super::{
    InMemory, Place,
    checks::{Bench, Checked, During, close, fail, finite, same_bits, skip},
    problem::{Problem, Tables},
    subject::{Fit, Given},
};
use crate::{
    account::ledger::Ledger,
    data::{
        gather::{GatherFor, gather},
        mat::{MatRef, Order},
        rows::{Rows, RowsView},
        table::{Heap, Table},
    },
    learner::estimator::Access,
};

/// Fit on one matrix behind which there is no table.
fn fit_matrix(bench: &Bench<'_>, x: MatRef<'_>, y: MatRef<'_>) -> Checked<Fit> {
    let rows = Rows::all(x.nrows());
    let given = Given { x, y, rows: &rows, n_classes: bench.problem.n_classes, seed: 1, tables: None };
    Ok(bench.subject.fit(given)?)
}

/// Fit on the rows around the middle, packed into a table of their own.
fn fit_packed(bench: &Bench<'_>, order: Order) -> Checked<Fit> {
    let middle = bench.problem.middle();
    let packed = bench.problem.only(|row, _| !middle.contains(&row));
    let tables = packed.tables(&InMemory, order)?;
    bench.subject.fit(Given::new(&tables, &Rows::all(packed.nrows()))).during("rows in one piece")
}

fn same_predictions(bench: &Bench<'_>, got: &Fit, want: &Fit) -> Checked {
    same_bits(&bench.predictions(got)?, &bench.predictions(want)?)
}

pub(crate) fn runs_are_rows(bench: &Bench<'_>) -> Checked {
    if let Access::Contiguous(_) = bench.subject.access() {
        return skip("it wants contiguous rows; see rewired_rows and gathered_rows");
    }
    let rows = bench.problem.around();
    for order in bench.orders() {
        let tables = bench.problem.tables(&InMemory, *order)?;
        let runs = bench.subject.fit(Given::new(&tables, &rows)).during("two runs")?;
        let packed = fit_packed(bench, *order)?;
        same_predictions(bench, &runs, &packed)
            .during(format!("{order:?} order, two runs against one piece"))?;
    }
    Ok(())
}

pub(crate) fn rewired_rows(bench: &Bench<'_>) -> Checked {
    if !bench.problem.has_pages() {
        return skip("the tables have fewer than 1536 rows, so no three folds of whole pages");
    }
    let rows = bench.problem.around();
    let mut rewired = false;
    for place in &bench.suite.places {
        for order in bench.orders() {
            let tables = bench.problem.tables(*place, *order)?;
            if tables.x.contiguous_cost(&rows).is_none() || tables.y.contiguous_cost(&rows).is_none() {
                continue;
            }
            rewired = true;
            let (x, y) = (tables.x.contiguous(&rows)?, tables.y.contiguous(&rows)?);
            let fit = fit_matrix(bench, x.as_mat(), y.as_mat()).during("rewired pages")?;
            same_predictions(bench, &fit, &fit_packed(bench, *order)?)
                .during(format!("{order:?} order in {}", place.name()))?;
        }
    }
    if rewired { Ok(()) } else { skip("no place of the suite has tables that can be rewired") }
}

pub(crate) fn gathered_rows(bench: &Bench<'_>) -> Checked {
    let rows = Rows::one(bench.problem.middle().start..bench.problem.nrows());
    for order in bench.orders() {
        let tables = bench.problem.tables(&InMemory, *order)?;
        let copy = |table: &dyn Table, order| {
            let purpose = GatherFor { layer: 0, fold: None, what: "conformance" };
            gather(&RowsView::new(table.as_mat(), &rows)?, order, &Heap, &Ledger::new(), purpose)
        };
        let (x, y) = (copy(tables.x.as_ref(), *order)?, copy(tables.y.as_ref(), Order::C)?);
        let gathered = fit_matrix(bench, x.as_mat(), y.as_mat()).during("gathered rows")?;
        let in_place = bench.subject.fit(Given::new(&tables, &rows)).during("one run")?;
        same_predictions(bench, &gathered, &in_place).during(format!("{order:?} order"))?;
    }
    Ok(())
}

pub(crate) fn gaps_are_not_read(bench: &Bench<'_>) -> Checked {
    let Problem { ncols, y, .. } = &bench.problem;
    let nrows = y.len();
    for order in bench.orders() {
        let values = bench.problem.values(*order);
        let (inner, gap) = if *order == Order::C { (*ncols, 3) } else { (nrows, 5) };
        let mut wide = Vec::with_capacity(values.len() / inner * (inner + gap));
        for chunk in values.chunks_exact(inner) {
            wide.extend_from_slice(chunk);
            // Whoever reads a gap sees it in every prediction.
            wide.extend([f64::NAN; 5].iter().take(gap));
        }
        let y = MatRef::column_vector(y);
        let strided = MatRef::with_stride(&wide, nrows, *ncols, *order, inner + gap)?;
        let strided = fit_matrix(bench, strided, y).during("a matrix with a stride")?;
        let dense = fit_matrix(bench, MatRef::new(&values, nrows, *ncols, *order)?, y)?;
        same_predictions(bench, &strided, &dense).during(format!("{order:?} order"))?;
    }
    Ok(())
}

pub(crate) fn either_order(bench: &Bench<'_>) -> Checked {
    if let [only] = bench.orders() {
        return skip(format!("it wants {only:?} order"));
    }
    let rows = Rows::all(bench.problem.nrows());
    let in_order = |order| -> Checked<Vec<f64>> {
        let tables = bench.problem.tables(&InMemory, order)?;
        bench.predictions(&bench.subject.fit(Given::new(&tables, &rows)).during(format!("{order:?} order"))?)
    };
    close(&in_order(Order::F)?, &in_order(Order::C)?, bench.capabilities.order_tolerance)
}

pub(crate) fn input_is_unchanged(bench: &Bench<'_>) -> Checked {
    let rows = Rows::all(bench.problem.nrows());
    let bits = |tables: &Tables| -> Vec<u64> {
        let (x, y) = (tables.x.as_mat().data(), tables.y.as_mat().data());
        x.iter().chain(y).map(|v| v.to_bits()).collect()
    };
    let on = |place: &dyn Place, order: Order| -> Checked {
        let tables = bench.problem.tables(place, order)?;
        let before = bits(&tables);
        let fit = bench.subject.fit(Given::new(&tables, &rows))?;
        bench.predictions(&fit)?;
        match bits(&tables).iter().zip(&before).position(|(a, b)| a != b) {
            Some(at) => fail(format!("value {at} of the input is another after the fit")),
            None => Ok(()),
        }
    };
    for place in &bench.suite.places {
        for order in bench.orders() {
            on(*place, *order).during(format!("{order:?} order in {}", place.name()))?;
        }
    }
    Ok(())
}

pub(crate) fn fits_repeat(bench: &Bench<'_>) -> Checked {
    let tables = bench.problem.tables(&InMemory, bench.order())?;
    let rows = Rows::all(bench.problem.nrows());
    let seeded = |seed| -> Checked<Vec<f64>> {
        bench.predictions(&bench.subject.fit(Given { seed, ..Given::new(&tables, &rows) })?)
    };
    same_bits(&seeded(1)?, &seeded(1)?).during("the second fit")?;
    seeded(2).and_then(|p| finite(&p)).during("another seed")
}
