"""A thin layer over libmmcl's C interface: numpy arrays in, numpy arrays out, nothing copied on the way in.

    import mmcl, numpy as np

    context = mmcl.Context(threads=2)
    features = mmcl.read("features.npz:train_x", context)
    transform = mmcl.Transform("pca:64+ica:32", context).fit(features)
    codes = transform.apply(features)
    head = mmcl.Classifier.fit(codes, labels, context=context)
    mmcl.Pipeline(transform, head, ["cat", "dog"]).save("pipeline.npz")

Features are two-dimensional arrays of float16, float32 or float64, in either byte order and with any strides; only arrays with
a negative or zero stride are copied. Failures raise mmcl.Error with the library's message. A long call can be stopped by
Context.cancel from another thread, by a progress callback that returns True, and by Ctrl-C.

The shared library is looked for as MMCL_LIBRARY (a path, from the environment) and then as libmmcl.so.0.
"""

import collections
import ctypes as c
import os
import weakref

import numpy as np

_lib = c.CDLL(os.environ.get("MMCL_LIBRARY", "libmmcl.so.0"))

# ------------------------------------------------------------------------------------------------------------ structs


class _Struct(c.Structure):
    """A struct that begins with its own size."""

    def __init__(self, **fields):
        super().__init__(struct_size=c.sizeof(type(self)), **fields)


def _struct(name, fields):
    return type(name, (_Struct,), {"_fields_": [("struct_size", c.c_size_t)] + fields})


def _fields(kind, names):
    return [(name, kind) for name in names.split()]


_u64, _u32, _i32, _f64, _size = c.c_uint64, c.c_uint32, c.c_int32, c.c_double, c.c_size_t

_read_rows = c.CFUNCTYPE(_i32, c.c_void_p, _size, _size, c.c_void_p)


class _Matrix(c.Structure):
    _fields_ = [("data", c.c_void_p), *_fields(_size, "rows cols row_stride col_stride"), ("read", _read_rows),
                ("read_user", c.c_void_p), ("dtype", _i32), ("swapped", _u32)]


class _Labelled(c.Structure):
    _fields_ = [("features", _Matrix), ("labels", c.c_void_p)]


_ProgressEvent = _struct("_ProgressEvent", [("operation", c.c_char_p), *_fields(_u64, "step total"),
                                            *_fields(_f64, "value seconds"), ("finished", _u32), ("status", _i32)])
_progress_fn = c.CFUNCTYPE(_i32, c.c_void_p, c.POINTER(_ProgressEvent))
_log_fn = c.CFUNCTYPE(None, c.c_void_p, _i32, c.c_char_p)

_ContextOptions = _struct("_ContextOptions", [
    ("allocator", c.c_void_p), ("executor", c.c_void_p), ("log", _log_fn), ("log_user", c.c_void_p), ("progress", _progress_fn),
    ("progress_user", c.c_void_p), ("threads", _u32), ("blas_policy", _i32)])
_ArrayInfo = _struct("_ArrayInfo", [("shape", _u64 * 8), *_fields(_u64, "elements element_bytes"), ("dimensions", _u32),
                                    ("dtype", _i32), *_fields(_u32, "fortran swapped mapped compressed")])
_FitOptions = _struct("_FitOptions", [("cache_bytes", _u64)])
_StepInfo = _struct("_StepInfo", [*_fields(_u64, "rows inputs components rank iterations passes super_gaussian"),
                                  *_fields(_f64, "residual explained_variance seconds"), *_fields(_i32, "kind stop")])
_LogregOptions = _struct("_LogregOptions", [*_fields(_f64, "c tolerance"), ("max_iterations", _u64), ("no_intercept", _u32),
                                            ("precision", _i32)])
_LogregInfo = _struct("_LogregInfo", [*_fields(_f64, "c objective gradient_norm gap"), *_fields(_u64, "iterations passes"),
                                      ("seconds", _f64), ("stop", _i32), ("reserved", _u32)])
