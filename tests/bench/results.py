#!/usr/bin/env python3
"""The tables of doc/results.md from a folder of CLIP features:

    results.py MMCL FOLDER [--seeds 3] [--threads 2] [--peer PROBE_PEER.py]

MMCL is the command. FOLDER holds {caltech101,ucf101,dtd}_vitb32.npz with fixed draws, shift_imagenet_to_caltech52.npz and pool.npy.
Prints Markdown, each table under the command that made it. --peer adds the table against scikit-learn (slow): that program is run as
PROBE_PEER.py DATA SHOTS raw 1 - TOLERANCE and prints a JSON line.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

SIZES = {"strict": ["whiten:128", "ica:128", "pca:300+ica:128", "whiten:256", "ica:256", "pca:400+ica:256"],
         "paper": ["whiten:100", "ica:100", "pca:200+ica:100", "whiten:160", "ica:160", "pca:500+ica:160"]}
SETS = [(["caltech101_vitb32.npz", "ucf101_vitb32.npz"], [1, 2, 4, 8, 16], "test_accuracy"), (["dtd_vitb32.npz"], [1], "test_accuracy"),
        (["shift_imagenet_to_caltech52.npz"], [4], "accuracy_caltech")]


def transforms(protocol):
    specs = ["raw", "normalize"]
    for spec in SIZES[protocol]:
        specs += [spec, spec + "+normalize"]
    return specs


def run(options, files, shots, protocol):
    """One run a transform: a line of the table each."""
    specs, rows = transforms(protocol), []
    words = ["probe"] + files + ["--shots", ",".join(map(str, shots)), "--protocol", protocol, "--seeds", str(options.seeds)]
    words += ["--pool", "pool.npy"] if protocol == "strict" else []
    for spec in specs:
        command = [options.mmcl] + words + ["--transform", spec, "--threads", str(options.threads), "--quiet", "--json", "-"]
        rows += json.loads(subprocess.run(command, cwd=options.folder, stdout=subprocess.PIPE, check=True).stdout)["rows"]
        print("%s %s" % (protocol, spec), file=sys.stderr, flush=True)
    return "mmcl " + " ".join(words) + " --transform TRANSFORM", specs, rows


def table(options, files, shots, key, protocol):
    shown, specs, rows = run(options, files, shots, protocol)
    names = [f.split("_vitb32")[0].split(".npz")[0] for f in files]
    cells = [(f, n, s) for f, n in zip(files, names) for s in shots]
    value = {}
    for row in rows:
        value.setdefault((row["transform"], row["dataset"], row["shots"]), []).append(100 * row[key])
    place = lambda spec, f, s: value[spec, os.path.splitext(f)[0], s]
    mean = lambda spec, f, s: statistics.mean(place(spec, f, s))
    print("`%s`\n" % shown)
    print("| transform | " + " | ".join("%s, %d" % (n, s) for _, n, s in cells) + " | mean over raw |")
    print("| --- |" + " --- |" * (len(cells) + 1))
    for spec in specs:
        gains = [mean(spec, f, s) - mean("raw", f, s) for f, _, s in cells]
        print("| `%s` | " % spec + " | ".join("%.2f" % mean(spec, f, s) for f, _, s in cells) + " | %+.2f |" % statistics.mean(gains))
    spread = [statistics.pstdev(place(spec, f, s)) for spec in specs for f, _, s in cells]
    print("\nDeviation over the seeds: %.2f on average, %.2f at most.\n" % (statistics.mean(spread), max(spread)), flush=True)


def peer(options):
    print("`mmcl probe DATA --shots 1,2,4,8,16 --protocol paper --seed 1`\n")
    print("| data | shots | mmcl | scikit-learn, 1e-8 | scikit-learn, 1e-4 | C, mmcl | C, scikit-learn 1e-8 | C, scikit-learn 1e-4 |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in SETS[0][0]:
        path = os.path.join(options.folder, name)
        words = [options.mmcl, "probe", path, "--shots", "1,2,4,8,16", "--protocol", "paper", "--quiet", "--json", "-"]
        for row in json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)["rows"]:
            theirs = [json.loads(subprocess.run(["/usr/bin/python3", options.peer, path, str(row["shots"]), "raw", "1", "-", tolerance],
                                                stdout=subprocess.PIPE, check=True).stdout) for tolerance in ("1e-8", "1e-4")]
            print("| %s | %d | " % (name.split("_")[0], row["shots"]) +
                  " | ".join("%.2f" % (100 * r["test_accuracy"]) for r in [row] + theirs) + " | " +
                  " | ".join("%.3g" % r["C"] for r in [row] + theirs) + " |", flush=True)
    print()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("mmcl")
    parser.add_argument("folder")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peer")
    options = parser.parse_args()
    options.mmcl, options.folder = os.path.abspath(options.mmcl), os.path.abspath(options.folder)
    if options.peer:
        peer(options)
    for protocol in ("strict", "paper"):
        print("## %s\n" % protocol.capitalize())
        for files, shots, key in SETS:
            table(options, files, shots, key, protocol)


sys.exit(main())
