#include "due.h"

static struct due *heap[DUE_MOST + 1];
static size_t count;

static void put(struct due *entry, size_t place)
{
    heap[place] = entry;
    entry->place = place;
}

static void rise(struct due *entry, size_t place)
{
    for (; place > 1 && heap[place / 2]->at > entry->at; place /= 2)
        put(heap[place / 2], place);
    put(entry, place);
}

static void sink(struct due *entry, size_t place)
{
    for (;;) {
        size_t child = 2 * place;
        if (child > count)
            break;
        if (child < count && heap[child + 1]->at < heap[child]->at)
            child++;
        if (heap[child]->at >= entry->at)
            break;
        put(heap[child], place);
        place = child;
    }
    put(entry, place);
}

struct due *due_first(void)
{
    return count ? heap[1] : NULL;
}

void due_add(struct due *entry)
{
    rise(entry, ++count);
}

void due_remove(struct due *entry)
{
    size_t place = entry->place;
    if (!place)
        return;
    entry->place = 0;
    struct due *last = heap[count--];
    if (last == entry)
        return;
    if (place > 1 && heap[place / 2]->at > last->at)
        rise(last, place);
    else
        sink(last, place);
}
