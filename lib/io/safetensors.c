#include "io/safetensors.h"

#include "io/archive.h"
#include "io/bytes.h"
#include "io/json.h"

static const struct {
    const char *name;
    mmcl_dtype  dtype;
} types[] = {
    {"F32", MMCL_F32}, {"F64", MMCL_F64}, {"F16", MMCL_F16}, {"BF16", MMCL_BF16}, {"BOOL", MMCL_BOOL}, {"I8", MMCL_I8},   {"U8", MMCL_U8},
    {"I16", MMCL_I16}, {"U16", MMCL_U16}, {"I32", MMCL_I32}, {"U32", MMCL_U32},   {"I64", MMCL_I64},   {"U64", MMCL_U64},
};

const char *mmcl__safetensors_type(mmcl_dtype dtype)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (types[i].dtype == dtype)
            return types[i].name;
    return NULL;
}

static mmcl_dtype type_of(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0)
            return types[i].dtype;
    return -1;
}

static mmcl_status malformed(const mmcl_archive *archive, const char *what)
{
    return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: malformed .safetensors header: %s", archive->file->name, what);
}

/* "dtype": a type that is not known is refused only when the tensor is opened. */
static bool read_type(mmcl__json *json, mmcl_array_info *info)
{
    const char *name;
    if (!mmcl__json_string(json, &name))
        return false;
    info->dtype         = type_of(name);
    info->element_bytes = mmcl_dtype_size(info->dtype);
    info->swapped       = mmcl__big_endian() && info->element_bytes > 1;
    return true;
}

/* "shape": more dimensions than there is room for make the type unsupported. */
static bool read_shape(mmcl__json *json, mmcl_array_info *info)
{
    bool     first = true, valid = mmcl__json_take(json, '[');
    uint64_t length;
    while (valid && mmcl__json_next(json, ']', &first, &valid)) {
        if (!mmcl__json_number(json, &length))
            return false;
        if (info->dimensions < sizeof info->shape / sizeof *info->shape)
            info->shape[info->dimensions] = length;
        info->dimensions++;
    }
    return valid;
}

/* "data_offsets": begin and end, counted from the end of the header. */
static bool read_offsets(mmcl__json *json, mmcl__member *member)
{
    uint64_t end;
    if (!mmcl__json_take(json, '[') || !mmcl__json_number(json, &member->begin) || !mmcl__json_take(json, ',') ||
        !mmcl__json_number(json, &end) || !mmcl__json_take(json, ']') || end < member->begin)
        return false;
    member->stored = member->bytes = end - member->begin;
    return true;
}

static bool read_tensor(mmcl__json *json, mmcl__member *member)
{
    bool             first = true, valid = mmcl__json_take(json, '{');
    bool             type = false, shape = false, offsets = false;
    mmcl_array_info *info = &member->layout.info;
    const char      *field;
    while (valid && mmcl__json_next(json, '}', &first, &valid)) {
        if (!mmcl__json_string(json, &field) || !mmcl__json_take(json, ':'))
            return false;
        if (strcmp(field, "dtype") == 0 && !type)
            valid = type = read_type(json, info);
        else if (strcmp(field, "shape") == 0 && !shape)
            valid = shape = read_shape(json, info);
        else if (strcmp(field, "data_offsets") == 0 && !offsets)
            valid = offsets = read_offsets(json, member);
        else
            return false;
    }
    return valid && type && shape && offsets;
}

/* "__metadata__": texts that are of no use here. */
static bool skip_metadata(mmcl__json *json)
{
    bool        first = true, valid = mmcl__json_take(json, '{');
    const char *text;
    while (valid && mmcl__json_next(json, '}', &first, &valid))
        if (!mmcl__json_string(json, &text) || !mmcl__json_take(json, ':') || !mmcl__json_string(json, &text))
            return false;
    return valid;
}

/* Places the tensor in the file, and compares its bytes with what its shape needs. */
static mmcl_status place_tensor(mmcl_archive *archive, mmcl__member *member)
{
    uint64_t         header = 8 + archive->block_bytes, room = archive->file->size - header;
    mmcl_array_info *info   = &member->layout.info;
    if (member->begin > room || member->stored > room - member->begin)
        return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: truncated: tensor '%.80s' lies beyond the end of the file",
                          archive->file->name, member->key);
    member->begin += header;
    member->start = member->begin;
    if (info->dimensions > sizeof info->shape / sizeof *info->shape)
        info->dtype = -1;
    if (info->dtype >= 0 && (!mmcl__layout_measure(&member->layout) || member->layout.bytes != member->stored))
        return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: tensor '%.80s' has %llu bytes, which is not what its shape needs",
                          archive->file->name, member->key, (unsigned long long) member->stored);
    member->layout.info.struct_size = sizeof *info;
    member->layout.start            = member->start;
    return MMCL_OK;
}

static mmcl_status read_header(mmcl_archive *archive, mmcl__json *json)
{
    bool first = true, valid = mmcl__json_take(json, '{'), metadata = false;
    while (valid && mmcl__json_next(json, '}', &first, &valid)) {
        mmcl__member member = {.tensor = true};
        if (!mmcl__json_string(json, &member.key) || !mmcl__json_take(json, ':'))
            return malformed(archive, "expected a key and a colon");
        if (strcmp(member.key, "__metadata__") == 0) {
            if (metadata || !skip_metadata(json))
                return malformed(archive, "__metadata__ has to be one object of texts");
            metadata = true;
            continue;
        }
        if (!read_tensor(json, &member))
            return malformed(archive, "a tensor has to have dtype, shape and data_offsets");
        MMCL__TRY(place_tensor(archive, &member));
        MMCL__TRY(mmcl__archive_append(archive, &member));
    }
    return valid && mmcl__json_finished(json) ? MMCL_OK : malformed(archive, "expected a JSON object, and nothing behind it");
}

static mmcl_status check_gap(mmcl_archive *archive, const mmcl__member *before, const mmcl__member *after, uint64_t end)
{
    uint64_t begin = before != NULL ? before->start + before->stored : 8 + archive->block_bytes;
    if (begin != (after != NULL ? after->begin : end))
        return mmcl__fail(archive->context, MMCL_E_FORMAT, "%s: the tensors overlap, or leave bytes between them or at the end",
                          archive->file->name);
    return MMCL_OK;
}

mmcl_status mmcl__safetensors_read(mmcl_archive *archive)
{
    unsigned char length[8];
    MMCL__TRY(mmcl__file_read(archive->file, 0, length, sizeof length));
    MMCL__TRY(mmcl__archive_load_block(archive, sizeof length, mmcl__get_le(length, sizeof length)));
    mmcl__json json = {archive->block, archive->block + archive->block_bytes};
    MMCL__TRY(read_header(archive, &json));
    return mmcl__archive_visit_gaps(archive, archive->file->size, check_gap);
}
