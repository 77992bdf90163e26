#include "reply.h"

#include <stdio.h>
#include <string.h>

#include "clock.h"
#include "marks.h"

#define DEFAULT_EVENTS 200
#define DEFAULT_RATE 20.0

/* ordinary words of a contact centre in pieces of two to five characters, as models send them */
static const char *const PROSE[] = {
    " the", " ref", "und",   " was",   " sent", " on",  " Mon", "day",    ", and", " it",   " take", "s ab", "out",
    " three", " to", " five", " work", "ing",   " days", ".",   " Is",    " there", " any", "thing", " else", " I",
    " can", " do",  " for",  " you",   "?",     " Your", " ord", "er",    " is",   " on",   " its",  " way", ",",
    " thank", " you", " for", " call", "ing",   ".",
};
#define PIECES ((long)(sizeof PROSE / sizeof *PROSE))
#define STEP 7 /* has no factor in common with the pieces' number, so that all of them come */

#define ENVELOPE                                                                                                       \
    "data: {\"id\":\"chatcmpl-bench%08x\",\"object\":\"chat.completion.chunk\",\"created\":1760000000,"                \
    "\"model\":\"mock-model\",\"choices\":["

struct reply reply_wanted(const char *body, uint32_t id)
{
    struct reply reply = {.events = DEFAULT_EVENTS, .every = 1, .id = id};
    double rate = DEFAULT_RATE;
    const char *asked = strstr(body, "BENCH n=");
    if (asked)
        sscanf(asked, "BENCH n=%ld r=%lf k=%ld w=%d", &reply.events, &rate, &reply.every, &reply.whole);
    if (reply.every < 1)
        reply.every = 1;
    reply.gap = rate > 0 ? (uint64_t)(1e9 / rate) : 0;
    return reply;
}

static int delta(struct reply *reply, char *to)
{
    char mark[48] = " w";
    const char *text = PROSE[(reply->sent * STEP + reply->id) % PIECES];
    if (reply->sent % reply->every == 0) {
        char *end = mark_write(mark + 2, now_ns(), (uint64_t)(reply->sent / reply->every));
        strcpy(end, reply->whole ? " " : "");
        text = mark;
    }
    reply->sent++;
    if (reply->sent >= reply->events)
        reply->part = USAGE;
    return sprintf(to, ENVELOPE "{\"index\":0,\"delta\":{\"content\":\"%s\"},\"finish_reason\":null}]}\n\n", reply->id,
                   text);
}

static int usage(struct reply *reply, char *to)
{
    const long prompt = 12;
    reply->part = DONE;
    return sprintf(to,
                   ENVELOPE "],\"usage\":{\"prompt_tokens\":%ld,\"completion_tokens\":%ld,\"total_tokens\":%ld}}\n\n",
                   reply->id, prompt, reply->events, reply->events + prompt);
}

static int done(struct reply *reply, char *to)
{
    reply->part = OVER;
    return sprintf(to, "data: [DONE]\n\n");
}

size_t reply_chunk(struct reply *reply, char *to)
{
    char event[CHUNK_ROOM - 32];
    int length = reply->part == DELTAS  ? delta(reply, event)
                 : reply->part == USAGE ? usage(reply, event)
                                        : done(reply, event);
    return (size_t)sprintf(to, "%x\r\n%s\r\n%s", (unsigned)length, event, reply->part == OVER ? "0\r\n\r\n" : "");
}
