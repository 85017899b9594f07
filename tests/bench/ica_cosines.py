#!/usr/bin/python3
"""Components of libmmcl's FastICA against scikit-learn's in float64: ica_cosines.py BUILD_FOLDER ROWS.npy K.

For each precision prints the iterations and how |cosine| of corresponding components (same start, same order) is distributed."""
import json, os, subprocess, sys, tempfile, warnings
import numpy as np
from sklearn.decomposition import FastICA

warnings.filterwarnings("ignore")
folder, path, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
rows = np.load(path).astype(np.float64)


def report(name, a, b, iterations):
    a, b = a - a.mean(0), b - b.mean(0)
    a, b = a / np.linalg.norm(a, axis=0), b / np.linalg.norm(b, axis=0)
    c = np.abs((a * b).sum(0))
    print(name, json.dumps(dict(iterations=iterations, least=float(c.min()), **{"at_least_%g" % t: float((c >= t).mean())
                                                                               for t in (0.9999, 0.999, 0.99, 0.9)})), flush=True)


ica = FastICA(k, random_state=0, whiten="unit-variance").fit(rows)
truth = ica.transform(rows)
print("scikit-learn float64: %d iterations" % ica.n_iter_, flush=True)
narrow = FastICA(k, random_state=0, whiten="unit-variance").fit(rows.astype(np.float32))
report("scikit-learn float32", narrow.transform(rows.astype(np.float32)).astype(np.float64), truth, int(narrow.n_iter_))
for precision in "f64", "f32":
    with tempfile.TemporaryDirectory() as scratch:
        out, fit = os.path.join(scratch, "y.npy"), os.path.join(scratch, "fit.json")
        subprocess.run([os.path.join(folder, "examples/cli/mmcl"), "disentangle", "--fit", path, "--transform", "ica:%d" % k, "--precision",
                        precision, "--apply", path, "--out", out, "--quiet", "--json", fit], check=True, stdout=subprocess.DEVNULL)
        report("mmcl " + precision, np.load(out).astype(np.float64), truth, json.load(open(fit))["steps"][-1]["iterations"])