_SearchOptions = _struct("_SearchOptions", [
    ("grid", c.c_void_p), *_fields(_u64, "grid_count steps"), ("tolerance", _f64), ("max_iterations", _u64),
    *_fields(c.c_void_p, "fitted fitted_user"), ("precision", _i32), ("reserved", _u32)])
_SearchInfo = _struct("_SearchInfo", [*_fields(_f64, "c val_accuracy"), *_fields(_u64, "fits passes"), ("seconds", _f64)])

_DTYPES = {0: "f4", 1: "f8", 2: "f2", 3: "u2", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8",
           16: "?"}
_BF16, _STR = 3, 24
_CODES = {np.dtype(name): code for code, name in _DTYPES.items() if code != _BF16}

for _name in """status_string version_string context_message archive_key pipeline_class_name""".split():
    getattr(_lib, "mmcl_" + _name).restype = c.c_char_p
for _name in "transform_count archive_count".split():
    getattr(_lib, "mmcl_" + _name).restype = _size
for _name in "pipeline_transform pipeline_classifier".split():
    getattr(_lib, "mmcl_" + _name).restype = c.c_void_p

__version__ = _lib.mmcl_version_string().decode()

# ------------------------------------------------------------------------------------------------------------- errors


class Error(Exception):
    """A call failed. `status` is the library's code; the text is its message."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


class Cancelled(Error):
    """The operation was stopped; the handle is as it was and can be used again."""


def _text(status):
    return _lib.mmcl_status_string(_i32(status)).decode()


Progress = collections.namedtuple("Progress", "operation step total value seconds finished status")

# ------------------------------------------------------------------------------------------------------------ context


class Context:
    """Threads, progress and messages; everything else is born from one. Used by one thread at a time, cancel() apart.

    progress(Progress) is called during long operations and stops them by returning True; log(level, text) receives warnings
    (level 1) and notes (2).
    """

    def __init__(self, threads=1, progress=None, log=None):
        self.progress, self._raised, self._children = progress, None, weakref.WeakSet()
        self._on_progress = _progress_fn(self._event)  # ctypes does not keep callbacks alive
        self._on_log = _log_fn(lambda user, level, text: log(level, text.decode(errors="replace")) if log else None)
        options = _ContextOptions(threads=threads, progress=self._on_progress, log=self._on_log)
        self._handle = c.c_void_p()
        status = _lib.mmcl_context_create(c.byref(self._handle), c.byref(options))
        if status:
            raise Error(status, _text(status))

    def _event(self, user, event):
        """Exceptions, Ctrl-C among them, stop the operation and come up again in check()."""
        try:
            e = event.contents
            if self.progress and self._raised is None:
                return 1 if self.progress(Progress(e.operation.decode(), e.step, e.total, e.value, e.seconds, bool(e.finished),
                                                   e.status)) is True else 0
            return 0
        except BaseException as raised:
            self._raised = raised
            return 1

    def check(self, status, quiet=False):
        """Raises what a call's status stands for; `quiet` for calls that leave no message."""
        raised, self._raised = self._raised, None
        if raised is not None:
            raise raised
        if status:
            text = "" if quiet else _lib.mmcl_context_message(self._handle).decode(errors="replace")
            raise (Cancelled if status == -10 else Error)(status, text or _text(status))

    def cancel(self):
        """Stops the running operation, and every later one, from any thread."""
        _lib.mmcl_context_cancel(self._handle)

    def cancel_clear(self):
        """Lets operations run again after cancel()."""
        _lib.mmcl_context_cancel_clear(self._handle)

    def close(self):
        """Ends all that was born from the context, and the context. Arrays that numpy still looks into live on, and it with them."""
        children = list(self._children)
        for child in children:
            if not child.borrowed:
                child.close()
        if self._handle and not any(child.borrowed for child in children):
            _lib.mmcl_context_destroy(self._handle)
            self._handle = c.c_void_p()

    def __del__(self):
        for child in list(getattr(self, "_children", ())):
            child.borrowed = False
        self.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()


_default = []


