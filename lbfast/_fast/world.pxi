"""The world around: next-hop look-ups of a worker, and what control writes into the tables."""
from libc.stdlib cimport calloc, realloc


cdef const nexthop_t *nexthop_for(
    worker_t *w, const addr_t *src, const addr_t *dst, bint is_v6
) noexcept nogil:
    """Return the next hop for a packet; type 0 when there is no route.

    `src` may be NULL: as if the packet were the host's own.  Cached until any route changes.
    """
    cdef engine_t *e = <engine_t *>w.engine
    cdef cached_t *c
    cdef addr_t zero
    memset(&zero, 0, sizeof(zero))
    if src == NULL or e.world.nrules <= 6:          # without source rules the source is no key
        src = &zero
    c = &(<cached_t *>w.routes)[map_hash(dst, addr_fold(src), 1 + is_v6) & (ROUTE_CACHE - 1)]
    if (
        c.generation != e.world.generation or c.is_v6 != <uint32_t>is_v6
        or not addr_eq(&c.addr, dst) or not addr_eq(&c.saddr, src)
    ):
        engine_lock(e)
        nexthop_resolve(&e.world, src, dst, is_v6, &c.nh)
        engine_unlock(e)
        c.addr = dst[0]
        c.saddr = src[0]
        c.is_v6 = is_v6
        c.generation = e.world.generation
    return &c.nh


cdef void nexthop_resolve(
    world_t *wd, const addr_t *src, const addr_t *dst, bint is_v6, nexthop_t *nh
) noexcept nogil:
    cdef const route_t *r = route_match(wd, src, dst, is_v6)
    memset(nh, 0, sizeof(nexthop_t))
    nh.neigh = NO_INDEX
    if r == NULL:
        return
    nh.type = r.type
    nh.ifindex = r.ifindex
    nh.prefsrc = r.prefsrc
    nh.link = link_find(wd, r.ifindex)
    nh.mtu = r.mtu
    if nh.link == NO_INDEX:
        if r.type == RTN_UNICAST:
            nh.type = 0
        return
    if nh.mtu == 0 or nh.mtu > wd.links[nh.link].mtu:
        nh.mtu = wd.links[nh.link].mtu
    if r.type != RTN_UNICAST:
        return
    nh.is_v6 = r.via_v6 if r.has_via else is_v6
    nh.via = r.via if r.has_via else dst[0]
    if not wd.links[nh.link].flags & LINK_NOARP:
        nh.neigh = neigh_intern(wd, nh.ifindex, &nh.via, nh.is_v6)
        if nh.neigh == NO_INDEX:                    # neighbour table full
            nh.type = 0


cdef uint32_t neigh_intern(
    world_t *wd, uint32_t ifindex, const addr_t *addr, bint is_v6
) noexcept nogil:
    """Return the neighbour entry of that address, made (without a MAC) where there is none."""
    cdef uint32_t i = map_get(&wd.neigh_map, addr, ifindex, KIND_NEIGH | <uint32_t>is_v6)
    cdef neigh_t *n
    if i != NO_INDEX:
        return i
    if wd.nneighs == wd.max_neighs:
        return NO_INDEX
    i = wd.nneighs
    n = &wd.neighs[i]
    memset(n, 0, sizeof(neigh_t))
    n.ifindex = ifindex
    n.is_v6 = is_v6
    n.addr = addr[0]
    n.used = 1
    neigh_dress(wd, n)
    if not map_put(&wd.neigh_map, addr, ifindex, KIND_NEIGH | <uint32_t>is_v6, i):
        return NO_INDEX
    wd.nneighs += 1
    return i


cdef void neigh_dress(const world_t *wd, neigh_t *n) noexcept nogil:
    """Write what does not depend on the neighbour into its Ethernet header: its link's MAC,
    and the type."""
    cdef uint32_t link = link_find(wd, n.ifindex)
    if link != NO_INDEX:
        memcpy(n.head + 8, wd.links[link].mac, 6)
    st16(n.head + 14, ETH_P_IPV6 if n.is_v6 else ETH_P_IP)


cdef void neighs_dress(world_t *wd, uint32_t ifindex) noexcept nogil:
    """The same for all neighbours on a link that changed."""
    cdef uint32_t i
    for i in range(wd.nneighs):
        if wd.neighs[i].ifindex == ifindex:
            neigh_dress(wd, &wd.neighs[i])


cdef void world_ask(worker_t *w, uint32_t kind, const neigh_t *n) noexcept nogil:
    """Tell control that a neighbour is to be resolved (1) or is in use (2)."""
    cdef engine_t *e = <engine_t *>w.engine
    cdef request_t *r
    engine_lock(e)
    if e.world.req_head - e.world.req_tail < 256:
        r = &e.world.requests[e.world.req_head & 255]
        r.kind = kind
        r.ifindex = n.ifindex
        r.is_v6 = n.is_v6
        r.addr = n.addr
        e.world.req_head += 1
    engine_unlock(e)
    if e.world.request_fd >= 0:
        eventfd_write(e.world.request_fd, 1)


cdef bint source_for(
    worker_t *w, const nexthop_t *nh, const addr_t *dst, bint is_v6, addr_t *out
) noexcept nogil:
    """Choose the host's source address towards `dst`, as the kernel would; False when none.

    The route's preferred source, else the address of the outgoing link whose prefix fits best.
    """
    cdef world_t *wd = &(<engine_t *>w.engine).world
    cdef uint32_t i, fit, best_fit = 0
    cdef const ifaddr_t *a
    cdef const ifaddr_t *best = NULL
    if not addr_zero(&nh.prefsrc):
        out[0] = nh.prefsrc
        return True
    for i in range(wd.naddrs):
        a = &wd.addrs[i]
        if a.is_v6 != <uint32_t>is_v6 or addr_loopback(&a.addr, is_v6):
            continue
        fit = common_bits(&a.addr, &nh.via if nh.is_v6 == <uint32_t>is_v6 else dst) + 1
        if is_v6 and addr_linklocal(&a.addr) and not addr_linklocal(dst):
            fit = 0
        if a.ifindex == nh.ifindex:
            fit += 200
        if best == NULL or fit > best_fit:
            best = a
            best_fit = fit
    if best == NULL:
        return False
    out[0] = best.addr
    return True


