"""The face of an engine's memory: the region, its header, what attaching found."""
import errno as _errno
import os as _os


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


cdef class RegionFace:
    """The region that the records lie in; the base of every other face."""

    cdef engine_t e
    cdef readonly dict found      # what attaching to an existing region found, empty when fresh

    def __cinit__(
        self, *, uint32_t conns=65536, uint32_t dests=16384, uint32_t services=1024,
        uint32_t workers=1, int fd=-1, uint64_t seed=0, bytes boot_id=b"", uint64_t now_ns=0,
    ):
        if not 1 <= workers <= MAX_WORKERS or conns < workers or not dests or not services:
            raise ValueError("engine sizes must be positive, workers at most 16")
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
        self.e.region_size = arena_lay(&self.e, NULL)
        if fd >= 0 and _os.fstat(fd).st_size not in (0, self.e.region_size):
            raise ValueError("arena of another size")
        if fd >= 0:
            _os.ftruncate(fd, self.e.region_size)
        region = memory_map(
            self.e.region_size, PROT_READ | PROT_WRITE,
            MAP_SHARED if fd >= 0 else MAP_PRIVATE | MAP_ANONYMOUS, fd,
        )
        if region == NULL:
            raise MemoryError("cannot map the arena")
        arena_lay(&self.e, region)
        fresh = self.e.header.magic == 0
        if fresh:
            arena_format(&self.e, seed or int.from_bytes(_os.urandom(8), "little"), boot_id)
        elif not self.same_layout():
            raise ValueError(f"arena of layout {self.e.header.version}, expected {LAYOUT_VERSION}")
        if not engine_derive(&self.e, workers):
            raise MemoryError("cannot allocate the engine")
        engine_attach(&self.e, now, fresh, &found)
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
