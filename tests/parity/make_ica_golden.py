#!/usr/bin/python3
"""Writes ica_golden.h: a small synthetic data set and what scikit-learn's FastICA and PCA make of it (printed versions below).

Run as: make_ica_golden.py > ica_golden.h
"""
import numpy as np, sklearn, warnings
from sklearn.decomposition import FastICA, PCA

warnings.filterwarnings("ignore")
rng = np.random.RandomState(7)
n, d, k = 160, 6, 4
sources = np.column_stack([rng.laplace(size=(n, 3)), rng.uniform(-1, 1, size=(n, 3))])
x = np.round(sources @ rng.normal(size=(d, d)) + rng.normal(size=d), 4)


def emit(name, values):
    values = np.asarray(values, dtype=float).ravel()
    print("static const double %s[%d] = {" % (name, values.size))
    for i in range(0, values.size, 6):
        print("    " + ", ".join("%.17g" % v for v in values[i:i + 6]) + ",")
    print("};")


print("/* Made by make_ica_golden.py with numpy %s and scikit-learn %s. */" % (np.__version__, sklearn.__version__))
print("enum { GOLDEN_ROWS = %d, GOLDEN_COLS = %d, GOLDEN_COMPONENTS = %d };" % (n, d, k))
emit("golden_x", x)
emit("golden_pca_variance", PCA(d).fit(x).explained_variance_ * (n - 1) / n)
print("/* Iterations and components by algorithm (parallel, deflation) and contrast (logcosh, exp, cube). */")
iterations = []
for algorithm in ("parallel", "deflation"):
    for fun in ("logcosh", "exp", "cube"):
        ica = FastICA(k, algorithm=algorithm, fun=fun, random_state=0, whiten="unit-variance", max_iter=1000, tol=1e-6).fit(x)
        iterations.append(ica.n_iter_)
        emit("golden_%s_%s" % (algorithm, fun), ica.components_)
ica = FastICA(k, random_state=0, whiten="arbitrary-variance", max_iter=1000, tol=1e-6).fit(x)
emit("golden_arbitrary", ica.components_)
emit("golden_mixing", ica.mixing_)
print("static const int golden_iterations[6] = {%s};" % ", ".join(map(str, iterations)))
