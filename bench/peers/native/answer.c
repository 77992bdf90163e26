#define _GNU_SOURCE
#include "answer.h"

#include <stdlib.h>
#include <string.h>

struct reader {
    struct answer *answer;
    line_taker *take_line;
    void *who;
};

void answer_begin(struct answer *answer)
{
    answer->part = HEAD;
    answer->status = 0;
    answer->left = -1;
    answer->extension = false;
    answer->head_length = answer->line_length = 0;
}

static void take_body(struct reader *reader, const char *data, size_t length)
{
    struct answer *answer = reader->answer;
    while (length) {
        const char *end = memchr(data, '\n', length);
        size_t size = end ? (size_t)(end - data) : length;
        if (answer->line_length + size < LINE_ROOM) {
            memcpy(answer->line + answer->line_length, data, size);
            answer->line_length += size;
        }
        if (!end)
            return;
        reader->take_line(reader->who, answer->line, answer->line_length);
        answer->line_length = 0;
        data = end + 1;
        length -= size + 1;
    }
}

/* Bytes of the head; returns how many of them it has taken. */
static size_t take_head(struct answer *answer, const char *data, size_t length)
{
    size_t had = answer->head_length, room = HEAD_ROOM - 1 - had, size = length < room ? length : room;
    memcpy(answer->head + had, data, size);
    answer->head_length += size;
    answer->head[answer->head_length] = 0;
    char *end = strstr(answer->head, "\r\n\r\n");
    if (!end)
        return length;
    size_t taken = (size_t)(end + 4 - answer->head) - had;
    *end = 0;
    answer->status = atoi(answer->head + strlen("HTTP/1.1 "));
    if (answer->status == 100) {
        answer->head_length = 0;
        return taken;
    }
    char *content_length = strcasestr(answer->head, "content-length:");
    if (strcasestr(answer->head, "transfer-encoding: chunked")) {
        answer->part = CHUNK_SIZE;
        answer->left = 0;
    } else {
        answer->left = content_length ? atol(content_length + strlen("content-length:")) : -1;
        answer->part = answer->left ? PLAIN : WHOLE;
    }
    return taken;
}

static void take_size(struct answer *answer, char letter)
{
    if (letter == '\n') {
        answer->part = answer->left ? CHUNK_DATA : TRAILER;
        answer->line_length = answer->left ? answer->line_length : 0;
        answer->extension = false;
    } else if (letter == '\r' || letter == ';') {
        answer->extension = true;
    } else if (!answer->extension) {
        int low = letter | 32;
        int digit = low >= '0' && low <= '9' ? low - '0' : low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
        if (digit >= 0)
            answer->left = answer->left * 16 + digit;
    }
}

/* Bytes of the body's data; returns how many of them it has taken. */
static size_t take_data(struct reader *reader, const char *data, size_t length, enum answer_part then)
{
    struct answer *answer = reader->answer;
    size_t size = answer->left >= 0 && (size_t)answer->left < length ? (size_t)answer->left : length;
    take_body(reader, data, size);
    if (answer->left >= 0) {
        answer->left -= (long)size;
        if (!answer->left)
            answer->part = then;
    }
    return size;
}

bool answer_take(struct answer *answer, const char *data, size_t length, line_taker *take_line, void *who)
{
    struct reader reader = {answer, take_line, who};
    while (length && answer->part != WHOLE) {
        size_t taken = 1;
        switch (answer->part) {
        case HEAD:
            taken = take_head(answer, data, length);
            break;
        case PLAIN:
            taken = take_data(&reader, data, length, WHOLE);
            break;
        case CHUNK_SIZE:
            take_size(answer, *data);
            break;
        case CHUNK_DATA:
            taken = take_data(&reader, data, length, CHUNK_END);
            break;
        case CHUNK_END:
            if (*data == '\n')
                answer->part = CHUNK_SIZE;
            break;
        case TRAILER: /* ends with an empty line; `line_length` counts the letters of one */
            if (*data == '\n') {
                if (!answer->line_length)
                    answer->part = WHOLE;
                answer->line_length = 0;
            } else if (*data != '\r') {
                answer->line_length++;
            }
            break;
        case WHOLE:
            break;
        }
        data += taken;
        length -= taken;
    }
    return answer->part == WHOLE;
}
