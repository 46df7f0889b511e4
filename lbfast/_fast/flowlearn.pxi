"""What the stages found out about a connection, kept for its next packets (flow.pxi)."""


cdef bint flow_begin(worker_t *w, uint32_t i) noexcept nogil:
    """Whether its packets may take the short way at all; notes which counters they move."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const conn_t *c = &e.conns[i]
    cdef known_t *flow = &e.flows[i]
    if e.nmarks or c.dest == NO_INDEX or not e.dests[c.dest].flags & DEST_AVAILABLE:
        return False
    if c.flags & (CONN_TEMPLATE | CONN_EXPECTED | CONN_FTP) or not c.flags & CONN_HASHED:
        return False
    if (c.flags & CONN_V6 != 0) != (c.flags & CONN_D6 != 0):
        return False
    flow.dest_counts = &e.dest_counts[<size_t>w.index * e.max_dests + c.dest]
    flow.svc_counts = &e.svc_counts[<size_t>w.index * e.max_svcs + e.dests[c.dest].svc]
    return c.protocol == IPPROTO_TCP_ or c.protocol == IPPROTO_UDP_


cdef bint path_set(
    engine_t *e, path_t *path, const nexthop_t *nh, uint32_t mtu, bint is_v6
) noexcept nogil:
    """Note where packets go; False when it takes more than an Ethernet header to get there."""
    if nh.type != RTN_UNICAST or nh.neigh == NO_INDEX or e.world.links[nh.link].vlan_id:
        return False
    path.neigh = nh.neigh
    path.mtu = <uint16_t>(mtu if mtu < 0xFFFF else 0xFFFF)
    memcpy(path.head, e.world.links[nh.link].mac, 6)
    st16(path.head + 6, ETH_P_IPV6 if is_v6 else ETH_P_IP)
    return True


cdef uint16_t ttl_change() noexcept nogil:
    """~m + m' of a TTL that is one lower: its word (TTL, protocol) minus 0x0100 on the wire."""
    cdef uint8_t[2] one = [1, 0]
    return <uint16_t>~raw16(one)


cdef void path_sums(
    path_t *path, bint is_v6, const addr_t *old, const addr_t *new, uint32_t ports
) noexcept nogil:
    """Note what the checksums become when an address (and the word of ports) is replaced."""
    cdef uint32_t size = 16 if is_v6 else 4
    cdef uint64_t sum = csum_swap(0, <const uint8_t *>old, <const uint8_t *>new, size)
    path.sum_l3 = csum_raw(sum + ttl_change())
    path.sum_l4 = csum_raw(sum + <uint16_t>~<uint16_t>(ports >> 16) + (ports & 0xFFFF))


cdef void learn_request(worker_t *w, uint32_t i) noexcept nogil:
    """A request of this connection was sent: note how, until anything is edited."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const conn_t *c = &e.conns[i]
    cdef path_t *path = &e.flows[i].request
    cdef addr_t daddr = conn_daddr(e, i), vaddr = conn_vaddr(e, i)
    cdef uint32_t method = c.flags & CONN_METHOD
    cdef bint is_v6 = (c.flags & CONN_V6) != 0
    cdef const nexthop_t *nh
    if not flow_begin(w, i):
        return
    nh = nexthop_for(w, NULL, &daddr, is_v6)
    if not path_set(e, path, nh, nh.mtu, is_v6):
        return
    path.sum_l3 = ttl_change()
    if method == MASQ:
        path_sums(path, is_v6, &vaddr, &daddr, <uint32_t>c.vport << 16 | c.dport)
    elif method == TUNNEL:
        if not learn_tunnel(w, i, nh):
            return
    elif method != DROUTE:
        return
    path.method = method
    path.generation = e.generation


cdef bint learn_tunnel(worker_t *w, uint32_t i, const nexthop_t *nh) noexcept nogil:
    """Note the outer header's source; False unless it is plain IP in IP."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef known_t *flow = &e.flows[i]
    cdef bint is_v6 = (e.conns[i].flags & CONN_V6) != 0
    cdef uint32_t outer = 40 if is_v6 else 20
    cdef addr_t daddr = conn_daddr(e, i)
    if e.dests[e.conns[i].dest].tun_type != 0 or nh.mtu < outer + (1280 if is_v6 else 68):
        return False
    flow.request.mtu -= outer
    flow.back.outer.pmtu_disc = e.settings.pmtu_disc != 0
    return source_for(w, nh, &daddr, is_v6, &flow.back.outer.source)


cdef void learn_reply(worker_t *w, uint32_t i) noexcept nogil:
    """A reply of this NAT connection was sent on: note how, until anything is edited."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const conn_t *c = &e.conns[i]
    cdef path_t *path = &e.flows[i].back.path
    cdef addr_t daddr = conn_daddr(e, i), vaddr = conn_vaddr(e, i), caddr = conn_caddr(e, i)
    cdef bint is_v6 = (c.flags & CONN_V6) != 0
    cdef const nexthop_t *nh
    cdef uint32_t mtu
    if c.flags & CONN_METHOD != MASQ or not flow_begin(w, i):
        return
    nh = nexthop_for(w, &daddr, &caddr, is_v6)
    mtu = nh.mtu
    if e.settings.snat_reroute:
        nh = nexthop_for(w, &vaddr, &caddr, is_v6)
    if not path_set(e, path, nh, mtu if mtu < nh.mtu else nh.mtu, is_v6):
        return
    path_sums(path, is_v6, &daddr, &vaddr, <uint32_t>c.dport << 16 | c.vport)
    path.method = MASQ
    path.generation = e.generation
