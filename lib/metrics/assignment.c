#include "metrics/metrics.h"

#include <math.h>
#include <string.h>

/* Rows and columns are counted from 1; column 0 stands for the row that is being placed. */
void mmcl__assign(size_t rows, size_t cols, const double *score, double *work, size_t *index, size_t *out)
{
    double *u = work, *v = u + rows + 1, *least = v + cols + 1;
    size_t *owner = index, *way = owner + cols + 1, *used = way + cols + 1;
    memset(work, 0, (rows + cols + 2) * sizeof *work);
    memset(owner, 0, (cols + 1) * sizeof *owner);
    for (size_t i = 1; i <= rows; i++) {
        size_t at = 0;
        owner[0]  = i;
        for (size_t j = 0; j <= cols; j++) {
            least[j] = INFINITY;
            used[j]  = 0;
        }
        do {
            size_t row = owner[at], next = 0;
            double delta = INFINITY;
            used[at]     = 1;
            for (size_t j = 1; j <= cols; j++) {
                if (used[j])
                    continue;
                double cost = -score[(row - 1) * cols + j - 1] - u[row] - v[j];
                if (cost < least[j]) {
                    least[j] = cost;
                    way[j]   = at;
                }
                if (least[j] < delta) {
                    delta = least[j];
                    next  = j;
                }
            }
            for (size_t j = 0; j <= cols; j++) {
                if (used[j]) {
                    u[owner[j]] += delta;
                    v[j] -= delta;
                } else {
                    least[j] -= delta;
                }
            }
            at = next;
        } while (owner[at] != 0);
        for (; at != 0; at = way[at])
            owner[at] = owner[way[at]];
    }
    for (size_t j = 1; j <= cols; j++)
        if (owner[j] != 0)
            out[owner[j] - 1] = j - 1;
}
