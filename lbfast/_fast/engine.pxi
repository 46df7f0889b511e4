"""Engine: the Python face of the data path."""
# long: a Cython class cannot be spread over files; its methods only call what others define
import errno as _errno
import os as _os

from libc.stdint cimport uintptr_t


cdef addr_t addr_of(bytes raw) except *:
    """Take 4 or 16 bytes; b"" is the zero address."""
    cdef addr_t a
    memset(&a, 0, sizeof(a))
    if len(raw) not in (0, 4, 16):
        raise ValueError(f"address of {len(raw)} bytes, expected 4 or 16")
    memcpy(&a, <const char *>raw, len(raw))
    return a


cdef bytes addr_bytes(const addr_t *a, bint is_v6):
    return (<const char *>a)[:16 if is_v6 else 4]


cdef object check(int error):
    """Raise OSError for a negative errno."""
    if error < 0:
        raise OSError(-error, _os.strerror(-error))


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


cdef class Engine:
    """Connection table, services, routes and workers of one director.

    Times are nanoseconds of CLOCK_MONOTONIC, addresses bytes in network order, ports host order.
    What the kernel's interface would refuse raises OSError with its errno.
    """

    cdef engine_t e
    cdef bint mapped
    cdef object outs              # list that process() collects into
    cdef int stopping             # workers leave their loops
    cdef readonly dict found      # what attaching to an existing region found, empty when fresh

    def __cinit__(
        self, *, uint32_t conns=65536, uint32_t dests=16384, uint32_t services=1024,
        uint32_t workers=1, int fd=-1, uint64_t seed=0, bytes boot_id=b"", uint64_t now_ns=0,
    ):
        if not 1 <= workers <= MAX_WORKERS or conns < workers or not dests or not services:
            raise ValueError("engine sizes must be positive, workers at most 16")
        self.outs = None
        self.found = {}
        self.e.world.request_fd = -1      # nothing to close should attaching be refused
        self.e.max_conns = conns
        self.e.max_dests = dests
        self.e.max_svcs = services
        self.attach_region(fd, seed, boot_id[:39], workers, <uint32_t>(now_ns // NS_PER_TICK))

    def __dealloc__(self):
        engine_free(&self.e)
        if self.e.region != NULL:
            munmap(self.e.region, self.e.region_size)

    cdef object attach_region(
        self, int fd, uint64_t seed, bytes boot_id, uint32_t workers, uint32_t now
    ):
        """Map the file (or anonymous memory), then format it or attach to what is in it."""
        cdef repair_t found
        cdef void *region
        cdef bint fresh
        self.e.region_size = arena_size(self.e.max_conns, self.e.max_dests, self.e.max_svcs)
        if fd >= 0 and _os.fstat(fd).st_size not in (0, self.e.region_size):
            raise ValueError("arena of another size")
        if fd >= 0:
            _os.ftruncate(fd, self.e.region_size)
        region = mmap(
            NULL, self.e.region_size, PROT_READ | PROT_WRITE,
            MAP_SHARED if fd >= 0 else MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, fd, 0,
        )
        if region == MAP_FAILED:
            raise MemoryError("cannot map the arena")
        arena_map(&self.e, region)
        fresh = self.e.header.magic == 0
        if fresh:
            arena_format(&self.e, seed or int.from_bytes(_os.urandom(8), "little"), boot_id)
        elif not self.same_layout():
            raise ValueError(f"arena of layout {self.e.header.version}, expected {LAYOUT_VERSION}")
        if not engine_derive(&self.e, workers):
            raise MemoryError("cannot allocate the engine")
        engine_attach(&self.e, now, &found)
        if not fresh:
            self.found = found
        self.e.header.settings = self.e.settings

    cdef bint same_layout(self):
        cdef header_t *h = self.e.header
        return (
            h.magic == ARENA_MAGIC and h.version == LAYOUT_VERSION
            and h.conn_size == sizeof(conn_t) and h.dest_size == sizeof(dest_t)
            and h.svc_size == sizeof(svc_t) and h.max_conns == self.e.max_conns
            and h.max_dests == self.e.max_dests and h.max_svcs == self.e.max_svcs
        )

    @property
    def boot_id(self):
        """The boot_id that the region was formatted with."""
        return self.e.header.boot_id

    @property
    def table_size(self):
        """Buckets of the connection table."""
        return self.e.bucket_mask + 1

    # ------------------------------------------------------------ the world around

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
        wd.generation += 1
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
        cdef uint32_t i
        pause_begin(&self.e)
        i = neigh_intern(&self.e.world, ifindex, &a, len(addr) == 16)
        if i != NO_INDEX:
            memcpy(self.e.world.neighs[i].mac, <const char *>mac, min(len(mac), 6))
            self.e.world.neighs[i].valid = 1
        edit_end(&self.e)

    def neigh_del(self, uint32_t ifindex, bytes addr):
        """The neighbour is not known any more."""
        cdef addr_t a = addr_of(addr)
        cdef uint32_t i = map_get(
            &self.e.world.neigh_map, &a, ifindex, KIND_NEIGH | <uint32_t>(len(addr) == 16)
        )
        if i != NO_INDEX:
            self.e.world.neighs[i].valid = 0

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

    # ------------------------------------------------------------ services and destinations

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

    # ------------------------------------------------------------ schedulers from elsewhere

    def scheduler_add(self, bytes name, object factory):
        """Register a scheduler in Python: a class, of which each service that uses it gets one.

        A service taken over with that name gets it now.  Raises TypeError or ValueError.
        """
        python_register(&self.e, name, factory)

    def scheduler_add_capsule(self, object capsule):
        """Register a compiled scheduler by its capsule; return its name."""
        return capsule_register(&self.e, capsule)

    def schedulers(self):
        """Return {name: (is compiled, {event: how often}, {event: what happened last})} of the
        registered ones.  Events: picked, stood-in (wlc decided), raised, wrong, late, lost."""
        return kinds_dict(&self.e)

    def schedulers_missing(self):
        """Return the names of services' schedulers that are not registered, once a service."""
        return kinds_missing(&self.e)

    def serve_schedulers(self):
        """Answer for the schedulers in Python until serve_stop(); for a thread of its own.

        From now on no worker holds the GIL.  Needs a scheduler that was registered before.
        """
        if self.e.outside == NULL:
            raise ValueError("no scheduler is registered")
        serve(<outside_t *>self.e.outside)

    @property
    def serving(self):
        """Whether a thread answers for the schedulers in Python."""
        cdef outside_t *o = <outside_t *>self.e.outside
        return o != NULL and lb_load_seq(&o.served) != 0

    def serve_stop(self):
        """Let serve_schedulers() return."""
        cdef outside_t *o = <outside_t *>self.e.outside
        if o != NULL:
            lb_publish(&o.stop, 1)
            eventfd_write(o.ask_fd, 1)

    # ------------------------------------------------------------ connections, settings, time

    def connections(self, uint32_t start=0, uint32_t limit=0xFFFFFFFF):
        """Return (rows, next): up to `limit` connections from record `start` on; next is 0 at the
        end.  A row: see conn_tuple."""
        return conn_rows(&self.e, start, limit, self.e.workers[0].now)

    def marks_replace(self, list rules):
        """Set the rules that mark packets, in order; the last match decides.

        A rule: (mark, af, protocol, ifindex, src, src_len, dst, dst_len, (low, high) source
        port, (low, high) destination port, name of the interface); 0 or b"" stand for any, and
        the name may be left out: it is kept for whoever attaches.
        """
        cdef mark_t *new = self.e.mark_sets
        cdef uint32_t n = 0
        if len(rules) > MAX_MARKS:
            raise OSError(_errno.ENOSPC, f"more than {MAX_MARKS} rules that mark packets")
        if self.e.marks == new:
            new += MAX_MARKS
        for rule in rules:
            new[n] = mark_of(rule)
            n += 1
        edit_begin(&self.e)
        marks_use(&self.e, new, n)
        edit_end(&self.e)

    def marks(self):
        """Return the rules as marks_replace takes them, all fields."""
        return [mark_tuple(&self.e.marks[i]) for i in range(self.e.nmarks)]

    def standby_set(self, bytes addr, bint is_standby):
        """Leave what is sent to an address to the host, or take it again; kept by nobody: the
        next process that attaches serves every address."""
        cdef addr_t a = addr_of(addr)
        cdef uint32_t kind = KIND_STANDBY | <uint32_t>(len(addr) == 16)
        cdef bint held = map_get(&self.e.steer, &a, 0, kind) != NO_INDEX
        cdef bint done
        if held == is_standby:
            return
        edit_begin(&self.e)
        done = steer_count(&self.e, &a, 0, kind, 1 if is_standby else -1)
        if done:
            self.e.nstandby += 1 if is_standby else -1
        edit_end(&self.e)
        if not done:
            raise MemoryError

    def setting(self, str name):
        """Return the value of a sysctl net.ipv4.vs.NAME, or of tcp_timeout_s and its like."""
        return setting_at(&self.e.settings, name)[0]

    def set_setting(self, str name, int32_t value):
        edit_begin(&self.e)
        setting_at(&self.e.settings, name)[0] = value
        setting_at(&self.e.header.settings, name)[0] = value
        if name == "secure_tcp":
            self.e.secure = value >= 2
        elif name == "drop_packet" or name == "am_droprate":
            self.e.drop_rate = 0
            if self.e.settings.drop_packet == 3 and self.e.settings.am_droprate > 0:
                self.e.drop_rate = <uint32_t>self.e.settings.am_droprate
        edit_end(&self.e)

    def defend(self, int64_t available_pages):
        """Adjust the defence strategies to the memory that is left; due every second."""
        pause_begin(&self.e)
        defend(&self.e, available_pages)
        edit_end(&self.e)

    def estimate(self):
        """Take one step of the estimators; due every 2 s."""
        if self.e.settings.run_estimation:
            estimate_all(&self.e)

    def trash(self, uint64_t now_ns):
        """Visit the trash; due every 60 s."""
        edit_begin(&self.e)
        trash_run(&self.e, <uint32_t>(now_ns // 1000000000))
        edit_end(&self.e)

    def reasons(self):
        """Return {reason: packets dropped}, without the reasons that never happened."""
        cdef uint32_t i, k
        counts = {}
        for k in range(R_COUNT):
            n = 0
            for i in range(self.e.nworkers):
                n += self.e.workers[i].drops[k]
            if n:
                counts[REASONS[k]] = n
        return counts

    def verdicts(self):
        """Return {verdict: packets}."""
        cdef uint32_t i, k
        counts = {}
        for k in range(6):
            counts[VERDICTS[k]] = 0
            for i in range(self.e.nworkers):
                counts[VERDICTS[k]] += self.e.workers[i].verdicts[k]
        return counts

    def plain(self):
        """Return how many packets took the short way: plain ones of known connections."""
        cdef uint32_t i
        return sum([self.e.workers[i].plain for i in range(self.e.nworkers)])

    # ------------------------------------------------------------ frames

    def process(self, list frames, uint64_t now_ns):
        """Run frames through the data path as worker 0.

        frames: (ifindex, vnet, frame): the 10 bytes of a virtio-net header (b"" none) and the
        Ethernet frame.  Returns (kind, ifindex, vnet, frame) each: kind 0 leaves on that
        interface, kind 1 goes back to the host as if it had come in there.  Frames that were
        never the data path's are in neither; see verdicts.
        """
        cdef worker_t *w = &self.e.workers[0]
        cdef uint8_t *memory = <uint8_t *>malloc(MAX_FRAME + 2 * HEADROOM)
        if memory == NULL:
            raise MemoryError
        self.outs = []
        w.sink = <void *>self
        w.flush = collect
        try:
            batch_time(w, now_ns)
            for ifindex, vnet, frame in frames:
                process_one(&self.e, w, memory, ifindex, vnet, frame)
                w.flush(w)
                w.scratch_used = 0
            w.flush(w)
            w.scratch_used = 0
            if self.e.outside != NULL and not lb_load_seq(&(<outside_t *>self.e.outside).served):
                serve_told(<outside_t *>self.e.outside)
        finally:
            free(memory)
            w.sink = NULL
        outs = self.outs
        self.outs = None
        return outs

    def run(self, uint32_t index, Rings rings):
        """Be worker `index` on these rings until stop() is called; holds no GIL meanwhile."""
        if index >= self.e.nworkers:
            raise ValueError(f"no worker {index}")
        with nogil:
            worker_run(&self.e, &self.e.workers[index], &rings.r, &self.stopping)
        self.e.workers[index].sink = NULL

    def stop(self):
        """Ask the workers to leave their loops; wake their rings to have it done at once."""
        self.stopping = 1

    def restart(self):
        """After stop(), once all workers have left: let run() be called again."""
        self.stopping = 0
