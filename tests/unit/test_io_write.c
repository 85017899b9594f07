/* Writing arrays. */
#include "io_support.h"

#include "linalg/convert.h"

#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

static const char *const endings[] = {"a.npy", "a.npz", "a.safetensors"};

static const mmcl_open_options by_read = {.struct_size = sizeof by_read, .access = MMCL_ACCESS_READ};

/* Writes one matrix; returns the path. */
static const char *write_one(const char *name, const mmcl_matrix *matrix, mmcl_dtype dtype)
{
    const char  *path = in_folder(name);
    mmcl_writer *writer;
    ck_assert_ok(mmcl_writer_create(&writer, context, path));
    ck_assert_ok(mmcl_writer_add(writer, "x", matrix, dtype));
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    return path;
}

/* Reads back all elements, which have to lie row by row, as they are. */
static void read_back(const char *path, void *out, size_t bytes, mmcl_array_info *info)
{
    mmcl_array *array;
    mmcl_matrix matrix;
    info->struct_size = sizeof *info;
    ck_assert_ok(mmcl_array_open(&array, context, path, &by_read));
    ck_assert_int_eq(mmcl_array_get_info(array, info), MMCL_OK);
    ck_assert_uint_eq(info->elements * info->element_bytes, bytes);
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_OK);
    ck_assert_int_eq(matrix.read(matrix.read_user, 0, matrix.rows, out), MMCL_OK);
    mmcl_array_destroy(array);
}

START_TEST(floats_round_trip_bit_for_bit)
{
    /* NaN and infinity are data like any other here. */
    const double   f64[6] = {0, -1.5, NAN, INFINITY, 1e300, 5e-324};
    const float    f32[6] = {0, -1.5f, NAN, INFINITY, 1e38f, 1e-45f};
    const uint16_t f16[6] = {0, 0xbe00, 0x7e01, 0x7c00, 0x7bff, 1};
    const struct {
        const void *data;
        mmcl_dtype  dtype;
    } cases[] = {{f64, MMCL_F64}, {f32, MMCL_F32}, {f16, MMCL_F16}, {f16, MMCL_BF16}};
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 3; j++) {
            unsigned char   out[48];
            mmcl_array_info info;
            mmcl_matrix     matrix = {.data = cases[i].data, .rows = 2, .cols = 3, .dtype = cases[i].dtype};
            mmcl_writer    *writer;
            if (cases[i].dtype == MMCL_BF16 && j < 2) { /* numpy has no bfloat16 */
                ck_assert_ok(mmcl_writer_create(&writer, context, in_folder(endings[j])));
                ck_assert_int_eq(mmcl_writer_add(writer, "x", &matrix, MMCL_BF16), MMCL_E_INVAL);
                mmcl_writer_destroy(writer);
                continue;
            }
            size_t bytes = 6 * mmcl_dtype_size(cases[i].dtype);
            read_back(write_one(endings[j], &matrix, cases[i].dtype), out, bytes, &info);
            ck_assert_mem_eq(out, cases[i].data, bytes);
            ck_assert(info.dtype == cases[i].dtype && info.dimensions == 2 && info.shape[0] == 2 && info.shape[1] == 3);
        }
    ck_assert_int_eq(folder_count(0), 3);
}
END_TEST

START_TEST(conversions_round_once)
{
    /* Just above half way between two float16 numbers: rounding to float32 first would make it half way, hence even. */
    const double    values[6] = {1 + 0x1p-11 + 0x1p-40, -(1 + 0x1p-11 + 0x1p-40), 1 + 0x1p-11,
                                 0x1p-25 + 0x1p-60,     65520.0 - 0x1p-30,        1e300};
    const uint16_t  f16[6]    = {0x3c01, 0xbc01, 0x3c00, 0x0001, 0x7bff, 0x7c00};
    const double    wide[2]   = {1 + 0x1p-8 + 0x1p-40, 1 + 0x1p-8};
    const uint16_t  bf16[2]   = {0x3f81, 0x3f80};
    mmcl_matrix     matrix    = {.data = values, .rows = 6, .cols = 1, .dtype = MMCL_F64};
    mmcl_array_info info;
    uint16_t        halves[6];
    float           narrow[6];
    double          back[6];
    read_back(write_one("a.npy", &matrix, MMCL_F16), halves, sizeof halves, &info);
    ck_assert_mem_eq(halves, f16, sizeof f16);
    read_back(write_one("a.npy", &matrix, MMCL_F32), narrow, sizeof narrow, &info);
    for (size_t i = 0; i < 6; i++)
        ck_assert_float_eq(narrow[i], (float) values[i]);
    read_back(write_one("a.safetensors", &(mmcl_matrix){.data = wide, .rows = 2, .cols = 1, .dtype = MMCL_F64}, MMCL_BF16),
              halves, 4, &info);
    ck_assert_mem_eq(halves, bf16, sizeof bf16);
    for (int wider = 0; wider < 2; wider++) {
        mmcl_matrix half = {.data = f16, .rows = 5, .cols = 1, .dtype = wider ? MMCL_BF16 : MMCL_F16};
        read_back(write_one("a.npz", &half, MMCL_F64), back, 5 * sizeof *back, &info);
        read_back(write_one("b.npz", &half, MMCL_F32), narrow, 5 * sizeof *narrow, &info);
        for (size_t i = 0; i < 5; i++) {
            ck_assert_double_eq(back[i], wider ? mmcl__bf16_to_f32(f16[i]) : mmcl__f16_to_f32(f16[i]));
            ck_assert_float_eq(narrow[i], (float) back[i]);
        }
    }
}
END_TEST

