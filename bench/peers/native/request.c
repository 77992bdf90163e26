#define _GNU_SOURCE
#include "request.h"

#include <stdlib.h>
#include <string.h>

size_t request_whole(const char *request, size_t length, size_t *head)
{
    static const char chunked[] = "\r\ntransfer-encoding: chunked", sized[] = "\r\ncontent-length:";
    static const char last_chunk[] = "0\r\n\r\n";
    const char *end = strstr(request, "\r\n\r\n");
    if (!end)
        return 0;
    *head = (size_t)(end + 4 - request);
    const char *field = strcasestr(request, chunked);
    if (field && field < end) {
        const char *last = strstr(end + 4, last_chunk);
        return last ? (size_t)(last + sizeof last_chunk - 1 - request) : 0;
    }
    field = strcasestr(request, sized);
    size_t whole = *head + (field && field < end ? strtoul(field + sizeof sized - 1, NULL, 10) : 0);
    return whole <= length ? whole : 0;
}
