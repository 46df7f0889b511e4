"""Rows of `ipvsadm -Lnc` as text, made where the connections are: ten million of them as Python
values would take minutes.

Byte for byte what cli/format.py makes of the same connection, which the tests compare.
"""

cdef extern from "arpa/inet.h" nogil:
    const char *inet_ntop(int af, const void *src, char *dst, uint32_t size)

cdef enum:
    ROW_MAX = 640                # bytes: four addresses, and 255 of a persistence engine's data
    TEXT_BLOCK = 1 << 20              # bytes of rows that are handed out at a time
    STATE_CELL = 12              # bytes of a state's name, with the blanks behind it
    # in the table of names: TCP's and SCTP's states by their number, then
    NAME_SCTP = 16
    NAME_UDP = 32
    NAME_NONE = 33
    NAME_ASSURED = 34
    NAMES = 35


cdef inline char *text_number(char *at, uint32_t n) noexcept nogil:
    """Write a number in decimal; returns what follows, as all of these do."""
    cdef char[10] digits
    cdef uint32_t k = 10
    while True:
        k -= 1
        digits[k] = <char>(48 + n % 10)
        n //= 10
        if n == 0:
            break
    memcpy(at, digits + k, 10 - k)
    return at + (10 - k)


cdef inline char *text_two(char *at, uint32_t n) noexcept nogil:
    """The same in two digits at least."""
    if n < 10:
        at[0] = 48
        at += 1
    return text_number(at, n)


cdef inline char *text_pad(char *at, const char *start, uint32_t width) noexcept nogil:
    """Blanks up to a width, and one more."""
    while at < start + width:
        at[0] = 32
        at += 1
    at[0] = 32
    return at + 1


cdef inline char *text_word(char *at, const char *word) noexcept nogil:
    while word[0]:
        at[0] = word[0]
        at += 1
        word += 1
    return at


cdef inline char *text_endpoint(
    char *at, const addr_t *addr, bint is_v6, be16 port
) noexcept nogil:
    """address:port, [address]:port for IPv6."""
    cdef const uint8_t *b = <const uint8_t *>addr
    cdef uint32_t k
    if is_v6:
        at[0] = 91                                      # [
        inet_ntop(AF_INET6, addr, at + 1, 46)
        while at[0]:
            at += 1
        at[0] = 93                                      # ]
        at += 1
    else:
        for k in range(4):
            at = text_number(at, b[k])
            at[0] = 46                                  # .
            at += 1
        at -= 1
    at[0] = 58                                          # :
    return text_number(at + 1, LB_SWAP16(port))


cdef inline char *text_protocol(char *at, uint32_t protocol) noexcept nogil:
    cdef char *start = at
    if protocol == IPPROTO_TCP_:
        at = text_word(at, b"TCP")
    elif protocol == IPPROTO_UDP_:
        at = text_word(at, b"UDP")
    elif protocol == IPPROTO_SCTP_:
        at = text_word(at, b"SCTP")
    elif protocol == 0:
        at = text_word(at, b"IP")
    else:
        at = text_number(text_word(at, b"IP_"), protocol)
    return text_pad(at, start, 3)


cdef inline uint32_t state_name(const conn_t *c) noexcept nogil:
    """Where the name of a connection's state is in the table of names."""
    if c.flags & CONN_TEMPLATE:
        return NAME_ASSURED if c.flags & CONN_ASSURED else NAME_NONE
    if c.protocol == IPPROTO_TCP_:
        return c.state & 15
    if c.protocol == IPPROTO_SCTP_:
        return NAME_SCTP + (c.state & 15)
    return NAME_UDP if c.protocol == IPPROTO_UDP_ else NAME_NONE


cdef char *text_row(
    engine_t *e, uint32_t i, uint32_t now, const char *names, char *at, char **real
) noexcept nogil:
    """Write a connection's row up to its destination, which begins at `real`."""
    cdef const conn_t *c = &e.conns[i]
    cdef addr_t caddr = conn_caddr(e, i), vaddr = conn_vaddr(e, i), daddr = conn_daddr(e, i)
    cdef bint is_v6 = (c.flags & CONN_V6) != 0
    cdef int32_t left = <int32_t>(c.expires - now)
    cdef uint32_t seconds = <uint32_t>left // TICKS_PER_S if left > 0 else 0
    cdef char *start
    at = text_protocol(at, c.protocol)
    start = at
    at = text_two(at, seconds // 60)
    at[0] = 58                                          # :
    at = text_pad(text_two(at + 1, seconds % 60), start, 6)
    memcpy(at, names + STATE_CELL * state_name(c), STATE_CELL)
    start = at + STATE_CELL
    at = text_pad(text_endpoint(start, &caddr, is_v6, c.cport), start, 18)
    start = at
    at = text_pad(text_endpoint(start, &vaddr, is_v6, c.vport), start, 18)
    real[0] = at
    return text_endpoint(at, &daddr, (c.flags & CONN_D6) != 0, c.dport)


cdef char *text_rest(
    engine_t *e, uint32_t i, bint with_engines, const char *real, char *at
) noexcept nogil:
    """Write what follows the destination, which begins at `real`: what a persistence engine
    found, or FULLNAT's local side."""
    cdef const conn_t *c = &e.conns[i]
    cdef uint32_t n
    if with_engines and c.flags & CONN_TEMPLATE and c.ext != NO_INDEX and e.exts[i].pe_len:
        n = min(e.exts[i].pe_len, <uint32_t>255)
        at = text_word(text_pad(at, real, 16), b"sip")
        at = text_pad(at, at - 3, 18)
        memcpy(at, e.exts[i].pe_data, n)
        at += n
    elif is_full(c.flags):
        at = text_pad(at, real, 18)
        at = text_endpoint(
            at, &e.fulls[i].laddr, (c.flags & CONN_V6) != 0, e.fulls[i].lport
        )
    at[0] = 10
    return at + 1


cdef uint32_t text_rows(
    engine_t *e, uint32_t i, uint32_t now, const char *names, bint with_engines,
    char *block, uint32_t *used
) noexcept nogil:
    """Write the rows of connections from record i on while there is room for one more in the
    block; returns the record after them, `used` how many bytes they are."""
    cdef uint32_t end = min(e.header.fresh, e.max_conns)
    cdef char *at = block
    cdef char *real
    cdef char *behind
    cdef conn_t seen
    while i < end and at - block <= TEXT_BLOCK - ROW_MAX:
        if e.conns[i].flags & CONN_HASHED:
            seen = e.conns[i]
            real = at
            behind = text_row(e, i, now, names, at, &real)
            behind = text_rest(e, i, with_engines, real, behind)
            if conn_is_still(&seen, &e.conns[i]):
                at = behind
        i += 1
    used[0] = <uint32_t>(at - block)
    return i if i < end else 0


cdef tuple conn_text(
    engine_t *e, uint32_t start, uint32_t now, bytes names, bint with_engines
):
    """A block of rows of the connections from record `start` on, and where to go on; 0 at the
    end.  names: of the states, in cells of STATE_CELL bytes."""
    cdef char *block
    cdef const char *cells = names
    cdef uint32_t used = 0, after
    if len(names) != NAMES * STATE_CELL:
        raise ValueError(f"names of {len(names)} bytes, expected {NAMES * STATE_CELL}")
    block = <char *>malloc(TEXT_BLOCK)
    if block == NULL:
        raise MemoryError
    try:
        with nogil:
            after = text_rows(e, start, now, cells, with_engines, block, &used)
        return block[:used], after
    finally:
        free(block)
