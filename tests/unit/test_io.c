/* Reading arrays. */
#include "io_support.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>

#define GOLDEN TEST_DATA "/io/"

/* --------------------------------------------------------------------------------------------------- golden files --- */

/* The ways to open a file. */
enum { BY_MAP, BY_READ, BY_STREAM, N_WAYS };

static mmcl_archive *open_golden(const char *name, int way)
{
    static memory_stream memory; /* lives as long as a test: one process for each */
    static mmcl_stream   stream;
    char                 path[512];
    mmcl_open_options    options = {.struct_size = sizeof options, .access = way == BY_READ ? MMCL_ACCESS_READ : MMCL_ACCESS_MAP};
    mmcl_archive        *archive;
    snprintf(path, sizeof path, GOLDEN "%s", name);
    if (way == BY_STREAM) {
        free((void *) memory.bytes);
        memory.bytes      = load_bytes(path, &memory.count);
        memory.reads_left = 1 << 30;
        stream            = stream_of(&memory);
        options.stream    = &stream;
        strcpy(path, "a stream");
    }
    ck_assert_ok(mmcl_archive_open(&archive, context, path, &options));
    return archive;
}

static double element(const mmcl_matrix *matrix, size_t row, size_t col)
{
    unsigned char *rows = malloc(matrix->rows * matrix->cols * 8), raw[8];
    size_t         size = mmcl_dtype_size(matrix->dtype), at = row * matrix->cols + col;
    if (matrix->data != NULL) {
        size_t down   = matrix->row_stride ? matrix->row_stride : matrix->cols,
               across = matrix->col_stride ? matrix->col_stride : 1;
        memcpy(raw, (const char *) matrix->data + (row * down + col * across) * size, size);
    } else {
        ck_assert_int_eq(matrix->read(matrix->read_user, 0, matrix->rows, rows), MMCL_OK);
        memcpy(raw, rows + at * size, size);
    }
    free(rows);
    for (size_t i = 0; matrix->swapped && i < size / 2; i++) {
        unsigned char byte = raw[i];
        raw[i]             = raw[size - 1 - i];
        raw[size - 1 - i]  = byte;
    }
    float    narrow;
    double   wide;
    uint16_t half;
    uint32_t bits;
    memcpy(&narrow, raw, 4);
    memcpy(&wide, raw, 8);
    memcpy(&half, raw, 2);
    switch (matrix->dtype) {
    case MMCL_F32: return narrow;
    case MMCL_F64: return wide;
    case MMCL_F16: return half == 0 ? 0 : ldexp(1 + (half & 1023) / 1024.0, (half >> 10) - 15);
    default:
        bits = (uint32_t) half << 16;
        memcpy(&narrow, &bits, 4);
        return narrow;
    }
}

/* Checks an array that counts 0, 1, 2 ... */
static void check_counting(mmcl_archive *archive, const char *key, mmcl_dtype dtype, size_t rows, size_t cols)
{
    mmcl_array *array;
    mmcl_matrix matrix;
    ck_assert_ok(mmcl_archive_array(&array, archive, key));
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_OK);
    ck_assert_int_eq(matrix.dtype, dtype);
    ck_assert_uint_eq(matrix.rows, rows);
    ck_assert_uint_eq(matrix.cols, cols);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++)
            ck_assert_double_eq(element(&matrix, i, j), (double) (i * cols + j));
    mmcl_array_destroy(array);
}

static void check_labels(mmcl_archive *archive, const char *key, size_t count, const int64_t *expected)
{
    mmcl_array *array;
    int64_t     labels[8];
    ck_assert_ok(mmcl_archive_array(&array, archive, key));
    ck_assert_ok(mmcl_array_labels(array, labels, count));
    ck_assert_mem_eq(labels, expected, count * sizeof *labels);
    mmcl_array_destroy(array);
}

