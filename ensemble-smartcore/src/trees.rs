//! Trees, forests and gradient boosting: smartcore grows them on the rows where they lie, and one compact model predicts.

mod boosting;
mod forests;
mod growth;
mod model;
mod single;

pub use boosting::XgRegressor;
pub use forests::{ExtraTreesRegressor, MaxFeatures, RandomForestClassifier, RandomForestRegressor};
pub use growth::Criterion;
pub use model::TreesModel;
pub use single::{DecisionTreeClassifier, DecisionTreeRegressor};

pub(crate) fn register(registry: &mut ensemble_core::Registry) {
    single::register(registry);
    forests::register(registry);
    boosting::register(registry);
    registry.add_loader(TreesModel::RECORD, |record, _| {
        Ok(ensemble_core::Loaded::Model(std::sync::Arc::new(TreesModel::from_record(record)?)))
    });
}
