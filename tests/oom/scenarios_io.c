#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char *const names[CLASSES] = {"cat", "dog", "\xc3\xa9l\xc3\xa9phant"};

/* What a file holds now, into the digest. */
static void note_file(world *w, const char *path)
{
    unsigned char bytes[4096];
    size_t        n;
    FILE         *file = fopen(path, "rb");
    CHECK(file != NULL);
    while (file != NULL && (n = fread(bytes, 1, sizeof bytes, file)) > 0)
        harness_note(w, bytes, n);
    if (file != NULL)
        fclose(file);
}

/* Writes a file with all that its format takes; rows come through a callback. */
static mmcl_status write_file(world *w, const char *name)
{
    bool         text = strstr(name, ".npz") != NULL, single = strstr(name, ".npy") != NULL;
    mmcl_matrix  rows = fixture_rows(0), read = fixture_read(w, 1);
    mmcl_writer *writer;
    mmcl_status  status;
    MAKE(w, writer, CALL(mmcl_writer_create)(&writer, w->context, path_of(w, name)));
    ONCE(w, CALL(mmcl_writer_add)(writer, "x", &read, MMCL_F32));
    if (!single) {
        ONCE(w, CALL(mmcl_writer_add)(writer, "half", &rows, MMCL_F16));
        ONCE(w, CALL(mmcl_writer_add_labels)(writer, "labels", fixture_labels, ROWS));
    }
    if (text)
        ONCE(w, CALL(mmcl_writer_add_strings)(writer, "names", names, CLASSES));
    ONCE(w, CALL(mmcl_writer_commit)(writer));
    note_file(w, path_of(w, name));
end:
    CALL(mmcl_writer_destroy)(writer);
    return status;
}

/* ------------------------------------------------------------------------------------------------------- fixtures --- */

static void put(unsigned char **at, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        *(*at)++ = (unsigned char) (value >> (8 * i));
}

/* The fields that a zip member's local and central headers share. */
static void put_member(unsigned char **at, uint32_t crc, uint32_t packed, uint32_t size)
{
    put(at, 20, 2); /* version */
    put(at, 0, 2);
    put(at, 8, 2); /* deflated */
    put(at, 0, 4);
    put(at, crc, 4);
    put(at, packed, 4);
    put(at, size, 4);
    put(at, 5, 2); /* length of the name */
    put(at, 0, 2);
}

/* A .npz as numpy.savez_compressed writes it: one deflated member "d", the bytes of the file x.npy. */
static void write_deflated(world *w)
{
    static unsigned char plain[8192], archive[16384];
    FILE                *file = fopen(path_of(w, "x.npy"), "rb");
    CHECK(file != NULL);
    size_t   size = file != NULL ? fread(plain, 1, sizeof plain, file) : 0;
    z_stream z    = {.next_in = plain, .avail_in = (uInt) size, .next_out = archive + 35, .avail_out = 12000};
    fclose(file);
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, -15, 9, Z_DEFAULT_STRATEGY) == Z_OK && deflate(&z, Z_FINISH) == Z_STREAM_END);
    uint32_t       packed = (uint32_t) z.total_out, crc = (uint32_t) crc32(0, plain, (uInt) size);
    unsigned char *at     = archive;
    deflateEnd(&z);
    put(&at, 0x04034b50, 4);
    put_member(&at, crc, packed, (uint32_t) size);
    memcpy(at, "d.npy", 5);
    at += 5 + packed;
    uint32_t directory = (uint32_t) (at - archive);
    put(&at, 0x02014b50, 4);
    put(&at, 20, 2);
    put_member(&at, crc, packed, (uint32_t) size);
    put(&at, 0, 2); /* comment, disk, attributes, offset of the member */
    put(&at, 0, 4);
    put(&at, 0, 4);
    put(&at, 0, 4);
    memcpy(at, "d.npy", 5);
    at += 5;
    uint32_t length = (uint32_t) (at - archive) - directory;
    put(&at, 0x06054b50, 4);
    put(&at, 0, 4);
    put(&at, 1, 2);
    put(&at, 1, 2);
    put(&at, length, 4);
    put(&at, directory, 4);
    put(&at, 0, 2);
    file = fopen(path_of(w, "deflated.npz"), "wb");
    CHECK(file != NULL && fwrite(archive, 1, (size_t) (at - archive), file) == (size_t) (at - archive));
    fclose(file);
}

/* The files that the reading scenarios open, written once and without faults. */
static void prepare(world *w)
{
    static bool ready;
    bool        armed  = w->armed;
    uint64_t    digest = w->digest;
    w->armed           = false;
    if (!ready) {
        CHECK(write_file(w, "x.npy") == MMCL_OK && write_file(w, "x.npz") == MMCL_OK);
        CHECK(write_file(w, "x.safetensors") == MMCL_OK);
        write_deflated(w);
    }
    ready     = true;
    w->armed  = armed;
    w->digest = digest;
}

/* The sink's bytes become those of a file, for a stream to read. */
static void load_sink(world *w, const char *name)
{
    unsigned char bytes[4096];
    size_t        n;
    mmcl_sink     sink  = sink_of(w);
    bool          armed = w->armed;
    FILE         *file  = fopen(path_of(w, name), "rb");
    w->armed            = false;
    CHECK(file != NULL);
    while (file != NULL && (n = fread(bytes, 1, sizeof bytes, file)) > 0)
        CHECK(sink.write(sink.user, bytes, n) == MMCL_OK);
    if (file != NULL)
        fclose(file);
    w->armed = armed;
}

