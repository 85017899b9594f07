#include "harness.h"

const scenario scenarios_metrics[] = {
    {0},
};
