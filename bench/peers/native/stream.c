#define _GNU_SOURCE
#include "stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"

#define READ_ROOM (1 << 18)
#define REFUSED 300 /* the first HTTP status that is no answer */

enum exits { NO_CONNECTION = 3, CLOSED_EARLY = 4, NO_UPGRADE = 5 };

static void give_up(enum exits code, const char *what, const char *detail)
{
    fprintf(stderr, "load: %s: %s\n", what, detail);
    exit(code);
}

static void send_all(struct stream *stream, const char *data, size_t length)
{
    while (length) {
        ssize_t wrote = write(stream->fd, data, length);
        if (wrote < 0 && errno != EAGAIN && errno != EINTR)
            return; /* the read that follows says so */
        if (wrote > 0) {
            data += wrote;
            length -= (size_t)wrote;
        }
    }
}

void stream_connect(struct stream *stream, struct load *load)
{
    int one = 1;
    stream->load = load;
    stream->phase = CONNECTING;
    stream->frames.length = 0;
    stream->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (stream->fd < 0)
        give_up(NO_CONNECTION, "no socket", strerror(errno));
    setsockopt(stream->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)load->options->port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    connect(stream->fd, (struct sockaddr *)&address, sizeof address);
    struct epoll_event event = {.events = EPOLLOUT | EPOLLIN, .data.ptr = stream};
    epoll_ctl(load->epoll, EPOLL_CTL_ADD, stream->fd, &event);
}

void stream_begin(struct stream *stream)
{
    text_begin(&stream->text);
    answer_begin(&stream->answer);
    stream->said_done = false;
    stream->phase = ANSWERING;
    stream->asked_at = now_ns();
    send_all(stream, stream->load->request.at, stream->load->request.length);
}

static void become_ready(struct stream *stream)
{
    if (stream->again) {
        stream_begin(stream);
        return;
    }
    stream->phase = READY;
    stream->load->ready++;
}

void stream_writable(struct stream *stream)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (stream->phase != CONNECTING)
        return;
    getsockopt(stream->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error)
        give_up(NO_CONNECTION, "cannot connect", strerror(error));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = stream};
    epoll_ctl(stream->load->epoll, EPOLL_CTL_MOD, stream->fd, &event);
    if (stream->load->options->websocket) {
        answer_begin(&stream->answer);
        stream->phase = UPGRADING;
        send_all(stream, stream->load->upgrade.at, stream->load->upgrade.length);
    } else {
        become_ready(stream);
    }
}

uint64_t stream_missing(const struct stream *stream)
{
    long missing = options_marks(stream->load->options) - stream->text.next;
    return stream->phase == ANSWERING && missing > 0 ? (uint64_t)(missing * stream->load->options->every) : 0;
}

/* An answer is over; in a closed loop the next one begins. */
static void finish(struct stream *stream, bool closed)
{
    struct load *load = stream->load;
    struct tally *tally = &load->tally;
    uint64_t now = now_ns(), missing = stream_missing(stream);
    bool refused = stream->answer.status >= REFUSED;
    tally->lost += missing;
    tally->bad_status = refused ? stream->answer.status : tally->bad_status;
    *(missing || refused || !stream->said_done ? &tally->failed : &tally->answered) += 1;
    sample_add(&tally->whole, now - stream->asked_at);
    if (now < load->loop_ends_at && !closed) {
        stream_begin(stream);
        return;
    }
    close(stream->fd);
    stream->fd = -1;
    if (now < load->loop_ends_at) {
        stream->again = true;
        stream_connect(stream, load);
        return;
    }
    stream->phase = ENDED;
    load->ended++;
}

static bool take_message(struct stream *stream, char *json, size_t length)
{
    struct moment moment = {stream->read_at, stream->asked_at, stream->load->options->every};
    return text_take(&stream->text, json, length, moment, &stream->load->tally);
}

static void take_line(void *who, char *line, size_t length)
{
    static const char field[] = "data:";
    struct stream *stream = who;
    if (length < sizeof field - 1 || memcmp(line, field, sizeof field - 1))
        return;
    if (!take_message(stream, line, length) && memmem(line, length, "[DONE]", 6))
        stream->said_done = true;
}

static bool take_frame(void *who, enum opcode opcode, char *payload, size_t length)
{
    struct stream *stream = who;
    char pong[16];
    switch (opcode) {
    case TEXT:
    case BINARY:
        if (!take_message(stream, payload, length) &&
            (memmem(payload, length, "[DONE]", 6) || memmem(payload, length, "\"complete\"", 10)))
            stream->said_done = true;
        break;
    case PING:
        send_all(stream, pong, frame_write(pong, PONG, payload, length < 8 ? length : 0));
        break;
    case CLOSE:
        stream->answer.part = WHOLE; /* no more of this answer comes */
        break;
    default:
        break;
    }
    return !stream->said_done && stream->answer.part != WHOLE;
}

static void take_upgrade(struct stream *stream, const char *data, size_t length)
{
    answer_take(&stream->answer, data, length, take_line, stream);
    if (stream->answer.part == HEAD)
        return;
    if (stream->answer.status != 101)
        give_up(NO_UPGRADE, "no WebSocket", stream->answer.head);
    become_ready(stream);
}

/* Bytes of an answer. */
static void take(struct stream *stream, const char *data, size_t length)
{
    if (stream->load->options->websocket) {
        if (!frames_take(&stream->frames, data, length, take_frame, stream))
            finish(stream, true);
        else if (stream->said_done || stream->answer.part == WHOLE)
            finish(stream, !stream->said_done);
        return;
    }
    bool headless = stream->answer.part == HEAD;
    bool whole = answer_take(&stream->answer, data, length, take_line, stream);
    if (headless && stream->answer.status >= REFUSED && !stream->load->tally.bad_status) {
        stream->load->tally.bad_status = stream->answer.status;
        fprintf(stderr, "load: HTTP %d: %.*s\n", stream->answer.status, (int)(length < 600 ? length : 600), data);
    }
    if (whole)
        finish(stream, false);
}

void stream_readable(struct stream *stream)
{
    static char data[READ_ROOM];
    ssize_t got;
    do {
        got = read(stream->fd, data, sizeof data);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (got <= 0 && stream->phase != ANSWERING)
            give_up(CLOSED_EARLY, "closed before a stream began", got ? strerror(errno) : "by the proxy");
        if (got <= 0) {
            finish(stream, true);
            return;
        }
        stream->read_at = now_ns();
        if (stream->phase == UPGRADING)
            take_upgrade(stream, data, (size_t)got);
        else if (stream->phase == ANSWERING)
            take(stream, data, (size_t)got);
    } while (got == sizeof data && stream->phase == ANSWERING);
}
