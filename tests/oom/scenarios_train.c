#include "harness.h"

const scenario scenarios_train[] = {
    {0},
};
