"""Frame -> packet: Ethernet, IPv4 and IPv6 with their options and extensions, ports."""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy, memmove

from lbfast._fast.addr cimport addr_load, addr_loopback
from lbfast._fast.csum cimport ipv4_header_ok
from lbfast._fast.types cimport (
    DROP, IGNORE, LB_UNLIKELY, NEXT, R_BAD_HEADER, R_MARTIAN, R_NO_PORTS, R_TRUNCATED,
    NO_INDEX, VNET_NEEDS_CSUM, engine_t, pkt_t, verdict_t, worker_t, world_t,
)
from lbfast._fast.world cimport vlan_link_find
from lbfast._fast.wire cimport (
    ETH_P_8021AD, ETH_P_8021Q, ETH_P_IP, ETH_P_IPV6, IPPROTO_AH_, IPPROTO_DSTOPTS_,
    IPPROTO_FRAGMENT_, IPPROTO_HOPOPTS_, IPPROTO_ICMP_, IPPROTO_ICMPV6_, IPPROTO_ROUTING_,
    IPPROTO_SCTP_, IPPROTO_TCP_, IPPROTO_UDP_, ld16, raw16,
)


cdef inline verdict_t bad(worker_t *w, uint32_t reason) noexcept nogil:
    w.drops[reason] += 1
    return DROP


cdef inline void untag(pkt_t *p) noexcept nogil:
    """Move an 802.1Q tag from the data into `vlan_tci`, where the kernel puts it."""
    p.vlan_tpid = ld16(p.data + 12)
    p.vlan_tci = ld16(p.data + 14)
    memmove(p.data + 4, p.data, 12)
    p.data += 4
    p.len -= 4
    if p.vnet.flags & VNET_NEEDS_CSUM:
        p.vnet.csum_start -= 4
    if p.vnet.hdr_len >= 4:
        p.vnet.hdr_len -= 4


cdef inline verdict_t parse(worker_t *w, pkt_t *p, const uint8_t *mac) noexcept nogil:
    """Fill in the packet from its frame.  IGNORE: not IP, or not for that MAC address."""
    cdef uint32_t ethertype
    p.l4 = NULL
    p.sport = p.dport = 0
    p.tcp_flags = p.is_icmp_error = p.has_ports = p.is_frag = p.later_frag = p.is_short = 0
    if LB_UNLIKELY(p.len < 14):
        return bad(w, R_TRUNCATED)
    ethertype = ld16(p.data + 12)
    if ethertype == ETH_P_8021Q or ethertype == ETH_P_8021AD:
        if p.len < 18 or p.vlan_tpid:
            return IGNORE
        untag(p)
        ethertype = ld16(p.data + 12)
    if LB_UNLIKELY(p.vlan_tpid and p.vlan_tci & 0xFFF):
        mac = vlan_mac(w, p)
        if mac == NULL:
            return IGNORE
    if not mac_equal(p.data, mac):
        return IGNORE
    p.l3 = p.data + 14
    if ethertype == ETH_P_IP:
        return parse_ipv4(w, p)
    if ethertype == ETH_P_IPV6:
        return parse_ipv6(w, p)
    return IGNORE


cdef inline const uint8_t *vlan_mac(worker_t *w, const pkt_t *p) noexcept nogil:
    """MAC address of the host's interface for the frame's VLAN, NULL when there is none."""
    cdef world_t *wd = &(<engine_t *>w.engine).world
    cdef uint32_t link = vlan_link_find(wd, p.ifindex, p.vlan_tci & 0xFFF)
    return NULL if link == NO_INDEX else wd.links[link].mac


cdef inline bint mac_equal(const uint8_t *x, const uint8_t *y) noexcept nogil:
    cdef uint32_t a, b
    memcpy(&a, x, 4)
    memcpy(&b, y, 4)
    return a == b and raw16(x + 4) == raw16(y + 4)


cdef inline verdict_t parse_ipv4(worker_t *w, pkt_t *p) noexcept nogil:
    cdef uint32_t have = p.len - 14
    cdef uint32_t frag
    p.is_v6 = 0
    if LB_UNLIKELY(have < 20):
        return bad(w, R_TRUNCATED)
    p.l3_len = (p.l3[0] & 15) * 4
    p.ip_len = ld16(p.l3 + 2)
    if LB_UNLIKELY(p.l3[0] >> 4 != 4 or p.l3_len < 20):
        return bad(w, R_BAD_HEADER)
    if LB_UNLIKELY(p.ip_len < p.l3_len or p.ip_len > have):
        return bad(w, R_TRUNCATED)
    if LB_UNLIKELY(not ipv4_header_ok(p.l3, p.l3_len)):
        return bad(w, R_BAD_HEADER)
    p.len = 14 + p.ip_len
    p.protocol = p.l3[9]
    p.saddr = addr_load(p.l3 + 12, False)
    p.daddr = addr_load(p.l3 + 16, False)
    if LB_UNLIKELY(addr_loopback(&p.saddr, False) or addr_loopback(&p.daddr, False)):
        return bad(w, R_MARTIAN)
    frag = ld16(p.l3 + 6)
    if LB_UNLIKELY(frag & 0x3FFF):
        p.is_frag = 1
        p.later_frag = (frag & 0x1FFF) != 0
        if p.later_frag:
            return NEXT
    return parse_l4(w, p)