START_TEST(views_with_strides_and_swaps)
{
    float           grid[5 * 7], out[6];
    mmcl_array_info info;
    for (int i = 0; i < 35; i++)
        grid[i] = (float) i;
    mmcl_matrix view = {.data = grid + 2, .rows = 2, .cols = 3, .row_stride = 14, .col_stride = 2};
    read_back(write_one("a.npz", &view, MMCL_F32), out, sizeof out, &info);
    ck_assert_mem_eq(out, ((float[]){2, 4, 6, 16, 18, 20}), sizeof out);
    const unsigned char big[]   = {0x3f, 0x80, 0, 0, 0x40, 0, 0, 0};
    mmcl_matrix         swapped = {.data = big, .rows = 1, .cols = 2, .swapped = 1};
    read_back(write_one("a.npy", &swapped, MMCL_F32), out, 8, &info);
    ck_assert_mem_eq(out, ((float[]){1, 2}), 8);
}
END_TEST

static mmcl_status rows_on_demand(void *user, size_t first, size_t n_rows, void *out)
{
    size_t fails_at = *(size_t *) user;
    if (first + n_rows > fails_at)
        return -77;
    for (size_t i = 0; i < n_rows; i++)
        for (size_t j = 0; j < 100; j++)
            ((float *) out)[i * 100 + j] = (float) ((first + i) * 100 + j);
    return MMCL_OK;
}

START_TEST(rows_computed_as_they_are_written)
{
    const size_t rows = 5000;
    for (size_t i = 0; i < 3; i++) {
        size_t           fails_at = SIZE_MAX;
        mmcl_matrix      matrix   = {.read = rows_on_demand, .read_user = &fails_at, .rows = rows, .cols = 100};
        float           *out      = malloc(rows * 100 * sizeof *out);
        mmcl_array_info  info;
        mmcl_writer     *writer;
        mmcl_memory_info memory = {.struct_size = sizeof memory};
        const char      *path   = write_one(endings[i], &matrix, MMCL_F32);
        ck_assert_int_eq(mmcl_context_memory(context, &memory), MMCL_OK);
        ck_assert_uint_lt(memory.peak_bytes, 600000); /* in tiles: the whole takes 2 MB */
        read_back(path, out, rows * 100 * sizeof *out, &info);
        for (size_t j = 0; j < rows * 100; j++)
            ck_assert_float_eq(out[j], (float) j);
        fails_at = 4000; /* the old file stays */
        ck_assert_ok(mmcl_writer_create(&writer, context, path));
        ck_assert_int_eq(mmcl_writer_add(writer, "x", &matrix, MMCL_F32), MMCL_E_CALLBACK);
        ck_assert_int_eq(mmcl_writer_add(writer, "y", &matrix, MMCL_F32), MMCL_E_STATE);
        ck_assert_int_eq(mmcl_writer_commit(writer), MMCL_E_STATE);
        mmcl_writer_destroy(writer);
        read_back(path, out, rows * 100 * sizeof *out, &info);
        free(out);
    }
    ck_assert_int_eq(folder_count(0), 3);
}
END_TEST

