/* Time marks in a stream's text: ~STAMP:NUMBER~, the moment of writing in ns and a number that counts up from 0.
 * Both are in base 16 with the letters a to p: digits would be held back by a guard that looks for card numbers. */
#ifndef MARKS_H
#define MARKS_H

#include <stdbool.h>
#include <stdint.h>

/* Write one mark; returns its end, where a NUL stands. */
char *mark_write(char *to, uint64_t stamp, uint64_t number);

/* Read the first whole mark of a NUL-terminated text. `*text` goes behind it; where there is none, to the beginning of
 * one that may still be completed, or to the end. */
bool mark_read(char **text, uint64_t *stamp, uint64_t *number);

#endif
