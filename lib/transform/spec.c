/* Chains from text: "pca:500+ica:160:picard", side by side "whiten:64/ica:64". */
#include "transform/transform.h"

#include <string.h>

/* A piece of the text, not ended by 0. */
typedef struct piece {
    const char *text;
    size_t      length;
} piece;

/* Cuts the next piece off *rest, up to `separator`. */
static piece cut(piece *rest, char separator)
{
    const char *end  = memchr(rest->text, separator, rest->length);
    piece       head = {rest->text, end != NULL ? (size_t) (end - rest->text) : rest->length};
    size_t      used = end != NULL ? head.length + 1 : head.length;
    *rest            = end != NULL ? (piece){rest->text + used, rest->length - used} : (piece){NULL, 0};
    return head;
}

static bool equals(piece p, const char *text)
{
    return p.length == strlen(text) && memcmp(p.text, text, p.length) == 0;
}

typedef struct word {
    const char *text;
    int32_t     value;
} word;

static const word kinds[]      = {{"raw", 0},
                                  {"center", MMCL_STEP_CENTER},
                                  {"normalize", MMCL_STEP_NORMALIZE},
                                  {"pca", MMCL_STEP_PCA},
                                  {"whiten", MMCL_STEP_WHITEN},
                                  {"ica", MMCL_STEP_ICA},
                                  {"power", MMCL_STEP_POWER},
                                  {"relevance", MMCL_STEP_RELEVANCE},
                                  {"discriminants", MMCL_STEP_DISCRIMINANTS}};
static const word algorithms[] = {{"fastica", MMCL_ICA_FASTICA},
                                  {"deflation", MMCL_ICA_FASTICA_DEFLATION},
                                  {"picard", MMCL_ICA_PICARD},
                                  {"picard-free", MMCL_ICA_PICARD_FREE}};
static const word contrasts[]  = {{"logcosh", MMCL_CONTRAST_LOGCOSH}, {"exp", MMCL_CONTRAST_EXP}, {"cube", MMCL_CONTRAST_CUBE}};
static const word densities[]  = {{"auto", MMCL_DENSITY_AUTO}, {"super", MMCL_DENSITY_SUPER}, {"sub", MMCL_DENSITY_SUB}};

#define FIND(words, p, out) find(words, sizeof words / sizeof *words, p, out)

static bool find(const word *words, size_t count, piece p, int32_t *out)
{
    for (size_t i = 0; i < count; i++)
        if (equals(p, words[i].text)) {
            *out = words[i].value;
            return true;
        }
    return false;
}

static bool number(piece p, uint64_t *out)
{
    *out = 0;
    for (size_t i = 0; i < p.length; i++) {
        if (p.text[i] < '0' || p.text[i] > '9' || *out > 1000000)
            return false;
        *out = *out * 10 + (uint64_t) (p.text[i] - '0');
    }
    return p.length > 0 && *out > 0;
}

/* A decimal such as 0.8 above 0, of at most 6 digits behind the point, whatever the locale. */
static bool decimal(piece p, double *out)
{
    uint64_t whole = 0, part = 0;
    piece    head  = cut(&p, '.');
    double   scale = 1;
    for (size_t i = 0; p.text != NULL && i < p.length; i++)
        scale *= 10;
    bool digits = p.text == NULL ? number(head, &whole)
                                 : p.length > 0 && p.length <= 6 && (number(head, &whole) || equals(head, "0")) &&
                                       (number(p, &part) || (whole > 0 && part == 0 && strspn(p.text, "0") >= p.length));
    *out = digits ? (double) whole + (double) part / scale : 0;
    return digits;
}

/* The first decimal that is not set yet. */
static bool exponent_of(mmcl_step_options *step, piece p)
{
    uint64_t neighbours;
    if (step->exponent == 0)
        return decimal(p, &step->exponent);
    bool fits = step->kind == MMCL_STEP_RELEVANCE && step->neighbours == 0 && number(p, &neighbours);
    step->neighbours = fits ? (uint32_t) neighbours : step->neighbours;
    return fits;
}

/* What may follow the kind: a number of components or an exponent, and for ICA one word of each table. */
static bool argument(mmcl_step_options *step, piece p)
{
    bool ica = step->kind == MMCL_STEP_ICA;
    if (step->kind == MMCL_STEP_POWER || step->kind == MMCL_STEP_RELEVANCE)
        return exponent_of(step, p);
    if (step->components == 0 && mmcl__step_has_map(step->kind) && number(p, &step->components))
        return true;
    if (step->kind == MMCL_STEP_DISCRIMINANTS)
        return step->shrinkage == 0 && decimal(p, &step->shrinkage);
    return ica && (FIND(algorithms, p, &step->algorithm) || FIND(contrasts, p, &step->contrast) || FIND(densities, p, &step->density));
}

static mmcl_status parse_step(mmcl_transform *transform, piece text, const char *spec)
{
    mmcl_context     *context = transform->context;
    mmcl_step_options step    = {.struct_size = sizeof step};
    piece             rest = text, kind = cut(&rest, ':');
    if (!FIND(kinds, kind, &step.kind))
        return mmcl__fail(context, MMCL_E_INVAL,
                          "transform \"%s\": unknown step \"%.*s\", expected raw, center, normalize, pca, whiten, ica, power, relevance or "
                          "discriminants", spec, (int) kind.length, kind.text);
    while (rest.text != NULL) {
        piece p = cut(&rest, ':');
        if (!argument(&step, p))
            return mmcl__fail(context, MMCL_E_INVAL, "transform \"%s\": \"%.*s\" means nothing after %.*s", spec, (int) p.length,
                              p.text, (int) kind.length, kind.text);
    }
    return step.kind == 0 ? MMCL_OK : mmcl__transform_add(transform, &step);
}

mmcl_status mmcl__transform_parse(mmcl_transform *transform, const char *spec)
{
    const mmcl_step_options beside = {.struct_size = sizeof beside, .kind = MMCL_STEP_BESIDE};
    for (piece chains = {spec, strlen(spec)}; chains.text != NULL;) {
        for (piece rest = cut(&chains, '/'); rest.text != NULL;)
            MMCL__TRY(parse_step(transform, cut(&rest, '+'), spec));
        if (chains.text != NULL)
            MMCL__TRY(mmcl__transform_add(transform, &beside));
    }
    return MMCL_OK;
}
