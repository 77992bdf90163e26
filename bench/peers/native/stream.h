/* One stream of the load after the other on one connection: connect, upgrade, ask, read to the end. */
#ifndef STREAM_H
#define STREAM_H

#include "answer.h"
#include "frames.h"
#include "options.h"
#include "tally.h"
#include "text.h"

/* What all streams of a load share. */
struct load {
    const struct options *options;
    int epoll;
    struct bytes request, upgrade;
    struct tally tally;
    int ready, ended;      /* streams that can begin; streams that are over */
    uint64_t loop_ends_at; /* ns; before it, a stream that ended is followed by another one */
};

enum phase { CONNECTING, UPGRADING, READY, ANSWERING, ENDED };

struct stream {
    struct load *load;
    int fd;
    enum phase phase;
    bool again;      /* connected anew in a closed loop: begins without waiting for the others */
    bool said_done;  /* the end's own sign came: [DONE], or a message of type `complete` */
    uint64_t asked_at, read_at;
    struct text text;
    struct answer answer;
    struct frames frames;
};

/* These exit with a sentence where the proxy cannot be reached or refuses a WebSocket. */
void stream_connect(struct stream *stream, struct load *load);
void stream_writable(struct stream *stream);
void stream_readable(struct stream *stream);

/* Ask for one answer. */
void stream_begin(struct stream *stream);

/* Events of an answer that is under way and whose marks have not come. */
uint64_t stream_missing(const struct stream *stream);

#endif
