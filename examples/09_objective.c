/* Loss and gradients for representations that live elsewhere: the host gives two matrices and carries on with their gradients. */
#include <mmcl/mmcl.h>

#include <math.h>
#include <stdio.h>

enum { N = 64, D = 8 };

int main(void)
{
    static float   x[N * D], t[N * D], dx[N * D], dt[N * D];
    mmcl_context  *context   = NULL;
    mmcl_objective *objective = NULL;
    double         slope = 0, first = 0;
    mmcl_matrix    x_rows = {.data = x, .rows = N, .cols = D}, t_rows = {.data = t, .rows = N, .cols = D};

    mmcl_objective_options options = {.struct_size = sizeof options, .similarity = MMCL_SIMILARITY_COSINE, .max_scale = 100};
    mmcl_objective_input   input   = {.struct_size = sizeof input, .x = &x_rows, .t = &t_rows, .log_scale = log(1 / 0.07)};
    mmcl_objective_output  output  = {.struct_size = sizeof output, .dx = dx, .dt = dt, .dlog_scale = &slope};
    mmcl_objective_info    info    = {.struct_size = sizeof info};
    mmcl_status            status  = mmcl_context_create(&context, NULL);

    for (int i = 0; i < N * D; i++) {
        x[i] = (float) sin(0.7 * i + 0.01 * i * i);
        t[i] = (float) cos(1.3 * i);
    }
    if (status == MMCL_OK)
        status = mmcl_objective_create(&objective, context, &options);
    for (int step = 0; step < 50 && status == MMCL_OK; step++) {
        status = mmcl_objective_evaluate(objective, &input, &output, &info);
        first  = step == 0 ? info.loss : first;
        for (int i = 0; i < N * D; i++) { /* a host would hand dx and dt to its networks' backward passes */
            x[i] -= 5 * dx[i];
            t[i] -= 5 * dt[i];
        }
    }
    if (status == MMCL_OK)
        printf("loss %.3f, then %.3f; %.0f %% of the pairs found; dL/d log s %.4f\n", first, info.loss, 100 * info.accuracy_x, slope);
    else
        fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    mmcl_objective_destroy(objective);
    mmcl_context_destroy(context);
    return status == MMCL_OK && info.loss < first ? 0 : 1;
}
