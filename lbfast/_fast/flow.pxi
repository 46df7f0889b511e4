"""The short way: plain packets of connections of which everything is known.

Plain is what most packets are: no tag, option, extension, fragment or super-frame; UDP, or TCP
with ACK and none of SYN, FIN and RST; their checksum may be left to the device.  What the stages
found out when they sent the packet before (flowlearn.pxi) holds as long as control edits nothing
(`engine_t.generation`), because steering, scheduling and routing look at nothing but the packet's
addresses and ports and what control wrote; and as long as the connection's state and time-out stay
(`flow_forget`).  Neighbours and learned path MTUs are read where they are.  All other packets, and
one of each connection after an edit, take the stages (pipeline.pxi).

Functions are compiled once for each family and way: `is_v6` and `way` are constants.
"""

cdef enum:
    TCP_EVENTS = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK

ctypedef struct plain_t:         # a frame as the short way sees it
    # One of the first in its bucket and what is known of that, at the batch's beginning: whatever
    # the bucket gets meanwhile, an entry that is replaced is forgotten at once.
    conn_t *conn
    known_t *known
    uint32_t bucket
    uint32_t key                 # that of the path it can take; 0: not plain
    uint32_t ip_len
    uint32_t pad


# ---------------------------------------------------------------- is it plain

cdef inline uint32_t plain_kind(
    const frame_t *f, uint64_t mac, uint32_t *ip_len
) noexcept nogil:
    """Say whether a frame may take the short way; what is wrong with one is the stages' affair.
    May read up to 62 bytes, which is less than any frame's memory.

    mac: mac_word of ours.
    """
    cdef const uint8_t *data = f.data
    cdef uint32_t start = raw32(data + 12)       # Ethernet type, first two bytes of the header
    if LB_UNLIKELY(frame_marks(f) & ~frame_mark(VNET_NEEDS_CSUM | VNET_DATA_VALID)):
        return PLAIN_NOT
    if LB_UNLIKELY(mac_word(data) != mac):
        return PLAIN_NOT
    if LB_LIKELY(start & LB_BYTES4(255, 255, 255, 0) == LB_BYTES4(8, 0, 0x45, 0)):
        return plain_v4(f, data + 14, ip_len)
    if start & LB_BYTES4(255, 255, 0xF0, 0) == LB_BYTES4(0x86, 0xDD, 0x60, 0):
        return plain_v6(f, data + 14, ip_len)
    return PLAIN_NOT


cdef inline uint64_t mac_word(const uint8_t *at) noexcept nogil:
    """The six bytes of a MAC address as a number; two more are read."""
    return raw64(at) << 16 if LB_LITTLE_ENDIAN else raw64(at) >> 16


cdef inline uint64_t frame_marks(const frame_t *f) noexcept nogil:
    """802.1Q tag; virtio-net flags, GSO type, length of headers."""
    return raw64(<const uint8_t *>&f.vlan_tci)


cdef inline uint64_t frame_mark(uint8_t flags) noexcept nogil:
    """The same of an untagged frame with nothing but these flags."""
    cdef uint8_t[8] mark = [0, 0, 0, 0, flags, 0, 0, 0]
    return raw64(mark)


cdef inline uint32_t plain_v4(
    const frame_t *f, const uint8_t *l3, uint32_t *ip_len
) noexcept nogil:
    cdef uint32_t length = ld16(l3 + 2)
    cdef uint32_t word = raw32(l3 + 6)           # fragment, TTL, protocol
    if length + 14 > f.len or word & LB_BYTES4(0x3F, 0xFF, 0, 0) or (
        word & LB_BYTES4(0, 0, 0xFE, 0) == 0     # the last hop
    ):
        return PLAIN_NOT
    if LB_UNLIKELY(not ipv4_plain_ok(l3)):
        return PLAIN_NOT
    ip_len[0] = length
    if LB_LIKELY(l3[9] == IPPROTO_UDP_):
        return plain_left(f, PLAIN_UDP, 34, 6) if LB_LIKELY(length >= 20 + 8) else PLAIN_NOT
    if plain_tcp(l3[9], l3 + 20, length, 20):
        return plain_left(f, PLAIN_TCP, 34, 16)
    return PLAIN_NOT


cdef inline uint32_t plain_v6(
    const frame_t *f, const uint8_t *l3, uint32_t *ip_len
) noexcept nogil:
    cdef uint32_t length = 40 + ld16(l3 + 4)
    if length + 14 > f.len or l3[7] <= 1:
        return PLAIN_NOT
    ip_len[0] = length
    if LB_LIKELY(l3[6] == IPPROTO_UDP_):
        if LB_UNLIKELY(length < 40 + 8):
            return PLAIN_NOT
        return plain_left(f, PLAIN_UDP | PLAIN_V6, 54, 6)
    if plain_tcp(l3[6], l3 + 40, length, 40):
        return plain_left(f, PLAIN_TCP | PLAIN_V6, 54, 16)
    return PLAIN_NOT