static void check_texts(mmcl_archive *archive, const char *key, size_t count, const char *const *expected)
{
    mmcl_array *array;
    char        text[64];
    size_t      needed;
    ck_assert_ok(mmcl_archive_array(&array, archive, key));
    for (size_t i = 0; i < count; i++) {
        ck_assert_ok(mmcl_array_string(array, i, text, sizeof text, &needed));
        ck_assert_str_eq(text, expected[i]);
        ck_assert_uint_eq(needed, strlen(expected[i]) + 1);
        ck_assert_int_eq(mmcl_array_string(array, i, text, needed - 1, NULL), needed == 1 ? MMCL_OK : MMCL_E_INVAL);
    }
    ck_assert_int_eq(mmcl_array_string(array, count, text, sizeof text, NULL), MMCL_E_INVAL);
    mmcl_array_destroy(array);
}

static void check_golden_npz(mmcl_archive *archive)
{
    check_counting(archive, "f16", MMCL_F16, 2, 3);
    check_counting(archive, "f32", MMCL_F32, 4, 3);
    check_counting(archive, "f64_big", MMCL_F64, 3, 2);
    check_counting(archive, "f32_fortran", MMCL_F32, 4, 3);
    check_counting(archive, "f64_fortran_big", MMCL_F64, 3, 4);
    check_counting(archive, "empty", MMCL_F32, 0, 5);
    check_labels(archive, "i8", 3, (int64_t[]){-128, 0, 127});
    check_labels(archive, "u8", 3, (int64_t[]){0, 1, 255});
    check_labels(archive, "i16_big", 3, (int64_t[]){-32768, 0, 32767});
    check_labels(archive, "u32", 3, (int64_t[]){0, 1, 0xffffffff});
    check_labels(archive, "i64", 3, (int64_t[]){INT64_MIN, 0, INT64_MAX});
    check_labels(archive, "bool", 3, (int64_t[]){1, 0, 1});
    check_texts(archive, "names", 4, (const char *[]){"", "caf\xc3\xa9", "\xe7\x8a\xac", "\xf0\x9f\x90\x95x"});
    check_texts(archive, "names_big", 2, (const char *[]){"a", "caf\xc3\xa9"});
    check_texts(archive, "bytes", 3, (const char *[]){"", "ab", "\xc3\xa9"});
}

START_TEST(npz_in_every_way)
{
    for (int way = 0; way < N_WAYS; way++)
        for (int deflated = 0; deflated < 2; deflated++) {
            mmcl_archive   *archive = open_golden(deflated ? "deflated.npz" : "stored.npz", way);
            mmcl_array     *array;
            mmcl_array_info info = {.struct_size = sizeof info};
            ck_assert_uint_eq(mmcl_archive_count(archive), 18);
            ck_assert_str_eq(mmcl_archive_key(archive, 1), "f32");
            ck_assert_ptr_null(mmcl_archive_key(archive, 18));
            ck_assert_uint_eq(mmcl_archive_has(archive, "cube"), 1);
            ck_assert_uint_eq(mmcl_archive_has(archive, "f"), 0);
            check_golden_npz(archive);
            ck_assert_ok(mmcl_archive_array(&array, archive, "f64_fortran_big"));
            ck_assert_int_eq(mmcl_array_get_info(array, &info), MMCL_OK);
            ck_assert_uint_eq(info.mapped, way == BY_MAP && !deflated);
            ck_assert_uint_eq(info.compressed, deflated);
            ck_assert(info.fortran == 1 && info.swapped == 1 && info.elements == 12 && info.element_bytes == 8);
            ck_assert(info.dimensions == 2 && info.shape[0] == 3 && info.shape[1] == 4);
            mmcl_array_destroy(array);
            mmcl_archive_destroy(archive);
        }
}
END_TEST

