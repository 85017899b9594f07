"""Tables of few-shot heads for doc/results.md: heads.py MMCL FOLDER [--protocol strict|paper] [--shots 1,4,16] [METHOD ...]

FOLDER holds the CLIP features (caltech58_text_vitb32.npz with text; caltech101, ucf101 and dtd without; the ImageNet to Caltech shift; pool.npy).
Runs `mmcl adapt` for every head and transform, those that need text on the set that has it, and prints Markdown: test accuracy in percent, one table
a data set, with the mean over the rows of each head.
"""
import argparse
import json
import os
import subprocess
import sys

# What ICA does to a head that does not see rotations is what whitening does, so ICA is run for the heads that see axes alone.
TRANSFORMS = ["raw", "whiten:212", "whiten:212+normalize"]
AXES = {"probe-l1": "ica:212:picard+normalize", "probe-en": "ica:212:picard+normalize", "probe-ard": "ica:212:picard+normalize", "ape": "ica:212:picard",
        "ape-t": "ica:212:picard"}
TEXT = ["zeroshot", "probe-zs", "clap", "lpp", "tip", "tip-f", "ape", "ape-t", "clip-adapter", "taskres", "cca", "cca-ft", "crossmodal", "wise-ft"]
VISUAL = ["ncm", "kernel-ridge", "probe", "probe-l1", "probe-en", "probe-ard", "tip", "tip-f", "cca", "cca-ft"]
SETS = [("caltech58_text_vitb32", TEXT), ("caltech101_vitb32", VISUAL), ("ucf101_vitb32", VISUAL), ("dtd_vitb32", VISUAL),
        ("shift_imagenet_to_caltech52", VISUAL)]


def run(mmcl, folder, data, methods, shots, protocol, transforms):
    command = [mmcl, "adapt", os.path.join(folder, data + ".npz"), "--method", ",".join(methods), "--pool", os.path.join(folder, "pool.npy"),
               "--protocol", protocol, "--quiet", "--json", "-"]
    if shots:
        command += ["--shots", shots]
    for transform in transforms:
        command += ["--transform", transform]
    done = subprocess.run(command, capture_output=True)
    if done.returncode != 0:
        sys.exit(done.stderr.decode())
    return json.loads(done.stdout)["rows"]


def score(row):
    """The test set's accuracy, or the further test set's where there is no other."""
    if row["test_accuracy"] is not None:
        return 100 * row["test_accuracy"]
    return 100 * next(value for key, value in row.items() if key.startswith("accuracy_"))


def table(data, methods, rows):
    shots = sorted({row["shots"] for row in rows})
    leaks = {row["method"]: ", ".join(row["leaks"]) for row in rows if row["leaks"]}
    print(f"\n**{data}**\n")
    print("| head | transform | " + " | ".join(f"{n} shot{'s' if n > 1 else ''}" for n in shots) + " | mean |")
    print("| --- | --- |" + " --- |" * (len(shots) + 1))
    for method in methods:
        for transform in TRANSFORMS + ([AXES[method]] if method in AXES else []):
            found = {row["shots"]: score(row) for row in rows if row["method"] == method and row["transform"] == transform}
            if found:
                cells = [f"{found[n]:.2f}" if n in found else "-" for n in shots]
                print(f"| {method}{' *' if method in leaks else ''} | {transform} | " + " | ".join(cells) + f" | {sum(found.values()) / len(found):.2f} |")
    for method, leak in leaks.items():
        print(f"\n\\* {method}: {leak}")


def main():
    parse = argparse.ArgumentParser()
    parse.add_argument("mmcl")
    parse.add_argument("folder")
    parse.add_argument("methods", nargs="*")
    parse.add_argument("--protocol", default="strict", choices=["strict", "paper"])
    parse.add_argument("--shots", default="1,4,16")
    parse.add_argument("--json")
    given = parse.parse_args()
    if not os.path.exists(os.path.join(given.folder, "pool.npy")):
        sys.exit(f"skipped: no CLIP features in {given.folder}")
    everything = {}
    for data, methods in SETS:
        wanted = [m for m in methods if not given.methods or m in given.methods]
        fixed = {"dtd_vitb32": "1", "shift_imagenet_to_caltech52": ""}
        if wanted:
            shots = fixed.get(data, given.shots)
            everything[data] = run(given.mmcl, given.folder, data, wanted, shots, given.protocol, TRANSFORMS)
            for transform in sorted(set(AXES.values())):
                seeing = [m for m in wanted if AXES.get(m) == transform]
                if seeing:
                    everything[data] += run(given.mmcl, given.folder, data, seeing, shots, given.protocol, [transform])
            table(data, wanted, everything[data])
            sys.stdout.flush()
    if given.json:
        with open(given.json, "w") as out:
            json.dump(everything, out)


main()
