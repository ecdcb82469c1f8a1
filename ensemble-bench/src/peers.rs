//! The systems people use today: python programs in `peers/`, in a virtual environment of their own.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use ensemble::{Error, Result};

use crate::run::{self, How, Run};

/// Those that stack; the first is also the one that holds arrays by joblib.
pub(crate) const NAMES: [&str; 4] = ["sklearn", "mlens", "mlxtend", "vecstack"];

/// Which peers are there.
pub(crate) struct Peers {
    folder: PathBuf,
    present: Vec<&'static str>,
    /// Name and reason.
    absent: Vec<(&'static str, String)>,
}

/// One stack of one peer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) task: &'a str,
    pub(crate) x: &'a Path,
    pub(crate) y: &'a Path,
    pub(crate) folds: usize,
    pub(crate) jobs: usize,
    pub(crate) alpha: f64,
    /// Read the file into memory first, as these programs are used, or map it.
    pub(crate) load: bool,
    pub(crate) predict_rows: usize,
}

impl Peers {
    /// Look for each peer in the environment of `folder`.
    pub(crate) fn find(folder: &Path) -> Self {
        let mut peers = Self { folder: folder.into(), present: Vec::new(), absent: Vec::new() };
        for name in NAMES {
            match peers.import(name) {
                Ok(()) => peers.present.push(name),
                Err(why) => peers.absent.push((name, why)),
            }
        }
        peers
    }

    /// No peer at all, and why.
    pub(crate) fn none(why: &str) -> Self {
        Self {
            folder: PathBuf::new(),
            present: Vec::new(),
            absent: NAMES.iter().map(|n| (*n, why.into())).collect(),
        }
    }

    fn import(&self, name: &str) -> std::result::Result<(), String> {
        let python = self.python();
        if !python.exists() {
            return Err("not set up: run `ensemble-bench peers --setup`".into());
        }
        // mlens needs the names its program gives back first; that it is installed is what is asked here.
        let code = format!("import importlib.util as u, sys; sys.exit(u.find_spec('{name}') is None)");
        match Command::new(python).args(["-c", &code]).status() {
            Ok(status) if status.success() => Ok(()),
            Ok(_) => Err(format!("{name} is not in the environment: run `ensemble-bench peers --setup`")),
            Err(error) => Err(format!("its python does not start: {error}")),
        }
    }

    fn python(&self) -> PathBuf {
        self.folder.join(".venv/bin/python")
    }

    /// The names of those that are there.
    pub(crate) fn present(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.present.iter().copied()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.present.contains(&name)
    }

    /// The names of those that are not, and why.
    pub(crate) fn absent(&self) -> &[(&'static str, String)] {
        &self.absent
    }

    /// The command of one stack.
    pub(crate) fn command(&self, peer: &str, task: &Task<'_>) -> Command {
        let mut command = self.program("stack.py");
        command.args([peer, task.task]).args([task.x, task.y]);
        command.args([task.folds.to_string(), task.jobs.to_string(), task.alpha.to_string()]);
        command.args([if task.load { "load" } else { "map" }, &task.predict_rows.to_string()]);
        command
    }

    /// Run one stack.
    pub(crate) fn stack(&self, peer: &str, task: &Task<'_>) -> Result<Run> {
        run::run(self.command(peer, task), How::tree(), &mut |_| Ok(()))
    }

    /// Workers of joblib that hold an array.
    pub(crate) fn hold(&self, path: &Path, workers: usize, seconds: f64, way: &str) -> Result<Run> {
        let mut command = self.program("hold.py");
        command.arg(path).args([workers.to_string(), seconds.to_string(), way.into()]);
        run::run(command, How::tree().proportional(), &mut |_| Ok(()))
    }

    fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.python());
        command.arg(self.folder.join(name));
        // Peers run as their users run them, whatever this shell has set.
        for name in ["OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"] {
            command.env_remove(name);
        }
        command
    }
}

/// Make the environment that `requirements.txt` says, from the registry that pip is set to.
pub(crate) fn set_up(folder: &Path) -> Result<()> {
    let venv = folder.join(".venv");
    let run = |command: &mut Command, what: &str| -> Result<()> {
        let status = command.status().map_err(|e| Error::io(what, "run", e))?;
        if status.success() { Ok(()) } else { Err(Error::unsupported(format!("{what} failed: {status}"))) }
    };
    if !venv.join("bin/pip").exists() {
        run(
            Command::new("python3").args(["-m", "venv"]).arg(&venv),
            "python3 -m venv (install python3 with venv)",
        )?;
    }
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.args(["install", "--quiet", "--disable-pip-version-check", "-r"])
        .arg(folder.join("requirements.txt"));
    run(&mut pip, "pip install of the pinned requirements")
}

/// Add what a run says of versions to those known.
pub(crate) fn add_versions(known: &mut BTreeMap<String, String>, run: &Run) {
    if let Some(outcome) = &run.outcome {
        known.extend(outcome.versions.clone());
    }
}
