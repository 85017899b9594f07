/*
 * Runs a fuzz target without libFuzzer: on every file of the given folders and, with --mutate N, on N random variations of them
 * that follow from --seed S alone. A finding ends the program; the input that led to it is then in "finding" in the working
 * folder.
 */
#include "fuzz.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILES 256
#define MAX_BYTES 65536

typedef struct input {
    uint8_t *bytes;
    size_t   count;
} input;

static input    corpus[MAX_FILES];
static size_t   files;
static uint8_t  scratch[MAX_BYTES];
static size_t   scratch_count;
static uint64_t state;

/* xorshift64* (Vigna 2016). */
static uint64_t draw(uint64_t below)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 2685821657736338717u >> 11) % below;
}

static void load(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL || files == MAX_FILES)
        exit(2);
    uint8_t *bytes  = malloc(MAX_BYTES);
    corpus[files++] = (input){bytes, fread(bytes, 1, MAX_BYTES, file)};
    fclose(file);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name); /* whatever the locale */
}

static void load_folder(const char *folder)
{
    struct dirent **entries;
    int             count = scandir(folder, &entries, NULL, by_name);
    if (count < 0) {
        fprintf(stderr, "%s: cannot be read\n", folder);
        exit(2);
    }
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.')
            load(path);
        free(entries[i]);
    }
    free(entries);
}

/* Overwrites up to 8 bytes with a number that readers stumble over. */
static void put_number(void)
{
    static const uint64_t numbers[] = {0,
                                       1,
                                       0x7f,
                                       0x80,
                                       0xff,
                                       0x7fff,
                                       0x8000,
                                       0xffff,
                                       0x7fffffff,
                                       0x80000000,
                                       0xffffffff,
                                       0x7fffffffffffffff,
                                       0x8000000000000000,
                                       0xffffffffffffffff,
                                       1ull << 60,
                                       65536};
    uint64_t              value     = draw(2) ? numbers[draw(sizeof numbers / sizeof *numbers)] : draw(scratch_count + 64);
    size_t                width = (size_t) 1 << draw(4), at = draw(scratch_count);
    for (size_t i = 0; i < width && at + i < scratch_count; i++)
        scratch[at + i] = (uint8_t) (value >> (8 * i));
}

/* Where the elements of some .npy in the file begin: behind its magic, version, header's length and header. */
static size_t some_elements(void)
{
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    for (size_t at = draw(scratch_count); at + 10 <= scratch_count; at++)
        if (memcmp(scratch + at, magic, sizeof magic) == 0)
            return at + 10 + scratch[at + 8] + 256 * (size_t) scratch[at + 9];
    return scratch_count;
}

/* Overwrites one of the first elements of an array, which any other change seldom does without harm to what is around it. */
static void put_element(void)
{
    static const int64_t whole[]  = {-1, 0, 1, 2, 3, 4, 5, 31, 32, 63, 255, 1 << 20, INT32_MAX, INT64_MAX, INT64_MIN};
    static const double  real[]   = {-0.0, 1, -1, 0.5, 1e-310, 1e30, -1e30, 1e300, -1e300, INFINITY, -INFINITY, NAN};
    static const float   narrow[] = {-0.0f, 1, -1, 0.5f, 1e-40f, 1e30f, -1e30f, 3e38f, -3e38f, INFINITY, -INFINITY, NAN};
    const size_t         width = draw(2) ? 4 : 8, at = some_elements() + width * draw(16), which = draw(12);
    if (at + width > scratch_count)
        return;
    if (draw(2))
        memcpy(scratch + at, &whole[draw(15)], width);
    else
        memcpy(scratch + at, width == 8 ? (const void *) &real[which] : (const void *) &narrow[which], width);
}

/* Takes out a piece, or puts in one from somewhere in the corpus. */
static void splice(void)
{
    const input *from = &corpus[draw(files)];
    size_t       at = draw(scratch_count), length = 1 + draw(16);
    if (draw(2)) {
        length = length < scratch_count - at ? length : scratch_count - at;
        memmove(scratch + at, scratch + at + length, scratch_count - at - length);
        scratch_count -= length;
    } else if (from->count >= length && scratch_count + length <= MAX_BYTES) {
        memmove(scratch + at + length, scratch + at, scratch_count - at);
        memcpy(scratch + at, from->bytes + draw(from->count - length + 1), length);
        scratch_count += length;
    }
}

static void mutate(void)
{
    const input *from = &corpus[draw(files)];
    memcpy(scratch, from->bytes, scratch_count = from->count);
    for (uint64_t changes = 1 + draw(6); changes > 0 && scratch_count > 0; changes--)
        switch (draw(7)) {
        case 0: scratch[draw(scratch_count)] ^= (uint8_t) (1 << draw(8)); break;
        case 1: scratch[draw(scratch_count)] = (uint8_t) draw(256); break;
        case 2: scratch[draw(scratch_count)] = (uint8_t) "0123456789{}[](),:'\"<>|LOUfS"[draw(28)]; break;
        case 3: splice(); break;
        case 4:
        case 5: put_element(); break;
        default: put_number();
        }
    if (draw(16) == 0)
        scratch_count = draw(scratch_count + 1);
}

static void keep_finding(int number)
{
    FILE *file = fopen("finding", "wb");
    if (file != NULL) {
        fwrite(scratch, 1, scratch_count, file);
        fclose(file);
    }
    signal(number, SIG_DFL);
    raise(number);
}

/* Hands the target a block of exactly this size, so that a sanitizer sees what reads beyond it. */
static void run(const uint8_t *bytes, size_t count)
{
    uint8_t *copy = malloc(count > 0 ? count : 1);
    memcpy(copy, bytes, count);
    LLVMFuzzerTestOneInput(copy, count);
    free(copy);
}

int main(int argc, char **argv)
{
    unsigned long long iterations = 0, seed = 1;
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--mutate") == 0 && i + 1 < argc)
            iterations = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 10);
        else
            load_folder(argv[i]);
    if (files == 0) {
        fprintf(stderr, "usage: %s [--mutate N] [--seed S] FOLDER...\n", argv[0]);
        return 2;
    }
    signal(SIGABRT, keep_finding);
    state = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < files; i++) {
        memcpy(scratch, corpus[i].bytes, scratch_count = corpus[i].count);
        run(scratch, scratch_count);
    }
    for (unsigned long long i = 0; i < iterations; i++) {
        mutate();
        run(scratch, scratch_count);
    }
    printf("%zu files, %llu variations\n", files, iterations);
    for (size_t i = 0; i < files; i++)
        free(corpus[i].bytes);
    return 0;
}
