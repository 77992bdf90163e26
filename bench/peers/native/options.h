/* What a load is, as the command line says it, and the bytes that each stream sends for it. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#define BYTES_ROOM 16384

struct bytes {
    char at[BYTES_ROOM];
    size_t length;
};

struct options {
    int port, streams, ramp_ms;
    int proxy, upstream; /* process ids whose CPU is followed; 0: none */
    long events, every;
    double rate;         /* events a second of each stream; 0: unpaced */
    double loop;         /* seconds in which a stream that ended is followed by another one; 0: one each */
    double limit;        /* seconds after which all is over, whatever is missing */
    bool websocket;
    bool whole;          /* marks are words of their own */
    const char *path, *model;
    char headers[4096];
};

/* Exits with 2 and a sentence where an option is wrong. */
struct options options_read(int argc, char **argv);

/* How many marks a whole answer has. */
long options_marks(const struct options *options);

/* The request of one stream: HTTP, or the first message of an open WebSocket. */
void options_request(const struct options *options, struct bytes *to);

/* The handshake of a WebSocket. */
void options_upgrade(const struct options *options, struct bytes *to);

#endif