START_TEST(wrong_arguments)
{
    float        x[4]   = {0};
    int32_t      n[4]   = {0};
    mmcl_matrix  floats = {.data = x, .rows = 2, .cols = 2}, integers = {.data = n, .rows = 2, .cols = 2, .dtype = MMCL_I32};
    mmcl_matrix  nothing = {.rows = 2, .cols = 2};
    mmcl_writer *writer;
    ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder("a.txt")), MMCL_E_INVAL);
    ck_assert_ptr_null(writer);
    ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder("missing/a.npy")), MMCL_E_IO);
    ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder(".npy")), MMCL_OK);
    ck_assert_int_eq(mmcl_writer_commit(writer), MMCL_E_STATE);
    ck_assert_ok(mmcl_writer_add(writer, NULL, &floats, MMCL_F32));
    ck_assert_int_eq(mmcl_writer_add(writer, NULL, &floats, MMCL_F32), MMCL_E_INVAL);
    ck_assert_ok(mmcl_writer_commit(writer));
    ck_assert_int_eq(mmcl_writer_commit(writer), MMCL_E_STATE);
    mmcl_writer_destroy(writer);
    ck_assert_ok(mmcl_writer_create(&writer, context, in_folder("a.npz")));
    ck_assert_int_eq(mmcl_writer_add(writer, NULL, &floats, MMCL_F32), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add(writer, "\xff", &floats, MMCL_F32), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add(writer, "x", NULL, MMCL_F32), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add(writer, "x", &nothing, MMCL_F32), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add(writer, "x", &floats, MMCL_I32), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add(writer, "x", &integers, MMCL_I64), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add(writer, "x", &floats, 99), MMCL_E_INVAL);
    ck_assert_int_eq(mmcl_writer_add_strings(writer, "x", (const char *[]){"\xc3"}, 1), MMCL_E_INVAL);
    ck_assert_ok(mmcl_writer_add(writer, "x", &floats, MMCL_F32)); /* a refused argument leaves the writer usable */
    ck_assert_int_eq(mmcl_writer_add(writer, "x", &floats, MMCL_F32), MMCL_E_INVAL);
    ck_assert_ok(mmcl_writer_add(writer, "n", &integers, MMCL_I32));
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    ck_assert_ok(mmcl_writer_create(&writer, context, in_folder("a.safetensors")));
    ck_assert_int_eq(mmcl_writer_add_strings(writer, "x", (const char *[]){"a"}, 1), MMCL_E_INVAL);
    mmcl_writer_destroy(writer);
    ck_assert_int_eq(folder_count(0), 2);
}
END_TEST

START_TEST(labels_and_texts)
{
    const int64_t     labels[3] = {-1, 0, INT64_MAX};
    const char *const texts[3]  = {"", "caf\xc3\xa9", "\xf0\x9f\x90\x95"};
    int64_t           back[3];
    char              text[16];
    mmcl_array       *array;
    mmcl_writer      *writer;
    const char       *path = in_folder("a.npz");
    ck_assert_ok(mmcl_writer_create(&writer, context, path));
    ck_assert_ok(mmcl_writer_add_labels(writer, "l/\xc3\xa9", labels, 3));
    ck_assert_ok(mmcl_writer_add_strings(writer, "t", texts, 3));
    ck_assert_ok(mmcl_writer_add_strings(writer, "none", NULL, 0));
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    ck_assert_ok(mmcl_array_open(&array, context, in_folder("a.npz:l/\xc3\xa9"), NULL));
    ck_assert_ok(mmcl_array_labels(array, back, 3));
    ck_assert_mem_eq(back, labels, sizeof back);
    mmcl_array_destroy(array);
    ck_assert_ok(mmcl_array_open(&array, context, in_folder("a.npz:t"), NULL));
    for (size_t i = 0; i < 3; i++) {
        ck_assert_ok(mmcl_array_string(array, i, text, sizeof text, NULL));
        ck_assert_str_eq(text, texts[i]);
    }
    mmcl_array_destroy(array);
}
END_TEST

/* More tensors than the room for the header takes: the elements have to move. */
START_TEST(many_tensors)
{
    mmcl_writer  *writer;
    mmcl_archive *archive;
    const char   *path = in_folder("a.safetensors");
    char          key[32];
    ck_assert_ok(mmcl_writer_create(&writer, context, path));
    for (int64_t i = 0; i < 500; i++) {
        snprintf(key, sizeof key, "\"tensor\\\n%d", (int) i);
        ck_assert_ok(mmcl_writer_add_labels(writer, key, &i, 1));
    }
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    ck_assert_ok(mmcl_archive_open(&archive, context, path, NULL));
    ck_assert_uint_eq(mmcl_archive_count(archive), 500);
    for (int64_t i = 0; i < 500; i++) {
        mmcl_array *array;
        int64_t     value;
        snprintf(key, sizeof key, "\"tensor\\\n%d", (int) i);
        ck_assert_ok(mmcl_archive_array(&array, archive, key));
        ck_assert_ok(mmcl_array_labels(array, &value, 1));
        ck_assert_int_eq(value, i);
        mmcl_array_destroy(array);
    }
    mmcl_archive_destroy(archive);
}
END_TEST

