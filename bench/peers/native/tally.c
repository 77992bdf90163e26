#include "tally.h"

#include <stdlib.h>

void sample_add(struct samples *samples, uint64_t ns)
{
    if (samples->count == samples->room) {
        samples->room = samples->room ? samples->room * 2 : 1 << 16;
        samples->us = realloc(samples->us, samples->room * sizeof *samples->us);
        if (!samples->us)
            abort();
    }
    uint64_t us = ns / 1000;
    samples->us[samples->count++] = us > UINT32_MAX ? UINT32_MAX : (uint32_t)us;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
    return a < b ? -1 : a > b;
}

void samples_sort(struct samples *samples)
{
    if (samples->count)
        qsort(samples->us, samples->count, sizeof *samples->us, compare);
}

double sample_at(const struct samples *samples, double share)
{
    if (!samples->count)
        return -1;
    size_t place = (size_t)(share * (double)samples->count);
    return samples->us[place < samples->count ? place : samples->count - 1];
}
