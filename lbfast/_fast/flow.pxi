"""The short way: plain packets of connections of which everything is known.

Plain is what most packets are: no tag, option, extension, fragment or offload; UDP, or TCP with
ACK and none of SYN, FIN and RST.  What the stages found out when they sent the packet before
(flowlearn.pxi) holds as long as control edits nothing (`engine_t.generation`), because steering,
scheduling and routing look at nothing but the packet's addresses and ports and what control
wrote; connections, neighbours, time-outs and learned path MTUs are read where they are.  All
other packets, and one of each connection after an edit, take the stages (pipeline.pxi).

Functions are compiled once for each family and direction: `is_v6` and `reply` are constants.
"""

cdef enum:
    PLAIN_NOT = 0
    PLAIN_V4 = 1
    PLAIN_V6 = 2
    TCP_EVENTS = TCP_FIN | TCP_SYN | TCP_RST | TCP_ACK

ctypedef struct plain_t:         # a frame as the short way sees it
    uint32_t hash                # conn_hash of what would be the client's side
    uint16_t ip_len
    uint16_t kind                # PLAIN_*


cdef vnet_t PLAIN_VNET           # what a packet leaves with whose checksum is ours


# ---------------------------------------------------------------- is it plain

cdef inline uint32_t plain_kind(
    const frame_t *f, const uint8_t *mac, uint16_t *ip_len
) noexcept nogil:
    """Say whether a frame may take the short way; what is wrong with one is the stages' affair."""
    cdef uint32_t start = raw32(f.data + 12)     # Ethernet type, first two bytes of the header
    if LB_UNLIKELY(raw32(<const uint8_t *>&f.vnet) & ~LB_BYTES4(VNET_DATA_VALID, 0, 0, 0)):
        return PLAIN_NOT                         # flags, GSO type, length of headers
    if LB_UNLIKELY(f.vlan_tpid or f.len < 14 + 28 or not mac_equal(f.data, mac)):
        return PLAIN_NOT
    if start & LB_BYTES4(255, 255, 255, 0) == LB_BYTES4(8, 0, 0x45, 0):
        ip_len[0] = ld16(f.data + 16)
        return PLAIN_V4 if plain_v4(f.data + 14, ip_len[0], f.len - 14) else PLAIN_NOT
    if start & LB_BYTES4(255, 255, 0xF0, 0) == LB_BYTES4(0x86, 0xDD, 0x60, 0):
        if ld16(f.data + 18) > f.len - 14 - 40:
            return PLAIN_NOT
        ip_len[0] = 40 + ld16(f.data + 18)
        return PLAIN_V6 if plain_v6(f.data + 14, ip_len[0], f.len - 14) else PLAIN_NOT
    return PLAIN_NOT


cdef inline bint plain_v4(const uint8_t *l3, uint32_t ip_len, uint32_t have) noexcept nogil:
    if ip_len > have or raw16(l3 + 6) & LB_SWAP16(0x3FFF) or l3[8] <= 1:
        return False
    return plain_l4(l3[9], l3 + 20, ip_len, 20) and ipv4_plain_ok(l3)


cdef inline bint plain_v6(const uint8_t *l3, uint32_t ip_len, uint32_t have) noexcept nogil:
    return have >= 48 and l3[7] > 1 and plain_l4(l3[6], l3 + 40, ip_len, 40)


cdef inline bint plain_l4(
    uint32_t protocol, const uint8_t *l4, uint32_t ip_len, uint32_t l3_len
) noexcept nogil:
    if protocol == IPPROTO_UDP_:
        return ip_len >= l3_len + 8
    return (
        protocol == IPPROTO_TCP_ and ip_len >= l3_len + 20 and l4[13] & TCP_EVENTS == TCP_ACK
    )


cdef inline uint32_t plain_hash(
    const engine_t *e, uint8_t *l3, bint is_v6, bint reply
) noexcept nogil:
    cdef addr_t a = addr_load(addr_field(l3, is_v6, reply), is_v6)
    cdef be16 port = raw16(l3 + (40 if is_v6 else 20) + (2 if reply else 0))
    return conn_hash(e.seed, addr_fold(&a), port, l3[6] if is_v6 else l3[9])


cdef inline uint32_t flow_hash(
    const engine_t *e, const frame_t *f, uint32_t kind, bint reply
) noexcept nogil:
    if LB_LIKELY(kind == PLAIN_V4):
        return plain_hash(e, f.data + 14, False, reply)
    return plain_hash(e, f.data + 14, True, reply)


cdef inline bint flow_is_owned(const engine_t *e, const worker_t *w, uint32_t hash) noexcept nogil:
    return (hash & e.bucket_mask) % e.nworkers == w.index


