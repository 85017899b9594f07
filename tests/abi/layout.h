/* What pins the binary interface: sizes, offsets, values. */
#include <mmcl/mmcl.h>

#include <assert.h>

#define LAYOUT(type, bytes, last)                                                                                      \
    static_assert(sizeof(type) == (bytes), #type " changed its size");                                                 \
    static_assert(offsetof(type, last) + sizeof(((type *) 0)->last) == (bytes), #type " does not end with " #last);
#define AT(type, member, offset) static_assert(offsetof(type, member) == (offset), #type "." #member " moved");

/* Values that callers have compiled in: they never change and are never used again for something else. */
#define VALUE(name, value) static_assert(name == (value), #name " changed");
