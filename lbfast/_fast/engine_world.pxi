"""The face of the world around: links, addresses, routes, rules, neighbours."""


cdef class WorldFace(RegionFace):
    """What control tells of the host's network, and what the data path asks of it."""

    def link_set(self, uint32_t ifindex, bytes mac, uint32_t mtu, uint32_t flags,
                 uint32_t vlan_parent=0, uint16_t vlan_id=0):
        """Add or change a link.  flags: 1 up, 2 loopback, 4 without neighbours."""
        cdef world_t *wd = &self.e.world
        cdef uint32_t i = link_find(wd, ifindex)
        cdef link_t *link
        if i == NO_INDEX:
            i = link_find(wd, 0)
        if i == NO_INDEX and wd.nlinks == MAX_LINKS:
            raise OSError(_errno.ENOSPC, f"more than {MAX_LINKS} links")
        edit_begin(&self.e)
        if i == NO_INDEX:
            i = wd.nlinks
            wd.nlinks += 1
        link = &wd.links[i]
        link.ifindex = ifindex
        link.mtu = mtu
        link.flags = flags
        link.vlan_id = vlan_id
        link.vlan_parent = vlan_parent
        memset(link.mac, 0, 6)
        memcpy(link.mac, <const char *>mac, min(len(mac), 6))
        neighs_dress(wd, ifindex)
        wd.generation += 1
        edit_end(&self.e)

    def link_wraps(self, uint32_t ifindex, bint wraps):
        """Say whether a link takes a tunnelled super-frame whole, as an out of kind 3; else it is
        segmented here.  A link that is not known is left alone."""
        cdef uint32_t i = link_find(&self.e.world, ifindex)
        if i != NO_INDEX:
            edit_begin(&self.e)
            self.e.world.links[i].wraps = wraps
            edit_end(&self.e)

    def link_del(self, uint32_t ifindex):
        """Forget a link; its place is used again."""
        cdef uint32_t i = link_find(&self.e.world, ifindex)
        if i != NO_INDEX:
            edit_begin(&self.e)
            memset(&self.e.world.links[i], 0, sizeof(link_t))
            self.e.world.generation += 1
            edit_end(&self.e)

    def addr_add(self, uint32_t ifindex, bytes addr, uint32_t prefixlen):
        """Add an address of the host, for the choice of source addresses."""
        cdef addr_t a = addr_of(addr)
        edit_begin(&self.e)
        ifaddr_remove(&self.e.world, ifindex, &a, len(addr) == 16)
        check_memory = ifaddr_insert(&self.e.world, ifindex, &a, len(addr) == 16, prefixlen)
        edit_end(&self.e)
        if not check_memory:
            raise MemoryError

    def addr_del(self, uint32_t ifindex, bytes addr):
        cdef addr_t a = addr_of(addr)
        edit_begin(&self.e)
        ifaddr_remove(&self.e.world, ifindex, &a, len(addr) == 16)
        edit_end(&self.e)

    def route_add(self, uint32_t table, bytes dst, uint32_t prefixlen, uint32_t type, uint32_t oif,
                  bytes gateway=b"", bytes prefsrc=b"", uint32_t mtu=0, uint32_t metric=0):
        """Add a route.  table: 0 local, 1 main, 2 default, 3..15 others (see rules_replace)."""
        cdef route_t r = route_of(table, dst, prefixlen, type, oif, gateway, metric)
        cdef bint ok
        r.prefsrc = addr_of(prefsrc)
        r.mtu = mtu
        edit_begin(&self.e)
        route_remove(&self.e.world, &r)
        ok = route_insert(&self.e.world, &r)
        edit_end(&self.e)
        if not ok:
            raise MemoryError

    def route_del(self, uint32_t table, bytes dst, uint32_t prefixlen, uint32_t metric=0):
        """Remove a route; returns whether there was one."""
        cdef route_t r = route_of(table, dst, prefixlen, RTN_UNICAST, 0, b"", metric)
        cdef bint found
        edit_begin(&self.e)
        found = route_remove(&self.e.world, &r)
        edit_end(&self.e)
        return found

    def routes_replace(self, list routes):
        """Set all routes at once; each as the arguments of route_add."""
        cdef route_t r
        cdef bint ok = True
        cdef list rows = [tuple(row) for row in routes]
        for row in rows:
            # nothing is changed when one of them is wrong
            route_of(row[0], row[1], row[2], row[3], row[4], row[5], row[8])
        edit_begin(&self.e)
        routes_clear(&self.e.world)
        for row in rows:
            r = route_of(row[0], row[1], row[2], row[3], row[4], row[5], row[8])
            r.prefsrc = addr_of(row[6])
            r.mtu = row[7]
            ok = ok and route_insert(&self.e.world, &r)
        edit_end(&self.e)
        if not ok:
            raise MemoryError

    def rules_replace(self, list rules):
        """Set the policy rules, in order: (af, table, type, src, src_len, dst, dst_len)."""
        cdef rule_t[64] new
        cdef uint32_t n = 0
        if len(rules) > 64:
            raise OSError(_errno.ENOSPC, "more than 64 policy rules")
        for af, table, type, src, src_len, dst, dst_len in rules:
            new[n].type = type
            new[n].is_v6 = af == AF_INET6
            new[n].table = table
            new[n].src = addr_of(src)
            new[n].src_len = src_len
            new[n].dst = addr_of(dst)
            new[n].dst_len = dst_len
            n += 1
        edit_begin(&self.e)
        memcpy(self.e.world.rules, new, n * sizeof(rule_t))
        self.e.world.nrules = n
        self.e.world.generation += 1
        edit_end(&self.e)

    def neigh_set(self, uint32_t ifindex, bytes addr, bytes mac):
        """Say where a neighbour is; what waited for it leaves with the next batch."""
        cdef addr_t a = addr_of(addr)
        cdef neigh_t *n
        cdef uint32_t i
        pause_begin(&self.e)
        i = neigh_intern(&self.e.world, ifindex, &a, len(addr) == 16)
        if i != NO_INDEX:
            n = &self.e.world.neighs[i]
            memcpy(n.head + 2, <const char *>mac, min(len(mac), 6))
            if not n.valid:
                n.tell_at = self.e.workers[0].now
            n.valid = 1
        edit_end(&self.e)

    def neigh_del(self, uint32_t ifindex, bytes addr):
        """The neighbour is not known any more."""
        cdef addr_t a = addr_of(addr)
        cdef uint32_t i = map_get(
            &self.e.world.neigh_map, &a, ifindex, KIND_NEIGH | <uint32_t>(len(addr) == 16)
        )
        if i != NO_INDEX:
            pause_begin(&self.e)
            self.e.world.neighs[i].valid = 0
            self.e.world.neighs[i].tell_at = self.e.workers[0].now - 0x40000000
            edit_end(&self.e)

    def request_fd(self):
        """Return the eventfd that is readable when requests() has something."""
        if self.e.world.request_fd < 0:
            self.e.world.request_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)
        return self.e.world.request_fd

    def requests(self):
        """Return what the data path asks for: ("neigh" or "used", ifindex, address) each."""
        cdef world_t *wd = &self.e.world
        cdef request_t *r
        asked = []
        while wd.req_tail != wd.req_head:
            r = &wd.requests[wd.req_tail & 255]
            asked.append((
                "neigh" if r.kind == 1 else "used", r.ifindex, addr_bytes(&r.addr, r.is_v6)
            ))
            wd.req_tail += 1
        return asked
