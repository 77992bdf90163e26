/* Reading one HTTP answer piece by piece: its head, its body chunked or not, and the body's lines. */
#ifndef ANSWER_H
#define ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#define HEAD_ROOM 16384
#define LINE_ROOM 65536

enum answer_part { HEAD, PLAIN, CHUNK_SIZE, CHUNK_DATA, CHUNK_END, TRAILER, WHOLE };

struct answer {
    enum answer_part part;
    int status;
    long left;      /* bytes of the body or of the chunk; -1: until the connection closes */
    bool extension; /* in the chunk's first line, behind its size */
    size_t head_length, line_length;
    char head[HEAD_ROOM], line[LINE_ROOM];
};

/* One line of the body, without its LF; not NUL-terminated. */
typedef void line_taker(void *who, char *line, size_t length);

void answer_begin(struct answer *answer);

/* Take bytes, and hand on each line of the body. True: the answer is whole. */
bool answer_take(struct answer *answer, const char *data, size_t length, line_taker *take_line, void *who);

#endif
