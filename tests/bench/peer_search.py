#!/usr/bin/python3
"""The search for C of bench_search with scikit-learn, on the rows that bench_search --dump PREFIX wrote.

    peer_search.py PREFIX [C ...]

Fits every C of CoOp's search once (or only the given ones) with LogisticRegression's defaults and max_iter 1000, and prints one
JSON line with the seconds and the objective of each fit. Threads: OMP_NUM_THREADS and OPENBLAS_NUM_THREADS.
"""
import json
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")


def objective(model, x, y, c):
    z = model.decision_function(x)
    z -= z[np.arange(len(y)), y][:, None]
    top = z.max(axis=1)
    loss = top + np.log(np.exp(z - top[:, None]).sum(axis=1))
    return c * loss.sum() + 0.5 * (model.coef_ ** 2).sum()


def main(prefix, only):
    x, y, val_x, val_y = (np.load("%s_%s.npy" % (prefix, part)) for part in ("x", "y", "val_x", "val_y"))
    x, val_x = x.astype(np.float64), val_x.astype(np.float64)
    fitted, rows = {}, []

    def fit(c):
        if c not in fitted:
            start = time.time()
            model = LogisticRegression(solver="lbfgs", max_iter=1000, C=c).fit(x, y)
            seconds = time.time() - start
            fitted[c] = (model.predict(val_x) == val_y).mean()
            rows.append(dict(C=c, objective=objective(model, x, y, c), iterations=int(model.n_iter_[0]), seconds=seconds,
                             val_accuracy=fitted[c]))
            print("C %g: %.1f s, %d iterations, validation %.4f" % (c, seconds, model.n_iter_[0], fitted[c]), file=sys.stderr)
        return fitted[c]

    best = None
    if only:
        for c in only:
            fit(c)
    else:
        grid = [1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6]
        best = grid[int(np.argmax([fit(c) for c in grid]))]
        left, right = best / 10, best * 10
        for _ in range(8):
            middle = float(np.sqrt(left * right))
            if fit(left) < fit(right):
                best, left = right, middle
            else:
                best, right = left, middle
    print(json.dumps(dict(peer="scikit-learn", rows=len(y), cols=x.shape[1], classes=int(y.max()) + 1, C=best,
                          seconds=sum(row["seconds"] for row in rows), fits=rows)))


main(sys.argv[1], [float(c) for c in sys.argv[2:]])
