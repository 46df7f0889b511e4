"""Where fragments wait: headers, the pool of blocks, the queues.

Memory is one pool for each worker: blocks, of which a frame has a chain.  The record of a fragment
has the index of its first block.  Queues are in order of age; when blocks or queues run out the
oldest goes.
"""

cdef enum:
    FRAG_QUEUES = 512          # packets that are waited for
    FRAG_BUCKETS = 512
    FRAG_BLOCKS = 2048
    FRAG_BLOCK = 2048          # bytes
    FRAG_MAX = 512             # fragments of one packet
    FRAG_TICKS_V4 = 30 * TICKS_PER_S
    FRAG_TICKS_V6 = 60 * TICKS_PER_S
    FRAG_CHECK = TICKS_PER_S // 10
    FRAG_QUOTE = 1294          # bytes of a frame that an ICMP error can use

ctypedef struct frag_t:
    uint32_t next              # in order of offset
    uint32_t later             # in order of arrival
    uint32_t start             # its part of the payload
    uint32_t end
    uint32_t at                # where that is in the frame
    uint32_t size              # of the frame
    uint32_t ifindex
    uint16_t vlan_tci
    uint16_t vlan_tpid
    vnet_t vnet

ctypedef struct fragq_t:
    addr_t saddr
    addr_t daddr
    uint32_t id
    uint8_t protocol           # IPv4; 0 for IPv6
    uint8_t is_v6
    uint8_t has_last
    uint8_t ecn                # bit n: a fragment had ECN field n
    uint8_t is_icmp_error      # as the first fragment says
    uint32_t bucket            # NO_INDEX: found by nobody (complete)
    uint32_t hnext             # in the bucket, or in the list of free queues
    uint32_t older
    uint32_t newer
    uint32_t since             # tick
    uint32_t first             # by offset
    uint32_t last
    uint32_t arrived           # by arrival
    uint32_t arrived_last
    uint32_t count
    uint32_t have              # bytes of payload
    uint32_t total             # its length as far as known
    uint32_t longest           # IP length of the longest fragment, and of the longest with DF
    uint32_t longest_df

ctypedef struct frags_t:
    uint32_t free_block
    uint32_t nfree
    uint32_t free_queue
    uint32_t oldest
    uint32_t newest
    uint32_t checked           # tick
    uint32_t buckets[FRAG_BUCKETS]
    uint32_t chain[FRAG_BLOCKS]
    frag_t frags[FRAG_BLOCKS]
    fragq_t queues[FRAG_QUEUES]
    uint8_t memory[FRAG_BLOCKS * FRAG_BLOCK]

ctypedef enum place_t:         # where a fragment goes
    PLACE_BAD = 0              # it contradicts the others
    PLACE_FREE = 1
    PLACE_KNOWN = 2            # all of it is there already

ctypedef struct fragment_t:    # what the headers of a fragment say
    uint32_t id
    uint32_t start
    uint32_t end
    uint32_t at                # of its data, from the IP header on
    uint32_t more
    uint32_t ecn
    uint32_t df
    uint32_t protocol


cdef bint frag_init(worker_t *w) noexcept nogil:
    """Allocate the pool; False without memory."""
    cdef frags_t *f = <frags_t *>malloc(sizeof(frags_t))
    cdef uint32_t i
    w.frags = f
    if f == NULL:
        return False
    for i in range(<uint32_t>FRAG_BUCKETS):
        f.buckets[i] = NO_INDEX
    for i in range(<uint32_t>FRAG_BLOCKS):
        f.chain[i] = i + 1 if i + 1 < FRAG_BLOCKS else NO_INDEX
    for i in range(<uint32_t>FRAG_QUEUES):
        f.queues[i].hnext = i + 1 if i + 1 < FRAG_QUEUES else NO_INDEX
    f.free_block = f.free_queue = 0
    f.nfree = FRAG_BLOCKS
    f.oldest = f.newest = NO_INDEX
    f.checked = 0
    return True


cdef void frag_free(worker_t *w) noexcept nogil:
    free(w.frags)
    w.frags = NULL


# ---------------------------------------------------------------- headers

cdef bint frag_read(const pkt_t *p, fragment_t *f) noexcept nogil:
    """Read what the fragment says about itself; False if it cannot be part of a packet."""
    cdef uint32_t field
    if p.is_v6:
        return frag_read_v6(p, f)
    field = ld16(p.l3 + 6)
    f.id = ld16(p.l3 + 4)
    f.protocol = p.l3[9]
    f.ecn = p.l3[1] & 3
    f.df = field & IP_DF
    f.more = field & IP_MF
    f.at = p.l3_len
    f.start = (field & IP_OFFSET) * 8
    f.end = f.start + p.ip_len - f.at
    if f.more:
        f.end &= ~<uint32_t>7          # Linux cuts such a fragment, it does not refuse it
    return f.start < f.end <= 65535


cdef bint frag_read_v6(const pkt_t *p, fragment_t *f) noexcept nogil:
    cdef uint32_t field, named_at
    cdef uint32_t at = frag_header_v6(p.l3, p.ip_len, &named_at)
    if at == 0:
        return False
    field = ld16(p.l3 + at + 2)
    f.id = ld32(p.l3 + at + 4)
    f.protocol = 0
    f.ecn = p.l3[1] >> 4 & 3
    f.df = 0
    f.more = field & 1
    f.at = at + 8
    f.start = field & 0xFFF8
    f.end = f.start + p.ip_len - f.at
    if f.more and f.end & 7:
        return False
    return f.start < f.end <= 65535


