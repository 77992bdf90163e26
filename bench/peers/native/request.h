/* Where a request's head and body end, of what has been read of a connection. */
#ifndef REQUEST_H
#define REQUEST_H

#include <stddef.h>

/* The length of the first request (NUL-terminated, of so many bytes) and of its head; 0: not all of it is there. */
size_t request_whole(const char *request, size_t length, size_t *head);

#endif