cdef inline bint plain_tcp(
    uint32_t protocol, const uint8_t *l4, uint32_t ip_len, uint32_t l3_len
) noexcept nogil:
    return protocol == IPPROTO_TCP_ and ip_len >= l3_len + 20 and l4[13] & TCP_EVENTS == TCP_ACK


cdef inline uint32_t plain_left(
    const frame_t *f, uint32_t kind, uint32_t start, uint32_t offset
) noexcept nogil:
    """This kind, unless the checksum that is left to the device is another one than that of the
    UDP or TCP right behind the IP header."""
    if LB_UNLIKELY(f.vnet.flags & VNET_NEEDS_CSUM) and (
        f.vnet.csum_start | <uint32_t>f.vnet.csum_offset << 16 != (start | offset << 16)
    ):
        return PLAIN_NOT
    return kind


cdef inline uint32_t flow_hash(
    const engine_t *e, const uint8_t *l3, uint32_t kind, way_t way
) noexcept nogil:
    """conn_hash of the client's side this way; local_hash of a reply to a local address."""
    cdef uint32_t side = way == WAY_REPLY
    cdef ends_t ends
    cdef addr_t a
    if way == WAY_LOCAL:
        ends = plain_ends(l3, (kind & PLAIN_V6) != 0)
        return local_hash(e, &ends)
    if LB_LIKELY(not kind & PLAIN_V6):
        return conn_mix(e.mix, raw32(l3 + 12 + 4 * side), raw16(l3 + 20 + 2 * side), l3[9])
    a = addr_load(l3 + 8 + 16 * side, True)
    return conn_mix(e.mix, addr_fold(&a), raw16(l3 + 40 + 2 * side), l3[6])


cdef inline be16 plain_cport(const uint8_t *l3, uint32_t key, way_t way) noexcept nogil:
    """The port of what is the client's side this way."""
    return raw16(l3 + (40 if key & PLAIN_V6 else 20) + (2 if way == WAY_REPLY else 0))


# ---------------------------------------------------------------- whose is it

cdef inline conn6_t *conn6_of(const engine_t *e, const conn_t *c) noexcept nogil:
    LB_STATIC_ASSERT(sizeof(conn_t) == 64 and sizeof(conn6_t) == 64)
    return <conn6_t *>(<uint8_t *>c + e.to_conn6)


cdef inline bint plain_is(
    const engine_t *e, const conn_t *c, const uint8_t *l3, bint is_v6, way_t way
) noexcept nogil:
    """Whether a packet has the addresses and ports of a connection of its family and protocol,
    a reply those of a NAT connection: conn_find_in and _out in fewer steps."""
    cdef const uint8_t *l4 = l3 + (40 if is_v6 else 20)
    cdef bint reply = way == WAY_REPLY
    cdef const conn6_t *wide
    if way == WAY_LOCAL:
        return local_plain_is(e, c, l3, is_v6)
    if raw32(l4) != raw32(<const uint8_t *>(&c.dport if reply else &c.cport)):
        return False
    if not is_v6:
        return raw64(l3 + 12) == raw64(<const uint8_t *>(&c.daddr if reply else &c.caddr))
    wide = conn6_of(e, c)
    return lb_same32(l3 + 8, &wide.daddr if reply else &wide.caddr)


cdef bint flow_search(
    const engine_t *e, plain_t *q, const frame_t *f, way_t way
) noexcept nogil:
    """Point a packet to its connection, which is not among the first in the bucket; False when
    there is none, or nothing is known of it this way."""
    cdef const uint8_t *l3 = f.data + 14
    cdef bint is_v6 = (q.key & PLAIN_V6) != 0
    cdef addr_t saddr = addr_load(l3 + (8 if is_v6 else 12), is_v6)
    cdef addr_t daddr = addr_load(l3 + (24 if is_v6 else 16), is_v6)
    cdef const uint8_t *l4 = l3 + (40 if is_v6 else 20)
    cdef uint32_t i, protocol = l3[6] if is_v6 else l3[9]
    cdef ends_t ends
    if way == WAY_LOCAL:
        ends = plain_ends(l3, is_v6)
        i = local_walk(e, e.locals[q.bucket] - 1, &ends)
    elif way == WAY_REPLY:
        i = conn_find_out(e, q.bucket, is_v6, protocol, &saddr, raw16(l4), &daddr, raw16(l4 + 2))
    else:
        i = conn_find_in(e, q.bucket, is_v6, protocol, &saddr, raw16(l4), &daddr, raw16(l4 + 2))
    if i == NO_INDEX:
        return False
    q.conn = &e.conns[i]
    q.known = &e.flows[i]
    return path_of(q.known, way).key == q.key


