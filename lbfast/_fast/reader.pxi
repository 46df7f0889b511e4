"""Reading the connections of an arena that somebody else writes: another process's, mapped
read-only, so that who lists a million of them takes nothing of the daemon's time or memory."""


cdef class Reader:
    """The connections in an arena file; it may go on changing."""

    cdef engine_t e               # nothing but the arrays of records

    def __cinit__(self, int fd):
        """Map the file; ValueError when it is no arena of this layout, or not a whole one."""
        cdef header_t head
        cdef void *region
        cdef bytes raw = _os.pread(fd, sizeof(header_t), 0)
        memset(&self.e, 0, sizeof(engine_t))
        if len(raw) < sizeof(header_t):
            raise ValueError("no arena, or an empty one")
        memcpy(&head, <const char *>raw, sizeof(header_t))
        if head.magic != ARENA_MAGIC or head.version != LAYOUT_VERSION:
            raise ValueError(f"arena of layout {head.version}, expected {LAYOUT_VERSION}")
        self.e.max_conns = head.max_conns
        self.e.max_dests = head.max_dests
        self.e.max_svcs = head.max_svcs
        self.e.region_size = arena_lay(&self.e, NULL)
        if <uint64_t>_os.fstat(fd).st_size != self.e.region_size:
            raise ValueError("arena of another size than its header says")
        region = memory_map(self.e.region_size, PROT_READ, MAP_SHARED, fd)
        if region == NULL:
            raise MemoryError("cannot map the arena")
        arena_lay(&self.e, region)

    def __dealloc__(self):
        if self.e.region != NULL:
            munmap(self.e.region, self.e.region_size)

    def connections(self, uint32_t start, uint32_t limit, uint64_t now_ns):
        """Return (rows, next) as Engine.connections does."""
        return conn_rows(&self.e, start, limit, <uint32_t>(now_ns // NS_PER_TICK))

    def text(self, uint32_t start, uint64_t now_ns, bytes names, bint with_engines):
        """Return (rows, next): rows as `ipvsadm -Lnc` shows them; see conn_text."""
        return conn_text(
            &self.e, start, <uint32_t>(now_ns // NS_PER_TICK), names, with_engines
        )


cdef tuple conn_rows(engine_t *e, uint32_t start, uint32_t limit, uint32_t now):
    """Up to `limit` connections from record `start` on, and where to go on; 0 at the end."""
    cdef uint32_t i = start, end = min(e.header.fresh, e.max_conns)
    cdef list rows = []
    while i < end and len(rows) < limit:
        if e.conns[i].flags & CONN_HASHED:
            row = conn_tuple(e, i, now)
            if row is not None:
                rows.append(row)
        i += 1
    return rows, i if i < end else 0


cdef inline bint conn_is_still(const conn_t *seen, const conn_t *now) noexcept nogil:
    """Whether a record is live and of the same connection as the copy that was taken of it."""
    return (
        (seen.flags & now.flags & CONN_HASHED) != 0
        and seen.caddr == now.caddr and seen.vaddr == now.vaddr and seen.daddr == now.daddr
        and seen.cport == now.cport and seen.vport == now.vport and seen.dport == now.dport
        and seen.protocol == now.protocol
    )
