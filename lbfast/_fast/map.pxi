"""map_t: changing it.  Control only, while no worker is inside a batch."""
from libc.stdlib cimport calloc, free
from libc.string cimport memset


cdef bint map_init(map_t *m, uint32_t capacity) noexcept nogil:
    """Make an empty map; False when there is no memory."""
    cdef uint32_t size = 16
    while size < capacity * 2:
        size *= 2
    m.slots = <slot_t *>calloc(size, sizeof(slot_t))
    m.mask = size - 1
    m.used = 0
    return m.slots != NULL


cdef void map_free(map_t *m) noexcept nogil:
    free(m.slots)
    m.slots = NULL


cdef void map_clear(map_t *m) noexcept nogil:
    memset(m.slots, 0, (<size_t>m.mask + 1) * sizeof(slot_t))
    m.used = 0


cdef bint map_grow(map_t *m) noexcept nogil:
    cdef map_t bigger
    cdef uint32_t i
    if not map_init(&bigger, m.mask + 1):
        return False
    for i in range(m.mask + 1):
        if m.slots[i].b:
            map_put(&bigger, &m.slots[i].addr, m.slots[i].a, m.slots[i].b, m.slots[i].value)
    free(m.slots)
    m[0] = bigger
    return True


cdef bint map_put(
    map_t *m, const addr_t *addr, uint32_t a, uint32_t b, uint32_t value
) noexcept nogil:
    """Set the value of a key; False when there is no memory."""
    cdef uint32_t i
    cdef slot_t *s
    if (m.used + 1) * 2 > m.mask and not map_grow(m):
        return False
    i = map_hash(addr, a, b) & m.mask
    while True:
        s = &m.slots[i]
        if s.b == 0:
            s.addr = addr[0]
            s.a = a
            s.b = b
            m.used += 1
            break
        if s.b == b and s.a == a and addr_eq(&s.addr, addr):
            break
        i = (i + 1) & m.mask
    s.value = value
    return True


cdef void map_del(map_t *m, const addr_t *addr, uint32_t a, uint32_t b) noexcept nogil:
    """Remove a key; later members of its run shift back, so no tombstone stays."""
    cdef uint32_t i = map_hash(addr, a, b) & m.mask
    cdef uint32_t j, home
    while True:
        if m.slots[i].b == 0:
            return
        if m.slots[i].b == b and m.slots[i].a == a and addr_eq(&m.slots[i].addr, addr):
            break
        i = (i + 1) & m.mask
    j = i
    while True:
        j = (j + 1) & m.mask
        if m.slots[j].b == 0:
            break
        home = map_hash(&m.slots[j].addr, m.slots[j].a, m.slots[j].b) & m.mask
        if ((j - home) & m.mask) >= ((j - i) & m.mask):
            m.slots[i] = m.slots[j]
            i = j
    m.slots[i].b = 0
    m.used -= 1
