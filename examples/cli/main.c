/* The `mmcl` command: finds the subcommand, reads its options, runs it. Only the public interface of the library is used. */
#include "memory.h"
#include "session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_COMMANDS 32

static const cli_command *const commands[] = {&identify_command, &train_command, &encode_command, &probe_command, &adapt_command,
                                             &disentangle_command, &metrics_command, &analyse_command, &align_command, &predict_command, &info_command};

#define COMMANDS (sizeof commands / sizeof *commands)

static const cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *names[MAX_COMMANDS] = {"help"};
    for (size_t i = 0; i < COMMANDS; i++)
        names[i + 1] = commands[i]->name;
    const char *nearest = args_nearest(name, names);
    if (nearest != NULL)
        return terminal_fail(EXIT_USAGE, "unknown subcommand %s; did you mean %s?", name, nearest);
    return terminal_fail(EXIT_USAGE, "unknown subcommand %s; mmcl help lists them", name);
}

static int print_overview(void)
{
    printf("mmcl: multimodal contrastive learning: latents recovered, transforms and few-shot classifiers for CLIP features\n\nUsage: mmcl SUBCOMMAND ...\n\n");
    for (size_t i = 0; i < COMMANDS; i++)
        printf("  %-12s %s\n", commands[i]->name, commands[i]->summary);
    printf("  %-12s %s\n", "help", "this list, or `mmcl help SUBCOMMAND`");
    printf("\nEvery subcommand takes:\n");
    args_print_help((const cli_option *const[]){common_options, NULL});
    printf("\nExit status: 0 success, 1 a run-time error, 2 bad usage, 130 interrupted by Ctrl-C. `mmcl --version` tells the version.\n");
    return EXIT_OK;
}

static int print_help(const cli_command *command)
{
    printf("mmcl %s: %s\n\nUsage: mmcl %s %s\n\n%s\n\nOptions:\n", command->name, command->summary, command->name, command->synopsis,
           command->text);
    args_print_help((const cli_option *const[]){command->options, common_options, NULL});
    printf("\nExample:\n  %s\n", command->example);
    return EXIT_OK;
}

static int help(int argc, char **argv)
{
    if (argc == 0)
        return print_overview();
    terminal_begin("help");
    if (argc > 1)
        return terminal_fail(EXIT_USAGE, "one subcommand at a time");
    const cli_command *command = find_command(argv[0]);
    if (strcmp(argv[0], "help") == 0)
        return print_overview();
    return command != NULL ? print_help(command) : unknown_command(argv[0]);
}

static int run_parsed(const cli_command *command, const common_settings *common, const text_list *operands)
{
    if (operands->count < command->operands_least || operands->count > command->operands_most) {
        if (command->operands_most == 0)
            return terminal_fail(EXIT_USAGE, "unexpected argument %s", operands->items[0]);
        return terminal_fail(EXIT_USAGE, "expected %s; got %zu", command->operands, operands->count);
    }
    cli_session session;
    TRY(session_begin(&session, common));
    int code = command->run(&session, common, operands);
    session_end(&session);
    return code;
}

static int run_command(const cli_command *command, int argc, char **argv)
{
    const cli_option *const tables[] = {command->options, common_options, NULL};
    common_settings        *settings = memory_array(1, command->settings_size);
    text_list               operands = {0};
    bool                    wants_help;
    settings->seed = 1;
    terminal_begin(command->name);
    int code = args_parse(tables, argc, argv, settings, &operands, &wants_help);
    if (code == EXIT_OK)
        code = wants_help ? print_help(command) : run_parsed(command, settings, &operands);
    args_free(tables, settings);
    text_list_free(&operands);
    free(settings);
    return code;
}

/* Output that did not reach its place is an error as any other. */
static int check_standard_output(int code)
{
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    return code == EXIT_OK ? terminal_fail(EXIT_ERROR, "cannot write to standard output") : code;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return terminal_fail(EXIT_USAGE, "a subcommand is needed; mmcl help lists them");
    const char *name = argv[1];
    if (strcmp(name, "--version") == 0) {
        printf("mmcl %s\n", mmcl_version_string());
        return EXIT_OK;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return help(argc - 2, argv + 2);
    const cli_command *command = find_command(name);
    return command != NULL ? run_command(command, argc - 2, argv + 2) : unknown_command(name);
}

int main(int argc, char **argv)
{
    terminal_begin("");
    int code = check_standard_output(dispatch(argc, argv));
    terminal_end();
    return code;
}
