/* What all streams of one load saw together. */
#ifndef TALLY_H
#define TALLY_H

#include <stddef.h>
#include <stdint.h>

struct samples {
    uint32_t *us;
    size_t count, room;
};

struct tally {
    uint64_t events;         /* a mark stands for itself and the deltas up to the next one */
    uint64_t lost, repeated; /* events that never came, marks that came again */
    uint64_t answered, failed; /* requests: whole to the last mark and the end's own sign, and the others */
    int bad_status;          /* the last status of 300 or more */
    uint64_t first_event_at, last_event_at;
    struct samples late;     /* from the upstream's write of a mark to our read of it */
    struct samples first;    /* from a request to the first mark */
    struct samples whole;    /* from a request to its end */
};

void sample_add(struct samples *samples, uint64_t ns);

/* Sorts once; then the value below which this share of all lies, in us, or -1 without any. */
void samples_sort(struct samples *samples);
double sample_at(const struct samples *samples, double share);

#endif
