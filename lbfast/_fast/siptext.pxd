"""The words of SIP: the value of a Call-ID header (RFC 3261 section 20.8).

Same rules as the kernel's nf_conntrack_sip.c, which its persistence engine reads with.  Offsets
count from the first byte of the message.
"""
from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    SIP_FOUND = 1
    SIP_NONE = 0                 # no such header, or one without a colon
    SIP_EMPTY = 2                # a header without a value: look on
    PE_DATA_MAX = 255
    CR = 13
    LF = 10


cdef inline bint sip_newline(uint8_t c) noexcept nogil:
    return c == CR or c == LF


cdef inline bint sip_blank(uint8_t c) noexcept nogil:
    return c == 32 or c == 9


cdef inline bint sip_letter(uint8_t c) noexcept nogil:
    """Letters of ISO 8859-1, as the kernel has them."""
    return 65 <= c <= 90 or 97 <= c <= 122 or (c >= 192 and c != 215 and c != 247)


cdef inline bint sip_word_char(uint8_t c) noexcept nogil:
    """What may be in a word (RFC 3261 section 25.1): letters, digits and
    ! " % ' ( ) * + - . / : < > ? [ \\ ] _ ` { } ~"""
    return (
        sip_letter(c) or 48 <= c <= 57 or 33 <= c <= 34 or c == 37 or 39 <= c <= 43
        or 45 <= c <= 47 or c == 58 or c == 60 or c == 62 or c == 63 or 91 <= c <= 93
        or c == 95 or c == 96 or c == 123 or c == 125 or c == 126
    )


cdef inline uint32_t sip_next_line(const uint8_t *text, uint32_t n, uint32_t at) noexcept nogil:
    """Return the offset behind the newline at `at`: CR, LF or both."""
    at += 1
    if at < n and text[at - 1] == CR and text[at] == LF:
        at += 1
    return at


cdef inline uint32_t sip_skip(const uint8_t *text, uint32_t n, uint32_t at) noexcept nogil:
    """Return the offset behind white space, which may be followed by one more line that begins
    with some; n + 1 where a line ends and no such line follows."""
    while at < n and sip_blank(text[at]):
        at += 1
    if at >= n or not sip_newline(text[at]):
        return at
    at = sip_next_line(text, n, at)
    if at >= n or not sip_blank(text[at]):
        return n + 1
    while at < n and sip_blank(text[at]):
        at += 1
    return at


cdef inline uint32_t sip_call_id_name(const uint8_t *text, uint32_t n) noexcept nogil:
    """Return the length of the header's name if the line begins with it, long or short; else 0."""
    cdef const char *name = b"CALL-ID"
    cdef uint32_t i = 0
    while i < 7 and i < n and (text[i] & 0xDF if sip_letter(text[i]) else text[i]) == name[i]:
        i += 1
    if i == 7:
        return 7
    return 1 if n >= 2 and text[0] & 0xDF == 73 and not sip_letter(text[1]) else 0


cdef inline uint32_t sip_word(const uint8_t *text, uint32_t n, uint32_t at) noexcept nogil:
    """Return the length of the word at `at`."""
    cdef uint32_t end = at
    while end < n and sip_word_char(text[end]):
        end += 1
    return end - at


cdef inline uint32_t sip_value(const uint8_t *text, uint32_t n, uint32_t at) noexcept nogil:
    """Return the length of a Call-ID: word, or word@word; 0 when it is neither."""
    cdef uint32_t length = sip_word(text, n, at), domain
    if length == 0 or at + length >= n or text[at + length] != 64:
        return length
    domain = sip_word(text, n, at + length + 1)
    return length + 1 + domain if domain else 0


cdef inline uint32_t sip_header(
    const uint8_t *text, uint32_t n, uint32_t start, uint32_t *at, uint32_t *size
) noexcept nogil:
    """Find the next Call-ID header from `start` on and the place of its value."""
    cdef uint32_t i = start, name
    while i < n:
        if not sip_newline(text[i]):
            i += 1
            continue
        i = sip_next_line(text, n, i)
        if i >= n:
            break
        name = 0 if sip_blank(text[i]) else sip_call_id_name(text + i, n - i)
        if name == 0:
            i += 1
            continue
        i = sip_skip(text, n, i + name)
        if i >= n or text[i] != 58 or i + 1 >= n:
            break
        i = sip_skip(text, n, i + 1)
        if i > n:
            break
        at[0] = i
        size[0] = sip_value(text, n, i)
        return SIP_FOUND if size[0] else SIP_EMPTY
    return SIP_NONE


cdef inline uint32_t sip_call_id(
    const uint8_t *text, uint32_t n, uint32_t *at
) noexcept nogil:
    """Return the length of the message's Call-ID and set its offset; 0 when there is none that is
    short enough and ends its line."""
    cdef uint32_t start = 0, size = 0, found = SIP_EMPTY
    while found == SIP_EMPTY and start < n:
        found = sip_header(text, n, start, at, &size)
        start += at[0]
    if found != SIP_FOUND or size > PE_DATA_MAX or at[0] + size >= n:
        return 0
    return size if sip_newline(text[at[0] + size]) else 0
