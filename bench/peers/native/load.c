/* A load of streams on a proxy: one thread, epoll. Prints one JSON object; see options.c for what it takes.
 *
 * All connections are made first. Then the streams begin, evenly over the ramp. Memory is read in the middle; the CPU
 * of a paced load between the ramp's end and the end of the first stream, where all of them run. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "clock.h"
#include "stream.h"
#include "usage.h"

#define MILLISECOND (SECOND / 1000)
#define TURN_MS 50          /* the longest wait, so that clocks are looked at */
#define SETTLE_S 0.7        /* behind the ramp, before the steady part */
#define TAIL_S 0.15         /* before the first stream's end */
#define MIDDLE 0.6          /* of a paced stream, where memory is read */
#define MIDDLE_UNPACED_S 1.5

struct reading {
    uint64_t at;
    double cpu_ns;
    uint64_t events;
};

struct watch {
    struct tree tree;
    struct reading begin, steady_begin, steady_end, end;
    double rss_before, rss_middle;
    double upstream_begin, upstream_ns, own_begin, own_us;
};

static struct reading reading(const struct watch *watch, const struct load *load)
{
    return (struct reading){now_ns(), tree_cpu_ns(&watch->tree), load->tally.events};
}

static double upstream_cpu_ns(const struct options *options)
{
    struct tree tree = {.pids = {options->upstream}, .count = options->upstream ? 1 : 0};
    return tree_cpu_ns(&tree);
}

static double own_cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e6 +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static void watch_tree(struct watch *watch, const struct options *options)
{
    if (options->proxy)
        tree_read(&watch->tree, options->proxy);
}

/* What is to be read in the course of the load, each once. */
static void look(struct watch *watch, const struct load *load)
{
    const struct options *options = load->options;
    double passed = (double)(now_ns() - watch->begin.at) / SECOND;
    double paced = options->rate > 0 && !options->loop ? (double)options->events / options->rate : 0;
    if (!paced) {
        if (!watch->rss_middle && passed > MIDDLE_UNPACED_S)
            watch->rss_middle = tree_rss_mib(&watch->tree);
        return;
    }
    if (!watch->steady_begin.at && passed > options->ramp_ms / 1e3 + SETTLE_S)
        watch->steady_begin = reading(watch, load);
    if (!watch->rss_middle && passed > paced * MIDDLE)
        watch->rss_middle = tree_rss_mib(&watch->tree);
    if (watch->steady_begin.at && !watch->steady_end.at && passed > paced - TAIL_S)
        watch->steady_end = reading(watch, load);
}

static void begin(struct watch *watch, struct load *load)
{
    const struct options *options = load->options;
    watch_tree(watch, options);
    watch->upstream_begin = upstream_cpu_ns(options);
    watch->own_begin = own_cpu_us();
    watch->begin = reading(watch, load);
    load->loop_ends_at = options->loop ? watch->begin.at + (uint64_t)(options->loop * 1e9) : 0;
}

/* Begin the streams whose time on the ramp has come. Returns how many have begun; `wait_ms`: until the next one. */
static int begin_streams(struct stream *streams, int begun, const struct options *options, uint64_t from,
                         int *wait_ms)
{
    for (; begun < options->streams; begun++) {
        uint64_t at = from + (uint64_t)options->ramp_ms * MILLISECOND * (uint64_t)begun / (uint64_t)options->streams;
        uint64_t now = now_ns();
        if (at > now) {
            *wait_ms = (int)((at - now) / MILLISECOND);
            break;
        }
        stream_begin(&streams[begun]);
    }
    return begun;
}

/* All of it; returns false where the limit was over first. */
static bool run(struct load *load, struct stream *streams, struct watch *watch)
{
    const struct options *options = load->options;
    uint64_t limit = now_ns() + (uint64_t)(options->limit * 1e9);
    int begun = 0;
    struct epoll_event events[512];
    while (load->ended < options->streams) {
        int wait_ms = TURN_MS;
        if (now_ns() > limit)
            return false;
        if (!watch->begin.at && load->ready == options->streams)
            begin(watch, load);
        if (watch->begin.at) {
            begun = begin_streams(streams, begun, options, watch->begin.at, &wait_ms);
            look(watch, load);
        }
        int count = epoll_wait(load->epoll, events, 512, wait_ms < TURN_MS ? wait_ms : TURN_MS);
        for (int i = 0; i < count; i++) {
            struct stream *stream = events[i].data.ptr;
            if (stream->phase == CONNECTING)
                stream_writable(stream);
            else if (stream->fd >= 0)
                stream_readable(stream);
        }
    }
    return true;
}