# ---------------------------------------------------------------- whose is it

cdef inline bint plain_is(
    const engine_t *e, uint32_t i, const uint8_t *l3, bint is_v6, bint reply
) noexcept nogil:
    """Whether a plain packet is of this connection: conn_find_in and _out in fewer steps."""
    cdef const conn_t *c = &e.conns[i]
    cdef const uint8_t *l4 = l3 + (40 if is_v6 else 20)
    cdef uint32_t families = CONN_V6 | CONN_D6
    if c.protocol != (l3[6] if is_v6 else l3[9]):
        return False
    if not reply:
        if raw32(l4) != raw32(<const uint8_t *>&c.cport) or (
            c.flags & CONN_V6 != (CONN_V6 if is_v6 else 0)
        ):
            return False
        if is_v6:
            return addr_pair_eq(l3 + 8, &e.conns6[i].caddr)
        return raw64(l3 + 12) == raw64(<const uint8_t *>&c.caddr)
    if c.cport != raw16(l4 + 2):
        return False
    if LB_UNLIKELY(c.flags & (CONN_METHOD | families) != (MASQ | (families if is_v6 else 0))):
        return plain_is_other(e, i, l3, is_v6)
    if c.dport != raw16(l4):
        return False
    if is_v6:
        return addr_is_at(l3 + 24, &e.conns6[i].caddr) and addr_is_at(l3 + 8, &e.conns6[i].daddr)
    return c.caddr == raw32(l3 + 16) and c.daddr == raw32(l3 + 12)


cdef bint plain_is_other(
    const engine_t *e, uint32_t i, const uint8_t *l3, bint is_v6
) noexcept nogil:
    """Whether a packet is a reply of a connection of another method or family."""
    cdef const conn_t *c = &e.conns[i]
    cdef addr_t saddr = addr_load(l3 + (8 if is_v6 else 12), is_v6)
    cdef addr_t daddr = addr_load(l3 + (24 if is_v6 else 16), is_v6)
    return conn_client_is(e, c, i, &daddr, addr_fold(&daddr), is_v6) and (
        conn_source_is(e, c, i, is_v6, &saddr, raw16(l3 + (40 if is_v6 else 20)))
    )


cdef inline bint addr_is_at(const uint8_t *at, const addr_t *a) noexcept nogil:
    """Whether these 16 bytes of a packet are that address."""
    cdef const uint8_t *b = <const uint8_t *>a
    return ((raw64(at) ^ raw64(b)) | (raw64(at + 8) ^ raw64(b + 8))) == 0


cdef inline bint addr_pair_eq(const uint8_t *at, const addr_t *a) noexcept nogil:
    """The same for two addresses, the second next to the first."""
    return addr_is_at(at, a) and addr_is_at(at + 16, a + 1)


cdef inline uint32_t plain_find(
    const engine_t *e, uint32_t hash, const uint8_t *l3, bint is_v6, bint reply
) noexcept nogil:
    cdef uint32_t i = e.buckets[hash & e.bucket_mask]
    while i != NO_INDEX:
        if LB_LIKELY(plain_is(e, i, l3, is_v6, reply)):
            break
        i = e.conns[i].hnext
    return i


# ---------------------------------------------------------------- what is known of it

cdef inline bint flow_step(
    engine_t *e, worker_t *w, const frame_t *f, const plain_t *q, bint is_v6, bint reply
) noexcept nogil:
    """Send a plain packet by what is known of its connection, in this direction; False when too
    little is."""
    cdef uint8_t *l3 = f.data + 14
    cdef uint32_t i = plain_find(e, q.hash, l3, is_v6, reply)
    cdef const vnet_t *vnet = &f.vnet
    cdef known_t *flow
    cdef path_t *path
    cdef neigh_t *n
    cdef uint32_t outer = 0
    if LB_UNLIKELY(i == NO_INDEX):
        return False
    flow = &e.flows[i]
    path = &flow.back.path if reply else &flow.request
    n = &e.world.neighs[path.neigh]
    if LB_UNLIKELY(path.generation != e.generation or q.ip_len > path.mtu or not n.valid):
        return False
    if path.method != DROUTE and not flow_may(e, i, l3, path.method, is_v6):
        return False
    if LB_UNLIKELY(not flow_touch(e, w, i)):
        return False
    flow_count(w, flow, q.ip_len, reply)
    if not reply:
        e.conns[i].in_pkts += 1
    plain_hop(l3, path, is_v6)
    if path.method != DROUTE:
        if reply or path.method == MASQ:
            flow_nat(e, l3, i, path, is_v6, reply)
            vnet = &PLAIN_VNET
        else:
            outer = flow_wrap(w, l3, i, q.ip_len, is_v6)
            l3 -= outer
    memcpy(l3 - 14, n.mac, 8)                      # two bytes more, overwritten at once
    memcpy(l3 - 8, path.head, 8)
    neigh_used(w, n)
    emit(w, l3 - 14, outer + q.ip_len + 14, n.ifindex, OUT_WIRE, vnet)
    return True


