/* fake_pmix: a libpmix.so.2 for tests, which does what FAKE_PMIX says: well, or one thing wrong. It writes down what it is asked in
 * the file FAKE_PMIX_LOG, a call a line. Declared by hand as in the headers of libpmix: what it is given must look like theirs. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct {
    char nspace[256];
    uint32_t rank;
} pmix_proc_t;

typedef struct {
    uint16_t type;
    union {
        bool flag;
        int integer;
        char *string;
        struct {
            char *envar, *value;
            char separator;
        } envar;
    } data;
} pmix_value_t;

typedef struct {
    char key[512];
    uint32_t flags;
    pmix_value_t value;
} pmix_info_t;

static bool does(const char *what)
{
    const char *wanted = getenv("FAKE_PMIX");
    return wanted != NULL && strcmp(wanted, what) == 0;
}

static void note(const char *line)
{
    const char *path = getenv("FAKE_PMIX_LOG");
    int file = path != NULL ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    if (file >= 0) {
        dprintf(file, "%s\n", line);
        close(file);
    }
}

const char *PMIx_Get_version(void);
const char *PMIx_Error_string(int status);
int PMIx_Init(pmix_proc_t *self, pmix_info_t info[], size_t infos);
int PMIx_Put(uint8_t scope, const char key[], pmix_value_t *value);
int PMIx_Commit(void);
int PMIx_Fence(const pmix_proc_t procs[], size_t count, const pmix_info_t info[], size_t infos);
int PMIx_Get(const pmix_proc_t *proc, const char key[], const pmix_info_t info[], size_t infos,
             pmix_value_t **value);
int PMIx_Finalize(const pmix_info_t info[], size_t infos);

const char *PMIx_Get_version(void)
{
    return does("old") ? "PMIx 2.2.5" : does("new") ? "OpenPMIx 7.0.0" : "OpenPMIx 4.2.2 (fake)";
}

const char *PMIx_Error_string(int status)
{
    return status == -46 ? "NOT-FOUND" : status == -24 ? "TIMEOUT" : "ERROR";
}

int PMIx_Init(pmix_proc_t *self, pmix_info_t info[], size_t infos)
{
    (void)info;
    note(infos == 0 ? "init" : "init with infos");
    if (does("no server")) {
        return -25;
    }
    snprintf(self->nspace, sizeof self->nspace, "%s", does("other job") ? "other" : "job@1");
    self->rank = does("other rank") ? 2 : 1;
    return 0;
}

int PMIx_Put(uint8_t scope, const char key[], pmix_value_t *value)
{
    char line[1200];
    snprintf(line, sizeof line, "put %d %s %d %s", scope, key, value->type, value->data.string);
    note(line);
    return does("no put") ? -1 : 0;
}

int PMIx_Commit(void)
{
    note("commit");
    return does("no commit") ? -1 : 0;
}

static bool has_end(const pmix_info_t *info)
{
    return strcmp(info->key, "pmix.timeout") == 0 && info->value.type == 6 &&
           info->value.data.integer >= 0;
}

int PMIx_Fence(const pmix_proc_t procs[], size_t count, const pmix_info_t info[], size_t infos)
{
    bool collects = infos >= 1 && strcmp(info[0].key, "pmix.collect") == 0 &&
                    info[0].value.type == 1 && info[0].value.data.flag;
    bool all = procs == NULL && count == 0 && collects && infos == 2;
    note(all && has_end(info + 1) ? "fence" : "strange fence");
    while (does("hang")) {
        pause();
    }
    return does("late") ? -24 : does("no fence") ? -25 : 0;
}

static void describe_rank(char text[1024], uint32_t rank)
{
    if (does("long")) {
        memset(text, 'x', 1023);
        text[1023] = '\0';
    } else if (does("garbage")) {
        snprintf(text, 1024, "\x01 not an address");
    } else {
        snprintf(text, 1024, "10.0.0.%u:42", rank + 10);
    }
}

/* The caller's, as from libpmix. */
static pmix_value_t *make_value(uint32_t rank)
{
    char text[1024];
    pmix_value_t *made = calloc(1, sizeof *made);
    if (made == NULL) {
        abort();
    }
    describe_rank(text, rank);
    made->type = does("number") ? 6 : 3;
    made->data.string = made->type == 3 && !does("null") ? strdup(text) : NULL;
    return made;
}

int PMIx_Get(const pmix_proc_t *proc, const char key[], const pmix_info_t info[], size_t infos,
             pmix_value_t **value)
{
    char line[1200];
    bool ends = infos == 1 && has_end(info);
    snprintf(line, sizeof line, "%s %s:%u %s", ends ? "get" : "strange get", proc->nspace,
             proc->rank, key);
    note(line);
    if (does("missing")) {
        return -46;
    }
    *value = does("nothing") ? NULL : make_value(proc->rank);
    return 0;
}

int PMIx_Finalize(const pmix_info_t info[], size_t infos)
{
    (void)info;
    note(infos == 0 ? "finalize" : "finalize with infos");
    return 0;
}
