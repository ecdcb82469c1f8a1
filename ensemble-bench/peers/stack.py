"""One stack of one peer, fitted once: the same file, folds and learners as the Rust side.

usage: stack.py PEER TASK X.npy y.npy FOLDS JOBS ALPHA load|map PREDICT_ROWS
PEER: sklearn, mlxtend, vecstack, mlens; TASK: profile, compare, linear, folds, or turn, which rests
PREDICT_ROWS milliseconds between its parts.
Speaks with whoever measures it in lines: it prints `mark NAME` and waits for a line back, and prints `result {JSON}` at the end.
"""
import json
import platform
import sys
import time

peer, task, x_path, y_path, folds, jobs, alpha, how, rows = sys.argv[1:10]
folds, jobs, alpha, rows = int(folds), int(jobs), float(alpha), int(rows)


def mark(name):
    print("mark", name, flush=True)
    if not sys.stdin.readline():
        sys.exit("whoever measured this process is gone")


mark("import")
import numpy as np
import sklearn
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

versions = {"python": platform.python_version(), "numpy": np.__version__, "scikit-learn": sklearn.__version__}

# Name, transformer before it, learner.
LAYERS = {
    "profile": [
        ("plain", None, LinearRegression()),
        ("standardised", StandardScaler(), LinearRegression()),
        ("min-max", MinMaxScaler(), LinearRegression()),
    ],
    "compare": [("net", None, ElasticNet(alpha=alpha)), ("lasso", None, Lasso(alpha=alpha))],
    "linear": [
        ("lasso", None, Lasso(alpha=0.01)),
        ("net", None, ElasticNet(alpha=0.01)),
        ("ols", None, LinearRegression()),
    ],
    "folds": [("lasso", None, Lasso(alpha=0.01)), ("ridge", StandardScaler(), Ridge(alpha=1.0))],
}
METAS = {
    "profile": LinearRegression(),
    "compare": KNeighborsRegressor(),
    "linear": LinearRegression(positive=True, fit_intercept=False),
    "folds": LinearRegression(),
}
SINGLES = {"lasso": Lasso(alpha=alpha), "elastic_net": ElasticNet(alpha=alpha), "knn": KNeighborsRegressor()}


def piped():
    return [(n, e if t is None else make_pipeline(t, e)) for n, t, e in LAYERS[task]]


def with_sklearn():
    return StackingRegressor(piped(), final_estimator=METAS[task], cv=KFold(folds), n_jobs=jobs).fit(x, y)


def with_mlxtend():
    return StackingCVRegressor(
        [e for _, e in piped()], METAS[task], cv=KFold(folds), shuffle=False, n_jobs=jobs
    ).fit(x, y)


class Stacked:
    """vecstack returns out-of-fold columns; the models on all rows and the meta-learner are fitted beside."""

    def __init__(self):
        models = [e for _, e in piped()]
        columns, _ = stacking(
            models, x, y, x[:1], regression=True, mode="oof", n_folds=folds, shuffle=False, verbose=0
        )
        self.models = [m.fit(x, y) for m in models]
        self.meta = METAS[task].fit(columns, y)

    def predict(self, rows):
        return self.meta.predict(np.column_stack([m.predict(rows) for m in self.models]))


def with_mlens():
    ensemble = SuperLearner(folds=folds, n_jobs=jobs, backend="threading")
    if any(t is not None for _, t, _ in LAYERS[task]):
        ensemble.add(
            {n: [e] for n, _, e in LAYERS[task]},
            preprocessing={n: [] if t is None else [t] for n, t, _ in LAYERS[task]},
        )
    else:
        ensemble.add([(n, e) for n, _, e in LAYERS[task]])
    ensemble.add_meta(METAS[task])
    return ensemble.fit(x, y)


if peer == "sklearn":
    from sklearn.ensemble import StackingRegressor

    fit = with_sklearn
elif peer == "mlxtend":
    import mlxtend
    from mlxtend.regressor import StackingCVRegressor

    versions["mlxtend"], fit = mlxtend.__version__, with_mlxtend
elif peer == "vecstack":
    import vecstack
    from vecstack import stacking

    versions["vecstack"], fit = vecstack.__version__, Stacked
elif peer == "mlens":
    # mlens 0.2.3 is of 2018: it wants names that the standard library and numpy have dropped since. Nothing else of it is changed.
    import collections
    import collections.abc

    collections.Sequence = collections.abc.Sequence
    for name, kind in (("int", int), ("float", float), ("object", object)):
        if name not in np.__dict__:
            setattr(np, name, kind)
    sys.stderr = open("/dev/null", "w")
    import mlens
    from mlens.ensemble import SuperLearner

    sys.stderr = sys.__stderr__
    versions["mlens"], fit = mlens.__version__, with_mlens
else:
    sys.exit(f"there is no peer called {peer}")

mark("load")
if task == "turn":
    # The page's benchmark: learners alone and the ensemble, one after the other, with rests between.
    x, y = np.load(x_path), np.load(y_path)
    ensemble, seconds = fit, []
    for task in ("lasso", "knn", "compare", "elastic_net"):
        time.sleep(rows / 1000)
        mark(task)
        start = time.perf_counter()
        kept = ensemble() if task == "compare" else SINGLES[task].fit(x, y)
        seconds.append(time.perf_counter() - start)
        mark(task + " done")
        del kept
    time.sleep(rows / 1000)
    print("result", json.dumps({"seconds": seconds, "versions": versions}), flush=True)
    sys.exit()
x = np.load(x_path, mmap_mode="r" if how == "map" else None)
y = np.load(y_path)
mark("fit")
start = time.perf_counter()
fitted = fit()
seconds = time.perf_counter() - start
mark("fitted")
result = {"seconds": [seconds], "versions": versions}
if rows:
    start = time.perf_counter()
    predicted = np.asarray(fitted.predict(np.asarray(x[:rows]))).ravel()
    result["predict_seconds"] = time.perf_counter() - start
    result["rmse"] = float(np.sqrt(np.mean((predicted - y[:rows]) ** 2)))
print("result", json.dumps(result), flush=True)
