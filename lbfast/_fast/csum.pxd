"""Internet checksums: RFC 1071 sums, RFC 1624 updates, pseudo-headers; CRC32c for SCTP.

A sum is a 64-bit accumulator of 16-bit words in the order in which they lie in memory; fold it at
the end.  Fields are stored as they come out of `csum_fold`, with no byte swap.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from lbfast._fast.types cimport LB_UNLIKELY
from lbfast._fast.wire cimport IPPROTO_UDP_, put16, raw16, raw32

cdef extern from *:
    """
    /* CRC32c, reflected polynomial 0x82F63B78, four bits a time */
    static inline uint32_t lb_crc32c_plain(uint32_t crc, const uint8_t *p, uint32_t n) {
        static const uint32_t t[16] = {
            0x00000000, 0x105EC76F, 0x20BD8EDE, 0x30E349B1, 0x417B1DBC, 0x5125DAD3,
            0x61C69362, 0x7198540D, 0x82F63B78, 0x92A8FC17, 0xA24BB5A6, 0xB21572C9,
            0xC38D26C4, 0xD3D3E1AB, 0xE330A81A, 0xF36E6F75};
        while (n--) {
            crc ^= *p++;
            crc = t[crc & 15] ^ (crc >> 4);
            crc = t[crc & 15] ^ (crc >> 4);
        }
        return crc;
    }
    #if defined(__x86_64__)
    __attribute__((target("sse4.2"), unused)) static uint32_t
    lb_crc32c_sse42(uint32_t crc, const uint8_t *p, uint32_t n) {
        uint64_t c = crc, v;
        for (; n >= 8; n -= 8, p += 8) {
            __builtin_memcpy(&v, p, 8);
            c = __builtin_ia32_crc32di(c, v);
        }
        while (n--)
            c = __builtin_ia32_crc32qi((uint32_t)c, *p++);
        return (uint32_t)c;
    }
    static inline uint32_t lb_crc32c(uint32_t crc, const uint8_t *p, uint32_t n) {
        if (__builtin_cpu_supports("sse4.2"))
            return lb_crc32c_sse42(crc, p, n);
        return lb_crc32c_plain(crc, p, n);
    }
    #else
    #define lb_crc32c lb_crc32c_plain
    #endif

    /* One's complement sum, mod 2^64 - 1, of the 20 bytes of an IPv4 header */
    static inline uint64_t lb_sum20(const uint8_t *p) {
        uint64_t a, b;
        uint32_t c;
        __builtin_memcpy(&a, p, 8);
        __builtin_memcpy(&b, p + 8, 8);
        __builtin_memcpy(&c, p + 16, 4);
    #if defined(__x86_64__)
        __asm__("addq %1, %0; adcq %2, %0; adcq $0, %0"
                : "+r"(a) : "rm"(b), "r"((uint64_t)c) : "cc");
    #else
        a += b;
        a += a < b;
        a += c;
        a += a < c;
    #endif
        return a;
    }
    """
    uint64_t lb_sum20(const uint8_t *p) noexcept nogil
    uint32_t lb_crc32c(uint32_t crc, const uint8_t *p, uint32_t n) noexcept nogil
    uint32_t lb_crc32c_plain(uint32_t crc, const uint8_t *p, uint32_t n) noexcept nogil


cdef inline uint64_t csum_add(uint64_t sum, const uint8_t *p, uint32_t n) noexcept nogil:
    """Add a buffer that starts at an even offset of what is summed; `sum` is below 2^62.

    Eight bytes a time as two halves: no carry can be lost, and the loop vectorises.
    """
    cdef uint64_t v, low = 0, high = 0
    cdef uint32_t _i, word
    for _i in range(n >> 3):
        memcpy(&v, p, 8)
        low += v & 0xFFFFFFFFU
        high += v >> 32
        p += 8
    sum += low + high
    if n & 4:
        memcpy(&word, p, 4)
        sum += word
        p += 4
    if n & 2:
        sum += raw16(p)
        p += 2
    if n & 1:
        sum += p[0]
    return sum


cdef inline uint16_t csum_raw(uint64_t sum) noexcept nogil:
    """Fold to 16 bits without inverting: what a partial checksum field holds."""
    sum = (sum & 0xFFFFFFFFU) + (sum >> 32)
    sum = (sum & 0xFFFFFFFFU) + (sum >> 32)
    sum = (sum & 0xFFFF) + (sum >> 16)
    sum = (sum & 0xFFFF) + (sum >> 16)
    return <uint16_t>sum


cdef inline uint16_t csum_fold(uint64_t sum) noexcept nogil:
    return <uint16_t>~csum_raw(sum)


cdef inline uint64_t ipv4_options_sum(const uint8_t *l3, uint32_t header_len) noexcept nogil:
    cdef uint64_t sum = 0
    cdef uint32_t at = 20
    while at < header_len:
        sum += raw32(l3 + at)
        at += 4
    return sum


cdef inline bint ipv4_header_ok(const uint8_t *l3, uint32_t header_len) noexcept nogil:
    cdef uint64_t sum = <uint64_t>raw32(l3) + raw32(l3 + 4) + raw32(l3 + 8)
    sum += <uint64_t>raw32(l3 + 12) + raw32(l3 + 16)
    if LB_UNLIKELY(header_len != 20):
        sum += ipv4_options_sum(l3, header_len)
    return csum_raw(sum) == 0xFFFF


cdef inline bint ipv4_plain_ok(const uint8_t *l3) noexcept nogil:
    """ipv4_header_ok of 20 bytes: one's complement sums are all ones when 0xFFFF divides them."""
    return lb_sum20(l3) % 0xFFFFU == 0


cdef inline void csum_move(uint8_t *at, uint16_t change) noexcept nogil:
    """Bring a checksum up to date (RFC 1624 eqn 3): ~(~HC + change), change = ~m + m' not 0."""
    cdef uint32_t sum = (<uint32_t>raw16(at) ^ 0xFFFF) + change
    put16(at, <uint16_t>~(sum + (sum >> 16)))


cdef inline void ipv4_header_seal(uint8_t *l3) noexcept nogil:
    """Compute the header checksum from scratch; the old one is not read."""
    cdef uint64_t sum = <uint64_t>raw32(l3) + raw32(l3 + 4) + raw16(l3 + 8)
    sum += <uint64_t>raw32(l3 + 12) + raw32(l3 + 16)
    if LB_UNLIKELY(l3[0] != 0x45):
        sum += ipv4_options_sum(l3, (l3[0] & 15) * 4)
    put16(l3 + 10, csum_fold(sum))


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
