"""Frames on their way out: scratch memory, the list of outs, the Ethernet header, waiting for a
neighbour."""

cdef verdict_t drop(worker_t *w, uint32_t reason) noexcept nogil:
    """Count the reason; returns DROP."""
    w.drops[reason] += 1
    return DROP


cdef uint8_t *scratch_take(worker_t *w, uint32_t size) noexcept nogil:
    """Return memory for a frame of this batch, HEADROOM bytes in front; NULL if all is used."""
    cdef uint32_t need = (HEADROOM + size + 63) & ~<uint32_t>63
    cdef uint8_t *at
    if w.scratch_size - w.scratch_used < need:
        return NULL
    at = w.scratch + w.scratch_used + HEADROOM
    w.scratch_used += need
    return at


cdef inline void scratch_reclaim(worker_t *w) noexcept nogil:
    """Between packets: send what is queued when less than half of the scratch memory is left."""
    if LB_UNLIKELY(w.scratch_used > w.scratch_size // 2):
        w.flush(w)
        w.scratch_used = 0


cdef inline bint emit(
    worker_t *w, uint8_t *data, uint32_t length, uint32_t ifindex, uint32_t kind,
    const vnet_t *vnet,
) noexcept nogil:
    """Queue a complete frame; its memory must stay until the batch is flushed."""
    cdef out_t *o
    if LB_UNLIKELY(w.nouts == w.max_outs):
        w.flush(w)
    o = &w.outs[w.nouts]
    w.nouts += 1
    o.data = data
    o.len = length
    o.ifindex = ifindex
    o.kind = kind
    o.vnet = vnet[0]
    return True


cdef inline verdict_t emit_l3(
    worker_t *w, uint8_t *l3, uint32_t ip_len, const nexthop_t *nh, const vnet_t *vnet
) noexcept nogil:
    """Write the Ethernet header in front of a finished packet and queue the frame.

    `vnet.csum_start` counts from 14 bytes before `l3`.  HELD: the neighbour is not known yet.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef link_t *link = &e.world.links[nh.link]
    cdef neigh_t *n
    cdef uint8_t *data = l3 - 14
    if LB_LIKELY(nh.neigh != NO_INDEX):
        n = &e.world.neighs[nh.neigh]
        if LB_UNLIKELY(not n.valid):
            return pending_hold(w, l3, ip_len, nh, vnet)
        memcpy(data, n.head + 2, 12)
        neigh_used(w, n)
    else:
        memset(data, 0, 6)
        memcpy(data + 6, link.mac, 6)
    st16(data + 12, ETH_P_IPV6 if l3[0] >> 4 == 6 else ETH_P_IP)
    if LB_UNLIKELY(link.vlan_id):
        return emit_tagged(w, data, ip_len + 14, link, vnet)
    emit(w, data, ip_len + 14, nh.ifindex, OUT_WIRE, vnet)
    return SENT


cdef inline bint neigh_used(worker_t *w, neigh_t *n) noexcept nogil:
    """Tell control once in a while that a neighbour is in use; False when it is not known."""
    if LB_LIKELY(<int32_t>(w.now - n.tell_at) < 0):
        return True
    return neigh_tell(w, n)


cdef bint neigh_tell(worker_t *w, neigh_t *n) noexcept nogil:
    if not n.valid:
        return False
    n.tell_at = w.now + 3 * TICKS_PER_S + 1
    world_ask(w, 2, n)
    return True


cdef verdict_t emit_tagged(
    worker_t *w, uint8_t *data, uint32_t length, const link_t *link, const vnet_t *vnet
) noexcept nogil:
    """Queue a frame of a VLAN interface: on its parent, with the 802.1Q tag in front."""
    cdef vnet_t v = vnet[0]
    memmove(data - 4, data, 12)
    st16(data + 8, ETH_P_8021Q)
    st16(data + 10, link.vlan_id)
    if v.flags & VNET_NEEDS_CSUM:
        v.csum_start += 4
    if v.hdr_len:
        v.hdr_len += 4
    emit(w, data - 4, length + 4, link.vlan_parent, OUT_WIRE, &v)
    return SENT


cdef verdict_t to_host(worker_t *w, pkt_t *p) noexcept nogil:
    """Give the packet back to the host as it came; of one that was put together, the fragment
    stage gives back the fragments."""
    if LB_UNLIKELY(p.held != NO_INDEX):
        return HOST
    return emit_host(w, p)


cdef verdict_t emit_host(worker_t *w, pkt_t *p) noexcept nogil:
    """Queue the packet, as it is now, for the host."""
    cdef uint8_t *data = p.data
    cdef uint32_t length = p.len
    cdef vnet_t v = p.vnet
    if p.vlan_tpid:
        memmove(data - 4, data, 12)
        data -= 4
        length += 4
        st16(data + 12, p.vlan_tpid)
        st16(data + 14, p.vlan_tci)
        if v.flags & VNET_NEEDS_CSUM:
            v.csum_start += 4
        if v.hdr_len:
            v.hdr_len += 4
    if p.role == ROLE_REPLY and addr_is_local(
        &(<engine_t *>w.engine).world, &p.saddr, p.is_v6
    ):
        mac_swap(data)               # a local NAT server's packet, caught while it was leaving
        emit(w, data, length, p.ifindex, OUT_PASS, &v)
    else:
        emit(w, data, length, p.ifindex, OUT_HOST, &v)
    return HOST


cdef void mac_swap(uint8_t *data) noexcept nogil:
    cdef uint8_t[6] target
    memcpy(target, data, 6)
    memcpy(data, data + 6, 6)
    memcpy(data + 6, target, 6)


# ---------------------------------------------------------------- waiting for a neighbour

cdef enum:
    MAX_PENDING = 256            # packets of a worker that wait for a neighbour
    PENDING_TICKS = TICKS_PER_S  # how long one waits
    ASK_AGAIN = TICKS_PER_S // 2

ctypedef struct waiting_t:
    uint8_t *memory              # HEADROOM bytes, then the packet from the IP header on; NULL free
    uint32_t ip_len
    uint32_t since
    nexthop_t nh
    vnet_t vnet

ctypedef struct pending_t:
    uint32_t n
    waiting_t waiting[MAX_PENDING]


cdef verdict_t pending_hold(
    worker_t *w, const uint8_t *l3, uint32_t ip_len, const nexthop_t *nh, const vnet_t *vnet
) noexcept nogil:
    """Keep a copy of a finished packet until its next hop is resolved; ask for that."""
    cdef pending_t *all = <pending_t *>w.pending
    cdef neigh_t *n = &(<engine_t *>w.engine).world.neighs[nh.neigh]
    cdef waiting_t *one
    if n.asked == 0 or w.now - n.asked >= ASK_AGAIN:
        n.asked = w.now if w.now else 1
        world_ask(w, 1, n)
    if all.n == MAX_PENDING:
        return drop(w, R_NO_NEIGHBOUR)
    one = &all.waiting[all.n]
    one.memory = <uint8_t *>malloc(HEADROOM + ip_len)
    if one.memory == NULL:
        return drop(w, R_NO_NEIGHBOUR)
    memcpy(one.memory + HEADROOM, l3, ip_len)
    one.ip_len = ip_len
    one.since = w.now
    one.nh = nh[0]
    one.vnet = vnet[0]
    all.n += 1
    return HELD


cdef void pending_run(worker_t *w) noexcept nogil:
    """Send what waited for a neighbour that is known now; drop what waited too long."""
    cdef pending_t *all = <pending_t *>w.pending
    cdef waiting_t one
    cdef uint32_t i, n = all.n
    cdef uint8_t *l3
    all.n = 0
    for i in range(n):
        one = all.waiting[i]
        if not (<engine_t *>w.engine).world.neighs[one.nh.neigh].valid:
            if w.now - one.since > PENDING_TICKS:
                drop(w, R_NO_NEIGHBOUR)
                free(one.memory)
            else:
                all.waiting[all.n] = one
                all.n += 1
            continue
        l3 = scratch_take(w, one.ip_len + 32)
        if l3 == NULL:
            drop(w, R_OUT_FULL)
        else:
            memcpy(l3, one.memory + HEADROOM, one.ip_len)
            emit_l3(w, l3, one.ip_len, &one.nh, &one.vnet)
        free(one.memory)
