/* Ascending samples that grow one by one. */
#ifndef MMCL_CORE_SORTED_H
#define MMCL_CORE_SORTED_H

#include <stddef.h>

/* Puts `value` in its place among n ascending ones; room for one more. */
void mmcl__sorted_insert(double *sorted, size_t n, double value);

/* Quantile of n ascending values, n > 0, linear between neighbours. */
double mmcl__sorted_quantile(const double *sorted, size_t n, double share);

#endif
