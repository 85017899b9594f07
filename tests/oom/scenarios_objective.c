#include "harness.h"

const scenario scenarios_objective[] = {
    {0},
};
