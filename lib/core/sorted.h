/* Ascending samples that grow one by one, and the order of values. */
#ifndef MMCL_CORE_SORTED_H
#define MMCL_CORE_SORTED_H

#include <stddef.h>
#include <stdint.h>

/* Puts `value` in its place among n ascending ones; room for one more. */
void mmcl__sorted_insert(double *sorted, size_t n, double value);

/* Quantile of n ascending values, n > 0, linear between neighbours. */
double mmcl__sorted_quantile(const double *sorted, size_t n, double share);

/* order [n] = indices by ascending value, equal ones as they came; n below 2^32. `spare` [n]. */
void mmcl__sorted_order(size_t n, const double *value, uint32_t *order, uint32_t *spare);

#endif
