//! Which rows each cell is fitted on and predicts, written down by learners and transformers themselves: for every way of splitting, of
//! taking rows, and of preprocessing.

use std::sync::{Arc, Mutex};

use ensemble::{
    Access, Blend, Block, CellId, DenseTable, Design, Error, Estimator, FitContext, FitCost, Fitted,
    FittedTransform, GivenFolds, GroupKFold, KFold, Layer, MatMut, MatRef, MergeFit, MergeTransform, Model,
    Order, Pipeline, Record, Result, Scheme, Shape, Statistic, StatisticContext, StatisticKey, Statistics,
    StratifiedKFold, SuperLearner, Train, Transformer, fit_by_merging, fit_transform_by_merging,
    memmap::SpillDir, registry, same_type,
};

const ROWS: usize = 6_000;
/// What the numbers of transformers are multiplied by in predictions.
const ABOVE: f64 = 10_000.0;

/// The rows of each fit, by the number of the fit.
type Log = Arc<Mutex<Vec<Vec<bool>>>>;

fn written(log: &Log, rows: Vec<bool>) -> f64 {
    let mut log = log.lock().unwrap();
    log.push(rows);
    (log.len() - 1) as f64
}

/// Rows as a statistic: the table's first column is the number of the row.
#[derive(Clone)]
struct Seen(Vec<bool>);

const SEEN: StatisticKey = StatisticKey::new("test.seen");

impl Seen {
    fn none() -> Self {
        Self(vec![false; ROWS])
    }

    fn take(&mut self, x: MatRef<'_>) {
        (0..x.nrows()).for_each(|row| self.0[x.get(row, 0) as usize] = true);
    }

    fn of(train: &Train<'_>) -> Vec<bool> {
        let mut seen = Self::none();
        train.x().segments().for_each(|x| seen.take(x));
        seen.0
    }
}

impl Statistic for Seen {
    fn key(&self) -> StatisticKey {
        SEEN
    }
    fn empty(&self) -> Box<dyn Statistic> {
        Box::new(Self::none())
    }
    fn duplicate(&self) -> Box<dyn Statistic> {
        Box::new(self.clone())
    }
    fn absorb(&mut self, block: &Block<'_>) -> Result<()> {
        self.take(block.x);
        Ok(())
    }
    fn merge(&mut self, other: &dyn Statistic) -> Result<()> {
        let other = same_type::<Self>(other)?;
        self.0.iter_mut().zip(&other.0).for_each(|(a, b)| *a |= b);
        Ok(())
    }
    fn resized(&self, _: &StatisticContext) -> Result<Box<dyn Statistic>> {
        Ok(self.empty())
    }
    fn bytes(&self) -> u64 {
        ROWS as u64
    }
    fn is_finite(&self) -> Option<bool> {
        None
    }
}

/// Predicts the number of its fit, and above it the transformer's.
struct Probe {
    access: Access,
    log: Log,
}

struct Numbered(f64);

impl Model for Numbered {
    fn n_inputs(&self) -> usize {
        2
    }
    fn predict_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        (0..x.nrows()).for_each(|row| out.set(row, 0, self.0 + ABOVE * x.get(row, 1)));
        Ok(())
    }
    fn bytes(&self) -> u64 {
        8
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("only told"))
    }
}

impl Estimator for Probe {
    fn kind(&self) -> String {
        "test.probe".into()
    }
    fn access(&self) -> Access {
        self.access
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost { peak_bytes: 2 * ROWS as u64, model_bytes: ROWS as u64 }
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        match self.as_merge() {
            Some(merge) => fit_by_merging(merge, train, cx),
            None => Ok(Arc::new(Numbered(written(&self.log, Seen::of(train))))),
        }
    }
    fn as_merge(&self) -> Option<&dyn MergeFit> {
        (self.access == Access::Merge).then_some(self)
    }
}