START_TEST(what_an_array_is_not)
{
    mmcl_archive   *archive = open_golden("stored.npz", BY_READ);
    mmcl_array     *array;
    mmcl_matrix     matrix;
    mmcl_array_info info = {.struct_size = sizeof info};
    int64_t         labels[8];
    char            text[8];
    ck_assert_ok(mmcl_archive_array(&array, archive, "u64"));
    ck_assert_int_eq(mmcl_array_labels(array, labels, 1), MMCL_E_INVAL); /* 2^63 */
    ck_assert_message("int64");
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_array_string(array, 0, text, sizeof text, NULL), MMCL_E_INVAL);
    mmcl_array_destroy(array);
    ck_assert_ok(mmcl_archive_array(&array, archive, "cube"));
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_array_labels(array, labels, 8), MMCL_E_INVAL);
    mmcl_array_destroy(array);
    ck_assert_ok(mmcl_archive_array(&array, archive, "scalar"));
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_array_get_info(array, &info), MMCL_OK);
    ck_assert(info.dimensions == 0 && info.elements == 1);
    mmcl_array_destroy(array);
    ck_assert_ok(mmcl_archive_array(&array, archive, "i8"));
    ck_assert_int_eq(mmcl_array_labels(array, labels, 2), MMCL_E_INVAL);
    mmcl_array_destroy(array);
    ck_assert_int_eq(mmcl_archive_array(&array, archive, "nothing"), MMCL_E_NOTFOUND);
    ck_assert_ptr_null(array);
    ck_assert_message("f16, f32, f64_big");
    ck_assert_int_eq(mmcl_archive_array(&array, archive, NULL), MMCL_E_NOTFOUND);
    ck_assert_message("18 arrays");
    mmcl_archive_destroy(archive);
}
END_TEST

START_TEST(npy_versions_and_refusals)
{
    static const char *const refused[][2] = {{"object.npy", "pickled"}, {"complex.npy", "c8"}, {"structured.npy", "structured"}};
    mmcl_array              *array;
    for (int way = 0; way < N_WAYS; way++)
        for (int version = 1; version <= 3; version++) {
            char name[16];
            snprintf(name, sizeof name, "v%d.npy", version);
            mmcl_archive *archive = open_golden(name, way);
            ck_assert_uint_eq(mmcl_archive_count(archive), 1);
            ck_assert_str_eq(mmcl_archive_key(archive, 0), "");
            check_counting(archive, "", MMCL_F32, 3, 2);
            check_counting(archive, NULL, MMCL_F32, 3, 2);
            ck_assert_int_eq(mmcl_archive_array(&array, archive, "x"), MMCL_E_NOTFOUND);
            mmcl_archive_destroy(archive);
        }
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++) {
        mmcl_archive *archive = open_golden(refused[i][0], BY_MAP);
        ck_assert_int_eq(mmcl_archive_array(&array, archive, ""), MMCL_E_UNSUPPORTED);
        ck_assert_message(refused[i][1]);
        mmcl_archive_destroy(archive);
    }
}
END_TEST

START_TEST(safetensors_in_every_way)
{
    for (int way = 0; way < N_WAYS; way++) {
        mmcl_archive *archive = open_golden("tensors.safetensors", way);
        mmcl_array   *array;
        ck_assert_uint_eq(mmcl_archive_count(archive), 6);
        check_counting(archive, "w", MMCL_F32, 4, 3);
        check_counting(archive, "half", MMCL_BF16, 2, 3);
        check_counting(archive, "none", MMCL_F64, 0, 4);
        check_labels(archive, "flag", 3, (int64_t[]){1, 0, 1});
        check_labels(archive, "caf\xc3\xa9 \"quoted\"", 2, (int64_t[]){-1, 5});
        ck_assert_int_eq(mmcl_archive_array(&array, archive, "eight"), MMCL_E_UNSUPPORTED);
        mmcl_archive_destroy(archive);
    }
}
END_TEST