cdef inline bint flow_may(
    const engine_t *e, uint32_t i, const uint8_t *l3, uint32_t method, bint is_v6
) noexcept nogil:
    """False: the stages have more to do: a path MTU was learned, or UDP has no checksum yet."""
    if method == TUNNEL:
        return e.dests[e.conns[i].dest].pmtu == 0
    return raw16(l3 + (46 if is_v6 else 26)) != 0 or e.conns[i].protocol == IPPROTO_TCP_


cdef inline bint flow_touch(engine_t *e, worker_t *w, uint32_t i) noexcept nogil:
    """Restart the timer, as the state tables do for a packet that changes no state; False when
    it might."""
    cdef conn_t *c = &e.conns[i]
    cdef uint32_t timeout_s = <uint32_t>e.settings.udp_timeout_s
    if c.protocol == IPPROTO_TCP_:
        if LB_UNLIKELY(c.state != TCP_EST):
            return False
        timeout_s = <uint32_t>e.settings.tcp_timeout_s
    c.timeout = timeout_s * TICKS_PER_S
    conn_touch(w, i)
    return True


cdef inline void flow_count(
    worker_t *w, const known_t *flow, uint64_t ip_len, bint reply
) noexcept nogil:
    """count_in and count_out."""
    cdef counts_t *dest = flow.dest_counts
    cdef counts_t *svc = flow.svc_counts
    cdef counts_t *total = w.total
    if reply:
        dest.outpkts += 1
        dest.outbytes += ip_len
        svc.outpkts += 1
        svc.outbytes += ip_len
        total.outpkts += 1
        total.outbytes += ip_len
        return
    dest.inpkts += 1
    dest.inbytes += ip_len
    svc.inpkts += 1
    svc.inbytes += ip_len
    total.inpkts += 1
    total.inbytes += ip_len


# ---------------------------------------------------------------- what changes in it

cdef inline void plain_hop(uint8_t *l3, const path_t *path, bint is_v6) noexcept nogil:
    """One hop less, and with it all that changes in the IPv4 header's checksum."""
    if is_v6:
        l3[7] -= 1
    else:
        l3[8] -= 1
        csum_move(l3 + 10, path.sum_l3)


cdef inline void flow_nat(
    const engine_t *e, uint8_t *l3, uint32_t i, const path_t *path, bint is_v6, bint reply
) noexcept nogil:
    """Replace one side's address and port; plain_hop did the IPv4 header's checksum."""
    cdef const conn_t *c = &e.conns[i]
    cdef uint8_t *at = l3 + (8 if is_v6 else 12)
    cdef uint8_t *l4 = l3 + (40 if is_v6 else 20)
    if reply:
        put16(l4, c.vport)
        if is_v6:
            memcpy(at, &e.conns6[i].vaddr, 16)
        else:
            put32(at, c.vaddr)
    else:
        put16(l4 + 2, c.dport)
        if is_v6:
            memcpy(at + 16, &e.conns6[i].daddr, 16)
        else:
            put32(at + 4, c.daddr)
    if c.protocol == IPPROTO_TCP_:
        csum_move(l4 + 16, path.sum_l4)
        return
    csum_move(l4 + 6, path.sum_l4)
    if LB_UNLIKELY(raw16(l4 + 6) == 0):
        put16(l4 + 6, 0xFFFF)


cdef inline uint32_t flow_wrap(
    worker_t *w, uint8_t *l3, uint32_t i, uint32_t ip_len, bint is_v6
) noexcept nogil:
    """Put the outer header of IP in IP in front (spec 3.4); returns its length."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const outer_t *outer = &e.flows[i].back.outer
    cdef uint32_t tos = (ld16(l3) >> 4) & 0xFF if is_v6 else l3[1]
    cdef addr_t daddr
    if tos & 3 == 3:
        tos = (tos & 0xFC) | 2
    if is_v6:
        ipv6_header(l3 - 40, tos, IPPROTO_IPV6_, ip_len, l3[7], &outer.source,
                    &e.conns6[i].daddr)
        return 40
    daddr.w[0] = e.conns[i].daddr
    ipv4_header(w, l3 - 20, tos, IPPROTO_IPIP_, ip_len, l3[8],
                l3[6] & 0x40 and outer.pmtu_disc, &outer.source, &daddr)
    return 20
