#define _FILE_OFFSET_BITS 64
#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

mmcl_status mmcl__fail_system(mmcl_context *context, mmcl_status status, const char *name, const char *what, int error)
{
    char reason[128];
    if (strerror_r(error, reason, sizeof reason) != 0) /* the POSIX one: the project is compiled without _GNU_SOURCE */
        return mmcl__fail(context, status, "%s: %s: error %d", name, what, error);
    return mmcl__fail(context, status, "%s: %s: %s", name, what, reason);
}

mmcl_status mmcl__open_options_import(mmcl_context *context, mmcl__open_options *ours, const mmcl_open_options *theirs)
{
    mmcl_open_options *options = &ours->options;
    MMCL__TRY(mmcl__import(context, options, sizeof *options, MMCL__V1(mmcl_open_options, reserved), theirs, "mmcl_open_options"));
    if (options->access != MMCL_ACCESS_MAP && options->access != MMCL_ACCESS_READ)
        return mmcl__fail(context, MMCL_E_INVAL, "mmcl_open_options: access is %d, expected MMCL_ACCESS_MAP or MMCL_ACCESS_READ",
                          options->access);
    if (options->reserved != 0)
        return mmcl__fail(context, MMCL_E_ABI, "mmcl_open_options: reserved is %u, expected 0", options->reserved);
    if (options->stream == NULL)
        return MMCL_OK;
    MMCL__TRY(mmcl__import(context, &ours->stream, sizeof ours->stream, MMCL__V1(mmcl_stream, read_at), options->stream, "mmcl_stream"));
    if (ours->stream.read_at == NULL)
        return mmcl__fail(context, MMCL_E_INVAL, "mmcl_stream: read_at is NULL");
    options->stream = &ours->stream;
    return MMCL_OK;
}

static mmcl_status open_file(mmcl__file *file, const char *path, mmcl_access access)
{
    struct stat about;
    /* Without blocking: opening a named pipe would wait for its writer. */
    file->descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file->descriptor < 0) {
        mmcl_status status = errno == ENOENT || errno == ENOTDIR ? MMCL_E_NOTFOUND : MMCL_E_IO;
        return mmcl__fail_system(file->context, status, path, "cannot be opened", errno);
    }
    if (fstat(file->descriptor, &about) != 0)
        return mmcl__fail_system(file->context, MMCL_E_IO, path, "cannot be opened", errno);
    if (S_ISDIR(about.st_mode))
        return mmcl__fail(file->context, MMCL_E_IO, "%s: is a directory, expected a file", path);
    if (!S_ISREG(about.st_mode))
        return mmcl__fail(file->context, MMCL_E_IO, "%s: is not a regular file", path);
    file->size = (uint64_t) about.st_size;
    if (access == MMCL_ACCESS_MAP && file->size > 0 && file->size <= SIZE_MAX) {
        void *map = mmap(NULL, (size_t) file->size, PROT_READ, MAP_PRIVATE, file->descriptor, 0);
        file->map = map != MAP_FAILED ? map : NULL; /* without a map, positioned reads do */
    }
    return MMCL_OK;
}

mmcl_status mmcl__file_open(mmcl__file **out, mmcl_context *context, const char *path, const mmcl_open_options *options)
{
    mmcl__file *file = mmcl__calloc(context, 1, sizeof *file);
    if (file == NULL)
        return MMCL_E_NOMEM;
    file->context    = context;
    file->descriptor = -1;
    file->references = 1;
    pthread_mutex_init(&file->lock, NULL);
    file->name = mmcl__strdup(context, path);

    mmcl_status status = file->name != NULL ? MMCL_OK : MMCL_E_NOMEM;
    if (status == MMCL_OK && options->stream != NULL) {
        file->stream = *options->stream;
        file->size   = file->stream.size;
    } else if (status == MMCL_OK) {
        status = open_file(file, path, options->access);
    }
    if (status != MMCL_OK) {
        mmcl__file_release(file);
        return status;
    }
    *out = file;
    return MMCL_OK;
}

mmcl__file *mmcl__file_share(mmcl__file *file)
{
    file->references++;
    return file;
}

void mmcl__file_release(mmcl__file *file)
{
    if (file == NULL || --file->references > 0)
        return;
    if (file->map != NULL)
        munmap((void *) file->map, (size_t) file->size);
    if (file->descriptor >= 0)
        close(file->descriptor);
    pthread_mutex_destroy(&file->lock);
    if (file->name != NULL)
        mmcl__free(file->context, file->name, strlen(file->name) + 1, 1);
    mmcl__free(file->context, file, 1, sizeof *file);
}

bool mmcl__file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

static mmcl_status fetch_stream(const mmcl__file *file, uint64_t offset, void *buffer, size_t bytes)
{
    pthread_mutex_t *lock = (pthread_mutex_t *) &file->lock;
    pthread_mutex_lock(lock);
    mmcl_status status = file->stream.read_at(file->stream.user, offset, buffer, bytes);
    pthread_mutex_unlock(lock);
    return status == MMCL_OK ? MMCL_OK : MMCL_E_CALLBACK;
}

mmcl_status mmcl__file_fetch(const mmcl__file *file, uint64_t offset, void *buffer, size_t bytes)
{
    if (bytes == 0)
        return MMCL_OK;
    if (offset > file->size || bytes > file->size - offset)
        return MMCL_E_IO;
    if (file->descriptor < 0)
        return fetch_stream(file, offset, buffer, bytes);
    for (size_t done = 0; done < bytes;) {
        ssize_t got = pread(file->descriptor, (char *) buffer + done, bytes - done, (off_t) (offset + done));
        if (got == 0)
            errno = 0; /* tells mmcl__file_read that the file ended early */
        if (got == 0 || (got < 0 && errno != EINTR))
            return MMCL_E_IO;
        done += got > 0 ? (size_t) got : 0;
    }
    return MMCL_OK;
}

mmcl_status mmcl__file_read(mmcl__file *file, uint64_t offset, void *buffer, size_t bytes)
{
    if (offset > file->size || bytes > file->size - offset)
        return mmcl__fail(file->context, MMCL_E_FORMAT, "%s: truncated: bytes %llu to %llu are needed, it has %llu", file->name,
                          (unsigned long long) offset, (unsigned long long) offset + bytes, (unsigned long long) file->size);
    mmcl_status status = mmcl__file_fetch(file, offset, buffer, bytes);
    if (status == MMCL_E_CALLBACK)
        return mmcl__fail(file->context, status, "%s: the stream failed to read %zu bytes at %llu", file->name, bytes,
                          (unsigned long long) offset);
    if (status != MMCL_OK && errno != 0)
        return mmcl__fail_system(file->context, status, file->name, "cannot be read", errno);
    if (status != MMCL_OK)
        return mmcl__fail(file->context, status, "%s: has become shorter than the %llu bytes it had when it was opened",
                          file->name, (unsigned long long) file->size);
    return MMCL_OK;
}
