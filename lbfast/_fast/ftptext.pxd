"""The words of FTP: addresses in PORT, EPRT, 227 and 229 (RFC 959, RFC 2428).

Same rules as the kernel's ip_vs_ftp.c, its leniency included.  Texts are not terminated; offsets
count from their first byte.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy, memset

from lbfast._fast.addr cimport LB_SWAP16
from lbfast._fast.types cimport addr_t, be16
from lbfast._fast.wire cimport raw16, raw32

cdef extern from "sys/socket.h" nogil:
    enum:
        INET6_FAMILY "AF_INET6"

cdef extern from "arpa/inet.h" nogil:
    int inet_pton(int af, const char *text, void *addr)

cdef enum:
    FTP_ACTIVE = 0               # what the client asked for last
    FTP_PASV = 1
    FTP_EPSV = 2
    FTP_NEITHER = 3              # of ftp_asked: an EPSV for the other address family

ctypedef struct ftp_addr_t:      # what was read
    addr_t addr                  # left as it was when the text names none
    be16 port
    uint32_t start               # of the part that says it
    uint32_t end


cdef inline bint ftp_digit(uint8_t c) noexcept nogil:
    return 48 <= c <= 57


cdef inline bint ftp_says(
    const uint8_t *text, uint32_t n, const char *word, uint32_t length
) noexcept nogil:
    """Whether the text begins with the word, whatever the case of its letters."""
    cdef uint32_t i
    cdef uint8_t c
    if n < length:
        return False
    for i in range(length):
        c = text[i] - 32 if 97 <= text[i] <= 122 else text[i]
        if c != <uint8_t>word[i]:
            return False
    return True


cdef inline uint32_t ftp_skip(
    const uint8_t *text, uint32_t n, uint32_t at, uint8_t skip, bint extended
) noexcept nogil:
    """Return the offset behind the next run of `skip`; in the old format, where "(" may be
    missing, that of the first digit if it comes sooner.  n: there is neither."""
    cdef bint found = False
    while at < n:
        if found:
            if text[at] != skip:
                return at
        elif not extended and ftp_digit(text[at]):
            return at
        elif text[at] == skip:
            found = True
        at += 1
    return n


cdef inline bint ftp_read_plain(
    const uint8_t *text, uint32_t n, uint32_t at, ftp_addr_t *r
) noexcept nogil:
    """Read h1,h2,h3,h4,p1,p2; something must follow.  Numbers are taken modulo 256."""
    cdef uint8_t[6] b
    cdef uint32_t i = 0
    r.start = at
    memset(b, 0, 6)
    while at < n:
        if ftp_digit(text[at]):
            b[i] = <uint8_t>(b[i] * 10 + text[at] - 48)
        elif text[at] == 44 and i < 5:
            i += 1
        else:
            break
        at += 1
    if at >= n or i != 5:
        return False
    r.end = at
    memset(&r.addr, 0, sizeof(addr_t))
    r.addr.w[0] = raw32(b)
    r.port = raw16(b + 4)
    return True


cdef inline uint32_t ftp_read_ipv4(
    const uint8_t *text, uint32_t n, uint32_t at, uint8_t delim, addr_t *addr
) noexcept nogil:
    """Read a dotted address up to the delimiter, whose offset is returned; n: it is none."""
    cdef uint8_t[4] b
    cdef uint32_t i = 0, value = 0
    cdef bint empty = True
    while at < n:
        if text[at] == delim or text[at] == 46:
            if empty or (text[at] == delim) != (i == 3):
                return n
            b[i] = <uint8_t>value
            if text[at] == delim:
                memcpy(addr, b, 4)
                return at
            i += 1
            value = 0
            empty = True
        elif ftp_digit(text[at]) and value * 10 + text[at] - 48 <= 255:
            value = value * 10 + text[at] - 48
            empty = False
        else:
            return n
        at += 1
    return n


cdef inline uint32_t ftp_read_ipv6(
    const uint8_t *text, uint32_t n, uint32_t at, uint8_t delim, addr_t *addr
) noexcept nogil:
    """Read an IPv6 address up to the delimiter, whose offset is returned; n: it is none."""
    cdef char[46] word
    cdef uint32_t i = 0
    while at < n and text[at] != delim:
        if i == 45:
            return n
        word[i] = <char>text[at]
        i += 1
        at += 1
    word[i] = 0
    if at >= n or inet_pton(INET6_FAMILY, word, addr) != 1:
        return n
    return at


cdef inline uint32_t ftp_read_net(
    const uint8_t *text, uint32_t n, uint32_t at, bint epsv, bint is_v6, ftp_addr_t *r
) noexcept nogil:
    """Read "family|address|" behind the first delimiter; a 229 may leave both out.  Returns the
    offset behind it, n when it is not right."""
    cdef uint8_t delim = text[at - 1]
    if at >= n:
        return n
    if text[at] == delim:
        if not epsv or at + 1 >= n or text[at + 1] != delim:
            return n
        return at + 2
    if at + 2 >= n or text[at] != (50 if is_v6 else 49) or text[at + 1] != delim:
        return n
    if is_v6:
        at = ftp_read_ipv6(text, n, at + 2, delim, &r.addr)
    else:
        at = ftp_read_ipv4(text, n, at + 2, delim, &r.addr)
    return at + 1 if at < n else n


cdef inline bint ftp_read_extended(
    const uint8_t *text, uint32_t n, uint32_t at, bint epsv, bint is_v6, ftp_addr_t *r
) noexcept nogil:
    """Read |family|address|port|, with any printable delimiter."""
    cdef uint8_t delim
    cdef uint16_t port = 0
    if at >= n or text[at] < 33 or text[at] > 126:
        return False
    r.start = at
    delim = text[at]
    at = ftp_read_net(text, n, at + 1, epsv, is_v6, r)
    while at < n and ftp_digit(text[at]):
        port = <uint16_t>(port * 10 + text[at] - 48)
        at += 1
    if at >= n or port == 0 or text[at] != delim:
        return False
    r.end = at + 1
    r.port = LB_SWAP16(port)
    return True


cdef inline uint32_t ftp_asked(const uint8_t *text, uint32_t n, bint is_v6) noexcept nogil:
    """Return which of the passive commands is in the text, anywhere; FTP_ACTIVE when none is, and
    FTP_NEITHER when the first is an EPSV for the other address family."""
    cdef uint32_t at = 0
    while at + 6 <= n:
        if not is_v6 and ftp_says(text + at, 6, b"PASV\r\n", 6):
            return FTP_PASV
        if ftp_says(text + at, 4, b"EPSV", 4) and (text[at + 4] == 32 or text[at + 4] == 13):
            if text[at + 4] == 13:
                return FTP_EPSV
            if at + 7 > n or text[at + 6] != 13 or text[at + 5] != (50 if is_v6 else 49):
                return FTP_NEITHER
            return FTP_EPSV
        at += 1
    return FTP_ACTIVE
