/* Which of many is due next: a binary heap. An entry knows its place, so that it can be taken out in the middle. */
#ifndef DUE_H
#define DUE_H

#include <stddef.h>
#include <stdint.h>

#define DUE_MOST 20000

struct due {
    uint64_t at; /* ns */
    size_t place; /* from 1; 0: not in the heap */
};

struct due *due_first(void);
void due_add(struct due *entry);
void due_remove(struct due *entry);

#endif
