/* One mock answer: what was asked for, and its events as HTTP chunks, each of which is one write. */
#ifndef REPLY_H
#define REPLY_H

#include <stddef.h>
#include <stdint.h>

#define CHUNK_ROOM 1024

enum reply_part { DELTAS, USAGE, DONE, OVER };

struct reply {
    long events;       /* deltas in all */
    long sent;         /* deltas so far */
    long every;        /* each so-many-th delta is a time mark, the first one too */
    uint64_t gap;      /* ns between two deltas; 0: as fast as they are taken */
    int whole;         /* a mark ends with a space, so that no guard holds it back as the beginning of a longer word */
    uint32_t id;
    enum reply_part part;
};

/* The answer that a request's body asks for: "BENCH n=EVENTS r=EVENTS_A_SECOND k=EVERY", and " w=1"
 * behind it for whole words, anywhere in it. */
struct reply reply_wanted(const char *body, uint32_t id);

/* Write the next chunk into `to`, of CHUNK_ROOM bytes; returns its length. */
size_t reply_chunk(struct reply *reply, char *to);

#endif
