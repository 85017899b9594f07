#include "memory.h"

#include "terminal.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *checked(void *memory, size_t count, size_t size)
{
    if (memory == NULL)
        exit(terminal_fail(EXIT_ERROR, "out of memory: %zu items of %zu bytes", count, size));
    return memory;
}

void *memory_array(size_t count, size_t size)
{
    return checked(calloc(count > 0 ? count : 1, size), count, size);
}

void *memory_grow(void *items, size_t count, size_t size)
{
    return checked(count > SIZE_MAX / size ? NULL : realloc(items, count > 0 ? count * size : 1), count, size);
}

char *memory_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(memory_array(bytes, 1), text, bytes);
}

char *memory_format(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    size_t bytes = length < 0 ? 1 : (size_t) length + 1;
    char  *text  = memory_array(bytes, 1);
    va_start(arguments, format);
    vsnprintf(text, bytes, format, arguments);
    va_end(arguments);
    return text;
}
