#include "harness.h"

const scenario scenarios_encoder[] = {
    {0},
};