cdef inline path_t *path_of(known_t *known, way_t way) noexcept nogil:
    return &known.request if way == WAY_REQUEST else &known.reply


# ---------------------------------------------------------------- what is known of it

cdef inline bint flow_step(
    engine_t *e, worker_t *w, neigh_t *neighs, const frame_t *f, plain_t *q, out_t *o,
    uint64_t *bytes, bint is_v6, way_t way,
) noexcept nogil:
    """Queue a plain packet by what is known of its connection, this way, and add its
    length to `bytes`; False, and nothing changed, when too little is."""
    cdef uint8_t *l3 = f.data + 14
    cdef path_t *path = path_of(q.known, way)
    cdef conn_t *c = q.conn
    cdef uint32_t length = q.ip_len
    cdef neigh_t *n
    if LB_UNLIKELY(path.key != q.key or not plain_is(e, c, l3, is_v6, way)):
        if q.key == PLAIN_NOT or not flow_search(e, q, f, way):
            return False
        path = path_of(q.known, way)
        c = q.conn
    n = &neighs[path.neigh]
    if LB_UNLIKELY(length > path.mtu or not neigh_used(w, n)):
        return False
    flow_vnet(o, f)
    o.len = length + 14
    if LB_LIKELY(way == WAY_REQUEST and path.method == DROUTE):
        plain_hop(l3, is_v6)
    elif way == WAY_REPLY or way == WAY_REQUEST and path.method == MASQ:
        if LB_UNLIKELY(not flow_nat(e, l3, c, path, q.key, o, is_v6, way == WAY_REPLY)):
            return False
    elif way == WAY_LOCAL or path.method == FULLNAT:
        if LB_UNLIKELY(not flow_full(e, w, l3, q, path, o, way == WAY_LOCAL)):
            return False
    elif LB_UNLIKELY(e.outers[c.dest].pmtu_known):
        path.key = 0                           # the stages learn it anew when that is forgotten
        return False
    else:
        plain_hop(l3, is_v6)
        l3 = flow_wrap(w, l3, length, &e.outers[c.dest], o, is_v6)
    flow_touch(e, w, c)
    flow_count(w, c, length, way != WAY_REQUEST)
    bytes[0] += length
    lb_copy16(l3 - 16, n.head)
    o.data = l3 - 14
    o.ifindex = n.ifindex
    return True


cdef inline void flow_touch(engine_t *e, worker_t *w, conn_t *c) noexcept nogil:
    """Restart the timer, as conn_touch: for a packet that changes no state it is the same
    time-out again."""
    cdef uint32_t expires = w.now + c.timeout
    cdef bint sooner = <int32_t>(expires - c.expires) < 0
    c.expires = expires
    if LB_UNLIKELY(sooner):
        timer_moved(e, w, <uint32_t>(c - e.conns))


cdef inline void flow_count(
    worker_t *w, conn_t *c, uint64_t ip_len, bint reply
) noexcept nogil:
    """count_in and count_out; the totals are added once a run."""
    cdef counts_t *dest = &w.dests[c.dest]
    if reply:
        dest.outpkts += 1
        dest.outbytes += ip_len
        return
    c.in_pkts += 1
    dest.inpkts += 1
    dest.inbytes += ip_len


cdef inline void flow_vnet(out_t *o, const frame_t *f) noexcept nogil:
    """Take over the virtio-net header, and with it, as a plain frame has no tag, OUT_WIRE."""
    LB_STATIC_ASSERT(sizeof(out_t) == 32 and sizeof(frame_t) == 32 and OUT_WIRE == 0)
    lb_copy16(&o.kind, &f.vlan_tci)


# ---------------------------------------------------------------- what changes in it

cdef inline void plain_hop(uint8_t *l3, bint is_v6) noexcept nogil:
    """One hop less; in IPv4 the checksum's word grows by what the TTL's shrinks."""
    cdef uint32_t word
    if is_v6:
        l3[7] -= 1
        return
    word = raw32(l3 + 8)
    if LB_LITTLE_ENDIAN and LB_LIKELY(word < 0xFFFE0000U):       # no carry out of the checksum
        put32(l3 + 8, word + 0xFFFF)
    else:
        l3[8] -= 1
        csum_move(l3 + 10, ttl_change())


