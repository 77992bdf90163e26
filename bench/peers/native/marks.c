#include "marks.h"

#include <string.h>

static char *letters_write(char *to, uint64_t value)
{
    char backwards[16];
    int count = 0;
    do {
        backwards[count++] = (char)('a' + (value & 15));
        value >>= 4;
    } while (value);
    while (count)
        *to++ = backwards[--count];
    *to = 0;
    return to;
}

static uint64_t letters_read(char **text)
{
    uint64_t value = 0;
    while (**text >= 'a' && **text <= 'p')
        value = value << 4 | (uint64_t)(*(*text)++ - 'a');
    return value;
}

char *mark_write(char *to, uint64_t stamp, uint64_t number)
{
    *to++ = '~';
    to = letters_write(to, stamp);
    *to++ = ':';
    to = letters_write(to, number);
    *to++ = '~';
    *to = 0;
    return to;
}

bool mark_read(char **text, uint64_t *stamp, uint64_t *number)
{
    for (;;) {
        char *begin = strchr(*text, '~');
        if (!begin) {
            *text += strlen(*text);
            return false;
        }
        char *end = strchr(begin + 1, '~');
        *text = begin;
        if (!end)
            return false;
        char *at = begin + 1;
        *stamp = letters_read(&at);
        bool whole = *at == ':';
        at += whole;
        *number = letters_read(&at);
        /* what is no mark may end where one begins */
        *text = whole && at == end ? end + 1 : end;
        if (whole && at == end)
            return true;
    }
}