cdef inline bint is_extension(uint32_t protocol) noexcept nogil:
    return (
        protocol == IPPROTO_HOPOPTS_ or protocol == IPPROTO_ROUTING_
        or protocol == IPPROTO_DSTOPTS_ or protocol == IPPROTO_FRAGMENT_
        or protocol == IPPROTO_AH_
    )


cdef inline verdict_t parse_ipv6(worker_t *w, pkt_t *p) noexcept nogil:
    cdef uint32_t have = p.len - 14
    p.is_v6 = 1
    if LB_UNLIKELY(have < 40):
        return bad(w, R_TRUNCATED)
    p.ip_len = 40 + ld16(p.l3 + 4)
    if LB_UNLIKELY(p.l3[0] >> 4 != 6):
        return bad(w, R_BAD_HEADER)
    if LB_UNLIKELY(p.ip_len > have):
        return bad(w, R_TRUNCATED)
    p.len = 14 + p.ip_len
    p.saddr = addr_load(p.l3 + 8, True)
    p.daddr = addr_load(p.l3 + 24, True)
    if LB_UNLIKELY(addr_loopback(&p.saddr, True) or addr_loopback(&p.daddr, True)):
        return bad(w, R_MARTIAN)
    p.protocol = p.l3[6]
    p.nexthdr_at = 6
    p.l3_len = 40
    if LB_UNLIKELY(is_extension(p.protocol)) and not skip_extensions(p):
        return bad(w, R_TRUNCATED)
    if LB_UNLIKELY(p.later_frag):
        return NEXT
    return parse_l4(w, p)


cdef inline bint skip_extensions(pkt_t *p) noexcept nogil:
    """Find the transport behind the extension headers; False when they are cut short."""
    cdef uint32_t at = 40, size
    while is_extension(p.protocol) and not p.later_frag:
        if at + 8 > p.ip_len:
            return False
        size = 8
        if p.protocol == IPPROTO_FRAGMENT_:
            p.is_frag = 1
            p.later_frag = (ld16(p.l3 + at + 2) & 0xFFF8) != 0
        elif p.protocol == IPPROTO_AH_:
            size = (p.l3[at + 1] + 2) * 4
        else:
            size = (p.l3[at + 1] + 1) * 8
        p.protocol = p.l3[at]
        p.nexthdr_at = at
        at += size
        if at > p.ip_len:
            return False
    p.l3_len = at
    return True


cdef inline verdict_t parse_l4(worker_t *w, pkt_t *p) noexcept nogil:
    """Read ports, TCP flags and the ICMP type.  Without ports it is a drop, unless the packet is
    a fragment that may be put together first; a header cut short behind them is `is_short`."""
    cdef uint32_t left = p.ip_len - p.l3_len
    cdef uint32_t need = 0
    p.l4 = p.l3 + p.l3_len
    if p.protocol == IPPROTO_TCP_:
        need = 20
    elif p.protocol == IPPROTO_UDP_:
        need = 8
    elif p.protocol == IPPROTO_SCTP_:
        need = 12
    elif p.protocol == (IPPROTO_ICMPV6_ if p.is_v6 else IPPROTO_ICMP_):
        return parse_icmp(w, p, left)
    else:
        return NEXT
    if LB_UNLIKELY(left < need):
        p.is_short = 1
        if left < 4:
            return NEXT if p.is_frag else bad(w, R_NO_PORTS)
    p.has_ports = 1
    p.sport = raw16(p.l4)
    p.dport = raw16(p.l4 + 2)
    if p.protocol == IPPROTO_TCP_ and not p.is_short:
        p.tcp_flags = p.l4[13]
    return NEXT


cdef inline verdict_t parse_icmp(worker_t *w, pkt_t *p, uint32_t left) noexcept nogil:
    if left < 8:
        return NEXT if p.is_frag else bad(w, R_NO_PORTS)
    if p.is_v6:
        p.is_icmp_error = p.l4[0] < 128
    else:
        p.is_icmp_error = p.l4[0] == 3 or p.l4[0] == 4 or p.l4[0] == 11
    return NEXT
