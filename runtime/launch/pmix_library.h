/* pmix_library: libpmix, loaded when it is needed, through the part of its interface that has kept its shape in the series 3 to 6
 * (one soname, libpmix.so.2): kolo neither builds nor links with it.
 *
 * The structures are those of the PMIx standard, as far as kolo fills and reads them; the rest of a value is room. */
#ifndef KOLO_LAUNCH_PMIX_LIBRARY_H
#define KOLO_LAUNCH_PMIX_LIBRARY_H

#include <assert.h>
#include <kolo/kolo.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/time.h>

#define PMIX_LIBRARY_LEAST 3 /* series that have these structures; 2 has smaller ones */
#define PMIX_LIBRARY_MOST 6

#define PMIX_NAMESPACE_BYTES 256
#define PMIX_KEY_BYTES 512

enum pmix_status { PMIX_SUCCESS = 0, PMIX_ERR_TIMEOUT = -24, PMIX_ERR_NOT_FOUND = -46 };
enum pmix_type { PMIX_BOOL = 1, PMIX_STRING = 3, PMIX_INT = 6 };
enum pmix_scope { PMIX_GLOBAL = 3 };

struct pmix_process {
    char namespace[PMIX_NAMESPACE_BYTES];
    uint32_t rank;
};

struct pmix_value {
    uint16_t type; /* enum pmix_type */
    union {
        bool flag;
        int integer;
        char *string;
        uint64_t number;
        double real;
        struct timeval time;
        void *room[3]; /* the largest there is: two pointers and a letter */
    } data;
};

struct pmix_info {
    char key[PMIX_KEY_BYTES];
    uint32_t flags;
    struct pmix_value value;
};

static_assert(sizeof(struct pmix_process) == PMIX_NAMESPACE_BYTES + 4, "no gap");
static_assert(sizeof(void *) != 8 || sizeof(struct pmix_value) == 32, "as libpmix has it");
static_assert(sizeof(void *) != 8 || sizeof(struct pmix_info) == 552, "as libpmix has it");

/** Its functions, under the names they have there after "PMIx_". All return enum pmix_status or another number of its own. */
struct pmix_library {
    const char *(*Get_version)(void);
    const char *(*Error_string)(int status);
    int (*Init)(struct pmix_process *self, struct pmix_info *info, size_t infos);
    int (*Put)(uint8_t scope, const char *key, struct pmix_value *value);
    int (*Commit)(void);
    int (*Fence)(const struct pmix_process *processes, size_t count, const struct pmix_info *info,
                 size_t infos);
    int (*Get)(const struct pmix_process *process, const char *key, const struct pmix_info *info,
               size_t infos, struct pmix_value **value);
    int (*Finalize)(const struct pmix_info *info, size_t infos);
    void (*Value_free)(struct pmix_value *values, size_t count); /* NULL before series 5 */
};

/** Load it, from KOLO_PMIX_LIBRARY or as libpmix.so.2, for good; one that the process has loaded already is taken.
 *  Returns: KOLO_OK; KOLO_ERR_SYSTEM: there is none, or it lacks a function, or is of another series. Not logged. Out: library. */
kolo_status pmix_library_load(struct pmix_library *library);

/** Free a value of Get with its string. */
void pmix_library_free(const struct pmix_library *library, struct pmix_value *value);

#endif
