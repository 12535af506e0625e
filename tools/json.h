/* json: writes one JSON document to a file, whole or not at all (whole_file.h).
 * Commas, quotes and indentation are the writer's; what may stand where is the caller's (asserted). It does not read JSON. */
#ifndef KOLO_TOOLS_JSON_H
#define KOLO_TOOLS_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "tools/whole_file.h"

#define JSON_DEPTH_MAX 16

struct json {
    struct whole_file whole;
    FILE *file; /* of `whole` */
    int depth;
    bool filled[JSON_DEPTH_MAX + 1]; /* the object or array at this depth has a member */
    bool keyed;                      /* a key has been written, its value is next */
};

/** Begin a document that is to become `path`. Returns false with errno set if it cannot be written. */
bool json_open(struct json *json, const char *path);

/** Finish: all objects and arrays must be ended. Returns false with errno set if anything could not be written; nothing has
 *  then changed under `path`. */
bool json_close(struct json *json);

void json_begin_object(struct json *json);
void json_end_object(struct json *json);
void json_begin_array(struct json *json);
void json_end_array(struct json *json);

/** The name of the next value; only in an object. */
void json_key(struct json *json, const char *key);

void json_string(struct json *json,
                 const char *text); /* NULL: null. Bytes that are no UTF-8 become U+FFFD */
void json_number(struct json *json, double value); /* infinities and NaN: null */
void json_integer(struct json *json, int64_t value);
void json_bool(struct json *json, bool value);

/** A member of an object: its key and its value. */
void json_member_string(struct json *json, const char *key, const char *text);
void json_member_number(struct json *json, const char *key, double value);
void json_member_integer(struct json *json, const char *key, uint64_t value); /* below 2^63 */
void json_member_bool(struct json *json, const char *key, bool value);

#endif
