"""What the stages found out about a connection, kept for its next packets (flow.pxi)."""


cdef inline bint path_holds(const engine_t *e, const path_t *path) noexcept nogil:
    return path.key & ~<uint32_t>(GENERATION - 1) == e.generation


cdef bint flow_begin(worker_t *w, uint32_t i) noexcept nogil:
    """Whether its packets may take the short way at all."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const conn_t *c = &e.conns[i]
    if e.nmarks or c.dest == NO_INDEX or not e.dests[c.dest].flags & DEST_AVAILABLE:
        return False
    if c.flags & (CONN_TEMPLATE | CONN_EXPECTED | CONN_FTP) or not c.flags & CONN_HASHED:
        return False
    if (c.flags & CONN_V6 != 0) != (c.flags & CONN_D6 != 0):
        return False
    if c.protocol == IPPROTO_TCP_:
        return c.state == TCP_EST
    return c.protocol == IPPROTO_UDP_


cdef void path_hold(engine_t *e, path_t *path, const conn_t *c, uint32_t method) noexcept nogil:
    """From now on it is known, until control edits something."""
    path.method = <uint16_t>method
    path.key = e.generation + (PLAIN_TCP if c.protocol == IPPROTO_TCP_ else PLAIN_UDP)
    if c.flags & CONN_V6:
        path.key += PLAIN_V6


cdef bint path_set(
    engine_t *e, path_t *path, const nexthop_t *nh, uint32_t mtu, bint is_v6
) noexcept nogil:
    """Note where packets go; False when it takes more than the neighbour's Ethernet header to get
    there."""
    LB_STATIC_ASSERT(MAX_NEIGHS <= 65536 and sizeof(known_t) == 32)
    if nh.type != RTN_UNICAST or nh.neigh == NO_INDEX or e.world.links[nh.link].vlan_id:
        return False
    if nh.is_v6 != <uint32_t>is_v6:
        return False
    path.neigh = <uint16_t>nh.neigh
    path.mtu = <uint16_t>(mtu if mtu < 0xFFFF else 0xFFFF)
    return True


cdef inline uint64_t addr_change(
    uint64_t sum, bint is_v6, const addr_t *old, const addr_t *new
) noexcept nogil:
    """Add what the checksums become when an address is replaced."""
    return csum_swap(sum, <const uint8_t *>old, <const uint8_t *>new, 16 if is_v6 else 4)


cdef inline uint64_t port_change(be16 old, be16 new) noexcept nogil:
    return <uint64_t><uint16_t>~old + new


cdef void path_sums(path_t *path, uint64_t addrs, uint64_t ports) noexcept nogil:
    """Note by how much the checksums change with addresses and with ports."""
    path.sum_l3 = csum_raw(addrs + ttl_change())
    path.sum_l4 = csum_raw(addrs + ports)
    path.sum_addr = csum_raw(addrs)


cdef void learn_request(worker_t *w, uint32_t i) noexcept nogil:
    """A request of this connection was sent: note how, until anything is edited."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const conn_t *c = &e.conns[i]
    cdef path_t *path = &e.flows[i].request
    cdef addr_t daddr = conn_daddr(e, i), vaddr = conn_vaddr(e, i)
    cdef uint32_t method = c.flags & CONN_METHOD
    cdef bint is_v6 = (c.flags & CONN_V6) != 0
    cdef const nexthop_t *nh
    if method == FULLNAT:
        learn_full(w, i, True)
        return
    if not flow_begin(w, i):
        return
    nh = nexthop_for(w, NULL, &daddr, is_v6)
    if not path_set(e, path, nh, nh.mtu, is_v6):
        return
    if method == MASQ:
        path_sums(path, addr_change(0, is_v6, &vaddr, &daddr), port_change(c.vport, c.dport))
    elif method == TUNNEL:
        if not learn_tunnel(w, i, nh):
            return
    elif method != DROUTE:
        return
    path_hold(e, path, c, method)


cdef bint learn_tunnel(worker_t *w, uint32_t i, const nexthop_t *nh) noexcept nogil:
    """Note the outer header of the destination; False unless it is plain IP in IP over a path of
    which no smaller MTU was learned."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef uint32_t index = e.conns[i].dest
    cdef const dest_t *d = &e.dests[index]
    cdef outer_t *outer = &e.outers[index]
    cdef bint is_v6 = (e.conns[i].flags & CONN_V6) != 0
    cdef uint32_t size = 40 if is_v6 else 20
    cdef addr_t source, target = conn_daddr(e, i)
    cdef outer_t made
    if d.tun_type != 0 or nh.mtu < size + (1280 if is_v6 else 68):
        return False
    if not source_for(w, nh, &target, is_v6, &source):
        return False
    e.flows[i].request.mtu -= size
    made = outer_make(&source, &target, is_v6, e.settings.pmtu_disc)
    if memcmp(outer, &made, sizeof(outer_t)):  # another worker may be using it
        outer[0] = made
    if path_mtu(w, d, nh) != nh.mtu:
        outer.pmtu_known = 1                   # the stages' affair, until it is forgotten
        return False
    return True


cdef outer_t outer_make(
    const addr_t *source, const addr_t *target, bint is_v6, bint pmtu_disc
) noexcept nogil:
    cdef outer_t o
    memset(&o, 0, sizeof(outer_t))
    if is_v6:
        ipv6_header(o.head, 0, IPPROTO_IPV6_, 0, 0, source, target)
        return o
    addr_store(o.head + 12, source, False)
    addr_store(o.head + 16, target, False)
    o.sum = csum_raw(csum_add(0, o.head, 20))
    o.df = be_pair(0x40 if pmtu_disc else 0, 0)
    return o


cdef void learn_reply(worker_t *w, uint32_t i) noexcept nogil:
    """A reply of this NAT connection was sent on: note how, until anything is edited."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef const conn_t *c = &e.conns[i]
    cdef path_t *path = &e.flows[i].reply
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
    path_sums(path, addr_change(0, is_v6, &daddr, &vaddr), port_change(c.dport, c.vport))
    path_hold(e, path, c, MASQ)


cdef void learn_full(worker_t *w, uint32_t i, bint request) noexcept nogil:
    """A packet of this FULLNAT connection was sent on: note how, until anything is edited."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef path_t *path = path_of(&e.flows[i], WAY_REQUEST if request else WAY_LOCAL)
    cdef pair_t new = full_pair(e, i, request)
    cdef pair_t back = full_pair(e, i, not request)      # from where it goes, the other direction
    cdef bint is_v6 = (e.conns[i].flags & CONN_V6) != 0
    cdef const nexthop_t *nh
    cdef uint64_t addrs
    if not flow_begin(w, i):
        return
    nh = nexthop_for(w, &new.src, &new.dst, is_v6)
    if not path_set(e, path, nh, nh.mtu, is_v6):
        return
    addrs = addr_change(0, is_v6, &back.dst, &new.src)
    path_sums(
        path, addr_change(addrs, is_v6, &back.src, &new.dst),
        port_change(back.dport, new.sport) + port_change(back.sport, new.dport),
    )
    path_hold(e, path, &e.conns[i], FULLNAT)
    path.key += way_key(WAY_REQUEST if request else WAY_LOCAL)
