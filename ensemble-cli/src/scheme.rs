//! How rows are split: what `--scheme`, `--folds` and their like ask for.

use std::{fmt::Display, path::Path, str::FromStr, sync::Arc};

use ensemble::{
    Blend, Error, ErrorKind, GivenFolds, GroupKFold, KFold, NoSplit, Parameter, Params, Result, Scheme,
    StratifiedKFold, edit_distance, quoted,
};

use crate::{
    arguments::Fit,
    import::{Aside, Beside},
    input,
    spec::Spec,
};

const N_SPLITS: Parameter = Parameter::new("n_splits", "5", "folds");
const STRATIFIED: Parameter = Parameter::new("stratified", "false", "keep the classes' shares too");
const TEST_SIZE: Parameter = Parameter::new("test_size", "", "share of the rows that is predicted");
const REFIT: Parameter = Parameter::new("refit", "true", "fit on all rows for new ones");

/// The schemes there are, each with its parameters.
const SCHEMES: [(&str, &[Parameter]); 6] = [
    ("kfold", &[N_SPLITS]),
    ("stratified", &[N_SPLITS]),
    ("group", &[N_SPLITS, STRATIFIED]),
    ("given", &[]),
    ("blend", &[TEST_SIZE, REFIT]),
    ("none", &[]),
];

/// A scheme as it was written: `NAME[:param=value,...]`.
struct Written {
    name: &'static str,
    params: Params,
}

impl Written {
    fn new(text: &str) -> Result<Self> {
        let name = text.split_once(':').map_or(text, |(name, _)| name).trim();
        let lower = name.to_lowercase();
        let Some((known, parameters)) = SCHEMES.iter().find(|(known, _)| *known == lower) else {
            let far = |known: &&str| edit_distance(&lower, known);
            let near = SCHEMES.iter().map(|(known, _)| *known).min_by_key(far);
            let near = near.filter(|near| 2 * far(near) <= lower.chars().count());
            let near = near.map_or(String::new(), |near| format!("; the nearest is {near}"));
            let all = SCHEMES.map(|(known, _)| known).join(", ");
            let what = format!("no scheme is called '{}'{near}; there are {all}", quoted(name));
            return Err(Error::spec(text, what));
        };
        Ok(Self { name: known, params: Params::parse(known, parameters, text)? })
    }

    /// The value of a parameter, if it was written.
    fn get<T: FromStr + Default>(&self, name: &str, want: &str) -> Result<Option<T>> {
        let value = self.params.has(name).then(|| self.params.get(name, T::default(), want));
        value.transpose()
    }
}

/// What is asked for, before a row is read.
enum Kind {
    KFold(KFold),
    Stratified(StratifiedKFold),
    Group { n_splits: usize, stratified: bool, groups: String },
    Given { folds: String },
    Blend(Blend),
    None,
}

/// How rows are to be split.
pub(crate) struct Split {
    kind: Kind,
    /// Columns of the table that say where rows belong in another scheme, which the file names: nothing is learned from them.
    pub(crate) unused: Vec<String>,
    /// Whether nobody chose it: folds with the classes' shares, where a learner classifies.
    by_default: bool,
}

/// An option of the program that is written in a file too.
struct Both<'a> {
    option: Option<&'a str>,
    key: Option<&'a str>,
}

impl<'a> Both<'a> {
    fn new(option: Option<&'a String>, key: Option<&'a String>) -> Self {
        Self { option: option.map(String::as_str), key: key.map(String::as_str) }
    }

    fn get(&self) -> Option<&'a str> {
        self.option.or(self.key)
    }
}

/// Options that a scheme does not know are refused, unless the file says them and the command line another scheme.
struct Unknown<'a> {
    scheme: &'static str,
    from_file: bool,
    spec: &'a Spec,
}

impl Unknown<'_> {
    /// Refuse the option `--name`, or the same key of the file.
    fn refuse(&self, name: &str, option: bool, key: bool, why: impl Display) -> Result<()> {
        let scheme = self.scheme;
        if option {
            let what =
                format!("--{name} {why}; leave it out with --scheme {scheme}, or choose another scheme");
            return Err(Error::unsupported(what));
        }
        if key && self.from_file {
            let key = name.replace('-', "_");
            return Err(self.spec.at(&key, format!("it {why}; leave it out with the scheme {scheme}")));
        }
        Ok(())
    }
}

