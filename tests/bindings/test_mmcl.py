"""The Python module against numpy: same numbers, no copies, errors and interruptions as exceptions."""
import gc
import os
import sys
import tempfile
import threading
import unittest

try:
    import numpy as np
except ImportError:
    sys.exit(77)

import mmcl


def features(rows=400, cols=8, seed=0):
    rng = np.random.RandomState(seed)
    return (rng.laplace(size=(rows, cols)) @ rng.normal(size=(cols, cols)) + 1).astype(np.float32)


def whitened(x, k):
    x = x.astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    order = np.argsort(values)[::-1][:k]
    return (x - x.mean(0)) @ vectors[:, order] / np.sqrt(values[order])


class TransformTest(unittest.TestCase):
    def setUp(self):
        self.x = features()

    def test_whitening_is_numpys_up_to_sign(self):
        codes = mmcl.Transform("whiten:5").fit(self.x).apply(self.x)
        expected = whitened(self.x, 5)
        sign = np.sign((codes * expected).sum(0))
        np.testing.assert_allclose(codes, expected * sign, atol=2e-4)

    def test_layouts_are_read_in_place(self):
        expected = mmcl.Transform("pca:3").fit(self.x).apply(self.x)
        wide = np.zeros((800, 24), np.float32)
        wide[::2, ::3] = self.x
        for name, x in {"fortran": np.asfortranarray(self.x), "strided": wide[::2, ::3], "reversed": self.x[::-1].copy()[::-1],
                        "swapped": self.x.astype(">f4"), "float64": self.x.astype(np.float64)}.items():
            with self.subTest(name):
                keep = []
                view = mmcl._view(x, keep)
                if name != "reversed":
                    self.assertEqual(view.data, x.ctypes.data)
                np.testing.assert_allclose(mmcl.Transform("pca:3").fit(x).apply(x), expected, atol=1e-4)
        half = self.x.astype(np.float16)
        np.testing.assert_allclose(mmcl.Transform("pca:3").fit(half).apply(half), expected, atol=0.05)

    def test_parts_are_stacked(self):
        whole = mmcl.Transform("ica:4").fit(self.x)
        parts = mmcl.Transform("ica:4").fit([self.x[:150], self.x[150:]])
        np.testing.assert_allclose(parts.apply(self.x), whole.apply(self.x), atol=1e-3)

    def test_fields_info_and_the_way_back(self):
        transform = mmcl.Transform("pca:8").fit(self.x)
        info, = transform.info()
        self.assertEqual((info["rows"], info["inputs"], info["components"], info["stop"]), (400, 8, 8, "closed form"))
        self.assertAlmostEqual(info["explained_variance"], 1, places=6)
        np.testing.assert_allclose(transform.field(0, "mean"), self.x.mean(0), atol=1e-4)
        b = transform.field(0, "components")
        np.testing.assert_allclose(b @ b.T, np.eye(8), atol=1e-6)
        np.testing.assert_allclose(transform.inverse(transform.apply(self.x)), self.x, atol=1e-3)
        mean, matrix = transform.affine()
        np.testing.assert_allclose((self.x - mean) @ matrix.T, transform.apply(self.x), atol=1e-3)
        spectrum = np.sort(np.linalg.eigvalsh(np.cov(self.x.T.astype(np.float64), bias=True)))[::-1]
        np.testing.assert_allclose(transform.field(0, "spectrum"), spectrum, rtol=1e-4)

    def test_save_and_load(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "t.npz")
            transform = mmcl.Transform("pca:5+ica:3").fit(self.x)
            transform.save(path)
            loaded = mmcl.Transform.load(path)
            self.assertTrue(np.array_equal(loaded.apply(self.x), transform.apply(self.x)))
            self.assertGreater(len(np.load(path).files), 0)


class ClassifierTest(unittest.TestCase):
    def setUp(self):
        self.x = features(300, 6, 1)
        self.labels = np.argmax(self.x[:, :3] + np.random.RandomState(2).normal(size=(300, 3)), 1)

    def objective(self, head, c):
        weights, intercepts = head.weights
        logits = self.x @ weights.T + intercepts
        logits -= logits.max(1, keepdims=True)
        logs = logits - np.log(np.exp(logits).sum(1, keepdims=True))
        gradient = np.exp(logs)
        gradient[np.arange(300), self.labels] -= 1
        return -c * logs[np.arange(300), self.labels].sum() + (weights**2).sum() / 2, c * gradient.T @ self.x + weights

    def test_gradient_vanishes(self):
        head = mmcl.Classifier.fit(self.x, self.labels, c_=0.3, tolerance=1e-10, float64=True)
        value, gradient = self.objective(head, 0.3)
        self.assertAlmostEqual(value / head.info["objective"], 1, places=6)
        self.assertLess(np.abs(gradient).max(), 1e-3 * value)

    def test_scores_and_predictions(self):
        head = mmcl.Classifier.fit(self.x, self.labels)
        weights, intercepts = head.weights
        scores = self.x @ weights.T + intercepts
        np.testing.assert_allclose(head.scores(self.x), scores, atol=1e-4)
        self.assertTrue(np.array_equal(head.predict(self.x), head.scores(self.x).argmax(1)))
        self.assertTrue(set(head.predict(self.x, [True, False, True])) <= {0, 2})
        copy = mmcl.Classifier.from_weights(weights, intercepts)
        self.assertTrue(np.array_equal(copy.scores(self.x), head.scores(self.x)))

    def test_search(self):
        head = mmcl.Classifier.search(self.x, self.labels, self.x, self.labels, grid=[100, 1, 0.01], steps=3)
        self.assertAlmostEqual(head.info["val_accuracy"], (head.predict(self.x) == self.labels).mean())
        self.assertTrue(0.001 <= head.info["c"] <= 1000)

    def test_pipeline(self):
        transform = mmcl.Transform("whiten:4+normalize").fit(self.x)
        head = mmcl.Classifier.fit(transform.apply(self.x), self.labels)
        pipeline = mmcl.Pipeline(transform, head, ["one", "two", "thr\u00e9e"])
        with tempfile.TemporaryDirectory() as folder:
            pipeline.save(os.path.join(folder, "p.npz"))
            loaded = mmcl.Pipeline.load(os.path.join(folder, "p.npz"))
        classes, scores = loaded.predict(self.x, scores=True)
        self.assertEqual(loaded.names, ["one", "two", "thr\u00e9e"])
        self.assertTrue(np.array_equal(classes, head.predict(transform.apply(self.x))))
        self.assertTrue(np.array_equal(scores.argmax(1), classes))


class ArrayTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def test_reads_what_numpy_writes(self):
        x, labels, names = features(50, 4), np.arange(50) % 3, np.array(["a", "b\u00e9", ""])
        np.savez(self.path("a.npz"), x=x, h=np.asfortranarray(x.astype(np.float16)), big=x.astype(">f8"), y=labels, n=names)
        np.savez_compressed(self.path("c.npz"), x=x)
        np.save(self.path("b.npy"), x)
        for name, expected in {"a.npz:x": x, "a.npz:h": x.astype(np.float16), "a.npz:big": x.astype(">f8"), "a.npz:y": labels,
                               "a.npz:n": names, "c.npz:x": x, "b.npy": x}.items():
            with self.subTest(name):
                got = mmcl.read(self.path(name))
                gc.collect()
                self.assertEqual(got.dtype.newbyteorder("="), expected.dtype.newbyteorder("="))
                self.assertTrue(np.array_equal(got, expected))

    def test_writes_what_numpy_reads(self):
        x = features(50, 4)
        mmcl.write(self.path("w.npz"), {"x": x.T, "h": x.astype(np.float16), "y": np.arange(7), "n": np.array(["q", "\u00e9"])})
        with np.load(self.path("w.npz")) as got:
            self.assertTrue(np.array_equal(got["x"], x.T) and np.array_equal(got["h"], x.astype(np.float16)))
            self.assertTrue(np.array_equal(got["y"], np.arange(7)) and list(got["n"]) == ["q", "\u00e9"])
        mmcl.write(self.path("w.npy"), x)
        self.assertTrue(np.array_equal(np.load(self.path("w.npy")), x))

    def test_mapped_arrays_are_not_copied(self):
        np.save(self.path("m.npy"), features())
        got = mmcl.read(self.path("m.npy"))
        self.assertFalse(got.flags.owndata or got.flags.writeable)

    def test_arrays_outlive_their_context(self):
        np.save(self.path("m.npy"), features())
        with mmcl.Context() as context:
            got = mmcl.read(self.path("m.npy"), context)
            transform = mmcl.Transform("pca:2", context)
        del context
        gc.collect()
        self.assertTrue(np.array_equal(got, features()))
        self.assertFalse(transform._handle)


class ErrorTest(unittest.TestCase):
    def test_messages(self):
        with self.assertRaisesRegex(mmcl.Error, "bogus") as caught:
            mmcl.Transform("pca:3+bogus:2")
        self.assertEqual(caught.exception.status, -2)
        with self.assertRaises(mmcl.Error) as caught:
            mmcl.read("/nonexistent/file.npy")
        self.assertEqual(caught.exception.status, -34)
        x = features()
        x[3, 2] = np.nan
        with self.assertRaisesRegex(mmcl.Error, "row 3, column 2"):
            mmcl.Transform("pca:3").fit(x)

    def test_progress_and_its_verdict(self):
        events = []
        context = mmcl.Context(progress=lambda p: events.append(p))
        mmcl.Transform("ica:4", context).fit(features())
        self.assertEqual([e.finished for e in events].count(True), 1)
        self.assertTrue(events[-1].finished and events[-1].status == 0)
        context.progress = lambda p: True
        transform = mmcl.Transform("ica:4", context)
        with self.assertRaises(mmcl.Cancelled):
            transform.fit(features())
        context.progress = None
        self.assertEqual(transform.fit(features()).shape, (8, 4))

    def test_exceptions_come_through(self):
        def progress(event):
            raise KeyboardInterrupt
        with self.assertRaises(KeyboardInterrupt):
            mmcl.Transform("ica:4", mmcl.Context(progress=progress)).fit(features())

    def test_cancel_from_a_thread(self):
        context = mmcl.Context()

        def progress(event):
            if not event.finished:
                thread = threading.Thread(target=context.cancel)
                thread.start()
                thread.join()
        context.progress = progress
        transform = mmcl.Transform("ica:4", context)
        with self.assertRaises(mmcl.Cancelled):
            transform.fit(features())
        context.cancel_clear()
        context.progress = None
        transform.fit(features())


if __name__ == "__main__":
    unittest.main()