cdef uint32_t common_bits(const addr_t *x, const addr_t *y) noexcept nogil:
    cdef uint32_t i, d
    for i in range(4):
        d = LB_SWAP32(x.w[i] ^ y.w[i])
        if d:
            return i * 32 + <uint32_t>__builtin_clz(d)
    return 128


cdef bint addr_linklocal(const addr_t *a) noexcept nogil:
    return (LB_SWAP32(a.w[0]) >> 22) == 0x3FA


# ---- written by control, while no worker is inside a batch

cdef bint world_init(world_t *wd, uint32_t max_neighs) noexcept nogil:
    memset(wd, 0, sizeof(world_t))
    wd.request_fd = -1
    wd.free_route = NO_INDEX
    wd.generation = 1
    wd.max_neighs = max_neighs
    wd.neighs = <neigh_t *>calloc(max_neighs, sizeof(neigh_t))
    default_rules(wd)
    return map_init(&wd.fib, 64) and map_init(&wd.neigh_map, max_neighs) and wd.neighs != NULL


cdef void default_rules(world_t *wd) noexcept nogil:
    """local, main, default: the kernel's rules 0, 32766, 32767 for both families."""
    cdef uint32_t i
    memset(wd.rules, 0, sizeof(wd.rules))
    for i in range(6):
        wd.rules[i].table = i >> 1
        wd.rules[i].type = RTN_UNICAST
        wd.rules[i].is_v6 = i & 1
    wd.nrules = 6


cdef void world_free(world_t *wd) noexcept nogil:
    map_free(&wd.fib)
    map_free(&wd.neigh_map)
    free(wd.neighs)
    free(wd.routes)
    free(wd.addrs)


cdef bint route_insert(world_t *wd, const route_t *r) noexcept nogil:
    """Add a route; among routes of one prefix the lowest metric is used.  False: no memory."""
    cdef uint32_t i = wd.nroutes
    cdef uint32_t head, key = KIND_ROUTE | r.table << 1 | r.is_v6
    cdef addr_t prefix = addr_prefix(&r.dst, r.prefixlen)
    cdef route_t *more
    if wd.free_route != NO_INDEX:
        i = wd.free_route
        wd.free_route = wd.routes[i].next
    if i == wd.max_routes:
        more = <route_t *>realloc(wd.routes, (<size_t>wd.max_routes * 2 + 64) * sizeof(route_t))
        if more == NULL:
            return False
        wd.routes = more
        wd.max_routes = wd.max_routes * 2 + 64
    wd.routes[i] = r[0]
    wd.routes[i].used = 1
    wd.routes[i].dst = prefix
    head = map_get(&wd.fib, &prefix, r.prefixlen, key)
    if not route_link(wd, i, head, key):
        wd.routes[i].used = 0
        if i < wd.nroutes:
            wd.routes[i].next = wd.free_route
            wd.free_route = i
        return False
    if i == wd.nroutes:
        wd.nroutes += 1
    wd.lengths[r.is_v6][r.table][r.prefixlen >> 5] |= <uint32_t>1 << (r.prefixlen & 31)
    wd.generation += 1
    return True


cdef bint route_link(world_t *wd, uint32_t i, uint32_t head, uint32_t key) noexcept nogil:
    """Put route i into the list of its prefix, ordered by metric."""
    cdef route_t *r = &wd.routes[i]
    cdef uint32_t at = head
    if head == NO_INDEX or wd.routes[head].metric > r.metric:
        r.next = head
        return map_put(&wd.fib, &r.dst, r.prefixlen, key, i)
    while wd.routes[at].next != NO_INDEX and wd.routes[wd.routes[at].next].metric <= r.metric:
        at = wd.routes[at].next
    r.next = wd.routes[at].next
    wd.routes[at].next = i
    return True


cdef bint route_remove(world_t *wd, const route_t *like) noexcept nogil:
    """Remove the route of that table, prefix and metric; False when there is none."""
    cdef uint32_t key = KIND_ROUTE | like.table << 1 | like.is_v6
    cdef addr_t prefix = addr_prefix(&like.dst, like.prefixlen)
    cdef uint32_t at = map_get(&wd.fib, &prefix, like.prefixlen, key)
    cdef uint32_t before = NO_INDEX
    cdef route_t *r
    while at != NO_INDEX:
        r = &wd.routes[at]
        if r.metric == like.metric:
            break
        before = at
        at = r.next
    if at == NO_INDEX:
        return False
    if before != NO_INDEX:
        wd.routes[before].next = r.next
    elif r.next != NO_INDEX:
        map_put(&wd.fib, &prefix, like.prefixlen, key, r.next)
    else:
        map_del(&wd.fib, &prefix, like.prefixlen, key)
    r.used = 0
    r.next = wd.free_route
    wd.free_route = at
    wd.generation += 1
    return True


cdef void routes_clear(world_t *wd) noexcept nogil:
    wd.nroutes = 0
    wd.free_route = NO_INDEX
    memset(wd.lengths, 0, sizeof(wd.lengths))
    map_clear(&wd.fib)
    wd.generation += 1
