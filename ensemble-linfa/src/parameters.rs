//! One table per learner: its parameters with names, defaults and meanings, from which come its struct, its builder methods,
//! what lists show, and how a spec is read.

use ensemble_core::{Norm, Params, Result};

/// A type that a parameter of a spec can have.
pub(crate) trait Value: Sized {
    /// The value written for `name`, or the default.
    fn read(params: &Params, name: &str, default: Self) -> Result<Self>;
}

impl Value for f64 {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        params.number(name, default)
    }
}

impl Value for usize {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        params.count(name, default)
    }
}

impl Value for u64 {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        params.get(name, default, "a whole number, 0 or more")
    }
}

impl Value for bool {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        params.flag(name, default)
    }
}

impl Value for Norm {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        Norm::from_name(params.kind(), params.word(name, default.name()))
    }
}

impl Value for Option<usize> {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        params.count_or_none(name, default)
    }
}

impl Value for Option<f64> {
    fn read(params: &Params, name: &str, default: Self) -> Result<Self> {
        match params.word(name, "") {
            "" => Ok(default),
            "none" | "None" => Ok(None),
            _ => params.number(name, 0.0).map(Some),
        }
    }
}

/// A learner's or transformer's type from the table of its parameters. The type must have
/// `fn check(&self) -> Result<()>`; `$built` is `Learner` or `Transformer`.
macro_rules! parameters {
    (
        $(#[$doc:meta])*
        $name:ident: $built:ident = $kind:literal, $backend:literal {
            $($field:ident $text:literal [$($alias:literal),*]: $ty:ty = $default:expr, $shown:literal, $meaning:literal;)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $($field: $ty,)*
        }

        impl $name {
            pub(crate) const KIND: &'static str = $kind;

            /// With the defaults of every parameter.
            pub fn new() -> Self {
                Self { $($field: $default,)* }
            }

            $(
                #[doc = concat!("`", $text, "`: ", $meaning, "; ", $shown, " by default.")]
                #[must_use]
                pub fn $field(mut self, $field: $ty) -> Self {
                    self.$field = $field;
                    self
                }
            )*

            pub(crate) fn offer(registry: &mut ensemble_core::Registry) {
                registry.add_kind(ensemble_core::Kind {
                    name: $kind,
                    backend: $backend,
                    parameters: const {
                        &[$(ensemble_core::Parameter::new($text, $shown, $meaning).or(&[$($alias),*]),)*]
                    },
                    build: |params| {
                        let _ = params;
                        let own = Self {
                            $($field: crate::parameters::Value::read(params, $text, $default)?,)*
                        };
                        own.check()?;
                        Ok(ensemble_core::Built::$built(std::sync::Arc::new(own)))
                    },
                });
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new()
            }
        }
    };
}

/// A parameter that is one of a few words.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$each:meta])* $case:ident = $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$each])* $case,)*
        }

        impl $name {
            pub(crate) const fn word(self) -> &'static str {
                match self {
                    $(Self::$case => $word,)*
                }
            }

            /// From a word of a record; not every choice is saved.
            #[allow(dead_code)]
            pub(crate) fn saved(word: &str) -> ensemble_core::Result<Self> {
                match word {
                    $($word => Ok(Self::$case),)*
                    other => Err(ensemble_core::Error::spec(other, concat!("is none of", $(" ", $word,)*))),
                }
            }
        }

        impl crate::parameters::Value for $name {
            fn read(params: &ensemble_core::Params, name: &str, default: Self) -> ensemble_core::Result<Self> {
                match params.word(name, default.word()) {
                    $($word => Ok(Self::$case),)*
                    other => Err(ensemble_core::Error::parameter(
                        params.kind(), name, other, concat!("one of", $(" ", $word,)*),
                    )),
                }
            }
        }
    };
}

pub(crate) use {parameters, words};