impl MergeFit for Probe {
    fn statistics(&self, _: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(vec![Box::new(Seen::none())])
    }
    fn affine_support(&self) -> Option<ensemble::AffineShape> {
        None
    }
    fn fit_from(&self, statistics: &Statistics) -> Result<Fitted> {
        let rows = statistics.get::<Seen>(&SEEN)?.0.clone();
        Ok(Fitted::Model(Arc::new(Numbered(written(&self.log, rows)))))
    }
}

/// Hands the number of the row on, with the number of its own fit beside it.
struct Through {
    access: Access,
    log: Log,
}

struct Beside(f64);

impl FittedTransform for Beside {
    fn n_in(&self) -> usize {
        2
    }
    fn n_out(&self) -> usize {
        2
    }
    fn transform_block_into(&self, x: MatRef<'_>, mut out: MatMut<'_>) -> Result<()> {
        for row in 0..x.nrows() {
            out.set(row, 0, x.get(row, 0));
            out.set(row, 1, self.0);
        }
        Ok(())
    }
    fn to_record(&self) -> Result<Record> {
        Err(Error::unsupported("only told"))
    }
}

impl Transformer for Through {
    fn kind(&self) -> String {
        "test.through".into()
    }
    fn access(&self) -> Access {
        self.access
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost { peak_bytes: 2 * ROWS as u64, model_bytes: 8 }
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
        match self.as_merge() {
            Some(merge) => fit_transform_by_merging(merge, train, cx),
            None => Ok(Arc::new(Beside(written(&self.log, Seen::of(train))))),
        }
    }
    fn as_merge(&self) -> Option<&dyn MergeTransform> {
        (self.access == Access::Merge).then_some(self)
    }
}

impl MergeTransform for Through {
    fn statistics(&self, _: &StatisticContext) -> Result<Vec<Box<dyn Statistic>>> {
        Ok(vec![Box::new(Seen::none())])
    }
    fn affine_shape(&self) -> Option<ensemble::AffineShape> {
        None
    }
    fn affine_support(&self) -> Option<ensemble::AffineShape> {
        None
    }
    fn fit_from(&self, statistics: &Statistics) -> Result<Arc<dyn FittedTransform>> {
        let rows = statistics.get::<Seen>(&SEEN)?.0.clone();
        Ok(Arc::new(Beside(written(&self.log, rows))))
    }
}

/// For every row of the input, the rows that its predictor was fitted on, as the design says.
fn fitted_for(design: &Design) -> Vec<Option<Vec<bool>>> {
    let input_row = |row: usize| design.arrangement().input_row(row);
    let mut out = vec![None; ROWS];
    for (at, cell) in design.cells().iter().enumerate() {
        let mut rows = vec![false; ROWS];
        let fitted = design.fit_rows(CellId(at));
        fitted.runs().iter().cloned().flatten().for_each(|row| rows[input_row(row)] = true);
        for row in cell.predict.iter().flat_map(|atom| design.atoms().range(atom)) {
            let before = out[input_row(row)].replace(rows.clone());
            assert!(before.is_none(), "row {row} is predicted twice");
        }
    }
    out
}

/// Columns, learners, and the logs of learners and of transformers.
type Probes = (Layer, Vec<String>, Log, Log);

fn probes() -> Probes {
    let (own, behind) = (Log::default(), Log::default());
    let accesses = [
        Access::Merge,
        Access::Segments,
        Access::Contiguous(None),
        Access::Contiguous(Some(Order::C)),
        Access::Contiguous(Some(Order::F)),
    ];
    let (mut layer, mut names) = (Layer::new(), Vec::new());
    let mut add = |name: String, learner: Arc<dyn Estimator>| {
        names.push(name.clone());
        layer = std::mem::take(&mut layer).learner(name, learner);
    };
    for access in accesses {
        let probe = || Arc::new(Probe { access, log: own.clone() });
        add(format!("{access:?}"), probe());
        for through in [Access::Merge, Access::Segments, Access::Contiguous(None)] {
            let transformer = Arc::new(Through { access: through, log: behind.clone() });
            add(
                format!("{access:?} behind {through:?}"),
                Arc::new(Pipeline::new(vec![transformer], probe())),
            );
        }
    }
    (layer, names, own, behind)
}

