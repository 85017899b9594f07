/*
 * Encoders: trainable maps f(x) from rows of observations to representations, and host encoders, which are networks that live
 * elsewhere and are reached through callbacks.
 *
 * The network: h_0 = x; h_{l+1} = act(h_l W_l^T + b_l), plus h_l where the residual option is on and the widths are equal; the last
 * layer has no activation, y = h_L W_L^T + b_L; then the output geometry
 *   none    f = y
 *   sphere  f = radius * y / |y|                             a row of zeros stays one
 *   box     f = lower + (upper - lower) * sigmoid(y)         per coordinate
 * Formulas with their sources: doc/training.md.
 */
#ifndef MMCL_ENCODER_H
#define MMCL_ENCODER_H

#include <mmcl/base.h>
#include <mmcl/context.h>
#include <mmcl/io.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mmcl_encoder   mmcl_encoder;   /* parameters and shape of a network, or a host's callbacks */
typedef struct mmcl_workspace mmcl_workspace; /* what a training pass over a batch keeps between forward and backward */

/* Hidden layers that an encoder may have at most. */
#define MMCL_MAX_HIDDEN 64

typedef int32_t mmcl_activation;

#define MMCL_ACTIVATION_LEAKY_RELU ((mmcl_activation) 0) /* z, or slope * z where z is negative */
#define MMCL_ACTIVATION_RELU       ((mmcl_activation) 1)
#define MMCL_ACTIVATION_TANH       ((mmcl_activation) 2)
#define MMCL_ACTIVATION_GELU       ((mmcl_activation) 3) /* z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))), the form with tanh */
#define MMCL_ACTIVATION_SILU       ((mmcl_activation) 4) /* z sigmoid(z) */
#define MMCL_ACTIVATION_IDENTITY   ((mmcl_activation) 5)

typedef int32_t mmcl_geometry;

#define MMCL_GEOMETRY_NONE   ((mmcl_geometry) 0)
#define MMCL_GEOMETRY_SPHERE ((mmcl_geometry) 1)
#define MMCL_GEOMETRY_BOX    ((mmcl_geometry) 2)

/*
 * All zero except struct_size, inputs and outputs gives a linear map. Parameters are drawn by Philox4x32-10 from `seed` as a function
 * of their place alone: weights uniform in +-gain sqrt(3 / fan_in) times the activation's factor (leaky ReLU: sqrt(2 / (1 + slope^2)),
 * ReLU, GELU, SiLU: sqrt(2), tanh: 5/3; identity and the last layer: 1), so that variances are kept; biases zero.
 */
typedef struct mmcl_encoder_options {
    size_t          struct_size;
    const uint64_t *hidden;          /* [hidden_count] widths of the hidden layers, copied */
    uint64_t        hidden_count;    /* 0 to MMCL_MAX_HIDDEN */
    uint64_t        inputs;          /* 1 to 16384, as every width */
    uint64_t        outputs;
    uint64_t        seed;
    double          slope;           /* of leaky ReLU; 0: 0.01 */
    double          gain;            /* 0: 1 */
    double          radius;          /* sphere; 0: 1 */
    double          lower, upper;    /* box; both 0: 0 and 1 */
    mmcl_activation activation;
    mmcl_geometry   geometry;
    uint32_t        learn_geometry;  /* 1: radius, or the bounds of every coordinate, are parameters */
    uint32_t        residual;        /* 1: hidden layers of equal widths add their input */
    uint32_t        input_map;       /* 1: a fixed affine map comes before the first layer (mmcl_encoder_set_input), at first the identity */
    uint32_t        reserved;        /* 0 */
} mmcl_encoder_options;

/* Some rows of a batch, as a host encoder sees them. Valid only during the callback; members are appended in later versions. */
typedef struct mmcl_encoder_rows {
    size_t          struct_size;
    const float    *inputs;  /* [rows, inputs] row-major; NULL when the encoder has no inputs */
    const uint64_t *indices; /* [rows] numbers of the rows in the source's arrays; NULL where the source is not arrays */
    uint64_t        step;    /* the training step, from 0; UINT64_MAX outside training */
    uint64_t        first;   /* number of the first of these rows within the batch: 0 begins a new batch */
    uint64_t        rows;    /* at most `chunk` */
    uint64_t        batch;   /* rows of the whole batch */
} mmcl_encoder_rows;

