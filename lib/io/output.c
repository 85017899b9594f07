#define _FILE_OFFSET_BITS 64
#include "io/output.h"

#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

static mmcl_status failed(const mmcl__output *output, const char *what, int error)
{
    return mmcl__fail_system(output->context, MMCL_E_IO, output->path, what, error);
}

/* -------------------------------------------------------------------------------------------------------- opening --- */

/* Copies `path` to `resolved` [PATH_MAX] with symbolic links followed. *mode: permissions of what is there, or 0666. */
static mmcl_status resolve(mmcl_context *context, const char *path, char *resolved, mode_t *mode, bool *exists)
{
    struct stat about;
    *exists = lstat(path, &about) == 0;
    *mode   = 0666; /* less the umask */
    if (strlen(path) >= PATH_MAX)
        return mmcl__fail_system(context, MMCL_E_IO, path, "cannot be written", ENAMETOOLONG);
    strcpy(resolved, path);
    if (!*exists)
        return MMCL_OK;
    if (realpath(path, resolved) == NULL || stat(resolved, &about) != 0)
        return mmcl__fail_system(context, MMCL_E_IO, path, "is a link that leads nowhere", errno);
    if (S_ISDIR(about.st_mode))
        return mmcl__fail(context, MMCL_E_IO, "%s: is a directory, expected the name of a file", path);
    if (!S_ISREG(about.st_mode))
        return mmcl__fail(context, MMCL_E_IO, "%s: is not a regular file, and will not be replaced by one", path);
    *mode = about.st_mode & 0777;
    return MMCL_OK;
}

/* Creates the new file under a name that nobody else has. */
static mmcl_status create_temporary(mmcl__output *output, mode_t mode)
{
    struct timespec now;
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        clock_gettime(CLOCK_REALTIME, &now);
        snprintf(output->temporary, sizeof output->temporary, ".mmcl-%lx-%lx-%x", (unsigned long) getpid(),
                 (unsigned long) now.tv_nsec, attempt);
        output->descriptor = openat(output->folder, output->temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (output->descriptor >= 0 || errno != EEXIST)
            break;
    }
    if (output->descriptor >= 0)
        return MMCL_OK;
    output->temporary[0] = '\0';
    return failed(output, "no file can be created in its folder", errno);
}

