#include "pool.h"

#include "memory.h"

#include <stdlib.h>
#include <string.h>

#define TILE 256 /* rows converted at a time */

/* Hashes of rows, sorted once all are in. */
typedef struct hash_set {
    uint64_t *hashes;
    size_t    count;
} hash_set;

static uint64_t mix(uint64_t value)
{
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93U; /* Degski's 64-bit mixer, as listed by Ettinger's hash prospector */
    value = (value ^ value >> 32) * 0xd6e8feb86659fd93U;
    return value ^ value >> 32;
}

/* Of the values, so that rows stored as float16 and as float32 compare equal. */
static uint64_t hash_row(const float *row, size_t columns)
{
    uint64_t hash = columns;
    for (size_t j = 0; j < columns; j++) {
        float    value = row[j] + 0.0F; /* -0 becomes 0 */
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        hash = mix(hash ^ bits) + 0x9e3779b97f4a7c15U;
    }
    return hash;
}

typedef void (*visit_hash)(void *user, size_t row, uint64_t hash);

/* Calls `visit` for every row; `identity` converts them to float32. Returns an exit code. */
static int hash_rows(cli_session *session, const mmcl_transform *identity, const features *rows, visit_hash visit, void *user)
{
    rows_applied converted;
    TRY(rows_applied_init(&converted, session, identity, &rows->view, rows->name));
    float *tile = memory_array(TILE * rows->view.cols, sizeof *tile);
    int    code = EXIT_OK;
    for (size_t first = 0; first < rows->view.rows && code == EXIT_OK; first += TILE) {
        size_t      count  = rows->view.rows - first < TILE ? rows->view.rows - first : TILE;
        mmcl_status status = converted.view.read(converted.view.read_user, first, count, tile);
        if (status != MMCL_OK)
            code = session_fail_status(session, status, rows->name);
        for (size_t i = 0; i < count && code == EXIT_OK; i++)
            visit(user, first + i, hash_row(tile + i * rows->view.cols, rows->view.cols));
    }
    free(tile);
    return code;
}

static void add_hash(void *user, size_t row, uint64_t hash)
{
    (void) row;
    hash_set *set              = user;
    set->hashes[set->count++] = hash;
}

static int compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *) a, right = *(const uint64_t *) b;
    return (left > right) - (left < right);
}

static int hash_held_out(cli_session *session, const mmcl_transform *identity, const dataset *data, hash_set *set)
{
    size_t count = data->val.x.view.rows + data->test.x.view.rows;
    for (size_t i = 0; i < data->domain_count; i++)
        count += data->domains[i].rows.x.view.rows;
    set->hashes = memory_array(count, sizeof *set->hashes);
    TRY(hash_rows(session, identity, &data->val.x, add_hash, set));
    if (data->test.x.array != NULL)
        TRY(hash_rows(session, identity, &data->test.x, add_hash, set));
    for (size_t i = 0; i < data->domain_count; i++)
        TRY(hash_rows(session, identity, &data->domains[i].rows.x, add_hash, set));
    qsort(set->hashes, set->count, sizeof *set->hashes, compare);
    return EXIT_OK;
}

typedef struct lookup {
    const hash_set *set;
    size_t         *found;
    size_t          count;
} lookup;

static void look_up(void *user, size_t row, uint64_t hash)
{
    lookup *search = user;
    if (bsearch(&hash, search->set->hashes, search->set->count, sizeof hash, compare) == NULL)
        return;
    search->found                  = memory_grow(search->found, search->count + 1, sizeof *search->found);
    search->found[search->count++] = row;
}

/* A chain that changes nothing: through it rows of any type and layout come as float32. */
static int create_identity(cli_session *session, const mmcl_matrix *like, mmcl_transform **out)
{
    rows_slice first;
    rows_slice_init(&first, like, 0, 1);
    mmcl_status status = mmcl_transform_create(out, session->context);
    if (status == MMCL_OK)
        status = mmcl_transform_fit(*out, &first.view, 1, NULL);
    return status == MMCL_OK ? EXIT_OK : session_fail(session, status, "the pool");
}

int pool_without(cli_session *session, const features *pool, const dataset *data, pool_view *out)
{
    *out = (pool_view){0};
    if (pool->view.cols != data->columns)
        return terminal_fail(EXIT_ERROR, "%s: it has %zu columns; %s has %zu", pool->name, pool->view.cols, data->path,
                             data->columns);
    mmcl_transform *identity = NULL;
    hash_set        set      = {0};
    lookup          found    = {.set = &set};
    int             code     = create_identity(session, &data->val.x.view, &identity);
    if (code == EXIT_OK)
        code = hash_held_out(session, identity, data, &set);
    if (code == EXIT_OK)
        code = hash_rows(session, identity, pool, look_up, &found);
    mmcl_transform_destroy(identity);
    free(set.hashes);
    out->left_out = found.found;
    rows_without_init(&out->rows, &pool->view, found.found, found.count);
    if (code == EXIT_OK && found.count == pool->view.rows)
        return terminal_fail(EXIT_ERROR, "%s: every row is also a val or test row of %s", pool->name, data->path);
    if (code == EXIT_OK && found.count > 0)
        terminal_note("%s: %zu of %zu rows are also val or test rows of %s; left out", pool->name, found.count, pool->view.rows,
                      data->name);
    return code;
}

void pool_view_free(pool_view *view)
{
    free(view->left_out);
    *view = (pool_view){0};
}