fn schemes() -> Vec<Arc<dyn Scheme>> {
    let folds: Vec<f64> = (0..ROWS).map(|row| ((row * 7 + row / 3) % 4) as f64).collect();
    let groups: Vec<f64> = (0..ROWS).map(|row| (row / 11) as f64).collect();
    vec![
        Arc::new(KFold::new(3)),
        Arc::new(KFold::new(4).page_aligned()),
        Arc::new(KFold::new(3).shuffle(5)),
        Arc::new(Blend::new(0.3)),
        Arc::new(Blend::new(0.25).without_refit()),
        Arc::new(GivenFolds::new(&folds).unwrap()),
        Arc::new(StratifiedKFold::new(3)),
        Arc::new(StratifiedKFold::new(3).shuffle(2)),
        Arc::new(GroupKFold::new(3, &groups).unwrap()),
        Arc::new(GroupKFold::new(3, &groups).unwrap().stratified()),
    ]
}

#[test]
fn no_row_is_predicted_by_what_was_fitted_on_it() {
    let numbers = (0..ROWS).flat_map(|row| [row as f64, 0.0]).collect();
    let x = DenseTable::new(numbers, ROWS, 2, Order::C).unwrap();
    let y = DenseTable::column((0..ROWS).map(|row| (row % 5 / 3) as f64).collect());
    let bayes = registry().pipeline("native.gaussian_nb").unwrap();
    for scheme in schemes() {
        for threads in [1, 2] {
            let (layer, names, own, behind) = probes();
            // A classifier, so that the target is of classes.
            let stack = SuperLearner::shared(Arc::clone(&scheme))
                .layer(layer.learner("bayes", bayes.clone()))
                .meta(bayes.clone())
                .threads(threads)
                .scratch(Arc::new(SpillDir::temp()))
                .keep_out_of_fold();
            let design = stack.plan(&x, &y).unwrap().design().clone();
            let want = fitted_for(&design);
            let fitted = stack.fit(&x, &y).unwrap();
            let predictions = fitted.transform().unwrap();
            assert_eq!(predictions.nrows(), ROWS);
            let (own, behind) = (own.lock().unwrap(), behind.lock().unwrap());
            for (column, name) in names.iter().enumerate() {
                for row in 0..ROWS {
                    let told = predictions.get(row, column);
                    let label = || format!("{scheme:?}, {name}, row {row}");
                    let Some(rows) = &want[row] else {
                        assert!(told.is_nan(), "{}", label());
                        continue;
                    };
                    let number = (told % ABOVE) as usize;
                    assert_eq!(own[number], *rows, "{}", label());
                    if name.contains("behind") {
                        assert_eq!(behind[(told / ABOVE) as usize], *rows, "{}", label());
                    }
                    assert!(!rows[row], "{}", label());
                }
            }
        }
    }
}

/// A scheme whose cells predict what they were fitted on.
#[derive(Debug)]
struct Leaky;

impl Scheme for Leaky {
    fn design(&self, facts: &ensemble::DesignFacts<'_>) -> Result<Design> {
        let atoms = ensemble::Atoms::new(vec![0, facts.nrows / 2, facts.nrows])?;
        let (all, half) = (ensemble::AtomSet::run(0..2), ensemble::AtomSet::run(0..1));
        let cells = vec![ensemble::Cell::held_out(all.clone(), half), ensemble::Cell::last(all)];
        Design::new(ensemble::Arrangement::InPlace, atoms, cells, "leaky")
    }
}

#[test]
fn a_scheme_that_leaks_is_refused_before_anything_runs() {
    let x = DenseTable::new(vec![1.0; 40], 20, 2, Order::C).unwrap();
    let y = DenseTable::column(vec![1.0; 20]);
    let stack = SuperLearner::new(Leaky)
        .layer(Layer::new().learner("it", registry().pipeline("native.ridge").unwrap()));
    let error = stack.plan(&x, &y).unwrap_err().to_string();
    assert!(error.contains("leaks: cell 0 predicts rows 0..10"), "{error}");
}

