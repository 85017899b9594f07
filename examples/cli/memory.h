/* Memory of the command itself; when there is none left the command ends with one line and exit 1. */
#ifndef MMCL_CLI_MEMORY_H
#define MMCL_CLI_MEMORY_H

#include <stddef.h>

/* Zeroed room for `count` items. */
void *memory_array(size_t count, size_t size);

/* Makes room for `count` items, the old ones kept. */
void *memory_grow(void *items, size_t count, size_t size);

/* A copy of a text. */
char *memory_text(const char *text);

/* A new text, as printf makes it. */
char *memory_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
