#include "output.h"

#include "memory.h"
#include "terminal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int refuse(const char *option, const char *path, const char *why)
{
    return terminal_fail(EXIT_ERROR, "cannot write --%s %s: %s", option, path, why);
}

/* Opens a new file beside out->path with the permissions that the final one is to have. */
static int open_beside(text_output *out, const char *option, mode_t mode)
{
    out->temporary = memory_format("%s.XXXXXX", out->path);
    int descriptor = mkstemp(out->temporary);
    if (descriptor < 0) {
        free(out->temporary);
        out->temporary = NULL;
        return refuse(option, out->path, strerror(errno));
    }
    out->file = fchmod(descriptor, mode) == 0 ? fdopen(descriptor, "w") : NULL;
    if (out->file == NULL) {
        int why = errno;
        close(descriptor);
        output_discard(out);
        return refuse(option, "", strerror(why));
    }
    return EXIT_OK;
}

int output_open(text_output *out, const char *option, const char *path)
{
    *out = (text_output){0};
    if (path == NULL)
        return EXIT_OK;
    if (strcmp(path, "-") == 0) {
        out->file = stdout;
        return EXIT_OK;
    }
    struct stat there;
    bool        exists = stat(path, &there) == 0;
    if (exists && S_ISDIR(there.st_mode))
        return refuse(option, path, "it is a directory");
    if (exists && access(path, W_OK) != 0)
        return refuse(option, path, strerror(errno));
    if (exists && !S_ISREG(there.st_mode)) { /* a device or a pipe must not be replaced by a file */
        out->path = memory_text(path);
        out->file = fopen(path, "w");
        return out->file != NULL ? EXIT_OK : refuse(option, path, strerror(errno));
    }
    char *target = exists ? realpath(path, NULL) : NULL; /* through a symbolic link, so that the link stays one */
    out->path    = target != NULL ? target : memory_text(path);
    mode_t mask  = umask(0);
    umask(mask);
    int code = open_beside(out, option, exists ? there.st_mode & 07777 : 0666 & ~mask);
    if (code != EXIT_OK)
        output_discard(out);
    return code;
}

int output_commit(text_output *out)
{
    if (out->file == NULL)
        return EXIT_OK;
    bool  good = fflush(out->file) == 0 && !ferror(out->file);
    int   why  = errno;
    FILE *file = out->file;
    out->file  = NULL;
    if (file != stdout) {
        if (good && out->temporary != NULL && fsync(fileno(file)) != 0) {
            good = false;
            why  = errno;
        }
        if (fclose(file) != 0 && good) {
            good = false;
            why  = errno;
        }
    }
    if (good && out->temporary != NULL && rename(out->temporary, out->path) != 0) {
        good = false;
        why  = errno;
    }
    if (good) {
        free(out->temporary);
        out->temporary = NULL;
        return EXIT_OK;
    }
    return terminal_fail(EXIT_ERROR, "cannot write %s: %s", out->path != NULL ? out->path : "standard output", strerror(why));
}

int output_json(text_output *out, void (*write)(const void *run, json_writer *json), const void *run)
{
    if (out->file == NULL)
        return EXIT_OK;
    json_writer text = {0};
    write(run, &text);
    fputs(text.text, out->file);
    json_free(&text);
    return output_commit(out);
}

void output_discard(text_output *out)
{
    if (out->file != NULL && out->file != stdout)
        fclose(out->file);
    if (out->temporary != NULL)
        unlink(out->temporary);
    free(out->temporary);
    free(out->path);
    *out = (text_output){0};
}

int output_check(const char *option, const char *path)
{
    text_output trial;
    if (path != NULL && strcmp(path, "-") == 0)
        return terminal_fail(EXIT_USAGE, "--%s needs the name of a file: only text goes to standard output", option);
    int code = output_open(&trial, option, path);
    output_discard(&trial);
    return code;
}