/* --------------------------------------------------------------------------------------------------- the old file --- */

static const float       one_two[2] = {1, 2};
static const mmcl_matrix small      = {.data = one_two, .rows = 1, .cols = 2};

START_TEST(no_commit_no_change)
{
    mmcl_writer *writer;
    size_t       count;
    const char  *path = in_folder("a.npz");
    save_bytes(path, "old", 3);
    ck_assert_ok(mmcl_writer_create(&writer, context, path));
    ck_assert_ok(mmcl_writer_add(writer, "x", &small, MMCL_F32));
    ck_assert_int_eq(folder_count(0), 2);
    mmcl_writer_destroy(writer);
    unsigned char *bytes = load_bytes(path, &count);
    ck_assert(count == 3 && memcmp(bytes, "old", 3) == 0);
    free(bytes);
    ck_assert_int_eq(folder_count(0), 1);
}
END_TEST

/* A limit on the size of files stands for a full disk. */
START_TEST(full_disk)
{
    struct rlimit       before, limit;
    size_t              count, never = SIZE_MAX;
    mmcl_matrix         large = {.read = rows_on_demand, .read_user = &never, .rows = 5000, .cols = 100};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){.rlim_cur = 100000, .rlim_max = before.rlim_max};
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (size_t i = 0; i < 3; i++) {
        const char  *path = in_folder(endings[i]);
        mmcl_writer *writer;
        save_bytes(path, "old", 3);
        ck_assert_ok(mmcl_writer_create(&writer, context, path));
        ck_assert_int_eq(mmcl_writer_add(writer, "x", &large, MMCL_F32), MMCL_E_IO);
        ck_assert_message("cannot be written");
        ck_assert_int_eq(mmcl_writer_commit(writer), MMCL_E_STATE);
        mmcl_writer_destroy(writer);
        unsigned char *bytes = load_bytes(path, &count);
        ck_assert(count == 3 && memcmp(bytes, "old", 3) == 0);
        free(bytes);
    }
    ck_assert_int_eq(folder_count(0), 3);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0); /* for the tests that follow in this process under CK_FORK=no */
}
END_TEST

START_TEST(targets_that_are_not_replaced)
{
    mmcl_writer *writer;
    ck_assert_int_eq(mkdir(in_folder("a.npy"), 0700), 0);
    ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder("a.npy")), MMCL_E_IO);
    ck_assert_message("directory");
    ck_assert_int_eq(mkfifo(in_folder("pipe.npy"), 0600), 0);
    ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder("pipe.npy")), MMCL_E_IO);
    ck_assert_int_eq(symlink("nowhere", in_folder("dangling.npy")), 0);
    ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder("dangling.npy")), MMCL_E_IO);
    if (geteuid() != 0) {
        chmod(folder, 0500);
        ck_assert_int_eq(mmcl_writer_create(&writer, context, in_folder("b.npy")), MMCL_E_IO);
        chmod(folder, 0700);
    }
}
END_TEST

START_TEST(links_and_permissions)
{
    struct stat about;
    char        link[320];
    umask(027);
    write_one("a.npy", &small, MMCL_F32);
    ck_assert_int_eq(stat(in_folder("a.npy"), &about), 0);
    ck_assert_int_eq(about.st_mode & 0777, 0640);
    ck_assert_int_eq(chmod(in_folder("a.npy"), 0604), 0);
    strcpy(link, in_folder("link.npy"));
    ck_assert_int_eq(symlink("a.npy", link), 0);
    write_one("link.npy", &(mmcl_matrix){.data = one_two, .rows = 2, .cols = 1}, MMCL_F64);
    ck_assert_int_eq(lstat(link, &about), 0);
    ck_assert(S_ISLNK(about.st_mode));
    ck_assert_int_eq(lstat(in_folder("a.npy"), &about), 0);
    ck_assert(S_ISREG(about.st_mode));
    ck_assert_int_eq(about.st_mode & 0777, 0604);
    ck_assert_int_eq(about.st_size, 128 + 16);
    ck_assert_int_eq(folder_count(0), 2);
}
END_TEST