/*
 * A network elsewhere. A training step calls `represent` for all chunks of the batch, which need not keep anything for a
 * backward pass; then, when the loss of the whole batch and its gradients are known, `learn` for each chunk again, with the
 * gradient of the loss by the representations that `represent` gave for it: run the chunk forward once more, back-propagate and
 * add up (`first` 0 begins a new sum; after a failed step the same step may begin again). Then `update`, once. The method is
 * GradCache's (Gao et al. 2021): exact, at the memory of one chunk. Answers other than MMCL_OK reach the caller as
 * MMCL_E_CALLBACK. All calls come from the thread that called into the library.
 */
typedef struct mmcl_host_encoder {
    size_t   struct_size;
    void    *user;
    uint64_t inputs;  /* columns that the callbacks want to see; 0: none, the host knows the rows by index or step */
    uint64_t outputs;
    uint64_t chunk;   /* rows of a call at most; 0: 1024 */
    mmcl_status (*represent)(void *user, const mmcl_encoder_rows *rows, float *out);           /* fills out [rows, outputs] */
    mmcl_status (*learn)(void *user, const mmcl_encoder_rows *rows, const float *gradient);    /* gradient [rows, outputs]; NULL: frozen */
    mmcl_status (*update)(void *user, uint64_t step, double rate);                             /* an optimiser's step; may be NULL */
} mmcl_host_encoder;

/* A tensor of an encoder's parameters. `data` borrows and may be written between calls. */
typedef struct mmcl_parameter {
    size_t      struct_size;
    const char *name;   /* such as "layer0/weight", "layer0/bias", "radius/log", "lower", "upper"; lives with the encoder */
    float      *data;   /* [rows, cols] row-major; a weight is [outputs, inputs] */
    uint64_t    rows;
    uint64_t    cols;   /* 1 for biases and the like */
    uint64_t    offset; /* of the tensor in the vector of all parameters, and of its gradient in the vector of all gradients */
} mmcl_parameter;

/* ------------------------------------------------------------------------------------------------------ encoders --- */

/*
 * An encoder with drawn parameters. Thread class: exclusive. Allocates: the parameters.
 * Errors: MMCL_E_INVAL (a width, slope, radius or bounds out of range, an unknown activation or geometry), MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_create(mmcl_encoder **out, mmcl_context *context, const mmcl_encoder_options *options);

/*
 * An encoder that calls the host. It has no parameters here and cannot be saved. Thread class: exclusive. Allocates: the handle.
 * Errors: MMCL_E_INVAL (outputs or represent missing), MMCL_E_ABI, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_create_host(mmcl_encoder **out, mmcl_context *context, const mmcl_host_encoder *host);

/* Another encoder with the same options and parameters. Thread class: exclusive. Errors: MMCL_E_NOMEM. */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_clone(mmcl_encoder **out, const mmcl_encoder *encoder);

/* Ends the handle. NULL is fine. Its workspaces and trainers must be gone. Thread class: exclusive. */
MMCL_API void mmcl_encoder_destroy(mmcl_encoder *encoder);

/* Columns in and out (either pointer may be NULL). Thread class: concurrent on const. Errors: MMCL_E_INVAL. */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_shape(const mmcl_encoder *encoder, size_t *inputs, size_t *outputs);

/*
 * The options as resolved: no zero stands for a default. `out->hidden` borrows. `out->struct_size` must be set.
 * Thread class: concurrent on const. Errors: MMCL_E_INVAL, MMCL_E_UNSUPPORTED (a host encoder), MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_get_options(const mmcl_encoder *encoder, mmcl_encoder_options *out);

/*
 * out[i] = f(rows[i]): `out` [rows->rows, outputs] float32, `out_stride` elements apart (0: outputs). A host encoder is called in
 * chunks, with step UINT64_MAX. Thread class: concurrent on const (a host encoder: as its callbacks). Allocates nothing; uses up to 320 KiB of stack.
 * Errors: MMCL_E_INVAL (wrong number of columns, out_stride too small), MMCL_E_NUMERIC (NaN or infinity), MMCL_E_CALLBACK.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_forward(const mmcl_encoder *encoder, const mmcl_matrix *rows, float *out,
                                                     size_t out_stride);

/* ---------------------------------------------------------------------------------------------------- parameters --- */

/* Tensors; 0 for a host encoder. Thread class: concurrent on const. */
MMCL_API size_t mmcl_encoder_parameter_count(const mmcl_encoder *encoder);

/*
 * Elements of the vector of all parameters: the tensors one after the other, each beginning at a multiple of 16, zeros between them.
 * Gradients come as such a vector. Thread class: concurrent on const.
 */
