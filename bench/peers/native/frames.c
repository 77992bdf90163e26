#include "frames.h"

#include <stdint.h>
#include <string.h>

/* The lengths of a frame's head and payload; false: its head is not whole. */
static bool read_head(const unsigned char *frame, size_t length, size_t *head, uint64_t *payload)
{
    if (length < 2)
        return false;
    unsigned short_form = frame[1] & 127;
    size_t more = short_form == 126 ? 2 : short_form == 127 ? 8 : 0;
    *head = 2 + more;
    if (length < *head)
        return false;
    *payload = more ? 0 : short_form;
    for (size_t i = 0; i < more; i++)
        *payload = *payload << 8 | frame[2 + i];
    return true;
}

bool frames_take(struct frames *frames, const char *data, size_t length, frame_taker *take_frame, void *who)
{
    do {
        size_t room = FRAMES_ROOM - frames->length, size = length < room ? length : room;
        memcpy(frames->data + frames->length, data, size);
        frames->length += size;
        data += size;
        length -= size;
        unsigned char *at = frames->data, *end = at + frames->length;
        size_t head;
        uint64_t payload;
        bool wanted = true;
        while (wanted && read_head(at, (size_t)(end - at), &head, &payload) && payload <= (size_t)(end - at) - head) {
            wanted = take_frame(who, (enum opcode)(at[0] & 15), (char *)at + head, payload);
            at += head + payload;
        }
        frames->length = (size_t)(end - at);
        memmove(frames->data, at, frames->length);
        if (!wanted)
            return true;
        if (frames->length == FRAMES_ROOM)
            return false;
    } while (length);
    return true;
}

size_t frame_write(char *to, enum opcode opcode, const char *payload, size_t length)
{
    static const char mask[4] = {1, 2, 3, 4};
    size_t at = 0;
    to[at++] = (char)(0x80 | opcode);
    if (length < 126) {
        to[at++] = (char)(0x80 | length);
    } else {
        to[at++] = (char)(0x80 | 126);
        to[at++] = (char)(length >> 8);
        to[at++] = (char)(length & 255);
    }
    memcpy(to + at, mask, sizeof mask);
    at += sizeof mask;
    for (size_t i = 0; i < length; i++)
        to[at++] = (char)(payload[i] ^ mask[i & 3]);
    return at;
}
