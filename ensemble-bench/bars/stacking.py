"""The stack of the bars in scikit-learn: Lasso, ElasticNet and OLS under a non-negative least squares meta-learner.
Prints `best SECONDS`, the better of one and two workers, loading excluded.   usage: stacking.py X.npy y.npy K"""
import sys, time
import numpy as np
from sklearn.ensemble import StackingRegressor
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression
from sklearn.model_selection import KFold

X, y, K = np.load(sys.argv[1]), np.load(sys.argv[2]), int(sys.argv[3])
times = []
for n_jobs in (1, 2):
    stack = StackingRegressor(
        [("lasso", Lasso(alpha=0.01)), ("net", ElasticNet(alpha=0.01)), ("ols", LinearRegression())],
        final_estimator=LinearRegression(positive=True, fit_intercept=False), cv=KFold(K), n_jobs=n_jobs)
    start = time.perf_counter()
    stack.fit(X, y)
    times.append(time.perf_counter() - start)
print(f"n_jobs=1 {times[0]:.3f} n_jobs=2 {times[1]:.3f} best {min(times):.4f}")