MMCL_API size_t mmcl_encoder_size(const mmcl_encoder *encoder);

/*
 * Tensor `index`. `out->struct_size` must be set. Thread class: concurrent on const; exclusive to write through out->data.
 * Errors: MMCL_E_INVAL (no such tensor), MMCL_E_ABI.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_parameter(const mmcl_encoder *encoder, size_t index, mmcl_parameter *out);

/*
 * Folds the map y -> (y - mean) matrix^T into the last layer: W becomes matrix W, b becomes matrix (b - mean). `mean` [outputs], NULL
 * for zeros; `matrix` [outputs, outputs] row-major. It acts before the geometry: the output follows exactly for geometry none, and
 * for a sphere when the matrix is orthogonal and mean is NULL (refused otherwise); in a box it acts on what enters the sigmoid.
 * Products are float64, rounded once. Thread class: exclusive. Allocates: scratch, released again.
 * Errors: MMCL_E_INVAL, MMCL_E_NUMERIC (not finite), MMCL_E_UNSUPPORTED (a host encoder; a sphere with another map), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_compose(mmcl_encoder *encoder, const double *mean, const double *matrix);

/*
 * Sets the fixed map that an encoder with the input_map option begins with, x -> (x - mean) matrix^T: `mean` [inputs], NULL for zeros;
 * `matrix` [inputs, inputs] row-major. mmcl_transform_affine of a fitted "whiten" gives both. Training leaves it alone.
 * Thread class: exclusive. Allocates nothing.
 * Errors: MMCL_E_INVAL, MMCL_E_NUMERIC (not finite in float32), MMCL_E_STATE (made without input_map), MMCL_E_UNSUPPORTED (a host encoder).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_set_input(mmcl_encoder *encoder, const double *mean, const double *matrix);

/* --------------------------------------------------------------------------------------------- training by hand --- */

/*
 * A workspace for batches of up to `rows` rows. The encoder must outlive it. Thread class: exclusive.
 * Allocates: rows times the sum of the widths, and up to 32 MiB or two vectors of parameters for sums, whichever is more.
 * Errors: MMCL_E_INVAL (rows 0 or more than 2^24), MMCL_E_UNSUPPORTED (a host encoder), MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_workspace_create(mmcl_workspace **out, const mmcl_encoder *encoder, size_t rows);

/* Ends the handle. NULL is fine. Thread class: exclusive. */
MMCL_API void mmcl_workspace_destroy(mmcl_workspace *workspace);

/*
 * As mmcl_encoder_forward, over the context's threads, and keeps what backward needs: inputs and activations.
 * Thread class: exclusive. Allocates nothing. Errors: as mmcl_encoder_forward, more rows than the workspace has.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_workspace_forward(mmcl_workspace *workspace, const mmcl_matrix *rows, float *out,
                                                       size_t out_stride);

/*
 * From `gradient` [rows, outputs] (`stride` elements apart, 0: outputs), the derivatives of a loss by the representations that the
 * last forward gave, those by the parameters, written to `parameters` [mmcl_encoder_size], and those by the inputs, written to
 * `inputs` [rows, inputs]; either may be NULL. The encoder's parameters must be those of the forward. May be repeated.
 * Thread class: exclusive. Allocates nothing. Errors: MMCL_E_INVAL, MMCL_E_STATE (no forward yet).
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_workspace_backward(mmcl_workspace *workspace, const float *gradient, size_t stride,
                                                        float *parameters, float *inputs);

/* ------------------------------------------------------------------------------------------------ save and load --- */

/*
 * Writes the encoder to a model file (doc/formats.md). An existing file is replaced only when the new one is complete.
 * Thread class: exclusive. Errors: MMCL_E_UNSUPPORTED (a host encoder), MMCL_E_NUMERIC (a parameter is not finite), MMCL_E_IO, MMCL_E_NOMEM.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_save(const mmcl_encoder *encoder, const char *path);

/* The same into a host's sink. Errors: also MMCL_E_CALLBACK. */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_save_to(const mmcl_encoder *encoder, const mmcl_sink *sink);

/*
 * Reads an encoder back; its forward gives the same bits. `options` may be NULL, or give a stream.
 * Thread class: exclusive. Errors: as mmcl_transform_load.
 */
MMCL_API MMCL_CHECK mmcl_status mmcl_encoder_load(mmcl_encoder **out, mmcl_context *context, const char *path,
                                                  const mmcl_open_options *options);

#ifdef __cplusplus
}
#endif

#endif
