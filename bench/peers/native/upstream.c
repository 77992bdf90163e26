/* A mock of an OpenAI-compatible upstream: one thread, epoll, HTTP/1.1 with keep-alive, SSE in chunks.
 *
 * usage: upstream PORT
 *
 * Every POST is answered 200 text/event-stream; the body says what is wanted (reply.h). One event is one HTTP chunk and
 * one write. Usage and [DONE] follow the last delta at once. Every GET is answered 200 with an empty list. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "due.h"
#include "reply.h"
#include "request.h"

#define REQUEST_ROOM 65536
#define AT_ONCE 8 /* events of an unpaced answer before the others have their turn */
#define BACKLOG 4096

#define HEAD                                                                                                           \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nCache-Control: no-cache\r\n"                 \
    "Transfer-Encoding: chunked\r\n\r\n"
#define EMPTY_LIST "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"data\":[]}"

struct connection {
    struct due due; /* the first member: what the heap holds is a connection */
    int fd;
    bool answering, blocked, ready, closed;
    struct reply reply;
    char chunk[CHUNK_ROOM];
    size_t chunk_length, chunk_written;
    size_t request_length;
    char request[REQUEST_ROOM + 1];
};

static int epoll;
static uint32_t answers;

/* connections with an unpaced answer that can go on, and those that were closed in this turn */
static struct connection *ready[DUE_MOST], *closed[DUE_MOST];
static size_t ready_count, closed_count;

static void read_requests(struct connection *connection);

static void wait_for_room(struct connection *connection, bool wanted)
{
    if (connection->blocked == wanted)
        return;
    connection->blocked = wanted;
    struct epoll_event event = {.events = EPOLLIN | (wanted ? EPOLLOUT : 0), .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event);
}

static void close_connection(struct connection *connection)
{
    if (connection->closed)
        return;
    connection->closed = true;
    due_remove(&connection->due);
    close(connection->fd);
    closed[closed_count++] = connection;
}

static void make_ready(struct connection *connection)
{
    if (connection->ready)
        return;
    connection->ready = true;
    ready[ready_count++] = connection;
}

/* Write what is left of the chunk. False: the client takes no more for now, or it is gone. */
static bool flush(struct connection *connection)
{
    while (connection->chunk_written < connection->chunk_length) {
        ssize_t wrote = write(connection->fd, connection->chunk + connection->chunk_written,
                              connection->chunk_length - connection->chunk_written);
        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote < 0 && errno == EAGAIN) {
            wait_for_room(connection, true);
            return false;
        }
        if (wrote < 0) {
            close_connection(connection);
            return false;
        }
        connection->chunk_written += (size_t)wrote;
    }
    return true;
}

static bool send_next(struct connection *connection)
{
    connection->chunk_length = reply_chunk(&connection->reply, connection->chunk);
    connection->chunk_written = 0;
    return flush(connection);
}

/* What follows the last delta; then the next request. */
static void finish(struct connection *connection)
{
    while (connection->reply.part != OVER)
        if (!send_next(connection))
            return;
    connection->answering = false;
    read_requests(connection);
}

static void pump(struct connection *connection)
{
    for (int i = 0; i < AT_ONCE && connection->reply.part == DELTAS; i++)
        if (!send_next(connection))
            return;
    if (connection->reply.part == DELTAS)
        make_ready(connection);
    else
        finish(connection);
}

static void send_due(struct connection *connection)
{
    due_remove(&connection->due);
    connection->due.at += connection->reply.gap;
    if (!send_next(connection))
        return; /* goes on when there is room */
    if (connection->reply.part == DELTAS)
        due_add(&connection->due);
    else
        finish(connection);
}

static void go_on(struct connection *connection)
{
    wait_for_room(connection, false);
    if (!connection->answering || !flush(connection))
        return;
    if (connection->reply.part != DELTAS)
        finish(connection);
    else if (connection->reply.gap)
        due_add(&connection->due);
    else
        make_ready(connection);
}

static void say(struct connection *connection, const char *text)
{
    /* a head fits into the buffer of a connection that has sent all of the last answer */
    if (write(connection->fd, text, strlen(text)) < 0)
        close_connection(connection);
}

static void answer(struct connection *connection, const char *body)
{
    connection->reply = reply_wanted(body, ++answers);
    connection->answering = true;
    say(connection, HEAD);
    if (connection->closed)
        return;
    if (connection->reply.gap) {
        connection->due.at = now_ns();
        due_add(&connection->due);
    } else {
        make_ready(connection);
    }
}

static void read_requests(struct connection *connection)
{
    while (!connection->answering && !connection->closed) {
        char *request = connection->request;
        request[connection->request_length] = 0;
        size_t head, whole = request_whole(request, connection->request_length, &head);
        if (!whole)
            return;
        char next = request[whole];
        request[whole] = 0;
        if (!strncmp(request, "GET", 3))
            say(connection, EMPTY_LIST);
        else
            answer(connection, request + head);
        request[whole] = next;
        connection->request_length -= whole;
        memmove(request, request + whole, connection->request_length);
    }
}

static void read_more(struct connection *connection)
{
    size_t room = REQUEST_ROOM - connection->request_length;
    ssize_t got = read(connection->fd, connection->request + connection->request_length, room);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_connection(connection);
        return;
    }
    connection->request_length += (size_t)got;
    read_requests(connection);
}

static void accept_all(int listener)
{
    for (;;) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
        if (fd < 0)
            return;
        if (fd >= DUE_MOST) {
            close(fd);
            continue;
        }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *connection = calloc(1, sizeof *connection);
        connection->fd = fd;
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(int port)
{
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, BACKLOG)) {
        perror("upstream: cannot listen");
        exit(1);
    }
    return listener;
}

static int wait_for_events(struct epoll_event *events, int most)
{
    struct timespec until = {0};
    struct due *first = due_first();
    if (first && !ready_count) {
        uint64_t now = now_ns(), left = first->at > now ? first->at - now : 0;
        until = (struct timespec){.tv_sec = (time_t)(left / SECOND), .tv_nsec = (long)(left % SECOND)};
    }
    return epoll_pwait2(epoll, events, most, first || ready_count ? &until : NULL, NULL);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: upstream PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    int listener = listen_on(atoi(argv[1]));
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int count = wait_for_events(events, 256);
        if (count < 0 && errno != EINTR) {
            perror("upstream: cannot wait (epoll_pwait2 needs Linux 5.11)");
            return 1;
        }
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) {
                accept_all(listener);
                continue;
            }
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                read_more(connection);
            if (!connection->closed && events[i].events & EPOLLOUT)
                go_on(connection);
        }
        uint64_t now = now_ns();
        for (struct due *first; (first = due_first()) && first->at <= now;)
            send_due((struct connection *)first);
        static struct connection *turn[DUE_MOST];
        size_t turns = ready_count;
        memcpy(turn, ready, turns * sizeof *turn);
        ready_count = 0;
        for (size_t i = 0; i < turns; i++) {
            turn[i]->ready = false;
            if (!turn[i]->closed)
                pump(turn[i]);
        }
        /* none of them is in heap or list any more */
        while (closed_count)
            free(closed[--closed_count]);
    }
}
