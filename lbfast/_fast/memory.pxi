"""Large arrays: zeroed memory that is used as it is touched, in huge pages where there are any.

Random look-ups among millions of records miss the processor's cache of page addresses each time
when pages have 4 KiB; with 2 MiB it holds them all.
"""
from libc.stdlib cimport free
from posix.mman cimport MADV_HUGEPAGE, madvise

cdef extern from "stdlib.h" nogil:
    void *aligned_alloc(size_t alignment, size_t size)

cdef enum:
    HUGE_PAGE = 2 << 20           # bytes, of the processors that we know; elsewhere it only aligns


cdef inline uint64_t huge_up(uint64_t size) noexcept nogil:
    """Round what fills a huge page or more up to whole ones."""
    if size < HUGE_PAGE:
        return size
    return (size + HUGE_PAGE - 1) & ~<uint64_t>(HUGE_PAGE - 1)


cdef uint8_t *memory_map(uint64_t size, int prot, int flags, int fd) noexcept nogil:
    """Map so many bytes, from 2 MiB on at an address of a huge page, and ask for huge pages (which
    is refused where the kernel has none, and does no harm); NULL: there is no room."""
    cdef uint64_t room = size + HUGE_PAGE if size >= HUGE_PAGE else size
    cdef uint8_t *at = <uint8_t *>mmap(
        NULL, room, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0
    )
    cdef uint64_t lead
    if at == <uint8_t *>MAP_FAILED:
        return NULL
    if size >= HUGE_PAGE:
        lead = HUGE_PAGE - (<uintptr_t>at & (HUGE_PAGE - 1))
        munmap(at, lead)
        at += lead
        if lead < HUGE_PAGE:
            munmap(at + size, HUGE_PAGE - lead)
    if mmap(at, size, prot, flags | MAP_FIXED | MAP_NORESERVE, fd, 0) == MAP_FAILED:
        munmap(at, size)
        return NULL
    if size >= HUGE_PAGE:
        madvise(at, size, MADV_HUGEPAGE)
    return at


cdef void *memory_take(uint64_t size) noexcept nogil:
    """Return zeroed memory, aligned to a cache line, or from 2 MiB on to huge pages; NULL: there
    is none.  To be given back by memory_give with the same size."""
    cdef void *at
    if size >= HUGE_PAGE:
        return memory_map(huge_up(size), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1)
    at = aligned_alloc(64, (size + 63) & ~<uint64_t>63)
    if at != NULL:
        memset(at, 0, size)
    return at


cdef void memory_give(void *at, uint64_t size) noexcept nogil:
    if size < HUGE_PAGE:
        free(at)
    elif at != NULL:
        munmap(at, huge_up(size))
