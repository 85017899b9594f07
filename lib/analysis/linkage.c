#include "analysis/analysis.h"

#include <string.h>

/* Two clusters, by the item that each goes by, become one that goes by `into`. */
typedef struct merge {
    uint32_t into, from;
    float    similarity;
} merge;

typedef struct linkage {
    size_t    n;
    float    *similarity; /* [n, n] of the clusters that are left, in the rows and columns of the items that they go by */
    uint32_t *weight;     /* [n] items of a cluster; 0: merged away */
    uint32_t *chain;      /* [n] */
    merge    *merges;     /* [n] */
} linkage;

/* The most similar cluster; `favoured` wins ties, so that chains end. */
static size_t nearest(const linkage *l, size_t a, size_t favoured)
{
    const float *row  = l->similarity + a * l->n;
    size_t       best = favoured;
    for (size_t b = 0; b < l->n; b++)
        if (b != a && l->weight[b] > 0 && (best == SIZE_MAX || row[b] > row[best]))
            best = b;
    return best;
}

static void join(linkage *l, size_t into, size_t from)
{
    size_t n = l->n;
    float  a = (float) l->weight[into], b = (float) l->weight[from];
    for (size_t c = 0; c < n; c++)
        if (l->weight[c] > 0 && c != into && c != from) {
            float mean = (a * l->similarity[into * n + c] + b * l->similarity[from * n + c]) / (a + b);
            l->similarity[into * n + c] = l->similarity[c * n + into] = mean;
        }
    l->weight[into] += l->weight[from];
    l->weight[from] = 0;
}

static mmcl_status find_merges(mmcl_context *context, linkage *l)
{
    size_t length = 0, first = 0;
    for (size_t count = 0; count + 1 < l->n;) {
        while (length == 0 && l->weight[first] == 0)
            first++;
        if (length == 0)
            l->chain[length++] = (uint32_t) first;
        size_t a = l->chain[length - 1], b = nearest(l, a, length > 1 ? l->chain[length - 2] : SIZE_MAX);
        if (length == 1 || b != l->chain[length - 2]) {
            l->chain[length++] = (uint32_t) b;
            continue;
        }
        length -= 2;
        size_t into = MMCL__MIN(a, b), from = MMCL__MAX(a, b);
        l->merges[count++] = (merge){(uint32_t) into, (uint32_t) from, l->similarity[a * l->n + b]};
        join(l, into, from);
        MMCL__TRY(mmcl__check_cancel(context));
    }
    return MMCL_OK;
}

/* Descending; insertion keeps the order of equal ones, and chains come nearly sorted in pieces. */
static void sort_merges(merge *merges, size_t n, merge *spare)
{
    for (size_t run = 1; run < n; run *= 2) {
        for (size_t begin = 0; begin < n; begin += 2 * run) {
            size_t middle = MMCL__MIN(begin + run, n), end = MMCL__MIN(begin + 2 * run, n), a = begin, b = middle;
            for (size_t i = begin; i < end; i++)
                spare[i] = b >= end || (a < middle && merges[a].similarity >= merges[b].similarity) ? merges[a++] : merges[b++];
        }
        memcpy(merges, spare, n * sizeof *merges);
    }
}

/* The item at the root of a tree of items. */
static uint32_t root_of(uint32_t *parent, uint32_t i)
{
    while (parent[i] != i)
        i = parent[i] = parent[parent[i]];
    return i;
}

static void apply_merges(size_t n, const merge *merges, size_t count, uint32_t *parent, uint32_t *label)
{
    uint32_t next = 0;
    for (uint32_t i = 0; i < n; i++)
        parent[i] = i;
    for (size_t m = 0; m < count; m++) {
        uint32_t a = root_of(parent, merges[m].into), b = root_of(parent, merges[m].from);
        parent[MMCL__MAX(a, b)] = MMCL__MIN(a, b); /* the root of a cluster is its first item */
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t root = root_of(parent, i);
        label[i]      = root == i ? next++ : label[root];
    }
}

mmcl_status mmcl__average_linkage(mmcl_context *context, size_t n, float *similarity, size_t wanted, uint32_t *label)
{
    linkage l = {.n          = n,
                 .similarity = similarity,
                 .weight     = mmcl__alloc(context, n, sizeof(uint32_t)),
                 .chain      = mmcl__alloc(context, n, sizeof(uint32_t)),
                 .merges     = mmcl__alloc(context, 2 * n, sizeof(merge))};
    mmcl_status status = l.weight == NULL || l.chain == NULL || l.merges == NULL ? MMCL_E_NOMEM : MMCL_OK;
    for (size_t i = 0; i < n && status == MMCL_OK; i++)
        l.weight[i] = 1;
    if (status == MMCL_OK)
        status = find_merges(context, &l);
    if (status == MMCL_OK) {
        sort_merges(l.merges, n - 1, l.merges + n);
        apply_merges(n, l.merges, n - wanted, l.chain, label);
    }
    mmcl__free(context, l.weight, n, sizeof(uint32_t));
    mmcl__free(context, l.chain, n, sizeof(uint32_t));
    mmcl__free(context, l.merges, 2 * n, sizeof(merge));
    return status;
}