/// Fits on the whole table that it can reach, held-out targets and all.
struct Peeker;

impl Estimator for Peeker {
    fn kind(&self) -> String {
        "test.peeker".into()
    }
    fn access(&self) -> Access {
        Access::Segments
    }
    fn cost(&self, _: Shape) -> FitCost {
        FitCost::default()
    }
    fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
        let target = cx.target.ok_or_else(|| Error::unsupported("nothing to peek at"))?;
        let y = target.as_mat();
        let mean = (0..y.nrows()).map(|row| y.get(row, 0)).sum::<f64>() / y.nrows() as f64;
        Ok(Arc::new(ensemble::LinearModel::new("test.peeker", vec![0.0; train.shape().ncols], mean)))
    }
}

#[test]
fn verification_passes_what_is_right_and_names_what_leaks() {
    let n = 600;
    let (mut x, mut y) = (vec![0.0; n * 5], vec![0.0; n]);
    ensemble::Friedman1::new(9, 5, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    let (x, y) = (DenseTable::new(x, n, 5, Order::C).unwrap(), DenseTable::column(y));
    let pipeline = |text: &str| registry().pipeline(text).unwrap();
    let layer = || {
        Layer::new()
            .learner("lasso", pipeline("native.standard_scaler | native.lasso:alpha=0.1"))
            .learner("near", pipeline("native.min_max_scaler | native.k_neighbors_regressor"))
            .learner("norm", pipeline("native.normalizer | native.ridge"))
    };
    let given: Vec<f64> = (0..n).map(|row| (row % 3) as f64).collect();
    let schemes: [Arc<dyn Scheme>; 3] = [
        Arc::new(KFold::new(3).shuffle(1)),
        Arc::new(Blend::new(0.4)),
        Arc::new(GivenFolds::new(&given).unwrap()),
    ];
    for (scheme, cells) in schemes.into_iter().zip([3, 1, 3]) {
        let stack = SuperLearner::shared(scheme).layer(layer()).meta(pipeline("native.nnls"));
        let found = stack.verify(&x, &y).unwrap();
        assert_eq!((found.cells, found.learners), (cells, 3));
        assert!(found.compared > n / 8);
    }
    let stack = SuperLearner::new(KFold::new(3)).layer(layer().learner("peeker", Peeker));
    let error = stack.meta(pipeline("native.nnls")).verify(&x, &y).unwrap_err().to_string();
    assert!(error.contains("peeker") && error.contains("leaks"), "{error}");
}

#[test]
fn scores_are_nested_where_no_held_out_target_has_a_part_in_them() {
    let n = 400;
    let (mut x, mut y) = (vec![0.0; n * 5], vec![0.0; n]);
    ensemble::Friedman1::new(9, 5, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    let (x, y) = (DenseTable::new(x, n, 5, Order::C).unwrap(), DenseTable::column(y));
    let pipeline = |text: &str| registry().pipeline(text).unwrap();
    let nested = |scheme: Arc<dyn Scheme>| -> Vec<bool> {
        let layer = Layer::new()
            .learner("ols", pipeline("native.linear_regression"))
            .learner("lasso", pipeline("native.lasso:alpha=0.1"));
        let stack = SuperLearner::shared(scheme).layer(layer).meta(pipeline("native.nnls"));
        let fitted = stack.fit(&x, &y).unwrap();
        fitted.report().unwrap().learners.iter().map(|l| l.scores.as_ref().unwrap().nested).collect()
    };
    assert_eq!(nested(Arc::new(KFold::new(4))), [true, true, false]);
    // What predicts a blend's last rows saw none of them, so the meta-learner's own split is honest.
    assert_eq!(nested(Arc::new(Blend::new(0.5))), [true, true, true]);
}