START_TEST(names_with_keys)
{
    mmcl_array *array;
    size_t      count;
    ck_assert_ok(mmcl_array_open(&array, context, GOLDEN "stored.npz:f32", NULL));
    mmcl_array_destroy(array);
    ck_assert_ok(mmcl_array_open(&array, context, GOLDEN "tensors.safetensors:w", NULL));
    mmcl_array_destroy(array);
    ck_assert_ok(mmcl_array_open(&array, context, GOLDEN "v1.npy", NULL));
    mmcl_array_destroy(array);
    ck_assert_int_eq(mmcl_array_open(&array, context, GOLDEN "stored.npz", NULL), MMCL_E_NOTFOUND);
    ck_assert_int_eq(mmcl_array_open(&array, context, GOLDEN "missing.npz:f32", NULL), MMCL_E_NOTFOUND);
    ck_assert_message("missing.npz: cannot be opened");
    unsigned char *bytes = load_bytes(GOLDEN "v1.npy", &count);
    save_bytes(in_folder("with:colon.npy"), bytes, count);
    ck_assert_ok(mmcl_array_open(&array, context, in_folder("with:colon.npy"), NULL));
    mmcl_array_destroy(array);
    ck_assert_int_eq(mmcl_array_open(&array, context, "name:v1", NULL), MMCL_E_NOTFOUND);
    free(bytes);
}
END_TEST

START_TEST(arrays_outlive_their_archive)
{
    for (int way = 0; way < N_WAYS; way++) {
        mmcl_archive *archive = open_golden("stored.npz", way);
        mmcl_array   *array;
        mmcl_matrix   matrix;
        ck_assert_ok(mmcl_archive_array(&array, archive, "f32"));
        mmcl_archive_destroy(archive);
        ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_OK);
        ck_assert_double_eq(element(&matrix, 3, 2), 11);
        mmcl_array_destroy(array);
    }
}
END_TEST

/* ------------------------------------------------------------------------------------------------- hostile headers --- */

/* A .npy with this header text and `data` bytes behind it. */
static size_t npy_with(const char *header, size_t data, unsigned char *out)
{
    size_t length = strlen(header);
    memcpy(out, "\x93NUMPY\1\0", 8);
    out[8] = (unsigned char) length;
    out[9] = (unsigned char) (length >> 8);
    memcpy(out + 10, header, length);
    memset(out + 10 + length, 1, data);
    return 10 + length + data;
}

/* Opens bytes as a file and takes every array; the first error. */
static mmcl_status open_bytes(const unsigned char *bytes, size_t count)
{
    mmcl_archive *archive;
    mmcl_array   *array;
    memory_stream memory = {bytes, count, 1 << 30};
    mmcl_stream   stream = stream_of(&memory);
    mmcl_status   status = mmcl_archive_open(&archive, context, "bytes",
                                             &(mmcl_open_options){.struct_size = sizeof(mmcl_open_options), .stream = &stream});
    for (size_t i = 0; status == MMCL_OK && i < mmcl_archive_count(archive); i++) {
        status = mmcl_archive_array(&array, archive, mmcl_archive_key(archive, i));
        if (status == MMCL_OK)
            mmcl_array_destroy(array);
    }
    mmcl_archive_destroy(archive);
    return status;
}

static const struct {
    const char *header;
    size_t      data;
    mmcl_status status;
} headers[] = {
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 24, MMCL_OK},
    {"{\"shape\":(6,),\"fortran_order\":True,\"descr\":\"<f4\"}", 24, MMCL_OK},
    {"{'descr': '|u1', 'fortran_order': False, 'shape': (3L, 2L)}\n", 6, MMCL_OK},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (), }", 4, MMCL_OK},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1152921504606846976), }", 0, MMCL_OK},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 23, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }", 25, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1152921504606846976,), }", 24, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }", 0, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", 0, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }", 0, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (6), }", 24, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2 3), }", 24, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (6,), }", 24, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, }", 4, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (1,), }", 4, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'more': 1}", 4, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x", 4, MMCL_E_FORMAT},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", 4, MMCL_E_FORMAT},
    {"{'descr: '<f4', 'fortran_order': False, 'shape': (1,)}", 4, MMCL_E_FORMAT},
    {"__import__('os')", 4, MMCL_E_FORMAT},
    {"", 4, MMCL_E_FORMAT},
    {"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", 8, MMCL_E_UNSUPPORTED},
    {"{'descr': 'O', 'fortran_order': False, 'shape': (1,), }", 8, MMCL_E_UNSUPPORTED},
    {"{'descr': '<f16', 'fortran_order': False, 'shape': (1,), }", 16, MMCL_E_UNSUPPORTED},
    {"{'descr': '<M8[s]', 'fortran_order': False, 'shape': (1,), }", 8, MMCL_E_UNSUPPORTED},
    {"{'descr': '|V2', 'fortran_order': False, 'shape': (1,), }", 2, MMCL_E_UNSUPPORTED},
    {"{'descr': '<U0', 'fortran_order': False, 'shape': (1152921504606846976,), }", 0, MMCL_E_UNSUPPORTED},
    {"{'descr': '<U99999999999', 'fortran_order': False, 'shape': (1,), }", 0, MMCL_E_UNSUPPORTED},
    {"{'descr': '', 'fortran_order': False, 'shape': (1,), }", 0, MMCL_E_UNSUPPORTED},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1), }", 4, MMCL_E_UNSUPPORTED},
    {"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }", 4, MMCL_E_UNSUPPORTED},
};