static double per(double sum, double count)
{
    return count > 0 ? sum / count : 0;
}

static void print_times(const char *name, struct samples *samples)
{
    samples_sort(samples);
    printf(",\"%s_p50_us\":%.0f", name, sample_at(samples, .5));
    printf(",\"%s_p90_us\":%.0f", name, sample_at(samples, .9));
    printf(",\"%s_p99_us\":%.0f", name, sample_at(samples, .99));
    printf(",\"%s_max_us\":%.0f", name, sample_at(samples, 1));
}

static void print(struct load *load, const struct watch *watch, bool timed_out)
{
    const struct options *options = load->options;
    struct tally *tally = &load->tally;
    double events = (double)tally->events, requests = (double)(tally->answered + tally->failed);
    double wall_s = (double)(watch->end.at - watch->begin.at) / SECOND;
    double flowing_s = (double)(tally->last_event_at - tally->first_event_at) / SECOND;
    double cpu_ns = watch->end.cpu_ns - watch->begin.cpu_ns;
    double steady_ns = watch->steady_end.at ? watch->steady_end.cpu_ns - watch->steady_begin.cpu_ns : 0;
    double steady_events = watch->steady_end.at ? (double)(watch->steady_end.events - watch->steady_begin.events) : 0;
    double steady_time = watch->steady_end.at ? (double)(watch->steady_end.at - watch->steady_begin.at) : 0;
    printf("{\"streams\":%d,\"n\":%ld,\"rate\":%g", options->streams, options->events, options->rate);
    printf(",\"events\":%.0f,\"lost\":%llu,\"dup\":%llu", events, (unsigned long long)tally->lost,
           (unsigned long long)tally->repeated);
    printf(",\"req_ok\":%llu,\"req_err\":%llu,\"unfinished\":%d,\"status_err\":%d,\"timeout\":%d",
           (unsigned long long)tally->answered, (unsigned long long)tally->failed, options->streams - load->ended,
           tally->bad_status, timed_out);
    printf(",\"wall_s\":%.3f,\"ev_s\":%.1f,\"req_s\":%.1f", wall_s, per(events, flowing_s), per(requests, wall_s));
    print_times("ttft", &tally->first);
    print_times("lat", &tally->late);
    print_times("req", &tally->whole);
    printf(",\"cpu_us_ev\":%.3f,\"cpu_ms_req\":%.4f", per(cpu_ns, events) / 1e3, per(cpu_ns, requests) / 1e6);
    printf(",\"cpu_us_ev_steady\":%.3f,\"cpu_util_steady\":%.3f", per(steady_ns, steady_events) / 1e3,
           per(steady_ns, steady_time));
    printf(",\"rss_pre_mb\":%.2f,\"rss_mid_mb\":%.2f", watch->rss_before, watch->rss_middle);
    printf(",\"up_us_ev\":%.3f,\"client_us_ev\":%.3f}\n", per(watch->upstream_ns, events) / 1e3,
           per(watch->own_us, events));
}

int main(int argc, char **argv)
{
    struct options options = options_read(argc, argv);
    static struct load load;
    static struct watch watch;
    signal(SIGPIPE, SIG_IGN);
    load.options = &options;
    load.epoll = epoll_create1(0);
    options_request(&options, &load.request);
    options_upgrade(&options, &load.upgrade);
    struct stream *streams = calloc((size_t)options.streams, sizeof *streams);
    if (!streams) {
        perror("load");
        return 1;
    }
    watch_tree(&watch, &options);
    watch.rss_before = tree_rss_mib(&watch.tree);
    for (int i = 0; i < options.streams; i++)
        stream_connect(&streams[i], &load);
    bool all = run(&load, streams, &watch);
    watch.end = reading(&watch, &load);
    watch.upstream_ns = upstream_cpu_ns(&options) - watch.upstream_begin;
    watch.own_us = own_cpu_us() - watch.own_begin;
    for (int i = 0; i < options.streams; i++)
        load.tally.lost += stream_missing(&streams[i]);
    print(&load, &watch, !all);
    free(streams);
    return 0;
}
