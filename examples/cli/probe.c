/* mmcl probe: the few-shot linear probe with CoOp's search for C. */
#include "fewshot.h"

static const cli_option options[] = {FEWSHOT_OPTIONS, {0}};

static int probe(cli_session *session, const void *given, const text_list *operands)
{
    return fewshot_command(session, given, operands);
}

const cli_command probe_command = {
    .name     = "probe",
    .summary  = "few-shot linear probe: accuracy over shots and transforms",
    .synopsis = "DATA... [--shots N,N...] [--transform SPEC]... [--pool A] [--protocol strict|paper]\n"
                "       [--seeds N] [--save PIPELINE] [--plot F.svg]",
    .text     = "Fits a logistic regression on a few rows a class, chooses C on at most 4 val rows a class as CoOp does, and\n"
                "measures the test sets. SPEC is described in `mmcl help disentangle`.\n"
                "\n"
                "DATA is one .npz with val_x val_y test_x test_y and train_x train_y (shots are drawn from it) or fixed draws\n"
                "shotN_x shotN_y, which win; optionally classnames, and further test sets test_NAME_x test_NAME_y\n"
                "[classes_NAME]. Or a folder with train.npz, val.npz and test.npz of feature_list and label_list.\n"
                "\n"
                "strict: a transform sees the few-shot rows, or the pool alone where --pool is given; rows of the pool that\n"
                "are equal to a val or test row are left out. paper: it sees the few-shot and val rows, or all of the pool,\n"
                "and components are clipped to the rank. A transform is fitted on the pool once and used for all its rows.",
    .example  = "mmcl probe pets.npz --shots 1,4,16 --transform raw --transform whiten:256+normalize \\\n"
                "             --pool pool.npy --plot pets.svg --save pets-pipeline.npz --json pets.json",
    .options        = options,
    .settings_size  = sizeof(fewshot_settings),
    .operands_least = 1,
    .operands_most  = SIZE_MAX,
    .operands       = "at least one DATA",
    .run            = probe,
};
