#!/usr/bin/env python3
"""Which transform and head, chosen on val rows alone, gains most over the probe on raw rows: `mmcl adapt` and `mmcl probe` in strict mode.

    recipe.py FOLDER MMCL [--seeds 10] [--keep FOLDER]

FOLDER holds {caltech101,ucf101,dtd}_vitb32.npz with fixed draws, shift_imagenet_to_caltech52.npz and pool.npy; without it nothing is
done. --keep holds the command's JSON, which is not computed again. A head's own numbers are chosen on the few val rows that each seed draws, as strict mode
has it; recipes are compared on all val rows, which the command measures like one more test set.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np

FILES = {"caltech101": ("caltech101_vitb32.npz", "1,2,4"), "ucf101": ("ucf101_vitb32.npz", "1,2,4"), "dtd": ("dtd_vitb32.npz", "1"),
         "shift": ("shift_imagenet_to_caltech52.npz", "4")}
CELLS = [("caltech101", 1), ("caltech101", 2), ("caltech101", 4), ("ucf101", 1), ("ucf101", 2), ("ucf101", 4), ("dtd", 1), ("shift", 4)]


def spaces(axes, shaping, sizes=(128, 256, 384)):
    return "/".join("normalize+%s:%d+normalize%s" % (axes, k, shaping) for k in sizes)


WEIGHED, DISCRIMINANTS = "+power:0.8+relevance:2+normalize", "normalize+discriminants:256+normalize"
# What one would try, from the simplest on: rows, whitening, and then weights, powers, more spaces and discriminants added.
RECIPES = {"raw": "raw", "whitening of 256": "normalize+whiten:256+normalize", "discriminants": DISCRIMINANTS,
           "three whitened spaces, discriminants": spaces("whiten", "") + "/" + DISCRIMINANTS,
           "three whitened spaces, power, relevance, discriminants": spaces("whiten", WEIGHED) + "/" + DISCRIMINANTS,
           "three ICA spaces, relevance": spaces("ica", "+relevance:2+normalize"),
           "three ICA spaces, power, relevance": spaces("ica", WEIGHED),
           "three ICA spaces, power, relevance, discriminants": spaces("ica", WEIGHED) + "/" + DISCRIMINANTS}
HEADS = ("kernel-ridge", "ncm")


def with_val_as_test(options, folder, name):
    """A copy of the data in which all val rows are one more test set, "val"."""
    path = os.path.join(folder, FILES[name][0])
    if not os.path.exists(path):
        data = np.load(os.path.join(options.folder, FILES[name][0]), allow_pickle=True)
        rows = {key: data[key] for key in data.files if key[-2:] in ("_x", "_y")}
        np.savez(path, test_val_x=rows["val_x"], test_val_y=rows["val_y"], **rows)
    return path


def run(options, folder, name, command):
    """Rows of the JSON that one run of the command writes for one data set."""
    shots = FILES[name][1]
    path = os.path.join(folder, "%s_%s.json" % (name, command[0]))
    if not os.path.exists(path):
        arguments = [options.mmcl, *command, with_val_as_test(options, folder, name), "--shots", shots, "--seeds", str(options.seeds), "--json", path + ".part",
                     "--quiet"]
        subprocess.run(arguments, check=True, stdout=sys.stderr)
        os.rename(path + ".part", path)
    with open(path) as stream:
        return json.load(stream)["rows"]


def test_of(row):
    return row["test_accuracy"] if row.get("test_accuracy") is not None else row["accuracy_caltech"]


def collect(rows, name):
    """(val, test) [seeds] for each (shots, transform, method) of a data set."""
    found = {}
    for row in rows:
        if "seed" in row:
            found.setdefault((row["shots"], row["transform"], row.get("method", "probe")), []).append((row["accuracy_val"], test_of(row)))
    return {(name, *key): 100 * np.array(values).T for key, values in found.items()}


def groups(values):
    """The six cells averaged, dtd, shift; values [cells, ...]."""
    return np.stack([np.mean(values[:6], 0), values[6], values[7]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("mmcl")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--keep")
    options = parser.parse_args()
    pool = os.path.join(options.folder, "pool.npy")
    if not os.path.exists(pool):
        print("recipe.py: no pool.npy in %s: skipped" % options.folder)
        return 0
    folder, found = options.keep or tempfile.mkdtemp(), {}
    os.makedirs(folder, exist_ok=True)
    transforms = [a for spec in RECIPES.values() for a in ("--transform", spec)]
    for name in FILES:
        found.update(collect(run(options, folder, name, ["probe"]), name))
        found.update(collect(run(options, folder, name, ["adapt", "--method", ",".join(HEADS), "--pool", pool, *transforms]), name))
    raw = np.array([found[(*cell, "raw", "probe")][1] for cell in CELLS])  # [cells, seeds]
    tried = [(recipe, head) for recipe in RECIPES for head in HEADS]
    both = np.array([[found[(*cell, RECIPES[recipe], head)] for cell in CELLS] for recipe, head in tried])  # [tried, cells, 2, seeds]
    print("| recipe | head | " + " | ".join("%s, %d" % c for c in CELLS) + " | val | six over raw | dtd over raw | shift over raw |")
    print("| --- | --- |" + " --- |" * (len(CELLS) + 4))
    print("| raw | `probe` | " + " | ".join("%.2f" % a for a in raw.mean(1)) + " | | | | |")
    gains = both[:, :, 1] - raw
    for (recipe, head), b, g in zip(tried, both, gains):
        print("| %s | `%s` | " % (recipe, head) + " | ".join("%.2f" % a for a in b[:, 1].mean(1)) + " | %.2f | " % b[:, 0].mean() +
              " | ".join("%+.2f" % a for a in groups(g.mean(1))) + " |")
    val = both[:, :, 0].mean(1)  # [tried, seeds]
    once, each = int(val.mean(1).argmax()), val.argmax(0)
    own = np.array([groups(gains[b, :, s]) for s, b in enumerate(each)])
    print("\nOne choice, the best mean over the seeds: %s, `%s`: " % tried[once] + ", ".join("%+.2f" % g for g in groups(gains[once].mean(1))))
    print("Chosen by each seed on its own: " + ", ".join("%+.2f +- %.2f" % (m, s) for m, s in zip(own.mean(0), own.std(0))) + " (" +
          "; ".join(sorted({"%s, `%s`" % tried[b] for b in each})) + ")")
    return 0


sys.exit(main())
