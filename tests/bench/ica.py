#!/usr/bin/python3
"""ICA of libmmcl beside scikit-learn's FastICA, alternating, the better of two runs each: ica.py BUILD_FOLDER ROWS.npy K [RUNS].

Needs numpy and scikit-learn. Prints one line a run and the ratios; writes into a temporary folder alone. FastICA's count of iterations in
float32 depends on the last bits, on both sides, so the ratio for one iteration stands beside that of the runs. Picard runs to the
residual max|skew G| at which scikit-learn stopped."""
import json, os, subprocess, sys, tempfile, time, warnings
import numpy as np
from sklearn.decomposition import FastICA

warnings.filterwarnings("ignore")
folder, path, k = sys.argv[1], sys.argv[2], int(sys.argv[3])
runs = int(sys.argv[4]) if len(sys.argv) > 4 else 2
threads = os.environ.get("OMP_NUM_THREADS", str(os.cpu_count()))


def peer(rows):
    start = time.time()
    ica = FastICA(k, random_state=0, whiten="unit-variance").fit(rows)
    seconds = time.time() - start
    y = ica.transform(rows).astype(np.float64)
    g = np.tanh(y).T @ y / len(y)
    return dict(seconds=seconds, iterations=int(ica.n_iter_), residual=float(np.abs(g - g.T).max() / 2))


def ours(spec, *more):
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "fit.json")
        subprocess.run([os.path.join(folder, "examples/cli/mmcl"), "disentangle", "--fit", path, "--transform", spec, "--threads", threads,
                        "--quiet", "--json", out, *more], check=True, stdout=subprocess.DEVNULL)
        fit = json.load(open(out))
    step = fit["steps"][-1]
    return dict(seconds=fit["fit_seconds"], iterations=step["iterations"], passes=step["passes"], residual=step["residual"])


rows, best = np.load(path).astype(np.float32), {}
for _ in range(runs):
    results = {"scikit-learn": peer(rows), "fastica": ours("ica:%d" % k)}
    results["picard"] = ours("ica:%d:picard" % k, "--tolerance", repr(results["scikit-learn"]["residual"]))
    for name, result in results.items():
        print(name, json.dumps(result), flush=True)
        if name not in best or result["seconds"] < best[name]["seconds"]:
            best[name] = result
s, f, p = best["scikit-learn"], best["fastica"], best["picard"]
print("fastica: %.2f times as fast, %.2f an iteration; picard to scikit-learn's residual: %.2f" % (
    s["seconds"] / f["seconds"], s["seconds"] / s["iterations"] / (f["seconds"] / f["iterations"]), s["seconds"] / p["seconds"]))