START_TEST(the_folder_may_change_meanwhile)
{
    char         before[512];
    mmcl_writer *writer;
    ck_assert_ptr_nonnull(getcwd(before, sizeof before));
    ck_assert_int_eq(chdir(folder), 0);
    ck_assert_ok(mmcl_writer_create(&writer, context, "a.npy"));
    ck_assert_int_eq(chdir(before), 0);
    ck_assert_ok(mmcl_writer_add(writer, NULL, &small, MMCL_F32));
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    ck_assert_int_eq(access(in_folder("a.npy"), R_OK), 0);
}
END_TEST

static mmcl_status write_all(mmcl_context *scarce, const char *path, int texts)
{
    const int64_t     label = 1;
    const char *const text  = "a";
    mmcl_writer      *writer;
    mmcl_status       status = mmcl_writer_create(&writer, scarce, path);
    if (status == MMCL_OK)
        status = mmcl_writer_add(writer, "x", &small, MMCL_F64);
    if (status == MMCL_OK)
        status = mmcl_writer_add_labels(writer, "labels", &label, 1);
    if (status == MMCL_OK && texts)
        status = mmcl_writer_add_strings(writer, "texts", &text, 1);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    mmcl_writer_destroy(writer);
    return status;
}

START_TEST(memory_that_fails)
{
    for (size_t i = 1; i < 3; i++) {
        const char *path   = in_folder(endings[i]);
        mmcl_status status = MMCL_E_NOMEM;
        for (size_t most = 1; status != MMCL_OK; most++) {
            limited       limit;
            mmcl_context *scarce = scarce_context(&limit, most);
            ck_assert_int_eq(folder_count(1), 0); /* nothing is left behind */
            status = write_all(scarce, path, i == 1);
            ck_assert(status == MMCL_OK || status == MMCL_E_NOMEM);
            mmcl_context_destroy(scarce);
            ck_assert_uint_eq(limit.live, 0);
            ck_assert_uint_lt(most, 100);
        }
        ck_assert_int_eq(folder_count(1), 1);
    }
}
END_TEST

/* -------------------------------------------------------------------------------------------------------- with numpy --- */

/* True when a Python with numpy is here. */
static int have_numpy(void)
{
    return system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") == 0;
}

static void python(const char *program)
{
    char command[2048];
    snprintf(command, sizeof command, "cd %s && /usr/bin/python3 -c \"import numpy as np, zipfile, json, struct\n%s\"", folder,
             program);
    ck_assert_msg(system(command) == 0, "%s", program);
}

START_TEST(numpy_reads_what_is_written)
{
    const double  values[6] = {0, 1, 2, 3, 4, 5};
    const int64_t labels[2] = {-1, 7};
    mmcl_matrix   matrix    = {.data = values, .rows = 2, .cols = 3, .dtype = MMCL_F64};
    mmcl_writer  *writer;
    if (!have_numpy())
        return;
    write_one("a.npy", &matrix, MMCL_F16);
    ck_assert_ok(mmcl_writer_create(&writer, context, in_folder("a.npz")));
    ck_assert_ok(mmcl_writer_add(writer, "f64", &matrix, MMCL_F64));
    ck_assert_ok(mmcl_writer_add(writer, "f32", &matrix, MMCL_F32));
    ck_assert_ok(mmcl_writer_add_labels(writer, "\xc3\xa9", labels, 2));
    ck_assert_ok(mmcl_writer_add_strings(writer, "names", (const char *[]){"caf\xc3\xa9", "", "\xf0\x9f\x90\x95"}, 3));
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    write_one("a.safetensors", &matrix, MMCL_F32);
    python("a = np.load('a.npy'); assert a.dtype == np.float16 and (a == np.arange(6).reshape(2, 3)).all()\n"
           "z = np.load('a.npz'); assert z.files == ['f64', 'f32', '\\u00e9', 'names']\n"
           "assert z['f64'].dtype == np.float64 and (z['f64'] == a).all() and (z['f32'] == a).all()\n"
           "assert z['\\u00e9'].tolist() == [-1, 7] and z['names'].tolist() == ['caf\\u00e9', '', '\\U0001f415']\n"
           "assert zipfile.ZipFile('a.npz').testzip() is None\n"
           "b = open('a.safetensors', 'rb').read(); n = struct.unpack('<Q', b[:8])[0]; h = json.loads(b[8:8 + n])\n"
           "assert h == {'x': {'dtype': 'F32', 'shape': [2, 3], 'data_offsets': [0, 24]}}\n"
           "assert np.frombuffer(b[8 + n:], '<f4').tolist() == [0, 1, 2, 3, 4, 5]\n");
}
END_TEST

