#!/usr/bin/python3
"""Writes estimators_golden.h: synthetic codes and factors, and their scores by scikit-learn's estimators within the published formulas.

Run as: make_estimators_golden.py > estimators_golden.h
The formulas of DCI, explicitness, FactorVAE, IRS and SAP are those of disentanglement_lib (Locatello et al. 2019), written anew.
"""
import numpy as np, scipy.stats, sklearn
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

n, k, d, bins, seed, holdout = 240, 4, 3, 5, 3, 0.4
rng = np.random.RandomState(11)
factors = np.round(rng.uniform(size=(n, d)) * 256) / 256  # such numbers are exact in float32 too, to which scikit-learn's trees round
codes = np.tanh(2 * factors @ (np.eye(d, k) + 0.25 * rng.normal(size=(d, k))) - 1) + 0.1 * rng.normal(size=(n, k))
codes = np.round(codes * 4096) / 4096
labels = np.stack([np.digitize(factors[:, 0], [0.3, 0.5, 0.8]), np.digitize(factors[:, 1], [0.4]), np.digitize(factors[:, 2], [0.2, 0.7])], 1)


def philox_uniform(key, row, purpose, stream):
    """Philox4x32-10 (Salmon et al. 2011), as the library draws its split."""
    mask = 0xffffffff
    c, k0, k1 = [row & mask, row >> 32, purpose, stream], key & mask, key >> 32
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k0, p1 & mask, (p0 >> 32) ^ c[3] ^ k1, p0 & mask]
        k0, k1 = (k0 + 0x9E3779B9) & mask, (k1 + 0xBB67AE85) & mask
    return ((c[0] >> 5) * 67108864.0 + (c[1] >> 6)) / 9007199254740992.0


test = np.array([philox_uniform(seed, i, 0, 1) < holdout for i in range(n)])
train = ~test


def emit(name, values, form="%.17g"):
    values = np.asarray(values, dtype=float).ravel()
    print("static const double %s[%d] = {" % (name, values.size))
    width = {"%.17g": 6, "%.13g": 8}.get(form, 12)
    for i in range(0, values.size, width):
        print("    " + ", ".join(form % v for v in values[i:i + width]) + ",")
    print("};")


def binned(x, count=bins):
    least, most = x.min(0), x.max(0)
    return np.minimum(((x - least) / ((most - least) / count)).astype(int), count - 1)


def importances(y, model):
    return np.stack([model(random_state=0).fit(codes, y[:, j]).feature_importances_ for j in range(d)], 1)


def disentanglement(r):
    return np.average(1 - scipy.stats.entropy(r.T + 1e-11, base=r.shape[1]), weights=r.sum(1) / r.sum())


def completeness(r):
    return np.average(1 - scipy.stats.entropy(r + 1e-11, base=r.shape[0]), weights=r.sum(0) / r.sum())


def informativeness(y, model, score):
    return np.mean([score(y[test, j], model(random_state=0).fit(codes[train], y[train, j]).predict(codes[test])) for j in range(d)])


def explicitness(y):
    x = StandardScaler().fit(codes[train]).transform(codes)
    means = []
    for j in range(d):
        p = LogisticRegression(C=1, tol=1e-10, max_iter=100000).fit(x[train], y[train, j])
        means.append(np.mean([roc_auc_score(y[test, j] == c, p.predict_proba(x[test])[:, i]) for i, c in enumerate(p.classes_)
                              if 0 < (y[test, j] == c).sum() < test.sum()]))
    return np.mean(means)


def factor_vae(y):
    draw = np.random.RandomState(0)
    variance = codes.var(0, ddof=1)
    active = np.sqrt(variance) >= 0.05 * np.sqrt(variance).max()
    def vote():
        while True:
            j = draw.randint(d)
            rows = np.flatnonzero(y[:, j] == y[draw.randint(n), j])
            if len(rows) >= 64:
                break
        local = codes[draw.choice(rows, 64)].var(0, ddof=1)
        return np.argmin(np.where(active, local / variance, np.inf)), j
    votes = np.zeros((k, d))
    for _ in range(10000):
        votes[vote()] += 1
    majority = votes.argmax(1)
    return np.mean([majority[c] == j for c, j in (vote() for _ in range(5000))])


def irs(y):
    most = np.abs(codes - codes.mean(0)).max(0)
    scores = np.empty((k, d))
    for j in range(d):
        groups = [codes[y[:, j] == v] for v in np.unique(y[:, j])]
        scores[:, j] = 1 - np.mean([np.percentile(np.abs(g - g.mean(0)), 99, axis=0) for g in groups], axis=0) / most
    return np.average(scores.max(1), weights=most)


def r2_kernel():
    sx, sy = StandardScaler().fit(codes[train]), StandardScaler().fit(factors[train])
    x, y = sx.transform(codes), sy.transform(factors)
    grid = {"alpha": [1, 0.1, 0.01, 0.001], "gamma": np.logspace(-2, 2, 4)}
    folds = PredefinedSplit(np.arange(train.sum()) % 3)
    return np.mean([r2_score(y[test, j], GridSearchCV(KernelRidge(kernel="rbf"), grid, cv=folds).fit(x[train], y[train, j]).predict(x[test]))
                    for j in range(d)])


def sap():
    scores = np.array([[accuracy_score(labels[test, j], LinearSVC(C=0.01, class_weight="balanced", tol=1e-9, max_iter=1000000)
                                       .fit(codes[train, i:i + 1], labels[train, j]).predict(codes[test, i:i + 1])) for j in range(d)]
                       for i in range(k)])
    order = np.sort(scores, 0)
    return (order[-1] - order[-2]).mean(), scores


print("/* Made by make_estimators_golden.py with numpy %s, scipy %s and scikit-learn %s. */" % (np.__version__, scipy.__version__,
                                                                                     sklearn.__version__))
print("enum { ESTIMATORS_ROWS = %d, ESTIMATORS_CODES = %d, ESTIMATORS_FACTORS = %d, ESTIMATORS_BINS = %d, ESTIMATORS_SEED = %d };"
      % (n, k, d, bins, seed))
print("#define ESTIMATORS_HOLDOUT %g" % holdout)
emit("estimators_codes", codes, "%.13g")
emit("estimators_factors", factors, "%.9g")
emit("estimators_labels", labels, "%g")
r, c = importances(factors, GradientBoostingRegressor), importances(labels, GradientBoostingClassifier)
emit("estimators_importances", r)
emit("estimators_importances_labels", c)
emit("estimators_disentanglement", [disentanglement(r), disentanglement(c)])
emit("estimators_completeness", [completeness(r), completeness(c)])
emit("estimators_informativeness", [informativeness(factors, GradientBoostingRegressor, r2_score),
                                    informativeness(labels, GradientBoostingClassifier, accuracy_score)])
emit("estimators_explicitness", [explicitness(binned(factors)), explicitness(labels)])
emit("estimators_factor_vae", [factor_vae(binned(factors, 3)), factor_vae(labels)])
emit("estimators_irs", [irs(binned(factors)), irs(labels)])
emit("estimators_r2_kernel", [r2_kernel()])
gap, scores = sap()
emit("estimators_sap", [gap])
emit("estimators_sap_scores", scores)
