#!/usr/bin/python3
"""Writes logreg_golden.h: optima of multinomial logistic regression for every C of CoOp's grid, on two synthetic problems.

    make_logreg_golden.py > tests/parity/logreg_golden.h

scikit-learn 1.2.1, float64, lbfgs, tol 1e-10; Newton's method with the whole second derivative then polishes each optimum, since
lbfgs ends up to 1e-4 above it at large C. Rows are integers / 16, so they are exact in every float type. "overlapping":
160 rows in 6 dimensions, 4 classes; "separable": 48 rows in 30 dimensions, 8 classes, which is the few-shot case.
"""
import sys
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegression

warnings.filterwarnings("ignore")
GRID = [1e6, 1e4, 1e2, 1.0, 1e-2, 1e-4, 1e-6]
TEST = 300


def sample(rng, centres, rows):
    y = np.arange(rows) % len(centres)
    return np.clip(np.round(16 * (centres[y] + rng.randn(rows, centres.shape[1]))), -127, 127).astype(int), y


def objective(w, x, y, c):
    s = x @ w.T
    s -= s[np.arange(len(y)), y][:, None]
    top = s.max(axis=1)
    e = np.exp(s - top[:, None])
    others = e.sum(axis=1) - np.exp(-top)
    loss = np.where(top > 0, top + np.log(e.sum(axis=1)), np.log1p(np.maximum(others, 0)))
    return c * loss.sum() + 0.5 * (w[:, :-1] ** 2).sum()


def polish(w, x, y, c):
    """Damped Newton steps; x has a last column of ones, whose weights are not penalised."""
    k, d = w.shape
    free = np.tile(np.r_[np.ones(d - 1), 0.0], k)
    for _ in range(200):
        s = x @ w.T
        p = np.exp(s - s.max(axis=1, keepdims=True))
        p /= p.sum(axis=1, keepdims=True)
        g = (c * (p - np.eye(k)[y]).T @ x).ravel() + free * w.ravel()
        h = np.diag(free)
        for a in range(k):
            for b in range(k):
                q = p[:, a] * ((a == b) - p[:, b])
                h[a * d:(a + 1) * d, b * d:(b + 1) * d] += c * (x * q[:, None]).T @ x
        step = np.linalg.lstsq(h, g, rcond=1e-15)[0].reshape(k, d)
        f, t = objective(w, x, y, c), 1.0
        while t > 1e-9 and objective(w - t * step, x, y, c) > f:
            t /= 2
        if t <= 1e-9:
            break
        w = w - t * step
        if g @ step.ravel() < 1e-16 * f:
            break
    return w


def problem(name, seed, rows, cols, classes, spread):
    rng = np.random.RandomState(seed)
    centres = spread * rng.randn(classes, cols)
    xi, y = sample(rng, centres, rows)
    ti, _ = sample(rng, centres, TEST)
    x, t = xi / 16.0, ti / 16.0
    optima, answers = [], []
    for c in GRID:
        model = LogisticRegression(solver="lbfgs", C=c, tol=1e-10, max_iter=100000).fit(x, y)
        start = np.c_[model.coef_, model.intercept_]
        ones = np.c_[x, np.ones(rows)]
        best = polish(start, ones, y, c)
        f = objective(best, ones, y, c)
        print("%s, C = %g: scikit-learn ends %.2g above" % (name, c, objective(start, ones, y, c) / f - 1), file=sys.stderr)
        optima.append(f)
        answers.append((np.c_[t, np.ones(TEST)] @ best.T).argmax(axis=1))
    array = lambda values: ",\n    ".join(", ".join(str(v) for v in values[i:i + 30]) for i in range(0, len(values), 30))
    print("static const int8_t %s_rows[%d * %d] = {\n    %s};" % (name, rows, cols, array(xi.ravel())))
    print("static const int8_t %s_test[LOGREG_TEST * %d] = {\n    %s};" % (name, cols, array(ti.ravel())))
    print("static const double %s_optima[LOGREG_GRID] = {\n    %s};" % (name, ", ".join("%.17g" % f for f in optima)))
    print("/* Classes of the test rows, a digit each. */\nstatic const char *const %s_answers[LOGREG_GRID] = {" % name)
    for a in answers:
        digits = "".join(str(v) for v in a)
        print("    " + "\n    ".join('"%s"' % digits[i:i + 120] for i in range(0, TEST, 120)) + ",")
    print("};\n")


print("/* Made by make_logreg_golden.py from synthetic data; row i of rows and test is of class i modulo the number of classes. */")
print("#include <stdint.h>\n\nenum { LOGREG_GRID = %d, LOGREG_TEST = %d };" % (len(GRID), TEST))
print("static const double logreg_grid[LOGREG_GRID] = {%s};\n" % ", ".join("%g" % c for c in GRID))
problem("overlapping", 1, 160, 6, 4, 0.8)
problem("separable", 2, 48, 30, 8, 0.7)
