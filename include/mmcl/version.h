/*
 * Version of the interface, for the preprocessor and at run time.
 *
 * The build reads these macros, so header, shared object name, pkg-config file and run-time answer cannot drift apart.
 */
#ifndef MMCL_VERSION_H
#define MMCL_VERSION_H

#include <mmcl/base.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MMCL_VERSION_MAJOR 0
#define MMCL_VERSION_MINOR 1
#define MMCL_VERSION_PATCH 0

/* Shared object version: counts breaks of the binary interface, not releases. */
#define MMCL_ABI_VERSION 0

/*
 * Version of the library that is linked in, as major * 1000000 + minor * 1000 + patch.
 * Thread class: any thread. Allocates nothing.
 */
MMCL_API uint32_t mmcl_version(void);

/*
 * The same as text, "major.minor.patch". Static storage.
 * Thread class: any thread. Allocates nothing.
 */
MMCL_API const char *mmcl_version_string(void);

#ifdef __cplusplus
}
#endif

#endif
