#define _GNU_SOURCE
#include "text.h"

#include <string.h>

#include "marks.h"

/* The first value of "content" that is a string with something in it. */
static char *content_of(char *json, size_t length, size_t *size)
{
    static const char key[] = "\"content\"";
    char *end = json + length, *at = memmem(json, length, key, sizeof key - 1);
    if (!at)
        return NULL;
    at += sizeof key - 1;
    while (at < end && (*at == ' ' || *at == ':'))
        at++;
    if (at == end || *at != '"')
        return NULL;
    char *begin = ++at;
    while (at < end && *at != '"')
        at += *at == '\\' ? 2 : 1;
    if (at >= end || at == begin)
        return NULL;
    *size = (size_t)(at - begin);
    return begin;
}

static void take_marks(struct text *text, struct moment moment, struct tally *tally)
{
    char *at = text->rest;
    uint64_t stamp, number;
    while (mark_read(&at, &stamp, &number)) {
        if (text->next == 0)
            sample_add(&tally->first, moment.now - moment.asked_at);
        long missing = (long)number - text->next;
        if (missing < 0) {
            tally->repeated++;
        } else {
            tally->lost += (uint64_t)(missing * moment.every);
            text->next = (long)number + 1;
        }
        tally->events += (uint64_t)moment.every;
        sample_add(&tally->late, moment.now > stamp ? moment.now - stamp : 0);
        if (!tally->first_event_at)
            tally->first_event_at = moment.now;
        tally->last_event_at = moment.now;
    }
    text->length = strlen(at);
    memmove(text->rest, at, text->length + 1);
}

void text_begin(struct text *text)
{
    text->length = 0;
    text->next = 0;
}

bool text_take(struct text *text, char *json, size_t length, struct moment moment, struct tally *tally)
{
    size_t size;
    char *content = content_of(json, length, &size);
    if (!content)
        return false;
    if (text->length + size >= TEXT_ROOM)
        text->length = 0; /* no mark is so long: this was none */
    if (size >= TEXT_ROOM)
        return true;
    memcpy(text->rest + text->length, content, size);
    text->length += size;
    text->rest[text->length] = 0;
    take_marks(text, moment, tally);
    return true;
}
