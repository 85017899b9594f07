#!/usr/bin/python3
"""Writes metrics_golden.h: synthetic codes and factors, and their scores by scikit-learn and SciPy (printed versions below).

Run as: make_metrics_golden.py > metrics_golden.h
"""
import numpy as np, scipy, sklearn
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LinearRegression
from sklearn.metrics import r2_score

rng = np.random.RandomState(5)
n, k, d = 60, 5, 3
factors = np.round(rng.normal(size=(n, d)), 3)
codes = np.round(factors @ rng.normal(size=(d, k)) + 0.5 * rng.normal(size=(n, k)) + 3, 3)


def emit(name, values):
    values = np.asarray(values, dtype=float).ravel()
    print("static const double %s[%d] = {" % (name, values.size))
    for i in range(0, values.size, 6):
        print("    " + ", ".join("%.17g" % v for v in values[i:i + 6]) + ",")
    print("};")


def mcc(a, b):
    c = np.abs(np.corrcoef(a.T, b.T)[:a.shape[1], a.shape[1]:])
    i, j = linear_sum_assignment(-c)
    return c[i, j].sum() / b.shape[1]


def centre(a):
    return a - a.mean(0)


def cka(a, b):
    a, b = centre(a), centre(b)
    return np.linalg.norm(a.T @ b) ** 2 / (np.linalg.norm(a.T @ a) * np.linalg.norm(b.T @ b))


def cca(a, b):
    return np.linalg.svd(np.linalg.qr(centre(a))[0].T @ np.linalg.qr(centre(b))[0], compute_uv=False).mean()


def orthogonality(a, b):
    s = np.linalg.svd(np.linalg.lstsq(centre(b), centre(a), rcond=None)[0], compute_uv=False)
    return np.sqrt(1 - s.sum() ** 2 / (len(s) * (s ** 2).sum()))


def permutation(a, b):
    m = np.linalg.lstsq(centre(b) / b.std(0), centre(a), rcond=None)[0]
    share = m ** 2 / (m ** 2).sum(0)
    i, j = linear_sum_assignment(-share)
    return 1 - share[i, j].sum() / share.sum()


print("/* Made by make_metrics_golden.py with numpy %s, scipy %s and scikit-learn %s. */" % (np.__version__, scipy.__version__,
                                                                                  sklearn.__version__))
print("enum { METRICS_ROWS = %d, METRICS_CODES = %d, METRICS_FACTORS = %d };" % (n, k, d))
emit("metrics_codes", codes)
emit("metrics_factors", factors)
emit("metrics_r2", r2_score(factors, LinearRegression().fit(codes, factors).predict(codes), multioutput="raw_values"))
emit("metrics_r2_reverse", r2_score(codes, LinearRegression().fit(factors, codes).predict(factors), multioutput="raw_values"))
emit("metrics_mcc", [mcc(codes, factors), mcc(factors, codes)])
for measure in cka, cca, orthogonality, permutation:
    emit("metrics_" + measure.__name__, [measure(codes, factors), measure(factors, codes)])