/* `path` is resolved, and is split in place. */
static mmcl_status open_beside(mmcl__output *output, char *path, mode_t mode, bool exists)
{
    char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    output->name = mmcl__strdup(output->context, name);
    if (output->name == NULL)
        return MMCL_E_NOMEM;
    if (name[0] == '\0')
        return mmcl__fail(output->context, MMCL_E_IO, "%s: names a folder, expected a file", output->path);
    *name          = '\0';
    output->folder = open(slash == NULL ? "." : path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (output->folder < 0)
        return failed(output, "its folder cannot be opened", errno);
    MMCL__TRY(create_temporary(output, mode));
    if (exists && fchmod(output->descriptor, mode) != 0) /* a file that is replaced keeps its permissions */
        return failed(output, "its permissions cannot be set", errno);
    return MMCL_OK;
}

mmcl_status mmcl__output_open(mmcl__output *output, mmcl_context *context, const char *path)
{
    char   resolved[PATH_MAX];
    mode_t mode;
    bool   exists;
    mmcl_status status = mmcl__output_open_memory(output, context, path);
    if (status == MMCL_OK)
        status = resolve(context, path, resolved, &mode, &exists);
    if (status == MMCL_OK)
        status = open_beside(output, resolved, mode, exists);
    if (status != MMCL_OK)
        mmcl__output_close(output);
    return status;
}

mmcl_status mmcl__output_open_memory(mmcl__output *output, mmcl_context *context, const char *name)
{
    *output = (mmcl__output){.context = context, .folder = -1, .descriptor = -1, .path = mmcl__strdup(context, name)};
    return output->path != NULL ? MMCL_OK : MMCL_E_NOMEM;
}

/* ------------------------------------------------------------------------------------------------ writing, reading --- */

static mmcl_status write_memory(mmcl__output *output, uint64_t offset, const void *bytes, size_t count)
{
    size_t end;
    assert(offset <= output->size);
    if (!mmcl__add((size_t) offset, count, &end))
        return mmcl__fail(output->context, MMCL_E_NOMEM, "%s: does not fit in memory", output->path);
    if (end > output->capacity) {
        size_t         capacity = MMCL__MAX(end, MMCL__MAX(4096, output->capacity + output->capacity / 2));
        unsigned char *grown    = mmcl__alloc(output->context, capacity, 1);
        if (grown == NULL)
            return MMCL_E_NOMEM;
        if (output->size > 0)
            memcpy(grown, output->memory, (size_t) output->size);
        mmcl__free(output->context, output->memory, output->capacity, 1);
        output->memory   = grown;
        output->capacity = capacity;
    }
    memcpy(output->memory + offset, bytes, count);
    return MMCL_OK;
}

static mmcl_status write_file(mmcl__output *output, uint64_t offset, const void *bytes, size_t count)
{
    for (size_t done = 0; done < count;) {
        ssize_t put = pwrite(output->descriptor, (const char *) bytes + done, count - done, (off_t) (offset + done));
        if (put < 0 && errno != EINTR)
            return failed(output, "cannot be written", errno);
        if (put == 0)
            return failed(output, "cannot be written", ENOSPC);
        done += put > 0 ? (size_t) put : 0;
    }
    return MMCL_OK;
}

mmcl_status mmcl__output_write(mmcl__output *output, uint64_t offset, const void *bytes, size_t count)
{
    if (count == 0)
        return MMCL_OK;
    MMCL__TRY(output->folder >= 0 ? write_file(output, offset, bytes, count) : write_memory(output, offset, bytes, count));
    output->size = MMCL__MAX(output->size, offset + count);
    return MMCL_OK;
}

mmcl_status mmcl__output_read(mmcl__output *output, uint64_t offset, void *bytes, size_t count)
{
    assert(offset + count <= output->size);
    if (output->folder < 0) {
        memcpy(bytes, output->memory + offset, count);
        return MMCL_OK;
    }
    for (size_t done = 0; done < count;) {
        ssize_t got = pread(output->descriptor, (char *) bytes + done, count - done, (off_t) (offset + done));
        if (got == 0 || (got < 0 && errno != EINTR))
            return failed(output, "cannot be read back", got == 0 ? EIO : errno);
        done += got > 0 ? (size_t) got : 0;
    }
    return MMCL_OK;
}

/* -------------------------------------------------------------------------------------------------------- finishing --- */

mmcl_status mmcl__output_commit(mmcl__output *output)
{
    if (output->folder < 0)
        return MMCL_OK;
    if (fsync(output->descriptor) != 0)
        return failed(output, "cannot be written to the disk", errno);
    int closed         = close(output->descriptor);
    output->descriptor = -1;
    if (closed != 0 && errno != EINTR)
        return failed(output, "cannot be written to the disk", errno);
    if (renameat(output->folder, output->temporary, output->folder, output->name) != 0)
        return failed(output, "cannot be replaced", errno);
    output->temporary[0] = '\0';
    if (fsync(output->folder) != 0 && errno != EINVAL) /* the file is complete, but a power cut may bring the old one back */
        mmcl__log(output->context, MMCL_LOG_WARNING, "%s: its folder could not be flushed to the disk", output->path);
    return MMCL_OK;
}

void mmcl__output_close(mmcl__output *output)
{
    if (output->context == NULL)
        return;
    if (output->descriptor >= 0)
        close(output->descriptor);
    if (output->folder >= 0) {
        if (output->temporary[0] != '\0')
            unlinkat(output->folder, output->temporary, 0);
        close(output->folder);
    }
    mmcl__free(output->context, output->memory, output->capacity, 1);
    if (output->name != NULL)
        mmcl__free(output->context, output->name, strlen(output->name) + 1, 1);
    if (output->path != NULL)
        mmcl__free(output->context, output->path, strlen(output->path) + 1, 1);
    *output = (mmcl__output){0};
}