cdef inline uint16_t ttl_change() noexcept nogil:
    """~m + m' of a TTL that is one lower: its word (TTL, protocol) minus 0x0100 on the wire."""
    cdef uint8_t[2] one = [1, 0]
    return <uint16_t>~raw16(one)


cdef inline bint flow_nat(
    const engine_t *e, uint8_t *l3, const conn_t *c, const path_t *path, uint32_t key, out_t *o,
    bint is_v6, bint reply,
) noexcept nogil:
    """One hop less; replace one side's address and port, and bring the checksums up to date.
    False: UDP without a checksum, which is the stages' to compute."""
    cdef uint8_t *at = l3 + (8 if is_v6 else 12) + (0 if reply else (16 if is_v6 else 4))
    cdef uint8_t *l4 = l3 + (40 if is_v6 else 20)
    cdef uint8_t *check = l4 + 6
    if LB_UNLIKELY(o.vnet.flags & VNET_NEEDS_CSUM):
        o.vnet.flags = VNET_NEEDS_CSUM
        if key & PLAIN_TCP == PLAIN_TCP:
            check = l4 + 16
        put16(check, csum_raw(<uint64_t>raw16(check) + path.sum_addr))
    else:
        o.vnet.flags = 0
        if key & PLAIN_TCP == PLAIN_TCP:
            csum_move(l4 + 16, path.sum_l4)
        elif LB_UNLIKELY(raw16(check) == 0):
            return False
        else:
            csum_move(check, path.sum_l4)
            if LB_UNLIKELY(raw16(check) == 0):
                put16(check, 0xFFFF)
    if is_v6:
        l3[7] -= 1
        memcpy(at, &conn6_of(e, c).vaddr if reply else &conn6_of(e, c).daddr, 16)
    else:
        l3[8] -= 1
        csum_move(l3 + 10, path.sum_l3)
        put32(at, c.vaddr if reply else c.daddr)
    put16(l4 + (0 if reply else 2), c.vport if reply else c.dport)
    return True


cdef inline uint8_t *flow_wrap(
    worker_t *w, uint8_t *l3, uint32_t ip_len, const outer_t *outer, out_t *o, bint is_v6
) noexcept nogil:
    """Put the outer header of IP in IP in front (spec 3.4), as tunnel_each does, and return where
    it begins."""
    cdef uint32_t size = 40 if is_v6 else 20
    cdef uint8_t *at = l3 - size
    if LB_UNLIKELY(o.vnet.flags & VNET_NEEDS_CSUM):
        o.vnet.csum_start += size
    o.len = 14 + size + ip_len
    if is_v6:
        wrap_v6(at, l3, ip_len, outer)
    else:
        wrap_v4(w, at, l3, ip_len, outer)
    return at


cdef inline void wrap_v6(
    uint8_t *at, const uint8_t *l3, uint32_t ip_len, const outer_t *outer
) noexcept nogil:
    cdef uint32_t tos = (ld16(l3) >> 4) & 0xFF
    if LB_UNLIKELY(tos & 3 == 3):
        tos -= 1
    memcpy(at, outer.head, 40)
    st32(at, 0x60000000U | tos << 20)
    st16(at + 4, ip_len)
    at[7] = l3[7]


cdef inline void wrap_v4(
    worker_t *w, uint8_t *at, const uint8_t *l3, uint32_t ip_len, const outer_t *outer
) noexcept nogil:
    """Write it word by word, and sum it up without reading it back."""
    cdef uint32_t word = raw16(l3)             # version, length of the header, TOS
    cdef uint32_t sum = outer.sum
    if LB_UNLIKELY(word & be_pair(0, 3) == be_pair(0, 3)):
        word -= be_pair(0, 1)
    sum += wrap_word(at, word)
    sum += wrap_word(at + 2, __builtin_bswap16(<uint16_t>(20 + ip_len)))
    sum += wrap_word(at + 8, be_pair(l3[8], IPPROTO_IPIP_))
    word = raw16(l3 + 6) & outer.df
    put16(at + 6, <be16>word)
    if not word:
        w.ip_id += w.ip_step
        word = __builtin_bswap16(w.ip_id)
        put16(at + 4, <be16>word)
    else:
        put16(at + 4, 0)
    sum += word                                # one of the two is 0
    sum = (sum & 0xFFFF) + (sum >> 16)         # five words: now at most 4 above 16 bits
    put16(at + 10, <uint16_t>~(sum + (sum >> 16)))
    memcpy(at + 12, outer.head + 12, 8)


cdef inline uint32_t wrap_word(uint8_t *at, uint32_t word) noexcept nogil:
    put16(at, <be16>word)
    return word
