//! A pointer to a learner is a learner, and one to a transformer a transformer: whatever takes one takes all of them alike.
//!
//! Every method is handed on. One that a trait gains and this file forgets is an error of clippy: its default would answer for
//! what stands behind the pointer.

use std::sync::Arc;

use crate::{
    data::mat::Shape,
    error::Result,
    learner::{
        estimator::{
            Access, Estimator, FitContext, FitCost, FittedTransform, MergeFit, MergeTransform, MissingValues,
            Predicts, Step, Train, Transformer,
        },
        model::Model,
    },
};

macro_rules! hand_on {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<T: Estimator + ?Sized> Estimator for $pointer<T> {
            fn kind(&self) -> String {
                (**self).kind()
            }

            fn access(&self) -> Access {
                (**self).access()
            }

            fn cost(&self, train: Shape) -> FitCost {
                (**self).cost(train)
            }

            fn cost_with_classes(&self, train: Shape, n_classes: usize) -> FitCost {
                (**self).cost_with_classes(train, n_classes)
            }

            fn check_shape(&self, train: Shape) -> Result<()> {
                (**self).check_shape(train)
            }

            fn predicts(&self) -> Predicts {
                (**self).predicts()
            }

            fn missing_values(&self) -> MissingValues {
                (**self).missing_values()
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn Model>> {
                (**self).fit_rows(train, cx)
            }

            fn as_merge(&self) -> Option<&dyn MergeFit> {
                (**self).as_merge()
            }

            fn is_linear(&self) -> bool {
                (**self).is_linear()
            }

            fn scratch_bytes(&self, train: Shape) -> u64 {
                (**self).scratch_bytes(train)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: Transformer + ?Sized> Transformer for $pointer<T> {
            fn kind(&self) -> String {
                (**self).kind()
            }

            fn access(&self) -> Access {
                (**self).access()
            }

            fn cost(&self, train: Shape) -> FitCost {
                (**self).cost(train)
            }

            fn check_shape(&self, train: Shape) -> Result<()> {
                (**self).check_shape(train)
            }

            fn n_out(&self, ncols: usize) -> usize {
                (**self).n_out(ncols)
            }

            fn missing_values(&self) -> MissingValues {
                (**self).missing_values()
            }

            fn fit_rows(&self, train: &Train<'_>, cx: &FitContext<'_>) -> Result<Arc<dyn FittedTransform>> {
                (**self).fit_rows(train, cx)
            }

            fn as_merge(&self) -> Option<&dyn MergeTransform> {
                (**self).as_merge()
            }

            fn then<K, S: Step<K>>(self, next: S) -> S::Behind
            where
                Self: Sized + 'static,
            {
                next.behind(vec![Arc::new(self)])
            }
        }
    };
}

hand_on!(Arc);
hand_on!(Box);
