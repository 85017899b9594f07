/* mmcl adapt: few-shot heads side by side. */
#include "fewshot.h"

static const cli_option options[] = {
    {"method", OPTION_PARTS, FEWSHOT_AT(methods), "M[,M...]", "heads, below", NULL, 0, 0},
    FEWSHOT_OPTIONS,
    {"text", OPTION_TEXT, FEWSHOT_AT(text), "FILE:KEY", "prompts: one row a class in order; KEY_x brings labels in KEY_y", NULL, 0, 0},
    {"logit-scale", OPTION_REAL, FEWSHOT_AT(logit_scale), "S", "that cosines to the text are multiplied with (default: 100)", NULL, 0, 0},
    {0},
};

static int adapt(cli_session *session, const void *given, const text_list *operands)
{
    const fewshot_settings *s = given;
    if (s->methods.count == 0)
        return terminal_fail(EXIT_USAGE, "--method M is needed; mmcl help adapt lists them");
    return fewshot_command(session, s, operands);
}

const cli_command adapt_command = {
    .name     = "adapt",
    .summary  = "few-shot heads side by side: zero-shot, probes, caches, adapters",
    .synopsis = "DATA... --method M[,M...] [--shots N,N...] [--transform SPEC]... [--pool A] [--text FILE:KEY]\n"
                "       [--protocol strict|paper] [--seeds N] [--save PIPELINE] [--plot F.svg]",
    .text     = "Fits heads on a few rows a class, lets at most 4 val rows a class choose what they leave open, and measures the test\n"
                "sets. DATA is described in `mmcl help probe`; text_x (with text_y: any number of prompts a class) or --text brings\n"
                "the text that some heads need. Heads:\n"
                "  zeroshot *                     cosine to the text\n"
                "  ncm                            nearest class mean\n"
                "  probe probe-l1 probe-en        logistic regression: L2, L1, elastic net\n"
                "  probe-ard                      L2 with a relevance for each input\n"
                "  probe-zs * clap * lpp *        linear heads that start from the text\n"
                "  crossmodal * wise-ft *         trained on text and shots; blended with the text\n"
                "  tip tip-f ape * ape-t *        caches of the shots beside the text, trained with -f and -t\n"
                "  cca cca-ft                     Causal CLIP Adapter: a cache on the transform's components\n"
                "  kernel-ridge                   regression of the labels on kernels at the shots\n"
                "  clip-adapter * taskres *       a bottleneck before the text; a residual on it\n"
                "* needs text; tip, tip-f, cca and cca-ft work on the shots alone where there is none. Cache heads see the transform in\n"
                "their affinities alone; the others are fitted on its outputs.\n"
                "\n"
                "strict: the drawn val rows alone choose. paper: as the authors' programs do, leaks included and told: `leaks` in the\n"
                "JSON names them.\n"
                "\n"
                "The JSON has for every test set the accuracy, its 95 % interval (low, high), the expected calibration error (ece) and the\n"
                "log loss, and accuracy_mean over the further test sets.",
    .example  = "mmcl adapt pets.npz --method zeroshot,tip,clap --shots 1,4,16 --save pets-head.npz --json pets.json",
    .options        = options,
    .settings_size  = sizeof(fewshot_settings),
    .operands_least = 1,
    .operands_most  = SIZE_MAX,
    .operands       = "at least one DATA",
    .run            = adapt,
};
