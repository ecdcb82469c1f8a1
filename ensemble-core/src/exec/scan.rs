//! One scan: statistics of every atom, and what is found where a value is not finite.

use rayon::prelude::*;

use crate::{
    data::{gather::kept_work, mat::MatRef},
    error::{Error, ErrorKind, Result, guarded},
    exec::{
        blocks::{block_rows, n_blocks},
        layer::LayerRun,
    },
    learner::{
        estimator::{MissingValues, seal},
        layer::Learner,
    },
    statistic::{
        state::{Block, Statistic, Statistics, absorb_block},
        tree::absorb_tree,
    },
};

impl LayerRun<'_, '_> {
    /// One state of every prototype per atom: one scan.
    pub(crate) fn atom_statistics(&self, prototypes: &[Box<dyn Statistic>]) -> Result<Vec<Statistics>> {
        let missing = self.accepts_missing();
        // Sums cannot tell where NaN may be; nor can states that sum nothing.
        let blind = missing || prototypes.iter().all(|p| p.is_finite().is_none());
        (0..self.design.atoms().len())
            .into_par_iter()
            .map(|atom| {
                let range = self.design.atoms().range(atom);
                let absorb = |b: usize, states: &mut [Box<dyn Statistic>]| {
                    let rows = block_rows(&range, b);
                    self.source.block(atom, rows.clone(), &mut |x| {
                        let y = &self.y[rows.clone()];
                        if blind && !(has_only_numbers(x, missing) && y.iter().all(|v| v.is_finite())) {
                            return Err(self.not_finite(atom));
                        }
                        absorb_block(states, &Block { x, y, first_row: rows.start })
                    })?;
                    self.passed(&range, b)
                };
                guarded(|| {
                    let states = absorb_tree(0..n_blocks(&range), prototypes, &absorb)?;
                    if !missing && states.iter().any(|s| s.is_finite() == Some(false)) {
                        return Err(self.not_finite(atom));
                    }
                    let kept: u64 = prototypes.iter().map(|p| p.copied_bytes_for(range.len())).sum();
                    if kept > 0 {
                        self.ledger.write(kept_work(kept, self.at));
                    }
                    seal(states)
                })
                .map_err(|e| self.asked_for(e, Some(atom)))
            })
            .collect()
    }

    /// Whether every learner of the first layer learns from NaN. Where one does not, it refuses the table for all.
    fn accepts_missing(&self) -> bool {
        self.at == 0 && self.learners.iter().all(|l| l.estimator.missing_values() == MissingValues::Accepted)
    }

    /// An error for NaN in the input, said of the learner that does not learn from it, where others do.
    fn refused_by(&self, error: Error, value: f64) -> Error {
        let accepts = |l: &&Learner| l.estimator.missing_values() == MissingValues::Accepted;
        let refuser = self.learners.iter().find(|l| !accepts(l));
        match refuser.filter(|_| self.at == 0 && value.is_nan() && self.learners.iter().any(|l| accepts(&l)))
        {
            Some(learner) => {
                ErrorKind::Learner { name: learner.name.clone(), layer: self.at, fold: None, source: error }
                    .into()
            }
            None => error,
        }
    }

    /// Where the first value of an atom stands that is not finite, and not NaN that is accepted, in the input's rows.
    fn not_finite(&self, atom: usize) -> Error {
        let range = self.design.atoms().range(atom);
        for b in 0..n_blocks(&range) {
            let rows = block_rows(&range, b);
            let mut found = None;
            let scanned = self.source.block(atom, rows.clone(), &mut |x| {
                found = first_fault(x, self.accepts_missing());
                Ok(())
            });
            if let Err(error) = scanned {
                return error;
            }
            let bad_y = self.y[rows.clone()].iter().position(|v| !v.is_finite());
            if let Some((row, column, value)) = found {
                let row = self.input_row(rows.start + row);
                let table = self.x_name.clone();
                return self.refused_by(ErrorKind::NotFinite { table, row, column, value }.into(), value);
            }
            if let Some(row) = bad_y {
                let value = self.y[rows.start + row];
                let row = self.input_row(rows.start + row);
                return ErrorKind::NotFinite { table: self.y_name.clone(), row, column: 0, value }.into();
            }
        }
        ErrorKind::Overflow { table: self.x_name.clone() }.into()
    }
}

/// Whether every value is finite, or NaN where that is accepted.
fn has_only_numbers(x: MatRef<'_>, missing: bool) -> bool {
    x.is_within(f64::MAX) || (missing && first_fault(x, true).is_none())
}

/// The first value that is not finite, and not NaN where that is accepted, by row and column.
fn first_fault(x: MatRef<'_>, missing: bool) -> Option<(usize, usize, f64)> {
    x.first(|value| value.is_infinite() || (value.is_nan() && !missing))
}
