//! What may be held at the same time: bounds on bytes, views of training rows, and waves of cells.

use crate::{
    account::ledger::Work,
    data::{mat::Shape, rows::Rows},
    error::{Result, guarded},
    plan::{
        bound::{ViewCost, sum},
        layer::LayerPlan,
        lowering::{Lowering, Place, declared_cost},
        view::{CellViews, View, Wave},
    },
};

/// Cells that are admitted together.
struct OpenWave {
    wave: Wave,
    bytes: u64,
    mappings: u64,
    /// Whether it copies rows into memory.
    copies: bool,
}

impl Lowering<'_> {
    /// Plan the views of every cell's training rows, and which cells run together. Returns the layer's peak.
    pub(crate) fn plan_views(
        &self,
        place: &Place<'_>,
        base: u64,
        planned: &mut LayerPlan,
        work: &mut Vec<Work>,
    ) -> Result<u64> {
        let budget = self.bound.get();
        let mut peak = base;
        let mut open: Option<OpenWave> = None;
        let design = planned.design.clone();
        for (id, _) in design.ids() {
            let fold = design.held_out(id);
            let rows = design.fit_rows(id);
            let train = Shape { nrows: rows.len(), ncols: place.shape.ncols };
            let by_rows = || self.learners.iter().filter(|l| l.estimator.as_merge().is_none());
            // Transformed rows that a pipeline stores in memory live as long as its fit.
            let anonymous = self.job.scratch.is_anonymous();
            let transformed: Vec<u64> = by_rows()
                .map(|l| {
                    guarded(|| Ok(l.estimator.scratch_bytes(train)))
                        .map_err(|e| e.in_declaration(&l.name, self.at))
                })
                .collect::<Result<_>>()?;
            let costs: Vec<u64> = by_rows()
                .zip(&transformed)
                .map(|(l, bytes)| {
                    let cost = declared_cost(l, self.at, train, self.n_classes)?;
                    Ok(cost.saturating_add(if anonymous { *bytes } else { 0 }))
                })
                .collect::<Result<_>>()?;
            let together = sum(costs.iter().copied());
            let alone = costs.iter().copied().max().unwrap_or(0);
            let (views, mappings) = self.cell_views(place, &rows, planned, base.saturating_add(alone))?;
            let gathered = sum(views.x.iter().map(|(_, v)| v.memory()).chain(views.y.map(View::memory)));
            for (_, view) in &views.x {
                work.extend(view.work(self.at, fold, "training rows"));
            }
            work.extend(views.y.and_then(|v| v.work(self.at, fold, "training targets")));
            for bytes in transformed.iter().filter(|bytes| **bytes > 0) {
                work.push(Work::transformed(self.at, fold, *bytes, anonymous));
            }
            // Without a budget, at most one training set's copies are in memory at a time; one column of targets is no such copy.
            let copies = views.x.iter().any(|(_, v)| v.is_gathered())
                || (anonymous && transformed.iter().any(|bytes| *bytes > 0));
            planned.views.push(CellViews { held_out: fold, ..views });

            // Admission: cells that share a wave fit the budget together; without one, a gather has its wave to itself.
            let serial = budget.is_some_and(|b| sum([base, gathered, together]) > b);
            let need = gathered.saturating_add(if serial { alone } else { together });
            self.bound.check(base.saturating_add(need), || {
                let costly = self.learners.iter().zip(&planned.learners).max_by_key(|(_, p)| p.cost);
                let name = costly.map_or("", |(l, _)| l.name.as_str());
                format!("layer {}: a fit of learner '{name}' on {} rows", self.at, train.nrows)
            })?;
            let joins = |open: &OpenWave| {
                let fits = budget.map_or(!copies && !open.copies, |b| sum([base, open.bytes, need]) <= b);
                !serial
                    && !open.wave.serial
                    && open.mappings.saturating_add(mappings) <= self.mappings
                    && fits
            };
            match &mut open {
                Some(open) if joins(open) => {
                    open.wave.cells.push(id);
                    open.bytes = open.bytes.saturating_add(need);
                    open.mappings = open.mappings.saturating_add(mappings);
                    open.copies = copies;
                }
                _ => {
                    let wave = Wave { cells: vec![id], serial };
                    if let Some(done) = open.replace(OpenWave { wave, bytes: need, mappings, copies }) {
                        peak = peak.max(base.saturating_add(done.bytes));
                        planned.waves.push(done.wave);
                    }
                }
            }
        }
        if let Some(done) = open {
            peak = peak.max(base.saturating_add(done.bytes));
            planned.waves.push(done.wave);
        }
        Ok(peak)
    }

    /// How one cell's training rows become whole matrices, and the mappings that takes.
    fn cell_views(
        &self,
        place: &Place<'_>,
        rows: &Rows,
        planned: &LayerPlan,
        base: u64,
    ) -> Result<(CellViews, u64)> {
        let over = |bytes: u64, others: u64| self.bound.get().is_some_and(|b| sum([base, others, bytes]) > b);
        let spill = |bytes: u64, others: u64| {
            let too_big = over(bytes, others);
            if too_big && !self.job.scratch.is_anonymous() {
                View::GatheredToFile(bytes)
            } else {
                View::Gathered(bytes)
            }
        };
        let mut views = CellViews::default();
        let (mut gathered, mut mappings) = (0u64, 0u64);
        let fits = |view: &ViewCost, taken: u64| taken.saturating_add(view.mappings) <= self.mappings;
        for order in planned.learners.iter().filter_map(|l| l.order) {
            if views.x.iter().any(|(o, _)| *o == order) {
                continue;
            }
            let bytes = Shape { nrows: rows.len(), ncols: place.shape.ncols }.bytes();
            let view = if order != place.order && place.shape.ncols > 1 {
                spill(bytes, gathered)
            } else if rows.runs().len() <= 1 {
                View::Plain
            } else {
                let cost = (place.cost)(rows)
                    .filter(|cost| fits(cost, mappings))
                    // Junctions are memory too; a file is the way out where there is one.
                    .filter(|cost| self.job.scratch.is_anonymous() || !over(cost.bytes, gathered));
                mappings += cost.map_or(0, |cost| cost.mappings);
                cost.map_or_else(|| spill(bytes, gathered), |cost| View::Rewired(cost.bytes))
            };
            gathered = gathered.saturating_add(view.memory());
            views.x.push((order, view));
        }
        if !views.x.is_empty() {
            let bytes = Shape { nrows: rows.len(), ncols: 1 }.bytes();
            views.y = Some(if rows.runs().len() <= 1 {
                View::Plain
            } else {
                let cost =
                    (self.y_cost)(&rows.shifted(planned.first_row)).filter(|cost| fits(cost, mappings));
                mappings += cost.map_or(0, |cost| cost.mappings);
                cost.map_or_else(|| spill(bytes, gathered), |cost| View::Rewired(cost.bytes))
            });
        }
        Ok((views, mappings))
    }
}
