#!/usr/bin/env python3
"""Writes the corpora of the fuzz targets: small valid files that variations start from, and a few that were never valid."""
import io
import json
import pathlib
import struct
import zipfile

import numpy as np

here = pathlib.Path(__file__).parent / "corpus"


def put(target, name, data):
    folder = here / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def npy(array, version=None):
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=version)
    return file.getvalue()


def npz(arrays, compressed=False):
    """Like np.savez, with a fixed time, so that the corpus can be made again byte for byte."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compressed else zipfile.ZIP_STORED) as archive:
        for key, array in arrays.items():
            archive.writestr(zipfile.ZipInfo(key + ".npy"), npy(np.asarray(array)), archive.compression)
    return file.getvalue()


def safetensors(header, data):
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


f32 = np.arange(6, dtype="<f4").reshape(2, 3)
names = np.array(["caf\u00e9", "", "\U0001f415"])
put("npy", "f32", npy(f32))
put("npy", "v2", npy(f32, (2, 0)))
put("npy", "v3", npy(f32, (3, 0)))
put("npy", "fortran", npy(np.asfortranarray(f32.astype(">f8"))))
put("npy", "half", npy(f32.astype("<f2")))
put("npy", "labels", npy(np.array([1, 2, 3], ">i2")))
put("npy", "large", npy(np.array([2**63], "<u8")))
put("npy", "names", npy(names))
put("npy", "bytes", npy(np.array([b"ab", b"\xc3\xa9"])))
put("npy", "scalar", npy(np.float64(1)))
put("npy", "empty", npy(np.zeros((0, 4), "<f4")))
put("npy", "structured", npy(np.zeros(1, [("a", "<f4")])))
put("npy", "huge", npy(f32).replace(b"(2, 3), }            ", b"(1152921504606846976,)}"))
put("npz", "stored", npz({"x": f32, "y": np.arange(2), "names": names}))
put("npz", "deflated", npz({"x": np.zeros((20, 20), "<f4"), "names": names}, compressed=True))
put("npz", "empty", npz({}))
savez = io.BytesIO()
np.savez(savez, x=f32)  # numpy asks for zip64 in the local header
put("npz", "savez", savez.getvalue())
tensor = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
put("safetensors", "one", safetensors({"x": tensor}, f32.tobytes()))
put("safetensors", "metadata", safetensors({"__metadata__": {"format": "pt\n\u00e9"}, "\u72ac": tensor}, f32.tobytes()))
put("safetensors", "two", safetensors({
    "a": {"dtype": "I64", "shape": [1], "data_offsets": [0, 8]},
    "b": {"dtype": "BF16", "shape": [2, 1], "data_offsets": [8, 12]},
    "c": {"dtype": "BOOL", "shape": [], "data_offsets": [12, 13]}}, bytes(13)))
put("safetensors", "empty", safetensors({}, b""))

frame = {"format": np.array([1, 0], "<i4"), "library": ["0.1.0"]}


def pca(prefix):
    return {
        prefix + "columns": np.array([2, 1]), prefix + "steps": np.array([1]),
        prefix + "step0/options": np.array([3, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7]), prefix + "step0/tuning": np.array([1e-4, 1]),
        prefix + "step0/info": np.array([10, 2, 1, 2, 0, 1, 0, 0]), prefix + "step0/measures": np.array([0, 0.5, 0.1]),
        prefix + "step0/mean": np.array([0.5, 0.25]), prefix + "step0/matrix": np.array([[0.6, 0.8]]),
        prefix + "step0/variance": np.array([0.5]), prefix + "step0/spectrum": np.array([2.0, 1.0])}


def ica(prefix):
    chain = pca(prefix)
    chain[prefix + "step0/options"] = np.array([5, 1, 2, 0, 0, 0, 1, 2, 1, 0, 0, 200, 7])
    chain[prefix + "step0/start"] = np.array([[1.0]])
    return chain


def two_steps(prefix):
    chain = pca(prefix)
    chain[prefix + "steps"] = np.array([2])
    chain[prefix + "step1/options"] = np.array([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7])
    chain[prefix + "step1/tuning"] = np.array([1e-4, 1])
    chain[prefix + "step1/info"] = np.array([10, 1, 1, 0, 0, 0, 0, 0])
    chain[prefix + "step1/measures"] = np.array([0, 1, 0.1])
    return chain


def side_by_side():
    """A power and a relevance on two columns; beside them a discriminant of two."""
    chain = {"columns": np.array([2, 3]), "steps": np.array([4])}
    for i, (kind, outputs) in enumerate(((6, 2), (7, 2), (9, 2), (8, 1))):
        chain.update({"step%d/options" % i: np.array([kind, outputs if kind == 8 else 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 200, 7]),
                      "step%d/tuning" % i: np.array([1e-4, 1]), "step%d/shaping" % i: np.array([2.0 if kind == 7 else 0.8, 0.1, 3]),
                      "step%d/info" % i: np.array([10, 2, outputs, 0, 0, 1, 0, 0]), "step%d/measures" % i: np.array([0, 1, 0.1])})
    chain["step1/weights"] = np.array([1.5, 0.5])
    return {**chain, "step3/mean": np.array([0.5, 0.25]), "step3/matrix": np.array([[0.6, 0.8]]), "step3/variance": np.array([0.75]),
            "step3/spectrum": np.array([3.0, 1.0])}


head = {"classifier/weights": np.array([[0.5], [-0.5]]), "classifier/intercepts": np.array([0.1, -0.1])}
put("model", "pca", npz({**frame, "kind": ["transform"], **pca("")}))
put("model", "ica", npz({**frame, "kind": ["transform"], **ica("")}))
put("model", "two", npz({**frame, "kind": ["transform"], **two_steps("")}, compressed=True))
put("model", "side_by_side", npz({**frame, "kind": ["transform"], **side_by_side()}))
put("model", "pipeline", npz({**frame, "kind": ["pipeline"], **pca("transform/"), **head, "class_names": ["cat", "dog"]}))
put("model", "head", npz({**frame, "kind": ["pipeline"], **head}))


def rows(count, columns, dtype="<f4"):
    """Unit rows that differ."""
    x = np.cos(np.arange(count * columns).reshape(count, columns) * 1.7 + 0.4)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(dtype)


def other_head(blocks, inputs, width, unit_mapped=0, **arrays):
    """A head of two classes that is more than weights and intercepts; `blocks` as in lib/io/model_head.c."""
    linear = {"head/weights": 3 * rows(2, width, "<f8"), "head/intercepts": np.array([0.1, -0.1])} if blocks & 2 else {}
    return npz({**frame, "kind": ["pipeline"], "head/options": np.array([inputs, 2, width, 1, unit_mapped, blocks]), **linear,
                **{"head/" + key.replace("__", "/"): array for key, array in arrays.items()}})


def cache(parts, inputs, width, map=None, channels=None, min_max=0, alone=False):
    """A head with a cache of three keys; `parts` as in lib/io/model_cache.c. Keys are stored with their padding."""
    keys = np.zeros((3, 32), "<f4")
    keys[:, :width] = rows(3, width)
    arrays = {"options": np.array([3, 0 if channels is None else len(channels), 1 - min_max, min_max, parts]),
              "numbers": np.array([1.2, 2, 0.3, 0.4, 10]), "counts": np.array([2, 1]), "keys": keys}
    if channels is not None:
        arrays["channels"] = np.array([channels], "<i4")
    every = {2: ("weights", np.array([[1, 0.5, 2]], "<f4")), 8: ("text", rows(2, inputs, "<f8")), 16: ("base", rows(2, inputs, "<f8")),
             32: ("words", rows(2, width, "<f8")), 64: ("shift", 0.1 * rows(1, inputs, "<f8")), 128: ("adapter", np.eye(width))}
    arrays.update(array for bit, array in every.items() if parts & bit)
    if parts & 8:
        arrays["rows"] = rows(3, inputs)
    arrays.update(map or {})
    return other_head(4 if alone else 6, inputs, inputs, **{"cache__" + key: array for key, array in arrays.items()})


mapped = {key.replace("/", "__"): array for key, array in pca("map/").items()}
kernel = {"kernel__sharpness": np.array([2.0])}
put("model", "head_unit", other_head(2, 4, 4))
put("model", "head_unit_mapped", other_head(3, 2, 1, 1, **mapped))
put("model", "head_kernel", other_head(10, 4, 3, kernel__keys=rows(3, 4), **kernel))
put("model", "head_kernel_mapped", other_head(11, 2, 3, 1, kernel__keys=rows(3, 1), **kernel, **mapped))
put("model", "head_bottleneck", other_head(18, 4, 4, bottleneck__ratio=np.array([0.2]), bottleneck__down=rows(2, 4), bottleneck__up=rows(4, 2)))
put("model", "head_tip", cache(0, 4, 4))
put("model", "head_tip_alone", cache(0, 4, 4, alone=True))
put("model", "head_tip_mapped", cache(5, 2, 1, map=mapped))
put("model", "head_tip_coarse", cache(256, 4, 4))
put("model", "head_ape", cache(34, 4, 2, channels=[1, 3]))
put("model", "head_ape_mapped", cache(99, 2, 1, map=mapped, channels=[0]))
put("model", "head_cca", cache(8, 4, 4, min_max=1))
put("model", "head_cca_ft", cache(156, 4, 4, min_max=1))
put("model", "lpcm", npz({
    **frame, "kind": ["lpcm"], "options": np.array([1, 2, 1, 0, 2, 1, 3, 0, 0, 0, 64, 1, 2]),
    "numbers": np.array([0, 1, 0.25, 3, 0.05, 3, 0, 0, 0.2, 0]), "correlation": np.array([[1, 0.5], [0.5, 1]]),
    "mixing_x": np.array([[0.6, 0.8, 0], [0.8, -0.6, 0.6], [0, 0, 0.8]] * 2), "mixing_t": np.array([[1.0, 0.6], [0, 0.8]] * 2)}))
put("model", "lpcm_sphere", npz({
    **frame, "kind": ["lpcm"], "options": np.array([0, 3, 0, 0, 3, 1, 5, 0, 0, 1, 25000, 0, 0]),
    "numbers": np.array([0, 1, 1, 3, 10, 3, 0, 0.5, 0.2, 0])}))


def side(prefix, rng):
    """An encoder 2-2-2 with what K-FAC and weight averaging keep for it."""
    layers = {f"layer{i}/{name}": rng.normal(size=(2, cols)).astype("<f4") for i in range(2) for name, cols in (("weight", 2), ("bias", 1))}
    factors = np.concatenate([np.eye(3).ravel(), np.eye(2).ravel()] * 2).astype("<f4")
    arrays = {"widths": np.array([2, 2, 2]), "options": np.zeros(6, "<i8"), "tuning": np.array([0.01, 1, 1, 0, 1]), "factors": factors, "inverses": factors}
    arrays.update(layers)
    for vector in ("first", "average"):
        arrays.update({f"{vector}/{name}": values * np.float32(0.5) for name, values in layers.items()})
    return {prefix + key: array for key, array in arrays.items()}


def checkpoint(step):
    rng = np.random.default_rng(step)
    order = {"order": np.array([7, 3, 0, 4, 2, 6, 1, 5], "<u4")} if step % 2 else {}
    return {
        **frame, "kind": ["checkpoint"], "step": np.array([step]), "options": np.array([1, 2, 0, 0, 0, 0, 2, 2, 2, 4, 2, 8, 0, 0, 0, 40, 1] + [0] * 7),
        "numbers": np.array([0.05, 0, 0.9, 0.999, 1e-8, 0.98, 0.03, 0.1, 0, 0, 0.5, 1, 3e-3, 0, 0, 0, 0]),
        "state": np.array([0.6, 0.7, 0.1, 0.05, 0.007, 0, -0.008, 0, 4e-5, 0]), **side("x/", rng), **side("t/", rng), **order}


put("model", "checkpoint", npz(checkpoint(3)))
put("model", "checkpoint_pool", npz(checkpoint(8)))
put("model", "newer", npz({"format": np.array([2, 0], "<i4"), "kind": ["transform"]}))
