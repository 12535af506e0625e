#include "tools/json.h"

#include <assert.h>
#include <math.h>
#include <string.h>

bool json_open(struct json *json, const char *path)
{
    memset(json, 0, sizeof *json);
    bool opened = whole_file_open(&json->whole, path);
    json->file = json->whole.stream;
    return opened;
}

bool json_close(struct json *json)
{
    assert(json->depth == 0 && !json->keyed);
    fputc('\n', json->file);
    return whole_file_close(&json->whole);
}

static void indent(struct json *json)
{
    fprintf(json->file, "\n%*s", 2 * json->depth, "");
}

/* Whatever stands between the previous value and the next. */
static void separate(struct json *json)
{
    if (json->keyed) {
        json->keyed = false;
        return;
    }
    if (json->filled[json->depth]) {
        fputc(',', json->file);
    }
    json->filled[json->depth] = true;
    if (json->depth > 0) {
        indent(json);
    }
}

static void begin(struct json *json, char bracket)
{
    assert(json->depth < JSON_DEPTH_MAX);
    separate(json);
    fputc(bracket, json->file);
    json->filled[++json->depth] = false;
}

static void end(struct json *json, char bracket)
{
    assert(json->depth > 0 && !json->keyed);
    bool filled = json->filled[json->depth--];
    if (filled) {
        indent(json);
    }
    fputc(bracket, json->file);
}

void json_begin_object(struct json *json)
{
    begin(json, '{');
}

void json_end_object(struct json *json)
{
    end(json, '}');
}

void json_begin_array(struct json *json)
{
    begin(json, '[');
}

void json_end_array(struct json *json)
{
    end(json, ']');
}

/* Length of the well-formed UTF-8 sequence at `text`, 0 if there is none (RFC 3629, section 4). */
static int utf8_length(const unsigned char *text)
{
    int length = text[0] < 0x80                       ? 1
                 : text[0] >= 0xc2 && text[0] < 0xe0  ? 2
                 : text[0] >= 0xe0 && text[0] < 0xf0  ? 3
                 : text[0] >= 0xf0 && text[0] <= 0xf4 ? 4
                                                      : 0;
    for (int i = 1; i < length; i++) {
        if ((text[i] & 0xc0) != 0x80) {
            return 0;
        }
    }
    bool overlong = (text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xf0 && text[1] < 0x90);
    bool no_character = (text[0] == 0xed && text[1] > 0x9f) || (text[0] == 0xf4 && text[1] > 0x8f);
    return overlong || no_character ? 0 : length;
}

static void quote(FILE *file, const char *text)
{
    fputc('"', file);
    for (const unsigned char *at = (const unsigned char *)text; *at != 0;) {
        int length = utf8_length(at);
        if (length == 0) {
            fputs("\\ufffd", file);
            at++;
        } else if (*at < 0x20 || *at == '"' || *at == '\\') {
            fprintf(file, *at < 0x20 ? "\\u%04x" : "\\%c", *at);
            at++;
        } else {
            fwrite(at, 1, (size_t)length, file);
            at += length;
        }
    }
    fputc('"', file);
}

void json_key(struct json *json, const char *key)
{
    assert(json->depth > 0 && !json->keyed);
    separate(json);
    quote(json->file, key);
    fputs(": ", json->file);
    json->keyed = true;
}

void json_string(struct json *json, const char *text)
{
    separate(json);
    if (text == NULL) {
        fputs("null", json->file);
    } else {
        quote(json->file, text);
    }
}

void json_number(struct json *json, double value)
{
    separate(json);
    if (isfinite(value)) {
        fprintf(json->file, "%.9g", value);
    } else {
        fputs("null", json->file);
    }
}

void json_integer(struct json *json, int64_t value)
{
    separate(json);
    fprintf(json->file, "%lld", (long long)value);
}

void json_bool(struct json *json, bool value)
{
    separate(json);
    fputs(value ? "true" : "false", json->file);
}

void json_member_string(struct json *json, const char *key, const char *text)
{
    json_key(json, key);
    json_string(json, text);
}

void json_member_number(struct json *json, const char *key, double value)
{
    json_key(json, key);
    json_number(json, value);
}

void json_member_integer(struct json *json, const char *key, uint64_t value)
{
    json_key(json, key);
    json_integer(json, (int64_t)value);
}

void json_member_bool(struct json *json, const char *key, bool value)
{
    json_key(json, key);
    json_bool(json, value);
}
