/* Shots and classes for heads with a cache that are fitted already. */
#ifndef MMCL_CLASSIFY_ONLINE_H
#define MMCL_CLASSIFY_ONLINE_H

#include "classify/classifier.h"

/* Arguments are checked, but for their values. On error the head is as it was. */
mmcl_status mmcl__online_add_shots(mmcl_classifier *head, const mmcl_labelled *shots);

/* The class gets the next label. `prompts` NULL: for heads without text. */
mmcl_status mmcl__online_add_class(mmcl_classifier *head, const mmcl_matrix *prompts);

#endif
