//! What every linear learner of this crate says to the engine alike.

/// Implement `Estimator` for a linear learner that is fitted from statistics; `$cost` maps the shape of the training rows to what
/// one fit allocates.
macro_rules! linear_estimator {
    ($name:ident, $cost:expr) => {
        impl ensemble_core::Estimator for $name {
            fn kind(&self) -> String {
                Self::KIND.into()
            }

            fn access(&self) -> ensemble_core::Access {
                ensemble_core::Access::Merge
            }

            fn cost(&self, train: ensemble_core::Shape) -> ensemble_core::FitCost {
                let cost: fn(ensemble_core::Shape) -> ensemble_core::FitCost = $cost;
                cost(train)
            }

            fn fit_rows(
                &self,
                train: &ensemble_core::Train<'_>,
                cx: &ensemble_core::FitContext<'_>,
            ) -> ensemble_core::Result<std::sync::Arc<dyn ensemble_core::Model>> {
                train.check_finite()?;
                ensemble_core::fit_by_merging(self, train, cx)
            }

            fn as_merge(&self) -> Option<&dyn ensemble_core::MergeFit> {
                Some(self)
            }

            fn is_linear(&self) -> bool {
                true
            }
        }
    };
}

pub(crate) use linear_estimator;