impl Split {
    /// What options and file ask for; options win. Folds of classes have the classes' shares where nobody says anything else.
    ///
    /// # Errors
    /// Schemes and parameters that there are not, and options that mean nothing together.
    pub(crate) fn new(a: &Fit, spec: &Spec, classifies: bool, seed: u64) -> Result<Self> {
        let folds = Both::new(a.fold_column.as_ref(), spec.fold_column.as_ref());
        let groups = Both::new(a.groups.as_ref(), spec.groups.as_ref());
        let from_file = a.scheme.is_none() && spec.scheme.is_some();
        let in_file = |e: Error| if from_file { spec.at("scheme", e) } else { e };
        let text = a.scheme.as_deref().or(spec.scheme.as_deref());
        let written = text.map(Written::new).transpose().map_err(in_file)?;
        let (written, by_default) = match written {
            Some(written) => (written, false),
            None => {
                let (name, by_default) = implied(a, spec, &folds, &groups, classifies)?;
                (Written { name, params: Params::default() }, by_default)
            }
        };
        let name = written.name;
        // Nothing of the file stands against a scheme of the command line.
        let implied = text.is_none() && (folds.option.is_some() || groups.option.is_some());
        let from_file = a.scheme.is_none() && !implied;
        let unknown = Unknown { scheme: name, from_file, spec };
        let counts = matches!(name, "kfold" | "stratified" | "group");
        if !counts {
            let why = "is the number of folds of the schemes kfold, stratified and group";
            unknown.refuse("folds", a.folds.is_some(), spec.folds.is_some(), why)?;
        }
        if name != "kfold" {
            let why = "is about the boundaries of kfold's folds";
            unknown.refuse("exact-folds", a.exact_folds, false, why)?;
            unknown.refuse("page-folds", a.page_folds, false, why)?;
        }
        let shuffles = matches!(name, "kfold" | "stratified");
        if !shuffles {
            let why = "puts rows of the schemes kfold and stratified in random order";
            unknown.refuse("shuffle", a.shuffle, spec.shuffle, why)?;
        }
        if name != "given" {
            let why = "holds the folds of the scheme given";
            unknown.refuse("fold-column", folds.option.is_some(), folds.key.is_some(), why)?;
        }
        if name != "group" {
            let why = "holds the groups of the scheme group";
            unknown.refuse("groups", groups.option.is_some(), groups.key.is_some(), why)?;
        }
        let want = "a whole number of folds, 2 or more";
        let n_splits: Option<usize> = written.get("n_splits", want).map_err(in_file)?;
        let twice = "the number of folds is said twice; leave out n_splits of the scheme, or";
        let n_splits = match (n_splits, a.folds, spec.folds) {
            (Some(_), Some(_), _) if a.scheme.is_some() => {
                return Err(Error::unsupported(format!("{twice} --folds")));
            }
            (Some(_), None, Some(_)) if a.scheme.is_none() => {
                return Err(spec.at("folds", format!("{twice} this key")));
            }
            (_, Some(option), _) if a.scheme.is_none() => option,
            (Some(written), ..) => written,
            (None, option, key) => option.or(key).unwrap_or(5),
        };
        let shuffle = (a.shuffle || spec.shuffle) && shuffles;
        let kind = match name {
            "kfold" => {
                let mut kfold = KFold::new(n_splits);
                if a.exact_folds {
                    kfold = kfold.exact();
                }
                if a.page_folds {
                    kfold = kfold.page_aligned();
                }
                Kind::KFold(if shuffle { kfold.shuffle(seed) } else { kfold })
            }
            "stratified" => {
                let stratified = StratifiedKFold::new(n_splits);
                Kind::Stratified(if shuffle { stratified.shuffle(seed) } else { stratified })
            }
            "group" => {
                let stratified = written.params.flag("stratified", false).map_err(in_file)?;
                let groups = groups.get().ok_or_else(|| {
                    in_file(Error::unsupported(
                        "the scheme group needs every row's group: --groups g.npy, or --groups COLUMN of the table",
                    ))
                })?;
                Kind::Group { n_splits, stratified, groups: groups.into() }
            }
            "given" => {
                let folds = folds.get().ok_or_else(|| {
                    in_file(Error::unsupported(
                        "the scheme given needs every row's fold: --fold-column f.npy, or --fold-column COLUMN of the table",
                    ))
                })?;
                Kind::Given { folds: folds.into() }
            }
            "blend" => {
                let want = "a share of the rows above 0 and below 1";
                let test_size: f64 = written.get("test_size", want).map_err(in_file)?.ok_or_else(|| {
                    in_file(Error::unsupported(
                        "the scheme blend needs the share of rows that is predicted, as in blend:test_size=0.3",
                    ))
                })?;
                if !(test_size > 0.0 && test_size < 1.0) {
                    return Err(in_file(Error::parameter("blend", "test_size", test_size, want)));
                }
                let blend = Blend::new(test_size);
                let refit = written.params.flag("refit", true).map_err(in_file)?;
                Kind::Blend(if refit { blend } else { blend.without_refit() })
            }
            _ => Kind::None,
        };
        let mut split = Self { kind, unused: Vec::new(), by_default };
        let used = split.aside().map(|aside| aside.column);
        let unused = [folds.key, groups.key].into_iter().flatten();
        let unused = unused.filter(|column| !input::is_file(column) && Some(*column) != used);
        split.unused = unused.map(String::from).collect();
        Ok(split)
    }