START_TEST(npy_headers)
{
    unsigned char file[512];
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        size_t      count  = npy_with(headers[i].header, headers[i].data, file);
        mmcl_status status = open_bytes(file, count);
        ck_assert_msg(status == headers[i].status, "%s: %d, expected %d", headers[i].header, status, headers[i].status);
    }
    size_t count = npy_with(headers[0].header, 24, file);
    file[6]      = 4;
    ck_assert_int_eq(open_bytes(file, count), MMCL_E_UNSUPPORTED);
    file[6] = 2; /* a length of 4 bytes, which makes the header long */
    ck_assert_int_eq(open_bytes(file, count), MMCL_E_FORMAT);
}
END_TEST

/* Integers of two dimensions come row by row, whichever way they lie. */
START_TEST(labels_of_two_dimensions)
{
    static const char *const headers_of[] = {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3), }",
                                             "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 3), }"};
    static const int64_t     expected[2][6] = {{0, 1, 2, 3, 4, 5}, {0, 2, 4, 1, 3, 5}};
    for (int order = 0; order < 2; order++) {
        unsigned char file[256];
        size_t        count  = npy_with(headers_of[order], 6, file);
        memory_stream memory = {file, count, 1 << 30};
        mmcl_stream   stream = stream_of(&memory);
        mmcl_archive *archive;
        mmcl_array   *array;
        int64_t       labels[6];
        for (unsigned char i = 0; i < 6; i++)
            file[count - 6 + i] = i;
        ck_assert_ok(mmcl_archive_open(&archive, context, "bytes",
                                       &(mmcl_open_options){.struct_size = sizeof(mmcl_open_options), .stream = &stream}));
        ck_assert_ok(mmcl_archive_array(&array, archive, mmcl_archive_key(archive, 0)));
        ck_assert_ok(mmcl_array_labels(array, labels, 6));
        ck_assert(memcmp(labels, expected[order], sizeof labels) == 0);
        mmcl_array_destroy(array);
        mmcl_archive_destroy(archive);
    }
}
END_TEST

#define TENSOR(body) "{\"a\":{" body "}}"

