#include "runtime/launch/pmix_library.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/env.h"
#include "runtime/base/status.h"

#define NAME "libpmix.so.2"

/* A second copy in one process would talk with the same server under the same name. */
static void *load(void)
{
    const char *path = env_text("KOLO_PMIX_LIBRARY");
    void *library = dlopen(NAME, RTLD_NOW | RTLD_NOLOAD);
    return library != NULL ? library : dlopen(path != NULL ? path : NAME, RTLD_NOW | RTLD_LOCAL);
}

/* POSIX, not C, lets a function's address stand in a data pointer: hence the copy. */
static bool find_all(struct pmix_library *library, void *handle, const char **missing)
{
    const struct {
        void *function;
        const char *name;
    } wanted[] = {
        {&library->Get_version, "PMIx_Get_version"},
        {&library->Error_string, "PMIx_Error_string"},
        {&library->Init, "PMIx_Init"},
        {&library->Put, "PMIx_Put"},
        {&library->Commit, "PMIx_Commit"},
        {&library->Fence, "PMIx_Fence"},
        {&library->Get, "PMIx_Get"},
        {&library->Finalize, "PMIx_Finalize"},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        void *symbol = dlsym(handle, wanted[i].name);
        memcpy(wanted[i].function, &symbol, sizeof symbol);
        if (symbol == NULL) {
            *missing = wanted[i].name;
            return false;
        }
    }
    void *symbol = dlsym(handle, "PMIx_Value_free");
    memcpy(&library->Value_free, &symbol, sizeof symbol);
    return true;
}

/* "3.2.5", "OpenPMIx 4.2.9 (PMIx Standard: 4.2, ...)" */
static kolo_status check_version(const struct pmix_library *library)
{
    const char *version = library->Get_version();
    version = version != NULL ? version : "";
    long series = strtol(version + strcspn(version, "0123456789"), NULL, 10);
    if (series < PMIX_LIBRARY_LEAST || series > PMIX_LIBRARY_MOST) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            NAME " says that it is \"%.60s\"; versions %d to %d are known", version,
                            PMIX_LIBRARY_LEAST, PMIX_LIBRARY_MOST);
    }
    return KOLO_OK;
}

kolo_status pmix_library_load(struct pmix_library *library)
{
    const char *missing = NULL;
    void *handle = load();
    if (handle == NULL) {
        return fail_quietly(KOLO_ERR_SYSTEM,
                            NAME " cannot be loaded (%.120s): put its path into KOLO_PMIX_LIBRARY",
                            dlerror());
    }
    if (!find_all(library, handle, &missing)) {
        return fail_quietly(KOLO_ERR_SYSTEM, NAME " has no %s: it is another library", missing);
    }
    return check_version(library);
}

/* Before PMIx_Value_free, programs did what its macro said: free(), on both. */
void pmix_library_free(const struct pmix_library *library, struct pmix_value *value)
{
    if (library->Value_free != NULL) {
        library->Value_free(value, 1);
        return;
    }
    if (value->type == PMIX_STRING) {
        free(value->data.string);
    }
    free(value);
}
