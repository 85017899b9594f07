#!/usr/bin/python3
"""Fits pca:500+ica:160 to synthetic float16 rows from a memory map: ica_stream.py BUILD_FOLDER SCRATCH.npy [ROWS ...].

For each number of rows (1280000 unless given) writes SCRATCH.npy, 512 columns, runs `mmcl disentangle` on it and prints seconds, passes,
iterations and the peak of private memory (RssAnon, looked at every 10 ms); SCRATCH.npy is removed. Needs numpy and Linux's /proc.

The rows are Laplace and uniform sources of falling scale, mixed by a random matrix, on an offset: so that ICA has something to find and the
spectrum is no flat one."""
import json, os, subprocess, sys, tempfile, time
import numpy as np

COLS, BLOCK = 512, 20000


def write_rows(path, n):
    rng = np.random.RandomState(5)
    mixing = rng.normal(size=(COLS, COLS)).astype(np.float32) / np.sqrt(COLS) * np.exp(-np.arange(COLS) / 200)[:, None].astype(np.float32)
    offset = rng.normal(size=COLS).astype(np.float32)
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.float16, shape=(n, COLS))
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        uniform = rng.random_sample((count, COLS)).astype(np.float32) - 0.5
        laplace = -np.sign(uniform) * np.log1p(-2 * np.abs(uniform) + 1e-6)
        sources = np.where(np.arange(COLS) % 2 == 0, laplace, uniform * np.float32(np.sqrt(12)))
        rows[first:first + count] = sources @ mixing + offset
    rows.flush()


def private_kib(pid):
    try:
        return max([int(line.split()[1]) for line in open("/proc/%d/status" % pid) if line.startswith("RssAnon")] or [0])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def fit(folder, path):
    with tempfile.TemporaryDirectory() as scratch:
        out, peak = os.path.join(scratch, "fit.json"), 0
        process = subprocess.Popen([os.path.join(folder, "examples/cli/mmcl"), "disentangle", "--fit", path, "--transform", "pca:500+ica:160",
                                    "--threads", str(os.cpu_count()), "--quiet", "--json", out], stdout=subprocess.DEVNULL)
        while process.poll() is None:
            peak = max(peak, private_kib(process.pid))
            time.sleep(0.01)
        if process.returncode != 0:
            sys.exit("mmcl ended with %d" % process.returncode)
        result = json.load(open(out))
    step = result["steps"][-1]
    return dict(seconds=result["fit_seconds"], iterations=step["iterations"], passes=step["passes"], stop=step["stop"],
                private_mb=peak * 1024 / 1e6)


folder, path = sys.argv[1:3]
for n in [int(word) for word in sys.argv[3:]] or [1280000]:
    try:
        write_rows(path, n)
        print(n, json.dumps(fit(folder, path)), flush=True)
    finally:
        if os.path.exists(path):
            os.remove(path)