static const struct {
    const char *header;
    size_t      data;
    mmcl_status status;
} tensors[] = {
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 8, MMCL_OK},
    {" {}  ", 0, MMCL_E_FORMAT}, /* the header has to begin with its brace */
    {"{}  ", 0, MMCL_OK},
    {"{\"__metadata__\":{\"a\":\"\\ud83d\\udc15\"}}", 0, MMCL_OK},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 9, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]"), 7, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[1,9]"), 9, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[1152921504606846976],\"data_offsets\":[0,8]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[4611686018427387904],\"data_offsets\":[0,0]"), 0, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,18446744073709551615]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[02],\"data_offsets\":[0,8]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2.0],\"data_offsets\":[0,8]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2,],\"data_offsets\":[0,8]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2]"), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],\"dtype\":\"F32\""), 8, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8],"), 8, MMCL_E_FORMAT},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]"
     "}}",
     2, MMCL_E_FORMAT},
    {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]"
     "}}",
     3, MMCL_E_FORMAT},
    {"{\"a\\u0000\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, MMCL_E_FORMAT},
    {"{\"\\ud800\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, MMCL_E_FORMAT},
    {"{\"\xff\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, MMCL_E_FORMAT},
    {"{\"a\nb\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, MMCL_E_FORMAT},
    {"{\"__metadata__\":{\"a\":1}}", 0, MMCL_E_FORMAT},
    {"{}{}", 0, MMCL_E_FORMAT},
    {"{\"a\"", 0, MMCL_E_FORMAT},
    {TENSOR("\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]"), 1, MMCL_E_UNSUPPORTED},
};

START_TEST(safetensors_headers)
{
    unsigned char file[512] = {0};
    for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++) {
        size_t length = strlen(tensors[i].header);
        file[0]       = (unsigned char) length;
        memcpy(file + 8, tensors[i].header, length);
        mmcl_status status = open_bytes(file, 8 + length + tensors[i].data);
        ck_assert_msg(status == tensors[i].status, "%s: %d, expected %d", tensors[i].header, status, tensors[i].status);
    }
    memset(file, 0xff, 8); /* a header of 2^64 - 1 bytes */
    ck_assert_int_eq(open_bytes(file, 100), MMCL_E_FORMAT);
}
END_TEST

/* ----------------------------------------------------------------------------------------------------- damaged files --- */

static const char *const goldens[] = {"stored.npz", "deflated.npz", "v1.npy", "v2.npy", "tensors.safetensors"};

START_TEST(truncated_at_every_length)
{
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        char   path[512];
        size_t count;
        snprintf(path, sizeof path, GOLDEN "%s", goldens[i]);
        unsigned char *bytes = load_bytes(path, &count);
        for (size_t length = 0; length < count; length++) {
            unsigned char *part = malloc(length + 1); /* a block of its own, so that a sanitizer sees reads beyond it */
            memcpy(part, bytes, length);
            ck_assert_int_lt(open_bytes(part, length), MMCL_OK);
            free(part);
        }
        free(bytes);
    }
}
END_TEST

/* A flip gives an error, or changes what no reader looks at: time stamps and the like. */
START_TEST(flipped_bits)
{
    for (size_t i = 0; i < 2; i++) {
        char   path[512];
        size_t count, errors = 0;
        snprintf(path, sizeof path, GOLDEN "%s", goldens[i]);
        unsigned char *bytes = load_bytes(path, &count);
        for (size_t bit = 0; bit < 8 * count; bit++) {
            bytes[bit / 8] ^= (unsigned char) (1 << bit % 8);
            mmcl_status status = open_bytes(bytes, count);
            errors += status != MMCL_OK;
            ck_assert(status == MMCL_OK || status == MMCL_E_FORMAT || status == MMCL_E_UNSUPPORTED);
            bytes[bit / 8] ^= (unsigned char) (1 << bit % 8);
        }
        ck_assert_uint_gt(errors, 6 * count);
        free(bytes);
    }
}
END_TEST

/* Places `wrong` where the only occurrence of a signature plus `offset` is, and expects an error. */
static void expect_patched(const char *signature, size_t offset, const char *wrong, size_t bytes, mmcl_status expected)
{
    size_t         count, at = 0;
    unsigned char *file = load_bytes(GOLDEN "deflated.npz", &count);
    while (memcmp(file + at, signature, 4) != 0)
        at++;
    memcpy(file + at + offset, wrong, bytes);
    ck_assert_int_eq(open_bytes(file, count), expected);
    free(file);
}

START_TEST(hostile_zips)
{
    expect_patched("PK\1\2", 8, "\1", 1, MMCL_E_UNSUPPORTED);           /* encrypted */
    expect_patched("PK\1\2", 10, "\14", 1, MMCL_E_UNSUPPORTED);         /* bzip2 */
    expect_patched("PK\1\2", 16, "\1\2\3\4", 4, MMCL_E_FORMAT);         /* checksum */
    expect_patched("PK\1\2", 24, "\0\0\0\x7f", 4, MMCL_E_FORMAT);       /* a size beyond what deflate can reach */
    expect_patched("PK\1\2", 42, "\xff\xff\xff\x7f", 4, MMCL_E_FORMAT); /* an offset beyond the file */
    expect_patched("PK\1\2", 34, "\1", 1, MMCL_E_UNSUPPORTED);          /* another disk */
    expect_patched("PK\1\2", 28, "\xff\xff", 2, MMCL_E_FORMAT);         /* a long name */
    expect_patched("PK\5\6", 4, "\1", 1, MMCL_E_UNSUPPORTED);           /* another disk */
    expect_patched("PK\5\6", 8, "\xff\x7f\xff\x7f", 4, MMCL_E_FORMAT);  /* more entries */
    expect_patched("PK\5\6", 12, "\xff\xff\xff\xff", 4, MMCL_E_FORMAT); /* a long directory, without zip64 */
    expect_patched("PK\3\4", 8, "\0", 1, MMCL_E_FORMAT);                /* the local header disagrees */
    expect_patched("PK\3\4", 30, "x", 1, MMCL_E_FORMAT);                /* in the name */
}
END_TEST

START_TEST(entries_that_overlap)
{
    /* The directory's second entry becomes a copy of the first under another name of the same length: both share one content. */
    size_t         count, at = 0;
    unsigned char *file = load_bytes(GOLDEN "stored.npz", &count);
    while (memcmp(file + at, "PK\1\2", 4) != 0)
        at++;
    memcpy(file + at + 46 + 7, file + at, 46); /* f16.npy and f32.npy */
    ck_assert_int_eq(open_bytes(file, count), MMCL_E_FORMAT);
    free(file);
}
END_TEST

/* ------------------------------------------------------------------------------------------------- files and streams --- */

START_TEST(paths_that_are_no_files)
{
    mmcl_archive *archive = (void *) 1;
    ck_assert_int_eq(mmcl_archive_open(&archive, context, folder, NULL), MMCL_E_IO);
    ck_assert_ptr_null(archive);
    ck_assert_message("directory");
    ck_assert_int_eq(mmcl_archive_open(&archive, context, in_folder("none"), NULL), MMCL_E_NOTFOUND);
    ck_assert_int_eq(mkfifo(in_folder("pipe"), 0600), 0);
    ck_assert_int_eq(mmcl_archive_open(&archive, context, in_folder("pipe"), NULL), MMCL_E_IO);
    save_bytes(in_folder("empty"), "", 0);
    ck_assert_int_eq(mmcl_archive_open(&archive, context, in_folder("empty"), NULL), MMCL_E_FORMAT);
    ck_assert_message("empty");
    save_bytes(in_folder("text"), "some text that is no array", 26);
    ck_assert_int_eq(mmcl_archive_open(&archive, context, in_folder("text"), NULL), MMCL_E_FORMAT);
    ck_assert_int_eq(mmcl_archive_open(NULL, context, "x", NULL), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_archive_open(&archive, context, NULL, NULL), MMCL_E_INVAL);
}
END_TEST

START_TEST(wrong_options)
{
    mmcl_archive     *archive;
    mmcl_stream       stream  = {.struct_size = sizeof stream};
    mmcl_open_options options = {.struct_size = sizeof options, .access = 2};
    ck_assert_int_eq(mmcl_archive_open(&archive, context, GOLDEN "v1.npy", &options), MMCL_E_INVAL);
    options = (mmcl_open_options){.struct_size = 8};
    ck_assert_int_eq(mmcl_archive_open(&archive, context, GOLDEN "v1.npy", &options), MMCL_E_ABI);
    options = (mmcl_open_options){.struct_size = sizeof options, .stream = &stream};
    ck_assert_int_eq(mmcl_archive_open(&archive, context, "x", &options), MMCL_E_INVAL);
}
END_TEST

START_TEST(stream_that_fails)
{
    int    finished = 0;
    size_t count;
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        char path[512];
        snprintf(path, sizeof path, GOLDEN "%s", goldens[i]);
        unsigned char *bytes = load_bytes(path, &count);
        for (int reads = 0; reads < 1000; reads++) {
            mmcl_archive *archive;
            mmcl_array   *array  = NULL;
            memory_stream memory = {bytes, count, reads};
            mmcl_stream   stream = stream_of(&memory);
            mmcl_status   status = mmcl_archive_open(
                  &archive, context, "stream", &(mmcl_open_options){.struct_size = sizeof(mmcl_open_options), .stream = &stream});
            if (status == MMCL_OK)
                status = mmcl_archive_array(&array, archive, mmcl_archive_key(archive, 0));
            mmcl_array_destroy(array);
            mmcl_archive_destroy(archive);
            if (status == MMCL_OK) {
                finished++;
                break;
            }
            ck_assert_int_eq(status, MMCL_E_CALLBACK);
        }
        free(bytes);
    }
    ck_assert_int_eq(finished, sizeof goldens / sizeof *goldens);
}
END_TEST

