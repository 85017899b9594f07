"""Is `mmcl analyse` right about representations of trained encoders? geometry.py MMCL [SIMULATIONS [STEPS [FIRST_SEED]]]

For each seed a sphere model (uniform, vmf:10) and a box model (uniform, laplace:0.05) are sampled, encoders trained for STEPS steps, and the outputs of f_x
on 8192 fresh rows whitened, turned by a random rotation and scaled to unit length, so that neither scales (which `identify` sets along the axes of a box) nor
axes nor norms give the space away. A sphere has no axes, a box has: `ica` ought to be recommended for the second alone. Prints one line a simulation and the counts.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np


def simulate(mmcl, space, seed, steps, folder):
    pairs, rows = os.path.join(folder, "pairs.npz"), os.path.join(folder, "rows.npy")
    out = subprocess.run([mmcl, "identify", "--space", space, "--seed", str(seed), "--steps", str(steps), "--threads", "1", "--quiet", "--out", pairs,
                          "--json", "-"], check=True, capture_output=True).stdout
    codes = np.load(pairs)["f_x"].astype(float)
    turn, _ = np.linalg.qr(np.random.RandomState(seed).normal(size=(codes.shape[1], codes.shape[1])))
    codes -= codes.mean(0)
    codes = np.linalg.solve(np.linalg.cholesky(np.cov(codes.T)), codes.T).T @ turn
    np.save(rows, (codes / np.linalg.norm(codes, axis=1, keepdims=True)).astype("f4"))
    found = json.loads(subprocess.run([mmcl, "analyse", rows, "--components", str(codes.shape[1]), "--runs", "2", "--threads", "1", "--quiet", "--json", "-"],
                                      check=True, capture_output=True).stdout)
    trained = json.loads(out)
    return trained["r2_mean"][0], found["axes"]["score"], found["recommendation"]


def main():
    mmcl = sys.argv[1]
    simulations, steps, first = (int(sys.argv[i]) if len(sys.argv) > i else value for i, value in ((2, 20), (3, 4000), (4, 101)))
    right = {"sphere": 0, "box": 0}
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(first, first + simulations):
            for space in right:
                r2, score, advice = simulate(mmcl, space, seed, steps, folder)
                correct = advice.startswith("ica") == (space == "box")
                right[space] += correct
                print(f"{space:6} seed {seed}: R2 {100 * r2:.1f}, score {score:.1f}, {advice}{'' if correct else '   WRONG'}", flush=True)
    print({space: f"{count} of {simulations}" for space, count in right.items()})


main()
