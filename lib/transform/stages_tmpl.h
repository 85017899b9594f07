/* Stages over a tile of rows in one precision: REAL, NAME(x) and POW are set by the file that includes this one. */

/* in [rows, inputs] dense, its mean subtracted in place; out [rows, outputs], which may be `in` unless there is a matrix. */
static void NAME(run_affine)(const mmcl__stage *stage, size_t rows, REAL *in, REAL *out, size_t stride)
{
    size_t      inputs = stage->inputs;
    const REAL *mean   = stage->NAME(mean);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < inputs; j++)
            in[i * inputs + j] -= mean[j];
    if (!stage->identity)
        NAME(mmcl__gemm)(false, true, rows, stage->outputs, inputs, 1, in, inputs, stage->NAME(matrix), inputs, 0, out, stride);
    else if (in != out)
        for (size_t i = 0; i < rows; i++)
            memcpy(out + i * stride, in + i * inputs, inputs * sizeof *out);
}

void NAME(mmcl__unit_rows)(size_t rows, size_t cols, const REAL *in, REAL *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++) {
        double squares = 0;
        for (size_t j = 0; j < cols; j++)
            squares += (double) in[i * cols + j] * (double) in[i * cols + j];
        double scale = squares > 0 ? 1 / sqrt(squares) : 0;
        for (size_t j = 0; j < cols; j++)
            out[i * stride + j] = (REAL) ((double) in[i * cols + j] * scale);
    }
}

static void NAME(run_power)(size_t rows, size_t cols, REAL exponent, const REAL *in, REAL *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            REAL x = in[i * cols + j], size = POW(x < 0 ? -x : x, exponent);
            out[i * stride + j] = x < 0 ? -size : size;
        }
}

static void NAME(run_scale)(size_t rows, size_t cols, const REAL *weights, const REAL *in, REAL *out, size_t stride)
{
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            out[i * stride + j] = in[i * cols + j] * weights[j];
}

static void NAME(run_stage)(const mmcl__stage *stage, size_t rows, REAL *in, REAL *out, size_t stride)
{
    switch (stage->kind) {
    case MMCL__STAGE_UNIT:  NAME(mmcl__unit_rows)(rows, stage->inputs, in, out, stride); break;
    case MMCL__STAGE_POWER: NAME(run_power)(rows, stage->inputs, (REAL) stage->exponent, in, out, stride); break;
    case MMCL__STAGE_SCALE: NAME(run_scale)(rows, stage->inputs, stage->NAME(weights), in, out, stride); break;
    default:                NAME(run_affine)(stage, rows, in, out, stride); break;
    }
}

void NAME(mmcl__stages_run)(const mmcl__stage *stages, size_t n_stages, size_t rows, size_t cols, REAL *a, REAL *b, REAL *out,
                            size_t stride)
{
    for (size_t s = 0; s < n_stages; s++) {
        const mmcl__stage *stage = &stages[s];
        bool               last  = s + 1 == n_stages;
        REAL              *to    = last ? out : stage->identity ? a : b;
        size_t             step  = last ? stride : stage->outputs;
        NAME(run_stage)(stage, rows, a, to, step);
        if (to == b) {
            b = a;
            a = to;
        }
    }
    if (n_stages == 0)
        for (size_t i = 0; i < rows; i++)
            memcpy(out + i * stride, a + i * cols, cols * sizeof *out);
}