/* As many arrays as a zip without zip64 cannot hold. */
START_TEST(zip64_directory)
{
    mmcl_writer  *writer;
    mmcl_archive *archive;
    mmcl_array   *array;
    const char   *path = in_folder("a.npz");
    char          key[16];
    int64_t       value;
    ck_assert_ok(mmcl_writer_create(&writer, context, path));
    for (int64_t i = 0; i < 65536; i++) {
        snprintf(key, sizeof key, "%d", (int) i);
        ck_assert_ok(mmcl_writer_add_labels(writer, key, &i, 1));
    }
    ck_assert_ok(mmcl_writer_commit(writer));
    mmcl_writer_destroy(writer);
    ck_assert_ok(mmcl_archive_open(&archive, context, path, NULL));
    ck_assert_uint_eq(mmcl_archive_count(archive), 65536);
    snprintf(key, sizeof key, "%d", 65535);
    ck_assert_ok(mmcl_archive_array(&array, archive, key));
    ck_assert_ok(mmcl_array_labels(array, &value, 1));
    ck_assert_int_eq(value, 65535);
    mmcl_array_destroy(array);
    mmcl_archive_destroy(archive);
    if (have_numpy())
        python("z = np.load('a.npz'); assert len(z.files) == 65536 and z['65535'].tolist() == [65535]\n");
}
END_TEST

/* Entries with zip64 sizes and offsets, as Python writes them when its limit is low. */
START_TEST(zip64_entries)
{
    mmcl_archive *archive;
    mmcl_array   *array;
    int64_t       labels[3];
    if (!have_numpy())
        return;
    python("import io; zipfile.ZIP64_LIMIT = 100; zipfile.ZIP_FILECOUNT_LIMIT = 1\n"
           "z = zipfile.ZipFile('big.npz', 'w')\n"
           "for k in ('a', 'b'):\n"
           "    f = io.BytesIO(); np.save(f, np.arange(3)); z.writestr(k + '.npy', f.getvalue())\n"
           "z.close()\n"
           "class S:\n"
           "    def __init__(self, f): self.f = f\n"
           "    def write(self, b): return self.f.write(b)\n"
           "    def flush(self): self.f.flush()\n"
           "z = zipfile.ZipFile(S(open('stream.npz', 'wb')), 'w', zipfile.ZIP_DEFLATED)\n" /* cannot seek: data descriptors */
           "for k in ('a', 'b'): z.writestr(k + '.npy', f.getvalue())\n"
           "z.close()\n");
    for (int i = 0; i < 2; i++) {
        ck_assert_ok(mmcl_archive_open(&archive, context, in_folder(i == 0 ? "big.npz" : "stream.npz"), NULL));
        ck_assert_uint_eq(mmcl_archive_count(archive), 2);
        ck_assert_ok(mmcl_archive_array(&array, archive, "b"));
        ck_assert_ok(mmcl_array_labels(array, labels, 3));
        ck_assert_mem_eq(labels, ((int64_t[]){0, 1, 2}), sizeof labels);
        mmcl_array_destroy(array);
        mmcl_archive_destroy(archive);
    }
}
END_TEST

START_TEST(elements_are_aligned_in_npz)
{
    mmcl_array *array;
    mmcl_matrix matrix;
    write_one("a.npz", &small, MMCL_F32);
    ck_assert_ok(mmcl_array_open(&array, context, in_folder("a.npz:x"), NULL));
    ck_assert_int_eq(mmcl_array_matrix(array, &matrix), MMCL_OK);
    ck_assert_ptr_nonnull(matrix.data);
    ck_assert_uint_eq((uintptr_t) matrix.data % 64, 0);
    mmcl_array_destroy(array);
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {
        floats_round_trip_bit_for_bit,
        conversions_round_once,
        views_with_strides_and_swaps,
        rows_computed_as_they_are_written,
        wrong_arguments,
        labels_and_texts,
        many_tensors,
        no_commit_no_change,
        full_disk,
        targets_that_are_not_replaced,
        links_and_permissions,
        the_folder_may_change_meanwhile,
        memory_that_fails,
        numpy_reads_what_is_written,
        zip64_directory,
        zip64_entries,
        elements_are_aligned_in_npz,
    };
    return run_suite("io_write", tests, sizeof tests / sizeof *tests);
}
