"""The page's first experiment as it is: joblib workers that hold an array.   usage: hold.py ARRAY.npy WORKERS SECONDS pickled|mapped"""
import json
import sys
import time

path, workers, seconds, how = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]


def mark(name):
    print("mark", name, flush=True)
    if not sys.stdin.readline():
        sys.exit("whoever measured this process is gone")


def hold(array, s):
    time.sleep(s)


if __name__ == "__main__":
    mark("import")
    import joblib
    import numpy as np
    from joblib import Parallel, delayed

    mark("load")
    array = np.load(path, mmap_mode="r" if how == "mapped" else None)
    mark("hold")
    start = time.perf_counter()
    Parallel(n_jobs=workers, max_nbytes=None)(delayed(hold)(array, seconds) for _ in range(workers))
    taken = time.perf_counter() - start
    mark("held")
    print("result", json.dumps({"seconds": [taken], "versions": {"joblib": joblib.__version__}}), flush=True)
