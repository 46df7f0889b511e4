"""Internet checksums: RFC 1071 sums, RFC 1624 updates, pseudo-headers; CRC32c for SCTP.

A sum is a 64-bit accumulator of 16-bit words in the order in which they lie in memory; fold it at
the end.  Fields are stored as they come out of `csum_fold`, with no byte swap.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lbfast._fast.wire cimport IPPROTO_UDP_, put16, raw16

cdef extern from *:
    """
    static inline unsigned lb_crc32c_step(unsigned crc, unsigned char byte)
    {
        crc ^= byte;
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? (crc >> 1) ^ 0x82F63B78u : crc >> 1;
        return crc;
    }
    static unsigned lb_crc32c(unsigned crc, const unsigned char *p, unsigned n)
    {
        static unsigned table[256];
        if (!table[1])
            for (unsigned i = 0; i < 256; i++)
                table[i] = lb_crc32c_step(0, (unsigned char)i);
        while (n--)
            crc = table[(crc ^ *p++) & 255] ^ (crc >> 8);
        return crc;
    }
    """
    uint32_t lb_crc32c(uint32_t crc, const uint8_t *p, uint32_t n) noexcept nogil


cdef inline uint64_t csum_add(uint64_t sum, const uint8_t *p, uint32_t n) noexcept nogil:
    """Add a buffer that starts at an even offset of what is summed."""
    cdef uint64_t acc = sum
    cdef uint32_t v32
    cdef uint64_t v
    while n >= 8:
        memcpy(&v, p, 8)
        acc += v
        acc += acc < v
        p += 8
        n -= 8
    if n >= 4:
        memcpy(&v32, p, 4)
        acc += v32
        acc += acc < v32
        p += 4
        n -= 4
    if n >= 2:
        v = raw16(p)
        acc += v
        acc += acc < v
        p += 2
        n -= 2
    if n:
        v = p[0]
        acc += v
        acc += acc < v
    return acc


cdef inline uint16_t csum_raw(uint64_t sum) noexcept nogil:
    """Fold to 16 bits without inverting: what a partial checksum field holds."""
    sum = (sum & 0xFFFFFFFFU) + (sum >> 32)
    sum = (sum & 0xFFFFFFFFU) + (sum >> 32)
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>sum


cdef inline uint16_t csum_fold(uint64_t sum) noexcept nogil:
    return <uint16_t>~csum_raw(sum)


cdef inline bint ipv4_header_ok(const uint8_t *l3, uint32_t header_len) noexcept nogil:
    return csum_raw(csum_add(0, l3, header_len)) == 0xFFFF


cdef inline void ipv4_header_seal(uint8_t *l3) noexcept nogil:
    """Compute the header checksum from scratch."""
    put16(l3 + 10, 0)
    put16(l3 + 10, csum_fold(csum_add(0, l3, (l3[0] & 15) * 4)))


cdef inline uint64_t csum_swap(
    uint64_t sum, const uint8_t *old, const uint8_t *new, uint32_t n
) noexcept nogil:
    """Add the difference of two even-sized fields: RFC 1624, + ~m + m'."""
    cdef uint32_t i
    for i in range(0, n, 2):
        sum += <uint16_t>~raw16(old + i)
        sum += raw16(new + i)
    return sum


cdef inline uint64_t csum_pseudo(
    const uint8_t *l3, bint is_v6, uint32_t protocol, uint32_t length
) noexcept nogil:
    """Sum of the pseudo-header of the IP packet at `l3` (RFC 793, RFC 8200 section 8.1)."""
    cdef uint64_t sum
    if is_v6:
        sum = csum_add(0, l3 + 8, 32)
    else:
        sum = csum_add(0, l3 + 12, 8)
    return sum + swap16(protocol) + swap16(length & 0xFFFF) + swap16(length >> 16)


cdef inline uint16_t swap16(uint32_t v) noexcept nogil:
    return <uint16_t>((v & 0xFF) << 8 | (v >> 8 & 0xFF))


cdef inline uint16_t csum_l4(
    const uint8_t *l3, bint is_v6, uint32_t protocol, const uint8_t *l4, uint32_t length
) noexcept nogil:
    """Full checksum of TCP, UDP or ICMPv6, the field itself being zero; UDP's 0 as 0xFFFF."""
    cdef uint16_t c = csum_fold(csum_add(csum_pseudo(l3, is_v6, protocol, length), l4, length))
    if c == 0 and protocol == IPPROTO_UDP_:
        return 0xFFFF
    return c
