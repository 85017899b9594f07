/*
 * K-FAC (Martens and Grosse 2015): the curvature of a layer W [m, k + 1] (the bias is the column of a constant input 1) as the Kronecker
 * product of A = mean h h^T over its inputs and G = mean g g^T over the gradients at its outputs, g taken for the loss of one row. The step is
 * G^-1 dW A^-1: every layer moves as if its inputs and its outputs were white.
 *
 * Damping: A + d tr(A) / (k + 1) I and G + d tr(G) / m I. Inputs of the first layer come in the user's units, so there A is damped by
 * its own multiple (1 + d), which no linear map of the inputs changes.
 */
#ifndef MMCL_NN_KFAC_H
#define MMCL_NN_KFAC_H

#include "nn/encoder.h"

typedef struct mmcl__kfac {
    const mmcl_encoder *encoder;
    size_t              size;     /* of a vector of factors: for each layer A [k + 1, k + 1] and G [m, m] */
    float              *factors;  /* [size] running averages */
    float              *inverses; /* [size] of the damped factors */
    float              *scratch;  /* [2, widest, widest + 1] */
    double             *square;   /* [widest + 1, widest + 1] */
    size_t              widest;
} mmcl__kfac;

mmcl_status mmcl__kfac_open(mmcl__kfac *kfac, const mmcl_encoder *encoder);
void        mmcl__kfac_close(mmcl__kfac *kfac);

/*
 * Takes the statistics that a workspace gathered into the averages, which keep the share `decay` of themselves. `rows`: of the batch, over which the loss is a
 * mean, so that a row's own gradient is `rows` times the summed one's share.
 */
void mmcl__kfac_average(mmcl__kfac *kfac, const mmcl_workspace *workspace, double decay);

/* Inverts the damped factors. MMCL_E_NUMERIC when one is not finite; no message, since it runs inside tasks. */
mmcl_status mmcl__kfac_refresh(mmcl__kfac *kfac, double damping);

/*
 * gradient = G^-1 gradient A^-1 for weights and biases, in place, in the layout of the parameters. Returns the product of the gradient with
 * what it becomes: twice the fall of the loss that a step of rate 1 would bring on a parabola of this curvature.
 */
double mmcl__kfac_precondition(const mmcl__kfac *kfac, float *gradient);

#endif
