#!/usr/bin/python3
"""Writes metrics_golden.h: synthetic codes and factors, and their scores by scikit-learn and SciPy (printed versions below).

Run as: make_metrics_golden.py > metrics_golden.h
"""
import numpy as np, scipy, scipy.spatial, scipy.stats, sklearn
from scipy.optimize import linear_sum_assignment
from sklearn.linear_model import LinearRegression
from sklearn.metrics import mutual_info_score, r2_score

rng = np.random.RandomState(5)
n, k, d = 60, 5, 3
factors = np.round(rng.normal(size=(n, d)), 3)
codes = np.round(factors @ rng.normal(size=(d, k)) + 0.5 * rng.normal(size=(n, k)) + 3, 3)
codes[:, 1] = np.round(codes[:, 1])  # equal values, for ranks
labels = np.stack([np.digitize(factors[:, 0], [-0.5, 0.5]) - 1, np.digitize(factors[:, 1], [0]), np.arange(n) % 7], 1).astype(float)


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


def match(c, count):
    i, j = linear_sum_assignment(-np.abs(c))
    return np.abs(c)[i, j].sum() / count


def spearman(a, b):
    return match(scipy.stats.spearmanr(a, b)[0][:a.shape[1], a.shape[1]:], b.shape[1])


def weak(a, b):
    predicted = LinearRegression().fit(a, b).predict(a)
    return match(np.corrcoef(predicted.T, b.T)[:b.shape[1], b.shape[1]:], b.shape[1])


def svcca(a, b):
    def leading(x):
        u, s, _ = np.linalg.svd(centre(x), full_matrices=False)
        return u[:, :np.searchsorted(np.cumsum(s ** 2) / (s ** 2).sum(), 0.99) + 1]
    return np.linalg.svd(leading(a).T @ leading(b), compute_uv=False).mean()


def procrustes(a, b):
    width = max(a.shape[1], b.shape[1])
    pad = lambda x: np.pad(x, ((0, 0), (0, width - x.shape[1])))
    return scipy.spatial.procrustes(pad(a), pad(b))[2]


def debiased_cka(a, b):
    def hsic(x, y):
        k, l = x @ x.T, y @ y.T
        np.fill_diagonal(k, 0), np.fill_diagonal(l, 0)
        m = len(k)
        return (np.trace(k @ l) + k.sum() * l.sum() / ((m - 1) * (m - 2)) - 2 * (k @ l).sum() / (m - 2)) / (m * (m - 3))
    return hsic(a, b) / np.sqrt(hsic(a, a) * hsic(b, b))


def binned(x, bins=20):
    least, most = x.min(0), x.max(0)
    return np.minimum(((x - least) / ((most - least) / bins)).astype(int), bins - 1)


def information(a, b):
    return np.array([[mutual_info_score(a[:, i], b[:, j]) for j in range(b.shape[1])] for i in range(a.shape[1])])


def mig(a, b):
    m = np.sort(information(a, b), 0)
    h = np.array([scipy.stats.entropy(np.unique(b[:, j], return_counts=True)[1]) for j in range(b.shape[1])])
    return ((m[-1] - m[-2]) / h).mean()


def modularity(a, b):
    m = information(a, b) ** 2
    return (1 - (m.sum(1) - m.max(1)) / (m.max(1) * (m.shape[1] - 1))).mean()


def sap(a, b):
    c = np.sort(np.corrcoef(a.T, b.T)[:a.shape[1], a.shape[1]:] ** 2, 0)
    return (c[-1] - c[-2]).mean()


print("/* Made by make_metrics_golden.py with numpy %s, scipy %s and scikit-learn %s. */" % (np.__version__, scipy.__version__,
                                                                                  sklearn.__version__))
print("enum { METRICS_ROWS = %d, METRICS_CODES = %d, METRICS_FACTORS = %d };" % (n, k, d))
emit("metrics_codes", codes)
emit("metrics_factors", factors)
emit("metrics_r2", r2_score(factors, LinearRegression().fit(codes, factors).predict(codes), multioutput="raw_values"))
emit("metrics_r2_reverse", r2_score(codes, LinearRegression().fit(factors, codes).predict(factors), multioutput="raw_values"))
emit("metrics_mcc", [mcc(codes, factors), mcc(factors, codes)])
for measure in cka, cca, orthogonality, permutation, spearman, weak, svcca, procrustes, debiased_cka, sap:
    emit("metrics_" + measure.__name__, [measure(codes, factors), measure(factors, codes)])
emit("metrics_labels", labels)
for measure in mig, modularity:
    emit("metrics_" + measure.__name__, [measure(binned(codes), binned(factors)), measure(binned(factors), binned(codes))])
    emit("metrics_%s_labels" % measure.__name__, [measure(binned(codes, 5), labels)])
emit("metrics_information", information(binned(codes), binned(factors)))
