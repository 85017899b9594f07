#!/usr/bin/env python3
"""Writes the small files that test_io.c reads. They are kept: a change of numpy then cannot change what is tested.

Every float array counts 0, 1, 2 ... in the order of its indices, so that the test knows each element.
"""
import io
import json
import pathlib
import struct

import numpy as np

here = pathlib.Path(__file__).parent


def count(shape, dtype, order="C"):
    return np.asarray(np.arange(np.prod(shape)).reshape(shape), dtype=dtype, order=order)


arrays = {
    "f16": count((2, 3), "<f2"),
    "f32": count((4, 3), "<f4"),
    "f64_big": count((3, 2), ">f8"),
    "f32_fortran": count((4, 3), "<f4", "F"),
    "f64_fortran_big": count((3, 4), ">f8", "F"),
    "i8": np.array([-128, 0, 127], "i1"),
    "u8": np.array([0, 1, 255], "u1"),
    "i16_big": np.array([-32768, 0, 32767], ">i2"),
    "u32": np.array([[0], [1], [2**32 - 1]], "<u4"),
    "i64": np.array([-(2**63), 0, 2**63 - 1], "<i8"),
    "u64": np.array([2**63], "<u8"),
    "bool": np.array([True, False, True]),
    "scalar": np.float32(7),
    "empty": np.zeros((0, 5), "<f4"),
    "names": np.array(["", "caf\u00e9", "\u72ac", "\U0001f415x"]),
    "names_big": np.array(["a", "caf\u00e9"], ">U5"),
    "bytes": np.array([b"", b"ab", "\u00e9".encode()]),
    "cube": count((2, 2, 2), "<f4"),
}
np.savez(here / "stored.npz", **arrays)
np.savez_compressed(here / "deflated.npz", **arrays)
for version in (1, 2, 3):
    with open(here / f"v{version}.npy", "wb") as file:
        np.lib.format.write_array(file, count((3, 2), "<f4"), version=(version, 0))
np.save(here / "object.npy", np.array([{"a": 1}], dtype=object))
np.save(here / "complex.npy", np.zeros(2, "c8"))
np.save(here / "structured.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))


def tensors(items, metadata):
    header, data = {"__metadata__": metadata}, b""
    for name, dtype, shape, raw in items:
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def bf16(values):
    return (np.asarray(values, "<f4").view("<u4") >> 16).astype("<u2").tobytes()


(here / "tensors.safetensors").write_bytes(tensors([
    ("flag", "BOOL", [3], b"\1\0\1"),
    ("w", "F32", [4, 3], count((4, 3), "<f4").tobytes()),  # off its alignment
    ("half", "BF16", [2, 3], bf16(np.arange(6))),
    ("caf\u00e9 \"quoted\"", "I64", [2], np.array([-1, 5], "<i8").tobytes()),
    ("eight", "F8_E4M3", [2], b"\0\0"),
    ("none", "F64", [0, 4], b""),
], {"format": "pt", "note": "a\\b\n"}))