cdef uint32_t frag_header_v6(
    const uint8_t *l3, uint32_t ip_len, uint32_t *named_at
) noexcept nogil:
    """Return where the fragment header is, 0 if there is none; `named_at`: which byte says so."""
    cdef uint32_t at = 40
    named_at[0] = 6
    while at + 8 <= ip_len:
        if l3[named_at[0]] == IPPROTO_FRAGMENT_:
            return at
        if not is_extension(l3[named_at[0]]):
            return 0
        if l3[named_at[0]] == IPPROTO_AH_:
            named_at[0] = at
            at += (l3[at + 1] + 2) * 4
        else:
            named_at[0] = at
            at += (l3[at + 1] + 1) * 8
    return 0


# ---------------------------------------------------------------- blocks

cdef uint32_t frag_blocks(uint32_t size) noexcept nogil:
    return (size + FRAG_BLOCK - 1) // FRAG_BLOCK


cdef uint32_t frag_store(frags_t *f, const uint8_t *data, uint32_t size) noexcept nogil:
    """Keep a frame, for which there are enough free blocks; return the first."""
    cdef uint32_t first = f.free_block, b = first, part
    f.nfree -= frag_blocks(size)
    while True:
        part = size if size < FRAG_BLOCK else FRAG_BLOCK
        memcpy(&f.memory[b * FRAG_BLOCK], data, part)
        data += part
        size -= part
        if size == 0:
            break
        b = f.chain[b]
    f.free_block = f.chain[b]
    f.chain[b] = NO_INDEX
    return first


cdef void frag_copy(
    const frags_t *f, uint32_t b, uint32_t at, uint32_t n, uint8_t *to
) noexcept nogil:
    """Copy `n` bytes from offset `at` on of the frame whose first block is `b`."""
    cdef uint32_t part
    while at >= FRAG_BLOCK:
        b = f.chain[b]
        at -= FRAG_BLOCK
    while n:
        part = n if n < FRAG_BLOCK - at else FRAG_BLOCK - at
        memcpy(to, &f.memory[b * FRAG_BLOCK + at], part)
        to += part
        n -= part
        at = 0
        b = f.chain[b]


# ---------------------------------------------------------------- queues

cdef uint32_t frag_queue(worker_t *w, const pkt_t *p, const fragment_t *g) noexcept nogil:
    """Return the queue of the packet to which the fragment belongs; a new one if there is none.

    An IPv6 packet that is whole, but has the header, stands alone (RFC 6946).
    """
    cdef frags_t *f = <frags_t *>w.frags
    cdef uint32_t h = map_hash(&p.saddr, g.id, addr_fold(&p.daddr) ^ g.protocol) % FRAG_BUCKETS
    cdef uint32_t i = f.buckets[h]
    cdef fragq_t *q
    if g.start == 0 and not g.more:
        i = NO_INDEX
    while i != NO_INDEX:
        q = &f.queues[i]
        if (
            q.id == g.id and q.protocol == g.protocol and q.is_v6 == p.is_v6
            and addr_eq(&q.saddr, &p.saddr) and addr_eq(&q.daddr, &p.daddr)
        ):
            return i
        i = q.hnext
    if f.free_queue == NO_INDEX:
        frag_evict(w, NO_INDEX)
    i = f.free_queue
    if i == NO_INDEX:
        return NO_INDEX
    q = &f.queues[i]
    f.free_queue = q.hnext
    memset(q, 0, sizeof(fragq_t))
    q.saddr = p.saddr
    q.daddr = p.daddr
    q.id = g.id
    q.protocol = g.protocol
    q.is_v6 = p.is_v6
    q.since = w.now
    q.first = q.last = q.arrived = q.arrived_last = NO_INDEX
    frag_link(f, i, h)
    return i


cdef void frag_link(frags_t *f, uint32_t i, uint32_t bucket) noexcept nogil:
    """Enter a new queue into its bucket and as the newest."""
    cdef fragq_t *q = &f.queues[i]
    q.bucket = bucket
    q.hnext = f.buckets[bucket]
    f.buckets[bucket] = i
    q.newer = NO_INDEX
    q.older = f.newest
    if f.newest != NO_INDEX:
        f.queues[f.newest].newer = i
    else:
        f.oldest = i
    f.newest = i


cdef void frag_unlink(frags_t *f, uint32_t i) noexcept nogil:
    """Take a queue out of its bucket and of the age order."""
    cdef fragq_t *q = &f.queues[i]
    cdef uint32_t *at = &f.buckets[q.bucket]
    while at[0] != i:
        at = &f.queues[at[0]].hnext
    at[0] = q.hnext
    q.bucket = NO_INDEX
    if q.older != NO_INDEX:
        f.queues[q.older].newer = q.newer
    else:
        f.oldest = q.newer
    if q.newer != NO_INDEX:
        f.queues[q.newer].older = q.older
    else:
        f.newest = q.older


cdef void frag_discard(frags_t *f, uint32_t i) noexcept nogil:
    """Free a queue and its fragments."""
    cdef fragq_t *q = &f.queues[i]
    cdef uint32_t one = q.arrived, b, n
    if q.bucket != NO_INDEX:
        frag_unlink(f, i)
    while one != NO_INDEX:
        n = frag_blocks(f.frags[one].size)
        f.nfree += n
        b = one
        while f.chain[b] != NO_INDEX:
            b = f.chain[b]
        f.chain[b] = f.free_block
        f.free_block = one
        one = f.frags[one].later
    q.hnext = f.free_queue
    f.free_queue = i


cdef bint frag_evict(worker_t *w, uint32_t keep) noexcept nogil:
    """Give up the oldest packet but `keep`; False if there is none."""
    cdef frags_t *f = <frags_t *>w.frags
    cdef uint32_t i = f.oldest
    if i != NO_INDEX and i == keep:
        i = f.queues[i].newer
    if i == NO_INDEX:
        return False
    w.drops[R_FRAG_MEMORY] += 1
    frag_discard(f, i)
    return True