    /// The column or file that it needs of every row.
    pub(crate) fn aside(&self) -> Option<Aside<'_>> {
        match &self.kind {
            Kind::Group { groups, .. } => Some(Aside { column: groups, what: "group", words: true }),
            Kind::Given { folds } => Some(Aside { column: folds, what: "fold", words: false }),
            _ => None,
        }
    }

    /// The file that it reads, if it reads one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.aside().map(|aside| aside.column).filter(|column| input::is_file(column)).map(Path::new)
    }

    /// Whether no row is held out.
    pub(crate) fn holds_out(&self) -> bool {
        !matches!(self.kind, Kind::None)
    }

    /// The scheme, now that rows are known.
    ///
    /// # Errors
    /// Folds or groups that are no whole numbers, or too few.
    pub(crate) fn scheme(&self, beside: Option<&Beside>) -> Result<Arc<dyn Scheme>> {
        let values = || {
            let beside =
                beside.ok_or_else(|| Error::unsupported("the scheme needs a column and got none"))?;
            Ok::<_, Error>((beside.values()?, beside.name()))
        };
        // Other errors tell the number of folds.
        let in_column = |name: String| {
            move |e: Error| match e.kind() {
                ErrorKind::Unsupported { .. } => Error::format(name, e.to_string()),
                _ => e,
            }
        };
        Ok(match &self.kind {
            Kind::KFold(kfold) => Arc::new(*kfold),
            Kind::Stratified(stratified) => Arc::new(*stratified),
            Kind::Group { n_splits, stratified, .. } => {
                let (groups, name) = values()?;
                let group = GroupKFold::new(*n_splits, &groups).map_err(in_column(name))?;
                Arc::new(if *stratified { group.stratified() } else { group })
            }
            Kind::Given { .. } => {
                let (folds, name) = values()?;
                Arc::new(GivenFolds::new(&folds).map_err(in_column(name))?)
            }
            Kind::Blend(blend) => Arc::new(*blend),
            Kind::None => Arc::new(NoSplit),
        })
    }

    /// The same error, with the option that mends it.
    pub(crate) fn advise(&self, error: Error) -> Error {
        let counts = matches!(self.kind, Kind::KFold(_) | Kind::Stratified(_) | Kind::Group { .. });
        match error.kind() {
            ErrorKind::Folds { .. } if counts => {
                let plain = match self.by_default {
                    true => ", or folds without the classes' shares with --scheme kfold",
                    false => "",
                };
                Error::unsupported(format!("{error}; choose another number with --folds{plain}"))
            }
            _ => error,
        }
    }
}

/// The scheme that nobody names, and whether it is the one of classes.
fn implied(
    a: &Fit,
    spec: &Spec,
    folds: &Both<'_>,
    groups: &Both<'_>,
    classifies: bool,
) -> Result<(&'static str, bool)> {
    let both = "names folds and groups, and a scheme takes one of them: say which";
    match (folds.option.is_some(), groups.option.is_some()) {
        (true, true) => {
            return Err(Error::unsupported(format!(
                "the command line {both}, with --scheme given or --scheme group"
            )));
        }
        (true, false) => return Ok(("given", false)),
        (false, true) => return Ok(("group", false)),
        (false, false) => {}
    }
    match (folds.key.is_some(), groups.key.is_some()) {
        (true, true) => Err(spec.at("fold_column", format!("the file {both}, with the key scheme"))),
        (true, false) => Ok(("given", false)),
        (false, true) => Ok(("group", false)),
        (false, false) if classifies && !a.exact_folds && !a.page_folds => Ok(("stratified", true)),
        (false, false) => Ok(("kfold", false)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_are_read_with_their_parameters() {
        let written = Written::new(" Blend : test_size = 0.25 , refit=False").unwrap();
        assert_eq!(written.name, "blend");
        assert_eq!(written.get::<f64>("test_size", "").unwrap(), Some(0.25));
        assert!(!written.params.flag("refit", true).unwrap());
        assert_eq!(Written::new("kfold").unwrap().get::<usize>("n_splits", "").unwrap(), None);
        for (text, words) in [
            ("stratifed:n_splits=3", &["'stratifed'", "nearest is stratified"][..]),
            ("nonsense", &["'nonsense'", "kfold, stratified, group, given, blend, none"]),
            ("kfold:k=3", &["kfold has no parameter 'k'", "n_splits"]),
            ("given:n_splits=3", &["given has no parameter", "takes none"]),
            ("blend:0.3", &["'0.3'", "name=value"]),
            ("kfold:n_splits=2,n_splits=3", &["n_splits is given twice"]),
        ] {
            let error = Written::new(text).map(|w| w.name).unwrap_err().to_string();
            assert!(words.iter().all(|word| error.contains(word)), "{error}");
        }
        let error = Written::new("kfold:n_splits=many").unwrap().get::<usize>("n_splits", "a number");
        assert!(error.unwrap_err().to_string().contains("n_splits=many"));
    }
}
