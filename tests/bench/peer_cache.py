#!/usr/bin/python3
"""The search of bench_cache with numpy, one product a beta, on the rows that `bench_cache search --dump PREFIX` wrote:

    peer_cache.py PREFIX [--betas 3]

prints the seconds of the affinities and of each beta, and what 200 of them would take. Test rows go in blocks of 2000, as all of the
affinities at once would take 3.2 GB. The alphas of a beta share its product, which the authors' program does not do.
"""
import argparse, json, time
import numpy as np

parser = argparse.ArgumentParser()
parser.add_argument("prefix")
parser.add_argument("--betas", type=int, default=3)
options = parser.parse_args()
x, keys, text, y = (np.load("%s_%s.npy" % (options.prefix, name)) for name in ("x", "keys", "text", "y"))
y, classes, shots = y[:, 0], len(text), len(keys) // len(text)
values = np.repeat(np.eye(classes, dtype=np.float32), shots, axis=0)
betas, alphas = [0.1 + i * 6.9 / 200 for i in range(200)], [0.1 + j * 2.9 / 20 for j in range(20)]
products, each, counts = 0, [0] * options.betas, np.zeros((options.betas, len(alphas)), int)
for first in range(0, len(x), 2000):
    rows, label = x[first : first + 2000], y[first : first + 2000]
    began = time.time()
    affinity, logits = rows @ keys.T, 100 * rows @ text.T
    products += time.time() - began
    for b in range(options.betas):
        began = time.time()
        cache = np.exp(-betas[b] * (1 - affinity)) @ values
        for j, alpha in enumerate(alphas):
            counts[b, j] += ((logits + np.float32(alpha) * cache).argmax(1) == label).sum()
        each[b] += time.time() - began
print(json.dumps({"affinities": round(products, 2), "beta": [round(s, 2) for s in each],
                  "all": round(products + 200 * sum(each) / options.betas, 1), "first": counts[0, 0] / len(x)}))
