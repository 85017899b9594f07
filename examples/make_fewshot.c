/*
 * Writes a synthetic few-shot data set, shaped like CLIP features: make_fewshot DATA.npz POOL.npy [SEED]
 *
 * Rows are independent non-Gaussian latents, mixed to more columns with a spread that falls from latent to latent, moved off the
 * origin, with a little noise, and L2-normalised. A class is a centre in latent space. test_shift is the test set in another domain: the two loudest
 * latents are moved. Prompts of each class stand for text: rows of the same latents around an origin of their own. The pool holds rows of other
 * classes.
 */
#include <mmcl/mmcl.h>

#include "sampler.h"

#include <stdio.h>
#include <stdlib.h>

enum { CLASSES = 20, POOL_CLASSES = 200, LATENTS = 32, COLS = 96, TRAIN = 16, VAL = 8, TEST = 40, PROMPTS = 3, POOL = 4000 };

typedef struct world {
    sampler s;
    float   mixing[LATENTS * COLS];
    float   origin[COLS];
    float   centres[POOL_CLASSES * LATENTS]; /* the first CLASSES are the data set's */
} world;

static void make_world(world *w, uint64_t seed)
{
    w->s.state = seed;
    sample_matrix(&w->s, LATENTS * COLS, w->mixing);
    sample_matrix(&w->s, COLS, w->origin);
    for (size_t k = 0; k < LATENTS; k++) /* the loudest latent has six times the spread of the quietest */
        for (size_t j = 0; j < COLS; j++)
            w->mixing[k * COLS + j] *= (float) exp(-1.8 * (double) k / LATENTS);
    for (size_t j = 0; j < COLS; j++)
        w->origin[j] *= 4;
    for (size_t i = 0; i < POOL_CLASSES * LATENTS; i++)
        w->centres[i] = (float) sample_laplace(&w->s);
}

/* One row around the centre of a class. */
static void make_row(world *w, size_t class, double shift, float *row)
{
    double latent[LATENTS], norm = 0;
    for (size_t k = 0; k < LATENTS; k++)
        latent[k] = (double) w->centres[class * LATENTS + k] + sample_laplace(&w->s) + (k < 2 ? shift : 0);
    for (size_t j = 0; j < COLS; j++) {
        double sum = (double) w->origin[j] + 0.1 * sample_laplace(&w->s); /* noise of its own: the rank is full */
        for (size_t k = 0; k < LATENTS; k++)
            sum += latent[k] * (double) w->mixing[k * COLS + j];
        row[j] = (float) sum;
        norm += sum * sum;
    }
    for (size_t j = 0; j < COLS; j++)
        row[j] = (float) ((double) row[j] / sqrt(norm));
}

/* `per_class` rows of each class, as NAME_x and NAME_y. */
static mmcl_status add_split(mmcl_writer *writer, world *w, const char *name, size_t per_class, double shift)
{
    char     key[32];
    size_t   count  = per_class * CLASSES;
    float   *rows   = malloc(count * COLS * sizeof *rows);
    int64_t *labels = malloc(count * sizeof *labels);
    mmcl_status status = rows != NULL && labels != NULL ? MMCL_OK : MMCL_E_NOMEM;
    for (size_t i = 0; status == MMCL_OK && i < count; i++) {
        labels[i] = (int64_t) (i / per_class);
        make_row(w, (size_t) labels[i], shift, rows + i * COLS);
    }
    mmcl_matrix matrix = {.data = rows, .rows = count, .cols = COLS};
    snprintf(key, sizeof key, "%s_x", name);
    if (status == MMCL_OK)
        status = mmcl_writer_add(writer, key, &matrix, MMCL_F16);
    snprintf(key, sizeof key, "%s_y", name);
    if (status == MMCL_OK)
        status = mmcl_writer_add_labels(writer, key, labels, count);
    free(rows);
    free(labels);
    return status;
}

/* Text keeps to a place of its own, as the text side of CLIP does. */
static mmcl_status add_text(mmcl_writer *writer, world *w)
{
    float gap[COLS], origin[COLS];
    sample_matrix(&w->s, COLS, gap);
    for (size_t j = 0; j < COLS; j++) {
        origin[j]    = w->origin[j];
        w->origin[j] = 0.5f * w->origin[j] + 2 * gap[j];
    }
    mmcl_status status = add_split(writer, w, "text", PROMPTS, 0);
    for (size_t j = 0; j < COLS; j++)
        w->origin[j] = origin[j];
    return status;
}

static mmcl_status add_names(mmcl_writer *writer)
{
    char        text[CLASSES][16];
    const char *names[CLASSES];
    for (size_t i = 0; i < CLASSES; i++) {
        snprintf(text[i], sizeof text[i], "class %zu", i);
        names[i] = text[i];
    }
    return mmcl_writer_add_strings(writer, "classnames", names, CLASSES);
}

static mmcl_status write_data(mmcl_context *context, world *w, const char *path)
{
    mmcl_writer *writer = NULL;
    mmcl_status  status = mmcl_writer_create(&writer, context, path);
    if (status == MMCL_OK)
        status = add_split(writer, w, "train", TRAIN, 0);
    if (status == MMCL_OK)
        status = add_split(writer, w, "val", VAL, 0);
    if (status == MMCL_OK)
        status = add_split(writer, w, "test", TEST, 0);
    if (status == MMCL_OK)
        status = add_split(writer, w, "test_shift", TEST, 2);
    if (status == MMCL_OK)
        status = add_text(writer, w);
    if (status == MMCL_OK)
        status = add_names(writer);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    mmcl_writer_destroy(writer);
    return status;
}

/* The writer asks for the rows of the pool, so they are made as they are written. */
static mmcl_status read_pool(void *user, size_t first, size_t count, void *out)
{
    world *w = user;
    for (size_t i = 0; i < count; i++) {
        w->s.state = 1000003 * (first + i + 1); /* of the row alone: the same rows may be asked for twice */
        make_row(w, CLASSES + (first + i) % (POOL_CLASSES - CLASSES), 0, (float *) out + i * COLS);
    }
    return MMCL_OK;
}

static mmcl_status write_pool(mmcl_context *context, world *w, const char *path)
{
    mmcl_writer *writer = NULL;
    mmcl_matrix  rows   = {.rows = POOL, .cols = COLS, .read = read_pool, .read_user = w};
    mmcl_status  status = mmcl_writer_create(&writer, context, path);
    if (status == MMCL_OK)
        status = mmcl_writer_add(writer, NULL, &rows, MMCL_F16);
    if (status == MMCL_OK)
        status = mmcl_writer_commit(writer);
    mmcl_writer_destroy(writer);
    return status;
}

int main(int argc, char **argv)
{
    static world  w;
    mmcl_context *context = NULL;
    if (argc < 3) {
        fprintf(stderr, "usage: make_fewshot DATA.npz POOL.npy [SEED]\n");
        return 2;
    }
    make_world(&w, argc > 3 ? strtoull(argv[3], NULL, 10) : 1);
    mmcl_status status = mmcl_context_create(&context, NULL);
    if (status == MMCL_OK)
        status = write_data(context, &w, argv[1]);
    if (status == MMCL_OK)
        status = write_pool(context, &w, argv[2]);
    if (status != MMCL_OK)
        fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    mmcl_context_destroy(context);
    return status == MMCL_OK ? 0 : 1;
}