def _context(context):
    """The given context, or one that is shared by all who give none."""
    if context is None and not _default:
        _default.append(Context())
    return context or _default[0]


class _Handle:
    _destroy, borrowed = None, False

    def __init__(self, context, handle=None):
        self.context, self._handle = context, handle if handle is not None else c.c_void_p()
        context._children.add(self)

    def close(self):
        """Releases the handle now instead of with the object."""
        if getattr(self, "_handle", None):
            getattr(_lib, self._destroy)(self._handle)
            self._handle = c.c_void_p()

    def __del__(self):
        self.close()

    def _make(self, function, *arguments):
        self.context.check(function(c.byref(self._handle), self.context._handle, *arguments))
        return self


# ------------------------------------------------------------------------------------------------------------- arrays


def _view(array, keep):
    """A matrix view of a numpy array; `keep` receives what has to live as long as the view."""
    array = np.asarray(array)
    if array.ndim != 2:
        raise ValueError("expected a two-dimensional array, not %d dimensions" % array.ndim)
    item = array.itemsize
    if any(n > 1 and (s <= 0 or s % item) for n, s in zip(array.shape, array.strides)):
        array = np.ascontiguousarray(array)
    code = _CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        raise TypeError("elements of type %s" % array.dtype)
    keep.append(array)
    (rows, cols), (down, across) = array.shape, array.strides
    return _Matrix(data=array.ctypes.data, rows=rows, cols=cols, row_stride=down // item if rows > 1 else 0,
                   col_stride=across // item if cols > 1 else 0, dtype=code, swapped=not array.dtype.isnative)


def _labelled(features, labels, keep):
    labels = np.ascontiguousarray(labels, dtype=np.int64)
    view = _view(features, keep)
    if labels.shape != (view.rows,):
        raise ValueError("%s labels for %d rows" % (labels.shape, view.rows))
    keep.append(labels)
    return _Labelled(view, labels.ctypes.data)


def _pointer(array):
    return c.c_void_p(array.ctypes.data)


class _Array(_Handle):
    _destroy = "mmcl_array_destroy"

    def info(self):
        info = _ArrayInfo()
        self.context.check(_lib.mmcl_array_get_info(self._handle, c.byref(info)), quiet=True)
        return info

    def texts(self, count):
        out, needed = [], _size()
        for i in range(count):
            self.context.check(_lib.mmcl_array_string(self._handle, _size(i), None, _size(0), c.byref(needed)))
            text = c.create_string_buffer(needed.value)
            self.context.check(_lib.mmcl_array_string(self._handle, _size(i), text, needed, None))
            out.append(text.value.decode())
        return np.array(out)

    def numpy(self):
        info = self.info()
        shape = tuple(info.shape[:info.dimensions])
        if info.dtype == _STR:
            return self.texts(info.elements).reshape(shape)
        if info.dtype > _BF16:
            labels = np.empty(info.elements, np.int64)
            self.context.check(_lib.mmcl_array_labels(self._handle, _pointer(labels), _size(labels.size)))
            return labels.reshape(shape)
        view = _Matrix()
        self.context.check(_lib.mmcl_array_matrix(self._handle, c.byref(view)), quiet=True)
        out = self._borrow(view) if view.data else self._copy(view)
        if info.dtype == _BF16:  # numpy has no such type
            out = (np.ascontiguousarray(out).astype(np.uint32) << 16).view(np.float32)
        return out.reshape(shape)

    def _borrow(self, view):
        """An array over the library's memory, which lives as long as the array does."""
        dtype = np.dtype(_DTYPES[view.dtype])
        dtype = dtype.newbyteorder() if view.swapped else dtype
        down, across = view.row_stride or view.cols, view.col_stride or 1
        bytes_ = ((view.rows - 1) * down + (view.cols - 1) * across + 1) * dtype.itemsize if view.rows * view.cols else 0
        buffer = (c.c_char * bytes_).from_address(view.data)
        buffer.owner, self.borrowed = self, True
        out = np.ndarray((view.rows, view.cols), dtype, buffer, 0, (down * dtype.itemsize, across * dtype.itemsize))
        out.flags.writeable = False
        return out

    def _copy(self, view):
        out = np.empty((view.rows, view.cols), _DTYPES[view.dtype])
        self.context.check(view.read(view.read_user, 0, view.rows, out.ctypes.data), quiet=True)
        return out


def read(name, context=None):
    """The array FILE, FILE.npz:KEY or FILE.safetensors:KEY. Features are not copied where the file can be mapped (then they are
    read-only); integers come as int64, text as str, bfloat16 as float32."""
    return _Array(_context(context))._make(_lib.mmcl_array_open, os.fsencode(name), None).numpy()


class _Writer(_Handle):
    _destroy = "mmcl_writer_destroy"


def write(path, arrays, context=None):
    """Writes a dictionary of arrays to FILE.npz or FILE.safetensors, or one array to FILE.npy. Features keep their type,
    one-dimensional integers become int64 labels, str arrays text. The file appears only when it is complete."""
    context = _context(context)
    if not isinstance(arrays, dict):
        arrays = {"": arrays}
    writer = _Writer(context)._make(_lib.mmcl_writer_create, os.fsencode(path))
    for key, array in arrays.items():
        array, key, keep = np.asarray(array), key.encode(), []
        if array.dtype.kind == "U":
            texts = (c.c_char_p * array.size)(*[text.encode() for text in array.ravel()])
            status = _lib.mmcl_writer_add_strings(writer._handle, key, texts, _size(array.size))
        elif array.ndim == 1 and array.dtype.kind in "iu":
            labels = np.ascontiguousarray(array, np.int64)
            status = _lib.mmcl_writer_add_labels(writer._handle, key, _pointer(labels), _size(labels.size))
        else:
            view = _view(array, keep)
            status = _lib.mmcl_writer_add(writer._handle, key, c.byref(view), _i32(view.dtype))
        context.check(status)
    context.check(_lib.mmcl_writer_commit(writer._handle))
    writer.close()


# ---------------------------------------------------------------------------------------------------------- transform

_STOPS = ("closed form", "tolerance", "iterations", "no progress")
_FIELDS = {"mean": 1, "components": 2, "mixing": 3, "variance": 4, "spectrum": 5}


class Transform(_Handle):
    """A chain of steps such as "pca:500+ica:160" (see mmcl_transform_create_spec)."""

    _destroy = "mmcl_transform_destroy"

    def __init__(self, spec, context=None):
        super().__init__(_context(context))
        self._make(_lib.mmcl_transform_create_spec, spec.encode())

    @classmethod
    def load(cls, path, context=None):
        """A chain that was saved."""
        self = cls.__new__(cls)
        _Handle.__init__(self, _context(context))
        return self._make(_lib.mmcl_transform_load, os.fsencode(path), None)

    def save(self, path):
        """Writes the fitted chain to a model file."""
        self.context.check(_lib.mmcl_transform_save(self._handle, os.fsencode(path)))

    def fit(self, arrays, cache_bytes=0):
        """Fits on the rows of one array, or of a list of arrays as if they were stacked. Returns the transform."""
        keep = []
        views = [_view(array, keep) for array in (arrays if isinstance(arrays, (list, tuple)) else [arrays])]
        options = _FitOptions(cache_bytes=cache_bytes)
        self.context.check(_lib.mmcl_transform_fit(self._handle, (_Matrix * len(views))(*views), _size(len(views)),
                                                   c.byref(options)))
        return self

    @property
    def shape(self):
        """Columns in and out."""
        inputs, outputs = _size(), _size()
        self.context.check(_lib.mmcl_transform_shape(self._handle, c.byref(inputs), c.byref(outputs)), quiet=True)
        return inputs.value, outputs.value

    def apply(self, x):
        """The transformed rows, float32. May run in several threads at once."""
        keep, out = [], np.empty((len(x), self.shape[1]), np.float32)
        self.context.check(_lib.mmcl_transform_apply(self._handle, c.byref(_view(x, keep)), _pointer(out), _size(0)), quiet=True)
        return out

    def inverse(self, y):
        """The least-squares way back, float32."""
        keep, out = [], np.empty((len(y), self.shape[0]), np.float32)
        self.context.check(_lib.mmcl_transform_inverse(self._handle, c.byref(_view(y, keep)), _pointer(out), _size(0)))
        return out

    def affine(self):
        """(mean, matrix) of the whole chain as one map y = (x - mean) matrix^T."""
        inputs, outputs = self.shape
        mean, matrix = np.empty(inputs), np.empty((outputs, inputs))
        self.context.check(_lib.mmcl_transform_affine(self._handle, _pointer(mean), _pointer(matrix)), quiet=True)
        return mean, matrix

    def info(self):
        """What the fit of each step found: a list of dictionaries."""
        out = []
        for step in range(_lib.mmcl_transform_count(self._handle)):
            info = _StepInfo()
            self.context.check(_lib.mmcl_transform_step_result(self._handle, _size(step), c.byref(info)), quiet=True)
            values = {name: getattr(info, name) for name, _ in _StepInfo._fields_[1:]}
            out.append({**values, "stop": _STOPS[info.stop]})
        return out

    def field(self, step, name):
        """One of mean, components, mixing, variance and spectrum of a step, float64."""
        code, needed, info = _i32(_FIELDS[name]), _size(), self.info()[step]
        self.context.check(_lib.mmcl_transform_field(self._handle, _size(step), code, None, _size(0), c.byref(needed)))
        out = np.empty(needed.value)
        self.context.check(_lib.mmcl_transform_field(self._handle, _size(step), code, _pointer(out), needed, None))
        shapes = {"components": (info["components"], info["inputs"]), "mixing": (info["inputs"], info["components"])}
        return out.reshape(shapes.get(name, -1))


# --------------------------------------------------------------------------------------------------------- classifier


def _values(info):
    return {name: getattr(info, name) for name, _ in info._fields_[1:] if name != "reserved"}


class Classifier(_Handle):
    """A linear head. Made by fit, search or from_weights; `info` tells what the fit found."""

    _destroy = "mmcl_classifier_destroy"

    @classmethod
    def fit(cls, x, labels, classes=None, c_=1.0, tolerance=0, max_iterations=0, intercept=True, start=None, float64=False,
            context=None):
        """Multinomial logistic regression with the inverse regularisation strength `c_`."""
        keep, info, self = [], _LogregInfo(), cls(_context(context))
        options = _LogregOptions(c=c_, tolerance=tolerance, max_iterations=max_iterations, no_intercept=not intercept,
                                 precision=int(float64))
        train = _labelled(x, labels, keep)
        self._make(_lib.mmcl_logreg_fit, c.byref(train), _size(_classes(classes, labels)), c.byref(options),
                   start._handle if start else None, c.byref(info))
        self.info = {**_values(info), "stop": _STOPS[info.stop]}
        return self

    @classmethod
    def search(cls, x, labels, val_x, val_labels, classes=None, grid=None, steps=0, context=None):
        """CoOp's search for the strength with the best accuracy on the second set."""
        keep, info, self = [], _SearchInfo(), cls(_context(context))
        grid = None if grid is None else np.ascontiguousarray(grid, np.float64)
        options = _SearchOptions(grid=None if grid is None else grid.ctypes.data, grid_count=0 if grid is None else grid.size,
                                 steps=steps)
        train, val = _labelled(x, labels, keep), _labelled(val_x, val_labels, keep)
        self._make(_lib.mmcl_logreg_search, c.byref(train), c.byref(val), _size(_classes(classes, labels)), c.byref(options),
                   c.byref(info))
        self.info = _values(info)
        return self

    @classmethod
    def from_weights(cls, weights, intercepts=None, context=None):
        """A head of weights [classes, inputs] and intercepts [classes]."""
        weights, self = np.ascontiguousarray(weights, np.float64), cls(_context(context))
        intercepts = None if intercepts is None else np.ascontiguousarray(intercepts, np.float64)
        return self._make(_lib.mmcl_classifier_create_linear, _size(weights.shape[0]), _size(weights.shape[1]), _pointer(weights),
                          None if intercepts is None else _pointer(intercepts))

    @property
    def shape(self):
        """Inputs and classes."""
        inputs, classes = _size(), _size()
        self.context.check(_lib.mmcl_classifier_shape(self._handle, c.byref(inputs), c.byref(classes)), quiet=True)
        return inputs.value, classes.value

    @property
    def weights(self):
        """(weights [classes, inputs], intercepts [classes]), float64."""
        inputs, classes = self.shape
        weights, intercepts = np.empty((classes, inputs)), np.empty(classes)
        self.context.check(_lib.mmcl_classifier_weights(self._handle, _pointer(weights), _pointer(intercepts)), quiet=True)
        return weights, intercepts

    def scores(self, x):
        """Logits, float32. May run in several threads at once."""
        keep, out = [], np.empty((len(x), self.shape[1]), np.float32)
        self.context.check(_lib.mmcl_classifier_scores(self._handle, c.byref(_view(x, keep)), _pointer(out), _size(0)), quiet=True)
        return out

    def predict(self, x, mask=None):
        """The class of each row, among those for which `mask` is true."""
        keep, out = [], np.empty(len(x), np.int64)
        mask = None if mask is None else np.ascontiguousarray(mask, np.bool_)
        if mask is not None and mask.shape != self.shape[1:]:
            raise ValueError("a mask of %s for %d classes" % (mask.shape, self.shape[1]))
        self.context.check(_lib.mmcl_classifier_predict(self._handle, c.byref(_view(x, keep)),
                                                        None if mask is None else _pointer(mask), _pointer(out)), quiet=True)
        return out


def _classes(classes, labels):
    return int(np.max(labels)) + 1 if classes is None else classes


# ----------------------------------------------------------------------------------------------------------- pipeline


class Pipeline(_Handle):
    """Transform, head and class names in one; copies all three."""

    _destroy = "mmcl_pipeline_destroy"

    def __init__(self, transform, classifier, names=None):
        super().__init__(classifier.context)
        if names is not None and len(names) != classifier.shape[1]:
            raise ValueError("%d names for %d classes" % (len(names), classifier.shape[1]))
        texts = None if names is None else (c.c_char_p * len(names))(*[name.encode() for name in names])
        self._make(_lib.mmcl_pipeline_create, transform._handle if transform else None, classifier._handle, texts)

    @classmethod
    def load(cls, path, context=None):
        """A pipeline that was saved."""
        self = cls.__new__(cls)
        _Handle.__init__(self, _context(context))
        return self._make(_lib.mmcl_pipeline_load, os.fsencode(path), None)

    def save(self, path):
        """Writes the pipeline to a model file."""
        self.context.check(_lib.mmcl_pipeline_save(self._handle, os.fsencode(path)))

    @property
    def classes(self):
        """Number of classes."""
        classes = _size()
        head = c.c_void_p(_lib.mmcl_pipeline_classifier(self._handle))
        self.context.check(_lib.mmcl_classifier_shape(head, None, c.byref(classes)), quiet=True)
        return classes.value

    @property
    def names(self):
        """Class names, or None."""
        names = [_lib.mmcl_pipeline_class_name(self._handle, _size(i)) for i in range(self.classes)]
        return None if None in names else [name.decode() for name in names]

    def predict(self, x, scores=False):
        """The class of each raw row; with `scores`, a pair of classes and logits. May run in several threads at once."""
        keep, answers = [], np.empty(len(x), np.int64)
        logits = np.empty((len(x), self.classes), np.float32) if scores else None
        self.context.check(_lib.mmcl_pipeline_predict(self._handle, c.byref(_view(x, keep)), _pointer(answers),
                                                      _pointer(logits) if scores else None), quiet=True)
        return (answers, logits) if scores else answers