START_TEST(file_that_shrinks)
{
    size_t            count;
    unsigned char    *bytes   = load_bytes(GOLDEN "stored.npz", &count);
    const char       *path    = in_folder("shrinks.npz");
    mmcl_open_options options = {.struct_size = sizeof options, .access = MMCL_ACCESS_READ};
    mmcl_archive     *archive;
    mmcl_array       *array, *other;
    mmcl_matrix       matrix;
    float             rows[12];
    save_bytes(path, bytes, count);
    free(bytes);
    ck_assert_ok(mmcl_archive_open(&archive, context, path, &options));
    ck_assert_ok(mmcl_archive_array(&array, archive, "f32"));
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_OK);
    ck_assert_int_eq(matrix.read(matrix.read_user, 0, 4, rows), MMCL_OK);
    ck_assert_int_eq(truncate(path, 100), 0);
    ck_assert_int_lt(matrix.read(matrix.read_user, 0, 4, rows), MMCL_OK);
    ck_assert_int_eq(mmcl_archive_array(&other, archive, "i8"), MMCL_E_IO);
    ck_assert_message("shorter");
    mmcl_array_destroy(array);
    mmcl_archive_destroy(archive);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- failing memory --- */

START_TEST(memory_that_fails)
{
    for (size_t i = 0; i < sizeof goldens / sizeof *goldens; i++) {
        mmcl_status status = MMCL_E_NOMEM;
        for (size_t most = 1; status != MMCL_OK; most++) {
            char        path[512];
            limited     limit;
            mmcl_array *array = NULL;
            snprintf(path, sizeof path, GOLDEN "%s:%s", goldens[i], i < 2 ? "names" : i < 4 ? "" : "w");
            mmcl_context *scarce = scarce_context(&limit, most);
            status               = mmcl_array_open(&array, scarce, path, NULL);
            ck_assert(status == MMCL_OK || (status == MMCL_E_NOMEM && array == NULL));
            mmcl_array_destroy(array);
            mmcl_context_destroy(scarce);
            ck_assert_uint_eq(limit.live, 0);
            ck_assert_uint_lt(most, 100);
        }
    }
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        npz_in_every_way,
        what_an_array_is_not,
        npy_versions_and_refusals,
        safetensors_in_every_way,
        names_with_keys,
        arrays_outlive_their_archive,
        npy_headers,
        labels_of_two_dimensions,
        safetensors_headers,
        truncated_at_every_length,
        flipped_bits,
        hostile_zips,
        entries_that_overlap,
        paths_that_are_no_files,
        wrong_options,
        stream_that_fails,
        file_that_shrinks,
        memory_that_fails,
    };
    return run_suite("io", tests, sizeof tests / sizeof *tests);
}
