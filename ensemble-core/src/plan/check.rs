//! What must hold before anything is planned.

use crate::{
    data::{classes::Classes, mat::Shape, table::Table},
    error::{Error, Result, guarded},
    learner::{estimator::Access, layer::Learner},
    plan::job::Job,
    quote::quoted,
};

/// Ask every learner what it declares, so that one which fails at it is told by name, and that what it declares suits the smallest
/// training set, of this shape.
pub(crate) fn check_declared(learners: &[Learner], layer: usize, train: Shape) -> Result<()> {
    for learner in learners {
        let own = learner.estimator.as_ref();
        let declare = || {
            let access = own.access();
            if (access == Access::Merge) != own.as_merge().is_some() {
                return Err(Error::unsupported(format!(
                    "it declares access '{access}' but as_merge says otherwise"
                )));
            }
            let _ = (own.kind(), own.predicts(), own.is_linear(), own.missing_values());
            own.check_shape(train)
        };
        guarded(declare).map_err(|e| e.in_declaration(&learner.name, layer))?;
    }
    Ok(())
}

/// The classes of the target, when a learner classifies.
pub(crate) fn target_classes(job: &Job, y: &dyn Table) -> Result<Option<Classes>> {
    if !job.classifies() {
        return Ok(None);
    }
    let classes = match &job.classes {
        Some(classes) => classes.clone(),
        None => Classes::of(y.as_mat()).map_err(|e| e.in_target(&y.describe()))?,
    };
    if classes.len() > 2
        && let Some(regressor) =
            job.layers().into_iter().flatten().find(|l| !l.estimator.predicts().classifies())
    {
        return Err(Error::unsupported(format!(
            "learner '{}' ({}) predicts a number, and the {} classes of the target have no order; use a classifier",
            quoted(&regressor.name),
            regressor.estimator.kind(),
            classes.len()
        )));
    }
    Ok(Some(classes))
}

/// That there are rows and columns, and a target for every row.
pub(crate) fn check_tables(x: &dyn Table, y: &dyn Table) -> Result<()> {
    let (xm, ym) = (x.as_mat(), y.as_mat());
    if xm.nrows() == 0 || xm.ncols() == 0 {
        return Err(Error::unsupported(format!(
            "{} has {} rows and {} columns",
            x.describe(),
            xm.nrows(),
            xm.ncols()
        )));
    }
    if ym.ncols() != 1 {
        return Err(Error::shape(format!("columns of the target {}", y.describe()), 1, ym.ncols()));
    }
    if ym.nrows() != xm.nrows() {
        return Err(Error::shape(
            format!("rows of the target {}, to match {}", y.describe(), x.describe()),
            xm.nrows(),
            ym.nrows(),
        ));
    }
    if ym.column(0).is_none() {
        return Err(Error::unsupported("the target must be one column of neighbouring values"));
    }
    Ok(())
}

pub(crate) fn check_inputs(job: &Job, x: &dyn Table, y: &dyn Table) -> Result<()> {
    check_tables(x, y)?;
    let Some(last) = job.layers().last().copied().filter(|_| !job.layers.is_empty()) else {
        return Err(Error::unsupported("there is no layer; add one with a learner"));
    };
    if let Some(at) = job.layers.iter().position(|l| l.learners.is_empty()) {
        return Err(Error::unsupported(format!(
            "layer {at} has no learner; add one, or leave the layer out"
        )));
    }
    if last.len() > 1 {
        return Err(Error::unsupported(
            "the last layer has several learners and nothing combines them; add a meta-learner",
        ));
    }
    for (at, layer) in job.layers().into_iter().enumerate() {
        for (i, learner) in layer.iter().enumerate() {
            if layer[..i].iter().any(|l| l.name == learner.name) {
                return Err(Error::unsupported(format!(
                    "two learners of layer {at} are called '{}'; give each a name of its own",
                    quoted(&learner.name)
                )));
            }
        }
    }
    Ok(())
}
