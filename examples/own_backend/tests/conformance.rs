//! Both learners keep the contract of `ensemble`.
//!
//! One test: a meter counts what the whole process allocates, so nothing else may run beside it.

use ensemble::{
    KFold, Layer, Registry, SuperLearner,
    conformance::{Capabilities, Place, Suite, check_kind},
    memmap::MappedPlace,
    native::NonNegativeLeastSquares,
};
use own_backend::BestColumn;

#[global_allocator]
static HEAP: peak_alloc::PeakAlloc = peak_alloc::PeakAlloc;

#[test]
fn own_learners_keep_the_contract_and_stack_with_others() {
    let mut registry = Registry::new();
    own_backend::register(&mut registry);
    registry.open_tables_with(ensemble::memmap::open_reference);
    let mapped = MappedPlace::temp().unwrap();
    let suite = Suite::new(&registry).place(&mapped).meter(&HEAP);
    for kind in registry.kinds() {
        let outcome = check_kind(&suite, kind.name, &Capabilities::new()).unwrap();
        println!("{outcome}");
        outcome.assert();
    }

    // And under somebody else's meta-learner, without a copy of a row.
    let (mut x, mut y) = (vec![0.0; 9_000 * 5], vec![0.0; 9_000]);
    ensemble::Friedman1::new(1, 5, 1.0).unwrap().rows_into(0, &mut x, &mut y);
    let x = mapped.table(ensemble::MatRef::new(&x, 9_000, 5, ensemble::Order::C).unwrap()).unwrap();
    let y = mapped.table(ensemble::MatRef::column_vector(&y)).unwrap();
    let learner = SuperLearner::new(KFold::new(5))
        .layer(Layer::new().learner("best", BestColumn).learner("mean", ensemble::native::Mean::new()))
        .meta(NonNegativeLeastSquares::new());
    let fitted = learner.fit(x.as_ref(), y.as_ref()).unwrap();
    assert!(fitted.report().unwrap().as_planned);
    assert_eq!(fitted.report().unwrap().totals.gathered_bytes, 0);
}
