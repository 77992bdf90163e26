/* Reading a server's WebSocket frames piece by piece, and writing a client's. A message is one frame. */
#ifndef FRAMES_H
#define FRAMES_H

#include <stdbool.h>
#include <stddef.h>

#define FRAMES_ROOM 131072

enum opcode { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };

struct frames {
    size_t length;
    unsigned char data[FRAMES_ROOM];
};

/* One frame; false: the rest is not wanted yet. */
typedef bool frame_taker(void *who, enum opcode opcode, char *payload, size_t length);

/* Take bytes, and hand on the frames that are whole, as long as they are wanted; the others stay.
 * False: a frame is larger than there is room for. */
bool frames_take(struct frames *frames, const char *data, size_t length, frame_taker *take_frame, void *who);

/* One masked frame of at most 65,535 bytes of payload; `to` has room for 8 more. Returns its length. */
size_t frame_write(char *to, enum opcode opcode, const char *payload, size_t length);

#endif
