#define _GNU_SOURCE
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frames.h"

static const char usage[] =
    "usage: load -p PORT [-P PATH] [-H 'HEADER: VALUE'] [-M MODEL] [-w] [-i PROXY_PID] [-u UPSTREAM_PID]\n"
    "            [-s STREAMS] [-n EVENTS] [-r EVENTS_A_SECOND] [-k MARK_EVERY] [-a RAMP_MS] [-l LOOP_S] [-m LIMIT_S]\n"
    "            [-W]\n"
    "-r 0: as fast as it goes; -w: over a WebSocket; -l: a stream that ended is followed by another one\n"
    "-W: marks are words of their own\n";

static const struct option names[] = {
    {"port", 1, 0, 'p'},  {"path", 1, 0, 'P'}, {"streams", 1, 0, 's'}, {"n", 1, 0, 'n'},    {"rate", 1, 0, 'r'},
    {"ws", 0, 0, 'w'},    {"pid", 1, 0, 'i'},  {"upid", 1, 0, 'u'},    {"ramp", 1, 0, 'a'}, {"loop", 1, 0, 'l'},
    {"max", 1, 0, 'm'},   {"header", 1, 0, 'H'}, {"model", 1, 0, 'M'}, {"every", 1, 0, 'k'},
    {"whole", 0, 0, 'W'}, {0},
};

static void add_header(struct options *options, const char *header)
{
    size_t length = strlen(options->headers);
    snprintf(options->headers + length, sizeof options->headers - length, "%s\r\n", header);
}

struct options options_read(int argc, char **argv)
{
    struct options options = {.streams = 100, .events = 200, .every = 1, .rate = 20, .limit = 60,
                              .path = "/v1/chat/completions", .model = "mock-model"};
    for (int name; (name = getopt_long(argc, argv, "p:P:s:n:r:wi:u:a:l:m:H:M:k:W", names, NULL)) != -1;) {
        switch (name) {
        case 'p': options.port = atoi(optarg); break;
        case 'P': options.path = optarg; break;
        case 's': options.streams = atoi(optarg); break;
        case 'n': options.events = atol(optarg); break;
        case 'r': options.rate = atof(optarg); break;
        case 'w': options.websocket = true; break;
        case 'i': options.proxy = atoi(optarg); break;
        case 'u': options.upstream = atoi(optarg); break;
        case 'a': options.ramp_ms = atoi(optarg); break;
        case 'l': options.loop = atof(optarg); break;
        case 'm': options.limit = atof(optarg); break;
        case 'H': add_header(&options, optarg); break;
        case 'M': options.model = optarg; break;
        case 'k': options.every = atol(optarg); break;
        case 'W': options.whole = true; break;
        default: options.port = 0;
        }
    }
    if (!options.port || options.streams < 1 || options.events < 1 || options.every < 1) {
        fputs(usage, stderr);
        exit(2);
    }
    return options;
}

long options_marks(const struct options *options)
{
    return (options->events + options->every - 1) / options->every;
}

/* What both faces say: the prompt tells the upstream which answer is wanted. */
static size_t messages(const struct options *options, char *to, size_t room)
{
    return (size_t)snprintf(to, room,
                            "\"messages\":[{\"role\":\"system\",\"content\":\"You are a helpful assistant.\"},"
                            "{\"role\":\"user\",\"content\":\"BENCH n=%ld r=%g k=%ld%s tell me something about "
                            "streaming proxies\"}],\"temperature\":0.7",
                            options->events, options->rate, options->every, options->whole ? " w=1" : "");
}

static size_t at_most(int length, size_t room)
{
    if (length < 0 || (size_t)length >= room) {
        fputs("load: path, model or headers are too long\n", stderr);
        exit(2);
    }
    return (size_t)length;
}

void options_request(const struct options *options, struct bytes *to)
{
    char prompt[1024], body[2048];
    messages(options, prompt, sizeof prompt);
    if (options->websocket) {
        int length = snprintf(body, sizeof body, "{\"type\":\"init\",\"payload\":{\"modelId\":\"%s\",%s}}",
                              options->model, prompt);
        to->length = frame_write(to->at, TEXT, body, at_most(length, sizeof body));
        return;
    }
    int length = snprintf(body, sizeof body,
                          "{\"model\":\"%s\",\"stream\":true,\"stream_options\":{\"include_usage\":true},%s}",
                          options->model, prompt);
    at_most(length, sizeof body);
    length = snprintf(to->at, sizeof to->at,
                      "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n"
                      "Accept: text/event-stream\r\nAuthorization: Bearer sk-bench-0123456789abcdef0123456789abcdef\r\n"
                      "%sContent-Length: %d\r\n\r\n%s",
                      options->path, options->port, options->headers, length, body);
    to->length = at_most(length, sizeof to->at);
}

void options_upgrade(const struct options *options, struct bytes *to)
{
    int length = snprintf(to->at, sizeof to->at,
                          "GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                          "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n%s\r\n",
                          options->path, options->port, options->headers);
    to->length = at_most(length, sizeof to->at);
}
