/* The text of one stream: taken out of its messages, put together, and searched for marks. A proxy may re-split, merge
 * or hold back text, so a mark may come in several messages, and a message may hold several marks. */
#ifndef TEXT_H
#define TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tally.h"

#define TEXT_ROOM 32768

struct text {
    char rest[TEXT_ROOM]; /* what may still become a mark */
    size_t length;
    long next; /* the number that the next mark must have */
};

void text_begin(struct text *text);

/* When a message came, when its stream was asked for (ns), and how many events a mark stands for. */
struct moment {
    uint64_t now, asked_at;
    long every;
};

/* Take the content of one message (JSON). False: it has none. */
bool text_take(struct text *text, char *json, size_t length, struct moment moment, struct tally *tally);

#endif
