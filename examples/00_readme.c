/* Whitens the feature rows of a file: 00_readme FEATURES.npz:KEY MODEL.npz */
#include <mmcl/mmcl.h>

#include <stdio.h>

int main(int argc, char **argv)
{
    mmcl_context   *context = NULL;
    mmcl_array     *array   = NULL;
    mmcl_transform *whiten  = NULL;
    mmcl_matrix     rows;
    float           first[16];
    mmcl_status     status = mmcl_context_create(&context, NULL);

    if (argc != 3 || status != MMCL_OK)
        return 2;
    if ((status = mmcl_array_open(&array, context, argv[1], NULL)) == MMCL_OK &&
        (status = mmcl_array_matrix(array, &rows)) == MMCL_OK &&
        (status = mmcl_transform_create_spec(&whiten, context, "whiten:16+normalize")) == MMCL_OK &&
        (status = mmcl_transform_fit(whiten, &rows, 1, NULL)) == MMCL_OK &&
        (status = mmcl_transform_save(whiten, argv[2])) == MMCL_OK) {
        rows.rows = 1; /* a view: the first row alone */
        status    = mmcl_transform_apply(whiten, &rows, first, 0);
        printf("first row: %g %g %g ...\n", (double) first[0], (double) first[1], (double) first[2]);
    }
    if (status != MMCL_OK)
        fprintf(stderr, "%s: %s\n", mmcl_status_string(status), mmcl_context_message(context));
    mmcl_transform_destroy(whiten);
    mmcl_array_destroy(array);
    mmcl_context_destroy(context);
    return status == MMCL_OK ? 0 : 1;
}
