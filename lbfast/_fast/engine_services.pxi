"""The face of services, their servers and local addresses."""


cdef svc_t svc_of(tuple key) except *:
    """(af, protocol, addr, port, fwmark) -> a record with nothing but the key."""
    cdef svc_t s
    memset(&s, 0, sizeof(s))
    s.af = key[0]
    s.fwmark = key[4]
    if s.fwmark == 0:
        s.protocol = key[1]
        s.addr = addr_of(key[2])
        s.port = LB_SWAP16(<uint16_t>key[3])
    return s


cdef dest_t dest_key_of(tuple key) except *:
    """(af, addr, port) -> a record with nothing but the key."""
    cdef dest_t d
    memset(&d, 0, sizeof(d))
    d.af = key[0]
    d.addr = addr_of(key[1])
    d.port = LB_SWAP16(<uint16_t>key[2])
    return d


cdef tuple est_tuple(const est_t *est):
    """Shown counters and rates: five totals, then five rates (spec 7.3)."""
    cdef uint32_t k
    return tuple([est.last[k] - est.base[k] for k in range(5)]) + tuple(
        [(est.avg[k] + (15 if k >= 3 else 511)) >> (5 if k >= 3 else 10) for k in range(5)]
    )


cdef class ServiceFace(WorldFace):
    """Virtual services, destinations, local addresses and their counters."""

    cdef uint32_t svc_index(self, tuple key) except? 0xFFFFFFFE:
        cdef svc_t like = svc_of(key)
        cdef uint32_t i = svc_by_key(&self.e, &like)
        if i == NO_INDEX:
            check(-ESRCH)
        return i

    def service_put(self, tuple key, bytes scheduler, uint32_t flags, uint32_t timeout_s,
                    uint32_t netmask, bytes pe_name, bint edit=False):
        """Add a virtual service, or edit the one with this key.  netmask: IPv4 in host order."""
        cdef svc_t s = svc_of(key)
        cdef int error
        if s.af != AF_INET and s.af != AF_INET6:
            check(-EAFNOSUPPORT)
        strncpy(s.sched_name, <const char *>scheduler, 15)
        strncpy(s.pe_name, <const char *>pe_name, 15)
        s.flags = flags
        s.timeout_s = timeout_s
        s.netmask = LB_SWAP32(netmask) if s.af == AF_INET else netmask
        edit_begin(&self.e)
        error = svc_edit(&self.e, &s) if edit else svc_add(&self.e, &s)
        edit_end(&self.e)
        check(error)

    def service_del(self, tuple key):
        cdef uint32_t i = self.svc_index(key)
        edit_begin(&self.e)
        svc_del(&self.e, i)
        edit_end(&self.e)

    def server_put(self, tuple key, tuple server, uint32_t method, int64_t weight,
                   uint32_t u_threshold, uint32_t l_threshold, uint32_t tun_type,
                   uint32_t tun_port, uint32_t tun_flags, bint edit=False):
        """Add a real server (af, addr, port) to a service, or edit it."""
        cdef uint32_t i = self.svc_index(key)
        cdef dest_t d = dest_key_of(server)
        cdef int error
        if not -0x80000000 <= weight < 0x80000000:
            check(-ERANGE)
        d.method = method
        d.weight = <int32_t>weight
        d.u_threshold = u_threshold
        d.l_threshold = l_threshold
        d.tun_type = tun_type
        d.tun_port = LB_SWAP16(<uint16_t>tun_port)
        d.tun_flags = tun_flags
        edit_begin(&self.e)
        error = dest_edit(&self.e, i, &d) if edit else dest_add(&self.e, i, &d)
        edit_end(&self.e)
        check(error)

    def server_del(self, tuple key, tuple server):
        cdef uint32_t i = self.svc_index(key)
        cdef dest_t d = dest_key_of(server)
        cdef int error
        edit_begin(&self.e)
        error = dest_del(&self.e, i, &d)
        edit_end(&self.e)
        check(error)

    def laddr_add(self, tuple key, bytes addr):
        """Give a service a local address for FULLNAT."""
        cdef uint32_t i = self.svc_index(key)
        cdef addr_t a = addr_of(addr)
        cdef int error
        edit_begin(&self.e)
        error = laddr_add(&self.e, i, AF_INET6 if len(addr) == 16 else AF_INET, &a)
        edit_end(&self.e)
        check(error)

    def laddr_del(self, tuple key, bytes addr):
        """Take a local address from a service; its connections go on."""
        cdef uint32_t i = self.svc_index(key)
        cdef addr_t a = addr_of(addr)
        cdef int error
        edit_begin(&self.e)
        error = laddr_del(&self.e, i, AF_INET6 if len(addr) == 16 else AF_INET, &a)
        edit_end(&self.e)
        check(error)

    def laddrs(self, tuple key):
        """Return the local addresses of a service, oldest first."""
        return laddr_list(&self.e, self.svc_index(key))

    def local_addresses(self):
        """Return every local address in use, those that were deleted and have connections too."""
        cdef uint32_t i
        found = set()
        for i in range(self.e.max_laddrs):
            if self.e.laddrs[i].used:
                found.add(addr_bytes(&self.e.laddrs[i].addr, self.e.laddrs[i].af == AF_INET6))
        return found

    def local_ports(self):
        """Return how many ports of a local address FULLNAT may use."""
        cdef uint32_t port
        return sum([is_local_port(&self.e, port) for port in range(65536)])

    def reserve_ports(self, uint32_t low, uint32_t high):
        """Say which ports the host gives its own connections: FULLNAT uses none of them."""
        if low > high or high > 65535:
            raise ValueError(f"ports {low} to {high}, expected a range within 0 to 65535")
        edit_begin(&self.e)
        self.e.port_low, self.e.port_high = low, high
        edit_end(&self.e)

    def zero(self, object key=None):
        """Zero the shown counters of one service and its servers, or of everything."""
        cdef uint32_t i
        if key is not None:
            svc_zero(&self.e, self.svc_index(key))
            return
        est_zero(&self.e.header.total)
        for i in range(self.e.max_svcs):
            if self.e.svcs[i].used:
                svc_zero(&self.e, i)

    def services(self):
        """Return (key, scheduler, flags, timeout, netmask, pe, stats, servers, local addresses) of
        each service, oldest first; servers newest first, as server_tuple makes them."""
        cdef uint32_t i
        rows = []
        for i in range(self.e.max_svcs):
            if self.e.svcs[i].used:
                rows.append((self.e.svcs[i].order, svc_tuple(&self.e, i)))
        rows.sort()
        return [row for _, row in rows]

    def service(self, tuple key):
        return svc_tuple(&self.e, self.svc_index(key))

    def lingering(self):
        """Return (service key, server row) of the servers with connections that what services()
        says does not tell of: deleted ones, and those that were NAT before an edit."""
        cdef uint32_t i
        cdef dest_t *d
        rows = []
        for i in range(self.e.max_dests):
            d = &self.e.dests[i]
            if d.flags & DEST_USED:
                rows += linger_rows(d)
        return rows

    def total(self):
        """Return the shown counters and rates of the whole director."""
        return est_tuple(&self.e.header.total)
