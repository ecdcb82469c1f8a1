//! A plan in words.

use std::fmt;

use crate::{
    account::ledger::Bytes,
    data::mat::{Order, Shape},
    learner::estimator::Access,
    plan::{
        layer::{LayerPlan, Plan},
        view::{Input, Residence},
    },
    quote::{Sentence, quoted},
};

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = Shape { nrows: self.rows, ncols: self.columns }.bytes();
        writeln!(
            f,
            "{}: {} rows x {} columns, {}",
            Sentence(&self.table),
            self.rows,
            self.columns,
            Bytes(bytes)
        )?;
        writeln!(f, "{}; {} threads", self.folds_text, self.threads)?;
        if let Some(classes) = &self.classes {
            let labels: Vec<String> =
                classes.labels().iter().take(8).map(|l| quoted(l.to_string())).collect();
            let more = if classes.len() > labels.len() { ", .." } else { "" };
            writeln!(f, "{} classes: {}{more}", classes.len(), labels.join(", "))?;
        }
        if self.arranged {
            writeln!(f, "rows arranged: the table is written once in fold order")?;
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let input = match layer.input {
                Input::Table => "rows of the table",
                Input::Statistics => "statistics of the layer below; no prediction column is formed",
                Input::Stream => "predictions of the layer below, made block by block in cache",
                Input::Predictions => "prediction columns of the layer below",
            };
            writeln!(f, "layer {at}: from {input}")?;
            if !layer.statistics.is_empty() {
                let pass = if layer.input == Input::Statistics { "carried" } else { "one pass" };
                writeln!(
                    f,
                    "  {pass}: {} ({} of states)",
                    layer.statistics.join(", "),
                    Bytes(layer.state_bytes)
                )?;
            }
            for learner in &layer.learners {
                let taken = match (learner.access, learner.order) {
                    (Access::Merge, _) => "merged statistics, no copy".to_owned(),
                    (Access::Segments, _) => "runs of rows in place, no copy".to_owned(),
                    (Access::Contiguous(_), order) => describe_views(layer, order),
                };
                writeln!(
                    f,
                    "  {:<16} {:<44} {taken}; own {}",
                    quoted(&learner.name),
                    learner.kind,
                    Bytes(learner.cost)
                )?;
            }
            let predictions = match layer.predictions {
                Residence::None => continue,
                Residence::Scored => "made for the scores, not stored",
                Residence::Memory => "stored in memory",
                Residence::Spilled => "stored in a temporary file",
            };
            writeln!(f, "  out-of-fold predictions: {predictions}")?;
        }
        let t = &self.totals;
        write!(
            f,
            "passes {}, gathered {}, copied at junctions {}, spilled {}, prediction columns {}; at most {} held at once",
            t.data_passes,
            Bytes(t.gathered_bytes),
            Bytes(t.rewired_bytes_copied),
            Bytes(t.spilled_bytes),
            Bytes(t.prediction_bytes),
            Bytes(self.peak_bytes)
        )
    }
}

/// "plain 2, rewired 3 (12.0 KiB copied), gathered 1 (3.8 MiB copied; without fold 2)": the ways of one order over all training
/// sets, with the folds that are gathered where others are not.
pub(crate) fn describe_views(layer: &LayerPlan, order: Option<Order>) -> String {
    let mut kinds: Vec<(&'static str, u64, Vec<Option<usize>>)> = Vec::new();
    for views in &layer.views {
        for (_, view) in views.x.iter().filter(|(o, _)| Some(*o) == order) {
            match kinds.iter_mut().find(|kind| kind.0 == view.name()) {
                Some((_, bytes, sets)) => {
                    *bytes += view.bytes();
                    sets.push(views.held_out);
                }
                None => kinds.push((view.name(), view.bytes(), vec![views.held_out])),
            }
        }
    }
    let mixed = kinds.iter().any(|kind| kind.0 == "rewired");
    let parts = kinds.iter().map(|(name, bytes, sets)| {
        let folds = sets.iter().flatten().map(ToString::to_string);
        let folds: Vec<String> = folds.collect();
        match bytes {
            0 => format!("{name} {}", sets.len()),
            bytes if *name == "gathered" && mixed => {
                format!("{name} {} ({} copied; without fold {})", sets.len(), Bytes(*bytes), folds.join(", "))
            }
            bytes => format!("{name} {} ({} copied)", sets.len(), Bytes(*bytes)),
        }
    });
    parts.collect::<Vec<_>>().join(", ")
}