/* ------------------------------------------------------------------------------------------------------- reading --- */

/* A view's elements reach the digest through moments, which read any kind of view. */
static mmcl_status note_rows(world *w, const mmcl_matrix *rows)
{
    mmcl_moments *moments = NULL;
    double        mean[COLS];
    mmcl_status   status;
    MAKE(w, moments, CALL(mmcl_moments_create)(&moments, w->context, rows->cols));
    TRY(w, CALL(mmcl_moments_update)(moments, rows));
    TRY(w, CALL(mmcl_moments_get)(moments, NULL, mean, NULL));
    harness_note(w, mean, rows->cols * sizeof *mean);
end:
    CALL(mmcl_moments_destroy)(moments);
    return status;
}

static mmcl_status note_array(world *w, const mmcl_array *array)
{
    mmcl_array_info info = {.struct_size = sizeof info};
    mmcl_matrix     view;
    mmcl_status     status;
    TRY(w, CALL(mmcl_array_get_info)(array, &info));
    harness_note(w, info.shape, sizeof info.shape);
    harness_note(w, &info.dtype, sizeof info.dtype);
    if (info.dtype == MMCL_STR) {
        char   text[32];
        size_t needed;
        for (size_t i = 0; i < CLASSES; i++) {
            TRY(w, CALL(mmcl_array_string)(array, i, text, sizeof text, &needed));
            CHECK(strcmp(text, names[i]) == 0 && needed == strlen(names[i]) + 1);
        }
    } else if (info.dtype == MMCL_I64) {
        int64_t labels[ROWS];
        TRY(w, CALL(mmcl_array_labels)(array, labels, ROWS));
        CHECK(memcmp(labels, fixture_labels, sizeof labels) == 0);
    } else {
        TRY(w, CALL(mmcl_array_matrix)(array, &view));
        CHECK(view.rows == ROWS && view.cols == COLS);
        status = note_rows(w, &view);
    }
end:
    return status;
}

static mmcl_status read_archive(world *w, const char *name, const mmcl_open_options *options)
{
    mmcl_archive *archive = NULL;
    mmcl_array   *array   = NULL;
    mmcl_status   status;
    MAKE(w, archive, CALL(mmcl_archive_open)(&archive, w->context, path_of(w, name), options));
    size_t count = CALL(mmcl_archive_count)(archive);
    CHECK(count >= 1 && !CALL(mmcl_archive_has)(archive, "absent"));
    for (size_t i = 0; i < count; i++) {
        const char *key = CALL(mmcl_archive_key)(archive, i);
        CHECK(key != NULL && (key[0] == '\0' || CALL(mmcl_archive_has)(archive, key)));
        MAKE(w, array, CALL(mmcl_archive_array)(&array, archive, key));
        status = note_array(w, array);
        CALL(mmcl_array_destroy)(array);
        array = NULL;
        if (status != MMCL_OK)
            goto end;
    }
end:
    CALL(mmcl_archive_destroy)(archive);
    return status;
}

static mmcl_status read_map(world *w, const char *name)
{
    prepare(w);
    return read_archive(w, name, NULL);
}

static mmcl_status read_positioned(world *w, const char *name)
{
    const mmcl_open_options options = {.struct_size = sizeof options, .access = MMCL_ACCESS_READ};
    prepare(w);
    return read_archive(w, name, &options);
}

static mmcl_status read_stream(world *w, const char *name)
{
    prepare(w);
    load_sink(w, name);
    const mmcl_stream       stream  = stream_of(w);
    const mmcl_open_options options = {.struct_size = sizeof options, .stream = &stream};
    return read_archive(w, name, &options);
}

/* An array by name, which outlives the archive that it came from. */
static mmcl_status read_named(world *w, const char *name)
{
    mmcl_array *array = NULL;
    mmcl_status status;
    prepare(w);
    MAKE(w, array, CALL(mmcl_array_open)(&array, w->context, path_of(w, name), NULL));
    status = note_array(w, array);
end:
    CALL(mmcl_array_destroy)(array);
    return status;
}

const scenario scenarios_io[] = {
    {"write npy", write_file, "w.npy"},
    {"write npz", write_file, "w.npz"},
    {"write safetensors", write_file, "w.safetensors"},
    {"map npy", read_map, "x.npy"},
    {"map npz", read_map, "x.npz"},
    {"map safetensors", read_map, "x.safetensors"},
    {"inflate", read_map, "deflated.npz"},
    {"read npy", read_positioned, "x.npy"},
    {"read npz", read_positioned, "x.npz"},
    {"read deflated", read_positioned, "deflated.npz"},
    {"read safetensors", read_positioned, "x.safetensors"},
    {"stream npy", read_stream, "x.npy"},
    {"stream npz", read_stream, "x.npz"},
    {"stream deflated", read_stream, "deflated.npz"},
    {"stream safetensors", read_stream, "x.safetensors"},
    {"named", read_named, "x.npz:half"},
    {"named deflated", read_named, "deflated.npz:d"},
    {0},
};
