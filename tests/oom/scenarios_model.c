#include "harness.h"

const scenario scenarios_model[] = {
    {0},
};
